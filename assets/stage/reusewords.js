// What the board of a prefix cache says: of the cache, of a request, of a block. Pure.

import { bytes, count, plural, seconds, visibleToken } from "./format.js";
import { usersOf } from "./reusestate.js";

const ORDERS = { lru: "least recently used leaves first", fifo: "oldest leaves first" };
const OWN_ACTS = new Set(["clear", "warm", "load"]); // what somebody does with the cache of a page
const NTH = ["first", "second", "third"];

export const percent = (share) => `${Math.round(share * 100)} %`;

/** A text of a block as it is read: line ends, and what would be unseen or turn the text round, are shown; blanks are plain. */
export function readable(text) {
  return text.replace(/[^ ]+/g, (word) => visibleToken(word));
}

/** "1–3, 7" of [0, 1, 2, 6]: requests as people count them. */
export function numbers(list) {
  const runs = [];
  for (const n of list) {
    if (runs.at(-1)?.[1] === n - 1) runs.at(-1)[1] = n;
    else runs.push([n, n]);
  }
  return runs.map(([from, to]) => (from === to ? `${from + 1}` : `${from + 1}${to - from > 1 ? "–" : ", "}${to + 1}`)).join(", ");
}

/** The settings of the cache at a moment, one line. */
export function noteOf({ start }, moment) {
  const { capacity_blocks: blocks, capacity_nbytes: nbytes, order } = moment ?? start;
  const room = typeof blocks === "number" ? `at most ${plural(blocks, "block")}` : typeof nbytes === "number" ? `at most ${bytes(nbytes)}` : "no bound";
  const model = [start.model, start.dtype].filter(Boolean).join(", ");
  return `${model ? `${model}: ` : ""}${plural(start.block_size, "token")} a block, ${room}; ${Object.hasOwn(ORDERS, order) ? ORDERS[order] : order}`;
}

/** The figures of a moment: `[name, label, value, about]`. */
export function figuresOf({ moment }) {
  if (!moment) return [];
  const { stats, capacity_blocks: most, capacity_nbytes: room } = moment;
  const lifetime = stats.block_lifetime_seconds;
  return [
    ["blocks", "blocks", typeof most === "number" ? `${count(stats.blocks)} of ${count(most)}` : count(stats.blocks), "In the cache now, and how many it may hold"],
    ["nbytes", "bytes", typeof room === "number" && typeof most !== "number" ? `${bytes(stats.nbytes)} of ${bytes(room)}` : bytes(stats.nbytes), "Keys and values in the cache now, and how many bytes it may hold"],
    ["hit_rate", "tokens found", stats.queries ? `${percent(stats.hit_rate)} (${count(stats.hits)} of ${count(stats.queries)})` : "none asked for", "Prompt tokens that were found, of all that were looked for since the cache was made"],
    ["seconds_saved", "in all", savedWords(stats.seconds_saved), "Seconds by which prompts took less, or longer, than read without the cache: single readings of this machine"],
    ["evicted_blocks", "evicted", count(stats.evicted_blocks), "Blocks that left to make room"],
    ["block_lifetime_seconds", "median lifetime", typeof lifetime === "number" ? seconds(lifetime) : "none left yet", "Of the evicted blocks, from their making to their eviction"],
  ];
}

/** "0.22 s saved", "14 ms lost". */
export const savedWords = (saved) => `${seconds(Math.abs(saved))} ${saved < 0 ? "lost" : "saved"}`;

/** Seconds of a request beside those without the cache, in words. */
export function timeWords({ seconds: own, cold_seconds: cold, seconds_saved: saved, hit_tokens: hit }, progress) {
  if (progress === "looked") return { own: "…", saved: "" };
  const took = typeof own === "number" ? seconds(own) : "–";
  if (!hit) return { own: took, saved: "nothing found" };
  if (typeof saved !== "number") return { own: took, saved: "not timed cold" };
  const was = typeof cold === "number" ? `, cold ${seconds(cold)}` : "";
  return { own: `${took}${was}`, saved: savedWords(saved) };
}

/** What is shown: a record by its title, this page's cache by its own once more than one run has been there. */
export function titleOf({ id, start, runs, requests, moments }) {
  const isOne = start.title && runs < 2 && !moments.some(({ kind }) => OWN_ACTS.has(kind)) && !requests.some(({ source }) => source === "explore");
  if (!id || isOne) return start.title || "";
  return `The cache of this page: ${requests.length ? plural(requests.length, "request") : "no request yet"}`;
}

/** How many requests there have been, of those that were asked for. `reached`: up to the cursor. */
export function countWords({ requests, planned, cut }, reached) {
  const ended = [...cut].filter((n) => n < reached);
  const all = Math.max(planned, requests.length);
  const rest = ended.length ? `, ${ended.length === 1 ? "one" : count(ended.length)} stopped` : " so far";
  return `${count(reached - ended.length)} of ${plural(all, "request")}${rest}`;
}

/** What a request did, one sentence, where the record has none. */
export function sentenceOf(record, { moment, request, gone }) {
  if (!moment) return "Nothing is cached yet.";
  if (request && moment.kind === "end" && record.cut?.has(request.n)) return `Request ${count(request.n + 1)} was stopped; it holds nothing any more.`;
  if (moment.words) return moment.words;
  if (!request) return `${moment.kind}: ${plural(moment.stats.blocks, "block")} in the cache.`;
  const left = gone.length ? `; ${plural(gone.length, "block")} left to make room` : "";
  return `Request ${request.n + 1} found ${count(request.hit_tokens)} of its ${plural(request.tokens, "prompt token")}${left}.`;
}

/** When a block leaves, in words; `held`: as a state has it. */
export function turnWords({ pins, turn }) {
  if (pins) return `held by ${plural(pins, "run")}`;
  if (turn === null) return "stays: a block after it is held";
  return turn < NTH.length ? `leaves ${NTH[turn]}` : `${count(turn)} leave before it`;
}

/** All of one block at a moment: `{text, facts}`. */
export function blockWords(record, state, id) {
  const { key, tokens, text, nbytes } = record.blocks[id];
  const from = record.starts[id];
  const held = state.held.get(id);
  const users = usersOf(record, id, state.cursor);
  const facts = [
    `tokens ${count(from)} to ${count(from + tokens - 1)}`, bytes(nbytes),
    users.length ? `in ${users.length === 1 ? "prompt" : "prompts"} ${numbers(users)}` : "in no prompt so far",
    ...(held ? [`made ${seconds(Math.max(0, state.time - held.born))} ago`, `idle ${seconds(held.idle)}`, turnWords(held)] : [state.gone.includes(id) ? "leaves at this moment" : "not in the cache"]),
    `key ${key}`,
  ];
  return { text: readable(text), facts: facts.join(" · ") };
}
