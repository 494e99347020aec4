// The two caches of an encoder-decoder model at a moment: what each holds, who reads it, what copies would need.
// Pure functions of a log and one of its states.

import { looksOf } from "./cross.js";
import { bytes, count, plural } from "./format.js";
import { PROMPT } from "./log.js";
import { series } from "./memory.js";

/** The decision that `row` took in the step at the cursor; null where it took none. */
export function decisionOf(log, state, row) {
  const own = log.node(row.node);
  if (own.decided === state.cursor) return own.decision; // its last one: no token came of it, or all paths ended with it
  const before = own.id === PROMPT ? null : log.node(own.parent);
  return before?.decided === state.cursor ? before.decision : null;
}

/** `[{path, node, looks}]` of the live paths, `looks` as `looksOf` gives them, of the step at the cursor. */
export function readers(log, state) {
  return state.rows.map((row) => ({ path: row.path, node: row.node, looks: looksOf(log, decisionOf(log, state, row)) }));
}

/** The cross-attention cache: `{tokens, nbytes, paths, once, copies}`, measured bytes, of one copy and of a copy a path. */
export function crossAt(log, { memory, rows }) {
  const tokens = memory?.cross_tokens ?? 0;
  const once = tokens * (log.header.model.cross_nbytes_per_token ?? 0);
  return { tokens, nbytes: memory?.cross_nbytes ?? 0, paths: rows.length, once, copies: once * rows.length };
}

/** The self-attention cache: tokens and bytes in use, as one cache a path would need them, and allocated. */
export function selfAt({ memory }) {
  const of = (name) => memory?.[name] ?? 0;
  return {
    unique: of("unique_kv_tokens"), logical: of("logical_kv_tokens"), shared: of("shared_kv_tokens"), own: of("private_kv_tokens"),
    nbytes: of("kv_live_nbytes"), copies: of("kv_logical_nbytes"), allocated: of("kv_nbytes"),
  };
}

/** Bytes that fill a bar: the most that either cache, or its copies, come to in the run. */
export function topOf(log) {
  const most = log.steps.reduce((top, { memory, memory_forward: pass, paths }) => (
    Math.max(top, Math.max(memory.cross_tokens ?? 0, pass.cross_tokens ?? 0) * (log.header.model.cross_nbytes_per_token ?? 0) * paths.length)), 1);
  return Math.max(most, series(log).top);
}

/** "12 source tokens fill 18.0 KiB once; 8 paths read it; copies would need 144 KiB." */
export function crossSentence({ tokens, nbytes, paths, once, copies }) {
  if (!nbytes) return "The encoder has not read the source yet.";
  const fill = `${plural(tokens, "source token")} ${tokens === 1 ? "fills" : "fill"}`;
  if (nbytes > once) return `${fill} ${bytes(nbytes)}: more than one copy, which takes ${bytes(once)}.`;
  if (paths < 2) return `${fill} ${bytes(nbytes)} once; ${plural(paths, "path")} reads it.`;
  return `${fill} ${bytes(nbytes)} once; ${count(paths)} paths read it; copies would need ${bytes(copies)}.`;
}

/** "36 slots hold 54.0 KiB; 7 paths would need 56 tokens, 84.0 KiB, in caches of their own: 12 are shared, 24 private." */
export function selfSentence({ unique, logical, shared, own, nbytes, copies }, paths, hasPool) {
  if (!unique) return "No path has written anything yet.";
  if (!hasPool) return `${plural(unique, "token")} ${unique === 1 ? "takes" : "take"} ${bytes(nbytes)}: every path keeps a cache of its own.`;
  const hold = `${plural(unique, "slot")} ${unique === 1 ? "holds" : "hold"} ${bytes(nbytes)}`;
  if (paths < 2) return `${hold}, all of one path.`;
  return `${hold}: ${count(shared)} shared, ${count(own)} private; ${count(paths)} caches of their own would need ${plural(logical, "token")}, ${bytes(copies)}.`;
}
