// Who owns this: which live paths hold a slot, since when, how many bytes that is, and what frees them. No DOM.
//
// Holders and bytes are those of the cursor. What frees them is in fate.js; runs without a pool are in caches.js.

import { hasPool, ownCaches } from "./caches.js";
import { described, fateWords, pathFate, sinceOf, through, unstoredWords } from "./fate.js";
import { bytes, count, narrate, plural, visibleToken } from "./format.js";
import { PROMPT } from "./log.js";

/** Live paths that see `slot` now: `[{path, node, text}]`, in the engine's order. */
export function holdersOf(log, state, slot, layer = 0) {
  return state.rows.filter((row) => state.sees(row, slot, layer)).map((row) => described(log, row));
}

/**
 * What is known of the owner of a focus: `{what, holders, since, nbytes, share, fate, note}`. `holders` are live
 * paths, `nbytes` its own bytes, `share` words on how they are divided, `since` a step or null, `fate` what frees it.
 * `badge` is the stage's: how the run stands.
 */
export function ownership(log, state, focus, badge = "live") {
  const { subject } = focus;
  const { kind } = subject;
  if (!hasPool(log)) return ownCaches(log, state, subject, badge, eachOf(log, subject.layer ?? null));
  if (kind === "path") return ofPath(log, state, subject.path, badge);
  if (kind === "layer") return ofLayer(log, state, subject.layer);
  if (kind === "step") return ofStep(log, state, subject.step);
  if (kind === "node") return ofNode(log, state, subject.id, badge);
  return ofSlot(log, state, subject.slot, kind === "cell" ? subject.layer : null, badge);
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

function ofSlot(log, state, slot, layer, badge) {
  const token = state.tokensOf(layer ?? 0)[slot];
  const each = eachOf(log, layer ?? (state.isSplit ? 0 : null));
  const where = layer === null ? `slot ${count(slot)}` : `layer ${layer}, slot ${count(slot)}`;
  if (!token) return { what: where, holders: [], since: null, nbytes: 0, share: "", fate: "", note: "free: no live path sees it" };
  return { ...stored(log, state, token, slot, each, badge, layer ?? 0), what: state.isSplit && layer === null ? `${where} of layer 0` : where };
}

function stored(log, state, token, slot, each, badge, layer = 0) {
  const holders = holdersOf(log, state, slot, layer);
  const holder = token > 0 ? log.nodes[token - 1] : log.prompt[-token - 1];
  const part = token < 0 ? ", part of the prompt" : "";
  return {
    what: `slot ${count(slot)}`, holders, since: holder.written, nbytes: each, share: shareOf(each, holders.length),
    fate: layer ? "" : fateWords(log, token, state.cursor, holders, badge),
    note: `holds “${visibleToken(holder.text, holder.raw)}”${part}`,
  };
}

function ofNode(log, state, id, badge) {
  const holders = through(log, state, id);
  const each = eachOf(log);
  if (id === PROMPT) return ofPrompt(log, state, holders, each, badge);
  const node = log.nodes[id];
  if (state.holds(node.slot, id + 1) && node.written <= state.cursor) return { ...stored(log, state, id + 1, node.slot, each, badge), note: "" };
  const none = { what: "no slot", holders, since: null, nbytes: 0, share: "", fate: "" };
  if (node.written <= state.cursor) return { ...none, since: node.written, fate: fateWords(log, id + 1, state.cursor, holders, badge), note: `was in slot ${count(node.slot)}` };
  return { ...none, note: unstoredWords(log, node, state.cursor, badge) };
}

function ofPrompt(log, state, holders, each, badge) {
  const stored = state.numPrompt;
  return {
    what: plural(stored, "prompt slot"), holders, since: stored ? log.prompt[0].written : null, nbytes: stored * each,
    share: shareOf(stored * each, holders.length), fate: stored ? fateWords(log, -1, state.cursor, holders, badge) : "",
    note: stored < log.prompt.length ? `${plural(log.prompt.length - stored, "token")} not read yet` : "stored once for all paths",
  };
}

function ofPath(log, state, path, badge) {
  const row = state.rows.find((one) => one.path === path);
  const slots = row ? state.visible(row) : [];
  const own = slots.filter((slot) => state.refs[slot] === 1).length;
  const each = eachOf(log);
  const part = slots.reduce((sum, slot) => sum + each / state.refs[slot], 0);
  return {
    what: `path ${path}`, holders: row ? [described(log, row)] : [], since: sinceOf(log, path), nbytes: slots.length * each,
    share: slots.length ? `${plural(own, "slot")} (${bytes(own * each)}) its own; with its part of the shared ones ${bytes(part)}` : "",
    fate: pathFate(log, path, state.cursor, badge, true), note: slots.length ? `sees ${plural(slots.length, "slot")}` : "",
  };
}

function ofLayer(log, state, layer) {
  const live = state.memory?.layers[layer] ?? 0;
  const each = eachOf(log, layer);
  const holders = state.rows.map((row) => described(log, row));
  return {
    what: `layer ${layer}`, holders, since: live ? 0 : null, nbytes: live * each,
    share: `${plural(live, "live slot")} of ${bytes(each)}`, fate: state.isSplit ? "this layer evicts for itself" : "a slot is freed in every layer at once", note: "",
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
