// The multiverse's geometry: each token a block, x = depth, height = its share of the probability mass. No DOM.

import { PROMPT } from "./log.js";

const LEAST = 1; // pixels; lower blocks are merged with their neighbours

/**
 * Where every token shown stands in a column of height 1: `tops` and `heights` by node id + 1, `order` (ids as one
 * reads: a token before what follows it, a variant's all before the next variant) and the `deepest` depth.
 * `children(id)` as shown and sorted, `mass` by node id, `start` the node that is everything.
 */
export function stack(log, children, mass, start = PROMPT) {
  const tops = new Float64Array(log.nodes.length + 1);
  const heights = new Float64Array(log.nodes.length + 1);
  const whole = start === PROMPT ? 1 : mass[start];
  const order = [];
  const waiting = [start];
  let deepest = log.node(start).depth;
  heights[start + 1] = 1;
  while (waiting.length) {
    const id = waiting.pop();
    const next = children(id);
    let top = tops[id + 1];
    order.push(id);
    deepest = Math.max(deepest, log.node(id).depth);
    for (const child of next) {
      tops[child + 1] = top;
      heights[child + 1] = mass[child] / whole;
      top += heights[child + 1];
    }
    for (let at = next.length - 1; at >= 0; at--) waiting.push(next[at]);
  }
  return { tops, heights, order, deepest, start };
}

/**
 * Blocks to draw for a view of the mass from `top` over `span`, in `height` pixels: `{depth, y, h, ids}`, one token
 * each; neighbours of a column that are lower than a pixel share a block.
 */
export function blocks(log, { tops, heights, order }, { top, span }, height) {
  const scale = height / span;
  const small = new Map(); // depth -> the shared block that a low neighbour may still join
  const found = [];
  for (const id of order) {
    const y = (tops[id + 1] - top) * scale;
    const h = heights[id + 1] * scale;
    if (y >= height || y + h <= 0) continue;
    const { depth } = log.node(id);
    const open = small.get(depth);
    if (h >= LEAST) {
      small.delete(depth);
      found.push({ depth, y, h, ids: [id] });
    } else if (open && y - (open.y + open.h) < LEAST) {
      open.h = y + h - open.y;
      open.ids.push(id);
    } else {
      const block = { depth, y, h, ids: [id] };
      small.set(depth, block);
      found.push(block);
    }
  }
  return found;
}

/** Tokens on the way from `start` to `id` that chose between variants, and both ends: what a breadcrumb names. */
export function crumbs(log, children, start, id) {
  const way = [];
  for (let at = id; at !== null; at = log.node(at).parent) {
    way.unshift(at);
    if (at === start) break;
  }
  return way.filter((at, index) => index === 0 || at === id || children(way[index - 1]).length > 1);
}

/** `id`, or the nearest of its ancestors that is there at `cursor`. */
export function there(log, id, cursor) {
  let at = id;
  while (at !== PROMPT && log.nodes[at].step > cursor) at = log.nodes[at].parent;
  return at;
}

/** Whether `id` is `root` or comes after it. */
export function isWithin(log, id, root) {
  let at = id;
  while (at !== root && at !== null && at !== PROMPT) at = log.nodes[at].parent;
  return at === root;
}
