import assert from "node:assert/strict";
import { test } from "node:test";

import { byteTicks, ticks } from "../../assets/stage/scale.js";

test("ticks are round, start at 0 and reach the top", () => {
  assert.deepEqual(ticks(354), [0, 100, 200, 300, 400]);
  assert.deepEqual(ticks(0.21, 5), [0, 0.05, 0.1, 0.15, 0.2, 0.25]);
  assert.deepEqual(ticks(0), [0, 1]);
  for (let top = 0.003; top < 1e7; top *= 1.7) {
    const values = ticks(top);
    assert.equal(values[0], 0);
    assert.ok(values.at(-1) >= top * 0.999999 && values.at(-2) < top, `${top}`);
    assert.ok(values.length >= 3 && values.length <= 6, `${top}: ${values}`);
  }
});

test("what is counted has no halves", () => {
  assert.deepEqual(ticks(2, 4, 1), [0, 1, 2]);
  assert.deepEqual(ticks(9, 4, 1), [0, 5, 10]);
  for (let top = 1; top < 300; top++) assert.ok(ticks(top, 4, 1).every(Number.isInteger), `${top}`);
});

test("bytes are round in their own binary unit", () => {
  const { unit, size, values } = byteTicks(525_312);
  assert.deepEqual([unit, size, values.map((value) => value / size)], ["KiB", 1024, [0, 200, 400, 600]]);
  assert.equal(byteTicks(3 * 2 ** 20).unit, "MiB");
  assert.deepEqual(byteTicks(0).values, [0, 1]);
});
