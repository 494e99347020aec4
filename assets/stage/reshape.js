// Temperature, top-k and top-p tried out on one decision, from the candidates that were recorded. No DOM.
//
// Known: the m most probable tokens' own probabilities, the model's entropy, the vocabulary. Unknown: how the rest
// of the mass R is spread over the N other tokens. But none of them has more than the last candidate's c, so
// convexity bounds their sum S of p^(1/T): it lies between R spread evenly and R heaped up at c. Where the
// candidates decide alone, the interval is a point; everywhere else it is an interval, never a guess.

const NOISE = 2e-6; // of a sum of probabilities: float32 logits, seven digits recorded
const ENTROPY_NOISE = 1e-5;
const EDGE = 5e-6; // of top-p: closer to it than this, either side is possible
export const EXACT = 1e-4; // an interval no wider than this reads as one number

const point = (value) => ({ low: value, high: value });
const clip = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
const sum = (values) => values.reduce((total, one) => total + one, 0);
const term = (x) => (x > 0 ? -x * Math.log(x) : 0);

/**
 * What `decision` would have been sampled from with `{temperature, top_k, top_p}` (null: no filter).
 * `own` are the run's settings, `vocabSize` the model's. Gives `{probs: [{low, high}] by candidate, rest, entropy,
 * normalized, isExact, why}`; rest is the mass of all tokens that were not recorded, entropy in nats.
 */
export function reshape(decision, settings, own, vocabSize) {
  const { candidates } = decision;
  const isOwn = ["temperature", "top_k", "top_p"].every((name) => (settings[name] ?? null) === (own[name] ?? null));
  if (isOwn) {
    const probs = candidates.map((one) => point(one.prob));
    return told(probs, point(Math.max(0, 1 - sum(candidates.map((one) => one.prob)))), point(decision.entropy), vocabSize, "The run's own settings: as recorded.");
  }
  const seen = known(decision, vocabSize);
  if (settings.temperature < 1.18e-38) return greedy(seen, vocabSize);
  const topK = settings.top_k && settings.top_k < vocabSize ? settings.top_k : null;
  const topP = settings.top_p && settings.top_p < 1 ? settings.top_p : null;
  if (settings.temperature === 1 && !topK && !topP) {
    return told(seen.p.map(point), { low: seen.rest.low, high: seen.rest.high }, point(decision.raw_entropy), vocabSize, "Exact: the model's own distribution, as recorded.");
  }
  const cut = filterTopK(seen, powered(seen, 1 / settings.temperature), topK);
  const { probs, rest, entropy } = topP ? filterTopP(seen, cut, topP) : spread(seen, cut);
  if (!topK && !topP) rises(entropy, decision.raw_entropy, settings.temperature);
  return told(probs, rest, entropy, vocabSize, whyOf(seen, probs, vocabSize));
}

/** Unfiltered, entropy rises with the temperature, and what it is at 1 is known. */
function rises(entropy, atOne, temperature) {
  if (temperature > 1) entropy.low = Math.min(entropy.high, Math.max(entropy.low, atOne - ENTROPY_NOISE));
  else entropy.high = Math.max(entropy.low, Math.min(entropy.high, atOne + ENTROPY_NOISE));
}

function told(probs, rest, entropy, vocabSize, why) {
  const isExact = [...probs, entropy].every(({ low, high }) => high - low <= EXACT);
  const most = Math.log(vocabSize);
  const share = (value) => (vocabSize > 1 ? Math.min(value / most, 1) : 0);
  const normalized = { low: share(entropy.low), high: share(entropy.high) };
  return { probs, rest, entropy, normalized, isExact, why: isExact && !why.endsWith("recorded.") ? "Exact: the recorded candidates determine it." : why };
}

function whyOf(seen, probs, vocabSize) {
  const digits = (value) => Number(value.toPrecision(2));
  return `${probs.length} of ${vocabSize.toLocaleString("en-US")} tokens were recorded. The others hold ${digits(Math.max(seen.rest.high, 1e-6))} `
    + `together, each at most ${digits(seen.c)}: that gives bounds, not one number.`;
}

