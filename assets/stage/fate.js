// What becomes of paths and of what they hold, in words: seen from the cursor, and never more than the log knows. No DOM.
//
// When something is freed is read off the steps, also those after the cursor: of a recorded run the future is known, and
// said so; of a live one it is named as open; a run that was stopped has none.

import { count, numSamples } from "./format.js";
import { PROMPT } from "./log.js";

const MOST = 6; // paths named one by one in a sentence
const WORDS = 26; // characters of a path's end

const ENDED = {
  finished: ["reached its end", "reached their ends"],
  length: ["reached the length limit", "reached the length limit"],
  pruned: ["was pruned", "were pruned"],
  cancelled: ["was stopped", "were stopped"],
};
const BROKEN = { stopped: "was stopped", failed: "broke off" }; // by the stage's badge

const presently = (words) => words.replace("was ", "is ").replace("were ", "are ").replace("reached", "reaches");

/** "path 3", "paths 3 and 5", "paths 1, 2, 3, 4, 5, 6 and 4 more". */
export function pathsOf(ids) {
  const shown = ids.slice(0, ids.length > MOST ? MOST : ids.length).map(String);
  if (ids.length > MOST) shown.push(`${ids.length - MOST} more`);
  const last = shown.pop();
  return `path${ids.length === 1 ? "" : "s"} ${shown.length ? `${shown.join(", ")} and ${last}` : last}`;
}

/** The last words of a path, from its newest token. */
export function lastWords(log, node) {
  const text = node === PROMPT ? log.promptText() : log.textOf(node);
  const chars = [...text.replace(/\s+/g, " ").trim()];
  return chars.length > WORDS ? `…${chars.slice(1 - WORDS).join("")}` : chars.join("");
}

/** A row as a holder: `{path, node, text}`. */
export function described(log, row) {
  return { path: row.path, node: row.node, text: lastWords(log, row.node) };
}

/** Live paths whose text runs through node `id`, as holders. */
export function through(log, state, id) {
  return state.rows.filter((row) => id === PROMPT || isBelow(log, id, row.node)).map((row) => described(log, row));
}

/** Whether `below` is `node` or grew from it. */
function isBelow(log, node, below) {
  let at = below;
  while (at > node) at = log.nodes[at].parent; // a parent is always the older one
  return at === node;
}

/** Whether no path goes on after `step`. */
export function isLast(step) {
  const ended = new Set(step.ends.map((end) => end.path));
  return step.paths.every((path) => ended.has(path));
}

/** The step with which all paths of the run had ended, or Infinity while some are open. */
export function lastStep(log) {
  const step = log.steps.at(-1);
  return step && isLast(step) ? step.index : Infinity;
}

/** The step at which the sample that `cursor` stands in began; of a tree, 0. */
export function startOf(log, cursor) {
  let at = Math.max(0, cursor);
  while (at > 0 && !isLast(log.steps[at - 1])) at -= 1;
  return at;
}

/** The step since which there is a path: that of the fork that made it, or where its sample began. */
export function sinceOf(log, path) {
  const fork = log.forks.find((one) => one.children.includes(path));
  if (fork) return fork.step;
  const newest = log.lastOf.get(path);
  return newest === undefined ? startOf(log, log.length - 1) : startOf(log, log.nodes[log.lineage(newest)[0]].step);
}

/**
 * What is said in place of a future that a run has none of: "the run was stopped: freed", or until when it was kept;
 * "" while the run goes on.
 */
export function brokenWords(log, cursor, badge) {
  const last = log.length - 1;
  if (badge === "live") return "";
  if (!BROKEN[badge]) return `kept at least to step ${count(last)}, where this record ends`;
  return cursor < last ? `kept until the run ${BROKEN[badge]}, after step ${count(last)}` : `the run ${BROKEN[badge]}: freed`;
}

/** What is said of a token whose keys and values are not stored at `cursor`. */
export function unstoredWords(log, node, cursor, badge) {
  if (node.ended <= cursor) return "never stored: its path ended before the next pass";
  if (cursor < log.length - 1 || badge === "live") return "not stored yet: the next forward pass writes it";
  return BROKEN[badge] ? `never stored: the run ${BROKEN[badge]} before the next pass` : "not stored yet: this record ends before the next pass";
}

