import assert from "node:assert/strict";
import test from "node:test";

import { entropyColor } from "../../assets/stage/color.js";
import { COLUMNS, captionOf, childrenAt, listed, ordered } from "../../assets/stage/columns.js";
import { contrast, inkOn, mix } from "../../assets/stage/contrast.js";
import { blocks, crumbs, isWithin, stack, there } from "../../assets/stage/icicle.js";
import { Log, PROMPT, parseTrace } from "../../assets/stage/log.js";
import { beside, deepest, inSight, itemBeside, lines, outline, readable, variantWords } from "../../assets/stage/outline.js";
import { Shape, childrenOf, masses, shownNodes } from "../../assets/stage/shape.js";
import { placesOf, pointWords, pointsOf } from "../../assets/stage/sparkline.js";
import { drawn } from "./random.mjs";
import { bushy, byHand, header, recorded } from "./traces.mjs";

function logOf(steps) {
  const log = new Log(header);
  steps.forEach((step) => log.append(step));
  return log;
}

function logs() {
  return [
    ["bushy", logOf(bushy(30, 24))], ["drawn", logOf(drawn(5, { depths: 40, width: 10 }).steps)],
    ...recorded.map(([name, text]) => [name, parseTrace(text, name)]),
  ];
}

function childrenIn(log, shape, cursor) {
  const shown = shownNodes(log, shape);
  return (id) => childrenOf(log, id, shape, cursor, shown);
}

/** The scene that the table's columns read, at `cursor`. */
function sceneOf(log, cursor, shape = new Shape()) {
  const state = log.at(cursor);
  return {
    log, state, shape, dead: log.dead(cursor), children: childrenAt(log, state.numNodes),
    live: new Set(state.isOver ? [] : state.rows.map((row) => row.node)),
  };
}

const cell = (key, node, scene) => COLUMNS.find((column) => column.key === key).text(node, scene);

test("the text of the tree written by hand is what is shared, then each variant a level deeper", () => {
  const log = logOf(byHand);
  const shape = new Shape();
  assert.deepEqual(outline(childrenIn(log, shape, 2)), [
    { key: -1, level: 0, ids: [-1], variants: 2 },
    { key: 0, level: 1, ids: [0, 2], variants: 0 },
    { key: 1, level: 1, ids: [1], variants: 2 },
    { key: 3, level: 2, ids: [3, 5], variants: 0 },
    { key: 4, level: 2, ids: [4], variants: 0 },
  ]);
  assert.equal(deepest(outline(childrenIn(log, shape, 2))), 2);
  assert.deepEqual(outline(childrenIn(log, shape, 0)).map((item) => item.ids), [[-1], [0], [1]], "later tokens are not there");
  shape.hidePruned(true);
  assert.deepEqual(outline(childrenIn(log, shape, 2)).map((item) => item.ids), [[-1], [0, 2], [1, 3, 5]], "one way left is one paragraph");
});

test("the text honours folds, a hoisted token and the order by probability", () => {
  const log = logOf(byHand);
  log.nodes[1].prob = 0.9;
  const shape = new Shape();
  shape.collapse(1);
  assert.deepEqual(outline(childrenIn(log, shape, 2)).map((item) => item.ids), [[-1], [0, 2], [1]]);
  shape.sortBy("probable");
  assert.deepEqual(outline(childrenIn(log, shape, 2)).map((item) => item.key), [-1, 1, 0]);
  shape.hoist(1);
  assert.deepEqual(outline(childrenIn(log, shape, 2), 1).map((item) => [item.level, item.ids]), [[0, [1]], [1, [3, 5]], [1, [4]]]);
});

test("every token made by the cursor is in the text once, after its parent, and paragraphs break at forks alone", () => {
  for (const [name, log] of logs()) {
    for (const cursor of [0, log.length >> 1, log.length - 1]) {
      const items = outline(childrenIn(log, new Shape(), cursor));
      const made = log.nodes.filter((node) => node.step <= cursor).map((node) => node.id);
      const ids = items.flatMap((item) => item.ids);
      assert.deepEqual([...ids].sort((a, b) => a - b), [-1, ...made], name);
      const after = (id) => made.filter((at) => log.nodes[at].parent === id);
      for (const item of items) {
        item.ids.slice(1).forEach((id, at) => assert.equal(log.nodes[id].parent, item.ids[at], name));
        item.ids.slice(0, -1).forEach((id) => assert.equal(after(id).length, 1, name));
        assert.equal(after(item.ids.at(-1)).length, item.variants, name);
        assert.notEqual(item.variants, 1, name);
      }
    }
  }
});

