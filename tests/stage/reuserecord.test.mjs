import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { Record, parseRecord } from "../../assets/stage/reuserecord.js";
import { chainOf, endsAt, historyOf, layoutOf, pastOf, progressOf, stateAt, tailsAt, tailsOf, usersOf } from "../../assets/stage/reusestate.js";
import { blockWords, countWords, figuresOf, noteOf, numbers, readable, sentenceOf, timeWords, titleOf, turnWords } from "../../assets/stage/reusewords.js";
import { numbers as random } from "./random.mjs";
import { record as made, moment, request } from "./reusing.mjs";

const folder = new URL("../../assets/traces/reuse/", import.meta.url);
const read = (name) => readFileSync(new URL(name, folder), "utf8");
const files = JSON.parse(read("index.json")).map(({ file }) => [file, read(file)]);
const records = files.map(([name, file]) => [name, parseRecord(file, name)]);

test("every recorded example is there, and saved again it is the same", () => {
  assert.deepEqual(files.map(([name]) => name).sort(), ["agents.json", "chat.json", "few_shot.json", "rag.json"]);
  for (const [name, record] of records) assert.deepEqual(JSON.parse(record.file), JSON.parse(read(name)), name);
});

test("what is held at each moment is what came and has not left", () => {
  for (const [name, record] of records) {
    const held = new Set();
    for (let at = 0; at < record.length; at++) {
      const state = stateAt(record, at);
      for (const id of record.moments[at].new) held.add(id);
      for (const id of record.moments[at].gone) held.delete(id);
      if (!at) for (const id of state.held.keys()) held.add(id);
      assert.deepEqual([...state.held.keys()].sort(), [...held].sort(), `${name} at ${at}`);
      assert.equal(state.held.size, state.moment.stats.blocks);
      for (const id of state.found) assert.ok(state.held.get(id).pins > 0, `${name} at ${at}: ${id} is found and not held`);
      for (const { pale } of state.held.values()) assert.ok(pale >= 0 && pale <= 1);
    }
  }
});

test("the prompts a block is part of are those that begin with its text", () => {
  for (const [name, record] of records) {
    const cursor = record.length - 1;
    for (const id of record.blocks.keys()) {
      const beginning = chainOf(record, id).map((one) => record.blocks[one].text).join("");
      const prompts = record.requests.filter(({ parts }) => parts.map(({ text }) => text).join("").startsWith(beginning)).map(({ n }) => n);
      assert.deepEqual(usersOf(record, id, cursor), prompts, `${name}: block ${id}`);
    }
  }
});

test("what requests found and computed adds up to what the cache has counted", () => {
  for (const [name, record] of records) {
    const { hits, queries } = record.moments.at(-1).stats;
    const { bars, bytes } = historyOf(record);
    assert.equal(bars.reduce((sum, { hit }) => sum + hit, 0), hits, name);
    assert.equal(bars.reduce((sum, { hit, miss }) => sum + hit + miss, 0), queries, name);
    assert.ok(bytes.every((value, at) => value === record.moments[at].held.reduce((sum, [id]) => sum + record.blocks[id].nbytes, 0)), name);
  }
});

test("a record that comes in pieces, some twice, is the one that comes whole; after a gap nothing is taken", () => {
  for (const [name, record] of records) {
    const { start, blocks, requests, moments } = JSON.parse(read(name));
    for (let seed = 0; seed < 20; seed++) {
      const draw = random(seed);
      const piece = new Record(start);
      while (piece.length < moments.length) {
        const seq = Math.max(0, piece.length - Math.floor(draw() * 3));
        const first = Math.max(0, piece.blocks.length - Math.floor(draw() * 3));
        const end = Math.min(moments.length, piece.length + 1 + Math.floor(draw() * 4));
        const known = Math.max(first, ...moments.slice(0, end).flatMap((one) => one.new.map((id) => id + 1)));
        const gap = { seq: piece.length + 1, first_block: piece.blocks.length, moments: moments.slice(piece.length + 1) };
        assert.equal(piece.apply(gap), false);
        const reached = requests.filter(({ n }) => moments.slice(0, end).some(({ request: one }) => one === n));
        assert.ok(piece.apply({ seq, first_block: first, blocks: blocks.slice(first, known), requests: reached, moments: moments.slice(seq, end) }));
        assert.equal(piece.length, end);
      }
      piece.apply({ seq: piece.length, first_block: piece.blocks.length, requests });
      for (let at = 0; at < record.length; at++) assert.deepEqual(stateAt(piece, at), stateAt(record, at), `${name} at ${at}`);
      assert.deepEqual(piece.jumps, record.jumps);
      assert.deepEqual(layoutOf(piece, stateAt(piece, 0), tailsOf(piece)), layoutOf(record, stateAt(record, 0), tailsOf(record)));
    }
  }
});

