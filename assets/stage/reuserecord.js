// A record of a prefix cache: its blocks, the requests over it, and its moments, from a file or message by message. Pure.

import { COUNT, check, fault, flag, isObject, maybe, number, oneOf, text, whole } from "./fields.js";

const KINDS = ["new", "look", "keep", "end", "warm", "load", "save", "clear", "resize"];
const BOUND = maybe(COUNT);
const SECONDS = maybe(number(0));
const held = check("[block, pins, turn, seconds when it was made, seconds when it was used]", (one) => Array.isArray(one) && one.length === 5
  && [0, 1].every((at) => COUNT(one[at])) && (one[2] === null || COUNT(one[2])) && [3, 4].every((at) => Number.isFinite(one[at])));

const START = {
  title: maybe(text), caption: maybe(text), workload: maybe(text), model: maybe(text), dtype: maybe(text), block_size: whole(1, 65_536), order: text,
  capacity_nbytes: BOUND, capacity_blocks: BOUND, created: maybe(text),
};
const FILE = {
  start: START,
  blocks: [{ key: text, parent: maybe(COUNT), depth: COUNT, tokens: whole(1, 65_536), text, nbytes: COUNT }],
  requests: [{
    n: COUNT, title: text, source: text, parts: [{ text, tokens: whole(1, 65_536) }], ids: [COUNT], tokens: COUNT, hit_tokens: COUNT,
    miss_tokens: COUNT, hit_blocks: COUNT, stored_blocks: COUNT, evicted_blocks: COUNT, seconds: SECONDS, first_token_seconds: SECONDS,
    cold_seconds: SECONDS, cold_tokens: maybe(COUNT), seconds_saved: maybe(number()), reason: text, reply: text, tree_digest: maybe(text), done: flag,
  }],
  moments: [{
    kind: oneOf(...KINDS), request: maybe(COUNT), time: number(0), hit: [COUNT], new: [COUNT], gone: [COUNT], held: [held],
    stats: {
      blocks: COUNT, pinned_blocks: COUNT, nbytes: COUNT, queries: COUNT, hits: COUNT, hit_rate: number(0, 1), evicted_blocks: COUNT,
      seconds_saved: number(), block_lifetime_seconds: SECONDS, block_idle_before_evict_seconds: SECONDS,
    },
    capacity_nbytes: BOUND, capacity_blocks: BOUND, order: text, words: text,
  }],
};

export class Record {
  /** `start`: what whoever began it says of it; `id`: of a live one. */
  constructor(start, id = null) {
    Object.assign(this, { start, id, blocks: [], requests: [], moments: [] });
    this.isTree = true; // as a board's cursor has it: its moments count
    this.cursor = -1;
    this.jumps = []; // moments that the player's keys go to: looks and evictions
    this.spans = []; // by request: moments at which it looked, kept, ended; null: not yet
    this.times = []; // seconds since the record began, by moment
    this.starts = []; // tokens of the text before a block
    this.firsts = new Map(); // block -> the first moment at which it was new, or there
    this.runs = 0; // workloads that this page has watched here
    this.planned = 0; // requests that are asked for in all, as far as is known
    this.cut = new Set(); // requests that were stopped, or broke off: they ended without a digest of what they wrote
    this.users = new Map(); // block -> requests whose prompt it is part of, in order
  }

  get length() {
    return this.moments.length;
  }

  get log() {
    return this.length ? this : null;
  }

  /** Take what is new: `{seq, blocks, first_block, requests, moments}`; false where something before it is missing. */
  apply({ seq, blocks = [], first_block: first = this.blocks.length, requests = [], moments = [] }) {
    if (seq > this.moments.length || first > this.blocks.length || !this.#follow(requests)) return false;
    for (const block of blocks.slice(this.blocks.length - first)) this.#place(block);
    for (const request of requests) this.#take(request);
    for (const moment of moments.slice(this.moments.length - seq)) this.#append(moment);
    return true;
  }

  /** A workload begins here: `planned` requests come after those that are known. */
  plan(planned) {
    this.runs += 1;
    this.planned = this.requests.length + planned;
  }

  /** Nothing more comes of it: a cache has no end of its own. */
  breakOff() {}

  /** It as a file. */
  get file() {
    const { start, blocks, requests, moments } = this;
    return JSON.stringify({ format: "forkscope-reuse", version: 1, start, blocks, requests, moments });
  }

  /** Whether each of `requests` is known or comes right after those that are. */
  #follow(requests) {
    let known = this.requests.length;
    for (const { n } of requests) {
      if (n > known) return false;
      if (n === known) known += 1;
    }
    return true;
  }

