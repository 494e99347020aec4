// A comparison in words: where every run stands, how figures stand to each other, which panel stands where.

import assert from "node:assert/strict";
import { test } from "node:test";

import { arrangement, hiddenTo, moved, movedTo, pinnedTo, shownAgain, shownOf } from "../../assets/stage/arrange.js";
import { TICKS } from "../../assets/stage/clock.js";
import { listed, ordinal, sampleAt, tellPlace } from "../../assets/stage/race.js";
import { againstWords, ratioWords, timesOf } from "../../assets/stage/ratios.js";

/** Steps by how many paths live after each; 0: the run, or the sample, ends with it. */
const paths = (...counts) => counts.map((count) => ({ paths: Array.from({ length: count }, (_, at) => at), ends: count ? [] : [{}] }));
const run = (word, times, steps, more = {}) => ({ word, times, steps, isTree: true, state: "done", ...more });

const cow = run("copy-on-write", [0.1, 0.2, 0.3], paths(1, 2, 0));
const deep = run("deep copy", [0.4, 0.8, 1.6], paths(1, 2, 0));
const naive = run("naive", [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 2.4], paths(1, 1, 0, 1, 1, 0, 1, 1, 0), { isTree: false });

test("samples are counted by the ones that have ended", () => {
  assert.deepEqual([-1, 0, 2, 3, 5, 6, 8].map((step) => sampleAt(naive.steps, step)), [1, 1, 1, 2, 2, 3, 3]);
  assert.deepEqual([1, 3, 12, 13, 21, 22, 23, 111, 112].map(ordinal), ["first", "third", "twelfth", "13th", "21st", "22nd", "23rd", "111th", "112th"]);
  assert.deepEqual([["a"], ["a", "b"], ["a", "b", "c"]].map(listed), ["a", "a and b", "a, b and c"]);
});

test("the race: who has finished comes first, naive counts samples", () => {
  assert.equal(tellPlace([deep, naive, cow], TICKS / 2, "second"),
    "At 1.20 s copy-on-write (0.30 s) has finished, deep copy is at step 1 of 2 on 2 paths and naive is on its second of 3 samples.");
  assert.equal(tellPlace([deep, naive, cow], TICKS, "second"), "At 2.40 s copy-on-write (0.30 s), deep copy (1.60 s) and naive (2.40 s) have finished.");
  assert.equal(tellPlace([deep, cow], 0, "second"), "At 0.00 s deep copy is still reading the prompt and copy-on-write is still reading the prompt.");
});

test("the race while some have not run, run now, or were stopped", () => {
  const going = run("deep copy", [0.4, 0.8], paths(1, 2), { state: "running" });
  const waiting = run("copy-on-write", [], [], { state: "waiting" });
  assert.equal(tellPlace([going, waiting], TICKS, "second"), "At 0.80 s deep copy is running, at step 1 so far and copy-on-write has not begun to run.");
  assert.equal(tellPlace([{ ...going, state: "stopped" }, { ...waiting, state: "never" }], TICKS, "second"),
    "At 0.80 s deep copy was stopped at step 1 and copy-on-write did not run.");
  assert.equal(tellPlace([waiting], 0, "second"), "");
});

test("the race of recorded runs: one that ended has finished, one that was cut off was stopped", () => {
  const ended = { ...cow, word: "A", state: "recorded" };
  const cut = { ...run("B", [0.1, 0.6], paths(1, 2)), state: "recorded" };
  assert.equal(tellPlace([ended, cut], TICKS, "second"), "At 0.60 s A (0.30 s) has finished and B was stopped at step 1.");
  assert.equal(tellPlace([{ ...naive, state: "recorded" }], 4, "step"), "Step 4: naive on its second of 3 samples.");
});

test("same step: what stands elsewhere is said to, and why", () => {
  assert.equal(tellPlace([deep, cow, naive], 1, "step"),
    "Step 1: deep copy and copy-on-write on 2 paths; naive at the same share of its own steps (4 of 8), on its second of 3 samples.");
  const short = run("B", [1, 2], paths(1, 0));
  assert.equal(tellPlace([run("A", [1, 2, 3], paths(1, 1, 0)), short], 2, "step"), "Step 2: A at the end; B ended at step 1.");
  const ends = { running: "has come to", stopped: "was stopped at", failed: "was broken off at" };
  for (const [state, words] of Object.entries(ends)) {
    assert.equal(tellPlace([run("A", [1, 2, 3], paths(1, 1, 0)), { ...short, state }], 2, "step"), `Step 2: A at the end; B ${words} step 1.`);
  }
  assert.equal(tellPlace([naive], 4, "step"), "Step 4: naive on its second of 3 samples.");
});