/** Whether no two cells meet, every one begins where its parent ends, and no line from parent to child runs through a third. */
function check(record, words) {
  const tails = tailsOf(record);
  const { at, rows, tokens } = layoutOf(record, stateAt(record, record.length - 1), tails);
  const parents = new Map([...record.blocks.map(({ parent }, id) => [id, parent ?? null]), ...tails.map(({ key, parent }) => [key, parent])]);
  const cells = [...at].map(([key, place]) => ({ key, ...place, end: place.from + place.tokens }));
  assert.equal(cells.length, record.blocks.length + tails.length, words);
  assert.equal(Math.max(...cells.map(({ end }) => end)), tokens);
  assert.deepEqual(new Set(cells.map(({ row }) => row)), new Set(Array.from({ length: rows }, (_, row) => row)), `${words}: a row without a cell`);
  for (const one of cells) {
    const parent = at.get(parents.get(one.key));
    assert.equal(one.from, parent ? parent.from + parent.tokens : one.from, words);
    if (parents.get(one.key) === null) assert.equal(one.from, 0);
    for (const other of cells) {
      if (other !== one && other.row === one.row) assert.ok(other.end <= one.from || one.end <= other.from, `${words}: ${one.key} and ${other.key} meet`);
      if (!parent || other.row <= parent.row || other.row >= one.row) continue;
      assert.ok(other.end <= one.from || other.from >= one.from, `${words}: a line runs through ${other.key}`);
      if (other.from === one.from) assert.equal(parents.get(other.key), parents.get(one.key), `${words}: two lines meet before ${other.key}`);
    }
  }
  const eldest = new Map();
  for (const [key, parent] of parents) if (!eldest.has(parent)) eldest.set(parent, key);
  for (const [parent, child] of eldest) if (parent !== null) assert.equal(at.get(child).row, at.get(parent).row, `${words}: the first child of ${parent} is not beside it`);
}

test("in the picture nothing meets or crosses: the recorded ones, and forests by chance", () => {
  for (const [name, record] of records) check(record, name);
  for (let seed = 0; seed < 60; seed++) check(made(random(seed)), `seed ${seed}`);
});

test("tails are the ends of prompts behind their blocks, equal ones once, seen when they have been computed", () => {
  const blocks = [{ parent: null, text: "ab" }, { parent: 0, text: "cd" }];
  const requests = [request({ parts: ["ab", "x"], ids: [0] }), request({ parts: ["ab", "x"], ids: [0], hit: 1 }), request({ parts: ["ab", "cd", "e", "f"], ids: [0, 1], hit: 1 }), request({ parts: ["z"], ids: [] })];
  const moments = [
    moment("look", 0, []), moment("keep", 0, [[0, 1, null]], { new: [0] }), moment("look", 1, [[0, 1, null]], { hit: [0] }), moment("keep", 1, [[0, 1, null]]),
    moment("look", 2, [[0, 1, null]], { hit: [0] }), moment("keep", 2, [[0, 1, null], [1, 1, null]], { new: [1] }), moment("look", 3, [[0, 0, 1], [1, 0, 0]]), moment("end", 3, [], { gone: [1, 0] }),
  ];
  const record = made(null, { blocks, requests, moments });
  const tails = tailsOf(record);
  assert.deepEqual(tails.map(({ parent, from, tokens, text, requests: own }) => [parent, from, tokens, text, own]), [[0, 2, 1, "x", [0, 1]], [1, 4, 2, "ef", [2]], [null, 0, 1, "z", [3]]]);
  const shown = (cursor) => tailsAt(record, stateAt(record, cursor), tails).map(([{ text }, own]) => [text, own]);
  assert.deepEqual([0, 1, 3, 5, 7].map(shown), [[], [["x", [0]]], [["x", [0, 1]]], [["x", [0, 1]], ["ef", [2]]], [["z", [3]]]]);
  const state = stateAt(record, 5);
  assert.deepEqual([...endsAt(record, state, new Set())], [[0, [0, 1]], [1, [2]]]);
  assert.deepEqual([...endsAt(record, state, new Set([0, 1]))], [[1, [2]]]);
  assert.deepEqual(["ahead", "looked", "kept", "ahead"], [[1, 0], [2, 4], [2, 5], [3, 5]].map(([n, cursor]) => progressOf(record, n, cursor)));
  assert.deepEqual([[...state.found], [...state.fresh]], [[0], [1]], "what was found stays marked while the rest is kept");
  assert.deepEqual(stateAt(record, 4).pending, [1]);
  assert.deepEqual([pastOf(record, stateAt(record, 7)), stateAt(record, 7).gone], [[], [1, 0]]);
});