  #place(block) {
    const { parent } = block;
    this.starts.push(Number.isInteger(parent) ? this.starts[parent] + this.blocks[parent].tokens : 0);
    this.blocks.push(block);
  }

  /** One that is done stays as it is: what says otherwise was said before. */
  #take(request) {
    const { n } = request;
    const before = this.requests[n];
    if (before?.done && !request.done) return;
    this.requests[n] = request;
    if (request.done && request.tree_digest === null && request.source !== "warm") this.cut.add(n);
    const [old, own] = [new Set(before?.ids), new Set(request.ids)];
    for (const id of old) if (!own.has(id)) this.users.set(id, this.users.get(id).filter((one) => one !== n));
    for (const id of own) if (!old.has(id)) insert(this.#usersOf(id), n);
  }

  #usersOf(id) {
    if (!this.users.has(id)) this.users.set(id, []);
    return this.users.get(id);
  }

  #append(moment) {
    const at = this.moments.push(moment) - 1;
    this.times.push(moment.time);
    const { kind, gone } = moment;
    const request = moment.request ?? null;
    for (const id of [...moment.new, ...(at ? [] : moment.held.map(([one]) => one))]) if (!this.firsts.has(id)) this.firsts.set(id, at);
    if (gone.length) this.jumps.push({ step: at, kind: "evict", count: gone.length });
    if (request === null) return;
    const span = (this.spans[request] ??= { look: null, keep: null, end: null });
    if (kind === "look" || kind === "warm") this.jumps.push({ step: at, kind: "request", count: 1 });
    if (kind === "warm") Object.assign(span, { look: at, keep: at, end: at });
    else if (kind in span) span[kind] = at;
  }
}

/** `n` into an ascending list, mostly at its end. */
function insert(list, n) {
  let at = list.length;
  while (at && list[at - 1] > n) at -= 1;
  list.splice(at, 0, n);
}

/** The record in a file. Throws an Error of one sentence, which names the file and what is wrong with it. */
export function parseRecord(file, name = "This file") {
  const given = parsed(file);
  if (given?.format !== "forkscope-reuse") throw new Error(`${name} is no record of a prefix cache.`);
  if (given.version !== 1) throw new Error(`${name} is a record of ${Number.isInteger(given.version) ? `version ${given.version}` : "an unknown version"}; this page reads version 1.`);
  const wrong = fault(given, FILE, "the file") ?? disorder(given);
  if (wrong) throw new Error(`${name} is damaged: ${wrong}.`);
  const record = new Record(given.start);
  record.apply({ ...given, seq: 0, first_block: 0 });
  return record;
}

/** What does not hold between fields that are each what they must be; null: nothing. */
function disorder({ blocks, requests, moments }) {
  const isKnown = (id) => id < blocks.length;
  for (const [at, { parent, depth }] of blocks.entries()) {
    if (parent !== null && parent !== undefined && parent >= at) return `blocks[${at}].parent is not a block before it`;
    if (depth !== (Number.isInteger(parent) ? blocks[parent].depth + 1 : 0)) return `blocks[${at}].depth is not one more than its parent's`;
  }
  for (const [at, { n, ids, tokens, hit_tokens: hit, miss_tokens: miss }] of requests.entries()) {
    if (n !== at) return `requests[${at}].n is not ${at}`;
    if (!ids.every(isKnown)) return `requests[${at}].ids names a block that is not there`;
    if (hit + miss > tokens) return `requests[${at}] has more tokens hit and missed than its prompt has`;
  }
  for (const [at, moment] of moments.entries()) {
    const held = moment.held.map(([id]) => id);
    if (![moment.hit, moment.new, moment.gone, held].every((ids) => ids.every(isKnown))) return `moments[${at}] names a block that is not there`;
    const here = new Set();
    for (const id of held) {
      if (here.has(id)) return `moments[${at}].held names one block twice`;
      if (Number.isInteger(blocks[id].parent) && !here.has(blocks[id].parent)) return `moments[${at}].held names a block, and not before it the one that it follows`;
      here.add(id);
    }
    if (Number.isInteger(moment.request) && moment.request >= requests.length) return `moments[${at}].request is not there`;
  }
  return moments.length ? null : "moments is empty";
}

function parsed(file) {
  try {
    const value = JSON.parse(file);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}
