import assert from "node:assert/strict";
import test from "node:test";

import { Log, describe, parseTrace } from "../../assets/stage/log.js";
import { byHand, bushy, header, recorded } from "./traces.mjs";

function logOf(steps) {
  const log = new Log(header);
  steps.forEach((step) => log.append(step));
  return log;
}

test("the tree written by hand has the expected paths, slots and reference counts at every step", () => {
  const log = logOf(byHand);
  assert.deepEqual(describe(log, 0).paths, [
    { path: 1, node: 0, visible: [0, 1] }, { path: 2, node: 1, visible: [0, 1] },
  ]);
  assert.deepEqual(describe(log, 0).refs, [2, 2, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(describe(log, 1).paths, [{ path: 3, node: 3, visible: [0, 1, 3] }]);
  assert.deepEqual(describe(log, 1).refs, [1, 1, 0, 1, 0, 0, 0, 0]);
  assert.deepEqual(describe(log, 1).tokens, [-1, -2, 0, 2, 0, 0, 0, 0], "slot 2 is free, slot 3 holds node 1");
  assert.deepEqual(describe(log, 2).tokens, [-1, -2, 4, 2, 0, 0, 0, 0], "slot 2 is used again, by node 3");
  assert.deepEqual(describe(log, 2).nodes.map((node) => node.status), [null, null, "finished", null, "pruned", "length"]);
  assert.deepEqual(describe(log, 1).dead, [0, 0, 0, 0, 1]);
  assert.equal(log.textOf(5), " b c e");
});

test("what the cursor has not reached does not show", () => {
  const log = logOf(byHand);
  assert.equal(describe(log, -1).nodes.length, 0);
  assert.equal(describe(log, 0).nodes[1].entropy, null);
  assert.equal(describe(log, 1).nodes[1].entropy, 0.75);
  assert.equal(describe(log, 0).nodes[0].slot, null);
});

test("recorded runs: counts read off the log equal what the engine measured, at every step", () => {
  assert.ok(recorded.length >= 4);
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    assert.ok(log.length > 10, name);
    for (const step of log.steps) {
      const state = log.at(step.index);
      const used = Array.from(state.refs).filter((count) => count > 0);
      const at = `${name} step ${step.index}`;
      const { memory } = state;
      assert.equal(used.length, memory.unique_kv_tokens, at);
      assert.equal(used.reduce((sum, count) => sum + count, 0), memory.logical_kv_tokens, at);
      assert.equal(used.filter((count) => count > 1).length, memory.shared_kv_tokens, at);
      assert.deepEqual(Array.from(state.tokens, Boolean), Array.from(state.refs, Boolean), at);
    }
  }
});

test("recorded runs: every row sees the prompt and its own ancestors, and nothing else", () => {
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    for (const step of log.steps.filter((one) => one.nodes.length)) {
      const state = log.at(step.index);
      for (const row of state.rows) {
        const held = state.visible(row).map((slot) => state.tokens[slot]).filter((token) => token > 0);
        const ancestors = state.isOver ? log.lineage(row.node) : log.lineage(row.node).slice(0, -1);
        assert.deepEqual(held.map((token) => token - 1).sort((a, b) => a - b), ancestors, `${name} step ${step.index}`);
      }
    }
  }
});

test("live, scrubbed and replayed states are equal", () => {
  for (const [name, text] of [...recorded, ["bushy", null]]) {
    const whole = text ? parseTrace(text, name) : logOf(bushy(90, 40));
    const growing = new Log(whole.header);
    const live = whole.steps.map((step) => {
      growing.append(step);
      return JSON.stringify(describe(growing, growing.length - 1));
    });
    const order = whole.steps.map((_, at) => at).sort((a, b) => ((a * 7919) % 101) - ((b * 7919) % 101));
    for (const cursor of order) assert.equal(JSON.stringify(describe(whole, cursor)), live[cursor], `${name} at ${cursor}`);
  }
});

test("scrubbing to any step of a 3,000-node run takes a few milliseconds", () => {
  const log = logOf(bushy(100, 40));
  assert.ok(log.nodes.length >= 3000);
  const began = performance.now();
  for (let i = 0; i < 100; i++) log.at((i * 37) % 100);
  assert.ok((performance.now() - began) / 100 < 10);
});

test("a cut file loads to its last whole line; another file is refused in one sentence", () => {
  const [name, text] = recorded[0];
  const whole = parseTrace(text, name);
  const cut = parseTrace(text.slice(0, text.length - 40), name);
  assert.equal(cut.length, whole.length - 1);
  assert.throws(() => parseTrace('{"a": 1}\n', "notes.json"), /notes\.json is not a Forkscope trace/);
  assert.throws(() => parseTrace("GIF89a", "cat.gif"), /cat\.gif is not a Forkscope trace/);
  assert.throws(() => parseTrace(JSON.stringify({ ...header, version: 9 }) + "\n", "x"), /version 9/);
  const lines = text.split("\n");
  assert.throws(() => parseTrace([lines[0], lines[2], ""].join("\n"), "x"), /damaged at line 2/);
});