test("same step: trees on other numbers of paths are told apart, and paths that end with the step are over", () => {
  const [one, two] = [run("A", [1, 2], paths(3, 0)), run("B", [1, 2], paths(2, 0))];
  two.steps[0].ends = [{ path: 1 }];
  assert.equal(tellPlace([one, two, { ...one, word: "C" }], 0, "step"), "Step 0: A and C on 3 paths; B on 1 path.");
});

test("ratios carry their direction, and never divide by nothing", () => {
  assert.equal(ratioWords(1, 8.2, "time"), "8.2× faster");
  assert.equal(ratioWords(8.2, 1, "time"), "8.2× slower");
  assert.equal(ratioWords(2100, 1000, "memory"), "2.1× more");
  assert.equal(ratioWords(1000, 2100, "memory"), "2.1× less");
  assert.equal(ratioWords(10, 31, "count"), "3.1× fewer");
  assert.equal(ratioWords(2, 1, "rate"), "2.0× faster");
  assert.equal(ratioWords(1, 2, "when"), "2.0× sooner");
  assert.equal(ratioWords(0.75, 0.5, "share"), "25.0 points more");
  assert.deepEqual([ratioWords(5, 5, "time"), ratioWords(0, 5, "memory"), ratioWords(5, 0, "memory"), ratioWords(0, 0, "memory")], ["the same", "none", "", "the same"]);
  assert.equal(ratioWords(1000, 1001, "time"), "about the same");
  assert.deepEqual([1.04, 1.1, 9.94, 31.4, 1234].map(timesOf), ["1.04×", "1.1×", "9.9×", "31×", "1,234×"]);
});

test("a run against another as one sentence", () => {
  const result = (total, nbytes, tokens, positions) => ({
    seconds: { total }, counters: { kv_nbytes_peak: nbytes, unique_kv_tokens_peak: tokens, forward_token_steps: positions },
  });
  const deepcopy = { title: "Deep copy", word: "deep copy", result: result(8.2, 2100, 90, 300) };
  const shared = { title: "Copy-on-write", word: "copy-on-write", result: result(1, 1000, 30, 300) };
  const nothing = { title: "Recompute", word: "recompute", result: result(16.4, 0, 0, 3000) };
  assert.equal(againstWords(shared, deepcopy), "Copy-on-write was 8.2× faster than deep copy, allocated 2.1× less memory at its peak and computed as many positions.");
  assert.equal(againstWords(nothing, deepcopy), "Recompute was 2.0× slower than deep copy, kept no keys and values and computed 10× more positions.");
  assert.equal(againstWords(deepcopy, nothing), "Deep copy was 2.0× faster than recompute, kept keys and values, which it does not and computed 10× fewer positions.");
  assert.equal(againstWords(shared, deepcopy, { sameBytes: false }), "Copy-on-write was 8.2× faster than deep copy, stored 3.0× fewer tokens at its peak and computed as many positions.");
});

test("panels change places, one is pinned first, and hidden ones come back where they were", () => {
  const all = arrangement(["a", "b", "c", "d"]);
  assert.deepEqual(shownOf(moved(all, "b", 1)), ["a", "c", "b", "d"]);
  assert.equal(moved(all, "a", -1), all);
  const pinned = pinnedTo(all, "c");
  assert.deepEqual(shownOf(pinned), ["c", "a", "b", "d"]);
  assert.deepEqual(shownOf(moved(pinned, "b", -1)), ["c", "b", "a", "d"]);
  assert.equal(moved(pinned, "c", 1), pinned);
  assert.equal(moved(pinned, "a", -1), pinned, "nobody passes the pinned one");
  assert.deepEqual(shownOf(moved(pinned, "b", 1)), ["c", "a", "d", "b"], "over the place of the pinned one");
  assert.deepEqual(shownOf(pinnedTo(pinned, "c")), ["a", "b", "c", "d"]);
  const hidden = hiddenTo(pinned, "c");
  assert.deepEqual([shownOf(hidden), hidden.pinned], [["a", "b", "d"], null]);
  assert.deepEqual(shownOf(moved(hidden, "b", 1)), ["a", "d", "b"], "hidden ones are passed over");
  assert.deepEqual(shownOf(shownAgain(hidden, "c")), ["a", "b", "c", "d"]);
  const one = ["a", "b", "c", "d"].reduce(hiddenTo, all);
  assert.deepEqual(shownOf(one), ["d"], "the last one stays");
});

test("a panel dropped on another takes its place", () => {
  const all = arrangement(["a", "b", "c", "d"]);
  assert.deepEqual(shownOf(movedTo(all, "a", "c")), ["b", "c", "a", "d"]);
  assert.deepEqual(shownOf(movedTo(all, "d", "b")), ["a", "d", "b", "c"]);
  assert.equal(movedTo(all, "b", "b"), all);
  const pinned = pinnedTo(all, "a");
  assert.equal(movedTo(pinned, "a", "c"), pinned);
  assert.equal(movedTo(pinned, "c", "a"), pinned);
});
