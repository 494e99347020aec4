// The slot map's order: the tree written by hand as literals, recorded runs against what a path is.

import assert from "node:assert/strict";
import test from "node:test";

import { Log, parseTrace } from "../../assets/stage/log.js";
import { byPath, chunks, inRows, inSegments, neighbour } from "../../assets/stage/order.js";
import { copied, gridFor } from "../../assets/stage/pool.js";
import { byHand, header, memory, node, recorded, step } from "./traces.mjs";

function logOf(steps) {
  const log = new Log(header);
  steps.forEach((one) => log.append(one));
  return log;
}

test("by path: the prompt, what is shared in tree order, each path's own slots, then what is free", () => {
  // Once upon -+- a (0) -+- c (2, path 3) - f (5)
  //            |         +- d (3, path 4) - g (6)
  //            +- b (1, path 2) - e (4) - h (7)
  const log = logOf([
    step(0, { phase: "prefill", paths: [1, 2], parents: [0, 0], slots: [4, 1], memory: memory(2, 4, 2),
      nodes: [node(0, -1, 1, "a"), node(1, -1, 2, "b")], forks: [{ path: 0, children: [1, 2] }] }),
    step(1, { paths: [3, 4, 2], parents: [0, 0, 1], slots: [0, 3], memory: memory(4, 9, 3),
      nodes: [node(2, 0, 3, "c"), node(3, 0, 4, "d"), node(4, 1, 2, "e")], forks: [{ path: 1, children: [3, 4] }] }),
    step(2, { paths: [3, 4, 2], parents: [0, 1, 2], slots: [7, 2, 5], memory: memory(7, 12, 3),
      nodes: [node(5, 2, 3, "f"), node(6, 3, 4, "g"), node(7, 4, 2, "h")] }),
  ]);
  const plain = byPath(log, log.at(2)).map(({ kind, label, slots }) => [kind, label, slots]);
  assert.deepEqual(plain, [
    ["prompt", "prompt", [4, 1]],
    ["shared", "×2", [0]],
    ["path", "p3", [7]],
    ["path", "p4", [2]],
    ["path", "p2", [3, 5]],
    ["free", "free", [6]],
  ]);
});

test("recorded runs: every slot is shown once, shared ones below what they continue, own ones with their path", () => {
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    for (let cursor = 0; cursor < log.length; cursor++) {
      const state = log.at(cursor);
      const segments = byPath(log, state);
      const all = segments.flatMap(({ slots }) => slots);
      const where = `${name} step ${cursor}`;
      assert.deepEqual([...all].sort((a, b) => a - b), Array.from({ length: state.capacity }, (_, slot) => slot), where);
      const place = new Map(all.map((slot, at) => [slot, at]));
      for (const segment of segments) {
        if (segment.kind === "shared") {
          for (const slot of segment.slots) {
            assert.equal(state.refs[slot], segment.count, where);
            const { parent } = log.nodes[state.tokens[slot] - 1];
            if (parent >= 0) assert.ok(place.get(log.nodes[parent].slot) < place.get(slot), where);
          }
        }
        if (segment.kind === "path") {
          const row = state.rows.find((one) => one.path === segment.path);
          const own = state.visible(row).filter((slot) => state.refs[slot] === 1 && state.tokens[slot] > 0);
          assert.deepEqual([...segment.slots].sort((a, b) => a - b), own, where);
        }
      }
    }
  }
});

test("segments lie inside the canvas, no two slots in one cell, and a point finds the slot drawn there", () => {
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    const state = log.at(log.length - 1);
    const [width, height] = [440, 128];
    const layout = inSegments(byPath(log, state), width, height);
    const taken = new Set();
    for (let slot = 0; slot < state.capacity; slot++) {
      const [x, y] = layout.at(slot);
      assert.ok(x >= 0 && x + layout.cell <= width && y + layout.cell <= height, name);
      assert.ok(!taken.has(`${x} ${y}`), name);
      taken.add(`${x} ${y}`);
      assert.equal(layout.slotAt(x + layout.cell / 2, y + layout.cell / 2), slot);
    }
    assert.ok(layout.labels.some((label) => label.text === "prompt"), name);
  }
});

test("arrow keys reach every slot, whatever the order", () => {
  const log = parseTrace(recorded[0][1], recorded[0][0]);
  const state = log.at(log.length - 1);
  const grid = gridFor(state.capacity, 440, 126);
  for (const layout of [inRows(state.capacity, grid), inSegments(byPath(log, state), 440, 126)]) {
    const first = layout.order?.[0] ?? 0;
    const seen = new Set([first]);
    for (let slot = first, last = -1; slot !== last; seen.add(slot)) {
      last = slot;
      slot = neighbour(layout, state.capacity, slot, "ArrowRight");
    }
    assert.equal(seen.size, state.capacity);
    const below = neighbour(layout, state.capacity, first, "ArrowDown");
    assert.ok(layout.at(below)[1] > layout.at(first)[1]);
    assert.ok(layout.at(neighbour(layout, state.capacity, below, "ArrowUp"))[1] < layout.at(below)[1]);
    assert.equal(neighbour(layout, state.capacity, first, "ArrowLeft"), first);
  }
});

test("chunks begin where the pool grew, at the step that it grew in, and later ones are not known yet", () => {
  const sizes = [8, 8, 20, 20, 32];
  const log = logOf(sizes.map((capacity, index) => step(index, { memory: { ...memory(1, 1), capacity } })));
  assert.deepEqual(chunks(log, 4), [{ slot: 0, step: 0 }, { slot: 8, step: 2 }, { slot: 20, step: 4 }]);
  assert.deepEqual(chunks(log, 3), [{ slot: 0, step: 0 }, { slot: 8, step: 2 }]);
});

test("copy-on-write moments since a step: the first slots that forked rows wrote, from the last slot they share", () => {
  let found = 0;
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    for (let cursor = 1; cursor < log.length; cursor++) {
      for (const since of [cursor - 1, cursor - 4, -1]) {
        const state = log.at(cursor);
        const wanted = [];
        for (let index = Math.max(1, since + 1); index <= cursor; index++) {
          const { parents, paths, nodes } = log.steps[index - 1];
          paths.forEach((path, row) => {
            if (parents.filter((parent) => parent === parents[row]).length < 2) return;
            const { id, parent } = nodes.find((one) => one.path === path);
            const to = log.nodes[id].slot;
            const from = parent < 0 ? log.prompt.at(-1).slot : log.nodes[parent].slot;
            if (state.tokens[to] === id + 1 && state.tokens[from]) wanted.push([from, to]);
          });
        }
        const order = (pairs) => pairs.map(String).sort();
        assert.deepEqual(order(copied(log, state, since)), order(wanted), `${name}: ${since} to ${cursor}`);
        found += wanted.length;
      }
    }
  }
  assert.ok(found > 100, String(found));
});
