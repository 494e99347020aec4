// Who owns this: which live paths hold a slot, since when, how many bytes that is, and what frees them. No DOM.
//
// Holders and bytes are those of the cursor. What frees them is in fate.js; runs without a pool are in caches.js.

import { hasPool, ownCaches } from "./caches.js";
import { described, fateWords, pathFate, sinceOf, through, unstoredWords } from "./fate.js";
import { bytes, count, narrate, plural, visibleToken } from "./format.js";
import { PROMPT } from "./log.js";
import { heldIn, isQuantized, slotNbytes, tokenNbytes } from "./weight.js";

/** Live paths that see `slot` now: `[{path, node, text}]`, in the engine's order. */
export function holdersOf(log, state, slot, layer = 0) {
  return state.rows.filter((row) => state.sees(row, slot, layer)).map((row) => described(log, row));
}

/**
 * What is known of the owner of a focus: `{what, holders, since, nbytes, share, fate, note, isMean}`. `holders` are live
 * paths, `nbytes` its own bytes (`isMean`: by the mean of what is stored, where storage is quantised), `share` words on how they are divided, `since` a step or null, `fate` what frees it.
 * `badge` is the stage's: how the run stands.
 */
export function ownership(log, state, focus, badge = "live") {
  const owned = owner(log, state, focus.subject, badge);
  return { ...owned, isMean: isQuantized(log.header) && owned.nbytes > 0 };
}

function owner(log, state, subject, badge) {
  const { kind } = subject;
  if (!hasPool(log)) return ownCaches(log, state, subject, badge, eachOf(log, state.memory, subject.layer ?? null));
  if (kind === "path") return ofPath(log, state, subject.path, badge);
  if (kind === "layer") return ofLayer(log, state, subject.layer);
  if (kind === "step") return ofStep(log, state, subject.step);
  if (kind === "node") return ofNode(log, state, subject.id, badge);
  return ofSlot(log, state, subject.slot, kind === "cell" ? subject.layer : null, badge);
}

/** Bytes of a token in all layers, or in one; the mean of what `memory` measured where they differ. */
function eachOf({ header }, memory, layer = null) {
  return layer === null ? tokenNbytes(header, memory) : slotNbytes(header, memory).each[layer];
}

function shareOf(each, holders) {
  if (!holders) return "";
  return holders === 1 ? "private to one path" : `shared by ${plural(holders, "path")}: ${bytes(each / holders)} each`;
}

function ofSlot(log, state, slot, layer, badge) {
  const token = state.tokensOf(layer ?? 0)[slot];
  const each = eachOf(log, state.memory, layer ?? (state.isSplit ? 0 : null));
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
  if (id === PROMPT) return state.isSplit ? ofSplitPrompt(log, state, badge) : ofPrompt(log, state, holders, eachOf(log, state.memory), badge);
  const node = log.nodes[id];
  const cells = state.isSplit && node.written <= state.cursor ? heldIn(state, id + 1) : [];
  if (cells.length) return ofCells(log, state, cells, { since: node.written, fate: splitFate(log, id + 1, state, badge) });
  const each = eachOf(log, state.memory);
  if (!state.isSplit && state.holds(node.slot, id + 1) && node.written <= state.cursor) return { ...stored(log, state, id + 1, node.slot, each, badge), note: "" };
  const none = { what: "no slot", holders, since: null, nbytes: 0, share: "", fate: "" };
  if (node.written <= state.cursor) return { ...none, since: node.written, fate: fateWords(log, id + 1, state.cursor, holders, badge), note: `was in slot ${count(node.slot)}` };
  return { ...none, note: unstoredWords(log, node, state.cursor, badge) };
}

/** Of the first layer, where that still holds it: the others go their own way. */
function splitFate(log, token, state, badge) {
  const cell = heldIn(state, token).find(([layer]) => layer === 0);
  return cell ? fateWords(log, token, state.cursor, holdersOf(log, state, cell[1]), badge) : "";
}

