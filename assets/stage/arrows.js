// Where the arrow keys lead in a tree that is laid out. Pure.

import { placedOf } from "./sight.js";

/**
 * The node that an arrow key leads to from `id` (null: the root): its parent, its first child, or its neighbour in
 * the same column. The node itself where there is none; null for another key. The first child of a fold is one
 * that is not shown: the key unfolds. `numNodes`: how many nodes are there.
 */
export function arrow(key, log, layout, numNodes, id) {
  const from = placedOf(log, layout, id ?? layout.root);
  return ARROWS[key]?.(log, layout, numNodes, from) ?? null;
}

const ARROWS = {
  ArrowLeft: (log, layout, numNodes, from) => (from === layout.root ? from : log.nodes[from].parent),
  ArrowRight: (log, layout, numNodes, from) => {
    const isFold = layout.shape.collapsed.has(from);
    const isOpen = (id) => id < numNodes && (isFold || !Number.isNaN(layout.y[id]));
    return log.node(from).children.find(isOpen) ?? from;
  },
  ArrowUp: (log, layout, numNodes, from) => beside(log, layout, numNodes, from, -1),
  ArrowDown: (log, layout, numNodes, from) => beside(log, layout, numNodes, from, 1),
};

/** The nearest node above (-1) or below (1) in the same column. */
function beside(log, layout, numNodes, from, way) {
  const far = (id) => (layout.yOf(id) - layout.yOf(from)) * way;
  const column = from === layout.root ? [] : layout.columns[layout.columnOf(log, from) - 1];
  return column.reduce((best, id) => (
    id < numNodes && far(id) > 0 && (best === from || far(id) < far(best)) ? id : best), from);
}
