// Where nodes stand. x is depth; y grows column by column: a column is made by one step, keeps the order
// of its parents (so edges never cross) and takes the positions nearest to them that leave a lane between
// neighbours. Where many paths ended, the gap they left closes little by little. A placed node never moves
// while the `Shape` (what is shown, in what order) stays; where that changes, what is shown is laid out anew.

import { PROMPT } from "./log.js";
import { Shape, facts, shownNodes, sorted } from "./shape.js";

const WIDE = 2; // lanes between neighbours that stay as they are
const KEEP = 0.82; // of a wider gap's excess, what is left of it a token later
const DRIFT = 0.97; // of the column's distance from the prompt's lane, likewise

/** Rising values nearest to `wanted` (least squares) with at least 1 between neighbours. */
export function separate(wanted) {
  const blocks = [];
  wanted.forEach((value, at) => {
    blocks.push({ sum: value - at, count: 1 });
    while (blocks.length > 1) {
      const [left, right] = blocks.slice(-2);
      if (left.sum / left.count <= right.sum / right.count) break;
      blocks.splice(-2, 2, { sum: left.sum + right.sum, count: left.count + right.count });
    }
  });
  const flat = blocks.flatMap(({ sum, count }) => new Array(count).fill(sum / count));
  return flat.map((value, at) => value + at);
}

/** `wanted` (rising) with its wide gaps made narrower, and its middle a little nearer to 0. */
export function gather(wanted) {
  const gathered = [0];
  for (let at = 1; at < wanted.length; at++) {
    const gap = wanted[at] - wanted[at - 1];
    gathered.push(gathered[at - 1] + (gap > WIDE ? WIDE + (gap - WIDE) * KEEP : gap));
  }
  const middle = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const shift = middle(wanted) * DRIFT - middle(gathered);
  return gathered.map((value) => value + shift);
}

/** The free place nearest to `wanted` in a column whose taken places are `taken`, rising. */
export function nearestFree(wanted, taken) {
  const isApart = (a, b) => Math.abs(a - b) >= 0.999;
  const near = rank(taken, wanted);
  const isFree = (near === 0 || isApart(taken[near - 1], wanted)) && (near === taken.length || isApart(taken[near], wanted));
  if (isFree) return wanted;
  let above = near; // the first place going up, and going down, that leaves a lane to both neighbours
  while (above > 0 && taken[above - 1] > wanted - 1) above -= 1;
  while (above + 1 < taken.length && !isApart(taken[above] + 1, taken[above + 1])) above += 1;
  let below = near - 1;
  while (below + 1 < taken.length && taken[below + 1] < wanted + 1) below += 1;
  while (below > 0 && !isApart(taken[below] - 1, taken[below - 1])) below -= 1;
  const [up, down] = [taken[above] + 1, taken[below] - 1];
  return up - wanted <= wanted - down ? up : down;
}

