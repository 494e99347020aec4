// Prefill and decode apart: the page's figures are Python's, at every kind of run and several steps of each.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { parseTrace } from "../../assets/stage/log.js";
import { phasesOf, quantile } from "../../assets/stage/phases.js";
import { readTrace } from "../../assets/stage/parse.js";
import { backends } from "./traces.mjs";

const { work, rates, runs } = JSON.parse(readFileSync(new URL("phases.json", import.meta.url), "utf8"));
const textOf = (name) => backends.get(name) ?? readFileSync(new URL(`stored/${name}.jsonl`, import.meta.url), "utf8");

/** The text of a trace whose header knows more. */
function knowing(text, more) {
  const [first, ...steps] = text.split("\n");
  const header = JSON.parse(first);
  return [JSON.stringify({ ...header, rates: more.rates, model: { ...header.model, work: more.work } }), ...steps].join("\n");
}

function near(found, wanted, where) {
  if (wanted === null || typeof wanted === "string") return assert.equal(found, wanted, where);
  if (typeof wanted === "number") return assert.ok(Math.abs(found - wanted) <= 1e-9 * Math.max(1, Math.abs(wanted)), `${where}: ${found}, not ${wanted}`);
  assert.deepEqual(Object.keys(found).sort(), Object.keys(wanted).sort(), where);
  for (const name of Object.keys(wanted)) near(found[name], wanted[name], `${where}.${name}`);
}

for (const [name, moments] of Object.entries(runs)) {
  test(`${name}: the same figures as explorer/phases.py, forwards and backwards`, () => {
    const log = parseTrace(knowing(textOf(name), { work, rates }), name);
    for (const [cursor, wanted] of [...moments, ...moments.toReversed()]) near(phasesOf(log, cursor), wanted, `${name} at ${cursor}`);
    assert.ok(Object.values(phasesOf(log, log.length - 1)).every((part) => part !== undefined));
  });
}

test("a run whose model or machine is unknown says so and keeps what was measured", () => {
  const known = runs.cow.at(-1)[1];
  const bare = parseTrace(textOf("cow"), "cow");
  const found = phasesOf(bare, bare.length - 1);
  for (const name of ["nbytes", "weight_nbytes", "flops", "intensity", "predicted"]) assert.equal(found.decode[name], null, name);
  assert.equal(found.machine, null);
  near(found.decode.tokens_per_second, known.decode.tokens_per_second, "speed");
  near(found.inter_token_seconds, known.inter_token_seconds, "waits");
  const slow = parseTrace(knowing(textOf("cow"), { work, rates: null }), "cow");
  assert.equal(phasesOf(slow, 4).decode.predicted, null);
  near(phasesOf(slow, slow.length - 1).decode.intensity, known.decode.intensity, "intensity");
});

test("figures grow with a live run", () => {
  const whole = parseTrace(knowing(textOf("cow"), { work, rates }), "cow");
  const text = knowing(textOf("cow"), { work, rates }).split("\n");
  const live = parseTrace(`${text[0]}\n`, "cow");
  for (const step of whole.steps) {
    live.append(step);
    assert.deepEqual(phasesOf(live, live.length - 1), phasesOf(whole, step.index));
  }
});

test("a file whose machine or model makes no sense is refused", () => {
  const wrong = (more) => () => readTrace(knowing(textOf("cow"), more), "It");
  assert.throws(wrong({ work, rates: { ...rates, flops_per_second: 0 } }), /damaged at line 1: rates.flops_per_second/);
  assert.throws(wrong({ work: { ...work, weight_nbytes: "many" }, rates }), /damaged at line 1: model.work.weight_nbytes/);
});

test("quantiles lie between the nearest ranks", () => {
  assert.deepEqual([0, 0.5, 0.95, 1].map((share) => quantile([4, 1, 3, 2], share)), [1, 2.5, 3.8499999999999996, 4]);
  assert.equal(quantile([], 0.5), null);
});
