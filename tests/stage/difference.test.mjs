// Where two runs part: against trees written by hand, and against recorded ones changed at a known place.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { digestOf } from "../../assets/stage/counters.js";
import { firstDifference, haveSameTokens, tellDifference } from "../../assets/stage/difference.js";
import { Log, parseTrace } from "../../assets/stage/log.js";
import { conditions, flatten, showSetting } from "../../assets/stage/settings.js";
import { byHand, header, node, recorded, step } from "./traces.mjs";

function logOf(steps, changes = {}) {
  const log = new Log({ ...header, ...changes });
  steps.forEach((one) => log.append(one));
  return log;
}

/** A chain and forks from rows: `[[step, id, parent, path, text]]`. */
function tree(rows, ends = [], changes = {}) {
  const last = Math.max(...rows.map(([at]) => at));
  return logOf(Array.from({ length: last + 1 }, (_, at) => step(at, {
    phase: at ? "decode" : "prefill", paths: [0], parents: [0],
    nodes: rows.filter((row) => row[0] === at).map(([, id, parent, path, text]) => ({ ...node(id, parent, path, text), token: tokenOf(text) })),
    ends: ends.filter((end) => end[0] === at).map(([, path, id, status]) => ({ path, node: id, status })),
  })), changes);
}

const tokenOf = (text) => [...text].reduce((sum, char) => sum * 31 + char.charCodeAt(0), 7);
const AB = ["A", "B"];
const said = (a, b) => tellDifference(firstDifference(a, b), [a, b], AB);

/** Another way to the same answer: everything that makes a tree, hashed. */
function digest(log) {
  const rows = log.steps.flatMap((one) => one.nodes.map((made) => [made.parent, made.token]));
  const ends = log.steps.flatMap((one) => one.ends.map((end) => JSON.stringify([end.node, end.status]))).sort();
  return createHash("sha256").update(JSON.stringify([rows, ends])).digest("hex");
}

const base = [[0, 0, -1, 0, " a"], [1, 1, 0, 1, " b"], [1, 2, 0, 2, " c"], [2, 3, 1, 1, " d"], [2, 4, 2, 2, " e"]];

test("another token is found, marked in both and told with its path and step", () => {
  const [a, b] = [tree(base), tree([...base.slice(0, 4), [2, 4, 2, 2, " king"]])];
  assert.deepEqual(firstDifference(a, b), { kind: "token", same: 4, a: 4, b: 4 });
  assert.equal(said(a, b), "The same for 4 tokens; then “·e” (A) against “·king” (B) on path 2, step 2.");
});

test("another first token is said to be other from the start", () => {
  assert.equal(said(tree([[0, 0, -1, 0, " a"]]), tree([[0, 0, -1, 0, " z"]])),
    "Other from the first token on: “·a” (A) against “·z” (B) on path 0, step 0.");
});

test("a fork that only one run took is told by both runs' children, whichever comes first", () => {
  const alone = tree([base[0], base[1], [2, 2, 1, 1, " d"]]);
  const forked = tree(base);
  assert.deepEqual(firstDifference(alone, forked), { kind: "fork", same: 2, a: 1, b: 2, more: "b", at: 0 });
  assert.deepEqual(firstDifference(forked, alone), { kind: "fork", same: 2, a: 2, b: 1, more: "a", at: 0 });
  assert.equal(said(alone, forked), "The same for 2 tokens; then B splits after “·a” into 2: “·b”, “·c”, where A goes on with “·b” alone (step 1).");
  const three = tree([...base.slice(0, 3), [1, 3, 0, 3, " x"]]);
  assert.equal(said(forked, three), "The same for 3 tokens; then B splits after “·a” into 3: “·b”, “·c”, “·x”, where A splits into 2: “·b”, “·c” (step 1).");
});

test("a path that one run pruned and the other went on with", () => {
  const pruned = tree([...base.slice(0, 3), [2, 3, 2, 2, " e"]], [[1, 1, 1, "pruned"]]);
  const whole = tree(base);
  assert.deepEqual(firstDifference(whole, pruned), { kind: "ended", same: 3, a: 3, b: 1, more: "a", at: 1 });
  assert.equal(said(whole, pruned), "The same for 3 tokens; then A goes on after “·b” with “·d” (path 1, step 2), where B had pruned that path.");
});

test("one run that is the other's beginning, and paths that ended for other reasons", () => {
  assert.equal(said(tree(base.slice(0, 3)), tree(base)), "The same for 3 tokens, all that A has; B goes on with “·d” on path 1, step 2.");
  const [length, finished] = ["length", "finished"].map((status) => tree(base, [[2, 1, 3, status]]));
  assert.deepEqual(firstDifference(length, finished), { kind: "end", same: 5, a: 3, b: 3, ends: ["length", "finished"] });
  assert.equal(said(length, finished), "The same 5 tokens; but path 1 reached the length limit in A and reached its end in B.");
  assert.equal(said(tree(base), finished), "The same 5 tokens; but path 1 was still open in A and reached its end in B.");
});

