// What a timeline marks: forks, copies, prunes, finishes and evictions, by step. Pure functions.

import { plural } from "./format.js";

/** The kinds in the order of their lanes: how a button names one, what it is, and how many there are in words. */
export const KINDS = {
  fork: {
    name: "forks", title: "A path was unsure and split", words: (count) => plural(count, "fork"),
  },
  copy: {
    name: "copies", title: "A path of a fork wrote its first own slot behind what it shares; without a pool, caches were copied",
    words: (count, pooled) => (pooled ? plural(count, "first private slot") : copies(count)),
  },
  prune: {
    name: "pruned", title: "A path was dropped: others were more probable", words: (count) => `${plural(count, "path")} pruned`,
  },
  finish: {
    name: "ended", title: "A path reached its end or the length limit", words: (count) => `${plural(count, "path")} ended`,
  },
  evict: {
    name: "evicted", title: "A slot left the cache of a path, in one layer", words: (count) => plural(count, "eviction"),
  },
};

const known = new WeakMap(); // log -> what has been read of it: a log only grows

function copies(count) {
  return `${plural(count, "cache")} copied`;
}

/**
 * The marks of a log so far, in order of step, at most one of a kind a step: `{step, kind, count, nodes, paths,
 * pooled}`. A copy is the copy-on-write moment: a path of a fork writes its first own slot behind a prefix that
 * a sibling sees as well; without a pool it is a cache that was copied, see `copiedBy`. The same array every time,
 * grown.
 */
export function marks(log) {
  if (!log) return [];
  if (!known.has(log)) known.set(log, { length: 0, list: [], waiting: new Map(), rows: [], pooled: false, backend: log.header.config.cache.backend });
  const read = known.get(log);
  for (; read.length < log.length; read.length++) append(read, log.steps[read.length]);
  return read.list;
}

/** The next mark of one of `kinds` after `cursor` (way 1), or the last one before it (way -1); null: none. */
export function next(list, cursor, kinds, way) {
  const isWanted = (mark) => kinds.includes(mark.kind) && (mark.step - cursor) * way > 0;
  return (way > 0 ? list.find(isWanted) : list.findLast(isWanted)) ?? null;
}

function append(read, step) {
  const add = (kind, count, nodes, paths) => {
    if (count) read.list.push({ step: step.index, kind, count, nodes, paths, pooled: read.pooled });
  };
  const made = new Map(step.nodes.map((node) => [node.path, node.id]));
  if (step.slots.length) read.pooled = true;
  const wrote = firstSlots(read, step);
  const split = heirsOf(step);
  add("fork", step.forks.length, step.forks.flatMap((fork) => [
    ...step.decisions.filter((one) => one.path === fork.path).map((one) => one.node),
    ...fork.children.filter((path) => made.has(path)).map((path) => made.get(path))]),
  step.forks.flatMap((fork) => fork.children));
  if (read.pooled) add("copy", wrote.length, wrote.map((row) => row.node), wrote.map((row) => row.path));
  else if (step.memory.kv_nbytes > 0 || step.memory_forward.kv_nbytes > 0) {
    const copied = copiedBy(read, step, split);
    add("copy", copied.length, copied.map((path) => made.get(path)), copied);
  }
  const ended = (...statuses) => step.ends.filter((end) => statuses.includes(end.status));
  for (const [kind, ends] of [["prune", ended("pruned")], ["finish", ended("finished", "length")]]) {
    add(kind, ends.length, ends.map((end) => end.node), ends.map((end) => end.path));
  }
  const evicted = step.evictions ?? []; // of each layer that lost something
  add("evict", evicted.reduce((sum, { slots }) => sum + slots.length, 0), [], [...new Set(evicted.flatMap(({ paths }) => paths.flat()))]);
  read.rows = step.paths.map((path) => ({ path, node: made.get(path) }));
  read.waiting = new Map(split.map((row) => [row.path, true]));
}

/** Rows that wrote the first slot of their own after the fork that made them. */
function firstSlots(read, step) {
  if (step.phase !== "decode" || !step.slots.length) return [];
  return read.rows.filter((row) => read.waiting.has(row.path));
}

/**
 * Paths whose cache is a copy made in this step. A batch is gathered anew, every row of it, wherever its rows are not
 * those of before, for a fork and for a prune; of caches of their own the first child keeps its parent's.
 */
function copiedBy({ backend, rows }, step, split) {
  if (backend !== "batched") return split.filter((row) => !row.isFirst).map((row) => row.path);
  const before = Math.max(1, rows.length);
  const isSame = step.parents.length === before && step.parents.every((parent, at) => parent === at);
  return isSame ? [] : step.paths;
}

/** Rows that go on from a row which others go on from too: `{path, isFirst}`. */
function heirsOf(step) {
  const heirs = new Map();
  step.parents.forEach((parent) => heirs.set(parent, (heirs.get(parent) ?? 0) + 1));
  const seen = new Set();
  return step.paths.flatMap((path, at) => {
    const parent = step.parents[at];
    if (heirs.get(parent) < 2) return [];
    const isFirst = !seen.has(parent);
    seen.add(parent);
    return [{ path, isFirst }];
  });
}

/**
 * Marks that would stand closer than `least` pixels are one: `{kind, from, to, step, count, marks}`, of one
 * kind, at pixels `x(step)`.
 */
export function bins(list, kind, x, least) {
  const found = [];
  for (const mark of list) {
    if (mark.kind !== kind) continue;
    const last = found.at(-1);
    if (last && x(mark.step) - x(last.from) < least) {
      last.to = mark.step;
      last.count += mark.count;
      last.marks.push(mark);
    } else found.push({ kind, from: mark.step, to: mark.step, step: mark.step, count: mark.count, marks: [mark] });
  }
  return found;
}

/** What a bin holds, as a label: "step 14: 2 forks". */
export function binWords({ kind, from, to, count, marks: members }) {
  const when = from === to ? `step ${from}` : `steps ${from} to ${to}`;
  return `${when}: ${KINDS[kind].words(count, members[0].pooled)}`;
}

/** All that happened in a step, in words; "" where nothing is marked. */
export function stepWords(list, step) {
  return list.filter((mark) => mark.step === step).map((mark) => KINDS[mark.kind].words(mark.count, mark.pooled)).join(", ");
}
