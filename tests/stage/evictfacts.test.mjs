import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";

import {
  contextOf, departures, evidenceAt, fullTokens, heldBy, numEvicted, occupancyOf, positionOf, qualityAlong, qualityAt, rowOf, storedOf,
} from "../../assets/stage/evictfacts.js";
import { EvictionIndex } from "../../assets/stage/evictlog.js";
import { heldColor } from "../../assets/stage/heldscale.js";
import { luminance } from "../../assets/stage/contrast.js";
import { Log, parseTrace } from "../../assets/stage/log.js";
import { scatterOf } from "../../assets/stage/scatter.js";
import { binned, cellsOf, fitted } from "../../assets/stage/sketchgrid.js";
import { evicting } from "./evicting.mjs";
import { header } from "./traces.mjs";

const folder = new URL("../../assets/traces/evict/", import.meta.url);
const logs = readdirSync(folder).filter((name) => name.endsWith(".jsonl")).map((name) => [name, parseTrace(readFileSync(new URL(name, folder), "utf8"), name)]);

/** Replays a one-path run by its events alone: [layers] Map slot -> token code, after each step. */
function replayed(log) {
  const layers = log.header.model.num_layers;
  const held = Array.from({ length: layers }, () => new Map());
  let read = 0;
  let newest = null;
  return log.steps.map((step) => {
    const codes = step.phase === "prefill" ? step.slots.map((_, at) => -(read + at + 1)) : [newest + 1];
    if (step.phase === "prefill") read += step.slots.length;
    held.forEach((own, layer) => {
      const slots = step.layer_slots?.length ? step.layer_slots[layer] : step.slots;
      slots.forEach((slot, at) => own.set(slot, codes[at]));
    });
    for (const { layer, slots } of step.evictions) slots.forEach((slot) => held[layer].delete(slot));
    newest = step.nodes.at(-1)?.id ?? newest;
    return held.map((own) => new Map(own));
  });
}

test("recorded boards: who holds what is what a replay of writes and evictions says, at every step", () => {
  assert.equal(logs.length, 20);
  for (const [name, log] of logs) {
    replayed(log).forEach((wanted, cursor) => {
      const state = log.at(cursor);
      const [row] = state.rows;
      const at = `${name} step ${cursor}`;
      const seen = heldBy(state, row).map((own) => [...own].map(([code, slot]) => [slot, code]).sort((a, b) => a[0] - b[0]));
      assert.deepEqual(seen, wanted.map((own) => [...own].sort((a, b) => a[0] - b[0])), at);
      const told = new Map(contextOf(log, state, row).map(({ code, held }) => [code, held]));
      const counted = new Map();
      for (const own of wanted) for (const code of own.values()) counted.set(code, (counted.get(code) ?? 0) + 1);
      for (const [code, held] of told) assert.equal(held, counted.get(code) ?? 0, `${at} token ${code}`);
      assert.ok([...counted.keys()].every((code) => told.has(code)), at);
      assert.equal(fullTokens(log, state), told.size, at);
    });
  }
});

test("recorded boards: occupancy is the trace's own live slots, never above the budget, and protected tokens stay", () => {
  for (const [name, log] of logs) {
    for (const { index, memory, memory_forward: pass, budgets, paths } of log.steps) {
      const state = log.at(index);
      const [row] = state.rows;
      const all = occupancyOf(log, state, row);
      if (paths.length) assert.deepEqual(all.map(({ seen }) => seen), memory.layers, `${name} ${index}`);
      assert.deepEqual(all.map(({ budget }) => budget), memory.layers.map((_, layer) => budgets[layer] ?? null));
      for (const { seen, most, live, budget } of all) assert.ok(seen === most && seen === live && (budget === null || seen <= budget), name);
      for (const { protection, held } of contextOf(log, state, row)) if (protection) assert.equal(held, pass.layers.length, `${name} ${index}`);
    }
  }
});

