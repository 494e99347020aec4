// Records of prefix caches for tests: written by hand, or by chance.

import { Record } from "../../assets/stage/reuserecord.js";

const STATS = { pinned_blocks: 0, queries: 0, hits: 0, hit_rate: 0, evicted_blocks: 0, seconds_saved: 0, block_lifetime_seconds: null, block_idle_before_evict_seconds: null };
const EACH = 20; // bytes a token

/** A request by the texts of its blocks, a token a character. */
export function request({ parts, ids, hit = 0 }) {
  const tokens = parts.reduce((sum, { length }) => sum + length, 0);
  const found = parts.slice(0, hit).reduce((sum, { length }) => sum + length, 0);
  return {
    title: parts.join(""), source: "workload", parts: parts.map((text) => ({ text, tokens: text.length })), ids, tokens, hit_tokens: found, miss_tokens: tokens - found,
    hit_blocks: hit, stored_blocks: ids.length - hit, evicted_blocks: 0, seconds: 0.01, first_token_seconds: 0.02, cold_seconds: null, cold_tokens: 0,
    seconds_saved: null, reason: "", reply: "", tree_digest: null, done: true,
  };
}

/** `held`: `[block, pins, turn]`. */
export function moment(kind, of, held, { hit = [], new: fresh = [], gone = [], words = "" } = {}) {
  return { kind, request: of, hit, new: fresh, gone, held: held.map(([id, pins, turn]) => [id, pins, turn, 0, 0]), capacity_nbytes: null, capacity_blocks: 9, order: "lru", words };
}

/** A record of `{blocks, requests, moments}`, or of prompts by chance over a cache without a bound. */
export function record(draw, given = chance(draw)) {
  const made = new Record({ title: "", caption: "", workload: null, model: "tiny", dtype: "float32", block_size: 2, order: "lru", capacity_nbytes: null, capacity_blocks: 9, created: "" });
  const blocks = given.blocks.map(({ parent, text }, at) => ({ key: `k${at}`, parent, text, tokens: text.length, nbytes: EACH * text.length, depth: 0 }));
  for (const block of blocks) block.depth = block.parent === null ? 0 : blocks[block.parent].depth + 1;
  const moments = given.moments.map((one, time) => ({ ...one, time, stats: { ...STATS, blocks: one.held.length, nbytes: one.held.reduce((sum, [id]) => sum + blocks[id].nbytes, 0) } }));
  made.apply({ seq: 0, first_block: 0, blocks, requests: given.requests.map((one, n) => ({ ...one, n })), moments });
  return made;
}

/** Prompts of two letters, cut in blocks of two. */
function chance(draw) {
  const blocks = [];
  const requests = [];
  const moments = [];
  const known = new Map();
  for (let n = 0; n < 12; n++) {
    const text = Array.from({ length: 1 + Math.floor(draw() * 9) }, () => (draw() < 0.5 ? "a" : "b")).join("");
    const parts = text.match(/..?/g);
    const ids = [];
    let hit = 0;
    for (let at = 0; 2 * at + 2 <= text.length; at++) {
      const beginning = text.slice(0, 2 * at + 2);
      if (known.has(beginning) && hit === at) hit += 1;
      if (!known.has(beginning)) known.set(beginning, blocks.push({ parent: ids.at(-1) ?? null, text: parts[at] }) - 1);
      ids.push(known.get(beginning));
    }
    requests.push(request({ parts, ids, hit }));
    const held = [...blocks.keys()].map((id) => [id, 0, 0]);
    moments.push(moment("look", n, held), moment("keep", n, held), moment("end", n, held));
  }
  return { blocks, requests, moments };
}
