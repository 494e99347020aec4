import assert from "node:assert/strict";
import test from "node:test";

import { entropyColor, entropyPosition, slotColor } from "../../assets/stage/color.js";
import { bytes, memorySentence, narrate, probability, shorten, visibleToken } from "../../assets/stage/format.js";
import { Log, parseTrace } from "../../assets/stage/log.js";
import { gridFor } from "../../assets/stage/pool.js";
import { backends, byHand, header, memory } from "./traces.mjs";

test("blanks, newlines, controls and halves of characters can be seen", () => {
  assert.equal(visibleToken(" the"), "·the");
  assert.equal(visibleToken("a\n\tb"), "a⏎⇥b");
  assert.equal(visibleToken("\u0007\u202e"), "⟨07⟩⟨202e⟩");
  assert.equal(visibleToken("", "Ã"), "⟨Ã⟩");
  assert.equal(shorten("·wonderful", 6), "·wond…");
});

test("sizes carry binary units", () => {
  assert.equal(bytes(0), "0 B");
  assert.equal(bytes(1023), "1023 B");
  assert.equal(bytes(1536), "1.5 KiB");
  assert.equal(bytes(200 * 1024 * 1024), "200 MiB");
});

test("a probability is 0 or 1 only where it is", () => {
  assert.equal(probability(1), "1.000");
  assert.equal(probability(0.99999), ">0.999");
  assert.equal(probability(0.0001), "<0.001");
  assert.equal(probability(0), "0.000");
});

test("the memory sentence counts slots once", () => {
  assert.equal(memorySentence(memory(736, 5760, 100)), "736 slots do the work of 5,760.");
  assert.equal(memorySentence(memory(3, 3)), "3 slots in use, none shared yet.");
  assert.equal(memorySentence(null), "The cache is empty.");
});

test("a step is told in plain words", () => {
  const log = new Log(header);
  byHand.forEach((step) => log.append(step));
  assert.equal(narrate(log, 1), "Step 1: path 2 was unsure (entropy 0.75) and split into 2: “·c”, “·d”; 1 path reached the end; 1 path pruned as less probable; 1 path live.");
  assert.match(narrate(log, 2), /1 path reached the length limit; the run is over/);
});

test("a run is over with its last step, not with each of its samples", () => {
  const log = parseTrace(backends.get("naive"), "naive");
  const ends = log.ends.map((end) => end.step);
  assert.deepEqual(ends, [7, 15, 23]);
  assert.deepEqual(ends.map((step) => narrate(log, step)), [
    "Step 7: 1 path reached the length limit; sample 1 of 3 is done.",
    "Step 15: 1 path reached the length limit; sample 2 of 3 is done.",
    "Step 23: 1 path reached the length limit; the run is over.",
  ]);
  const live = new Log(log.header); // the next sample is still to come
  for (const step of log.steps.slice(0, 8)) live.append(step);
  assert.match(narrate(live, 7), /sample 1 of 3 is done\.$/);
  const config = { ...log.header.config, limits: { num_samples: null, max_finished: 1 } };
  const enough = new Log({ ...log.header, config }); // max_paths samples were wanted, and one end was enough
  for (const step of log.steps.slice(0, 8)) enough.append({ ...step, ends: step.ends.map((end) => ({ ...end, status: "finished" })) });
  assert.match(narrate(enough, 7), /the run is over\.$/);
});

test("colours grow lighter with entropy, and shared slots differ from private and free ones", () => {
  const light = (color) => color.match(/\d+/g).map(Number).reduce((sum, v, i) => sum + v * [0.21, 0.72, 0.07][i], 0);
  for (const dark of [false, true]) {
    const ramp = [0, 0.05, 0.2, 0.5, 1].map((h) => light(entropyColor(h, dark)));
    assert.deepEqual([...ramp].sort((a, b) => a - b), ramp);
  }
  assert.ok(entropyPosition(0.2) > 0.4);
  const colors = { free: "f", private: "p", shared: ["s1", "s2", "s3", "s4", "s5"] };
  assert.deepEqual([0, 1, 2, 4, 8, 16, 32, 500].map((refs) => slotColor(refs, colors)), ["f", "p", "s1", "s2", "s3", "s4", "s5", "s5"]);
});

test("every slot gets a cell inside the canvas", () => {
  for (const slots of [1, 40, 700, 5000]) {
    const { cell, columns, rows } = gridFor(slots, 320, 120);
    assert.ok(columns * rows >= slots && columns * cell <= 320);
    if (slots <= 5000) assert.ok(rows * cell <= 121, `${slots}`);
  }
});
