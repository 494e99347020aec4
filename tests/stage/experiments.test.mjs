// A sweep's plot without a page: which axis stands below, which rows are one line, where values stand.

import assert from "node:assert/strict";
import { test } from "node:test";

import { axisOf, places, series, shown } from "../../assets/stage/experimentsplot.js";

const rows = [8, 1, 64].flatMap((paths) => ["top", "sample"].map((select) => ({ paths, select, name: `${paths} ${select}` })));

test("the axis below is the sweep's own where rows have it, else the one of most values", () => {
  assert.equal(axisOf({ x: null, axes: ["select", "paths"], rows }), "paths");
  assert.equal(axisOf({ x: "select", axes: ["select", "paths"], rows }), "select");
  assert.equal(axisOf({ x: "temperature", axes: ["select", "paths"], rows }), "paths");
});

test("a line is each value of the other axes that vary, in order of x", () => {
  const fixed = rows.map((row) => ({ ...row, model: "tiny" }));
  const groups = series({ axes: ["paths", "select", "model"], rows: fixed }, "paths");
  assert.deepEqual([...groups.keys()], ["select top", "select sample"]);
  assert.deepEqual(groups.get("select top").map((row) => row.paths), [1, 8, 64]);
});

test("words keep their order; numbers stand at their value, far ones at their logarithm", () => {
  const words = places(["b", "a", "b"]);
  assert.deepEqual([words.known, words.isLog], [["b", "a"], false]);
  assert.ok(words.at("b") < words.at("a"));
  const near = places([1, 2, 4]);
  assert.equal(near.isLog, false);
  assert.ok(Math.abs((near.at(2) - near.at(1)) / (near.at(4) - near.at(1)) - 1 / 3) < 1e-9);
  const far = places([1, 4, 16]);
  assert.equal(far.isLog, true);
  assert.ok(Math.abs(far.at(4) - (far.at(1) + far.at(16)) / 2) < 1e-9);
  assert.equal(places([0, 1000]).isLog, false);
  assert.equal(places([7]).at(7), 0.5);
});

test("values are shown with their unit, and what is not known as unknown", () => {
  assert.deepEqual([shown(2048, "B"), shown(0.123456, "s"), shown(1200, "tokens"), shown(1210.6666, ""), shown(null, "s"), shown("lru", "")],
    ["2.0 KiB", "0.1235 s", "1,200 tokens", "1,211", "–", "lru"]);
});
