// Strategies by name, and what each does to a distribution that is known whole.

import assert from "node:assert/strict";
import { test } from "node:test";

import { reshape } from "../../assets/stage/reshape.js";
import { STRATEGIES, TITLES, isSameSettings, strategyName } from "../../assets/stage/strategy.js";

const P = [0.4, 0.3, 0.15, 0.1, 0.05];
const entropy = -P.reduce((sum, p) => sum + p * Math.log(p), 0);
const own = { temperature: 1.5, top_k: null, top_p: null };
const decision = { // every token of the vocabulary was recorded
  entropy, raw_entropy: entropy, normalized_entropy: entropy / Math.log(5),
  candidates: P.map((p, token) => ({ token, text: `${token}`, raw_logprob: Math.log(p), prob: p })),
};

/** By hand: the logits divided, the k largest, then the smallest set that holds p; what is left adds up to 1. */
function byHand({ temperature, top_k: k, top_p: p }) {
  if (temperature === 0) return P.map((_, at) => Number(at === 0));
  const normed = (all) => all.map((one) => one / all.reduce((sum, each) => sum + each, 0));
  let q = normed(P.map((one) => one ** (1 / temperature)));
  if (k) q = normed(q.map((one, at) => (at < k ? one : 0)));
  if (p) {
    let held = 0;
    q = normed(q.map((one) => {
      const kept = held < p ? one : 0;
      held += one;
      return kept;
    }));
  }
  return q;
}

for (const [name, settings] of Object.entries(STRATEGIES)) {
  test(`${name} does to a distribution what its rule says`, () => {
    const { probs } = reshape(decision, settings, own, P.length);
    byHand(settings).forEach((wanted, at) => {
      assert.ok(Math.abs(probs[at].low - wanted) < 1e-4 && Math.abs(probs[at].high - wanted) < 1e-4, `${at}: ${probs[at].low}, not ${wanted}`);
    });
    assert.ok(TITLES[name]);
  });
}

test("settings are named in the order in which they act", () => {
  assert.equal(strategyName({ temperature: 0, top_k: 5, top_p: 0.5 }), "greedy");
  assert.equal(strategyName({ temperature: 1, top_k: null, top_p: null }), "plain sampling");
  assert.equal(strategyName({ temperature: 1, top_k: null, top_p: 1 }), "plain sampling");
  assert.equal(strategyName({ temperature: 0.7, top_k: null, top_p: null }), "temperature 0.7");
  assert.equal(strategyName({ temperature: 1, top_k: 40, top_p: 0.95 }), "top-k 40, then top-p 0.95");
  assert.equal(strategyName(STRATEGIES.combined), "temperature 0.7, then top-k 3, then top-p 0.9");
});

test("settings are the same where each is, a missing filter being none", () => {
  assert.ok(isSameSettings({ temperature: 1 }, STRATEGIES.plain));
  for (const name of Object.keys(STRATEGIES)) {
    assert.equal(Object.values(STRATEGIES).filter((one) => isSameSettings(one, STRATEGIES[name])).length, 1);
  }
});
