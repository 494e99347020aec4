import assert from "node:assert/strict";
import test from "node:test";

import { nearest } from "../../assets/stage/grasp.js";
import { numbers } from "./random.mjs";

test("the pointer meets the nearest mark within 11 pixels, and none beyond", () => {
  const next = numbers(7);
  for (let round = 0; round < 200; round++) {
    const marks = Array.from({ length: 12 }, (_, id) => ({ x: next() * 60, y: next() * 60, node: { id } }));
    const [x, y] = [next() * 60, next() * 60];
    const far = marks.map((mark) => Math.hypot(mark.x - x, mark.y - y));
    const least = Math.min(...far);
    assert.equal(nearest(marks, x, y), least <= 11 ? far.indexOf(least) : null);
  }
  assert.equal(nearest([], 0, 0), null);
});
