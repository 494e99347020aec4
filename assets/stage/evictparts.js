// The elements of the Evict tab, once.

import { recordedParts, top } from "./boardparts.js";
import { el } from "./dom.js";

export const LETTERS = "abcdefgh"; // of the runs of a board
export const WORDS = { empty: "no run yet", recorded: "recorded", shared: "as in Explore" };

/** What the tab says before it has anything to show. */
export const EMPTY = {
  title: "Which token leaves, and what that costs",
  note: "Play a recorded board, run policies side by side, or run any prompt with a policy in the sidebar.",
};

/** Build the board's elements; returns those that it fills. */
export function build() {
  const parts = {
    ...recordedParts(WORDS, EMPTY, { shelf: "Recorded boards", player: "Player of all runs" }),
    others: el("select", { class: "fs-evict-others", "aria-label": "A run of this visit" }),
    file: el("input", { type: "file", accept: ".jsonl,.json", multiple: true, hidden: true, class: "fs-evict-file" }),
    cards: el("div", { class: "fs-evict-cards", role: "radiogroup", "aria-label": "Runs; the one in focus is shown in detail" }),
    details: el("div", { class: "fs-evict-details" }),
    timeline: el("div", { class: "fs-timeline" }),
    modes: {},
  };
  parts.open = el("button", { type: "button", class: "fs-button fs-evict-open", text: "Open files…", title: "Trace files of this computer, up to 8; they stay here", onclick: () => parts.file.click() });
  parts.root = el("div", { class: "fs-stage fs-evict is-empty", "data-state": "empty" },
    parts.shelf,
    top(parts, el("div", { class: "fs-evict-tools" }, parts.status, parts.others, parts.open, parts.file)),
    parts.alert,
    parts.caption, parts.cards, parts.details,
    el("div", { class: "fs-dock fs-dock-timed" }, parts.narration, parts.timeline, parts.player));
  return parts;
}
