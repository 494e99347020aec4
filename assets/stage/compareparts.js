// The elements of the Compare tab, once.

import { boardParts, top } from "./boardparts.js";
import { el } from "./dom.js";
import { plural } from "./format.js";
import { swatch } from "./skeleton.js";

const MODES = { step: "same step", second: "same second" };
const TITLES = {
  step: "Every tree at the same step; naive, which has more steps, at the same share of its own",
  second: "Every run at the same time since its own start: a race",
};

/** What a backend is, before anything has run. */
export function introduce({ name, title, about }) {
  return el("section", { class: "fs-card fs-panel fs-intro", "data-backend": name },
    el("header", {}, el("i", { class: "fs-chip" }), el("h3", { text: title }), el("code", { class: "fs-name", text: name })),
    el("p", { class: "fs-about", text: about }));
}

/** What a board says before it has anything to show, and of a comparison of backends. */
export const EMPTY = {
  title: "One prompt, several ways to keep its cache",
  note: "Same model, same seed, same settings; only the backend differs.",
};
export const WORDS = { empty: "no comparison yet", recorded: "runs side by side" };
export const ORDER = "Prompt and settings are the sidebar's, but for its backend. The backends run one after another on the same device, in the order of their numbers. "
  + "Each first runs the prompt for two tokens, unrecorded, to warm up. Naive comes last: it draws as many samples as the trees returned paths.";
export const RUNS = "Runs that were made before, each from its own log. Their times were measured where and when they ran: on another machine, or a busier one, they say little about each other.";

/** What the figures of backends cannot say. `summary`: as `compare --json` prints it. */
export function notesOf({ runs: { naive, recompute }, order }) {
  return [
    naive && order.length > 1 && `Naive drew ${plural(naive.paths, "independent sample")}, as many as the tree returned paths; its tokens are other ones by design, so its tree is not the same.`,
    recompute && "Recompute keeps no keys and values: its cache is empty, and every step computes every path's whole text again.",
  ].filter(Boolean);
}

/** Build the board's elements; returns those that it fills. */
export function build() {
  const parts = {
    ...boardParts(WORDS, EMPTY),
    legend: el("div", { class: "fs-legend" }),
    order: el("p", { text: ORDER }),
    status: el("p", { class: "fs-board-status", role: "status" }),
    picker: el("div", {}),
    sameTree: el("div", { class: "fs-same", role: "status", hidden: true }),
    panels: el("div", { class: "fs-panels" }),
    hidden: el("div", { class: "fs-hidden-panels", hidden: true }),
    curves: el("section", { class: "fs-card fs-board-curves", "aria-label": "Memory and time" }),
    race: el("p", { class: "fs-race", "aria-live": "polite" }),
    player: el("div", { class: "fs-player", role: "group", "aria-label": "Player of all runs" }),
    results: el("section", { class: "fs-card fs-results", "aria-label": "Results", hidden: true }),
    resultsTitle: el("h3", {}),
    resultsBody: el("div", {}),
    modes: Object.fromEntries(Object.entries(MODES).map(([name, text]) => [name, el("button", {
      type: "button", class: "fs-button fs-mode", text, "data-mode": name, "aria-pressed": String(name === "step"), title: TITLES[name],
    })])),
  };
  parts.results.append(parts.resultsTitle, parts.resultsBody);
  parts.root = el("div", { class: "fs-stage fs-board is-empty", "data-state": "empty" },
    top(parts, parts.legend),
    parts.alert, parts.picker,
    el("div", { class: "fs-order" }, parts.order, parts.status),
    parts.sameTree, parts.panels, parts.hidden,
    el("div", { class: "fs-keys" }, el("span", { text: "KV cache:" }), swatch("private", "one path’s own"), swatch("shared-1", "shared by 2+"), swatch("shared-3", "8+"),
      swatch("shared-5", "32+ paths"), swatch("free", "allocated, free"),
      el("span", { text: "Bytes over time, one scale for all:" }), swatch("unique", "in use"), swatch("allocated", "allocated"), swatch("logical", "one cache a path")),
    parts.curves, parts.results,
    el("div", { class: "fs-dock" }, parts.race,
      el("div", { class: "fs-dock-row" },
        el("div", { class: "fs-modes", role: "group", "aria-label": "What the cursor counts" }, ...Object.values(parts.modes)), parts.player)));
  return parts;
}
