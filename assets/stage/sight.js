// Which nodes of a large tree are drawn one by one, and which are folded into a mark of their nearest drawn
// ancestor. Pure geometry. A node's weight falls from parent to child, so what is drawn is always a tree.

import { PROMPT } from "./log.js";

export const BUDGET = 1400; // nodes that are drawn at most
const WITH_FOLDS = 700; // nodes that are drawn at most where many hold a fold, which is a mark of its own
const LANE = 3; // pixels: where lanes are lower, subtrees fold that are lower than ...
const LOW = 15; // ... this, less four lanes: it sets in gently
const COLUMN = 3; // pixels: where columns are narrower, some are passed over
const LANES = 1e6; // weight of a lane against that of a column: height first, then length

/** Weight of a node of a layout that was measured: the lanes its subtree takes, then how far on it reaches. */
export function weight(layout, id) {
  const lanes = layout.bottom[id] - layout.top[id] + 1;
  return Math.round(lanes * 100) * (LANES / 100) + layout.reach[id] - layout.column[id];
}

/**
 * What to draw of `layout` in `view`: `{left, right, top, bottom}` (columns and lanes; the root's are 0) and
 * `{dx, dy}` (pixels of a column, of a lane). Returns
 * - `ids`: nodes to draw, rising, without the root; those out of sight hold a fold that reaches into it,
 * - `threshold`: nodes of less weight are folded (0: none),
 * - `stride`: only every so-manieth column is drawn (1: all).
 */
export function sight(log, layout, view, budget = BUDGET) {
  const stride = 2 ** Math.max(0, Math.ceil(Math.log2(COLUMN / view.dx)));
  const least = view.dy < LANE ? ((LOW - 4 * view.dy) / view.dy) * LANES : 0;
  const near = within(log, layout, view, stride);
  if (!least && stride === 1 && near.length <= budget) return { ids: near.sort((a, b) => a - b), threshold: 0, stride };
  layout.measure(log);
  const weights = near.map((id) => weight(layout, id));
  const isOnColumn = (id) => layout.column[id] % stride === 0;
  const drawn = weights.filter((value, at) => value >= least && isOnColumn(near[at]));
  const isFar = least > 0 || drawn.length > budget;
  const threshold = isFar ? Math.max(least, above(drawn, Math.min(budget, WITH_FOLDS))) : 0;
  const level = { threshold, stride };
  if (isWhole(level)) return { ids: near.sort((a, b) => a - b), ...level };
  const ids = new Set();
  const seen = new Uint8Array(log.nodes.length);
  near.forEach((id) => {
    const holder = holderOf(log, layout, level, id, seen);
    if (holder !== null && holder !== layout.root) ids.add(holder);
  });
  return { ids: [...ids].sort((a, b) => a - b), ...level };
}

/** The least of `values` that no more than `count` of them exceed or equal; above them all where none is. */
function above(values, count) {
  if (values.length <= count) return 0;
  const sorted = Float64Array.from(values).sort();
  const first = sorted[sorted.length - 1 - count]; // it, and all that equal it, are one too many
  const next = sorted.findIndex((value) => value > first);
  return next < 0 ? first + 1 : sorted[next];
}

/** Nodes in the view, or whose edge runs through it. */
function within(log, layout, { left, right, top, bottom }, stride) {
  const ids = [];
  const from = Math.max(1, Math.floor(left) - stride);
  const to = Math.min(layout.columns.length, Math.ceil(right) + stride);
  for (let column = from; column <= to; column++) {
    for (const id of layout.columns[column - 1] ?? []) {
      const y = layout.y[id];
      const before = layout.yOf(log.nodes[id].parent);
      if (Math.min(y, before) <= bottom && Math.max(y, before) >= top) ids.push(id);
    }
  }
  return ids;
}

/** Whether every node is drawn for itself at this level of detail. */
export function isWhole({ threshold, stride }) {
  return threshold === 0 && stride === 1;
}

/** Whether a node of a layout that was measured is drawn for itself at this level of detail, wherever it is. */
export function isDrawn(layout, { threshold, stride }, id) {
  return id === layout.root || (layout.column[id] % stride === 0 && weight(layout, id) >= threshold);
}

/**
 * The node itself where it is drawn, else its nearest ancestor that is. With `seen` (Uint8Array by id) null where
 * an earlier call has passed the same way.
 */
export function holderOf(log, layout, level, id, seen = null) {
  if (isWhole(level)) return id;
  layout.measure(log);
  let at = id;
  while (!isDrawn(layout, level, at)) {
    if (seen?.[at]) return null;
    if (seen) seen[at] = 1;
    at = log.nodes[at].parent;
  }
  return at;
}

/** The nearest ancestor that is drawn: where the node's edge begins. */
export function originOf(log, layout, level, id) {
  return holderOf(log, layout, level, log.nodes[id].parent);
}

/**
 * The subtrees that are folded into the drawn node `id`: ids of their first nodes, as far as they are there
 * (`numNodes` nodes) and `layout` shows them.
 */
export function foldedInto(log, layout, level, id, numNodes) {
  layout.measure(log);
  const folded = [];
  const stack = [id];
  while (stack.length) {
    for (const child of log.node(stack.pop()).children) {
      if (child >= numNodes || Number.isNaN(layout.y[child])) continue;
      if (weight(layout, child) < level.threshold) folded.push(child);
      else if (layout.column[child] % level.stride) stack.push(child);
    }
  }
  return folded;
}

/** The node of a tree that has a place: `id` itself, or the nearest ancestor that `layout` shows; else the root. */
export function placedOf(log, layout, id) {
  let at = id;
  while (at !== PROMPT && at !== layout.root && Number.isNaN(layout.yOf(at))) at = log.nodes[at].parent;
  return Number.isNaN(layout.yOf(at)) ? layout.root : at;
}
