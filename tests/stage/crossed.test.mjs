// The two caches of an encoder-decoder model: figures and looks, held against the trace file's own lines.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { crossAt, crossSentence, readers, selfAt, selfSentence, topOf } from "../../assets/stage/crossedfacts.js";
import { parseTrace } from "../../assets/stage/log.js";

const folder = new URL("../../assets/traces/reuse/crossed/", import.meta.url);
const runs = readdirSync(folder).filter((name) => name.endsWith(".jsonl")).map((name) => {
  const text = readFileSync(new URL(name, folder), "utf8");
  const [header, ...steps] = text.trimEnd().split("\n").map((line) => JSON.parse(line));
  return { name, header, steps, log: parseTrace(text, name) };
});

test("there are recorded runs, and some of them fork", () => {
  assert.deepEqual(runs.map(({ name }) => name), ["rephrase.jsonl", "reverse.jsonl", "shuffle.jsonl"]);
  assert.ok(runs.some(({ steps }) => steps.some(({ paths }) => paths.length > 7)));
});

test("bytes at every cursor are the step's own, copies are one copy a path", () => {
  for (const { header, steps, log } of runs) {
    const each = header.model.cross_nbytes_per_token;
    let top = 0;
    for (const { index, paths, memory, memory_forward: pass } of steps) {
      const state = log.at(index);
      const told = paths.length ? memory : pass; // when all have ended, what the last pass left
      const cross = crossAt(log, state);
      const live = paths.length || steps[index - 1].paths.length;
      assert.deepEqual(cross, { tokens: header.source.length, nbytes: told.cross_nbytes, paths: live, once: header.source.length * each, copies: header.source.length * each * live });
      assert.equal(cross.nbytes, header.source.length * each, "held once, however many read it");
      assert.deepEqual(selfAt(state), {
        unique: told.unique_kv_tokens, logical: told.logical_kv_tokens, shared: told.shared_kv_tokens, own: told.private_kv_tokens,
        nbytes: told.kv_live_nbytes, copies: told.kv_logical_nbytes, allocated: told.kv_nbytes,
      });
      top = Math.max(top, cross.nbytes * paths.length, ...[memory, pass].flatMap((one) => [one.kv_nbytes, one.kv_logical_nbytes, one.kv_live_nbytes]));
    }
    assert.equal(topOf(log), top, "no bar is longer than its track");
  }
});

test("every live path has the look of the decision it took in this very step, or in the last one of all", () => {
  for (const { header, steps, log } of runs) {
    for (const { index, paths, nodes, decisions } of steps) {
      const found = readers(log, log.at(index));
      assert.equal(found.length, paths.length || steps[index - 1].paths.length);
      for (const { path, looks } of found) {
        const last = nodes.find((node) => node.path === path);
        const decided = decisions.find((one) => (last ? one.node === last.parent : one.path === path));
        const expected = new Map(decided.look.tokens.map((token, at) => [token, decided.look.weights[at]]));
        assert.deepEqual(looks.map(({ weight }) => weight), header.source.map((_, at) => expected.get(at) ?? null), `step ${index}, path ${path}`);
      }
    }
  }
});

test("before the first step nothing is read, and nobody has looked", () => {
  const [{ log }] = runs;
  const state = log.at(-1);
  assert.equal(crossSentence(crossAt(log, state)), "The encoder has not read the source yet.");
  assert.equal(selfSentence(selfAt(state), 1, true), "No path has written anything yet.");
  assert.deepEqual(readers(log, state).map(({ looks }) => looks), [null]);
});

test("both caches in words", () => {
  const cross = { tokens: 12, nbytes: 18432, paths: 8, once: 18432, copies: 8 * 18432 };
  assert.equal(crossSentence(cross), "12 source tokens fill 18.0 KiB once; 8 paths read it; copies would need 144 KiB.");
  assert.equal(crossSentence({ ...cross, paths: 1, copies: 18432 }), "12 source tokens fill 18.0 KiB once; 1 path reads it.");
  assert.equal(crossSentence({ ...cross, nbytes: 2 * 18432 }), "12 source tokens fill 36.0 KiB: more than one copy, which takes 18.0 KiB.");
  const self = { unique: 24, logical: 36, shared: 8, own: 16, nbytes: 36864, copies: 55296, allocated: 1 };
  assert.equal(selfSentence(self, 6, true), "24 slots hold 36.0 KiB: 8 shared, 16 private; 6 caches of their own would need 36 tokens, 54.0 KiB.");
  assert.equal(selfSentence(self, 1, true), "24 slots hold 36.0 KiB, all of one path.");
  assert.equal(selfSentence(self, 6, false), "24 tokens take 36.0 KiB: every path keeps a cache of its own.");
});
