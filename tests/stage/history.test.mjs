// The list of runs: what stays, what goes first, what is said of a run.

import assert from "node:assert/strict";
import { test } from "node:test";

import { History, droppedWords, excess, lineOf, originWords } from "../../assets/stage/history.js";

const header = (created, more = {}) => ({
  created, config: { branching: { entropy_threshold: 0.2 }, cache: { backend: "cow" } }, ...more,
});
const run = (name, nodes = 1, more = {}) => ({
  log: { header: header(name), nodes: Array.from({ length: nodes }) }, title: name, badge: "done", ...more,
});
const titles = (history) => history.entries.map((entry) => entry.title);

test("the newest run stands first, and what is shown again is the same entry", () => {
  const history = new History();
  const first = run("a");
  history.add(first);
  history.add(run("b"));
  assert.deepEqual(titles(history), ["b", "a"]);
  history.add({ ...first, title: "a again" });
  assert.deepEqual(titles(history), ["b", "a"]);
  assert.equal(history.current.title, "a");
  history.add(run("c", 1, { key: "recorded:c" }));
  history.add(run("c", 1, { key: "recorded:c" }));
  assert.deepEqual(titles(history), ["c", "b", "a"]);
});

test("what is deleted can be put back where it was", () => {
  const history = new History();
  for (const name of ["a", "b", "c"]) history.add(run(name));
  const undo = history.remove(history.entries[1].id);
  assert.deepEqual(titles(history), ["c", "a"]);
  undo();
  assert.deepEqual(titles(history), ["c", "b", "a"]);
  history.remove(history.current.id)();
  assert.equal(history.current.title, "c");
  assert.equal(history.remove("nobody"), null);
});

test("a new title holds, a blank one changes nothing, a long one is cut", () => {
  const history = new History();
  const { id } = history.add(run("a"));
  assert.equal(history.rename(id, "  my\n run "), true);
  assert.equal(history.find(id).title, "my run");
  assert.equal(history.rename(id, " \n"), false);
  assert.equal(history.find(id).title, "my run");
  history.rename(id, "x".repeat(200));
  assert.equal(history.find(id).title.length, 90);
  history.add({ ...run("a"), log: history.find(id).log });
  assert.equal(history.find(id).title.length, 90);
});

test("the oldest that nobody came back to goes first, then the one not come back to for longest", () => {
  const history = new History(() => {}, { runs: 3, nodes: 1e9 });
  const runs = ["a", "b", "c", "d", "e", "f"].map((name) => run(name));
  history.add(runs[0]);
  history.add(runs[1]);
  history.add(runs[0]); // come back to
  history.add(runs[2]);
  history.add(runs[3]);
  assert.deepEqual(titles(history), ["d", "c", "a"]);
  history.add(runs[2]); // come back to, later than a
  history.add(runs[4]);
  assert.deepEqual(titles(history), ["e", "c", "a"]);
  history.add(runs[4]);
  history.add(runs[5]);
  assert.deepEqual(titles(history), ["f", "e", "c"]);
  assert.equal(history.dropped, 3);
});

test("tokens are bounded as well as runs, and the run on the stage stays whatever its size", () => {
  const [huge, small, other] = [run("huge", 100), run("small", 10), run("other", 30)];
  const entries = [huge, small, other].map((one) => ({ ...one, opened: 0 }));
  assert.deepEqual(excess(entries, entries[0], { runs: 9, nodes: 50 }).map((one) => one.title), ["other", "small"]);
  assert.deepEqual(excess(entries, entries[1], { runs: 9, nodes: 120 }).map((one) => one.title), ["other"]);
  assert.deepEqual(excess(entries, entries[1], { runs: 9, nodes: 140 }), []);
  const history = new History(() => {}, { runs: 9, nodes: 50 });
  history.add(run("a", 20));
  const grows = run("b", 20);
  history.add(grows);
  grows.log.nodes.length = 40;
  history.grown();
  assert.deepEqual(titles(history), ["b"]);
});

test("every change is told", () => {
  let told = 0;
  const history = new History(() => (told += 1));
  const { id } = history.add(run("a"));
  history.rename(id, "b");
  history.remove(id)();
  assert.equal(told, 4);
});

test("a line says threshold, paths that live or were returned, and backend", () => {
  const log = {
    header: header("a"),
    ends: [{ path: 0, status: "pruned" }, { path: 1, status: "finished" }, { path: 2, status: "length" }],
    head: { isOver: false, rows: [2, 3, 4, 5].map((path) => ({ path })) }, // 2 has just reached the limit
  };
  assert.equal(lineOf(log), "τ 0.2 · 5 paths · cow");
  assert.equal(lineOf({ ...log, ends: [], head: { isOver: false, rows: [{ path: 0 }] } }), "τ 0.2 · 1 path · cow");
  assert.equal(lineOf({ ...log, head: { isOver: true, rows: [{ path: 7 }] } }), "τ 0.2 · 2 paths · cow");
});

test("a run that was made from another says from which, and how", () => {
  const from = { title: "A story" };
  const made = (kind) => header("x", { origin: { created: "2026", kind, text: " dragon" } });
  assert.equal(originWords(made("forced"), from), "from “A story”, “·dragon” forced");
  assert.equal(originWords(made("grown"), from), "from “A story”, grown from “·dragon”");
  assert.equal(originWords(made("threshold"), from), "from “A story”, at threshold 0.2");
  assert.equal(originWords(made("forced")), "from another run, “·dragon” forced");
  assert.equal(originWords(header("x"), from), "");
});

test("of runs made in one second, a new one comes from the one on the stage, and later still does", () => {
  const history = new History();
  const [a, b] = ["a", "b"].map((name) => ({ ...run("now"), title: name }));
  history.add(a);
  history.add(b);
  history.add(a);
  const child = { ...run("later"), title: "child" };
  child.log.header.origin = { created: "now", kind: "grown", text: "x" };
  assert.equal(history.add(child).origin, "from “a”, grown from “x”");
  history.add(b);
  assert.equal(history.made("now", child.log).title, "a");
  assert.equal(history.made("now").title, "b");
  assert.equal(history.made("never"), null);
});

test("what was let go is said in one line", () => {
  assert.equal(droppedWords(0), "");
  assert.equal(droppedWords(1), "1 older run let go: the newest 24, or 60,000 tokens, are kept.");
  assert.equal(droppedWords(2, { runs: 3, nodes: 10 }), "2 older runs let go: the newest 3, or 10 tokens, are kept.");
});
