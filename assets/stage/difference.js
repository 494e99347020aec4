// Where two runs part, and in what words. Pure functions of two logs.

import { isTree, leaves } from "./counters.js";
import { count, plural, visibleToken } from "./format.js";
import { PROMPT } from "./log.js";

/**
 * The first difference of two trees, node by node in order of creation (parent and token), then of their
 * paths' ends: `{kind, same, a, b}`. `same`: tokens (kind "text": characters) that are alike. `a`, `b`: the
 * node to mark in each tree, or null. Kinds:
 * - "none": the same trees; with `partial`, as far as both have come;
 * - "token": another token after the same ones; "fork": one run has more children of `at`;
 * - "ended": one run goes on after `at`, where the other ended that path; "order": they go on after other paths;
 * - "longer": one run ends, the other goes on; "end": a path ended for another reason;
 * - "text": other tokenizers, so the first returned paths are held against each other as text;
 * - "samples": independent samples and a tree are not held against each other.
 */
export function firstDifference(a, b, { partial = false } = {}) {
  if (isTree(a) !== isTree(b)) return { kind: "samples", same: 0, a: null, b: null };
  if (!haveSameTokens(a, b)) return partial ? { kind: "none", same: 0, a: null, b: null } : firstTexts(a, b);
  const both = Math.min(a.nodes.length, b.nodes.length);
  for (let id = 0; id < both; id++) {
    const [one, other] = [a.nodes[id], b.nodes[id]];
    if (one.parent !== other.parent) return structure(a, b, id);
    if (one.token !== other.token) return { kind: "token", same: id, a: id, b: id };
  }
  if (partial) return { kind: "none", same: both, a: null, b: null };
  if (a.nodes.length !== b.nodes.length) return longer(a, b, both);
  return ends(a, b, both);
}

/** Parents differ at node `id`: whose run did more with the earlier of the two paths? */
function structure(a, b, id) {
  const before = a.nodes[id - 1].parent;
  const [one, other] = [a.nodes[id].parent, b.nodes[id].parent];
  if (one === before) return marked("fork", id, "a", id, id - 1, before);
  if (other === before) return marked("fork", id, "b", id, id - 1, before);
  if (!b.node(one).children.length) return marked("ended", id, "a", id, one, one);
  if (!a.node(other).children.length) return marked("ended", id, "b", id, other, other);
  return { kind: "order", same: id, a: id, b: id };
}

function marked(kind, same, more, mark, otherMark, at) {
  const [a, b] = more === "a" ? [mark, otherMark] : [otherMark, mark];
  return { kind, same, a, b, more, at };
}

function longer(a, b, same) {
  const more = a.nodes.length > b.nodes.length ? "a" : "b";
  const next = (more === "a" ? a : b).nodes[same];
  return marked("longer", same, more, next.id, next.parent, next.parent);
}

function ends(a, b, same) {
  const of = (log) => new Map(log.ends.map((end) => [end.node, end.status]));
  const [one, other] = [of(a), of(b)];
  const nodes = [...new Set([...one.keys(), ...other.keys()])].sort((x, y) => x - y);
  const at = nodes.find((node) => one.get(node) !== other.get(node));
  if (at === undefined) return { kind: "none", same, a: null, b: null };
  return { kind: "end", same, a: at, b: at, ends: [one.get(at) ?? null, other.get(at) ?? null] };
}

/** Other tokenizers: the first returned path of each, character by character. */
function firstTexts(a, b) {
  const [one, other] = [a, b].map((log) => leaves(log)[0]?.node ?? PROMPT);
  const texts = [[...a.textOf(one)], [...b.textOf(other)]];
  let same = 0;
  while (same < Math.min(texts[0].length, texts[1].length) && texts[0][same] === texts[1][same]) same += 1;
  if (same === texts[0].length && same === texts[1].length) return { kind: "text", same, a: null, b: null };
  return { kind: "text", same, a: nodeAt(a, one, same), b: nodeAt(b, other, same) };
}

/** The node of the path to `leaf` that adds character `at` of its text; null beyond its end. */
function nodeAt(log, leaf, at) {
  let passed = 0;
  for (const id of log.lineage(leaf)) {
    passed += [...log.nodes[id].text].length;
    if (passed > at) return id;
  }
  return null;
}

