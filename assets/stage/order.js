// In what order slots are shown: as the pool numbers them, or by path. Pure functions.

import { PROMPT } from "./log.js";

const SIZES = [22, 18, 15, 13, 11, 9, 8, 7, 6, 5, 4, 3, 2]; // pixels of a cell: few steps, so that the map seldom jumps
const LABELLED = 7; // pixels of the smallest cell that leaves room for labels

/**
 * The slots by path: `[{kind, label, path, slots}]`, kind "prompt", then "shared" segments in tree order, then
 * each live path's own slots ("path"), then those that are "free". Every slot is in exactly one of them.
 */
export function byPath(log, state) {
  const { tokens, refs, capacity } = state;
  const prompt = [];
  const shared = [];
  const free = [];
  for (let slot = 0; slot < capacity; slot++) {
    if (!tokens[slot]) free.push(slot);
    else if (tokens[slot] < 0) prompt.push(slot);
    else if (refs[slot] > 1) shared.push(tokens[slot] - 1);
  }
  prompt.sort((a, b) => tokens[b] - tokens[a]);
  return [
    ...(prompt.length ? [{ kind: "prompt", label: "prompt", path: null, slots: prompt }] : []),
    ...sharedSegments(log, refs, shared),
    ...state.rows.map((row) => ({ kind: "path", label: `p${row.path}`, path: row.path, slots: own(log, state, row) }))
      .filter(({ slots }) => slots.length),
    ...(free.length ? [{ kind: "free", label: "free", path: null, slots: free }] : []),
  ];
}

/** Runs of shared tokens that the same number of paths sees, each below the one it continues. */
function sharedSegments(log, refs, ids) {
  const held = new Set(ids);
  const segments = [];
  const waiting = ids.filter((id) => !held.has(log.nodes[id].parent)).reverse();
  let before = null;
  while (waiting.length) {
    const id = waiting.pop();
    const { slot, parent, children } = log.nodes[id];
    const count = refs[slot];
    const last = segments.at(-1);
    if (last && parent === before && last.count === count) last.slots.push(slot);
    else segments.push({ kind: "shared", label: `×${count}`, path: null, count, slots: [slot] });
    before = id;
    waiting.push(...children.filter((child) => held.has(child)).reverse());
  }
  return segments;
}

/** Slots that `row` alone sees, oldest first. */
function own(log, state, row) {
  const slots = [];
  for (let id = row.node; id !== PROMPT; id = log.nodes[id].parent) {
    const { slot } = log.nodes[id];
    if (!state.holds(slot, id + 1)) continue; // not stored yet
    if (state.refs[slot] !== 1) break;
    slots.push(slot);
  }
  return slots.reverse();
}

/** Slots in their own order, on a grid: `{cell, columns, at(slot), slotAt(x, y)}` in pixels. */
export function inRows(slots, { cell, columns }) {
  return {
    cell,
    columns,
    labels: [],
    order: null,
    at: (slot) => [(slot % columns) * cell, Math.floor(slot / columns) * cell],
    slotAt: (x, y) => {
      const column = Math.floor(x / cell);
      const slot = Math.floor(y / cell) * columns + column;
      return column >= 0 && column < columns && slot >= 0 && slot < slots ? slot : null;
    },
  };
}

/** Segments one after another, each behind its label, with the largest cell with which all fit. */
export function inSegments(segments, width, height) {
  const slots = segments.reduce((sum, segment) => sum + segment.slots.length, 0);
  const fits = SIZES.find((cell) => Math.ceil(flow(segments, width, cell).end / Math.max(1, Math.floor(width / cell))) * cell <= height);
  const cell = fits ?? SIZES.at(-1);
  const { labels, cells } = flow(segments, width, cell);
  const columns = Math.max(1, Math.floor(width / cell));
  const place = new Map(cells);
  const found = new Map(cells.map(([slot, at]) => [at, slot]));
  return {
    cell,
    columns,
    labels: labels.map(({ at, ...label }) => ({ ...label, x: (at % columns) * cell, y: Math.floor(at / columns) * cell })),
    order: cells.map(([slot]) => slot),
    at: (slot) => {
      const at = place.get(slot) ?? slots;
      return [(at % columns) * cell, Math.floor(at / columns) * cell];
    },
    slotAt: (x, y) => {
      const column = Math.floor(x / cell);
      if (column < 0 || column >= columns) return null;
      return found.get(Math.floor(y / cell) * columns + column) ?? null;
    },
  };
}

/** Which cell of a grid every slot and label takes; a label and its first slot stay on one line. */
function flow(segments, width, cell) {
  const columns = Math.max(1, Math.floor(width / cell));
  const cells = [];
  const labels = [];
  let at = 0;
  for (const segment of segments) {
    if (at % columns && segments.length > 1) at += 1; // a gap
    const room = cell >= LABELLED ? Math.ceil((segment.label.length * 6.2 + 5) / cell) : 0;
    if (room && (at % columns) + room >= columns) at = Math.ceil(at / columns) * columns;
    if (room) labels.push({ at, text: segment.label, path: segment.path, kind: segment.kind });
    at += room;
    for (const slot of segment.slots) cells.push([slot, at++]);
  }
  return { cells, labels, end: at };
}

/** The slot that an arrow key leads to from `slot`: along the order, or to the line above or below. */
export function neighbour(layout, capacity, slot, key) {
  const along = { ArrowLeft: -1, ArrowRight: 1 }[key];
  if (along) {
    if (!layout.order) return Math.max(0, Math.min(capacity - 1, slot + along));
    const at = layout.order.indexOf(slot) + along;
    return layout.order[Math.max(0, Math.min(layout.order.length - 1, at))];
  }
  const way = key === "ArrowUp" ? -1 : 1;
  const [x, y] = layout.at(slot);
  const middle = layout.cell / 2;
  for (let off = 0; off < layout.columns; off++) {
    for (const side of off ? [-off, off] : [0]) {
      const found = layout.slotAt(x + side * layout.cell + middle, y + way * layout.cell + middle);
      if (found !== null) return found;
    }
  }
  return slot;
}

/** `[{slot, step}]`: where each chunk of the pool begins and at which step it came, up to `cursor`. */
export function chunks(log, cursor) {
  const found = [];
  let before = 0;
  for (let at = 0; at <= cursor && at < log.length; at++) {
    const { capacity } = log.steps[at].memory;
    if (capacity > before) {
      found.push({ slot: before, step: at });
      before = capacity;
    }
  }
  return found;
}
