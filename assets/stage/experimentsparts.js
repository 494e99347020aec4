// The elements of the Experiments tab, once.

import { boardParts, top } from "./boardparts.js";
import { el } from "./dom.js";

export const WORDS = { empty: "no sweep yet", estimated: "estimated" };

/** What the tab says before it has anything to show. */
export const EMPTY = {
  title: "One setting, many values, every row measured alike",
  note: "Pick a sweep, edit its axes, look at the estimate, run it: rows and plot grow as they come.",
};
const EXPORTS = {
  csv: ["CSV", "The table, a line a row, with every column"],
  json: ["JSON", "Rows, failures, conditions and answers, as sweep --json prints them"],
  config: ["Config file", "The same sweep for the command line: python -m explorer sweep FILE.json"],
};

/** Build the board's elements; returns those that it fills. */
export function build(sweeps) {
  const parts = {
    ...boardParts(WORDS, EMPTY),
    status: el("p", { class: "fs-board-status", role: "status" }),
    estimate: el("p", { class: "fs-sweep-estimate", hidden: true }),
    bar: el("i", {}),
    resume: el("button", { type: "button", class: "fs-button fs-sweep-resume", text: "Go on", title: "Measure the rows that are missing or failed", hidden: true }),
    measure: el("select", { class: "fs-pick fs-sweep-measure", "aria-label": "What is drawn" }),
    plot: el("div", {}),
    head: el("thead", {}),
    body: el("tbody", {}),
    answers: el("dl", { class: "fs-facts fs-sweep-answers", hidden: true }),
    ratio: el("section", { class: "fs-card fs-sweep-ratio", hidden: true }),
    exports: Object.fromEntries(Object.entries(EXPORTS).map(([kind, [text, title]]) => [kind, el("button", { type: "button", class: "fs-button", "data-export": kind, text, title })])),
  };
  parts.root = el("div", { class: "fs-stage fs-sweeps is-empty", "data-state": "empty" },
    top(parts),
    parts.alert,
    el("div", { class: "fs-sweep-kinds" }, ...sweeps.map(({ name, about }) => el("div", { class: "fs-sweep-kind" }, el("strong", { text: name.replaceAll("_", " ") }), el("span", { text: about })))),
    parts.estimate,
    el("div", { class: "fs-sweep-tools" }, parts.status, parts.resume),
    el("div", { class: "fs-sweep-progress", role: "presentation" }, parts.bar),
    el("section", { class: "fs-card fs-sweep-figure", "aria-label": "Plot" }, el("header", {}, parts.measure), parts.plot),
    el("section", { class: "fs-card fs-sweep-rows", "aria-label": "Rows" },
      el("header", {}, el("h3", { text: "Rows" }), el("div", { class: "fs-sweep-exports" }, ...Object.values(parts.exports))),
      el("div", { class: "fs-figures-box", tabindex: "0", role: "region", "aria-label": "Table of the rows" }, el("table", { class: "fs-figures" }, parts.head, parts.body)),
      parts.answers),
    parts.ratio);
  return parts;
}
