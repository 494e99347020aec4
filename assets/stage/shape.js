// What of a tree is shown, and in what order; and how much of the run lies below each node. No DOM.
// Paths may be thousands of tokens deep: nothing here calls itself. A parent's id is lower than its children's.

import { PROMPT } from "./log.js";

export const SORTS = ["created", "probable"];

/** What people did to the picture of one run: folded, hoisted, hid, sorted, marked. */
export class Shape {
  constructor() {
    this.version = 0; // grows with every change of what is shown or in what order
    this.reset();
  }

  reset() {
    this.collapsed = new Set(); // nodes whose descendants are folded away
    this.hoisted = PROMPT; // the node that is shown as the root
    this.hidesPruned = false;
    this.sort = "created";
    this.bookmarks = new Set();
    this.found = new Set(); // nodes that the search marked
    this.version += 1;
  }

  /** Nothing is folded, hoisted, hidden or sorted anew: the tree as it grew. */
  get isPlain() {
    return !this.collapsed.size && this.hoisted === PROMPT && !this.hidesPruned && this.sort === "created";
  }

  collapse(id, isCollapsed = true) {
    if (this.collapsed.has(id) === isCollapsed) return;
    if (isCollapsed) this.collapsed.add(id);
    else this.collapsed.delete(id);
    this.version += 1;
  }

  expandAll() {
    if (!this.collapsed.size) return;
    this.collapsed.clear();
    this.version += 1;
  }

  /** Show `id` as the root; `PROMPT` shows all again. A folded node is unfolded: there would be nothing to see. */
  hoist(id) {
    if (id === this.hoisted) return;
    this.hoisted = id;
    this.collapsed.delete(id);
    this.version += 1;
  }

  hidePruned(hides) {
    if (hides === this.hidesPruned) return;
    this.hidesPruned = hides;
    this.version += 1;
  }

  sortBy(sort) {
    if (sort === this.sort) return;
    this.sort = sort;
    this.version += 1;
  }

  bookmark(id, isMarked = !this.bookmarks.has(id)) {
    if (isMarked) this.bookmarks.add(id);
    else this.bookmarks.delete(id);
  }

  find(ids) {
    this.found = new Set(ids);
  }

  /** Undo as little as needed for `id` to be shown. Whether anything had to change. */
  reveal(log, id) {
    const before = this.version;
    let at = id;
    while (at !== this.hoisted && at !== PROMPT) {
      at = log.nodes[at].parent;
      this.collapse(at, false);
    }
    if (at !== this.hoisted) this.hoist(PROMPT);
    if (this.hidesPruned && id !== PROMPT && pruned(log)[id]) this.hidePruned(false);
    return this.version !== before;
  }
}

/** [nodes] 1 where every path through the node has been pruned, as far as the run is known. */
export function pruned(log) {
  return remembered(log, "pruned", log.length, () => log.dead(log.length - 1));
}

/** [nodes] 1 where `shape` shows the node (whenever it was made). The hoisted node itself is shown. */
export function shownNodes(log, shape) {
  const shown = new Uint8Array(log.nodes.length);
  const gone = shape.hidesPruned ? pruned(log) : null;
  const all = shape.hoisted === PROMPT;
  log.nodes.forEach(({ parent }, id) => {
    const isReached = parent === PROMPT ? all && !shape.collapsed.has(PROMPT)
      : shown[parent] === 1 && !shape.collapsed.has(parent);
    shown[id] = Number(id === shape.hoisted || (isReached && !gone?.[id]));
  });
  return shown;
}

/** `ids` (children of one node) in the order of `shape`. */
export function sorted(log, ids, shape) {
  if (shape.sort !== "probable" || ids.length < 2) return ids;
  return [...ids].sort((a, b) => log.nodes[b].prob - log.nodes[a].prob || a - b);
}

