// Traces for the tests: those that the page plays, and one small one by hand.

import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const folder = process.env.FORKSCOPE_TRACES ?? join(here, "../../assets/traces");

/** `[name, text]` of every recorded run. */
export const recorded = readdirSync(folder)
  .filter((name) => name.endsWith(".jsonl"))
  .map((name) => [name, readFileSync(join(folder, name), "utf8")]);

/**
 * Runs of every backend by its name, small and real: forks, prunes, samples, and a prompt that is read in chunks of 4.
 * Made by `python -m explorer run --prompt "Once upon a time, a little" --max-new-tokens 7 --max-paths 5
 * --branch-factor 3 --entropy-threshold 0.12 --prefill-chunk 4 --num-samples 3 --num-candidates 1 --seed 3
 * --backend NAME --trace tests/stage/backends/NAME.jsonl`.
 */
export const backends = new Map(["cow", "batched", "deepcopy", "recompute", "naive"].map((name) => (
  [name, readFileSync(join(here, "backends", `${name}.jsonl`), "utf8")])));

export const header = {
  format: "forkscope-trace", version: 1, software: {}, created: "2026-01-01T00:00:00+00:00",
  config: { branching: { entropy_threshold: 0.2 }, cache: { backend: "cow" }, sampling: { seed: 0 } },
  model: { name: "by-hand", architecture: "ByHand", num_parameters: 1, kv_nbytes_per_token: 64 },
  prompt: [{ token: 0, text: "Once", raw: "Once" }, { token: 1, text: " upon", raw: "_upon" }],
};

export function memory(unique, logical, shared = 0) {
  return {
    unique_kv_tokens: unique, logical_kv_tokens: logical, shared_kv_tokens: shared,
    private_kv_tokens: unique - shared, capacity: 8, high_water: unique, kv_nbytes: 512,
    kv_live_nbytes: unique * 64, kv_logical_nbytes: logical * 64, layers: [unique, unique],
  };
}

export function node(id, parent, path, text) {
  return { id, parent, path, token: id + 3, text, raw: text, prob: 0.5, raw_prob: 0.25, logprob: -1, raw_logprob: -2, perturbed: null };
}

export function decision(path, at, factor, h) {
  return { path, node: at, entropy: h * 2, normalized_entropy: h, raw_entropy: h * 3, factor, candidates: [] };
}

export function step(index, parts) {
  return {
    index, phase: "decode", positions: 1, seconds: 0, overhead_seconds: 0, paths: [], parents: [], decisions: [],
    nodes: [], forks: [], ends: [], slots: [], freed: [], memory_forward: memory(0, 0), memory: memory(0, 0),
    peak_memory_nbytes: 0, ...parts,
  };
}

//   Once upon -+- a (node 0, path 1) ----- . (2, finished)
//              +- b (node 1, path 2) -+-- c (3, path 3, goes on)
//                                     +-- d (4, path 4, pruned)
export const byHand = [
  step(0, {
    phase: "prefill", positions: 2, paths: [1, 2], parents: [0, 0], decisions: [decision(0, -1, 2, 0.5)],
    nodes: [node(0, -1, 1, " a"), node(1, -1, 2, " b")], forks: [{ path: 0, children: [1, 2] }],
    slots: [0, 1], memory: memory(2, 4, 2),
  }),
  step(1, {
    positions: 2, paths: [3], parents: [1], decisions: [decision(1, 0, 1, 0.1), decision(2, 1, 2, 0.75)],
    nodes: [node(2, 0, 1, "."), node(3, 1, 3, " c"), node(4, 1, 4, " d")], forks: [{ path: 2, children: [3, 4] }],
    ends: [{ path: 1, node: 2, status: "finished" }, { path: 4, node: 4, status: "pruned" }],
    slots: [2, 3], freed: [2], memory: memory(3, 3),
  }),
  step(2, {
    paths: [3], parents: [0], decisions: [decision(3, 3, 1, 0.2)], nodes: [node(5, 3, 3, " e")],
    ends: [{ path: 3, node: 5, status: "length" }], slots: [2], memory: memory(4, 4),
  }),
];

/** A tree that forks everywhere: `depths` columns, at most `width` live paths, no pool. */
export function bushy(depths, width) {
  const steps = [];
  let rows = [{ path: 0, node: -1 }];
  let nodes = 0;
  let paths = 1;
  for (let index = 0; index < depths; index++) {
    const made = [];
    const next = [];
    const parents = [];
    const forks = [];
    rows.forEach((row, at) => {
      const factor = rows.length + forks.length < width && (index + at) % 2 === 0 ? 2 : 1;
      const children = factor === 1 ? [row.path] : [paths++, paths++];
      if (factor > 1) forks.push({ path: row.path, children });
      for (const path of children) {
        made.push(node(nodes, row.node, path, ` w${nodes}`));
        next.push({ path, node: nodes++ });
        parents.push(at);
      }
    });
    rows = next;
    steps.push(step(index, {
      phase: index ? "decode" : "prefill", paths: rows.map((row) => row.path), parents, nodes: made, forks,
    }));
  }
  return steps;
}
