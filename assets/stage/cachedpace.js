// How fast one greedy text was written with a cache and without, the longer it was. Pure functions of two logs.

export const WINDOW = 15; // steps of a running median
export const LASTING = 32; // steps that the cached one has to stay faster for a crossing to be clear
const SHORTEST = 64; // tokens of the first row of a table that doubles from there

/** The middle one of `values`; of an even number of them the mean of the two in the middle. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** By place from `from` on, the median of up to `window` values around it; fewer at the ends. */
export function runningMedian(values, window = WINDOW, from = 0) {
  const half = window >> 1;
  const medians = [];
  for (let at = from; at < values.length; at++) medians.push(median(values.slice(Math.max(0, at - half), at + half + 1)));
  return medians;
}

const known = new WeakMap(); // log -> its pace: a log only grows

/**
 * By step of a log: `lengths`, tokens of the text after it, the prompt among them; `medians`, seconds of a step with all
 * that was done around its pass, as a running median, null for the steps that read the prompt.
 */
export function paceOf(log) {
  if (!known.has(log)) known.set(log, { lengths: [], medians: [], seconds: [], numPrompt: 0 });
  const pace = known.get(log);
  const asked = (log.source.length || log.prompt.length);
  for (let at = pace.lengths.length; at < log.length; at++) {
    const { phase, seconds, overhead_seconds: rest } = log.steps[at];
    pace.lengths.push(asked + log.made[at]);
    if (phase === "prefill") pace.numPrompt += 1;
    else pace.seconds.push(seconds + rest);
  }
  const kept = Math.max(0, pace.medians.length - pace.numPrompt - (WINDOW >> 1)); // those after it have new neighbours
  const missing = pace.lengths.length > pace.medians.length;
  if (missing) pace.medians = [...Array(pace.numPrompt).fill(null), ...pace.medians.slice(pace.numPrompt, pace.numPrompt + kept), ...runningMedian(pace.seconds, WINDOW, kept)];
  return pace;
}

/** `[{length, ratio}]`, rising: how many times as long a step took without a cache, where both were measured. */
export function speedups(cached, uncached) {
  const [a, b] = [paceOf(cached), paceOf(uncached)];
  const at = new Map(b.lengths.map((length, step) => [length, b.medians[step]]));
  return a.lengths.flatMap((length, step) => {
    const [own, other] = [a.medians[step], at.get(length)];
    return own && other ? [{ length, ratio: other / own }] : [];
  });
}

/**
 * The length from which on the cached step was faster at every longer one, between two lengths on a straight line of
 * logarithms; null where it was faster at all of them, or faster at fewer than `least` in the end.
 */
export function crossing(points, least = LASTING) {
  const last = points.findLastIndex(({ ratio }) => ratio < 1);
  if (last < 0 || points.length - 1 - last < Math.max(1, least)) return null;
  const [short, long] = [points[last], points[last + 1]];
  const share = -Math.log(short.ratio) / (Math.log(long.ratio) - Math.log(short.ratio));
  return Math.exp(Math.log(short.length) + share * (Math.log(long.length) - Math.log(short.length)));
}

/** Whether two runs wrote the same so far: `{common, differs}`, tokens that are equal, and the first place where they are not. */
export function sameText(cached, uncached) {
  const [a, b] = [cached.nodes, uncached.nodes];
  const both = Math.min(a.length, b.length);
  let common = 0;
  while (common < both && a[common].token === b[common].token) common += 1;
  return { common, differs: common < both ? { at: common, cached: a[common], uncached: b[common] } : null };
}

/** The lengths of a table: 64, 128, 256 … within what both wrote, and the first and the last. */
export function lengthsOf(points) {
  if (!points.length) return [];
  const [first, last] = [points[0].length, points.at(-1).length];
  const wanted = [first];
  for (let length = SHORTEST; length < last; length *= 2) if (length > first) wanted.push(length);
  return last > first ? [...wanted, last] : wanted;
}

/** A row a length: tokens a second, seconds since the start and bytes kept, of both. `times`: `clock.js`'s, of both. */
export function rowsOf(cached, uncached, times) {
  const points = speedups(cached, uncached);
  const ratios = new Map(points.map(({ length, ratio }) => [length, ratio]));
  const side = (log, own, length) => {
    const { lengths, medians } = paceOf(log);
    const step = lengths.indexOf(length);
    return { perSecond: 1 / medians[step], seconds: own[step], nbytes: keptOf(log, step) };
  };
  return lengthsOf(points).map((length) => ({
    length, ratio: ratios.get(length), cached: side(cached, times[0], length), uncached: side(uncached, times[1], length),
  }));
}

/** Bytes of keys and values that are allocated at a step, an encoder's among them. */
export function keptOf(log, step) {
  const { memory, memory_forward: pass } = log.steps[step];
  const all = ({ kv_nbytes: own, cross_nbytes: cross = 0 }) => own + cross;
  return Math.max(all(memory), all(pass));
}