test("text keeps its blanks, shows a newline and breaks there, and names what is no text", () => {
  assert.equal(readable(" two  words"), " two  words");
  assert.equal(readable("end.\n\nNew"), "end.⏎\n⏎\nNew");
  assert.equal(readable("a\tb"), "a⇥b");
  assert.equal(readable("ab\u202ec"), "ab⟨202e⟩c");
  assert.equal(readable("", "<|endoftext|>"), "⟨<|endoftext|>⟩");
  assert.equal(readable("<img src=x>"), "<img src=x>");
});

test("arrow keys go along a path and between variants", () => {
  const log = logOf(byHand);
  const children = childrenIn(log, new Shape(), 2);
  const items = outline(children);
  assert.deepEqual([-1, 0, 2, 1].map((id) => beside(log, children, id, 1)), [0, 2, 2, 3]);
  assert.deepEqual([5, 3, 0, -1].map((id) => beside(log, children, id, -1)), [3, 1, -1, -1]);
  assert.equal(beside(log, children, 1, -1, 1), 1, "not out of what is hoisted");
  assert.deepEqual([-1, 0, 2, 4].map((id) => itemBeside(items, id, 1)), [0, 1, 1, 4]);
  assert.deepEqual([-1, 0, 2, 5].map((id) => itemBeside(items, id, -1)), [-1, -1, 0, 3]);
});

test("of many pieces those near the part in sight are kept, and the others' pixels are not lost", () => {
  const heights = [10, 20, 30, 40, 50];
  assert.deepEqual(inSight(heights, 0, 25, 0), { first: 0, last: 2, above: 0, below: 120 });
  assert.deepEqual(inSight(heights, 35, 30, 0), { first: 2, last: 4, above: 30, below: 50 });
  assert.deepEqual(inSight(heights, 35, 30, 15), { first: 1, last: 4, above: 10, below: 50 });
  assert.deepEqual(inSight(heights, 900, 30, 0), { first: 4, last: 5, above: 100, below: 0 }, "it became shorter");
  assert.deepEqual(inSight([], 0, 30, 9), { first: 0, last: 0, above: 0, below: 0 });
});

test("lines are guessed from letters and newlines", () => {
  const log = logOf(byHand);
  assert.deepEqual([lines(log, [0, 2], 10), lines(log, [1, 3, 5], 4), lines(log, [1, 3, 5], 2)], [1, 2, 3]);
  log.nodes[2].text = ".\n";
  assert.equal(lines(log, [0, 2], 10), 2);
});

test("a variant in words: probability within the run, length, how it ended, what is folded", () => {
  assert.equal(variantWords({ variants: 2 }, null, 3, "", 0), "The prompt and what all variants share, 3 tokens, 2 variants below");
  assert.equal(variantWords({ variants: 0 }, 0.25, 1, "finished", 0), "Variant, probability 0.250 within the run, 1 token, end of text");
  assert.equal(variantWords({ variants: 0 }, 0.25, 2, "", 7), "Variant, probability 0.250 within the run, 2 tokens, 7 tokens folded away");
});

test("blocks of the multiverse are as high as their mass and lie within their parents, side by side", () => {
  for (const [name, log] of logs()) {
    const cursor = log.length - 1;
    const children = childrenIn(log, new Shape(), cursor);
    const mass = masses(log, cursor);
    const { tops, heights, order, deepest: depth } = stack(log, children, mass);
    assert.equal(order.length, log.nodes.length + 1, name);
    assert.equal(depth, Math.max(...log.nodes.map((node) => node.depth)), name);
    for (const { id, parent, children: below } of log.nodes) {
      assert.ok(Math.abs(heights[id + 1] - mass[id]) < 1e-12, name);
      assert.ok(tops[id + 1] >= tops[parent + 1] - 1e-9, name);
      assert.ok(tops[id + 1] + heights[id + 1] <= tops[parent + 1] + heights[parent + 1] + 1e-9, name);
      below.slice(1).forEach((next, at) => {
        assert.ok(Math.abs(tops[next + 1] - tops[below[at] + 1] - heights[below[at] + 1]) < 1e-9, name);
      });
    }
  }
});

