import assert from "node:assert/strict";
import test from "node:test";

import { Layout, gather, nearestFree, separate } from "../../assets/stage/layout.js";
import { Log, parseTrace } from "../../assets/stage/log.js";
import { bushy, header, recorded } from "./traces.mjs";

function logs() {
  const bush = new Log(header);
  bushy(60, 24).forEach((step) => bush.append(step));
  return [["bushy", bush], ...recorded.map(([name, text]) => [name, parseTrace(text, name)])];
}

test("separate keeps what is apart and spreads what is not, evenly about its middle", () => {
  assert.deepEqual(separate([-3, 0, 5]), [-3, 0, 5]);
  assert.deepEqual(separate([0, 0, 0]), [-1, 0, 1]);
  assert.deepEqual(separate([0, 0.5, 9]), [-0.25, 0.75, 9]);
});

test("gather closes a wide gap little by little and leaves narrow ones alone", () => {
  const near = (found, wanted) => found.forEach((value, at) => assert.ok(Math.abs(value - wanted[at]) < 1e-9));
  near(gather([-1, 0, 1]), [-1, 0, 1]);
  let column = [-6, -5, 5, 6];
  for (let depth = 0; depth < 20; depth++) column = gather(column);
  assert.ok(column[2] - column[1] > 2 && column[2] - column[1] < 2.3);
  near([column[1] - column[0], column[0] + column[3]], [1, 0]);
});

test("nearestFree takes the wanted place, or the nearest a lane away", () => {
  assert.equal(nearestFree(2, [0, 4]), 2);
  assert.equal(nearestFree(0.2, [0]), 1);
  assert.equal(nearestFree(0, [0, 1, -1]), 2);
});

test("no two nodes of one depth stand closer than a lane", () => {
  for (const [name, log] of logs()) {
    const layout = new Layout();
    layout.update(log);
    const columns = new Map();
    for (const node of log.nodes) columns.set(node.depth, [...(columns.get(node.depth) ?? []), layout.y[node.id]]);
    for (const column of columns.values()) {
      column.sort((a, b) => a - b);
      for (let i = 1; i < column.length; i++) assert.ok(column[i] - column[i - 1] > 0.999, name);
    }
  }
});

test("edges never cross", () => {
  for (const [name, log] of logs()) {
    const layout = new Layout();
    layout.update(log);
    for (let depth = 1; depth < layout.columns.length; depth++) {
      const column = log.nodes.filter((node) => node.depth === depth);
      column.sort((a, b) => layout.y[a.id] - layout.y[b.id]);
      for (let i = 1; i < column.length; i++) {
        assert.ok(layout.yOf(column[i - 1].parent) <= layout.yOf(column[i].parent), `${name} depth ${depth}`);
      }
    }
  }
});

test("a placed node never moves while the run grows", () => {
  for (const [name, whole] of logs()) {
    const log = new Log(whole.header);
    const layout = new Layout();
    let before = [];
    for (const step of whole.steps) {
      log.append(step);
      layout.update(log);
      assert.deepEqual(layout.y.slice(0, before.length), before, name);
      before = [...layout.y];
    }
    const late = new Layout();
    late.update(whole);
    assert.deepEqual(late.y, before, `${name}: a replay draws the tree that was drawn live`);
  }
});