test("a tree and independent samples are not held against each other", () => {
  const naive = tree(base, [], { config: { ...header.config, cache: { backend: "naive" } } });
  for (const pair of [[tree(base), naive], [naive, tree(base)]]) assert.equal(firstDifference(...pair).kind, "samples");
  assert.match(said(tree(base), naive), /^B draws independent samples and A grows one tree/);
  assert.match(said(naive, tree(base)), /^A draws independent samples and B grows one tree/);
  assert.equal(firstDifference(naive, naive).kind, "none");
});

test("while runs go on, what one has not reached yet is no difference", () => {
  const [part, whole] = [tree(base.slice(0, 3)), tree(base)];
  assert.deepEqual(firstDifference(part, whole, { partial: true }), { kind: "none", same: 3, a: null, b: null });
  assert.equal(firstDifference(tree([[0, 0, -1, 0, " z"]]), whole, { partial: true }).kind, "token");
});

test("recorded runs: no difference exactly where the digests are equal, and a changed token is found where it is", () => {
  const logs = recorded.map(([name, text]) => parseTrace(text, name));
  for (const a of logs) for (const b of logs) assert.equal(firstDifference(a, b).kind === "none", digest(a) === digest(b));
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    for (const at of [0, 7, Math.floor(log.nodes.length / 2), log.nodes.length - 1]) {
      const other = parseTrace(text, name);
      other.nodes[at] = { ...other.nodes[at], token: other.nodes[at].token + 1 };
      assert.deepEqual(firstDifference(log, other), { kind: "token", same: at, a: at, b: at }, name);
    }
  }
});

test("the digest is the command line's", async () => {
  const index = JSON.parse(readFileSync(new URL("../../assets/traces/index.json", import.meta.url), "utf8"));
  const known = new Map(index.map((entry) => [`${entry.name}.jsonl`, entry.digest]));
  const told = recorded.filter(([name]) => known.has(name));
  assert.ok(told.length >= 4);
  for (const [name, text] of told) assert.equal(await digestOf(parseTrace(text, name)), known.get(name), name);
});

test("other tokenizers: first paths as text, and the token that holds the first other character is marked", () => {
  const other = { model: { ...header.model, name: "other", vocab_size: 9 } };
  const a = tree([[0, 0, -1, 0, " won"], [1, 1, 0, 0, "derful"], [2, 2, 1, 0, " day"]]);
  const b = tree([[0, 0, -1, 0, " wonder"], [1, 1, 0, 0, "ful night"]], [], other);
  assert.equal(haveSameTokens(a, b), false);
  assert.deepEqual(firstDifference(a, b), { kind: "text", same: 11, a: 2, b: 1 });
  assert.equal(said(a, b), "Other tokenizers, so the first returned paths are compared as text: the same for 11 characters; then “·day” (A) against “ful·night” (B).");
  assert.match(said(a, tree([[0, 0, -1, 0, " wonder"], [1, 1, 0, 0, "ful day"]], [], other)), /as text: the same 14 characters\.$/);
});

test("another model with the same vocabulary is compared token by token; one number for two texts is not", () => {
  const named = (name) => ({ model: { ...header.model, name, vocab_size: 9 } });
  const [a, b] = [tree(base, [], named("small")), tree(base, [], named("large"))];
  assert.equal(haveSameTokens(a, b), true);
  b.nodes[0] = { ...b.nodes[0], raw: "else" };
  assert.equal(haveSameTokens(a, b), false);
});

test("settings are flat; what differs is listed with a value of each run, what is equal once", () => {
  const [, text] = recorded[0];
  const one = parseTrace(text).header;
  const other = structuredClone(one);
  other.config.branching.entropy_threshold = 0.11;
  other.config.limits.num_samples = 4;
  other.model.name = "big";
  other.model.kv_nbytes_per_token = 9216;
  other.created = "2030-01-01T00:00:00+00:00";
  delete other.config.branching.select;
  const { equal, different } = conditions([one, other]);
  assert.deepEqual(different, {
    model: ["tiny", "big"], "entropy threshold": [0.2, 0.11], samples: [null, 4], select: ["sample", undefined],
    "KV bytes of a token, unquantised": [2560, 9216],
  });
  assert.equal(equal.seed, one.config.sampling.seed);
  assert.equal(equal.prompt, one.prompt.map((token) => token.text).join(""));
  assert.equal(Object.keys(equal).length + 5, Object.keys(flatten(one)).length);
  assert.deepEqual([null, undefined, true, 1198720, 0.055, ""].map(showSetting), ["none", "not known to it", "yes", "1,198,720", "0.055", "empty"]);
});

test("byHand is its own equal", () => {
  assert.equal(said(logOf(byHand), logOf(byHand)), "The same tree: 6 tokens, parents and ends alike.");
});
