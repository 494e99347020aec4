// What the boards of the page have in common, built once.

import { el } from "./dom.js";

/** The parts that every board has. `words.empty`: its badge before it shows anything; `empty`: its `{title, note}` then. */
export function boardParts(words, empty) {
  return {
    badge: el("span", { class: "fs-badge", text: words.empty }),
    heading: el("h2", { class: "fs-title", text: empty.title }),
    note: el("p", { class: "fs-note", text: empty.note }),
    alert: el("p", { class: "fs-alert", role: "alert", hidden: true }),
  };
}

/** The same and those of a board with recorded runs. `shelf`, `player`: their labels; `narration`: its class. */
export function recordedParts(words, empty, { shelf, player, narration = "fs-narration" }) {
  return {
    ...boardParts(words, empty),
    shelf: el("div", { class: "fs-shelf-row", role: "group", "aria-label": shelf }),
    caption: el("p", { class: "fs-evict-caption", hidden: true }),
    status: el("p", { class: "fs-evict-status", role: "status" }),
    narration: el("p", { class: narration, "aria-live": "polite" }),
    player: el("div", { class: "fs-player", role: "group", "aria-label": player }),
  };
}

/** A board's header: badge, heading and note, then `tools`. */
export function top({ badge, heading, note }, ...tools) {
  return el("header", { class: "fs-top" }, badge, el("div", { class: "fs-heading" }, heading, note), ...tools);
}