test("renormalised, a token is the whole height and its share of the others is as before", () => {
  const log = logOf(byHand);
  const children = childrenIn(log, new Shape(), 2);
  const whole = stack(log, children, masses(log, 2));
  const part = stack(log, children, masses(log, 2), 1);
  assert.deepEqual([...part.order], [1, 3, 5, 4]);
  assert.equal(part.heights[1 + 1], 1);
  assert.ok(Math.abs(part.heights[3 + 1] - whole.heights[3 + 1] / whole.heights[1 + 1]) < 1e-12);
  const seen = blocks(log, whole, { top: whole.tops[2], span: whole.heights[2] }, 100);
  const one = seen.find((block) => block.ids[0] === 1);
  assert.deepEqual([one.y, one.h], [0, 100]);
  assert.ok(!seen.some((block) => block.ids.includes(0)), "what is out of sight is not drawn");
});

test("blocks lower than a pixel share one, and none is lost", () => {
  const log = logOf(bushy(12, 400));
  const children = childrenIn(log, new Shape(), log.length - 1);
  const pile = stack(log, children, masses(log, log.length - 1));
  const height = 60;
  const found = blocks(log, pile, { top: 0, span: 1 }, height);
  assert.deepEqual(found.flatMap((block) => block.ids).sort((a, b) => a - b), [-1, ...log.nodes.map((node) => node.id)]);
  assert.ok(found.some((block) => block.ids.length > 1));
  for (let depth = -1; depth <= pile.deepest; depth++) {
    const column = found.filter((block) => block.depth === depth);
    assert.ok(column.length <= 2 * height);
    column.forEach((block, at) => at && assert.ok(block.y >= column[at - 1].y + column[at - 1].h - 1e-6));
    for (const block of column) {
      const sum = block.ids.reduce((all, id) => all + pile.heights[id + 1] * height, 0);
      assert.ok(Math.abs(sum - block.h) < 1e-6);
      if (block.ids.length > 1) for (const id of block.ids) assert.ok(pile.heights[id + 1] * height < 1);
    }
  }
});

test("a breadcrumb names where variants were chosen; before its time a token's nearest ancestor stands in", () => {
  const log = logOf(byHand);
  const children = childrenIn(log, new Shape(), 2);
  assert.deepEqual(crumbs(log, children, PROMPT, 5), [-1, 1, 3, 5]);
  assert.deepEqual(crumbs(log, children, PROMPT, 2), [-1, 0, 2]);
  assert.deepEqual(crumbs(log, children, 1, 3), [1, 3]);
  assert.deepEqual(crumbs(log, children, PROMPT, PROMPT), [-1]);
  assert.deepEqual([there(log, 5, 2), there(log, 5, 1), there(log, 5, 0), there(log, 5, -1)], [5, 3, 1, -1]);
  assert.deepEqual([isWithin(log, 5, 1), isWithin(log, 2, 1), isWithin(log, 1, 1), isWithin(log, 0, PROMPT)], [true, false, true, true]);
});

test("ink can be read on every shade of entropy, faded ones too, in light and dark", () => {
  assert.ok(Math.abs(contrast("#000", "#ffffff") - 21) < 1e-9);
  assert.ok(Math.abs(contrast("#767676", "rgb(255, 255, 255)") - 4.54) < 0.005, "the known grey");
  assert.equal(mix("#000000", "#ffffff", 0.5), "rgb(128,128,128)");
  for (const [isDark, surface] of [[false, "#ffffff"], [true, "#191d25"]]) {
    for (let value = 0; value <= 1.0001; value += 0.01) {
      const ground = entropyColor(value, isDark);
      for (const shade of [ground, mix(ground, surface, 0.7)]) assert.ok(contrast(inkOn(shade), shade) >= 4.5, `${value} ${shade}`);
    }
  }
});

