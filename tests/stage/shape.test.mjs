import assert from "node:assert/strict";
import test from "node:test";

import { Log, parseTrace } from "../../assets/stage/log.js";
import { Shape, counts, masses, pruned, reading, shownNodes } from "../../assets/stage/shape.js";
import { bushy, byHand, header, node, recorded, step } from "./traces.mjs";

function logOf(steps) {
  const log = new Log(header);
  steps.forEach((one) => log.append(one));
  return log;
}

/** Shares and sizes straight from their definitions: a node's mass by walking up, its size by looking at all. */
function byDefinition(log, cursor) {
  const there = (id) => log.nodes[id].step <= cursor;
  const share = (id) => {
    const siblings = log.node(log.nodes[id].parent).children.filter(there);
    return log.nodes[id].prob / siblings.reduce((sum, at) => sum + log.nodes[at].prob, 0);
  };
  const ids = log.nodes.map((one) => one.id);
  return {
    mass: ids.map((id) => (there(id) ? log.lineage(id).reduce((product, at) => product * share(at), 1) : 0)),
    count: ids.map((id) => ids.filter((at) => there(at) && log.lineage(at).includes(id)).length),
  };
}

const shown = (log, shape) => [...shownNodes(log, shape)];

test("masses of the tree written by hand are divided among siblings as of the cursor", () => {
  const log = logOf(byHand);
  log.nodes[0].prob = 0.6;
  log.nodes[1].prob = 0.2;
  log.nodes[3].prob = 0.3;
  log.nodes[4].prob = 0.1;
  const near = (found, wanted) => wanted.forEach((value, at) => assert.ok(Math.abs(found[at] - value) < 1e-12, `${found}`));
  near([...masses(log, 0)], [0.75, 0.25, 0, 0, 0, 0]);
  near([...masses(log, 2)], [0.75, 0.25, 0.75, 0.1875, 0.0625, 0.1875]);
  assert.deepEqual([...counts(log, 0)], [1, 1, 0, 0, 0, 0]);
  assert.deepEqual([...counts(log, 2)], [2, 4, 1, 2, 1, 1]);
});

test("masses and counts of recorded runs are those of their definitions, and leaves share all of the mass", () => {
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    for (const cursor of [0, log.length >> 1, log.length - 1]) {
      const { mass, count } = byDefinition(log, cursor);
      const found = masses(log, cursor);
      mass.forEach((value, id) => assert.ok(Math.abs(found[id] - value) < 1e-9, `${name} ${id}`));
      assert.deepEqual([...counts(log, cursor)], count, name);
      const leaves = log.nodes.filter((one) => one.step <= cursor && !one.children.some((id) => log.nodes[id].step <= cursor));
      const whole = leaves.reduce((sum, one) => sum + found[one.id], 0);
      assert.ok(Math.abs(whole - 1) < 1e-9, `${name}: ${whole}`);
    }
  }
});

test("samples of one token are siblings with a part each", () => {
  const log = logOf([
    step(0, { phase: "prefill", paths: [0], parents: [0], nodes: [{ ...node(0, -1, 0, " a"), prob: 0.5 }] }),
    step(1, { paths: [0], parents: [0], nodes: [{ ...node(1, -1, 0, " a"), prob: 0.5 }] }),
    step(2, { paths: [0], parents: [0], nodes: [{ ...node(2, -1, 0, " b"), prob: 0.25 }] }),
    step(3, { paths: [0], parents: [0], nodes: [{ ...node(3, 2, 0, " c"), prob: 0 }] }),
  ]);
  assert.deepEqual([...masses(log, 3)], [0.4, 0.4, 0.2, 0.2], "a child of probability 0 that is alone takes all");
});

test("a fold hides what is below it and nothing else", () => {
  const log = logOf(byHand);
  const shape = new Shape();
  assert.deepEqual(shown(log, shape), [1, 1, 1, 1, 1, 1]);
  shape.collapse(1);
  assert.deepEqual(shown(log, shape), [1, 1, 1, 0, 0, 0]);
  shape.collapse(-1);
  assert.deepEqual(shown(log, shape), [0, 0, 0, 0, 0, 0]);
  shape.expandAll();
  assert.deepEqual(shown(log, shape), [1, 1, 1, 1, 1, 1]);
  assert.ok(shape.isPlain);
});