test("quality is what the decisions say: mean KL, flips, and the first of them by name", () => {
  let flipped = 0;
  for (const [name, log] of logs) {
    for (const cursor of [0, Math.floor(log.length / 2), log.length - 1]) {
      const own = log.steps.slice(0, cursor + 1).flatMap((step) => step.decisions.map((one) => ({ ...one, step: step.index }))).filter((one) => one.kl !== null);
      const told = qualityAt(log, cursor);
      if (!own.length) {
        assert.equal(told, null);
        continue;
      }
      const other = own.filter((one) => one.full_top !== one.candidates[0].token);
      assert.ok(Math.abs(told.kl - own.reduce((sum, one) => sum + one.kl, 0) / own.length) < 1e-12, name);
      assert.deepEqual([told.decisions, told.flips, told.first?.step ?? null], [own.length, other.length, other[0]?.step ?? null]);
      if (told.first) {
        flipped += 1;
        assert.equal(told.first.flip.full.token, other[0].full_top);
        assert.equal(told.first.flip.own.text, other[0].candidates[0].text);
      }
      assert.deepEqual(qualityAlong(log, log.at(cursor).rows[0]).map(({ step }) => step), log.steps.flatMap((step) => step.decisions.map(() => step.index)), "one path: all of it");
    }
  }
  assert.ok(flipped > 10);
});

test("of equally probable tokens the one that the run names counts, not the first of the list", () => {
  const [, { header, steps }] = logs.find(([, log]) => qualityAt(log, log.length - 1)?.flips);
  const flips = (change) => {
    const log = new Log(header);
    for (const step of steps) log.append({ ...step, decisions: step.decisions.map((one) => ({ ...one, ...change(one) })) });
    return qualityAt(log, log.length - 1).flips;
  };
  assert.ok(flips(() => ({})) > 0);
  assert.equal(flips((one) => ({ top: one.full_top })), 0);
  assert.equal(flips((one) => ({ top: one.full_top + 1 })), steps.flatMap(({ decisions }) => decisions).length);
});

test("where paths fork, quality is told along the line through a path to the newest token below it", () => {
  let ahead = 0;
  for (let seed = 0; seed < 12; seed++) {
    const { steps } = evicting(seed);
    const log = new Log({ ...header, prompt: Array.from({ length: 9 }, (_, at) => ({ token: at, text: "p", raw: "p" })) });
    steps.forEach((step) => log.append(step));
    for (const cursor of [0, 5, 11, log.length - 1]) {
      for (const row of log.at(cursor).rows) {
        const below = log.nodes.filter(({ id }) => row.node === -1 || log.lineage(id).includes(row.node));
        const line = [-1, ...(below.length ? log.lineage(Math.max(...below.map(({ id }) => id))) : [])];
        const wanted = log.steps.flatMap((step) => step.decisions.filter(({ node }) => line.includes(node)).map(({ path, kl }) => [step.index, path, kl]));
        const told = qualityAlong(log, row).map(({ step, path, kl }) => [step, path, kl]);
        assert.deepEqual(told, wanted, `seed ${seed} step ${cursor} path ${row.path}`);
        ahead += told.filter(([step]) => step > cursor + 1).length;
      }
    }
  }
  assert.ok(ahead > 100);
});

test("the list of evictions, whole and of one layer, is what the steps say up to the cursor", () => {
  for (const [name, log] of logs) {
    const index = new EvictionIndex(log);
    for (const cursor of [-1, 0, 7, 20, log.length - 1]) {
      const steps = log.steps.slice(0, cursor + 1);
      for (const layer of [null, 0, 3]) {
        const wanted = steps.flatMap((step) => step.evictions.filter((one) => layer === null || one.layer === layer)
          .flatMap((one) => one.slots.map((slot) => [step.index, one.layer, slot])));
        const { list, count } = index.until(cursor, layer);
        const told = list.slice(0, count).map((at) => log.evictions[at]).map(({ step, layer: of, at, of: one }) => [step, of, one.slots[at]]);
        assert.deepEqual(told, wanted, `${name} ${cursor} ${layer}`);
      }
      assert.equal(numEvicted(log, cursor), index.until(cursor, null).count);
    }
    for (const { token, step, at, of } of log.evictions) {
      assert.equal(positionOf(log, token), of.positions[at], `${name} step ${step}`);
      assert.ok(departures(log, token, step).some((one) => one.step === step && one.layer === of.layer && one.reason === of.reasons[at]));
    }
  }
});

