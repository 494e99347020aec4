// The elements of the view "Cached against uncached", once.

import { recordedParts, top } from "./boardparts.js";
import { keptWords, rateWords, timesWords } from "./cachedwords.js";
import { el } from "./dom.js";
import { count, seconds } from "./format.js";

export const WORDS = { empty: "no race yet", recorded: "recorded" };
export const EMPTY = {
  title: "What a KV cache is for",
  note: "One greedy text, written twice: with keys and values kept, and with nothing kept. Watch a recorded race, or run one.",
};
export const SIDES = {
  cow: { title: "Cached", word: "the cached run", about: "Keys and values of all tokens so far are kept: a step reads one token.", sign: "1" },
  recompute: { title: "Uncached", word: "the uncached run", about: "Nothing is kept: every step reads the whole text again.", sign: "2" },
};
export const NOTE = "They run one after another on the same device, the cached one first, each after two unrecorded tokens to warm up. Every time here is measured; "
  + "pace is 1 / the running median of up to 15 steps, passes and what is done between them. A crossing is named where the cached step stays faster for at least 32 steps; the time in all holds the steps before it too.";
const MODES = {
  step: ["by step", "Both at the same step of their text"],
  second: ["by second", "Each at the same second of its own clock: a race"],
};
const COLUMNS = ["text, tokens", "cached", "uncached", "a step uncached / cached", "cached, since start", "uncached, since start", "cached, allocated", "uncached, allocated"];

/** The table behind the curves. `rows`: as `rowsOf` gives them. */
export function table(rows) {
  const line = ({ length, ratio, cached, uncached }) => [
    count(length), rateWords(cached.perSecond), rateWords(uncached.perSecond), timesWords(ratio), seconds(cached.seconds), seconds(uncached.seconds),
    keptWords(cached.nbytes), keptWords(uncached.nbytes),
  ];
  return el("table", { class: "fs-race-table" },
    el("thead", {}, el("tr", {}, ...COLUMNS.map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, ...rows.map((row) => el("tr", { "data-length": row.length }, ...line(row).map((text, at) => (at ? el("td", { text }) : el("th", { scope: "row", text })))))));
}

/** Build the board's elements; returns those that it fills. */
export function build() {
  const parts = {
    ...recordedParts(WORDS, EMPTY, { shelf: "Recorded races", player: "Player of both runs", narration: "fs-race" }),
    lanes: el("div", { class: "fs-lanes" }),
    same: el("p", { class: "fs-race-same", "aria-live": "polite" }),
    crossing: el("p", { class: "fs-race-crossing" }),
    charts: el("div", { class: "fs-curves" }),
    tableBody: el("div", { class: "fs-figures-box" }),
    modes: Object.fromEntries(Object.entries(MODES).map(([name, [text, title]]) => [name, el("button", {
      type: "button", class: "fs-button fs-mode", text, "data-mode": name, "aria-pressed": String(name === "step"), title,
    })])),
  };
  parts.table = el("details", { class: "fs-race-details" }, el("summary", { text: "As a table" }), parts.tableBody);
  parts.root = el("div", { class: "fs-stage fs-cached is-empty", "data-state": "empty" },
    parts.shelf,
    top(parts, el("div", { class: "fs-evict-tools" }, parts.status)),
    parts.alert, parts.caption, parts.lanes,
    el("div", { class: "fs-race-said" }, parts.same, parts.crossing),
    el("section", { class: "fs-card fs-race-charts", "aria-label": "Pace, speed-up, time and memory over the length of the text" },
      parts.charts, parts.table, el("p", { class: "fs-fine", text: NOTE })),
    el("div", { class: "fs-dock" }, parts.narration,
      el("div", { class: "fs-dock-row" },
        el("div", { class: "fs-modes", role: "group", "aria-label": "What the cursor counts" }, ...Object.values(parts.modes)), parts.player)));
  return parts;
}
