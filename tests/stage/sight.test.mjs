import assert from "node:assert/strict";
import test from "node:test";

import { Layout } from "../../assets/stage/layout.js";
import { Log, parseTrace } from "../../assets/stage/log.js";
import { BUDGET, foldedInto, holderOf, isDrawn, originOf, placedOf, sight, weight } from "../../assets/stage/sight.js";
import { Shape } from "../../assets/stage/shape.js";
import { bushy, header, node, recorded, step } from "./traces.mjs";

function laidOut(log, shape = new Shape()) {
  const layout = new Layout(shape);
  layout.update(log);
  return layout;
}

function logOf(steps) {
  const log = new Log(header);
  steps.forEach((one) => log.append(one));
  return log;
}

/** 200 samples of 100 tokens: a chain each. */
const samples = logOf(Array.from({ length: 20000 }, (_, id) => step(id, {
  paths: [0], parents: [0], nodes: [node(id, id % 100 ? id - 1 : -1, 0, "x")],
})));
const bush = logOf(bushy(530, 40));
const LARGE = [["samples", samples], ["bush", bush]];

/** What a window of `width` x `height` pixels shows at `scale`, from the place where (column, lane) is its corner. */
function view(scale, column = 0, lane = 0, width = 1000, height = 450) {
  const [dx, dy] = [92 * scale, 23 * scale];
  return { left: column, right: column + width / dx, top: lane, bottom: lane + height / dy, dx, dy };
}

const SCALES = [4, 1, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.004];

test("near by, every node in the window is drawn and no other", () => {
  for (const [name, log] of [...recorded.map(([title, text]) => [title, parseTrace(text, title)]), ...LARGE]) {
    const layout = laidOut(log);
    const window = view(1, 6, -4);
    const { ids, threshold, stride } = sight(log, layout, window);
    const wanted = log.nodes.filter(({ id, parent, depth }) => {
      const lanes = [layout.y[id], layout.yOf(parent)];
      return depth >= 4 && depth + 1 <= Math.ceil(window.right) + 1
        && Math.min(...lanes) <= window.bottom && Math.max(...lanes) >= window.top;
    });
    assert.deepEqual(ids, wanted.map((one) => one.id), name);
    assert.deepEqual([threshold, stride], [0, 1], name);
  }
});

test("at any zoom, anywhere, no more is drawn than the page can bear", () => {
  for (const [name, log] of LARGE) {
    const layout = laidOut(log);
    for (const scale of SCALES) {
      for (const column of [0, 40, 300]) {
        for (const lane of [layout.extent[0], -10]) {
          const { ids } = sight(log, layout, view(scale, column, lane, 1500, 700));
          assert.ok(ids.length <= BUDGET + 120, `${name}: ${ids.length} at ${scale}`);
        }
      }
    }
  }
});

test("every node in the window is drawn, or is folded into one that is", () => {
  for (const [name, log] of LARGE) {
    const layout = laidOut(log);
    for (const scale of [1, 0.3, 0.1, 0.02]) {
      const window = view(scale, scale > 0.1 ? 20 : 0, -8);
      const picked = sight(log, layout, window);
      const drawn = new Set(picked.ids);
      const folded = new Map(); // first node of a folded subtree -> who holds it
      for (const id of [layout.root, ...picked.ids]) {
        for (const first of foldedInto(log, layout, picked, id, log.nodes.length)) {
          assert.ok(!folded.has(first), `${name}: ${first} is folded once`);
          folded.set(first, id);
        }
      }
      let hidden = 0;
      for (const { id, depth } of log.nodes) {
        const isInside = depth + 1 >= window.left && depth + 1 <= window.right
          && layout.y[id] >= window.top && layout.y[id] <= window.bottom;
        if (!isInside || drawn.has(id)) continue;
        hidden += 1;
        const holder = holderOf(log, layout, picked, id);
        assert.ok(holder === layout.root || drawn.has(holder), `${name} at ${scale}: ${id}`);
        const way = log.lineage(id);
        const first = way.find((at) => folded.has(at));
        if (first !== undefined) assert.equal(folded.get(first), holder, `${name} at ${scale}: ${id}`);
        else assert.ok(weight(layout, id) >= picked.threshold, "passed over between two columns that are drawn");
      }
      assert.equal(hidden > 0, picked.threshold > 0 || picked.stride > 1, `${name} at ${scale}`);
    }
  }
});

test("what is drawn is a tree: its edges begin at nodes that are drawn", () => {
  const layout = laidOut(bush);
  for (const scale of SCALES) {
    const picked = sight(bush, layout, view(scale, 0, -200, 1e7, 1e7));
    const drawn = new Set([layout.root, ...picked.ids]);
    for (const id of picked.ids) {
      assert.ok(isDrawn(layout, picked, id));
      assert.ok(drawn.has(originOf(bush, layout, picked, id)), `${id} at ${scale}`);
    }
  }
});

test("a chain 9,000 tokens deep is looked over without a stack", () => {
  const chain = logOf(Array.from({ length: 9000 }, (_, at) => step(at, { paths: [0], parents: [0], nodes: [node(at, at - 1, 0, "x")] })));
  const layout = laidOut(chain);
  const picked = sight(chain, layout, view(0.004));
  assert.deepEqual(picked.ids, [], "one lane is too low to be drawn");
  assert.deepEqual(foldedInto(chain, layout, picked, -1, 9000), [0]);
  assert.deepEqual(foldedInto(chain, layout, picked, -1, 0), [], "nothing is folded before it is there");
  assert.equal(holderOf(chain, layout, picked, 8999), -1);
});

test("what a shape hides is represented by the nearest node it shows", () => {
  const shape = new Shape();
  shape.collapse(3);
  const layout = laidOut(bush, shape);
  const below = bush.nodes.find((one) => bush.lineage(one.id).includes(3) && one.depth > bush.nodes[3].depth + 3).id;
  assert.equal(placedOf(bush, layout, below), 3);
  shape.hoist(2);
  layout.update(bush);
  assert.equal(placedOf(bush, layout, below), 2, "what is not below the hoisted node is held by the root");
  assert.equal(placedOf(bush, layout, -1), 2);
});