test("the table says of each token what is known at the cursor", () => {
  const log = logOf(byHand);
  const row = (id, cursor) => COLUMNS.map((column) => column.text(log.nodes[id], sceneOf(log, cursor)));
  assert.deepEqual(row(0, 0), ["0", "0", "0", "·a", "0.500", "0.250", "–", "0", "1", "goes on", "–", "–", "–"]);
  assert.deepEqual(row(1, 1), ["1", "0", "0", "·b", "0.500", "0.250", "0.750", "2", "2", "passed", "3", "1", "64 B"]);
  assert.deepEqual([2, 3, 4].map((id) => cell("status", log.nodes[id], sceneOf(log, 1))), ["finished", "goes on", "pruned"]);
  assert.equal(cell("status", log.nodes[5], sceneOf(log, 2)), "length limit");
});

test("slots, reference counts and children in the table are those of the run", () => {
  const { steps, wanted } = drawn(12, { depths: 24, width: 6 });
  const log = logOf(steps);
  assert.ok(log.length > 8);
  for (const cursor of [3, log.length >> 1, log.length - 1]) {
    const scene = sceneOf(log, cursor);
    const { rows, holders } = wanted[cursor];
    for (const node of log.nodes.filter((one) => one.step <= cursor)) {
      const slot = [...holders].find(([, token]) => token === node.id + 1)?.[0];
      assert.equal(cell("slot", node, scene), slot === undefined ? "–" : String(slot));
      assert.equal(cell("refs", node, scene), slot === undefined ? "–" : String(rows.filter((row) => row.slots.includes(slot)).length));
      assert.equal(cell("children", node, scene), String(node.children.filter((id) => log.nodes[id].step <= cursor).length));
    }
  }
});

test("rows are sorted by any column, both ways, what is unknown last", () => {
  for (const [name, log] of logs()) {
    const cursor = log.length >> 1;
    const scene = sceneOf(log, cursor);
    const ids = listed(log, scene.state, scene.shape);
    assert.deepEqual(ids, log.nodes.filter((node) => node.step <= cursor).map((node) => node.id));
    for (const { key, value } of COLUMNS) {
      for (const way of [1, -1]) {
        const found = ordered(log, ids, { key, way }, scene);
        assert.deepEqual([...found].sort((a, b) => a - b), ids, `${name} ${key}`);
        const values = found.map((id) => value(log.nodes[id], scene));
        const known = values.filter((one) => one !== null);
        assert.ok(values.slice(known.length).every((one) => one === null), `${name} ${key}: unknown last`);
        known.forEach((one, at) => at && assert.ok(way > 0 ? known[at - 1] <= one : known[at - 1] >= one, `${name} ${key} ${way}`));
      }
    }
  }
});

test("the table lists what is hoisted, hides what is pruned in the end, and says so", () => {
  const log = logOf(byHand);
  const shape = new Shape();
  const caption = () => captionOf(listed(log, log.at(2), shape), log, log.at(2), shape, { key: "entropy", way: -1 });
  assert.equal(caption(), "6 tokens made up to step 2; by entropy, largest first.");
  shape.hoist(1);
  assert.deepEqual(listed(log, log.at(2), shape), [1, 3, 4, 5]);
  shape.hidePruned(true);
  assert.deepEqual(listed(log, log.at(2), shape), [1, 3, 5]);
  assert.equal(caption(), "3 tokens made up to step 2, of what is hoisted, without those that are pruned in the end; by entropy, largest first.");
});

test("the sparkline has a point for each decision on the way, as of the cursor, unsure ones higher", () => {
  const log = logOf(byHand);
  assert.deepEqual(pointsOf(log, 5, 2), [
    { id: -1, depth: -1, entropy: 0.5, factor: 2 }, { id: 1, depth: 0, entropy: 0.75, factor: 2 }, { id: 3, depth: 1, entropy: 0.2, factor: 1 },
  ]);
  assert.deepEqual(pointsOf(log, 5, 0).map((point) => point.id), [-1]);
  const { places, y } = placesOf(pointsOf(log, 5, 2), 110, 63);
  assert.deepEqual(places.map((place) => place.x), [5, 55, 105]);
  assert.ok(places[1].y < places[0].y && places[0].y < places[2].y);
  assert.deepEqual([y(1), y(0.25), y(0)], [7, 32, 57], "the legend's square root");
  assert.equal(pointWords(log, pointsOf(log, 5, 2)[1]), "after “·b” (depth 0): entropy 0.750, split into 2");
});
