// Records as long as a server keeps them, and longer: what is done for a message or a moment, counted.

import assert from "node:assert/strict";
import test from "node:test";

import { Record, parseRecord } from "../../assets/stage/reuserecord.js";
import { MOST, endsAt, historyOf, layoutOf, roomOf, stateAt, tailsOf, usersOf } from "../../assets/stage/reusestate.js";

const STATS = { blocks: 1, pinned_blocks: 0, nbytes: 10, queries: 1, hits: 0, hit_rate: 0, evicted_blocks: 0, seconds_saved: 0, block_lifetime_seconds: null, block_idle_before_evict_seconds: null };
const START = { title: "", block_size: 16, order: "lru", capacity_nbytes: null, capacity_blocks: 9 };
const range = (length, make) => Array.from({ length }, (_, at) => make(at));
const block = (id, parent, depth) => ({ key: `k${id}`, parent, depth, tokens: 16, text: "a b c", nbytes: 10 });
const moment = (at, request, held, more = {}) => ({ kind: ["look", "keep", "end"][at % 3], request, time: at, hit: [], new: [], gone: [], held: held.map((id) => [id, 0, 0, 0, 0]), stats: STATS, capacity_nbytes: 10 + at, capacity_blocks: null, order: "lru", words: "", ...more });

/** Requests that all begin with one trunk. */
function trunk({ numRequests = 1_000, length = 60 } = {}) {
  const ids = range(length, (at) => at);
  return {
    start: START, blocks: ids.map((id) => block(id, id ? id - 1 : null, id)),
    requests: range(numRequests, (n) => ({ n, title: "t", source: "workload", parts: [], ids, tokens: 16 * length, hit_tokens: 0, miss_tokens: 16 * length, hit_blocks: 0, stored_blocks: 0, evicted_blocks: 0, reason: "", reply: "", done: n < numRequests - 1 })),
    moments: range(3 * numRequests, (at) => moment(at, Math.floor(at / 3), [0])),
  };
}

/** How many elements of arrays are gone through one by one, or spread, while `run` runs. */
function stepped(run) {
  const iterator = Object.getPrototypeOf([][Symbol.iterator]());
  const { next } = iterator;
  let steps = 0;
  iterator.next = function () {
    steps += 1;
    return next.call(this);
  };
  try {
    run();
  } finally {
    iterator.next = next;
  }
  return steps;
}

/** `list`, whose elements count how often their `fields` are read. */
function counted(list, fields) {
  let reads = 0;
  const own = list.map((one) => {
    const values = { ...one };
    for (const field of fields) Object.defineProperty(values, field, { get: () => (reads += 1) && one[field] });
    return values;
  });
  return { own, reads: () => reads };
}

test("a reply that grows costs its own request, not all of them; a file costs its own length", () => {
  const given = trunk();
  const size = given.requests.length * given.blocks.length;
  const file = JSON.stringify({ format: "forkscope-reuse", version: 1, ...given });
  let record = null;
  assert.ok(stepped(() => (record = parseRecord(file))) < 12 * size);
  assert.deepEqual(record.users.get(59), range(1_000, (n) => n));

  const { own, reads } = counted(given.requests, ["ids"]);
  const live = new Record(START, "live");
  live.apply({ ...given, seq: 0, first_block: 0, requests: own });
  const before = reads();
  const last = { ...given.requests.at(-1), reply: "so", done: true };
  assert.ok(stepped(() => live.apply({ seq: live.length, requests: [last] })) < 10 * given.blocks.length);
  assert.ok(reads() - before <= 2, `${reads() - before} other prompts were read`);
  assert.equal(live.requests.at(-1).reply, "so");
  assert.equal(live.times, live.times, "seconds are kept, not made at every look");
  assert.deepEqual(live.times.slice(-2), [2_998, 2_999]);
});

test("blocks of a prompt that come one after another, or change, are counted as those that come at once", () => {
  const { blocks, requests, moments } = trunk({ numRequests: 6, length: 12 });
  const record = new Record(START);
  record.apply({ seq: 0, first_block: 0, blocks, moments });
  const bit = (n, ids) => record.apply({ seq: moments.length, requests: [{ ...requests[n], ids, done: false }] });
  for (const n of requests.keys()) bit(n, [0]);
  for (const n of [4, 1, 3, 0]) bit(n, [0, 1, 2]);
  bit(3, [0, 5, 5]);
  const users = (id) => usersOf(record, id, moments.length - 1);
  assert.deepEqual([0, 1, 2, 5, 7].map(users), [[0, 1, 2, 3, 4, 5], [0, 1, 4], [0, 1, 4], [3], []]);
});

test("requests may come in any order after those that are known, and never with a hole", () => {
  const { blocks, requests, moments } = trunk({ numRequests: 6, length: 2 });
  const record = new Record(START);
  record.apply({ seq: 0, first_block: 0, blocks, requests: requests.slice(0, 3), moments });
  const of = (...all) => record.apply({ seq: moments.length, requests: all.map((n) => requests[n]) });
  assert.deepEqual([of(2, 4), of(4), of(1, 5)], [false, false, false]);
  assert.equal(record.requests.length, 3);
  assert.deepEqual([of(0, 3), of(4, 5)], [true, true]);
  assert.deepEqual(record.requests.map(({ n }) => n), [0, 1, 2, 3, 4, 5]);
});