test("a block is the paler the longer it lies idle, against the age of the oldest", () => {
  const blocks = [{ parent: null, text: "ab" }, { parent: null, text: "cd" }, { parent: null, text: "ef" }];
  const idle = { ...moment("end", null, []), held: [[0, 0, 0, 2, 4], [1, 0, 1, 3, 8], [2, 0, 2, 9, 10]] };
  const record = made(null, { blocks, requests: [], moments: [...Array(10).fill(moment("new", null, [])), idle] });
  assert.deepEqual([...stateAt(record, 10).held.values()].map(({ pale, idle: seconds }) => [pale, seconds]), [[6 / 8, 6], [2 / 8, 2], [0, 0]]);
});

test("what is said is short and true", () => {
  assert.equal(numbers([0, 1, 2, 6, 8, 9]), "1–3, 7, 9, 10");
  assert.equal(readable("so\nlong  now"), "so⏎long  now");
  assert.equal(readable("a\u202eb\u200bc\u0007d  \u00a0"), "a⟨202e⟩b⟨200b⟩c⟨07⟩d  ⟨a0⟩");
  assert.deepEqual([{ pins: 2, turn: null }, { pins: 0, turn: null }, { pins: 0, turn: 0 }, { pins: 0, turn: 7 }].map(turnWords), ["held by 2 runs", "stays: a block after it is held", "leaves first", "7 leave before it"]);
  const took = { seconds: 0.02, cold_seconds: 0.05, seconds_saved: 0.03, hit_tokens: 16 };
  assert.deepEqual(timeWords(took, "ended"), { own: "20 ms, cold 50 ms", saved: "30 ms saved" });
  assert.deepEqual(timeWords({ ...took, seconds_saved: -0.03 }, "ended").saved, "30 ms lost");
  assert.deepEqual(timeWords({ ...took, cold_seconds: null, seconds_saved: null }, "ended"), { own: "20 ms", saved: "not timed cold" });
  assert.deepEqual(timeWords({ ...took, hit_tokens: 0 }, "kept").saved, "nothing found");
  assert.deepEqual(timeWords(took, "looked"), { own: "…", saved: "" });
  const record = made(null, { blocks: [{ parent: null, text: "ab" }], requests: [request({ parts: ["ab", "x"], ids: [0] })], moments: [moment("keep", 0, [[0, 1, null]], { new: [0], words: "" })] });
  const state = stateAt(record, 0);
  assert.equal(sentenceOf(record, state), "Request 1 found 0 of its 3 prompt tokens.");
  assert.equal(noteOf(record, state.moment), "tiny, float32: 2 tokens a block, at most 9 blocks; least recently used leaves first");
  assert.match(noteOf(record, { ...state.moment, order: "constructor" }), /at most 9 blocks; constructor$/);
  assert.match(blockWords(record, state, 0).facts, /^tokens 0 to 1 · 40 B · in prompt 1 · made .* ago · idle .* · held by 1 run · key k0$/);
  assert.equal(Object.fromEntries(figuresOf(state).map(([name, , value]) => [name, value])).blocks, "1 of 9");
});

