// Predicted bytes: literals worked out by hand, counts against what the engine measured and against brute force.

import assert from "node:assert/strict";
import test from "node:test";

import { Log, parseTrace } from "../../assets/stage/log.js";
import { complaint, formula, nbytes, perToken, project, treeTokens } from "../../assets/stage/shapes.js";
import { byHand, bushy, header, recorded } from "./traces.mjs";

const LLAMA = { layers: 32, kv_heads: 8, head_dim: 128, dtype: "bfloat16", window: null, window_layers: 0, latent: null };
const OSS = { ...LLAMA, layers: 24, head_dim: 64, window: 128, window_layers: 12 };
const DEEPSEEK = { ...LLAMA, layers: 61, kv_heads: 128, latent: 576 };

function logOf(steps) {
  const log = new Log(header);
  steps.forEach((step) => log.append(step));
  return log;
}

test("bytes a token are those worked out by hand", () => {
  assert.equal(perToken(LLAMA), 131_072); // 2 x 32 x 8 x 128 x 2 = 128 KiB
  assert.equal(perToken({ ...LLAMA, dtype: "float32" }), 262_144);
  assert.equal(perToken({ ...LLAMA, dtype: "float8" }), 65_536);
  assert.equal(perToken(OSS), 49_152); // 2 x 24 x 8 x 64 x 2
  assert.equal(perToken(DEEPSEEK), 70_272); // 61 x (512 + 64) x 2
  assert.equal(formula(LLAMA), "32 layers × 2 × 8 KV heads × 128 × 2 B");
  assert.equal(formula(DEEPSEEK), "61 layers × 576 elements × 2 B");
});

test("layers with a sliding window keep its tokens, the others all", () => {
  assert.equal(nbytes(LLAMA, 1000, 128), 131_072_000);
  assert.equal(nbytes(OSS, 1000, 128), 12 * 2048 * 1000 + 12 * 2048 * 128); // 2 x 8 x 64 x 2 = 2048 B a layer
});

test("the tree written by hand: two prompt tokens, then what each step keeps", () => {
  const log = logOf(byHand);
  const { forward, after } = treeTokens(log);
  assert.deepEqual(forward, { unique: [2, 4, 4], logical: [2, 6, 4] });
  assert.deepEqual(after, { unique: [2, 3, 4], logical: [4, 3, 4] });
  const found = project(log, LLAMA, 1);
  assert.deepEqual(found.now, { copies: 3 * 131_072, sharing: 3 * 131_072 });
  assert.deepEqual(found.peak, { copies: 6 * 131_072, sharing: 4 * 131_072 });
  assert.equal(project(log, LLAMA, -1).now.copies, 0);
});

test("recorded runs: tokens counted off the tree are those that the engine measured, at every step", () => {
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    const { forward, after } = treeTokens(log);
    for (const step of log.steps) {
      const where = `${name} step ${step.index}`;
      assert.equal(forward.unique[step.index], step.memory_forward.unique_kv_tokens, where);
      assert.equal(forward.logical[step.index], step.memory_forward.logical_kv_tokens, where);
      if (!step.paths.length) continue;
      assert.equal(after.unique[step.index], step.memory.unique_kv_tokens, where);
      assert.equal(after.logical[step.index], step.memory.logical_kv_tokens, where);
    }
  }
});

/** Tokens of the last `window` positions that the paths of a step store after its decisions, by walking each path. */
function walked(log, index, window) {
  const step = log.steps[index];
  const held = new Set();
  let logical = 0;
  const last = new Map(step.nodes.map((node) => [node.path, node.id]));
  for (const path of step.paths) {
    const line = log.lineage(last.get(path)).slice(0, -1);
    const all = [...log.prompt.map((_, at) => `prompt ${at}`), ...line].slice(-window);
    all.forEach((token) => held.add(token));
    logical += all.length;
  }
  return [held.size, logical];
}

test("a window counts the last positions of every path: against a walk along each of them", () => {
  const traces = [...recorded.map(([name, text]) => parseTrace(text, name)), logOf([{ ...bushy(1, 2)[0], positions: 2 }, ...bushy(80, 12).slice(1)])];
  for (const log of traces) {
    for (const window of [1, 5, 17, 4096]) {
      const { after } = treeTokens(log, window);
      for (let index = 0; index < log.length; index++) {
        if (!log.steps[index].paths.length) continue;
        assert.deepEqual([after.unique[index], after.logical[index]], walked(log, index, window), `window ${window} step ${index}`);
      }
    }
  }
});

test("counts grow with the log", () => {
  const [name, text] = recorded[0];
  const whole = parseTrace(text, name);
  const growing = new Log(whole.header);
  for (const step of whole.steps) {
    growing.append(step);
    treeTokens(growing, 17);
  }
  assert.deepEqual(treeTokens(growing, 17).after, treeTokens(whole, 17).after);
});

test("a shape that cannot be is refused in one sentence", () => {
  assert.equal(complaint(LLAMA), null);
  assert.equal(complaint({ ...LLAMA, layers: 0 }), "Layers: give a whole number from 1 to 1000.");
  assert.equal(complaint({ ...LLAMA, kv_heads: 2.5 }), "KV heads: give a whole number from 1 to 1024.");
  assert.equal(complaint({ ...LLAMA, head_dim: NaN }), "Head size: give a whole number from 1 to 4096.");
});