/** Children of `id` that `shape` shows at `cursor`, in its order. `shown`: see `shownNodes`. */
export function childrenOf(log, id, shape, cursor, shown = shownNodes(log, shape)) {
  return sorted(log, log.node(id).children.filter((child) => shown[child] && log.nodes[child].step <= cursor), shape);
}

/** Ids of what is shown at `cursor`, as one reads: a node before its children, a child's all before the next child. */
export function reading(log, shape, cursor) {
  const shown = shownNodes(log, shape);
  const ids = [];
  const stack = [shape.hoisted];
  while (stack.length) {
    const id = stack.pop();
    if (id !== PROMPT && log.nodes[id].step <= cursor) ids.push(id);
    stack.push(...childrenOf(log, id, shape, cursor, shown).reverse());
  }
  return ids;
}

/**
 * [nodes] Share of the run's probability mass that runs through each node at `cursor`; 0 where the node is not
 * there yet. The prompt's end has mass 1. A node's mass is divided among the children it has at the cursor in
 * proportion to their `prob`: mass(child) = mass(parent) * prob(child) / sum of prob over its siblings and itself.
 * Samples that drew the same token are siblings like any other, each with its own part. It is mass *within the
 * run*: of what was explored, pruned paths included, not of everything the model could have said.
 */
export function masses(log, cursor) {
  return remembered(log, "masses", `${cursor} ${log.length}`, () => {
    const { parents, probs } = facts(log);
    const there = lastNode(log, cursor);
    const sums = new Float64Array(there + 1); // by parent + 1
    const born = new Int32Array(there + 1); // children, for those whose prob is 0 throughout
    for (let id = 0; id < there; id++) {
      sums[parents[id] + 1] += probs[id];
      born[parents[id] + 1] += 1;
    }
    const mass = new Float64Array(log.nodes.length);
    for (let id = 0; id < there; id++) {
      const parent = parents[id];
      const whole = sums[parent + 1];
      mass[id] = (parent === PROMPT ? 1 : mass[parent]) * (whole > 0 ? probs[id] / whole : 1 / born[parent + 1]);
    }
    return mass;
  });
}

/** [nodes] How many nodes the subtree of each holds at `cursor`, itself included; 0 where it is not there yet. */
export function counts(log, cursor) {
  return remembered(log, "counts", `${cursor} ${log.length}`, () => {
    const { parents } = facts(log);
    const count = new Int32Array(log.nodes.length);
    for (let id = lastNode(log, cursor) - 1; id >= 0; id--) {
      count[id] += 1;
      if (parents[id] !== PROMPT) count[parents[id]] += count[id];
    }
    return count;
  });
}

/** How many nodes there are at `cursor`: ids are given in the order of steps. */
function lastNode(log, cursor) {
  let low = 0;
  let high = log.nodes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (log.nodes[middle].step <= cursor) low = middle + 1;
    else high = middle;
  }
  return low;
}

const columns = new WeakMap(); // log -> {known, parents, probs, depths}

/** What is asked of every node in every frame, side by side: [nodes] `parents`, `probs`, `depths`. */
export function facts(log) {
  let kept = columns.get(log);
  if (!kept || kept.parents.length < log.nodes.length) {
    const room = 2 * log.nodes.length + 64;
    const grown = { known: 0, parents: new Int32Array(room), probs: new Float64Array(room), depths: new Int32Array(room) };
    columns.set(log, (kept = grown));
  }
  for (; kept.known < log.nodes.length; kept.known++) {
    const { parent, prob, depth } = log.nodes[kept.known];
    kept.parents[kept.known] = parent;
    kept.probs[kept.known] = prob;
    kept.depths[kept.known] = depth;
  }
  return kept;
}

const memory = new WeakMap(); // log -> name -> {key, value}: several views ask for the same in one frame

function remembered(log, name, key, make) {
  if (!memory.has(log)) memory.set(log, {});
  const kept = memory.get(log);
  if (kept[name]?.key !== key) kept[name] = { key, value: make() };
  return kept[name].value;
}
