// What the timeline marks: the tree written by hand as literals, recorded runs against their own states.

import assert from "node:assert/strict";
import test from "node:test";

import { Log, parseTrace } from "../../assets/stage/log.js";
import { binWords, bins, marks, next, stepWords } from "../../assets/stage/marks.js";
import { backends, byHand, header, memory, node, recorded, step } from "./traces.mjs";

function logOf(steps) {
  const log = new Log(header);
  steps.forEach((one) => log.append(one));
  return log;
}

/** What a mark says, without its words. */
function plain(list) {
  return list.map(({ step: at, kind, count, nodes, paths }) => [at, kind, count, nodes, paths]);
}

test("the tree written by hand has its forks, copies, prunes and finishes marked where they happen", () => {
  assert.deepEqual(plain(marks(logOf(byHand))), [
    [0, "fork", 1, [-1, 0, 1], [1, 2]],
    [1, "fork", 1, [1, 3, 4], [3, 4]],
    [1, "copy", 2, [0, 1], [1, 2]],
    [1, "prune", 1, [4], [4]],
    [1, "finish", 1, [2], [1]],
    [2, "finish", 1, [5], [3]],
  ]);
});

test("the only child that stays writes no copy: nobody else sees its prefix's end", () => {
  assert.ok(!marks(logOf(byHand)).some((mark) => mark.kind === "copy" && mark.step === 2));
});

test("marks grow with the log, and what was marked stays the same object", () => {
  const log = new Log(header);
  log.append(byHand[0]);
  const [first] = marks(log);
  log.append(byHand[1]);
  log.append(byHand[2]);
  assert.equal(marks(log)[0], first);
  assert.deepEqual(plain(marks(log)), plain(marks(logOf(byHand))));
  assert.deepEqual(marks(null), []);
});

test("without a pool a copy is the cache copied at the fork, and where nothing is kept there is none", () => {
  const rows = [
    step(0, { phase: "prefill", paths: [1, 2, 3], parents: [0, 0, 0], forks: [{ path: 0, children: [1, 2, 3] }],
      nodes: [node(0, -1, 1, "a"), node(1, -1, 2, "b"), node(2, -1, 3, "c")], memory: memory(6, 6) }),
    step(1, { paths: [1, 2, 3], parents: [0, 1, 2], nodes: [node(3, 0, 1, "d"), node(4, 1, 2, "e"), node(5, 2, 3, "f")], memory: memory(9, 9) }),
  ];
  const copies = marks(logOf(rows)).filter((mark) => mark.kind === "copy");
  assert.deepEqual(plain(copies), [[0, "copy", 2, [1, 2], [2, 3]]]);
  assert.equal(stepWords(marks(logOf(rows)), 0), "1 fork, 2 caches copied");
  const nothing = { ...memory(0, 0), kv_nbytes: 0 };
  const kept = rows.map((one) => ({ ...one, memory: nothing, memory_forward: nothing }));
  assert.deepEqual(marks(logOf(kept)).map((mark) => mark.kind), ["fork"]);
});

test("copies are those that the backend makes: each extra child, every row of a batch that is gathered anew, or none", () => {
  const copies = (log) => marks(log).filter((mark) => mark.kind === "copy").map(({ step: at, count }) => [at, count]);
  const wanted = {
    deepcopy: (heirs) => Math.max(0, heirs.length - new Set(heirs).size),
    batched: (heirs, before) => (heirs.join() === [...Array(before).keys()].join() ? 0 : heirs.length),
    recompute: () => 0, naive: () => 0,
  };
  for (const [name, count] of Object.entries(wanted)) {
    const log = parseTrace(backends.get(name), name);
    let before = 1;
    const found = log.steps.flatMap((one) => {
      const made = count(one.parents, before);
      before = one.paths.length;
      return made ? [[one.index, made]] : [];
    });
    assert.deepEqual(copies(log), found, name);
  }
  assert.deepEqual(copies(parseTrace(backends.get("deepcopy"), "deepcopy")), [[1, 2], [6, 2]]);
  assert.deepEqual(copies(parseTrace(backends.get("batched"), "batched")), [[1, 3], [6, 5]]);
  const batched = { ...header, config: { ...header.config, cache: { backend: "batched" } } };
  const prunes = new Log(batched); // a row is left out: the others are gathered anew, nobody is split
  prunes.append(step(0, { phase: "prefill", paths: [1, 2, 3], parents: [0, 0, 0], memory: memory(6, 6),
    nodes: [node(0, -1, 1, "a"), node(1, -1, 2, "b"), node(2, -1, 3, "c")], forks: [{ path: 0, children: [1, 2, 3] }] }));
  prunes.append(step(1, { paths: [1, 3], parents: [0, 2], memory: memory(6, 6), nodes: [node(3, 0, 1, "d"), node(4, 1, 2, "e"), node(5, 2, 3, "f")],
    ends: [{ path: 2, node: 4, status: "pruned" }] }));
  assert.deepEqual(copies(prunes), [[0, 3], [1, 2]]);
});

