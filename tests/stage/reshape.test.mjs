// Temperature, top-k and top-p from a few recorded candidates, held against whole distributions drawn at random.

import assert from "node:assert/strict";
import { test } from "node:test";

import { EXACT, reshape, wouldFork } from "../../assets/stage/reshape.js";
import { parseTrace } from "../../assets/stage/log.js";
import { numbers } from "./random.mjs";
import { recorded } from "./traces.mjs";

const OWN = { temperature: 1, top_k: null, top_p: null };
const entropyOf = (q) => -q.reduce((total, one) => total + (one > 0 ? one * Math.log(one) : 0), 0);

/** The sampling distribution by the definition, over the whole vocabulary. */
function shaped(p, { temperature, top_k: topK, top_p: topP }) {
  const best = p.reduce((at, one, i) => (one > p[at] ? i : at), 0);
  if (temperature === 0) return p.map((_, i) => Number(i === best));
  let w = p.map((one) => (one / p[best]) ** (1 / temperature));
  if (topK) {
    const last = [...w].sort((a, b) => b - a)[Math.min(topK, w.length) - 1];
    w = w.map((one) => (one < last ? 0 : one));
  }
  let total = w.reduce((a, b) => a + b, 0);
  if (topP) {
    const order = w.map((one, i) => i).sort((a, b) => w[b] - w[a] || a - b);
    let before = 0;
    order.forEach((i, at) => {
      const mass = w[i] / total;
      if (at && before > topP) w[i] = 0;
      before += mass;
    });
    total = w.reduce((a, b) => a + b, 0);
  }
  return w.map((one) => one / total);
}

/** A distribution: peaked, flat, with ties, or with a few heaps. */
function drawnDistribution(random, vocab) {
  const kind = Math.floor(random() * 4);
  const sharp = 0.2 + 5 * random();
  const logits = Array.from({ length: vocab }, (_, i) => {
    if (kind === 0) return sharp * (random() + random() + random() - 1.5) * 2;
    if (kind === 1) return 0.2 * random();
    if (kind === 2) return Math.round(4 * random());
    return i % 7 === 0 ? 4 + random() : sharp * random();
  });
  const top = Math.max(...logits);
  const w = logits.map((one) => Math.exp(one - top));
  const total = w.reduce((a, b) => a + b, 0);
  return w.map((one) => one / total);
}

/** What a trace keeps of it: `count` candidates at seven digits, and two entropies. */
function record(p, count) {
  const order = p.map((_, i) => i).sort((a, b) => p[b] - p[a] || b - a).slice(0, count); // ties: any order
  const round = (value) => Number(value.toFixed(7));
  return {
    entropy: entropyOf(p), raw_entropy: entropyOf(p),
    candidates: order.map((token) => ({ token, text: `t${token}`, raw_logprob: round(Math.log(p[token])), prob: round(p[token]) })),
  };
}

function settingsOf(random, vocab, count) {
  const pick = (...some) => some[Math.floor(random() * some.length)];
  return {
    temperature: pick(0, 0.05, 0.3, 0.7, 0.9, 1, 1.1, 1.5, 3, 10),
    top_k: pick(null, null, 1, 2, count - 1 || 1, count, count + 3, Math.floor(vocab / 2), vocab + 5),
    top_p: pick(null, null, 0.05, 0.3, 0.5, 0.8, 0.9, 0.99, 0.9999, 1),
  };
}