test("cells of a sketch: each is one the evidence names, with its value, and all that count there", () => {
  let shared = 0;
  for (const [, log] of logs.filter(([name]) => /narrow-[234]/.test(name))) {
    const { sketch_width: width } = log.header.config.eviction;
    const found = evidenceAt(log, log.length - 1, 2);
    const { evidence } = found;
    const cells = cellsOf(evidence, width, log.steps[found.step - 1].evidence.find(({ layer }) => layer === 2));
    const named = new Set(evidence.columns.flatMap((columns, row) => columns.map((column) => `${row}/${column}`)));
    assert.deepEqual(new Set([...cells.values()].map(({ row, column }) => `${row}/${column}`)), named);
    for (const { row, column, value, entries } of cells.values()) {
      const wanted = evidence.slots.map((_, at) => at).filter((at) => evidence.columns[row][at] === column);
      assert.deepEqual(entries, wanted);
      assert.ok(wanted.every((at) => evidence.cells[row][at] === value));
      shared += Number(wanted.length > 1);
    }
    for (let at = 0; at < evidence.slots.length; at++) {
      const least = Math.min(...evidence.cells.map((row) => row[at]));
      assert.ok(Math.abs(evidence.estimates[at] - least) <= 1e-4 * Math.max(1, least), "count-min is the smallest of a token's cells");
    }
    const bins = binned(cells, width, 4);
    assert.equal([...bins.values()].reduce((sum, one) => sum + one.entries.length, 0), evidence.columns.flat().length);
    for (const one of bins.values()) {
      const members = [...cells.values()].filter(({ row, column }) => row === one.row && Math.floor(column / 4) === one.column);
      assert.equal(one.value, Math.max(...members.map(({ value }) => value)));
    }
  }
  assert.ok(shared > 5);
});

test("a row of counters fits, scrolls or is binned, and no picture is wider than it may be", () => {
  for (const width of [1, 4, 64, 512, 4096, 2 ** 22]) {
    const { each, cells, cell } = fitted(width, 500);
    assert.ok(cells * each >= width && (cells - 1) * each < width);
    assert.ok(cell >= 3 && cells * cell <= Math.max(9003, 500), String(width));
    assert.equal(each > 1, width * 3 > 9000);
  }
});

test("the scatter holds every token, its axis ends above the largest, and the bound is in it or said to be outside", () => {
  for (const [name, log] of logs) {
    for (const { evidence } of log.steps) {
      for (const one of evidence.filter(({ exact, columns }) => exact?.length && columns?.length)) {
        const plot = scatterOf(one);
        const most = Math.max(...one.exact, ...one.estimates);
        assert.ok(plot.points.length === one.slots.length && plot.top >= most && plot.top <= 2.6 * most, name);
        assert.ok(Math.abs(plot.confidence - (1 - Math.E ** -one.columns.length)) < 1e-12); // method.md: 1 - e^-d
        assert.equal(plot.isBoundInside, one.error_bound !== null && one.error_bound < plot.top);
        const errors = one.exact.map((x, at) => Math.abs(one.estimates[at] - x));
        assert.equal(Math.abs(plot.worst.y - plot.worst.x), Math.max(...errors));
      }
    }
  }
});

test("a path that is gone is followed to where it came from or went, and the scale is even in lightness", () => {
  const [, log] = logs[0];
  const state = log.at(5);
  assert.equal(rowOf(log, state, 0), state.rows[0]);
  assert.equal(rowOf(log, state, 77), state.rows[0]);
  assert.equal(storedOf(log, log.at(0), log.at(0).rows[0]).length, log.at(0).numPrompt);
  for (const dark of [false, true]) {
    const light = [0.2, 0.4, 0.6, 0.8, 1].map((share) => luminance(heldColor(share, dark)));
    assert.ok(light.slice(1).every((value, at) => (dark ? value > light[at] : value < light[at])));
  }
  assert.equal(heldColor(0, false), "transparent");
});
