// The race in words. Pure functions.

import { LASTING, crossing, sameText } from "./cachedpace.js";
import { bytes, count, plural, seconds, visibleToken } from "./format.js";

/** "9.3 ×"; "35 ×". */
export function timesWords(ratio) {
  return `${ratio < 10 ? ratio.toFixed(2) : ratio < 100 ? ratio.toFixed(1) : count(Math.round(ratio))} ×`;
}

/** "312 tokens/s", "8.4 tokens/s". */
export function rateWords(perSecond) {
  return `${perSecond < 20 ? perSecond.toFixed(1) : count(Math.round(perSecond))} tokens/s`;
}

/** From which length on the cache is faster. `points`: as `speedups` gives them. */
export function crossingWords(points) {
  if (!points.length) return "";
  const [first, last] = [points[0], points.at(-1)];
  const found = crossing(points);
  const end = `at ${plural(last.length, "token")} of text a step takes ${timesWords(last.ratio)} as long without it`;
  if (found !== null) return `The cached step is faster from about ${count(Math.round(found))} tokens on; ${end}.`;
  if (last.ratio < 1) return `The cached step is not faster yet at ${plural(last.length, "token")}, the longest text here; ${end}.`;
  const slower = points.findLastIndex(({ ratio }) => ratio < 1);
  if (slower >= 0) return `No clear crossing in this range: the cached step is faster for the last ${plural(points.length - 1 - slower, "step")} only, not for ${LASTING}; ${end}.`;
  return `The cached step is faster at every length here, from ${plural(first.length, "token")} on: no crossing in this range; ${end}.`;
}

/** Whether both wrote the same. `isOver`: no more will come. `digests`: of both trees, where they are known. */
export function sameWords(cached, uncached, isOver, digests = []) {
  const { common, differs } = sameText(cached, uncached);
  if (differs) {
    const word = ({ text, raw }) => `“${visibleToken(text, raw)}”`;
    return { isSame: false, words: `Not the same text: new token ${count(differs.at + 1)} is ${word(differs.cached)} with the cache and ${word(differs.uncached)} without.` };
  }
  const isWhole = isOver && cached.nodes.length === common && uncached.nodes.length === common;
  if (!isWhole) return { isSame: null, words: common ? `The same text so far: ${plural(common, "new token")} of both.` : "No token of both yet." };
  const [a, b] = digests;
  if (a && b && a !== b) return { isSame: false, words: "The same tokens, but not the same end: the digests differ." };
  return { isSame: true, words: `The same text: all ${plural(common, "new token")}${a && b ? `, digest ${a.slice(0, 12)} of both` : ""}.` };
}

/**
 * Where both stand, in one sentence. `sides`: cached and uncached, `{tokens, whole, time, rate, state}`: new tokens at the
 * cursor and in all, seconds since the start, seconds a step (null: none yet). `now`: seconds of the cursor by second,
 * null by step.
 */
export function raceWords([cached, uncached], now, length) {
  if (now !== null) return `After ${seconds(now)} the cached run ${stands(cached)}, the uncached one ${stands(uncached)}.`;
  if (cached.rate && uncached.rate && cached.tokens === uncached.tokens) {
    const ratio = uncached.rate / cached.rate;
    return `At ${plural(length, "token")} of text a step takes ${seconds(cached.rate)} with the cache and ${seconds(uncached.rate)} without: ${timesWords(ratio)} as long.`;
  }
  return `The cached run ${stands(cached)}, the uncached one ${stands(uncached)}.`;
}

function stands({ tokens, whole, time, state }) {
  if (state === "waiting") return "has not begun";
  if (state === "never") return "did not run";
  if (!tokens) return "is still reading the prompt";
  if (tokens < whole) return `has written ${plural(tokens, "token")}`;
  const so = { running: "so far", stopped: "when it was stopped", failed: "when it broke off" }[state];
  return so ? `has written ${plural(tokens, "token")} ${so}` : `has written all its ${plural(tokens, "token")}, in ${seconds(time)}`;
}

/** What a side keeps. */
export function keptWords(nbytes) {
  return nbytes ? bytes(nbytes) : "nothing";
}