test("a request that is done is not made undone by what was said before", () => {
  const record = new Record(START);
  const one = { n: 0, ids: [], done: true, seconds: 1 };
  record.apply({ seq: 0, requests: [one] });
  record.apply({ seq: 0, requests: [{ ...one, done: false, seconds: null }] });
  assert.deepEqual(record.requests, [one]);
  record.apply({ seq: 0, requests: [{ ...one, seconds: 2 }] });
  assert.equal(record.requests[0].seconds, 2);
});

test("a moment whose file leaves its request out is nobody's", () => {
  const given = trunk({ numRequests: 2, length: 2 });
  delete given.moments[0].request;
  const record = parseRecord(JSON.stringify({ format: "forkscope-reuse", version: 1, ...given }));
  assert.deepEqual(Object.entries(record.spans).map(([n, { look }]) => [n, look]), [["0", null], ["1", 3]]);
  assert.deepEqual(record.jumps.map(({ step }) => step), [3]);
});

test("the scale of bytes is found in one go, however many moments there are", () => {
  for (const length of [3_000, 200_000]) {
    const history = { bytes: range(length, (at) => at % 977), bounds: range(length, (at) => (at % 3 ? 4 * 976 - 1 : at % 2 ? null : 4 * 976)) };
    let room = 0;
    assert.ok(stepped(() => (room = roomOf(history))) <= 2 * length);
    assert.equal(room, 4 * 976 - 1);
  }
  assert.equal(roomOf({ bytes: [0, 40], bounds: [null, 1_000] }), 40);
  const record = new Record(START);
  record.apply({ ...trunk(), seq: 0, first_block: 0 });
  assert.ok(stepped(() => historyOf(record)) < 5 * record.length);
});

test("prompts that end at one block are counted one by one", () => {
  const record = new Record(START);
  record.apply({ ...trunk({ numRequests: 3_000, length: 1 }), seq: 0, first_block: 0 });
  const state = stateAt(record, record.length - 1);
  let ends = null;
  assert.ok(stepped(() => (ends = endsAt(record, state, new Set()))) < 10 * 3_000);
  assert.equal(ends.get(0).length, 3_000);
});

test("ten thousand blocks: fifteen hundred have a place, those of the moment first, and no chain is gone up again", () => {
  const size = 10_000;
  const chain = range(size, (id) => block(id, id ? id - 1 : null, id));
  const roots = range(300, (at) => block(size + at, null, 0));
  const { own, reads } = counted([...chain, ...roots], ["parent"]);
  const record = new Record(START);
  const odd = range(size / 2, (at) => 2 * at + 1);
  const last = size + 299;
  const [request] = trunk({ numRequests: 1 }).requests;
  record.apply({
    seq: 0, first_block: 0, blocks: own, requests: [{ ...request, ids: [last], hit_blocks: 1 }],
    moments: [moment(0, null, odd), moment(0, 0, [...chain.keys(), last], { hit: [last] }), moment(0, null, [7], { gone: [...chain.keys()].reverse().filter((id) => id !== 7) })],
  });
  for (const [cursor, total] of [[0, odd.length], [1, size + 1], [2, size]]) {
    const before = reads();
    const layout = layoutOf(record, stateAt(record, cursor), tailsOf(record));
    assert.ok(reads() - before <= 5 * own.length, `${reads() - before} steps from block to block`);
    assert.deepEqual([layout.at.size, layout.left], [MOST, total - MOST]);
    for (const [id, { from, tokens }] of layout.at) assert.deepEqual([from, tokens], [id < size ? 16 * id : 0, 16]);
    const places = new Set([...layout.at.values()].map(({ row, from }) => `${row} ${from}`));
    assert.equal(places.size, MOST, "two blocks in one place");
    if (cursor === 1) assert.ok(layout.at.has(last), "what the request found has no place");
    if (cursor === 2) assert.ok(layout.at.has(7), "what stays has no place");
  }
  const alone = new Record(START); // one row
  alone.apply({ seq: 0, first_block: 0, blocks: chain, moments: [moment(0, null, [...chain.keys()])] });
  assert.equal(layoutOf(alone, stateAt(alone, 0), []).at.size, MOST);
});

test("a file whose moment holds a block without the one before it is refused", () => {
  const given = trunk({ numRequests: 1, length: 3 });
  const read = () => parseRecord(JSON.stringify({ format: "forkscope-reuse", version: 1, ...given }), "mine.json");
  given.moments[1].held = [[0, 0, 0, 0, 0], [1, 0, 0, 0, 0]];
  read();
  given.moments[1].held.reverse();
  assert.throws(read, { message: "mine.json is damaged: moments[1].held names a block, and not before it the one that it follows." });
  given.moments[1].held = [[0, 0, 0, 0, 0], [2, 0, 0, 0, 0]];
  assert.throws(read, /moments\[1\]\.held names a block, and not before it/);
});
