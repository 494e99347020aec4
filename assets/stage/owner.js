// Who owns this: which live paths hold a slot, since when, how many bytes that is, and what frees them. No DOM.
//
// Holders and bytes are those of the cursor. When a slot is freed is read off the steps, also those after the
// cursor: of a recorded run the future is known, and said so; of a live one it is named as open.

import { bytes, count, narrate, plural, visibleToken } from "./format.js";
import { PROMPT } from "./log.js";

const MOST = 6; // paths named one by one in a sentence
const WORDS = 26; // characters of a path's end

const ENDED = {
  finished: ["reached its end", "reached their ends"],
  length: ["reached the length limit", "reached the length limit"],
  pruned: ["was pruned", "were pruned"],
  cancelled: ["was stopped", "were stopped"],
};
const OWN_CACHE = "each path keeps a cache of its own: this backend has no shared slots";

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

/** Live paths that see `slot` now: `[{path, node, text}]`, in the engine's order. */
export function holdersOf(log, state, slot) {
  return state.rows.filter((row) => (row.bits[slot >> 5] >>> (slot & 31)) & 1).map((row) => described(log, row));
}

const described = (log, row) => ({ path: row.path, node: row.node, text: lastWords(log, row.node) });

/** The step with which all paths of the run had ended, or Infinity while some are open. */
export function lastStep(log) {
  const step = log.steps.at(-1);
  if (!step) return Infinity;
  const ended = new Set(step.ends.map((end) => end.path));
  return step.paths.every((path) => ended.has(path)) ? step.index : Infinity;
}

/** Whether `below` is `node` or grew from it. */
function isBelow(log, node, below) {
  let at = below;
  while (at > node) at = log.nodes[at].parent; // a parent is always the older one
  return at === node;
}

/**
 * When the slot that `token` (node id + 1, or -(prompt index + 1)) was written into is given back:
 * `{step, ends}`; step is Infinity where the log does not know yet, `isRun` where the run's end frees it.
 */
export function fateOf(log, token) {
  const holder = token > 0 ? log.nodes[token - 1] : log.prompt[-token - 1];
  for (let at = holder.written; at < log.length; at++) {
    if (log.steps[at].freed.includes(holder.slot)) return { step: at, ends: endsUnder(log, token, at), isRun: false };
  }
  const last = lastStep(log);
  return { step: last, ends: last < Infinity ? endsUnder(log, token, last) : [], isRun: last < Infinity };
}

function endsUnder(log, token, step) {
  return log.steps[step].ends.filter((end) => token < 0 || isBelow(log, token - 1, end.node));
}

/** "freed at step 31, when path 7 was pruned", seen from `cursor`; what is not known is left open. */
export function fateWords(log, token, cursor, holders) {
  const { step, ends, isRun } = fateOf(log, token);
  if (step === Infinity) {
    return holders.length === 1 ? `freed when ${pathsOf([holders[0].path])} ends` : `freed when the last of ${pathsOf(holders.map((one) => one.path))} ends`;
  }
  const when = endWords(ends);
  if (isRun) return step > cursor ? `kept to the end of the run, step ${count(step)}` : `freed with the run, after step ${count(step)}`;
  if (step > cursor) return `will be freed at step ${count(step)}${when.replace(" was ", " is ").replace(" were ", " are ").replace("reached", "reaches")}`;
  return `freed at step ${count(step)}${when}`;
}

/** ", when path 7 was pruned": the ends that let go, by what happened to them. */
function endWords(ends) {
  const parts = Object.entries(ENDED).flatMap(([status, [one, several]]) => {
    const ids = ends.filter((end) => end.status === status).map((end) => end.path);
    return ids.length ? [`${pathsOf(ids)} ${ids.length === 1 ? one : several}`] : [];
  });
  return parts.length ? `, when ${parts.join(" and ")}` : "";
}

/**
 * What is known of the owner of a focus: `{what, holders, since, nbytes, share, fate, note}`. `holders` are live
 * paths, `nbytes` its own bytes, `share` words on how they are divided, `since` a step or null, `fate` what frees it.
 */
export function ownership(log, state, focus) {
  const { kind } = focus.subject;
  if (kind === "path") return ofPath(log, state, focus.subject.path);
  if (kind === "layer") return ofLayer(log, state, focus.subject.layer);
  if (kind === "step") return ofStep(log, state, focus.subject.step);
  if (kind === "node") return ofNode(log, state, focus.subject.id);
  return ofSlot(log, state, focus.subject.slot, kind === "cell" ? focus.subject.layer : null);
}

/** Bytes of a token in all layers, or in one. */
function eachOf(log, layer = null) {
  const { kv_nbytes_per_token: each, num_layers: layers } = log.header.model;
  return layer === null ? each : each / layers;
}

function shareOf(each, holders) {
  if (!holders) return "";
  return holders === 1 ? "private to one path" : `shared by ${plural(holders, "path")}: ${bytes(each / holders)} each`;
}