test("the true distribution lies in every interval, and where it says exact it is", () => {
  const random = numbers(11);
  let exact = 0;
  let bounded = 0;
  for (let round = 0; round < 12_000; round++) {
    const vocab = 3 + Math.floor(random() ** 3 * 400);
    const count = Math.min(vocab, 1 + Math.floor(random() * 12));
    const p = drawnDistribution(random, vocab);
    const decision = record(p, count);
    const settings = settingsOf(random, vocab, count);
    const found = reshape(decision, settings, OWN, vocab);
    const q = shaped(p, settings);
    const where = JSON.stringify({ round, vocab, count, settings });
    const holds = ({ low, high }, value, what) => {
      assert.ok(low <= high + 1e-12, `${what} ${low} > ${high} ${where}`);
      assert.ok(value >= low - 2e-5 && value <= high + 2e-5, `${what} ${value} outside [${low}, ${high}] ${where}`);
      if (found.isExact) assert.ok(Math.abs(value - (low + high) / 2) <= EXACT, `${what} ${value} is not ${low} ${where}`);
    };
    decision.candidates.forEach((one, at) => holds(found.probs[at], q[one.token], `q(${at})`));
    holds(found.entropy, entropyOf(q), "entropy");
    const own = new Set(decision.candidates.map((one) => one.token));
    const others = q.reduce((total, one, token) => total + (own.has(token) ? 0 : one), 0);
    assert.ok(others >= found.rest.low - 2e-5 && others <= found.rest.high + 2e-5, `rest ${others} ${JSON.stringify(found.rest)} ${where}`);
    if (found.isExact) exact += 1;
    else bounded += 1;
  }
  assert.ok(exact > 3000 && bounded > 2000, `${exact} exact, ${bounded} bounded`);
});

test("it is exact where the candidates decide: greedy, few by top-k, a nucleus inside them, all recorded", () => {
  const p = [0.4, 0.25, 0.15, 0.08, 0.04, ...Array(80).fill(0.001)];
  const decision = record(p, 5);
  const exact = (settings) => reshape(decision, { ...OWN, ...settings }, OWN, p.length).isExact;
  assert.ok(exact({}));
  assert.ok(exact({ temperature: 0 }));
  assert.ok(exact({ temperature: 0.6, top_k: 3 }));
  assert.ok(exact({ top_p: 0.7 }));
  assert.ok(!exact({ temperature: 1.4 }));
  assert.ok(!exact({ top_k: 20 }));
  assert.ok(reshape(record(p, p.length), { ...OWN, temperature: 1.4 }, OWN, p.length).isExact);
  const cool = reshape(decision, { ...OWN, top_k: 2 }, OWN, p.length);
  assert.ok(Math.abs(cool.probs[0].low - 0.4 / 0.65) < 1e-6 && cool.probs[2].high === 0);
  assert.match(cool.why, /^Exact/);
});

test("an interval says why: how much was not recorded, and how large each of it can be", () => {
  const p = [0.5, 0.2, 0.1, ...Array(20).fill(0.01)];
  const found = reshape(record(p, 2), { ...OWN, temperature: 2 }, OWN, p.length);
  assert.equal(found.why, "2 of 23 tokens were recorded. The others hold 0.3 together, each at most 0.2: that gives bounds, not one number.");
  assert.ok(found.probs[0].high - found.probs[0].low > 0.01);
});

test("an interval is as narrow as what was recorded allows: more candidates, less doubt", () => {
  const random = numbers(5);
  const p = drawnDistribution(random, 300);
  const widths = [2, 8, 32, 128, 300].map((count) => {
    const { low, high } = reshape(record(p, count), { ...OWN, temperature: 1.3 }, OWN, 300).probs[0];
    return high - low;
  });
  for (let at = 1; at < widths.length; at++) assert.ok(widths[at] <= widths[at - 1], widths.join(" "));
  assert.ok(widths.at(-1) < 1e-9);
});

test("recorded decisions: the run's own settings give back what was recorded, the model's its entropy", () => {
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    const own = log.header.config.sampling;
    for (const { decision } of [log.root, ...log.nodes].filter((node) => node.decision).slice(0, 60)) {
      const same = reshape(decision, own, own, log.header.model.vocab_size);
      assert.deepEqual(same.probs.map((one) => one.low), decision.candidates.map((one) => one.prob));
      assert.equal(same.entropy.high, decision.entropy);
      assert.ok(Math.abs(same.normalized.low - decision.normalized_entropy) < 1e-9);
      const warm = reshape(decision, { temperature: 1.5, top_k: null, top_p: null }, own, log.header.model.vocab_size);
      assert.ok(warm.entropy.high >= decision.raw_entropy - 1e-3, name);
    }
  }
});

test("whether it would fork is told only where the interval lies on one side of the threshold", () => {
  const at = (low, high) => wouldFork({ normalized: { low, high } }, 0.2);
  assert.deepEqual([at(0.2, 0.3), at(0.1, 0.19), at(0.1, 0.2)], ["yes", "no", "open"]);
});