test("a file that is none, or is damaged, is refused in one sentence that says where", () => {
  const [[name, file]] = files;
  const refused = (change, words) => {
    const value = JSON.parse(file);
    change(value);
    assert.throws(() => parseRecord(JSON.stringify(value), name), (error) => error.message === `${name} ${words}`, words);
  };
  assert.throws(() => parseRecord("{", name), /is no record of a prefix cache\.$/);
  assert.throws(() => parseRecord("[1]", name), /is no record of a prefix cache\.$/);
  refused((value) => (value.version = 2), "is a record of version 2; this page reads version 1.");
  refused((value) => delete value.blocks, "is damaged: blocks is missing.");
  refused((value) => (value.blocks[1].parent = 1), "is damaged: blocks[1].parent is not a block before it.");
  refused((value) => (value.blocks[1].depth = 3), "is damaged: blocks[1].depth is not one more than its parent's.");
  refused((value) => (value.blocks[0].text = 3), "is damaged: blocks[0].text is not a text.");
  refused((value) => (value.requests[1].n = 0), "is damaged: requests[1].n is not 1.");
  refused((value) => value.requests[0].ids.push(10_000), "is damaged: requests[0].ids names a block that is not there.");
  refused((value) => (value.requests[0].hit_tokens = 10_000), "is damaged: requests[0] has more tokens hit and missed than its prompt has.");
  refused((value) => (value.moments[1].kind = "leap"), "is damaged: moments[1].kind is not one of new, look, keep, end, warm, load, save, clear, resize.");
  refused((value) => value.moments.at(-1).held.push(value.moments.at(-1).held[0]), `is damaged: moments[${JSON.parse(file).moments.length - 1}].held names one block twice.`);
  refused((value) => (value.moments[2].held[0] = [0, 1]), "is damaged: moments[2].held[0] is not [block, pins, turn, seconds when it was made, seconds when it was used].");
  refused((value) => (value.moments[1].request = 99), "is damaged: moments[1].request is not there.");
  refused((value) => (value.moments = []), "is damaged: moments is empty.");
});

test("what is shown is called by its title, this page's cache by its own once somebody did more there", () => {
  const live = (more = {}) => Object.assign(new Record({ title: "A chat" }, "id"), { runs: 1, requests: [{ source: "workload" }] }, more);
  assert.equal(titleOf(live()), "A chat");
  assert.equal(titleOf(Object.assign(live({ runs: 2 }), { id: null })), "A chat", "a file is what it says");
  assert.equal(titleOf(live({ runs: 2 })), "The cache of this page: 1 request");
  for (const kind of ["clear", "warm", "load"]) assert.equal(titleOf(live({ moments: [{ kind }] })), "The cache of this page: 1 request");
  assert.equal(titleOf(live({ requests: [{ source: "explore" }, {}] })), "The cache of this page: 2 requests");
  assert.equal(titleOf(live({ start: { title: "" }, requests: [] })), "The cache of this page: no request yet");
});

test("a request that ended without a digest was stopped, one that was warmed or is under way was not", () => {
  const request = (n, more) => ({ n, ids: [], parts: [], done: true, tree_digest: "d", source: "workload", ...more });
  const record = new Record({}, "id");
  record.plan(6);
  record.apply({ seq: 0, requests: [request(0), request(1, { tree_digest: null, source: "warm" }), request(2, { tree_digest: null, done: false })] });
  assert.deepEqual([...record.cut], []);
  assert.equal(countWords(record, 3), "3 of 6 requests so far");
  record.apply({ seq: 0, requests: [request(2, { tree_digest: null })] });
  assert.deepEqual([...record.cut], [2]);
  assert.equal(countWords(record, 3), "2 of 6 requests, one stopped");
  assert.equal(sentenceOf(record, { moment: { kind: "end", words: "Request 3 is done." }, request: record.requests[2], gone: [] }), "Request 3 was stopped; it holds nothing any more.");
});
