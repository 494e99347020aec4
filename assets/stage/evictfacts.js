// What is true of a run with a bounded cache at one moment: who holds what, how far off, what left. Pure functions.

import { shorten } from "./format.js";
import { PROMPT } from "./log.js";
import { readable } from "./outline.js";

const UNPROTECTED = ["fifo"]; // policies under which sinks and recent tokens leave like any other

/** The eviction settings of a run; a trace from before there were any has none. */
export function settingsOf(log) {
  return log?.header.config.eviction ?? { policy: null };
}

/** Whether there is something to say of evictions: a policy, or at least one eviction. */
export function isBounded(log) {
  return Boolean(log && (settingsOf(log).policy || log.evictions.length));
}

/** The row of a state that path `path` goes on in, or came from; the first row where there is none. Null: no rows. */
export function rowOf(log, state, path) {
  const { rows } = state;
  const own = rows.find((row) => row.path === path);
  const last = log.lastOf.get(path);
  if (own || last === undefined) return own ?? rows[0] ?? null;
  const line = new Set(log.lineage(last));
  const older = rows.find((row) => line.has(row.node) && row.node <= last);
  return older ?? rows.find((row) => row.node !== PROMPT && log.lineage(row.node).includes(last)) ?? rows[0] ?? null;
}

/** Token codes of a row's text, from the first prompt token read so far to the newest one that is stored. */
export function storedOf(log, state, row) {
  const prompt = Array.from({ length: state.numPrompt }, (_, at) => -(at + 1));
  if (row.node === PROMPT) return prompt;
  const ids = log.lineage(row.node);
  if (log.nodes[row.node].written > state.cursor) ids.pop(); // made by this step, stored by the next
  return [...prompt, ...ids.map((id) => id + 1)];
}

/** The beginning of what the path of `row` wrote, at most `limit` characters of it; "" at the prompt's end. */
export function writtenOf(log, row, limit) {
  if (row.node === PROMPT) return "";
  return shorten(log.lineage(row.node).map((id) => readable(log.nodes[id].text, log.nodes[id].raw)).join("").trim(), limit);
}

/** A token's fact by its code: `{token, text, raw}` and more. */
export function factOf(log, code) {
  return code > 0 ? log.nodes[code - 1] : log.prompt[-code - 1];
}

/** Where a token stands in the text; 0 is the first one of the prompt. */
export function positionOf(log, code) {
  return code > 0 ? log.prompt.length + log.nodes[code - 1].depth : -code - 1;
}

/** [tables] Map token code -> slot, of what `row` sees in each layer. */
export function heldBy(state, row) {
  return Array.from({ length: state.numLayers }, (_, layer) => {
    const tokens = state.tokensOf(layer);
    return new Map(state.visible(row, layer).map((slot) => [tokens[slot], slot]));
  });
}

/**
 * The text of a row, token by token: `{code, position, held, protection}`; `held` is how many layers the path still sees it
 * in, `protection` "sink", "recent" or "".
 */
export function contextOf(log, state, row) {
  const { policy, sinks = 0, recent = 0 } = settingsOf(log);
  const codes = storedOf(log, state, row);
  const held = new Map();
  const layers = state.isSplit ? heldBy(state, row) : [new Map(state.visible(row).map((slot) => [state.tokens[slot], slot]))];
  for (const own of layers) for (const code of own.keys()) held.set(code, (held.get(code) ?? 0) + 1);
  const each = state.isSplit ? 1 : state.numLayers;
  const isKept = policy && !UNPROTECTED.includes(policy);
  return codes.map((code, position) => ({
    code, position, held: (held.get(code) ?? 0) * each,
    protection: !isKept ? "" : position < sinks ? "sink" : position >= codes.length - recent ? "recent" : "",
  }));
}

/** By layer: slots that `row` sees, the most that any path sees, slots in use, and the budget (null: none). */
export function occupancyOf(log, state, row) {
  const { budgets = [] } = log.steps[state.cursor] ?? {};
  return Array.from({ length: state.numLayers }, (_, layer) => {
    const refs = state.refsOf(layer);
    return {
      layer, seen: state.visible(row, layer).length, most: Math.max(0, ...state.rows.map((one) => state.visible(one, layer).length)),
      live: refs.reduce((sum, number) => sum + Number(number > 0), 0), budget: budgets[layer] ?? null,
    };
  });
}

