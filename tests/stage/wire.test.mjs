import assert from "node:assert/strict";
import test from "node:test";

import { Log, describe } from "../../assets/stage/log.js";
import { unpacked } from "../../assets/stage/wire.js";
import { byHand, header } from "./traces.mjs";

const step = {
  index: 4, slots: [3], texts: ["a", "<b>", "_a"],
  decisions: { rows: 3, path: [7, 8, 9], node: "path", entropy: [0.5], candidates: [2, 0, 1] },
  candidates: { rows: 3, token: [5, 6, 5], text: [0, 1, 0], prob: [1, 0.25, 0.75] },
  nodes: { rows: 1, id: [4], text: [0], raw: [2] },
};

test("columns become rows: one value stands for all, a name for another column, a place for a text", () => {
  assert.deepEqual(unpacked(step), {
    index: 4, slots: [3],
    decisions: [
      { path: 7, node: 7, entropy: 0.5, candidates: [{ token: 5, text: "a", prob: 1 }, { token: 6, text: "<b>", prob: 0.25 }] },
      { path: 8, node: 8, entropy: 0.5, candidates: [] },
      { path: 9, node: 9, entropy: 0.5, candidates: [{ token: 5, text: "a", prob: 0.75 }] },
    ],
    nodes: [{ id: 4, text: "a", raw: "_a" }],
  });
});

test("tables without rows are empty lists, and a step that was not packed stays as it is", () => {
  const none = { rows: 0, candidates: [], text: [] };
  const { decisions, nodes } = unpacked({ texts: [], decisions: none, candidates: none, nodes: none });
  assert.deepEqual([decisions, nodes], [[], []]);
  assert.equal(unpacked(byHand[0]), byHand[0]);
});

test("a log takes packed steps and plain ones alike", () => {
  const names = (rows) => [...new Set(rows.flatMap(Object.keys))];
  const table = (rows, texts) => Object.fromEntries([["rows", rows.length], ...names(rows).map((name) => [name, rows.map((row) => {
    if (name !== "text" && name !== "raw") return row[name];
    return texts.includes(row[name]) ? texts.indexOf(row[name]) : texts.push(row[name]) - 1;
  })])]);
  const packed = byHand.map(({ decisions, nodes, ...plain }) => {
    const texts = [];
    const candidates = table(decisions.flatMap((one) => one.candidates), texts);
    const counted = decisions.map((one) => ({ ...one, candidates: one.candidates.length }));
    return { ...plain, decisions: table(counted, texts), candidates, nodes: table(nodes, texts), texts };
  });
  const logs = [byHand, packed].map((steps) => {
    const log = new Log(header);
    steps.forEach((one) => log.append(one));
    return log;
  });
  for (let cursor = -1; cursor < byHand.length; cursor++) assert.deepEqual(describe(logs[1], cursor), describe(logs[0], cursor));
  assert.deepEqual(logs[1].steps, logs[0].steps);
});
