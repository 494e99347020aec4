import assert from "node:assert/strict";
import test from "node:test";

import { Layout, gather, nearestFree, reaches, separate } from "../../assets/stage/layout.js";
import { Log, parseTrace } from "../../assets/stage/log.js";
import { Shape, shownNodes } from "../../assets/stage/shape.js";
import { bushy, header, node, recorded, step } from "./traces.mjs";

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
  assert.equal(nearestFree(0, [-1, 0, 1]), 2);
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let round = 0; round < 300; round++) {
    const taken = [];
    for (let at = 0; at < round % 9; at++) taken.push((taken.at(-1) ?? -6) + 1 + Math.floor(random() * 3) / 2);
    const wanted = Math.floor(random() * 40) / 4 - 5;
    const free = (y) => taken.every((other) => Math.abs(other - y) >= 0.999);
    const places = [wanted, ...taken.flatMap((other) => [other - 1, other + 1])].filter(free);
    places.sort((a, b) => Math.abs(a - wanted) - Math.abs(b - wanted) || b - a);
    assert.equal(nearestFree(wanted, taken), places[0], `${wanted} among ${taken}`);
  }
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

/** What must hold of any layout: it places what is shown, a lane apart in every column. */
function check(log, layout, shape, name) {
  const shown = shownNodes(log, shape);
  const columns = new Map();
  log.nodes.forEach((node, id) => {
    const y = layout.yOf(id);
    assert.equal(Number.isNaN(y), !shown[id], `${name}: node ${id}`);
    if (!shown[id] || id === shape.hoisted) return;
    const column = layout.columnOf(log, id);
    columns.set(column, [...(columns.get(column) ?? []), y]);
  });
  for (const column of columns.values()) {
    column.sort((a, b) => a - b);
    for (let i = 1; i < column.length; i++) assert.ok(column[i] - column[i - 1] > 0.999, name);
  }
}

const CHANGES = [
  (shape, log) => [3, 8, 12].forEach((id) => shape.collapse(id % log.nodes.length)),
  (shape) => shape.sortBy("probable"),
  (shape) => shape.hidePruned(true),
  (shape, log) => shape.hoist(log.nodes.find((node) => node.children.length > 1).id),
  (shape) => shape.collapse(-1),
  (shape) => shape.hoist(-1),
  (shape) => shape.expandAll(),
];

test("a change of the shape lays out anew what is shown, and nothing else; undone, the tree stands as it stood", () => {
  for (const [name, log] of logs()) {
    const shape = new Shape();
    const layout = new Layout(shape);
    layout.update(log);
    const before = [...layout.y];
    for (const change of CHANGES) {
      const { epoch } = layout;
      change(shape, log);
      layout.update(log);
      assert.ok(layout.epoch > epoch);
      check(log, layout, shape, `${name}: ${change}`);
    }
    shape.hidePruned(false);
    shape.sortBy("created");
    layout.update(log);
    assert.deepEqual(layout.y, before, name);
  }
});

test("a hoisted node stands where the root stood, its children one column on", () => {
  const log = logs()[0][1];
  const shape = new Shape();
  shape.hoist(9);
  const layout = new Layout(shape);
  layout.update(log);
  assert.equal(layout.yOf(9), 0);
  assert.equal(layout.columnOf(log, 9), 0);
  log.nodes[9].children.forEach((id) => assert.equal(layout.columnOf(log, id), 1));
  assert.ok(Number.isNaN(layout.yOf(-1)));
});

test("siblings sorted by probability stand in that order", () => {
  for (const [name, log] of logs().slice(1)) {
    const shape = new Shape();
    shape.sortBy("probable");
    const layout = new Layout(shape);
    layout.update(log);
    for (const { children } of log.nodes) {
      const down = [...children].sort((a, b) => layout.y[a] - layout.y[b]).map((id) => log.nodes[id].prob);
      assert.deepEqual(down, [...down].sort((a, b) => b - a), name);
    }
  }
});

test("a placed node never moves while the run grows, whatever the shape", () => {
  for (const [name, whole] of logs()) {
    const log = new Log(whole.header);
    const shape = new Shape();
    const layout = new Layout(shape);
    whole.steps.slice(0, 8).forEach((step) => log.append(step));
    shape.collapse(2);
    shape.sortBy("probable");
    layout.update(log);
    let before = [...layout.y];
    for (const step of whole.steps.slice(8)) {
      log.append(step);
      layout.update(log);
      assert.deepEqual(layout.y.slice(0, before.length), before, name);
      before = [...layout.y];
    }
    check(log, layout, shape, name);
  }
});

test("a fold keeps a lane free for its mark in the next column", () => {
  const log = logs()[0][1];
  const shape = new Shape();
  const layout = new Layout(shape);
  const folded = log.nodes.find((node) => node.children.length > 1 && node.depth > 2).id;
  shape.collapse(folded);
  layout.update(log);
  const next = log.nodes.filter((node) => node.depth === log.nodes[folded].depth + 1 && !Number.isNaN(layout.y[node.id]));
  assert.ok(next.length > 2);
  const places = layout.taken[layout.columnOf(log, folded)];
  assert.equal(places.length, next.length + 1, "one place more than there are nodes");
});

test("how far subtrees reach is what walking them finds", () => {
  for (const [name, log] of logs().slice(0, 3)) {
    const layout = new Layout();
    layout.update(log);
    for (const known of [log.nodes.length, log.nodes.length >> 1]) {
      const { top, bottom, reach } = reaches(log, layout, known);
      for (const node of log.nodes.slice(0, known).filter((one) => one.id % 7 === 0)) {
        const below = log.nodes.slice(0, known).filter((one) => one.id >= node.id && log.lineage(one.id).includes(node.id));
        const lanes = below.map((one) => layout.y[one.id]);
        assert.ok(Math.abs(top[node.id] - Math.min(...lanes)) < 1e-4, name);
        assert.ok(Math.abs(bottom[node.id] - Math.max(...lanes)) < 1e-4, name);
        assert.equal(reach[node.id], Math.max(...below.map((one) => one.depth)) + 1, name);
      }
    }
  }
});

test("20,000 nodes are laid out, every one a lane from the others of its column, tree or samples", () => {
  const bush = new Log(header);
  bushy(520, 40).forEach((one) => bush.append(one));
  const samples = new Log(header);
  for (let id = 0; id < 20000; id++) {
    samples.append(step(id, { paths: [0], parents: [0], nodes: [node(id, id % 100 ? id - 1 : -1, 0, "x")] }));
  }
  for (const log of [bush, samples]) {
    assert.ok(log.nodes.length >= 20000);
    const layout = new Layout();
    layout.update(log);
    check(log, layout, new Shape(), "large");
  }
});
