// What is pointed at, pinned or focused, and what lights up with it everywhere. Pure functions.
//
// A subject names one thing: {kind: "node", id}, {kind: "slot", slot}, {kind: "cell", layer, slot},
// {kind: "layer", layer}, {kind: "step", step, mark?} or {kind: "path", path}; node -1 is the prompt's end. Where layers
// hold different tokens, slots without a layer are those of layer 0.

import { PROMPT } from "./log.js";

/** A node as a subject; null stays null. */
export function nodeSubject(id) {
  return id === null || id === undefined ? null : { kind: "node", id };
}

/** Whether both name the same thing. */
export function isSame(a, b) {
  if (!a || !b) return a === b;
  return a.kind === b.kind && a.id === b.id && a.slot === b.slot && a.layer === b.layer
    && a.step === b.step && a.path === b.path && a.mark === b.mark;
}

/**
 * What `subject` means at `state`: the one node, path, slot, layer and step it is (null, slots -1), the tree
 * nodes and the pool slots to light (slots null: dim nothing), and the live paths that hold it. Null where it
 * does not exist at that time.
 */
export function focusOn(log, state, subject) {
  if (!log || !subject) return null;
  return FOCUS[subject.kind](log, state, subject);
}

const FOCUS = {
  node: (log, state, subject) => onNode(log, state, subject, subject.id),
  slot: (log, state, subject) => onSlot(log, state, subject),
  cell: (log, state, subject) => {
    const focus = onSlot(log, state, subject, subject.layer);
    return focus && { ...focus, layer: subject.layer };
  },
  layer: (log, state, subject) => {
    if (subject.layer >= (state.memory?.layers.length ?? 0)) return null;
    return { ...nothing(subject), layer: subject.layer, slots: new Set(liveSlots(state)), paths: paths(state) };
  },
  step: (log, state, subject) => {
    const step = log.steps[subject.step];
    if (!step) return null;
    const wanted = subject.mark?.nodes ?? step.nodes.map((node) => node.id);
    const held = wanted.filter((id) => id !== PROMPT && state.holds(log.nodes[id].slot, id + 1));
    return {
      ...nothing(subject), step: subject.step, nodes: new Set(wanted),
      slots: held.length ? new Set(held.map((id) => log.nodes[id].slot)) : null,
      paths: subject.mark?.paths ?? [...step.paths],
    };
  },
  path: (log, state, subject) => {
    const row = state.rows.find((one) => one.path === subject.path && !state.isOver);
    const id = row?.node ?? newest(log, state, subject.path);
    return id === null ? null : { ...onNode(log, state, subject, id), path: subject.path, slot: -1 };
  },
};

function onNode(log, state, subject, id) {
  if (id !== PROMPT && !(id < state.numNodes)) return null;
  const ids = id === PROMPT ? [] : log.lineage(id);
  const slots = new Set();
  log.prompt.slice(0, state.numPrompt).forEach(({ slot }, at) => state.holds(slot, -(at + 1)) && slots.add(slot)); // some may have left
  for (const at of ids) if (state.holds(log.nodes[at].slot, at + 1)) slots.add(log.nodes[at].slot);
  const own = id !== PROMPT && state.holds(log.nodes[id].slot, id + 1) ? log.nodes[id].slot : -1;
  return {
    ...nothing(subject), node: id, slot: own, nodes: new Set(id === PROMPT ? [PROMPT] : ids),
    slots: slots.size ? slots : null, paths: through(log, state, id),
  };
}

function onSlot(log, state, subject, layer = 0) {
  const token = state.tokensOf(layer)[subject.slot] ?? 0;
  if (!token) return null;
  const holder = onNode(log, state, subject, token > 0 ? token - 1 : PROMPT);
  if (token < 0 && -token < log.prompt.length) holder.node = null; // nothing was decided after this prompt token
  const slots = new Set([subject.slot]);
  const rows = state.rows.filter((row) => state.sees(row, subject.slot, layer));
  return { ...holder, slot: subject.slot, slots, paths: rows.map((row) => row.path) };
}

function nothing(subject) {
  return { subject, node: null, path: null, slot: -1, layer: null, step: null, nodes: new Set(), slots: null, paths: [] };
}

function paths(state) {
  return state.isOver ? [] : state.rows.map((row) => row.path);
}

/** Live paths whose text runs through node `id`. */
function through(log, state, id) {
  if (id === PROMPT || state.isOver) return paths(state);
  return state.rows.filter((row) => {
    let at = row.node;
    while (at > id) at = log.nodes[at].parent; // parents are older than their children
    return at === id;
  }).map((row) => row.path);
}

function liveSlots(state) {
  const slots = [];
  state.refs.forEach((refs, slot) => refs && slots.push(slot));
  return slots;
}

/** The newest node of a path that has ended, at the cursor; null before its first one. */
function newest(log, state, path) {
  for (let id = state.numNodes - 1; id >= 0; id--) if (log.nodes[id].path === path) return id;
  return null;
}
