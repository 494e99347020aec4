// The figures of a run, read off its log alone: what explorer/metrics.py says, to the number. Pure.

import { series } from "./memory.js";

const PEAKS = ["unique_kv_tokens", "logical_kv_tokens", "kv_nbytes", "kv_live_nbytes", "kv_logical_nbytes"];

/** `[{path, node, status}]` of the paths a run returned, by path; those still alive count as cancelled. */
export function leaves(log) {
  const ends = new Map(log.ends.map((end) => [end.path, end.status]));
  const alive = (log.steps.at(-1)?.paths ?? []).filter((path) => log.lastOf.has(path));
  const paths = [...new Set([...ends.keys(), ...alive])].sort((a, b) => a - b);
  return paths.map((path) => ({ path, node: log.lastOf.get(path), status: ends.get(path) ?? "cancelled" }))
    .filter(({ status }) => status !== "pruned");
}

/** Tokens of the returned paths, each path counted whole. */
export function generatedTokens(log) {
  return leaves(log).reduce((sum, { node }) => sum + log.node(node).depth + 1, 0);
}

/** `1 - unique / logical`: the part of the paths' tokens that sharing saves; 0 if nothing is. */
export function sharing(memory) {
  return memory.logical_kv_tokens ? 1 - memory.unique_kv_tokens / memory.logical_kv_tokens : 0;
}

/** Counts over the run, and peaks over its steps. Lengths in tokens, `nbytes` in bytes. */
export function counters(log) {
  const { steps } = log;
  const most = (pick) => steps.reduce((top, step) => Math.max(top, pick(step.memory_forward), pick(step.memory)), 0);
  return {
    steps: steps.length,
    forks: log.forks.length,
    pruned: log.ends.filter((end) => end.status === "pruned").length,
    generated_tokens: generatedTokens(log),
    forward_token_steps: steps.reduce((sum, step) => sum + step.positions + (step.encoded ?? 0), 0),
    sharing_peak: most(sharing),
    ...Object.fromEntries(PEAKS.map((name) => [`${name}_peak`, most((memory) => memory[name])])),
    peak_memory_nbytes: steps.reduce((top, step) => Math.max(top, step.peak_memory_nbytes), 0),
  };
}

/** Seconds in prefill and decode passes, outside them, in all, and to the first token. */
export function secondsOf(log) {
  const spent = { prefill: 0, decode: 0, overhead: 0, total: 0, first_token: 0 };
  for (const step of log.steps) {
    spent[step.phase] += step.seconds;
    spent.overhead += step.overhead_seconds;
    spent.total += step.seconds + step.overhead_seconds;
    if (!spent.first_token && step.nodes.length) spent.first_token = spent.total;
  }
  return spent;
}

/** A finished run as `run --json` prints it, with the number of paths in the place of their texts. */
export function resultOf(log) {
  const { config, model, software } = log.header;
  const counted = counters(log);
  const spent = secondsOf(log);
  const rate = (tokens) => (spent.total ? tokens / spent.total : 0);
  return {
    run: {
      backend: config.cache.backend, model: model.name, device: model.device, dtype: model.dtype,
      seed: config.sampling.seed, version: software.explorer ?? "",
    },
    paths: leaves(log).length,
    counters: counted,
    seconds: spent,
    tokens_per_second: { generated: rate(counted.generated_tokens), computed: rate(counted.forward_token_steps) },
  };
}

/**
 * A promise of the tree's SHA-256 (hex) over every node's parent and token in order of creation, and every
 * path's end: the `tree_digest` of the command line. null where the browser offers no SHA-256 (no https).
 */
export async function digestOf(log) {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) return null;
  const tree = log.nodes.map((node) => [node.parent, node.token]);
  const ends = log.ends.map((end) => [end.node, end.status])
    .sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : Number(a[1] > b[1])));
  const hash = await subtle.digest("SHA-256", new TextEncoder().encode(JSON.stringify([tree, ends])));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Tokens chosen after each step, pruned ones too; and the larger of a step's two measurements of bytes. */
export function curvesOf(log) {
  let chosen = 0;
  const { allocated, unique: used, logical } = series(log);
  return { chosen: log.steps.map((step) => (chosen += step.nodes.length)), allocated, used, logical };
}

/** Whether the run grows one tree; naive draws samples one after another. */
export function isTree(log) {
  return log.header.config.cache.backend !== "naive";
}