/** Tokens that a full cache would store for the same paths, each once. */
export function fullTokens(log, state) {
  const codes = new Set();
  for (const row of state.rows) for (const code of storedOf(log, state, row)) codes.add(code);
  return codes.size;
}

/** How many of `list` come before the first that `isPast`; those after it are past as well. */
export function numBefore(list, isPast) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isPast(list[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Entries of `log.evictions` up to step `cursor`: how many. */
export function numEvicted(log, cursor) {
  return numBefore(log.evictions, ({ step }) => step > cursor);
}

/** Entries of `log.evictions` of one step and layer. */
export function evictedIn(log, step, layer) {
  return log.evictions.slice(numEvicted(log, step - 1), numEvicted(log, step)).filter((one) => one.layer === layer);
}

/** The step before `cursor + 1` that has evidence, newest first: `{step, evidence}` of `layer`, or null. */
export function evidenceAt(log, cursor, layer) {
  for (let step = Math.min(cursor, log.length - 1); step >= 0; step--) {
    const evidence = log.steps[step].evidence?.find((one) => one.layer === layer);
    if (evidence) return { step, evidence };
  }
  return null;
}

const known = new WeakMap(); // log -> its decisions that were held against the full cache

/**
 * Decisions beside which the full cache ran, in order: `{step, path, node, kl, flip}`; `flip` is null or `{own, full}`,
 * the two first choices as tokens `{token, text, raw}` (a text that the log never says is null). Grown with the log.
 */
export function qualityOf(log) {
  if (!known.has(log)) known.set(log, { length: 0, list: [] });
  const read = known.get(log);
  for (; read.length < log.length; read.length++) {
    for (const decision of log.steps[read.length].decisions) {
      if (decision.kl === null || decision.kl === undefined) continue;
      const own = decision.candidates.find((one) => one.token === decision.top) ?? decision.candidates[0]; // of equals, `top`
      const isOther = own && Number.isInteger(decision.full_top) && decision.full_top !== (decision.top ?? own.token);
      read.list.push({
        step: read.length, path: decision.path, node: decision.node, kl: decision.kl,
        flip: isOther ? { own, full: named(log, decision) } : null,
      });
    }
  }
  return read.list;
}

/** The full cache's first choice with its text, where the run says it anywhere. */
function named(log, { candidates, full_top: token }) {
  const known = candidates.find((one) => one.token === token) ?? log.nodes.find((one) => one.token === token)
    ?? log.prompt.find((one) => one.token === token);
  if (known) return known;
  for (const step of log.steps) {
    for (const { candidates: others } of step.decisions) {
      const found = others.find((one) => one.token === token);
      if (found) return found;
    }
  }
  return { token, text: null };
}

/** Mean KL in nats and flips over decisions up to `cursor`, and how many those are; null where none was held against it. */
export function qualityAt(log, cursor) {
  const list = qualityOf(log).filter(({ step }) => step <= cursor);
  if (!list.length) return null;
  return {
    decisions: list.length, kl: list.reduce((sum, { kl }) => sum + kl, 0) / list.length, flips: list.filter(({ flip }) => flip).length,
    first: list.find(({ flip }) => flip) ?? null,
  };
}

/** Of those decisions the ones on the line through `row`: of its ancestors, of itself, and on to the newest token below. */
export function qualityAlong(log, row) {
  const line = new Set([PROMPT, ...log.lineage(newestBelow(log, row.node))]);
  return qualityOf(log).filter(({ node }) => line.has(node));
}

function newestBelow(log, node) {
  const { length } = log.nodes;
  if (node === PROMPT) return length - 1;
  const isBelow = new Uint8Array(length);
  isBelow[node] = 1;
  for (let id = node + 1; id < length; id++) isBelow[id] = isBelow[log.nodes[id].parent] ?? 0;
  return isBelow.lastIndexOf(1);
}

/** Evictions of the token `code` up to `cursor`: `[{step, layer, paths, reason}]`, oldest first. */
export function departures(log, code, cursor) {
  return (log.gone.get(code) ?? []).map((index) => log.evictions[index]).filter(({ step }) => step <= cursor)
    .map(({ step, layer, at, of }) => ({ step, layer, paths: of.paths[at], reason: of.reasons[at] }));
}
