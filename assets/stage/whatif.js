// Another fork threshold, tried out on a run that is there: which of its positions would have forked. No DOM.
//
// What a trace can say: the entropy at every position it visited, so who reaches a threshold is exact. What it
// cannot: what lies behind a fork that was not taken. Positions it never visited are not counted, and said so.

import { count, plural } from "./format.js";
import { PROMPT } from "./log.js";

// What a position would do: fork as it did; fork where it did not, with nothing explored behind it; no longer fork; not
// be reached, because a fork before it would not happen; reach the threshold without room or a second token; stay calm.
const NAMES = ["", "forked", "gained", "lost", "cut", "held", "calm"];
const [, FORKED, GAINED, LOST, CUT, HELD, CALM] = NAMES.keys();

/** Why trying a threshold says nothing of this run, or "" where it does. */
export function whyNot(log) {
  const { branching, cache } = log.header.config;
  if (cache.backend === "naive") return "The naive backend draws independent samples: no threshold is used.";
  if (branching.select === "arithmetic") return "Arithmetic codes decide where paths part: no threshold is used.";
  return "";
}

/** Whether a position over the threshold has more than one way to go: never with exactly one place left. */
function hasRoom(log, { decided, decision }) {
  const live = log.steps[decided - 1]?.paths.length || 1; // at the start of the step
  if (log.header.config.branching.max_paths - live === 1) return false;
  return decision.entropy > 0 || decision.candidates.filter((one) => one.prob > 0).length > 1;
}

function codeOf(log, node, tau, own) {
  const { normalized_entropy: h, factor } = node.decision;
  if (factor > 1) return h >= tau ? FORKED : LOST;
  if (h < tau) return CALM;
  return h < own && hasRoom(log, node) ? GAINED : HELD;
}

/**
 * Every position decided up to `cursor` at threshold `tau`: `{at(id) -> verdict or null, positions, forks, would,
 * gained, lost, cut, held}`; `lost` are forks that would not happen for want of entropy, `cut` the forks on branches
 * which only those had opened. Without a fork a path takes its first draw: that child stays.
 */
export function tryThreshold(log, cursor, tau) {
  const codes = new Uint8Array(log.nodes.length + 1); // by id + 1: which of NAMES, 0 none
  const gone = new Uint8Array(log.nodes.length); // on a branch that would not exist
  const counts = new Uint32Array(NAMES.length);
  const own = log.header.config.branching.entropy_threshold;
  let cut = 0;
  let forks = 0;
  const judge = (node, isCut) => {
    if (node.decided > cursor) return;
    const code = isCut ? CUT : codeOf(log, node, tau, own);
    codes[node.id + 1] = code;
    counts[code] += 1;
    if (node.decision.factor === 1) return;
    forks += 1;
    cut += Number(isCut);
  };
  judge(log.root, false);
  for (const node of log.nodes) {
    if (node.step > cursor) break; // ids rise with the steps
    const { id, parent } = node;
    const isSpare = codes[parent + 1] === LOST && log.node(parent).children[0] !== id;
    if (isSpare || (parent !== PROMPT && gone[parent] === 1)) gone[id] = 1;
    judge(node, gone[id] === 1);
  }
  const of = Object.fromEntries(NAMES.map((name, code) => [name, counts[code]]));
  return {
    at: (id) => NAMES[codes[id + 1]] || null, positions: counts.reduce((sum, one) => sum + one, 0), forks,
    would: of.forked + of.gained, gained: of.gained, lost: of.lost, cut, held: of.held,
  };
}

const trials = new WeakMap(); // log -> {key, found}: its last answer

/**
 * `tryThreshold` for a frame, the same object while nothing changed; null where no threshold is tried out, or where
 * one says nothing of this run. All that marks a position reads `markOf` of it, so that signs and sentence agree.
 */
export function trialOf(log, cursor, tau) {
  if (tau === null || whyNot(log)) return null;
  const key = `${cursor} ${tau} ${log.length}`;
  if (trials.get(log)?.key !== key) trials.set(log, { key, found: tryThreshold(log, cursor, tau) });
  return trials.get(log).found;
}

/**
 * The sign that a decided node bears while a threshold is tried out (`trial`: see `trialOf`): "gained" where it would
 * fork, "lost" where it would not, "cut" where a fork would not be reached; else "". A position that is held bears none.
 */
export function markOf(trial, node) {
  const verdict = trial?.at(node.id);
  if (verdict === "cut") return node.decision.factor > 1 ? "cut" : "";
  return verdict === "gained" || verdict === "lost" ? verdict : "";
}

/** "9 forks; at 0.15: 14, of which 5 not explored", or what else is true; `found` is what `tryThreshold` gave. */
export function sentenceOf(found, tau) {
  const parts = [`${plural(found.forks, "fork")}; at ${show(tau)}: ${count(found.would)}`];
  if (found.gained) parts.push(`, of which ${count(found.gained)} not explored`);
  const gone = found.lost + found.cut;
  if (gone) parts.push(`; ${plural(gone, "fork")} would not happen`);
  return `${parts.join("")}.`;
}

/** What the sentence leaves out, in a finer line. */
export function noteOf(found) {
  const parts = [`Counted over the ${plural(found.positions, "position")} this run decided`];
  if (found.cut) parts.push(`${count(found.cut)} of the lost forks ${found.cut === 1 ? "stands" : "stand"} on a branch that another one opened`);
  if (found.held) parts.push(`${count(found.held)} more ${found.held === 1 ? "reaches" : "reach"} it without room for a second path`);
  return `${parts.join("; ")}. A new run draws other tokens from the first difference on.`;
}

/** A threshold as people read it: at most three digits after the point. */
export function show(tau) {
  return String(Number(tau.toFixed(3)));
}