test("a hoisted node is the root, with its own descendants only", () => {
  const log = logOf(byHand);
  const shape = new Shape();
  shape.collapse(1);
  shape.hoist(1);
  assert.deepEqual(shown(log, shape), [0, 1, 0, 1, 1, 1], "the fold of the hoisted node is open");
  assert.deepEqual(reading(log, shape, 2), [1, 3, 5, 4]);
  shape.hoist(-1);
  assert.deepEqual(reading(log, shape, 2), [0, 2, 1, 3, 5, 4]);
  assert.deepEqual(reading(log, shape, 0), [0, 1]);
});

test("hiding the pruned leaves those that some unpruned path goes through", () => {
  const shape = new Shape();
  shape.hidePruned(true);
  assert.deepEqual(shown(logOf(byHand), shape), [1, 1, 1, 1, 0, 1]);
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    const alive = new Set(log.nodes.filter((one) => !one.children.length && one.status !== "pruned").flatMap((one) => log.lineage(one.id)));
    assert.deepEqual(shown(log, shape), log.nodes.map((one) => Number(alive.has(one.id))), name);
    assert.deepEqual([...pruned(log)], log.nodes.map((one) => Number(!alive.has(one.id))), name);
  }
});

test("what is read in order of probability holds the same nodes, a child's all together, the likelier child first", () => {
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    const shape = new Shape();
    shape.sortBy("probable");
    const ids = reading(log, shape, log.length - 1);
    assert.deepEqual([...ids].sort((a, b) => a - b), log.nodes.map((one) => one.id), name);
    const place = new Map(ids.map((id, at) => [id, at]));
    const size = counts(log, log.length - 1);
    for (const one of log.nodes) {
      const children = [...one.children].sort((a, b) => place.get(a) - place.get(b));
      let next = place.get(one.id) + 1;
      for (const child of children) {
        assert.equal(place.get(child), next, name);
        next += size[child];
      }
      const probs = children.map((id) => log.nodes[id].prob);
      assert.deepEqual([...probs].sort((a, b) => b - a), probs, name);
    }
  }
});

test("a hidden node is brought back by undoing as little as needed", () => {
  const log = logOf(byHand);
  const shape = new Shape();
  shape.collapse(1);
  shape.collapse(0);
  shape.hoist(0);
  shape.hidePruned(true);
  assert.ok(shape.reveal(log, 4));
  assert.equal(shownNodes(log, shape)[4], 1);
  assert.deepEqual([...shape.collapsed], [], "hoisting had opened node 0, revealing opened node 1");
  shape.collapse(0);
  assert.ok(!shape.reveal(log, 4), "node 4 is shown already");
  assert.ok(shape.collapsed.has(0));
});

test("the version tells a change of the layout from a mere mark", () => {
  const shape = new Shape();
  const before = shape.version;
  shape.bookmark(3);
  shape.find([1, 2]);
  shape.collapse(3, false);
  shape.sortBy("created");
  assert.equal(shape.version, before);
  assert.ok(shape.bookmarks.has(3) && shape.found.has(2));
  shape.sortBy("probable");
  assert.ok(shape.version > before && !shape.isPlain);
});

test("20,000 nodes, and paths of thousands of tokens, are counted and read to the last one", () => {
  const chain = Array.from({ length: 9000 }, (_, at) => step(at, { paths: [0], parents: [0], nodes: [node(at, at - 1, 0, "x")] }));
  for (const log of [logOf(chain), logOf(bushy(550, 40))]) {
    const shape = new Shape();
    shape.sortBy("probable");
    for (let round = 0; round < 5; round++) {
      const cursor = log.length - 1 - round;
      const there = log.nodes.filter((one) => one.step <= cursor);
      const sum = (values, ids) => ids.reduce((total, { id }) => total + values[id], 0);
      const first = there.filter((one) => one.parent === -1);
      assert.ok(Math.abs(sum(masses(log, cursor), first) - 1) < 1e-9);
      assert.equal(sum(counts(log, cursor), first), there.length);
      assert.equal(reading(log, shape, cursor).length, there.length);
    }
  }
});
