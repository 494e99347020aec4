// Trace files that are damaged or hostile: refused in one sentence, or fit to be shown in every view at every cursor.

import assert from "node:assert/strict";
import test from "node:test";

import { describe, parseTrace } from "../../assets/stage/log.js";
import { marks } from "../../assets/stage/marks.js";
import { flatten } from "../../assets/stage/settings.js";
import { masses } from "../../assets/stage/shape.js";
import { project } from "../../assets/stage/shapes.js";
import { tryThreshold } from "../../assets/stage/whatif.js";
import { recorded } from "./traces.mjs";

const LLAMA = { layers: 32, kv_heads: 8, head_dim: 128, dtype: "bfloat16", window: null, window_layers: 0, latent: null };
const GONE = Symbol("gone");
const VALUES = [GONE, null, "text", "", 2e9, -7, 0.5, 1e300, [], {}, true, [null], [2e9]];

/** A short run with forks, ends and freed slots: `[header, ...steps]`, few candidates each. */
function short() {
  const [, text] = recorded.find(([name]) => name === "story.jsonl");
  const parts = text.trim().split("\n").slice(0, 12).map((line) => JSON.parse(line));
  for (const { decisions } of parts.slice(1)) for (const one of decisions) one.candidates.length = Math.min(2, one.candidates.length);
  return parts;
}

const file = (parts) => parts.map((part) => `${JSON.stringify(part)}\n`).join("");

/** Ways to every field below `value`; of a list its first and its last entry stand for all. */
function fields(value, way = []) {
  if (value === null || typeof value !== "object") return [way];
  const names = Array.isArray(value) ? [...new Set([0, value.length - 1])].filter((at) => at in value) : Object.keys(value);
  return [...(way.length ? [way] : []), ...names.flatMap((name) => fields(value[name], [...way, name]))];
}

function changed(part, way, value) {
  const copy = structuredClone(part);
  const holder = way.slice(0, -1).reduce((inner, name) => inner[name], copy);
  if (value !== GONE) holder[way.at(-1)] = value;
  else if (Array.isArray(holder)) holder.splice(way.at(-1), 1);
  else delete holder[way.at(-1)];
  return copy;
}

/** Everything that the page works out of a run. */
function shownThroughout(log) {
  for (let cursor = -1; cursor < log.length; cursor++) {
    const shown = describe(log, cursor);
    assert.ok(shown.refs.length < 1e6);
    for (const { decision } of log.nodes.slice(0, shown.nodes.length)) decision?.candidates.forEach(({ prob }) => prob.toFixed(2));
    masses(log, cursor);
    tryThreshold(log, cursor, 0.1);
    project(log, LLAMA, cursor);
  }
  marks(log);
  flatten(log.header);
}

test("any field of a header or a step, gone or another thing: refused in one sentence with its line, or shown throughout", () => {
  const parts = short();
  const counted = { refused: 0, shown: 0 };
  const forking = parts.findIndex((part) => part.forks?.length && part.nodes.length > 2);
  assert.ok(forking > 0);
  for (const at of [0, 1, forking, parts.length - 1]) {
    for (const way of fields(parts[at])) {
      for (const value of VALUES) {
        const given = file(parts.map((part, place) => (place === at ? changed(part, way, value) : part)));
        const where = `line ${at + 1}, ${way.join(".")} = ${String(value)}`;
        let log = null;
        try {
          log = parseTrace(given, "run.jsonl");
        } catch (error) {
          counted.refused += 1;
          assert.match(error.message, /^run\.jsonl is (not a Forkscope trace|a trace of (version [-+e\d]+|an unknown version); this page reads version 1|damaged at line \d+: .*)\.$/, where);
          assert.ok(!/undefined|Cannot read|not a function|NaN/.test(error.message), `${where}: ${error.message}`);
          assert.ok(error.message.length < 160, error.message);
        }
        if (!log) continue;
        counted.shown += 1;
        assert.doesNotThrow(() => shownThroughout(log), where);
      }
    }
  }
  assert.ok(counted.refused > 2000 && counted.shown > 100, JSON.stringify(counted));
});

test("what was accepted and broke the page later is refused, with what is wrong and where", () => {
  const cases = [
    [0, ["prompt"], GONE, "line 1: prompt is missing"],
    [0, ["model"], GONE, "line 1: model is missing"],
    [0, ["config"], null, "line 1: config is not an object"],
    [0, ["config", "branching", "entropy_threshold"], "a", "line 1: config.branching.entropy_threshold is not a number from 0 to 1"],
    [1, ["decisions", 0, "candidates"], null, "line 2: decisions[0].candidates is not a list"],
    [1, ["slots", 0], 2e9, "line 2: a slot lies outside memory.capacity"],
    [1, ["memory", "capacity"], 2e9, "line 2: memory.capacity is more slots than this page can show"],
    [1, ["positions"], 2e9, "line 2: positions is more than the prompt has"],
    [2, ["nodes", 0, "parent"], 999, "line 3: nodes[0].parent is not a node before it"],
    [2, ["nodes", 0, "id"], 0, "line 3: nodes[0].id is not 1"],
    [2, ["parents", 0], 5, "line 3: parents names a path that is not there"],
    [3, ["index"], 7, "line 4: step 2 is missing"],
    [2, ["ends"], [{ path: 0, node: 0, status: "eaten" }], "line 3: ends[0].status is not one of finished, length, pruned, cancelled"],
    [2, ["ends"], [{ path: 0, node: 88, status: "pruned" }], "line 3: ends names a node that is not there"],
  ];
  const parts = short();
  for (const [at, way, value, words] of cases) {
    const given = file(parts.map((part, place) => (place === at ? changed(part, way, value) : part)));
    assert.throws(() => parseTrace(given, "run.jsonl"), { message: `run.jsonl is damaged at ${words}.` });
  }
});

test("a line that is no JSON is named by its place in the file, blank ones counted", () => {
  const [header, first, ...rest] = short().map((part) => JSON.stringify(part));
  assert.throws(() => parseTrace([header, "", first, "{", ...rest, ""].join("\n"), "run.jsonl"),
    { message: "run.jsonl is damaged at line 4: the line is not an object." });
});

test("recorded runs come through as they are", () => {
  for (const [name, text] of recorded) {
    const lines = text.trim().split("\n");
    const log = parseTrace(text, name);
    assert.deepEqual([log.header, ...log.steps], lines.map((line) => JSON.parse(line)));
  }
});