test("a step that carries evictions is marked with how many", () => {
  const log = logOf([{ ...byHand[0], evictions: [{ layer: 0, slots: [1], paths: [[0]] }, { layer: 1, slots: [0, 1], paths: [[0], []] }] }]);
  assert.deepEqual(plain(marks(log)).at(-1), [0, "evict", 3, [], [0]]);
  assert.equal(next(marks(log), -1, ["evict"], 1).step, 0);
});

test("recorded runs: a copy is a private slot whose writer's last slot before it was shared", () => {
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    const list = marks(log);
    for (const { index, slots } of log.steps.slice(1)) {
      const before = log.at(index - 1);
      const rows = before.rows.map(({ node: id, path }) => ({ id, path }));
      const shared = rows.map(({ id }) => {
        const parent = log.nodes[id]?.parent ?? -1;
        const slot = parent < 0 ? log.prompt.at(-1).slot : log.nodes[parent].slot;
        return before.refs[slot] > 1;
      });
      const wanted = before.isOver ? [] : rows.filter((row, at) => slots.length && shared[at]).map((row) => row.id);
      const found = list.find((mark) => mark.step === index && mark.kind === "copy");
      assert.deepEqual(found?.nodes ?? [], wanted, `${name} step ${index}`);
    }
    const count = (kind) => list.filter((mark) => mark.kind === kind).reduce((sum, mark) => sum + mark.count, 0);
    assert.equal(count("fork"), log.forks.length, name);
    assert.equal(count("prune"), log.ends.filter((end) => end.status === "pruned").length, name);
    assert.equal(count("finish"), log.ends.length - count("prune"), name);
  }
});

test("next finds the nearest mark of the wanted kinds on either side, never the one it stands on", () => {
  const list = marks(logOf(byHand));
  assert.equal(next(list, -1, ["fork"], 1).step, 0);
  assert.equal(next(list, 0, ["fork"], 1).step, 1);
  assert.equal(next(list, 1, ["fork"], 1), null);
  assert.equal(next(list, 2, ["prune", "finish"], -1).step, 1);
  assert.equal(next(list, 1, ["prune", "finish"], 1).step, 2);
  assert.equal(next(list, 0, ["prune"], -1), null);
});

test("marks nearer than a few pixels are one, which counts them all", () => {
  const log = new Log(header);
  for (let index = 0; index < 3000; index++) {
    log.append(step(index, { forks: index % 2 ? [{ path: 0, children: [1, 2] }] : [] }));
  }
  const x = (at) => (at / 2999) * 900;
  const found = bins(marks(log), "fork", x, 6);
  assert.ok(found.length <= 150);
  assert.equal(found.reduce((sum, bin) => sum + bin.count, 0), 1500);
  for (let at = 1; at < found.length; at++) {
    assert.ok(found[at - 1].to < found[at].from);
    assert.ok(x(found[at].from) - x(found[at - 1].from) >= 6);
  }
  assert.equal(binWords({ kind: "fork", from: 14, to: 14, count: 2, marks: [{}] }), "step 14: 2 forks");
  assert.equal(binWords({ kind: "prune", from: 120, to: 128, count: 1, marks: [{}] }), "steps 120 to 128: 1 path pruned");
});
