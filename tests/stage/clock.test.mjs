// One cursor over several runs: every run stands where its own steps or seconds say.

import assert from "node:assert/strict";
import { test } from "node:test";
import { TICKS, endTimes, placeOf, places, secondsAt, stepAt } from "../../assets/stage/clock.js";
import { tokensPerCell } from "../../assets/stage/cells.js";

const tree = { times: [1, 2, 3, 4], isTree: true };
const fast = { times: [0.5, 1, 1.5, 2], isTree: true };
const stopped = { times: [1, 2], isTree: true };
const naive = { times: [1, 2, 3, 4, 5, 6, 7, 8, 9], isTree: false };
const waiting = { times: [], isTree: true };

test("times add up passes and the rest", () => {
  assert.deepEqual(endTimes([{ seconds: 1, overhead_seconds: 0.5 }, { seconds: 2, overhead_seconds: 0.25 }]), [1.5, 3.75]);
});

test("by step, trees stand at the same step and a shorter one at its last", () => {
  const runs = [tree, stopped];
  assert.equal(places(runs, "step"), 4);
  assert.deepEqual([0, 1, 2, 3].map((at) => runs.map((run) => stepAt(run, runs, at, "step"))), [[0, 0], [1, 1], [2, 1], [3, 1]]);
});

test("by step, samples stand at the same share of their own steps and end with the trees", () => {
  const runs = [tree, naive];
  assert.equal(places(runs, "step"), 4);
  assert.deepEqual([0, 1, 2, 3].map((at) => stepAt(naive, runs, at, "step")), [0, 3, 5, 8]);
  assert.equal(placeOf(naive, runs, 8, "step"), 3);
});

test("samples alone count their own steps", () => {
  assert.equal(places([naive], "step"), 9);
  assert.equal(stepAt(naive, [naive], 4, "step"), 4);
});

test("by second, a run that took half as long is at its end half way", () => {
  const runs = [tree, fast];
  assert.equal(places(runs, "second"), TICKS + 1);
  assert.equal(secondsAt(runs, TICKS), 4);
  assert.deepEqual(runs.map((run) => stepAt(run, runs, TICKS / 2, "second")), [1, 3]);
  assert.deepEqual(runs.map((run) => stepAt(run, runs, 0, "second")), [-1, -1]);
  assert.deepEqual(runs.map((run) => stepAt(run, runs, TICKS, "second")), [3, 3]);
});

test("scrubbing to a run's step puts that run at that step", () => {
  const runs = [tree, fast, naive];
  for (const mode of ["step", "second"]) {
    for (const run of mode === "second" ? runs : [tree, fast]) {
      run.times.forEach((_, step) => assert.equal(stepAt(run, runs, placeOf(run, runs, step, mode), mode), step));
    }
  }
});

test("a run that has not begun stands before its first step", () => {
  const runs = [tree, waiting];
  assert.equal(stepAt(waiting, runs, 2, "second"), -1);
  assert.equal(places([waiting], "step"), 0);
  assert.equal(places([waiting], "second"), 0);
});

test("a cursor that is past the end stands at the end", () => {
  const runs = [tree, naive];
  assert.deepEqual(["step", "second"].map((mode) => runs.map((run) => stepAt(run, runs, 500, mode))), [[3, 8], [3, 8]]);
});

test("cells hold several tokens only where one each would not fit", () => {
  assert.equal(tokensPerCell(100, 300, 72), 1);
  assert.equal(tokensPerCell(100 * 24, 300, 72), 1);
  assert.equal(tokensPerCell(100 * 24 + 1, 300, 72), 2);
});
