// The elements of the board of a prefix cache, once.

import { recordedParts, top } from "./boardparts.js";
import { el } from "./dom.js";
import { swatch } from "./skeleton.js";

export const WORDS = { empty: "nothing yet", recorded: "recorded", done: "finished", live: "running live", shared: "this page's cache" };

/** What it says before it has anything to show. */
export const EMPTY = {
  title: "What prompts share is computed once",
  note: "A prefix cache keeps the keys and values of prompts in blocks; the next prompt that begins alike takes them from there.",
};
export const VIEWS = { picture: "Blocks", table: "Table" };

const button = (name, text, title) => el("button", { type: "button", class: `fs-button ${name}`, text, title });
const card = (name, title, note, ...children) => el("section", { class: `fs-card fs-reuse-card is-${name}`, "aria-label": title },
  el("header", {}, el("h3", { text: title }), note), ...children);

/** Build the board's elements; returns those that it fills. */
export function build() {
  const parts = {
    ...recordedParts(WORDS, EMPTY, { shelf: "Recorded examples", player: "Player of the cache's moments" }),
    live: button("fs-reuse-live", "This page's cache", "What runs of this page, here and in Explore, have left in the cache"),
    open: button("fs-reuse-open", "Open a file…", "A record that was saved here or by the command line; it stays on this computer"),
    setUp: button("fs-reuse-set-up", "Run it yourself", "Show or hide the settings of a workload, its buttons and the cache's"),
    save: button("fs-reuse-save-file", "Save the record", "The moments that are shown, as a file that opens here again"),
    file: el("input", { type: "file", accept: ".json", hidden: true, class: "fs-reuse-file" }),
    figures: el("dl", { class: "fs-reuse-figures" }),
    tabs: el("div", { class: "fs-view-tabs", role: "tablist", "aria-label": "Picture or table of the blocks" },
      ...Object.entries(VIEWS).map(([name, text]) => el("button", { type: "button", class: "fs-view-tab", role: "tab", "data-view": name, text }))),
    forest: el("div", { class: "fs-reuse-picture", role: "tabpanel", "aria-label": "Blocks as a picture" }),
    table: el("div", { class: "fs-reuse-table", role: "tabpanel", "aria-label": "Blocks as a table", hidden: true }),
    requestsNote: el("span", { class: "fs-card-note" }),
    requests: el("div", { class: "fs-reuse-requests-box" }),
    promptNote: el("span", { class: "fs-card-note" }),
    prompt: el("div", {}),
    historyNote: el("span", { class: "fs-card-note", text: "tokens of each prompt, and bytes held" }),
    history: el("div", {}),
    modes: {},
  };
  parts.live.hidden = parts.save.hidden = true;
  parts.setUp.setAttribute("aria-expanded", "false");
  parts.setUp.addEventListener("click", () => parts.setUp.setAttribute("aria-expanded", String(parts.setUp.closest("#fs-reuse-prefix").classList.toggle("is-open"))));
  parts.open.addEventListener("click", () => parts.file.click());
  parts.empty = el("div", { class: "fs-card fs-reuse-empty" }, el("h3", { text: "Nothing is cached yet" }),
    el("p", { text: "Watch one of the examples above, run one, or run any prompt in Explore: what it leaves in the cache is shown here." }));
  const unfold = el("button", { type: "button", class: "fs-link fs-reuse-unfold", "aria-expanded": "false", text: "What the colours mean" });
  const legend = el("div", { class: "fs-keys fs-reuse-legend" },
    swatch("private", "in one prompt"), swatch("shared-1", "2 or more"), swatch("shared-2", "4"), swatch("shared-3", "8 or more"), swatch("paled", "paler: idle longer"),
    swatch("found", "found now"), swatch("fresh", "new now"), swatch("pinned", "in use"), swatch("next", "leaves next"), swatch("left", "leaves now"), swatch("past", "left before"), swatch("tail", "computed, not kept"));
  unfold.addEventListener("click", () => unfold.setAttribute("aria-expanded", String(legend.classList.toggle("is-open"))));
  parts.root = el("div", { class: "fs-stage fs-reuse is-empty", "data-state": "empty" },
    parts.shelf,
    top(parts, el("div", { class: "fs-evict-tools" }, parts.status, parts.setUp, parts.live, parts.save, parts.open, parts.file)),
    parts.alert, parts.caption, parts.empty,
    el("section", { class: "fs-card fs-reuse-card is-blocks", "aria-label": "Blocks of the prefix cache" },
      el("header", {}, parts.tabs, parts.figures), parts.forest, parts.table, unfold, legend),
    el("div", { class: "fs-reuse-columns" },
      card("requests", "Requests", parts.requestsNote, parts.requests),
      el("div", { class: "fs-reuse-column" }, card("prompt", "Prompt", parts.promptNote, parts.prompt), card("history", "Hits and misses", parts.historyNote, parts.history))),
    el("div", { class: "fs-dock" }, parts.narration, parts.player));
  return parts;
}