/** The facts of a decision; `l` and `p` are ln p and p of the candidates, most probable first, lowest id first. */
function known(decision, vocabSize) {
  const order = decision.candidates.map((one, at) => ({ ...one, at }))
    .sort((a, b) => b.raw_logprob - a.raw_logprob || a.token - b.token);
  const l = order.map((one) => one.raw_logprob);
  const p = l.map(Math.exp);
  const num = Math.max(0, vocabSize - l.length);
  const c = p.at(-1) * (1 + NOISE);
  const left = 1 - sum(p);
  const high = num ? clip(left + NOISE, 0, num * c) : 0;
  const rest = { low: num ? clip(left - NOISE, 0, high) : 0, high };
  const inside = decision.raw_entropy - sum(p.map(term)); // what the rest adds to the model's entropy
  const share = { low: Math.max(0, inside - ENTROPY_NOISE), high: Math.max(0, inside + ENTROPY_NOISE) };
  return { tokens: order.map((one) => one.token), places: order.map((one) => one.at), l, p, num, c, rest, share };
}

/** Weights p^a relative to the first candidate's, and bounds of the rest's sum and of its entropy. */
function powered(seen, a) {
  const { l, num, c, rest, share } = seen;
  const w = l.map((one) => Math.exp(a * (one - l[0])));
  if (!num || rest.high <= 0) return { a, w, S: point(0), inner: point(0) };
  const top = Math.exp(l[0]);
  const heaped = (R) => {
    const full = Math.min(num, Math.floor(R / c));
    return full * (c / top) ** a + (full < num ? Math.max(0, (R - full * c) / top) ** a : 0);
  };
  const even = (R) => num * (R / num / top) ** a;
  const [least, most] = a > 1 ? [even, heaped] : [heaped, even];
  const S = { low: Math.max(least(rest.low), tangent(seen, a)), high: most(rest.high) };
  S.low = Math.min(S.low, S.high);
  const before = rest.low > 0 // entropy of the rest by itself at temperature 1; it falls as a rises
    ? { low: share.low / rest.high + Math.log(rest.low), high: share.high / rest.low + Math.log(rest.high) }
    : { low: 0, high: Infinity };
  const inner = { low: leastEntropy((c / top) ** a / S.low), high: Math.log(num) };
  if (a >= 1) inner.high = Math.min(inner.high, before.high);
  if (a <= 1) inner.low = clip(before.low, inner.low, inner.high);
  return { a, w, S, inner };
}

/** ln of the sum of p^a is convex in a, and its value and slope at a = 1 are known: a bound from below. */
function tangent({ l, rest, share }, a) {
  const scale = (lnSum) => Math.exp(lnSum - a * l[0]);
  if (a > 1) return rest.low > 0 ? scale(Math.log(rest.low) - ((a - 1) * share.high) / rest.low) : 0;
  const R = clip((1 - a) * share.low, rest.low, rest.high); // where the bound is lowest
  return R > 0 ? scale(Math.log(R) + ((1 - a) * share.low) / R) : 0;
}

/** The least entropy of shares of which none exceeds `most`. */
function leastEntropy(most) {
  if (!(most < 1)) return 0;
  const full = Math.floor(1 / most);
  return full * term(most) + term(Math.max(0, 1 - full * most));
}

/** Top-k keeps all that equal the k-th: the rest goes whole where a candidate beyond the k-th is smaller. */
function filterTopK(seen, { a, w, S, inner }, k) {
  const { l, num, c, rest } = seen;
  if (!k) return { a, w, S, inner, num };
  if (k > l.length) {
    const part = Math.min(1, (k - l.length) / Math.max(1, num)); // the largest ones: at least their part of it
    return { a, w, S: { low: S.low * part, high: S.high }, inner: part < 1 ? { low: 0, high: inner.high === 0 ? 0 : Math.log(Math.max(1, num)) } : inner, num };
  }
  const kept = w.map((one, at) => (l[at] >= l[k - 1] ? one : 0));
  const ties = l.at(-1) >= l[k - 1] ? Math.min(num, Math.floor(rest.high / c + NOISE)) : 0; // of the rest with the last one
  return { a, w: kept, S: { low: 0, high: ties * w.at(-1) }, inner: { low: 0, high: Math.log(Math.max(1, ties)) }, num: ties };
}

