// Who owns which slot, since when and until when: against plain sets kept while runs were made at random.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Log, parseTrace } from "../../assets/stage/log.js";
import { fateOf, fateWords, holdersOf, lastStep, lastWords, ownership, pathsOf } from "../../assets/stage/owner.js";
import { focusOn } from "../../assets/stage/subject.js";
import { drawn } from "./random.mjs";
import { byHand, header, recorded } from "./traces.mjs";

const MODEL = { ...header.model, num_layers: 2 };

function logOf(steps) {
  const log = new Log({ ...header, model: MODEL });
  for (const one of steps) log.append(one);
  return log;
}

function about(log, cursor, subject) {
  const state = log.at(cursor);
  return ownership(log, state, focusOn(log, state, subject));
}

test("holders of every slot at every step are the paths whose set has it", () => {
  for (let seed = 1; seed <= 12; seed++) {
    const { steps, wanted } = drawn(seed, { finish: 0.08 });
    const log = logOf(steps);
    wanted.forEach(({ rows, holders }, cursor) => {
      const state = log.at(cursor);
      for (const slot of holders.keys()) {
        const found = holdersOf(log, state, slot).map((one) => one.path);
        assert.deepEqual(found, rows.filter((row) => row.slots.includes(slot)).map((row) => row.path), `seed ${seed}, step ${cursor}, slot ${slot}`);
      }
    });
  }
});

test("a slot is freed at the first step at which no set has its token any more, by the paths that ended there", () => {
  let freed = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const { steps, wanted } = drawn(seed, { finish: 0.08 });
    const log = logOf(steps);
    for (const node of log.nodes.filter((one) => one.written < Infinity)) {
      let step = node.written;
      while (step < wanted.length && wanted[step].holders.get(node.slot) === node.id + 1) step += 1;
      const found = fateOf(log, node.id + 1);
      if (step === wanted.length) {
        assert.deepEqual([found.step, found.isRun], [steps.length - 1, true]);
        continue;
      }
      freed += 1;
      assert.equal(found.step, step, `seed ${seed}, node ${node.id}`);
      const under = steps[step].ends.filter((end) => log.lineage(end.node).includes(node.id));
      assert.deepEqual(found.ends, under);
      assert.ok(under.length > 0);
    }
  }
  assert.ok(freed > 100, String(freed));
});

test("recorded runs: bytes of all holders add up to what one cache a path would need", () => {
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    for (let cursor = 0; cursor < log.length; cursor += 5) {
      const state = log.at(cursor);
      const each = log.header.model.kv_nbytes_per_token;
      const paths = state.rows.map((row) => about(log, cursor, { kind: "path", path: row.path }));
      assert.equal(paths.reduce((total, one) => total + one.nbytes, 0), state.memory.kv_logical_nbytes, `${name} at ${cursor}`);
      const held = Array.from(state.tokens.keys()).filter((slot) => state.tokens[slot]);
      const slots = held.map((slot) => about(log, cursor, { kind: "slot", slot }));
      assert.equal(slots.reduce((total, one) => total + one.nbytes, 0), state.memory.kv_live_nbytes);
      assert.equal(slots.reduce((total, one) => total + one.holders.length * each, 0), state.memory.kv_logical_nbytes);
      for (const layer of state.memory.layers.keys()) {
        assert.equal(about(log, cursor, { kind: "layer", layer }).nbytes * state.memory.layers.length, state.memory.kv_live_nbytes);
      }
    }
  }
});

test("by hand: what frees a slot is said from the cursor's time, and left open where nobody knows", () => {
  const log = logOf(byHand);
  const words = (cursor, node) => about(log, cursor, { kind: "node", id: node });
  assert.equal(words(0, 0).note, "not stored yet: the next forward pass writes it");
  assert.equal(words(1, 0).fate, "freed at step 1, when path 1 reached its end");
  assert.equal(words(1, 2).note, "never stored: its path ended before the next pass");
  assert.equal(words(1, 1).fate, "kept to the end of the run, step 2");
  assert.equal(words(2, 1).fate, "freed with the run, after step 2");
  const live = logOf(byHand.slice(0, 1));
  assert.equal(fateWords(live, -1, 0, [{ path: 1 }, { path: 2 }]), "freed when the last of paths 1 and 2 ends");
  assert.equal(fateWords(live, -1, 0, [{ path: 1 }]), "freed when path 1 ends");
  assert.equal(lastStep(live), Infinity);
  assert.equal(lastStep(log), 2);
});

test("a slot of a recorded run tells its end before it comes, by whom", () => {
  const log = parseTrace(recorded.find(([name]) => name.startsWith("story"))[1], "story");
  const end = log.steps.find((step) => step.freed.length && step.ends.some((one) => one.status === "pruned") && step.index > 10);
  const slot = end.freed[0];
  const holder = log.nodes.find((node) => node.slot === slot && node.written <= end.index && fateOf(log, node.id + 1).step === end.index);
  const before = about(log, end.index - 1, { kind: "slot", slot });
  assert.match(before.fate, new RegExp(`^will be freed at step ${end.index}, when paths? .* (is|are) pruned`));
  assert.equal(before.since, holder.written);
  assert.match(about(log, end.index, { kind: "node", id: holder.id }).fate, new RegExp(`^freed at step ${end.index}, when path`));
});

test("every subject has an owner: node, prompt, slot, cell, layer, step and path", () => {
  const log = logOf(byHand);
  assert.deepEqual(about(log, 0, { kind: "node", id: -1 }).holders.map((one) => one.path), [1, 2]);
  assert.equal(about(log, 0, { kind: "slot", slot: 1 }).share, "shared by 2 paths: 32 B each");
  assert.equal(about(log, 0, { kind: "cell", layer: 1, slot: 1 }).nbytes, 32);
  assert.equal(about(log, 0, { kind: "cell", layer: 1, slot: 1 }).what, "layer 1, slot 1");
  assert.equal(about(log, 0, { kind: "layer", layer: 0 }).share, "2 live slots of 32 B");
  assert.equal(about(log, 1, { kind: "step", step: 1 }).share, "2 slots written, 1 freed");
  assert.match(about(log, 0, { kind: "path", path: 2 }).fate, /^will split at step 1 into paths 3 and 4/);
  assert.match(about(log, 1, { kind: "path", path: 3 }).fate, /^its own slots are freed at step 2, when it reaches the length limit/);
});

test("names of paths and their last words stay short", () => {
  assert.equal(pathsOf([4]), "path 4");
  assert.equal(pathsOf([4, 5, 6]), "paths 4, 5 and 6");
  assert.equal(pathsOf([1, 2, 3, 4, 5, 6, 7, 8]), "paths 1, 2, 3, 4, 5, 6 and 2 more");
  const log = logOf(byHand);
  assert.equal(lastWords(log, 3), "b c");
  assert.equal(lastWords(log, -1), "Once upon");
});
