import assert from "node:assert/strict";
import test from "node:test";

import { Growing } from "../../assets/stage/growing.js";
import { Healing } from "../../assets/stage/healing.js";
import { byHand, header } from "./traces.mjs";

class Run extends Growing {
  key = "a";
  parts = { badge: {}, root: { dataset: {} } };
  taken() {}
  grown() {}
}

function begun() {
  const run = new Run();
  run.setState("waiting");
  run.apply({ header, seq: 0, steps: byHand.slice(0, 2) });
  return run;
}

test("a batch that comes late takes no run back that has ended, or was stopped", () => {
  const run = begun();
  assert.equal(run.state, "running");
  run.apply({ seq: 2, steps: byHand.slice(2), done: true });
  run.apply({ seq: 1, steps: byHand.slice(1, 2) });
  assert.deepEqual([run.state, run.length], ["done", byHand.length]);
  const stopped = begun();
  stopped.breakOff("stopped");
  stopped.apply({ seq: 2, steps: byHand.slice(2) });
  assert.deepEqual([stopped.state, stopped.parts.root.dataset.state], ["stopped", "stopped"]);
});

test("what is missing has come when the promise of it is kept, and there is none where nothing is", async () => {
  const run = begun();
  assert.equal(run.apply({ seq: byHand.length, steps: [], done: true }), false);
  const healing = new Healing(async (_, seq) => ({ run: "r", seq, steps: byHand.slice(seq), done: true }));
  const told = { a: { run: "r", length: byHand.length, done: true } };
  await healing.catchUp([run], told, () => {});
  assert.deepEqual([run.state, run.length], ["done", byHand.length]);
  assert.equal(healing.catchUp([run], told, () => {}), null);
});

test("an answer that is on its way is waited for, and what it lacks is asked for after it", async () => {
  const run = begun();
  const asked = [];
  const healing = new Healing((_, seq) => new Promise((give) => asked.push({ seq, give })));
  const told = (length, done) => ({ a: { run: "r", length, done } });
  const first = healing.catchUp([run], told(3, false), () => {});
  const last = healing.catchUp([run], told(byHand.length, true), () => {});
  assert.equal(asked.length, 1);
  asked[0].give({ run: "r", seq: 2, steps: [] });
  await Promise.all([first, last]);
  assert.equal(run.state, "running");
  const again = healing.catchUp([run], told(byHand.length, true), () => {});
  asked[1].give({ run: "r", seq: 2, steps: byHand.slice(2), done: true });
  await again;
  assert.deepEqual([asked.length, run.state, run.length], [2, "done", byHand.length]);
});
