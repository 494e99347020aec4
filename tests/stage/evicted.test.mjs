import assert from "node:assert/strict";
import test from "node:test";

import { Log, describe, parseTrace } from "../../assets/stage/log.js";
import { marks } from "../../assets/stage/marks.js";
import { evicting } from "./evicting.mjs";
import { header } from "./traces.mjs";

const prompt = Array.from({ length: 9 }, (_, at) => ({ token: at, text: ` p${at}`, raw: ` p${at}` }));
const runs = Array.from({ length: 24 }, (_, seed) => evicting(seed, {
  layers: 1 + (seed % 5), budget: 3 + (seed % 6), width: 1 + (seed % 4), chunk: 2 + (seed % 7), together: seed % 3 === 0,
}));

function logOf(steps) {
  const log = new Log({ ...header, prompt });
  steps.forEach((step) => log.append(step));
  return log;
}

const jumping = (length) => Array.from({ length }, (_, at) => at).sort((a, b) => ((a * 7919) % 101) - ((b * 7919) % 101));
const sorted = (map) => [...map].sort((a, b) => a[0] - b[0]);

test("with evictions every path sees in every layer what plain maps say, at every cursor", () => {
  let split = 0;
  runs.forEach(({ steps, wanted }, seed) => {
    const log = logOf(steps);
    for (const cursor of jumping(steps.length)) {
      const state = log.at(cursor);
      split += Number(state.isSplit);
      const at = `seed ${seed} step ${cursor}`;
      assert.deepEqual(state.rows.map(({ path, node }) => [path, node]), wanted[cursor].rows.map(({ path, node }) => [path, node]), at);
      state.rows.forEach((row, index) => {
        wanted[cursor].rows[index].layers.forEach((own, layer) => {
          const seen = state.visible(row, layer).map((slot) => [slot, state.tokensOf(layer)[slot]]);
          assert.deepEqual(seen, sorted(own), `${at} path ${row.path} layer ${layer}`);
          assert.ok(seen.every(([slot]) => state.sees(row, slot, layer)), at);
        });
      });
      const counts = wanted[cursor].rows[0].layers.map((_, layer) => {
        const refs = new Array(state.capacity).fill(0);
        for (const row of wanted[cursor].rows) for (const slot of row.layers[layer].keys()) refs[slot] += 1;
        return refs;
      });
      assert.deepEqual(counts.map((_, layer) => Array.from(state.refsOf(layer))), counts, at);
      if (!state.isOver) assert.deepEqual(counts.map((refs) => refs.filter(Boolean).length), state.memory.layers, at);
    }
  });
  assert.ok(split > 200);
});

test("what a log says left is which token it was, of which layer, and the marks count them", () => {
  for (const { steps, wanted } of runs) {
    const log = logOf(steps);
    const told = log.evictions.map(({ step, layer, token, at, of }) => ({ step, layer, token, paths: of.paths[at] }));
    assert.deepEqual(told, wanted.flatMap(({ gone }, step) => gone.map((one) => ({ step, ...one }))));
    const counted = marks(log).filter(({ kind }) => kind === "evict").map(({ step, count }) => [step, count]);
    assert.deepEqual(counted, wanted.flatMap(({ gone }, step) => (gone.length ? [[step, gone.length]] : [])));
  }
});

test("with evictions live, scrubbed and replayed states are equal", () => {
  for (const { steps } of runs) {
    const whole = logOf(steps);
    const growing = new Log(whole.header);
    const live = steps.map((step) => {
      growing.append(step);
      return JSON.stringify(describe(growing, growing.length - 1));
    });
    for (const cursor of jumping(steps.length)) assert.equal(JSON.stringify(describe(whole, cursor)), live[cursor]);
    assert.ok(live.some((one) => one.includes("layerTokens")));
  }
});