/** Tokens whose layers differ: `cells` are `[layer, slot]`, each with holders of its own. */
function ofCells(log, state, cells, known) {
  const { each } = slotNbytes(log.header, state.memory);
  const all = new Set(cells.map(([layer, slot]) => state.rows.filter((row) => state.sees(row, slot, layer)).map((row) => row.path).join()));
  const holders = state.rows.filter((row) => cells.some(([layer, slot]) => state.sees(row, slot, layer))).map((row) => described(log, row));
  const nbytes = cells.reduce((sum, [layer]) => sum + each[layer], 0);
  const layers = new Set(cells.map(([layer]) => layer)).size;
  return {
    what: `${plural(cells.length, "cell")} in ${count(layers)} of ${plural(state.numLayers, "layer")}`, holders, nbytes, note: "",
    share: all.size > 1 ? "other paths see it in other layers" : shareOf(nbytes, holders.length), ...known,
  };
}

function ofSplitPrompt(log, state, badge) {
  const cells = log.prompt.flatMap((_, at) => heldIn(state, -(at + 1)));
  const gone = state.numPrompt * state.numLayers - cells.length;
  const unread = log.prompt.length - state.numPrompt;
  const notes = [unread && `${plural(unread, "token")} not read yet`, gone && `${plural(gone, "cell")} of it let go`].filter(Boolean);
  const found = ofCells(log, state, cells, { since: cells.length ? log.prompt[0].written : null, fate: splitFate(log, -1, state, badge) });
  return { ...found, note: notes.join(", ") };
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
  const { isSplit } = state;
  const each = isSplit ? slotNbytes(log.header, state.memory).each : [eachOf(log, state.memory)];
  const [cells, own, nbytes, kept, part] = each.reduce((sums, weight, layer) => {
    const refs = state.refsOf(layer);
    const slots = row ? state.visible(row, layer) : [];
    const alone = slots.filter((slot) => refs[slot] === 1).length;
    const shared = slots.reduce((sum, slot) => sum + weight / refs[slot], 0);
    return [slots.length, alone, slots.length * weight, alone * weight, shared].map((value, at) => sums[at] + value);
  }, [0, 0, 0, 0, 0]);
  const noun = isSplit ? "cell" : "slot";
  return {
    what: `path ${path}`, holders: row ? [described(log, row)] : [], since: sinceOf(log, path), nbytes,
    share: cells ? `${plural(own, noun)} (${bytes(kept)}) its own; with its part of the shared ones ${bytes(part)}` : "",
    fate: pathFate(log, path, state.cursor, badge, true), note: cells ? `sees ${plural(cells, noun)}${isSplit ? ` over ${plural(state.numLayers, "layer")}` : ""}` : "",
  };
}

function ofLayer(log, state, layer) {
  const live = state.memory?.layers[layer] ?? 0;
  const each = eachOf(log, state.memory, layer);
  const holders = state.rows.map((row) => described(log, row));
  return {
    what: `layer ${layer}`, holders, since: live ? 0 : null, nbytes: live * each,
    share: `${plural(live, "live slot")} of ${bytes(each)}`, fate: state.isSplit ? "this layer evicts for itself" : "a slot is freed in every layer at once", note: "",
  };
}

function ofStep(log, state, index) {
  const step = log.steps[index];
  const live = new Set(step.paths);
  const each = eachOf(log, step.memory_forward);
  const freed = step.layer_freed?.length ? step.layer_freed.reduce((sum, slots) => sum + slots.length, 0) : step.freed.length;
  const words = step.layer_freed?.length ? `written in each layer, ${count(freed)} freed over all layers` : `written, ${count(freed)} freed`;
  return {
    what: `step ${count(index)}`, holders: state.rows.filter((row) => live.has(row.path)).map((row) => described(log, row)),
    since: index, nbytes: step.slots.length * each, share: `${plural(step.slots.length, "slot")} ${words}`,
    fate: "", note: narrate(log, index),
  };
}