/** Whether a token's number means the same in both runs: the same model, or no token that says otherwise. */
export function haveSameTokens(a, b) {
  if (a.header.model.name === b.header.model.name) return true;
  if (a.header.model.vocab_size !== b.header.model.vocab_size) return false;
  const known = new Map(pieces(a));
  const byPiece = new Map([...known].map(([token, raw]) => [raw, token]));
  let shared = 0;
  for (const [token, raw] of pieces(b)) {
    if ((known.get(token) ?? raw) !== raw || (byPiece.get(raw) ?? token) !== token) return false;
    shared += Number(known.has(token));
  }
  return shared > 0;
}

function pieces(log) {
  return [...log.prompt, ...log.nodes].map(({ token, raw }) => [token, raw]);
}

/** The difference as one sentence. `names`: what the two runs are called. */
export function tellDifference(found, [a, b], names) {
  const [one, other] = names;
  const word = (log, id) => (id === null ? "nothing more" : id === PROMPT ? "the prompt" : `“${visibleToken(log.node(id).text, log.node(id).raw)}”`);
  const same = found.same ? `The same for ${plural(found.same, "token")}; then` : "Other from the first token on:";
  const [more, less] = found.more === "b" ? [[b, other], [a, one]] : [[a, one], [b, other]];
  const id = found.more === "b" ? found.b : found.a;
  switch (found.kind) {
    case "none":
      return `The same tree: ${plural(found.same, "token")}, parents and ends alike.`;
    case "token":
      return `${same} ${word(a, found.a)} (${one}) against ${word(b, found.b)} (${other}) on ${placeOf(a, b, found)}.`;
    case "fork": {
      const [wide, narrow] = [more, less].map(([log]) => childrenOf(log, found.at, more[0].nodes[id].step));
      const list = (log, ids) => ids.map((child) => word(log, child)).join(", ");
      const goes = narrow.length > 1 ? `splits into ${narrow.length}: ${list(less[0], narrow)}` : `goes on with ${list(less[0], narrow)} alone`;
      return `${same} ${more[1]} splits after ${word(a, found.at)} into ${wide.length}: ${list(more[0], wide)}, where ${less[1]} ${goes} (step ${more[0].nodes[id].step}).`;
    }
    case "ended": {
      const { status } = less[0].node(found.at);
      const node = more[0].nodes[id];
      return `${same} ${more[1]} goes on after ${word(a, found.at)} with ${word(more[0], id)} (path ${node.path}, step ${node.step}), where ${less[1]} ${ENDED[status] ?? "did not"}.`;
    }
    case "order":
      return `${same} ${one} goes on after ${word(a, a.nodes[found.a].parent)} and ${other} after ${word(b, b.nodes[found.b].parent)} (step ${a.nodes[found.a].step}).`;
    case "longer": {
      const node = more[0].nodes[id];
      return `The same for ${plural(found.same, "token")}, all that ${less[1]} has; ${more[1]} goes on with ${word(more[0], id)} on path ${node.path}, step ${node.step}.`;
    }
    case "end": {
      const [here, there] = found.ends.map((status) => WAYS[status] ?? "was still open");
      return `The same ${plural(found.same, "token")}; but path ${a.node(found.a).path} ${here} in ${one} and ${there} in ${other}.`;
    }
    case "text":
      return tellTexts(found, [a, b], names, word);
    default:
      return `${names[isTree(a) ? 1 : 0]} draws independent samples and ${names[isTree(a) ? 0 : 1]} grows one tree: they are not held against each other token by token.`;
  }
}

const WAYS = { finished: "reached its end", length: "reached the length limit", pruned: "was pruned", cancelled: "was stopped" };
const ENDED = { finished: "had finished that path", length: "had reached the length limit", pruned: "had pruned that path", cancelled: "was stopped" };

function tellTexts(found, [a, b], [one, other], word) {
  const how = "Other tokenizers, so the first returned paths are compared as text:";
  if (found.a === null && found.b === null) return `${how} the same ${plural(found.same, "character")}.`;
  return `${how} the same for ${plural(found.same, "character")}; then ${word(a, found.a)} (${one}) against ${word(b, found.b)} (${other}).`;
}

function childrenOf(log, id, step) {
  return log.node(id).children.filter((child) => log.nodes[child].step === step);
}

function placeOf(a, b, found) {
  const [one, other] = [a.nodes[found.a], b.nodes[found.b]];
  const path = one.path === other.path ? `path ${one.path}` : `paths ${one.path} and ${other.path}`;
  return `${path}, step ${one.step === other.step ? one.step : `${one.step} and ${count(other.step)}`}`;
}
