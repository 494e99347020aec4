// Runs with evictions drawn at random, and beside each step what a reader must find there, layer by layer: kept as
// plain maps while the run is made, so that it shares no code with what is tested.

import { numbers } from "./random.mjs";
import { decision, memory, node, step } from "./traces.mjs";

/**
 * `{header, steps, wanted}` of a run over `layers` layers whose paths fork, end and lose slots as drawn: after each pass
 * a path sees at most `budget` slots in a layer. `wanted[i]`: `{rows: [{path, node, layers: [Map slot -> token]}],
 * gone: [{layer, token, paths}]}` after step i.
 */
export function evicting(seed, { layers = 3, depths = 24, width = 4, prompt = 9, chunk = 4, budget = 6, together = false } = {}) {
  const random = numbers(seed);
  const empty = () => Array.from({ length: layers }, () => new Map());
  const run = { rows: [{ path: 0, node: -1, layers: empty() }], held: empty(), nodes: 0, paths: 1, isSplit: false };
  const steps = [];
  const wanted = [];
  for (let read = 0, index = 0; run.rows.length && index < depths; index++) {
    const isPrompt = read < prompt;
    const tokens = isPrompt ? Array.from({ length: Math.min(chunk, prompt - read) }, (_, at) => -(read + at + 1)) : run.rows.map((row) => row.node + 1);
    read += isPrompt ? tokens.length : 0;
    const slots = write(run, tokens, isPrompt);
    const lost = evict(run, { random, budget, together });
    const before = snapshot(run);
    const made = isPrompt && read < prompt ? { paths: [0], parents: [0] } : decide(run, { random, width, isLast: index === depths - 1 });
    const freed = free(run);
    const same = (all) => all.every((one) => String(one) === String(all[0]));
    if (!same(slots) || !same(freed) || lost.evictions.length) run.isSplit = true;
    const byLayer = run.isSplit ? { layer_slots: slots, layer_freed: freed } : {};
    const capacity = 8 * Math.ceil((1 + Math.max(0, ...slots.flat(), ...run.held.flatMap((held) => [...held.keys()]))) / 8);
    run.capacity = Math.max(run.capacity ?? 0, capacity);
    const held = { ...memory(run.held[0].size, 0), capacity: run.capacity, layers: run.held.map((one) => one.size) };
    steps.push(step(index, {
      phase: isPrompt ? "prefill" : "decode", ...made, slots: slots[0], freed: freed[0], ...byLayer, evictions: lost.evictions, memory: held, memory_forward: held,
    }));
    wanted.push({ ...(run.rows.length ? snapshot(run) : before), gone: lost.gone });
  }
  return { steps, wanted };
}

function write(run, tokens, isPrompt) {
  return run.held.map((held, layer) => tokens.map((token, at) => {
    let slot = 0;
    while (held.has(slot)) slot += 1;
    held.set(slot, token);
    for (const row of isPrompt ? run.rows : [run.rows[at]]) row.layers[layer].set(slot, token);
    return slot;
  }));
}

/** Each path over its budget in a layer loses slots drawn there; `together`: the same of all layers. */
function evict(run, { random, budget, together }) {
  const evictions = [];
  const gone = [];
  const draws = run.rows.map(() => random());
  run.held.forEach((held, layer) => {
    const lost = new Map();
    run.rows.forEach((row, at) => {
      const own = row.layers[layer];
      while (own.size > budget) {
        const slot = [...own.keys()][Math.floor((together ? draws[at] : random()) * own.size)];
        own.delete(slot);
        lost.set(slot, [...(lost.get(slot) ?? []), row.path]);
      }
    });
    if (!lost.size) return;
    const slots = [...lost.keys()];
    for (const slot of slots) gone.push({ layer, token: held.get(slot), paths: lost.get(slot) });
    const each = (value) => slots.map(() => value);
    evictions.push({
      layer, slots, paths: [...lost.values()], positions: each(0), tokens: each(0), texts: each(" w"), scores: each(0.5), exact: each(null), ranks: each(1),
      kept: each(0.75), reasons: each("drawn"),
    });
  });
  return { evictions, gone };
}

function decide(run, { random, width, isLast }) {
  const made = { paths: [], parents: [], decisions: [], nodes: [], forks: [], ends: [] };
  const next = [];
  run.rows.forEach((row, at) => {
    const factor = random() < 0.25 ? 2 : 1;
    const paths = factor === 1 ? [row.path] : [run.paths++, run.paths++];
    made.decisions.push({ ...decision(row.path, row.node, factor, random()), kl: random() });
    if (factor > 1) made.forks.push({ path: row.path, children: paths });
    for (const path of paths) {
      const id = run.nodes++;
      made.nodes.push(node(id, row.node, path, ` w${id}`));
      if (isLast || next.length >= width) made.ends.push({ path, node: id, status: isLast ? "length" : "pruned" });
      else next.push({ path, node: id, parent: at, layers: row.layers.map((own) => new Map(own)) });
    }
  });
  run.rows = next;
  made.paths = next.map((row) => row.path);
  made.parents = next.map((row) => row.parent);
  return made;
}

/** Slots that no path sees any more, by layer; none where all paths have ended. */
function free(run) {
  return run.held.map((held, layer) => {
    const freed = [...held.keys()].filter((slot) => run.rows.length && !run.rows.some((row) => row.layers[layer].has(slot)));
    for (const slot of freed) held.delete(slot);
    return freed;
  });
}

function snapshot({ rows }) {
  return { rows: rows.map(({ path, node: at, layers }) => ({ path, node: at, layers: layers.map((own) => new Map(own)) })) };
}