function ofSlot(log, state, slot, layer) {
  const token = state.tokens[slot];
  const each = eachOf(log, layer);
  const where = layer === null ? `slot ${count(slot)}` : `layer ${layer}, slot ${count(slot)}`;
  if (!token) return { what: where, holders: [], since: null, nbytes: 0, share: "", fate: "", note: "free: no live path sees it" };
  return { ...stored(log, state, token, slot, each), what: where };
}

function stored(log, state, token, slot, each) {
  const holders = holdersOf(log, state, slot);
  const holder = token > 0 ? log.nodes[token - 1] : log.prompt[-token - 1];
  const part = token < 0 ? ", part of the prompt" : "";
  return {
    what: `slot ${count(slot)}`, holders, since: holder.written, nbytes: each, share: shareOf(each, holders.length),
    fate: fateWords(log, token, state.cursor, holders),
    note: `holds “${visibleToken(holder.text, holder.raw)}”${part}`,
  };
}

function through(log, state, id) {
  return state.rows.filter((row) => id === PROMPT || isBelow(log, id, row.node)).map((row) => described(log, row));
}

function ofNode(log, state, id) {
  const holders = through(log, state, id);
  const each = eachOf(log);
  if (log.length && !log.head.numPrompt) return unpooled(log, holders, each * (id === PROMPT ? log.prompt.length : 1));
  if (id === PROMPT) return ofPrompt(log, state, holders, each);
  const node = log.nodes[id];
  if (state.holds(node.slot, id + 1) && node.written <= state.cursor) return { ...stored(log, state, id + 1, node.slot, each), note: "" };
  const none = { what: "no slot", holders, since: null, nbytes: 0, share: "", fate: "" };
  if (node.written <= state.cursor) return { ...none, since: node.written, fate: fateWords(log, id + 1, state.cursor, holders), note: `was in slot ${count(node.slot)}` };
  if (node.ended <= state.cursor) return { ...none, note: "never stored: its path ended before the next pass" };
  return { ...none, note: "not stored yet: the next forward pass writes it" };
}

function ofPrompt(log, state, holders, each) {
  const stored = state.numPrompt;
  return {
    what: plural(stored, "prompt slot"), holders, since: stored ? log.prompt[0].written : null, nbytes: stored * each,
    share: shareOf(stored * each, holders.length), fate: stored ? fateWords(log, -1, state.cursor, holders) : "",
    note: stored < log.prompt.length ? `${plural(log.prompt.length - stored, "token")} not read yet` : "stored once for all paths",
  };
}

function unpooled(log, holders, each) {
  const { backend } = log.header.config.cache;
  const isKept = backend !== "recompute";
  return {
    what: "no slot", holders, since: null, nbytes: isKept ? each * holders.length : 0, fate: "",
    share: isKept && holders.length ? `${plural(holders.length, "copy").replace("copys", "copies")} of ${bytes(each)}` : "",
    note: isKept ? OWN_CACHE : "nothing is kept: every step computes its keys and values anew",
  };
}

function ofPath(log, state, path) {
  const row = state.rows.find((one) => one.path === path);
  const made = log.forks.find((fork) => fork.children.includes(path))?.step ?? 0;
  const end = log.ends.find((one) => one.path === path);
  const split = log.forks.find((fork) => fork.path === path);
  const slots = row ? state.visible(row) : [];
  const own = slots.filter((slot) => state.refs[slot] === 1).length;
  const each = eachOf(log);
  const part = slots.reduce((sum, slot) => sum + each / state.refs[slot], 0);
  return {
    what: `path ${path}`, holders: row ? [described(log, row)] : [], since: made, nbytes: slots.length * each,
    share: slots.length ? `${plural(own, "slot")} (${bytes(own * each)}) its own; with its part of the shared ones ${bytes(part)}` : "",
    fate: pathFate(state.cursor, end, split), note: slots.length ? `sees ${plural(slots.length, "slot")}` : "",
  };
}

function pathFate(cursor, end, split) {
  if (split) return `${split.step <= cursor ? "split" : "will split"} at step ${count(split.step)} into ${pathsOf(split.children)}: what it holds stays theirs`;
  if (!end) return "its own slots are freed when it ends";
  const what = ENDED[end.status][0];
  return end.step <= cursor ? `${what} at step ${count(end.step)}: its own slots were freed then`
    : `its own slots are freed at step ${count(end.step)}, when it ${what.replace("was ", "is ").replace("reached", "reaches")}`;
}

function ofLayer(log, state, layer) {
  const live = state.memory?.layers[layer] ?? 0;
  const each = eachOf(log, layer);
  const holders = state.rows.map((row) => described(log, row));
  return {
    what: `layer ${layer}`, holders, since: live ? 0 : null, nbytes: live * each,
    share: `${plural(live, "live slot")} of ${bytes(each)}`, fate: "a slot is freed in every layer at once", note: "",
  };
}

function ofStep(log, state, index) {
  const step = log.steps[index];
  const live = new Set(step.paths);
  const each = eachOf(log);
  return {
    what: `step ${count(index)}`, holders: state.rows.filter((row) => live.has(row.path)).map((row) => described(log, row)),
    since: index, nbytes: step.slots.length * each, share: `${plural(step.slots.length, "slot")} written, ${count(step.freed.length)} freed`,
    fate: "", note: narrate(log, index),
  };
}
