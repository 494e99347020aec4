// Cached against uncached: what is derived from two logs, held against brute force.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";

import { axisOf, logTicks } from "../../assets/stage/cachedchart.js";
import { WINDOW, crossing, keptOf, lengthsOf, median, paceOf, rowsOf, runningMedian, sameText, speedups } from "../../assets/stage/cachedpace.js";
import { crossingWords, raceWords, sameWords } from "../../assets/stage/cachedwords.js";
import { endTimes } from "../../assets/stage/clock.js";
import { Log, parseTrace } from "../../assets/stage/log.js";
import { numbers as random } from "./random.mjs";
import { header, memory, node, step } from "./traces.mjs";

/** A greedy run of `seconds.length` steps, the first of which reads the prompt; `tokens`: what it writes. */
function run(seconds, tokens = seconds.map((_, at) => at), status = "length") {
  const log = new Log(header);
  seconds.forEach((value, at) => log.append(step(at, {
    phase: at ? "decode" : "prefill", seconds: value * 0.75, overhead_seconds: value * 0.25, paths: at === seconds.length - 1 ? [] : [0], parents: at === seconds.length - 1 ? [] : [0],
    slots: at ? [at + 1] : [0, 1], nodes: [{ ...node(at, at - 1, 0, ` t${tokens[at]}`), token: tokens[at] }], memory: memory(at + 2, at + 2), memory_forward: memory(at + 2, at + 2),
    ends: at === seconds.length - 1 ? [{ path: 0, node: at, status }] : [],
  })));
  return log;
}

/** The middle one, by counting how many are smaller. */
function bruteMedian(values) {
  const rank = (value, strictly) => values.filter((other) => (strictly ? other < value : other <= value)).length;
  const low = values.find((value) => rank(value, true) < values.length / 2 && rank(value, false) >= values.length / 2);
  const high = values.find((value) => rank(value, true) <= values.length / 2 && rank(value, false) > values.length / 2);
  return (low + high) / 2;
}

test("a running median is the median of what stands around, fewer at the ends", () => {
  const next = random(4);
  for (const length of [1, 2, 7, 14, 15, 16, 60]) {
    const values = Array.from({ length }, () => Math.round(next() * 40));
    const half = Math.floor(WINDOW / 2);
    const expected = values.map((_, at) => bruteMedian(values.filter((_, other) => Math.abs(other - at) <= half)));
    assert.deepEqual(runningMedian(values), expected);
    assert.deepEqual(runningMedian(values, WINDOW, 5), expected.slice(5));
    assert.equal(median(values), bruteMedian(values));
  }
});

test("a pace that grew step by step is the one of the whole run, and the prompt's pass is no step of it", () => {
  const next = random(9);
  const seconds = Array.from({ length: 50 }, () => next() + 0.01);
  const [whole, growing] = [run(seconds), new Log(header)];
  for (const one of whole.steps) {
    growing.append(one);
    if (one.index % 3 === 0) paceOf(growing);
  }
  const pace = paceOf(whole);
  assert.deepEqual(paceOf(growing), pace);
  assert.deepEqual(pace.lengths, seconds.map((_, at) => 2 + at + 1));
  assert.equal(pace.medians[0], null);
  seconds.slice(1).forEach((_, at, decode) => {
    const around = decode.slice(Math.max(0, at - 7), at + 8);
    assert.ok(Math.abs(pace.medians[at + 1] - bruteMedian(around)) < 1e-12);
  });
});

test("the crossing is where the cached step is faster for good", () => {
  const points = (...ratios) => ratios.map((ratio, at) => ({ length: 2 ** (at + 3), ratio }));
  const isNear = (found, wanted, words) => assert.ok(Math.abs(found - wanted) < 1e-9, words);
  isNear(crossing(points(0.5, 2), 1), 8 * Math.sqrt(2), "half way on a straight line of logarithms");
  isNear(crossing(points(2, 0.5, 0.25, 4), 1), 32 * Math.sqrt(2), "what was faster and then slower is not it");
  assert.equal(crossing(points(1, 2, 3), 1), null, "as fast is not slower");
  assert.equal(crossing(points(2, 3, 0.9), 1), null);
  assert.equal(crossing([]), null);
  const next = random(2);
  for (let round = 0; round < 200; round++) {
    const all = points(...Array.from({ length: 1 + (round % 6) }, () => 0.3 + next() * 2));
    const isGood = (length) => all.filter((one) => one.length >= length).every(({ ratio }) => ratio >= 1);
    const found = crossing(all, 1);
    const from = all.findIndex(({ length }) => isGood(length)); // the first measured length from which on all are faster
    if (from <= 0) assert.equal(found, null);
    else assert.ok(found >= all[from - 1].length && found <= all[from].length);
  }
});

test("a crossing is clear once the cached step has been faster for 32 steps in a row", () => {
  const points = (faster) => [2, 0.5, ...Array(faster).fill(2)].map((ratio, at) => ({ length: 100 + at, ratio }));
  assert.equal(crossing(points(31)), null);
  const found = crossing(points(32));
  assert.ok(found > 101 && found < 102, "between the last slower length and the next");
  assert.match(crossingWords(points(31)), /^No clear crossing in this range: the cached step is faster for the last 31 steps only, not for 32; at 132 tokens/);
  assert.match(crossingWords(points(32)), /^The cached step is faster from about 101 tokens on; at 133 tokens/);
});

