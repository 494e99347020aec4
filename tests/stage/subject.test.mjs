// What lights up: the same object everywhere, against a search through all rows and nodes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Log, parseTrace } from "../../assets/stage/log.js";
import { focusOn, isSame } from "../../assets/stage/subject.js";
import { byHand, header, recorded } from "./traces.mjs";

function grown() {
  const log = new Log(header);
  byHand.forEach((step) => log.append(step));
  return log;
}

test("a node lights its lineage, its path's slots and the paths that run through it", () => {
  const log = grown();
  const focus = focusOn(log, log.at(1), { kind: "node", id: 3 });
  assert.deepEqual([...focus.nodes], [1, 3]);
  assert.deepEqual([...focus.slots].sort(), [0, 1, 3]);
  assert.deepEqual(focus.paths, [3]);
  assert.equal(focus.slot, -1); // written by the next pass
  assert.equal(focusOn(log, log.at(0), { kind: "node", id: 3 }), null); // not made yet
});

test("a slot is the token that it holds at the cursor, and nothing once it is free", () => {
  const log = grown();
  const focus = focusOn(log, log.at(1), { kind: "slot", slot: 3 });
  assert.equal(focus.node, 1);
  assert.deepEqual(focus.paths, [3]);
  assert.deepEqual([...focus.slots], [3]);
  assert.equal(focusOn(log, log.at(1), { kind: "slot", slot: 2 }), null);
  assert.equal(focusOn(log, log.at(1), { kind: "cell", layer: 1, slot: 3 }).layer, 1);
  assert.equal(focusOn(log, log.at(1), { kind: "slot", slot: 0 }).node, null); // nothing was decided after “Once”
  assert.equal(focusOn(log, log.at(1), { kind: "slot", slot: 1 }).node, -1); // the prompt's last token
});

test("a step lights the tokens that it made, a path its newest one", () => {
  const log = grown();
  assert.deepEqual([...focusOn(log, log.at(2), { kind: "step", step: 1 }).nodes], [2, 3, 4]);
  assert.equal(focusOn(log, log.at(2), { kind: "path", path: 1 }).node, 2);
  assert.equal(focusOn(log, log.at(0), { kind: "path", path: 9 }), null);
});

test("subjects are the same when they name the same thing", () => {
  assert.ok(isSame({ kind: "slot", slot: 3 }, { kind: "slot", slot: 3 }));
  assert.ok(!isSame({ kind: "slot", slot: 3 }, { kind: "cell", slot: 3, layer: 0 }));
  assert.ok(!isSame(null, { kind: "slot", slot: 3 }));
  assert.ok(isSame(null, null));
});

for (const [name, text] of recorded) {
  test(`${name}: the paths of every node and slot are those that a search finds`, () => {
    const log = parseTrace(text);
    for (const cursor of [3, Math.floor(log.length / 2), log.length - 2]) {
      const state = log.at(cursor);
      for (let id = 0; id < state.numNodes; id += 7) {
        const wanted = state.rows.filter((row) => row.node !== -1 && log.lineage(row.node).includes(id));
        assert.deepEqual(focusOn(log, state, { kind: "node", id }).paths, wanted.map((row) => row.path));
      }
      for (let slot = 0; slot < state.capacity; slot += 3) {
        const wanted = state.rows.filter((row) => state.visible(row).includes(slot)).map((row) => row.path);
        assert.deepEqual(focusOn(log, state, { kind: "slot", slot })?.paths ?? [], wanted);
      }
    }
  });
}
