// The elements of the Evict tab, once.

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
    badge: el("span", { class: "fs-badge", text: WORDS.empty }),
    heading: el("h2", { class: "fs-title", text: EMPTY.title }),
    note: el("p", { class: "fs-note", text: EMPTY.note }),
    alert: el("p", { class: "fs-alert", role: "alert", hidden: true }),
    shelf: el("div", { class: "fs-shelf-row", role: "group", "aria-label": "Recorded boards" }),
    caption: el("p", { class: "fs-evict-caption", hidden: true }),
    others: el("select", { class: "fs-evict-others", "aria-label": "A run of this visit" }),
    file: el("input", { type: "file", accept: ".jsonl,.json", multiple: true, hidden: true, class: "fs-evict-file" }),
    status: el("p", { class: "fs-evict-status", role: "status" }),
    cards: el("div", { class: "fs-evict-cards", role: "radiogroup", "aria-label": "Runs; the one in focus is shown in detail" }),
    details: el("div", { class: "fs-evict-details" }),
    narration: el("p", { class: "fs-narration", "aria-live": "polite" }),
    timeline: el("div", { class: "fs-timeline" }),
    player: el("div", { class: "fs-player", role: "group", "aria-label": "Player of all runs" }),
    modes: {},
  };
  parts.open = el("button", { type: "button", class: "fs-button fs-evict-open", text: "Open files…", title: "Trace files of this computer, up to 8; they stay here", onclick: () => parts.file.click() });
  parts.root = el("div", { class: "fs-stage fs-evict is-empty", "data-state": "empty" },
    parts.shelf,
    el("header", { class: "fs-top" }, parts.badge, el("div", { class: "fs-heading" }, parts.heading, parts.note),
      el("div", { class: "fs-evict-tools" }, parts.status, parts.others, parts.open, parts.file)),
    parts.alert,
    parts.caption, parts.cards, parts.details,
    el("div", { class: "fs-dock fs-dock-timed" }, parts.narration, parts.timeline, parts.player));
  return parts;
}