test("the crossing in words, and that there is none in this range", () => {
  const points = (...ratios) => ratios.map((ratio, at) => ({ length: 10 * (at + 1), ratio }));
  assert.match(crossingWords(points(0.5, ...Array(32).fill(2))), /^The cached step is faster from about 14 tokens on; at 330 tokens of text a step takes 2\.00 × as long without it\.$/);
  assert.match(crossingWords(points(1.5, 2)), /at every length here, from 10 tokens on: no crossing in this range/);
  assert.match(crossingWords(points(1.5, 0.8)), /not faster yet at 20 tokens, the longest text here/);
  assert.equal(crossingWords([]), "");
});

test("speed-ups stand at the lengths that both have measured", () => {
  const cached = run([1, ...Array(30).fill(0.01)]);
  const uncached = run([1, ...Array(20).fill(0.04)]);
  const points = speedups(cached, uncached);
  assert.deepEqual(points.map(({ length }) => length), Array.from({ length: 20 }, (_, at) => at + 4));
  assert.ok(points.every(({ ratio }) => Math.abs(ratio - 4) < 1e-9));
  assert.deepEqual(lengthsOf([{ length: 3 }, ...[63, 64, 65, 300].map((length) => ({ length }))]), [3, 64, 128, 256, 300]);
  assert.deepEqual(lengthsOf([{ length: 90 }]), [90]);
  const [row] = rowsOf(cached, uncached, [endTimes(cached.steps), endTimes(uncached.steps)]);
  assert.equal(row.length, 4);
  assert.ok(Math.abs(row.cached.seconds - 1.01) < 1e-9 && Math.abs(row.uncached.perSecond - 25) < 1e-9);
});

test("the same text is asserted token by token, and the first other one is named", () => {
  const [a, same, other] = [run([1, 1, 1]), run([2, 2, 2]), run([1, 1, 1], [0, 1, 9])];
  assert.deepEqual(sameText(a, same), { common: 3, differs: null });
  assert.equal(sameText(a, other).differs.at, 2);
  assert.deepEqual(sameWords(a, same, true, ["abc".repeat(8), "abc".repeat(8)]), { isSame: true, words: "The same text: all 3 new tokens, digest abcabcabcabc of both." });
  assert.equal(sameWords(a, same, false).isSame, null);
  assert.equal(sameWords(a, run([1, 1]), true).isSame, null, "one was cut off");
  assert.deepEqual(sameWords(a, other, false), { isSame: false, words: "Not the same text: new token 3 is “·t2” with the cache and “·t9” without." });
  assert.equal(sameWords(a, same, true, ["a", "b"]).isSame, false);
});

test("the race in words, by second and by step, and whatever state a side is in", () => {
  const side = (tokens, whole, state, rate = 0.1) => ({ tokens, whole, state, rate, time: 2 });
  assert.equal(raceWords([side(9, 9, "done"), side(4, 9, "done")], 5, 20), "After 5.00 s the cached run has written all its 9 tokens, in 2.00 s, the uncached one has written 4 tokens.");
  assert.equal(raceWords([side(4, 9, "done", 0.01), side(4, 9, "done", 0.04)], null, 20), "At 20 tokens of text a step takes 10 ms with the cache and 40 ms without: 4.00 × as long.");
  assert.equal(raceWords([side(3, 3, "running", null), side(0, 0, "waiting", null)], null, 5), "The cached run has written 3 tokens so far, the uncached one has not begun.");
  assert.equal(raceWords([side(3, 3, "stopped"), side(0, 0, "never", null)], null, 5), "The cached run has written 3 tokens when it was stopped, the uncached one did not run.");
});

test("axes hold all values: by logarithm between round ones, else from 0", () => {
  assert.deepEqual(logTicks(3, 60), [2, 5, 10, 20, 50, 100]);
  assert.deepEqual(logTicks(1, 10), [1, 2, 5, 10]);
  for (const [low, top] of [[0.03, 700], [1, 1], [0.9, 1.2], [4, 4.1]]) {
    const { values, at } = axisOf("log", low, top);
    assert.ok(values[0] <= low && values.at(-1) >= top && at(low) >= 0 && at(top) <= 1 + 1e-9, `${low} ${top}`);
  }
  assert.deepEqual(axisOf("log", Infinity, 0).values, [0, 1], "nothing is known yet");
  assert.equal(axisOf("bytes", 0, 2 ** 20).at(2 ** 20) <= 1, true);
});

test("the recorded races wrote the same, and the cache's bytes are the trace's", () => {
  for (const name of ["long", "short"]) {
    const [cached, uncached] = ["cow", "recompute"].map((backend) => {
      const file = new URL(`../../assets/traces/reuse/cached/${name}-${backend}.jsonl.gz`, import.meta.url);
      return parseTrace(gunzipSync(readFileSync(file)).toString(), name);
    });
    assert.equal(sameWords(cached, uncached, true).isSame, true);
    assert.ok(speedups(cached, uncached).at(-1).ratio > 1, "the longer, the more it saves");
    cached.steps.forEach((one, at) => assert.equal(keptOf(cached, at), Math.max(one.memory.kv_nbytes, one.memory_forward.kv_nbytes)));
    assert.ok(uncached.steps.every((_, at) => keptOf(uncached, at) === 0));
  }
});
