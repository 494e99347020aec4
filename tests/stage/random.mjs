// Runs drawn at random, with a pool, and beside each step what a reader must find there: kept as plain
// sets while the run is made, so that it shares no code with what is tested.

import { decision, memory, node, step } from "./traces.mjs";

/** Numbers in [0, 1) that are the same for the same seed. */
export function numbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * `{steps, wanted}` of a run of at most `width` paths: they fork, finish and are pruned as drawn.
 * `wanted[i]`: `{rows: [{path, node, slots}], holders: Map slot -> token, dead: Set of node ids}` after step i (nothing
 * where `checked` is false: big runs).
 */
export function drawn(seed, { depths = 40, width = 8, prompt = 2, fork = 0.3, finish = 0.03, checked = true } = {}) {
  const random = numbers(seed);
  const steps = [];
  const wanted = [];
  const run = { rows: [{ path: 0, node: -1, slots: new Set() }], holders: new Map(), nodes: [], paths: 1, low: 0 };
  for (let index = 0; index < depths && run.rows.length; index++) {
    const slots = write(run, index, prompt);
    const before = snapshot(run);
    const made = decide(run, { random, width, fork, finish, isLast: index === depths - 1 });
    const used = new Set(run.rows.flatMap((row) => [...row.slots]));
    const freed = [...run.holders.keys()].filter((slot) => run.rows.length && !used.has(slot));
    const sizes = run.rows.length ? run.rows.map((row) => row.slots.size) : before.rows.map((row) => row.slots.size);
    for (const slot of freed) run.holders.delete(slot);
    run.low = Math.min(run.low, ...freed); // no free slot below it
    const capacity = Math.max(8, 2 ** Math.ceil(Math.log2(Math.max(0, ...run.holders.keys(), ...slots) + 1)));
    const held = { ...memory(run.holders.size, sizes.reduce((sum, size) => sum + size, 0)), capacity };
    steps.push(step(index, { phase: index ? "decode" : "prefill", ...made, slots, freed, memory: held, memory_forward: held }));
    if (checked) wanted.push({ ...(run.rows.length ? snapshot(run) : before), dead: deadOf(run.nodes) });
  }
  return { steps, wanted };
}

function write(run, index, prompt) {
  const taken = [];
  const put = (token, rows) => {
    let slot = run.low;
    while (run.holders.has(slot)) slot += 1;
    run.low = slot;
    run.holders.set(slot, token);
    rows.forEach((row) => row.slots.add(slot));
    taken.push(slot);
  };
  if (index === 0) for (let at = 0; at < prompt; at++) put(-(at + 1), run.rows);
  else for (const row of run.rows) put(row.node + 1, [row]);
  return taken;
}

function decide(run, { random, width, fork, finish, isLast }) {
  const made = { paths: [], parents: [], decisions: [], nodes: [], forks: [], ends: [] };
  const next = [];
  run.rows.forEach((row, at) => {
    const factor = random() < fork ? 2 + Math.floor(random() * 2) : 1;
    const paths = factor === 1 ? [row.path] : Array.from({ length: factor }, () => run.paths++);
    made.decisions.push(decision(row.path, row.node, factor, random()));
    if (factor > 1) made.forks.push({ path: row.path, children: paths });
    for (const path of paths) {
      const id = run.nodes.length;
      run.nodes.push({ parent: row.node, isPruned: false });
      made.nodes.push(node(id, row.node, path, ` w${id}`));
      const status = isLast ? "length" : random() < finish ? "finished" : null;
      if (status) made.ends.push({ path, node: id, status });
      else next.push({ path, node: id, slots: new Set(row.slots), parent: at, rank: random() });
    }
  });
  const kept = new Set([...next].sort((a, b) => a.rank - b.rank).slice(0, width));
  for (const row of next.filter((one) => !kept.has(one))) {
    made.ends.push({ path: row.path, node: row.node, status: "pruned" });
    run.nodes[row.node].isPruned = true;
  }
  run.rows = next.filter((row) => kept.has(row));
  made.paths = run.rows.map((row) => row.path);
  made.parents = run.rows.map((row) => row.parent);
  return made;
}

function snapshot({ rows, holders }) {
  const copies = rows.map(({ path, node: at, slots }) => ({ path, node: at, slots: [...slots].sort((a, b) => a - b) }));
  return { rows: copies, holders: new Map(holders) };
}

/** Ids of nodes all of whose leaves were pruned, by asking every leaf. */
function deadOf(nodes) {
  const inner = new Set(nodes.map(({ parent }) => parent));
  const alive = new Set();
  nodes.forEach(({ isPruned }, id) => {
    if (inner.has(id) || isPruned) return;
    for (let at = id; at >= 0; at = nodes[at].parent) alive.add(at);
  });
  return new Set(nodes.map((_, id) => id).filter((id) => !alive.has(id)));
}
