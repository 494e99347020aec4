import assert from "node:assert/strict";
import test from "node:test";

import { Pace } from "../../assets/stage/pace.js";

/** A pace whose cursor has come to step `cursor` at each of `moments`, milliseconds. */
function paced(t, moments) {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const pace = new Pace(() => {});
  for (const [cursor, at] of moments) {
    now = at;
    pace.at(cursor);
  }
  return pace;
}

test("steps come fast below 160 ms a step, and rush below 50, however many come at once", (t) => {
  const told = ([...moments]) => {
    const { isFast, isRush } = paced(t, moments);
    t.mock.restoreAll();
    return [isFast, isRush];
  };
  assert.deepEqual(told([[0, 0], [1, 200], [2, 400]]), [false, false]);
  assert.deepEqual(told([[0, 0], [1, 100], [2, 200]]), [true, false]);
  assert.deepEqual(told([[0, 0], [5, 200], [10, 400]]), [true, true]);
  assert.deepEqual(told([[0, 0]]), [false, false]); // nobody knows yet
  assert.deepEqual(told([[0, 0], [1, 10]]), [true, false]); // fast for sure, but two moments make no rush
  assert.deepEqual(told([[9, 0], [8, 10], [7, 20]]), [false, false]); // back in time is no pace
  assert.deepEqual(told([[0, 0], [1, 10], [2, 20], [3, 1020]]), [false, false]); // it has slowed down
});

test("the panels have their turn at once, then three times in two seconds, and at the latest by themselves", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 1000;
  let drawn = 0;
  t.mock.method(performance, "now", () => now);
  const pace = new Pace(() => (drawn += 1));
  const turns = [];
  for (; now < 2000; now += 100) turns.push(pace.isTurn(true));
  assert.deepEqual(turns, [true, false, false, false, false, false, false, true, false, false]);
  assert.equal(pace.isTurn(false), true); // may not wait
  now += 10;
  assert.equal(pace.isTurn(true), false);
  t.mock.timers.tick(1000);
  assert.equal(drawn, 1);
});

test("what is read has its turn with the panels, and once a second where steps come fast", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 1000;
  let drawn = 0;
  t.mock.method(performance, "now", () => now);
  for (const [every, wanted] of [[200, [0, 800, 1600]], [100, [0, 1000, 2000]]]) { // milliseconds a step
    const pace = new Pace(() => (drawn += 1));
    const began = now;
    const [panels, readings] = [[], []];
    for (let step = 0; step * every < 2300; step += 1, now += every) {
      pace.at(step);
      if (pace.isTurn(true)) panels.push(now - began);
      if (pace.isReading(true)) readings.push(now - began);
    }
    assert.deepEqual(readings, wanted);
    assert.deepEqual(panels, every === 200 ? wanted : [0, 700, 1400, 2100]);
    drawn = 0;
    t.mock.timers.tick(1200);
    assert.equal(drawn, every === 200 ? 2 : 3); // nothing came any more: each is drawn once by itself, and what came fast
    assert.equal(pace.isFast, every === 100);
    now += 400;
    assert.equal(pace.isFast, false); // it is not any more
    pace.hurry();
    assert.deepEqual([pace.isTurn(true), pace.isReading(true)], [true, true]);
    assert.deepEqual([pace.isTurn(true), pace.isReading(true)], [false, false]);
    assert.equal(pace.isReading(false), true); // may not wait
    pace.reset();
  }
});
