// The branching text as an outline: what all variants share once, then each variant, one level deeper. No DOM.

import { plural, probability, visibleToken } from "./format.js";
import { PROMPT } from "./log.js";

export const END_WORDS = { pruned: "pruned", finished: "end of text", length: "length limit", cancelled: "stopped" };

/**
 * Items in reading order, `{key, level, ids, variants}`: `ids` is a chain of tokens without a fork between them,
 * `variants` how many items of the next level follow. `children(id)` gives the tokens shown after `id`, `start` is
 * the first token (the prompt's end, or the root of what is hoisted).
 */
export function outline(children, start = PROMPT) {
  const items = [];
  const waiting = [{ id: start, level: 0 }];
  while (waiting.length) {
    const { id, level } = waiting.pop();
    const ids = [id];
    let next = children(id);
    while (next.length === 1) {
      ids.push(next[0]);
      next = children(next[0]);
    }
    items.push({ key: id, level, ids, variants: next.length });
    for (let at = next.length - 1; at >= 0; at--) waiting.push({ id: next[at], level: level + 1 });
  }
  return items;
}

/** A token as it is read: blanks stay blanks, a newline is seen and breaks the line, what is not text is named. */
export function readable(text, raw = "") {
  if (text === "") return visibleToken(text, raw);
  return text.split(/( +|\n)/).map((part) => {
    if (part === "\n") return "⏎\n";
    return part === "" || part[0] === " " ? part : visibleToken(part);
  }).join("");
}

/** The token before (-1) or after (1) `id` in its path; at a fork the first variant comes after. */
export function beside(log, children, id, way, start = PROMPT) {
  if (way > 0) return children(id)[0] ?? id;
  return id === start ? id : log.node(id).parent;
}

/** First token of the item above (-1) or below (1) the one that holds `id`; of its own when it is further down. */
export function itemBeside(items, id, way) {
  const at = items.findIndex((item) => item.ids.includes(id));
  if (at < 0) return items[0]?.key ?? id;
  if (way < 0 && items[at].key !== id) return items[at].key;
  return items[Math.max(0, Math.min(items.length - 1, at + way))].key;
}

/** The deepest level of `items`. */
export function deepest(items) {
  return items.reduce((most, item) => Math.max(most, item.level), 0);
}

/** One item in words, for who hears it. `mass`: its share of the run's probability, null for what all share. */
export function variantWords({ variants }, mass, tokens, end, hidden) {
  const parts = [
    mass === null ? "The prompt and what all variants share" : `Variant, probability ${probability(mass)} within the run`,
    plural(tokens, "token"), end && END_WORDS[end], hidden && `${plural(hidden, "token")} folded away`,
    variants && `${plural(variants, "variant")} below`,
  ];
  return parts.filter(Boolean).join(", ");
}

/** How many lines the tokens `ids` take where a line holds `letters`. */
export function lines(log, ids, letters) {
  let rows = 1;
  let used = 0;
  for (const id of ids) {
    const { text } = log.node(id);
    if (used + text.length > letters && used) [rows, used] = [rows + 1, 0];
    used += text.length;
    if (text.includes("\n")) [rows, used] = [rows + text.split("\n").length - 1, 0];
  }
  return rows;
}

/**
 * Which of the pieces with `heights`, one under the other, are within `spare` pixels of the part from `wanted` over
 * `height`: `{first, last, above, below}`, the last two the pixels that the other pieces take.
 */
export function inSight(heights, wanted, height, spare) {
  const whole = heights.reduce((sum, one) => sum + one, 0);
  const top = Math.min(wanted, Math.max(0, whole - height)); // it may be shorter now
  let first = 0;
  let above = 0;
  while (first < heights.length && above + heights[first] < top - spare) above += heights[first++];
  let last = first;
  let bottom = above;
  while (last < heights.length && bottom < top + height + spare) bottom += heights[last++];
  return { first, last, above, below: Math.max(0, whole - bottom) };
}