/**
 * When the slot that `token` (node id + 1, or -(prompt index + 1)) was written into is given back:
 * `{step, ends, isEvicted}` of layer 0; step is Infinity where the log does not know yet, `isRun` where the run's end frees it.
 */
export function fateOf(log, token) {
  const holder = token > 0 ? log.nodes[token - 1] : log.prompt[-token - 1];
  for (let at = holder.written; at < log.length; at++) {
    const isEvicted = (log.gone.get(token) ?? []).some((index) => {
      const { step, layer, isFree } = log.evictions[index];
      return step === at && layer === 0 && isFree;
    });
    if (isEvicted || log.steps[at].freed.includes(holder.slot)) {
      return { step: at, ends: isEvicted ? [] : endsUnder(log, token, at), isRun: false, isEvicted };
    }
  }
  const last = lastStep(log);
  return { step: last, ends: last < Infinity ? endsUnder(log, token, last) : [], isRun: last < Infinity };
}

function endsUnder(log, token, step) {
  return log.steps[step].ends.filter((end) => token < 0 || isBelow(log, token - 1, end.node));
}

/** "freed at step 31, when path 7 was pruned", seen from `cursor`; what is not known is left open. */
export function fateWords(log, token, cursor, holders, badge = "live") {
  const { step, ends, isRun, isEvicted } = fateOf(log, token);
  if (step === Infinity) return brokenWords(log, cursor, badge) || whenFreed(holders);
  if (isRun) return step > cursor ? `kept to the end of the run, step ${count(step)}` : `freed with the run, after step ${count(step)}`;
  if (isEvicted) return step > cursor ? `will be evicted from layer 0 at step ${count(step)}` : `evicted from layer 0 at step ${count(step)}`;
  if (step > cursor) return `will be freed at step ${count(step)}${presently(endWords(ends))}`;
  return `freed at step ${count(step)}${endWords(ends)}`;
}

function whenFreed(holders) {
  const paths = pathsOf(holders.map((one) => one.path));
  return holders.length === 1 ? `freed when ${paths} ends` : `freed when the last of ${paths} ends`;
}

/** ", when path 7 was pruned": the ends that let go, by what happened to them. */
function endWords(ends) {
  const parts = Object.entries(ENDED).flatMap(([status, [one, several]]) => {
    const ids = ends.filter((end) => end.status === status).map((end) => end.path);
    return ids.length ? [`${pathsOf(ids)} ${ids.length === 1 ? one : several}`] : [];
  });
  return parts.length ? `, when ${parts.join(" and ")}` : "";
}

const POOLED = { its: "its own slots", are: "are", were: "were", split: "what it holds stays theirs" };
const UNPOOLED = { its: "its cache", are: "is", were: "was", split: "each has a cache of its own" };

/** What became of a path, or what will: of the slots that only it sees, or without a pool of its cache. */
export function pathFate(log, path, cursor, badge, isPooled) {
  const { its, are, were, split } = isPooled ? POOLED : UNPOOLED;
  const fork = log.forks.find((one) => one.path === path);
  if (fork) return `${fork.step <= cursor ? "split" : "will split"} at step ${count(fork.step)} into ${pathsOf(fork.children)}: ${split}`;
  const end = log.ends.find((one) => one.path === path);
  if (!end) return brokenWords(log, cursor, badge) || `${its} ${are} freed when it ends`;
  const [what] = ENDED[end.status];
  const when = `step ${count(end.step)}`;
  if (log.steps[end.step].paths.includes(path)) { // it ended with all the others, and nobody let go before that
    const all = numSamples(log) ? "its sample" : "the run";
    return end.step <= cursor ? `${what} at ${when}: ${its} ${were} freed with ${all}` : `kept to the end of ${all}, ${when}, when it ${presently(what)}`;
  }
  return end.step <= cursor ? `${what} at ${when}: ${its} ${were} freed then` : `${its} ${are} freed at ${when}, when it ${presently(what)}`;
}
