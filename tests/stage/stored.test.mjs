// Bytes on the page where slots do not all weigh the same: quantised storage, and layers that evict for themselves.
//
// The traces are real, made by `python -m explorer run --prompt "Once upon a time, a little girl named Lily found a big
// red box." --max-new-tokens 16 --max-paths 4 --branch-factor 2 --entropy-threshold 0.1 --seed 3 --num-candidates 1
// --num-evidence 0 ... --trace tests/stage/stored/NAME.jsonl` with, for int8, `--kv-dtype int8 --kv-group 8 --kv-recent 8`,
// for h2o, `--policy h2o --budget 24`, for aggregate (24 tokens) `--policy h2o --budget 24 --strategy aggregate --sinks 2
// --recent 4 --residual-entries 2`, and for mixed
// `--kv-dtype model,int8,int4,int4,adaptive --kv-group 8 --kv-recent 4 --policy h2o --budget 24`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { COLUMNS, captionOf } from "../../assets/stage/columns.js";
import { storedWords } from "../../assets/stage/facts.js";
import { bytes } from "../../assets/stage/format.js";
import { parseTrace } from "../../assets/stage/log.js";
import { series } from "../../assets/stage/memory.js";
import { ownership } from "../../assets/stage/owner.js";
import { focusOn } from "../../assets/stage/subject.js";
import { recorded } from "./traces.mjs";

const load = (name) => parseTrace(readFileSync(new URL(`stored/${name}.jsonl`, import.meta.url), "utf8"), name);
const RUNS = new Map(["int8", "h2o", "mixed", "aggregate"].map((name) => [name, load(name)]));

function about(log, cursor, subject) {
  const state = log.at(cursor);
  return ownership(log, state, focusOn(log, state, subject));
}

const sum = (all) => all.reduce((total, one) => total + one, 0);
const near = (found, wanted, where) => assert.ok(Math.abs(found - wanted) <= 1e-6 * Math.max(1, wanted), `${where}: ${found}, not ${wanted}`);

for (const [name, log] of RUNS) {
  test(`${name}: layers, prompt and tokens add up to the bytes measured in use, at every step`, () => {
    for (let cursor = 0; cursor < log.length; cursor++) {
      const state = log.at(cursor);
      const { memory } = state;
      const layers = memory.layers.map((_, layer) => about(log, cursor, { kind: "layer", layer }).nbytes);
      near(sum(layers), memory.kv_live_nbytes, `layers at ${cursor}`);
      const nodes = Array.from({ length: state.numNodes }, (_, id) => about(log, cursor, { kind: "node", id }).nbytes);
      near(sum(nodes) + about(log, cursor, { kind: "node", id: -1 }).nbytes, memory.kv_live_nbytes, `tokens at ${cursor}`);
      const scene = { log, state };
      const { value } = COLUMNS.find(({ key }) => key === "bytes");
      nodes.forEach((nbytes, id) => near(value(log.nodes[id], scene) ?? 0, nbytes, `row ${id} at ${cursor}`));
    }
  });
}

test("aggregate: entries that were copied before they changed stand where the copy is, in every layer", () => {
  const log = RUNS.get("aggregate");
  let copies = 0;
  for (let cursor = 0; cursor < log.length; cursor++) {
    const state = log.at(cursor);
    const held = state.memory.layers.map((_, layer) => state.refsOf(layer).filter((refs) => refs > 0).length);
    assert.deepEqual(held, state.memory.layers, `step ${cursor}`);
    for (const { layer, copied = [] } of log.steps[cursor].evictions ?? []) {
      for (const [, , copy] of copied) {
        copies += 1;
        if (!state.isOver && state.refsOf(layer)[copy]) assert.notEqual(state.tokensOf(layer)[copy], 0, `step ${cursor}`);
      }
    }
  }
  assert.ok(copies > 10, String(copies));
});

test("h2o: paths add up to one cache a path, and a slot of a layer weighs a fifth of a token of five layers", () => {
  const log = RUNS.get("h2o");
  const { num_layers: layers, kv_nbytes_per_token: whole } = log.header.model;
  let parted = 0;
  for (let cursor = 0; cursor < log.length; cursor++) {
    const state = log.at(cursor);
    const paths = state.rows.map(({ path }) => about(log, cursor, { kind: "path", path }).nbytes);
    assert.equal(sum(paths), state.memory.kv_logical_nbytes, `step ${cursor}`);
    const somewhere = Array.from({ length: state.numNodes }, (_, id) => about(log, cursor, { kind: "node", id })).filter(({ nbytes }) => nbytes && nbytes < whole);
    parted += somewhere.length;
    for (const { nbytes, what, isMean } of somewhere) {
      assert.deepEqual([nbytes % (whole / layers), isMean], [0, false]);
      assert.match(what, new RegExp(`in ${nbytes / (whole / layers)} of ${layers} layers`));
    }
  }
  assert.ok(parted > 0);
});

test("h2o: the facts of a token say in how many layers it is; evicted everywhere it has no bytes", () => {
  const log = RUNS.get("h2o");
  const said = log.nodes.map((node) => storedWords(log, log.at(log.length - 2), node));
  assert.ok(said.some((words) => /in [1-4] of 5 layers$/.test(words)), said.join());
  assert.ok(said.includes("no keys and values in any layer"));
});

test("int8: what one token takes is the mean that was measured, and is called that", () => {
  const log = RUNS.get("int8");
  const whole = log.header.model.kv_nbytes_per_token;
  const cursor = log.length - 3;
  const state = log.at(cursor);
  const mean = state.memory.kv_live_nbytes / state.memory.unique_kv_tokens;
  assert.ok(mean < 0.75 * whole, String(mean));
  assert.equal(storedWords(log, state, log.nodes[0]), `${bytes(mean)} of keys and values a token on average, ${bytes(whole)} unquantised`);
  const slot = about(log, cursor, { kind: "slot", slot: 0 });
  near(slot.nbytes, mean, "slot 0");
  assert.equal(slot.isMean, true);
  assert.match(captionOf([0], log, state, { hoisted: -1 }, { key: "id", way: 1 }), /KV bytes are the measured mean: quantised storage\./);
});

test("mixed: the layer in the model's format is exact, the others share what is left", () => {
  const log = RUNS.get("mixed");
  const { num_layers: layers, kv_nbytes_per_token: whole } = log.header.model;
  const cursor = log.length - 3;
  const { memory } = log.at(cursor);
  const own = memory.layers[0] * (whole / layers);
  assert.equal(about(log, cursor, { kind: "layer", layer: 0 }).nbytes, own);
  const mean = (memory.kv_live_nbytes - own) / sum(memory.layers.slice(1));
  near(about(log, cursor, { kind: "layer", layer: 3 }).nbytes, memory.layers[3] * mean, "layer 3");
});

test("bytes over time hold no other copies than the measured ones where slots weigh or last differently", () => {
  for (const [name, log] of RUNS) {
    const { copies, logical, unique } = series(log);
    assert.equal(copies, null, name);
    log.steps.forEach(({ memory, memory_forward: forward }, at) => {
      assert.equal(logical[at], Math.max(memory.kv_logical_nbytes, forward.kv_logical_nbytes));
      assert.equal(unique[at], Math.max(memory.kv_live_nbytes, forward.kv_live_nbytes));
    });
  }
  const [, plain] = recorded.find(([name]) => name.startsWith("story"));
  const log = parseTrace(plain, "story");
  assert.equal(storedWords(log, log.at(3), log.nodes[0]), `${bytes(log.header.model.kv_nbytes_per_token)} of keys and values a token`);
});