/** How many of the rising `values` are below `value`. */
function rank(values, value) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Lanes (`y`, in lanes, 0 is the root's) of a growing log's nodes, as far as `shape` shows them. */
export class Layout {
  constructor(shape = new Shape()) {
    this.shape = shape;
    this.epoch = 0; // grows when what was placed is placed anew
    this.#clear();
  }

  #clear() {
    this.version = this.shape.version;
    this.epoch += 1;
    this.root = this.shape.hoisted; // what stands left of the first column
    this.base = null; // depth of the first column
    this.y = []; // by node id; NaN: not shown
    this.column = []; // by node id, as `columnOf`
    this.columns = []; // ids, by column
    this.taken = []; // places, rising, by column
    this.extent = [0, 0];
    this.measured = 0; // nodes when extents were last taken
  }

  yOf(id) {
    return id === this.root ? 0 : id < 0 ? NaN : this.y[id];
  }

  /** Columns right of the root: 0 is the root's own. */
  columnOf(log, id) {
    return log.node(id).depth - this.base + 1;
  }

  /** Place what has no place yet; all anew where the shape has changed. */
  update(log) {
    if (this.version !== this.shape.version) this.#clear();
    this.base ??= log.node(this.root).depth + 1;
    if (!this.y.length && !this.shape.isPlain) this.#placeAll(log);
    while (this.y.length < log.nodes.length) {
      const first = this.y.length;
      let last = first;
      while (last < log.nodes.length && log.nodes[last].step === log.nodes[first].step) last += 1;
      this.#placeStep(log, first, last);
    }
  }

  /** What is known is placed column by column, whatever its step: siblings stand together, in the shape's order. */
  #placeAll(log) {
    const shown = shownNodes(log, this.shape);
    const columns = [];
    shown.forEach((isShown, id) => {
      this.#enter(log, id);
      if (isShown && id !== this.root) (columns[log.nodes[id].depth - this.base] ??= []).push(id);
    });
    let folded = this.shape.collapsed.has(this.root) ? [this.root] : [];
    columns.forEach((ids, column) => {
      const wishes = [...this.#wishes(log, ids, (id) => shown[id]), ...folded.map((id) => this.#room(id))];
      this.#place(wishes, column);
      folded = ids.filter((id) => this.shape.collapsed.has(id) && log.nodes[id].children.length);
    });
  }

  #placeStep(log, first, last) {
    const ids = [];
    for (let id = first; id < last; id++) {
      this.#enter(log, id);
      if (this.#isShown(log, id)) ids.push(id);
    }
    const fresh = new Set(ids);
    const columns = new Map();
    for (const id of ids) {
      const column = log.nodes[id].depth - this.base;
      columns.set(column, [...(columns.get(column) ?? []), id]);
    }
    for (const [column, some] of columns) this.#place(this.#wishes(log, some, (id) => fresh.has(id)), column);
  }

  /** Whether a node that has just come is shown: its parent is, and is no fold; what is pruned at once may be hidden. */
  #isShown(log, id) {
    const { parent, step, ended, status } = log.nodes[id];
    const isGone = this.shape.hidesPruned && status === "pruned" && ended === step;
    return !Number.isNaN(this.yOf(parent)) && !this.shape.collapsed.has(parent) && !isGone;
  }

  /** Where `ids` of one column would like to stand: beside each other, about their parent's lane. */
  #wishes(log, ids, isAmong) {
    const orders = new Map(); // parent -> its children among them, in order
    return ids.map((id) => {
      const { parent } = log.nodes[id];
      if (!orders.has(parent)) {
        const siblings = sorted(log, log.node(parent).children.filter(isAmong), this.shape);
        orders.set(parent, new Map(siblings.map((sibling, at) => [sibling, at - (siblings.length - 1) / 2])));
      }
      return { id, parent: this.yOf(parent), spread: orders.get(parent).get(id) };
    });
  }

  /** Room for the mark of a fold, in the column after it. */
  #room(id) {
    return { id: null, parent: this.yOf(id), spread: 0 };
  }

  #place(wishes, column) {
    wishes.sort((a, b) => a.parent - b.parent || a.spread - b.spread);
    const taken = (this.taken[column] ??= []);
    const ids = (this.columns[column] ??= []);
    const wanted = wishes.map(({ parent, spread }) => parent + spread);
    const placed = taken.length ? wanted.map((y) => reserve(y, taken)) : separate(gather(wanted));
    if (!taken.length) taken.push(...placed);
    wishes.forEach(({ id }, at) => {
      this.extent = [Math.min(this.extent[0], placed[at]), Math.max(this.extent[1], placed[at])];
      if (id === null) return;
      this.y[id] = placed[at];
      ids.push(id);
    });
  }

  #enter(log, id) {
    this.y[id] = NaN;
    this.column[id] = this.columnOf(log, id);
  }

  /** Know how far up, down and right the subtree of every placed node goes: `top`, `bottom` and `reach`, see `reaches`. */
  measure(log) {
    if (this.measured === this.y.length) return;
    this.measured = this.y.length;
    Object.assign(this, reaches(log, this, this.measured));
  }
}

/**
 * How far up (`top`), down (`bottom`, lanes) and right (`reach`, a column) the subtree of every shown node goes,
 * counting the first `numNodes` nodes. Children follow parents.
 */
export function reaches(log, layout, numNodes) {
  const { parents, depths } = facts(log);
  const top = new Float32Array(log.nodes.length);
  const bottom = new Float32Array(log.nodes.length);
  const reach = new Int32Array(log.nodes.length);
  for (let id = 0; id < numNodes; id++) {
    top[id] = bottom[id] = layout.y[id];
    reach[id] = depths[id] - layout.base + 1;
  }
  for (let id = numNodes - 1; id >= 0; id--) {
    const parent = parents[id];
    if (parent === PROMPT || Number.isNaN(layout.y[id])) continue;
    if (top[id] < top[parent]) top[parent] = top[id];
    if (bottom[id] > bottom[parent]) bottom[parent] = bottom[id];
    if (reach[id] > reach[parent]) reach[parent] = reach[id];
  }
  return { top, bottom, reach };
}

function reserve(wanted, taken) {
  const y = nearestFree(wanted, taken);
  taken.splice(rank(taken, y), 0, y);
  return y;
}