/** No top-p: every weight over the sum of all. */
function spread(seen, { w, S, inner }) {
  const C = sum(w);
  const probs = w.map((one) => ({ low: one / (C + S.high), high: one / (C + S.low) }));
  const rest = { low: S.low / (C + S.low), high: S.high / (C + S.high) };
  const own = sum(w.map((one) => term(one / C)));
  const whole = (u, h) => term(u) + term(1 - u) + (1 - u) * own + u * h;
  const peak = Math.exp(inner.high) / (Math.exp(inner.high) + Math.exp(own)); // concave in u: highest here
  const entropy = {
    low: Math.min(whole(rest.low, inner.low), whole(rest.high, inner.low)),
    high: whole(clip(Number.isFinite(peak) ? peak : 1, rest.low, rest.high), inner.high),
  };
  return { probs: inPlace(seen, probs), rest, entropy };
}

/** Top-p keeps a token while the mass before it is at most p. */
function filterTopP(seen, { w, S, num }, p) {
  const C = sum(w);
  const isTied = S.high > 0 && seen.rest.high >= seen.c * (1 - NOISE); // a token of the rest may equal the last one
  const firstTied = isTied ? seen.l.findIndex((one) => one === seen.l.at(-1)) : w.length;
  const before = w.map((_, at) => sum(w.slice(0, at)));
  const all = { low: C + S.low, high: C + S.high };
  const mass = w.map((one, at) => (at < firstTied
    ? { low: before[at] / all.high, high: before[at] / all.low }
    : { low: before[firstTied] / all.high, high: (C - one + S.high) / all.high }));
  const isKept = mass.map(({ high }, at) => w[at] > 0 && ((at === 0 && firstTied > 0) || high <= p - EDGE));
  const mayBe = mass.map(({ low }, at) => w[at] > 0 && (at === 0 || low <= p + EDGE));
  const reach = S.high > 0 && (isTied ? before[firstTied] : C) / all.high <= p + EDGE;
  const last = w[Math.max(0, isKept.lastIndexOf(true))]; // the last token kept weighs no more
  const sure = sum(w.filter((_, at) => isKept[at]));
  const low = Math.max(sure, (p - EDGE) * all.low);
  const most = sum(w.filter((_, at) => mayBe[at])) + (reach ? S.high : 0);
  const high = Math.max(low, Math.min(most, (p + EDGE) * all.high + last));
  const isSure = !reach && isKept.every((one, at) => one === mayBe[at]);
  const total = isSure ? point(sure) : { low: Math.min(low, most), high };
  const probs = w.map((one, at) => {
    if (!mayBe[at]) return point(0);
    const least = isKept[at] ? total.low : Math.max(total.low, before[at] + one);
    return { low: isKept[at] ? one / total.high : 0, high: Math.min(1, one / least) };
  });
  const rest = reach ? { low: clip(1 - sum(probs.map((one) => one.high)), 0, 1), high: clip(1 - sum(probs.map((one) => one.low)), 0, 1) } : point(0);
  return { probs: inPlace(seen, probs), rest, entropy: boxed(probs, rest, num, w.at(-1) / total.low) };
}

/** Entropy of shares of which only intervals are known; none of the `num` others exceeds `cap`. */
function boxed(probs, rest, num, cap) {
  const most = ({ low, high }) => term(clip(1 / Math.E, low, high));
  const least = ({ low, high }) => Math.min(term(low), term(high));
  const others = rest.high > 0 ? term(rest.high) + rest.high * Math.log(Math.max(1, num)) : 0;
  const few = rest.low > 0 && cap > 0 && cap < 1 ? -rest.low * Math.log(cap) : 0;
  return { low: sum(probs.map(least)) + few, high: sum(probs.map(most)) + Math.max(others, rest.high > 0 ? 1 / Math.E : 0) };
}

/** Temperature 0: all on the most probable token, the lowest id where several are equal. */
function greedy(seen, vocabSize) {
  const { l, num, rest, c } = seen;
  const isOpen = l[0] === l.at(-1) && num > 0 && rest.high >= c * (1 - NOISE);
  const probs = l.map((_, at) => (at ? point(0) : { low: isOpen ? 0 : 1, high: 1 }));
  const left = isOpen ? { low: 0, high: 1 } : point(0);
  return told(inPlace(seen, probs), left, point(0), vocabSize, whyOf(seen, probs, vocabSize));
}

/** From the order of this module back to the order of the record. */
function inPlace(seen, probs) {
  const out = [];
  seen.places.forEach((place, at) => (out[place] = probs[at]));
  return out;
}

/** Whether it would fork at `threshold`: "yes", "no" or "open" where the interval holds it. */
export function wouldFork({ normalized }, threshold) {
  if (normalized.low >= threshold) return "yes";
  return normalized.high < threshold ? "no" : "open";
}
