// Who owns this where there is no pool: every path keeps a cache of its own, or nothing is kept at all. No DOM.
//
// How much of a text is stored is measured (a step's memory, evenly over its rows); that a token is stored by the pass
// after the one it was drawn from is how every backend works.

import { described, isLast, brokenWords, pathFate, sinceOf, startOf, through, unstoredWords } from "./fate.js";
import { bytes, count, narrate, numSamples, plural } from "./format.js";
import { PROMPT } from "./log.js";

const OWN = "each path keeps a cache of its own: nothing is shared";
const NOTHING = "nothing is kept: every step computes its keys and values anew";

/** Whether paths share a pool of slots; taken as given before the first step. */
export function hasPool(log) {
  return log.length === 0 || log.head.numPrompt > 0;
}

/** Tokens stored of every live path's text: all texts are equally long. */
function lengthOf({ memory, rows }) {
  return memory && rows.length ? memory.unique_kv_tokens / rows.length : 0;
}

/** What `ownership` gives, for a node, a path, a layer or a step; `each`: bytes of a token, in the layer or in all. */
export function ownCaches(log, state, subject, badge, each) {
  const isKept = log.steps[0].memory_forward.kv_nbytes > 0;
  return OF[subject.kind]({ log, state, badge, isKept, each: isKept ? each : 0 }, subject);
}

const OF = {
  node: (about, { id }) => (id === PROMPT ? ofPrompt(about) : ofNode(about, id)),
  path: ({ log, state, badge, isKept, each }, { path }) => {
    const row = state.rows.find((one) => one.path === path);
    const stored = row ? lengthOf(state) : 0;
    return {
      what: `path ${path}`, holders: row ? [described(log, row)] : [], since: sinceOf(log, path), nbytes: stored * each,
      share: isKept && row ? `${plural(stored, "token")} in a cache of its own` : "",
      fate: isKept ? pathFate(log, path, state.cursor, badge, false) : "", note: isKept ? "" : NOTHING,
    };
  },
  layer: ({ log, state, isKept, each }, { layer }) => {
    const live = state.memory?.layers[layer] ?? 0;
    return {
      what: `layer ${layer}`, holders: state.rows.map((row) => described(log, row)), since: live ? startOf(log, state.cursor) : null,
      nbytes: live * each, share: isKept ? `${plural(live, "token")} of ${bytes(each)}` : "",
      fate: isKept ? "a path's cache is freed in every layer at once" : "", note: isKept ? OWN : NOTHING,
    };
  },
  step: ({ log, state, isKept, each }, { step: index }) => {
    const { positions, paths } = log.steps[index];
    return {
      what: `step ${count(index)}`, holders: state.rows.filter((row) => paths.includes(row.path)).map((row) => described(log, row)), since: index,
      nbytes: positions * each, share: `${plural(positions, "token")} ${isKept ? "stored" : "computed, none kept"}`, fate: "", note: narrate(log, index),
    };
  },
};

function ofPrompt({ log, state, badge, isKept, each }) {
  const holders = through(log, state, PROMPT);
  const stored = isKept ? Math.min(log.prompt.length, lengthOf(state)) : 0;
  const unread = log.prompt.length - stored;
  return {
    what: plural(stored, "prompt token"), holders, since: stored ? startOf(log, state.cursor) : null, nbytes: stored * each * holders.length,
    share: stored ? copies(holders, stored * each) : "", fate: stored ? fateOfCopies(log, state.cursor, holders, badge) : "",
    note: !isKept ? NOTHING : unread ? `${plural(unread, "token")} not read yet` : OWN,
  };
}

function ofNode({ log, state, badge, isKept, each }, id) {
  const node = log.nodes[id];
  const holders = through(log, state, id);
  const none = { what: "no copy", holders, since: null, nbytes: 0, share: "", fate: "" };
  if (!isKept) return { ...none, note: NOTHING };
  const written = node.ended === node.step ? Infinity : node.step + 1; // by the pass after the one it was drawn from
  if (written > state.cursor) return { ...none, note: unstoredWords(log, node, state.cursor, badge) };
  if (!holders.length) return { ...none, since: written, note: "freed: no live path keeps it any more" };
  return {
    what: `${count(holders.length)} ${holders.length === 1 ? "copy" : "copies"}`, holders, since: written, nbytes: each * holders.length,
    share: holders.length === 1 ? "private to one path" : `${bytes(each)} each`, fate: fateOfCopies(log, state.cursor, holders, badge), note: OWN,
  };
}

function copies(holders, each) {
  return holders.length === 1 ? "private to one path" : `${count(holders.length)} copies of ${bytes(each)}`;
}

function fateOfCopies(log, cursor, holders, badge) {
  if (isLast(log.steps[cursor])) return `freed with ${numSamples(log) ? "its sample" : "the run"}, after step ${count(cursor)}`;
  if (cursor === log.length - 1 && badge !== "live") return brokenWords(log, cursor, badge);
  return holders.length === 1 ? `freed when path ${holders[0].path} ends` : "each copy is freed when its path ends";
}
