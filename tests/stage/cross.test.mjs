// The source's heat map: what it shows of a decision, and what of a damaged trace it refuses.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { crossWords, looksOf, tintPosition } from "../../assets/stage/cross.js";
import { readTrace } from "../../assets/stage/parse.js";

const source = ["copy", ":", " fox", " red"].map((text, token) => ({ token, text, raw: text }));

test("every source token has an entry; those that were not recorded have no weight", () => {
  const looks = looksOf({ source }, { look: { tokens: [2, 0], weights: [0.9, 0.06] } });
  assert.deepEqual(looks.map(({ weight }) => weight), [0.06, null, 0.9, null]);
  assert.equal(looks[0].text, "copy");
});

test("without a source, or without a look, there is nothing to show", () => {
  assert.equal(looksOf({ source: [] }, { look: { tokens: [0], weights: [1] } }), null);
  assert.equal(looksOf({ source }, { look: null }), null);
  assert.equal(looksOf({ source }, null), null);
});

test("the tint rises from none to full with the weight", () => {
  const at = [0, 0.01, 0.1, 0.5, 1].map(tintPosition);
  assert.deepEqual(at, [...at].sort((a, b) => a - b));
  assert.equal(at[0], 0);
  assert.equal(at.at(-1), 1);
});

test("the other cache in words, where there is one", () => {
  assert.equal(crossWords({ cross_tokens: 14, cross_nbytes: 21504 }), "21.0 KiB for 14 source tokens, once for all paths");
  assert.equal(crossWords({ cross_tokens: 0, cross_nbytes: 0 }), "");
  assert.equal(crossWords(), "");
});

const [head, ...steps] = readFileSync(new URL("../../assets/traces/fact.jsonl", import.meta.url), "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));

function withLook(look, own = source) {
  const first = { ...steps[0], decisions: steps[0].decisions.map((one) => ({ ...one, look })) };
  return [{ ...head, source: own }, first].map((line) => `${JSON.stringify(line)}\n`).join("");
}

test("a look that names what is not there, or has columns of two lengths, is refused with its line", () => {
  assert.equal(readTrace(withLook({ tokens: [3], weights: [1] })).steps.length, 1);
  assert.throws(() => readTrace(withLook({ tokens: [4], weights: [1] })), /line 2: a look names a source token that is not there/);
  assert.throws(() => readTrace(withLook({ tokens: [0], weights: [1] }, [])), /line 2: a look names a source token/);
  assert.throws(() => readTrace(withLook({ tokens: [0, 1], weights: [1] })), /line 2: a look has columns of different lengths/);
  assert.throws(() => readTrace(withLook({ tokens: [0], weights: ["<b>"] })), /line 2: .*weights/);
});
