// What a run took of its prompt from the prefix cache, in words: as explorer/metrics.py says it. Pure.

import { count } from "./format.js";

/** "487 of 512 prompt tokens reused, 0.31 s saved"; "" for a run that was given no prefix cache. */
export function reusedWords({ steps }) {
  const found = steps.map((step) => step.reused).filter(Boolean).at(-1);
  if (!found) return "";
  const total = found.hit_tokens + found.miss_tokens;
  if (!found.hit_tokens) {
    const why = (found.reason || "none was in the prefix cache").replace(/\.$/, "");
    return `0 of ${count(total)} prompt tokens reused: ${why}`;
  }
  const off = found.max_abs_error ?? null;
  const rounded = off === null ? "" : `; they lay in 8 bits, off by at most ${Number(off.toPrecision(2))}`;
  return `${count(found.hit_tokens)} of ${count(total)} prompt tokens reused${savedWords(found, total)}${rounded}`;
}

function savedWords(found, total) {
  const saved = found.seconds_saved ?? null;
  if (saved === null) return "";
  const about = found.cold_tokens < total ? "about " : ""; // the shares of longer prompts' passes
  const most = Math.abs(saved);
  const amount = most >= 0.1 ? `${most.toFixed(2)} s` : `${(1000 * most).toFixed(1)} ms`;
  return `, ${about}${amount} ${saved > 0 ? "saved" : "lost"}`;
}
