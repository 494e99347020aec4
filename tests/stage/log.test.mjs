import assert from "node:assert/strict";
import test from "node:test";

import { Log, describe, parseTrace } from "../../assets/stage/log.js";
import { Checkpoints, State } from "../../assets/stage/state.js";
import { drawn } from "./random.mjs";
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

/** Every cursor of a run, in an order that jumps. */
function jumping(length) {
  return Array.from({ length }, (_, at) => at).sort((a, b) => ((a * 7919) % 101) - ((b * 7919) % 101));
}

test("live, scrubbed and replayed states are equal, in recorded runs and in twenty drawn at random", () => {
  const random = Array.from({ length: 20 }, (_, seed) => [`seed ${seed}`, null, drawn(seed).steps]);
  for (const [name, text, steps] of [...recorded, ["bushy", null, bushy(90, 40)], ...random]) {
    const whole = text ? parseTrace(text, name) : logOf(steps);
    const growing = new Log(whole.header);
    const live = whole.steps.map((step) => {
      growing.append(step);
      return JSON.stringify(describe(growing, growing.length - 1));
    });
    for (const cursor of jumping(whole.length)) {
      assert.equal(JSON.stringify(describe(whole, cursor)), live[cursor], `${name} at ${cursor}`);
    }
  }
});

test("a cursor that moves while the run grows sees what the run saw there", () => {
  const { steps, wanted } = drawn(7, { depths: 120, width: 12 });
  const log = new Log(header);
  steps.forEach((step, at) => {
    log.append(step);
    const cursor = (at * 31) % (at + 1);
    const seen = log.at(cursor).rows.map((row) => log.at(cursor).visible(row));
    assert.deepEqual(seen, wanted[cursor].rows.map((row) => row.slots), `${cursor} of ${at}`);
    assert.deepEqual(Array.from(log.dead(cursor), (bit, id) => (bit ? id : -1)).filter((id) => id >= 0),
      [...wanted[cursor].dead].sort((a, b) => a - b), `${cursor} of ${at}`);
  });
});

test("runs drawn at random: paths, slots, reference counts and dead nodes are those of plain sets", () => {
  for (let seed = 0; seed < 40; seed++) {
    const { steps, wanted } = drawn(seed, { depths: 20 + seed, width: 3 + (seed % 9), finish: seed % 3 ? 0.03 : 0.15 });
    const log = logOf(steps);
    for (const cursor of jumping(steps.length)) {
      const at = `seed ${seed} step ${cursor}`;
      const { rows, holders, dead } = wanted[cursor];
      const state = log.at(cursor);
      assert.deepEqual(state.rows.map((row) => ({ path: row.path, node: row.node, slots: state.visible(row) })), rows, at);
      const counts = new Array(state.capacity).fill(0);
      for (const row of rows) for (const slot of row.slots) counts[slot] += 1;
      assert.deepEqual(Array.from(state.refs), counts, at);
      assert.deepEqual(Array.from(state.tokens), counts.map((_, slot) => holders.get(slot) ?? 0), at);
      assert.deepEqual(Array.from(log.dead(cursor), Boolean), log.nodes.map(({ id }) => dead.has(id)), at);
    }
  }
});

test("any step of a run of 3,000 and of 20,000 nodes is a few steps away from a checkpoint", (context) => {
  for (const [depths, width, least] of [[160, 20, 3000], [1000, 20, 20000]]) {
    const log = logOf(drawn(1, { depths, width, finish: 0, checked: false }).steps);
    assert.ok(log.nodes.length >= least, String(log.nodes.length));
    const { mock } = context.mock.method(State.prototype, "advance");
    for (let i = 0; i < 200; i++) {
      mock.resetCalls();
      const cursor = (i * 7919) % log.length;
      assert.equal(log.at(cursor).cursor, cursor);
      assert.equal(log.at(cursor).refs.length, log.at(cursor).capacity);
      assert.ok(mock.callCount() <= 16, `${mock.callCount()} steps to ${cursor}`);
    }
    mock.restore();
  }
});

test("checkpoints stay within their bytes by standing further apart, and the states stay the same", () => {
  const { steps } = drawn(3, { depths: 300, width: 8, finish: 0, checked: false });
  const state = new State();
  const roomy = new Checkpoints();
  const tight = new Checkpoints(10_000);
  for (const step of steps) {
    for (const kept of [roomy, tight]) kept.offer(state);
    state.advance(step);
    assert.ok(tight.nbytes <= 10_000);
  }
  assert.ok(roomy.nbytes > 10_000);
  assert.ok(tight.every > roomy.every);
  for (const cursor of [0, 15, 16, 31, 32, 150, 299]) {
    const [near, far] = [roomy, tight].map((kept) => kept.before(cursor).clone());
    assert.ok(far.cursor <= near.cursor && near.cursor <= cursor && near.cursor > cursor - roomy.every);
    while (far.cursor < near.cursor) far.advance(steps[far.cursor + 1]);
    assert.deepEqual(far.rows, near.rows);
    assert.deepEqual(far.tokens, near.tokens);
  }
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
  const orphan = JSON.parse(lines[1]);
  orphan.nodes[0].parent = 999;
  assert.throws(() => parseTrace([lines[0], JSON.stringify(orphan), ""].join("\n"), "x"), /damaged at line 2/);
  assert.throws(() => parseTrace([lines[0], '{"index": 0}', ""].join("\n"), "x"), /damaged at line 2/);
});
