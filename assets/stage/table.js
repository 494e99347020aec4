// The figures of a comparison, each against those of the run that the others are held against.

import { el } from "./dom.js";
import { bytes, count, seconds } from "./format.js";
import { ratioWords } from "./ratios.js";

const percent = (value) => `${(value * 100).toFixed(1)} %`;
const rate = (value) => `${count(Math.round(value))} /s`;

const PEAK = {
  cpu: ["Peak resident set of the process", "all of the process, weights and page too; it only grows over the process's life, so a later run never shows less than an earlier one", ""],
  cuda: ["Peak of the CUDA allocator", "above what was allocated when the run began", "memory"],
};

/** `[group, [[label, what it counts, path in a result, how to show it, how it is compared]]]`. */
const GROUPS = [
  ["Time", [
    ["Wall clock", "prefill, decode and everything else; sending it to this page is not counted", "seconds.total", seconds, "time"],
    ["Prefill", "forward passes over the prompt", "seconds.prefill", seconds, "time"],
    ["Decode", "forward passes after it", "seconds.decode", seconds, "time"],
    ["Outside the passes", "draws, forks, bookkeeping", "seconds.overhead", seconds, "time"],
    ["First token after", "", "seconds.first_token", seconds, "when"],
  ]],
  ["Work", [
    ["Generated tokens", "of the paths that were returned, each counted whole", "counters.generated_tokens", count, "count"],
    ["Computed positions", "forward_token_steps: prompt and pruned work included", "counters.forward_token_steps", count, "count"],
    ["Generated tokens per second", "", "tokens_per_second.generated", rate, "rate"],
    ["Computed positions per second", "", "tokens_per_second.computed", rate, "rate"],
  ]],
  ["KV cache at its peak", [
    ["Unique tokens", "really stored, the most at any step", "counters.unique_kv_tokens_peak", count, "count"],
    ["Logical tokens", "what one cache a path would store, the most at any step", "counters.logical_kv_tokens_peak", count, "count"],
    ["Sharing", "1 − unique / logical, at the step where it is highest", "counters.sharing_peak", percent, "share"],
    ["Allocated", "storage, each once", "counters.kv_nbytes_peak", bytes, "memory"],
    ["In use", "of the live tokens", "counters.kv_live_nbytes_peak", bytes, "memory"],
    ["Logical bytes", "what one cache a path would need", "counters.kv_logical_nbytes_peak", bytes, "memory"],
  ]],
];

/**
 * Fill `host`. `panels`: those that have ended, as columns; `reference`: the one of them that the others are
 * held against; `same`: `Map` of a panel to whether its tree is the reference's, null where that is no question.
 */
export function drawTable(host, panels, reference, same) {
  const head = el("tr", {}, el("td"), ...panels.map((panel) =>
    el("th", { scope: "col", ...panel.data }, el("i", { class: "fs-chip" }), el("span", { text: panel.title }),
      el("small", { text: panels.length > 1 && panel === reference ? "held against" : "" }))));
  const groups = [...GROUPS, ["Process", [peakOf(panels)]]];
  const bodies = groups.map(([title, rows]) => body(title, panels, rows.map(([label, about, path, show, kind]) => {
    const values = panels.map((panel) => pick(panel.result, path));
    const base = pick(reference.result, path);
    const isPart = kind !== "share" && path !== "counters.peak_memory_nbytes";
    const top = isPart ? Math.max(...values) : 0;
    return row(label, about, path, panels, values, show, { top, words: (value, panel) => (kind && panel !== reference ? ratioWords(value, base, kind) : "") });
  })));
  host.replaceChildren(el("div", { class: "fs-figures-box", tabindex: "0", role: "region", "aria-label": "Table of the comparison" },
    el("table", { class: "fs-figures" }, el("thead", {}, head), ...bodies, treeRows(panels, reference, same))));
}

function pick(result, path) {
  return path.split(".").reduce((at, key) => at[key], result);
}

/** Runs of several devices stand under the process's own measure only where all are of one kind. */
function peakOf(panels) {
  const isCuda = panels.map((panel) => panel.result.run.device.startsWith("cuda"));
  const mixed = ["Peak memory of the process", "of the CUDA allocator on CUDA devices, else the peak resident set: not to be compared", ""];
  const [label, about, kind] = isCuda.every((is) => is === isCuda[0]) ? PEAK[isCuda[0] ? "cuda" : "cpu"] : mixed;
  return [label, about, "counters.peak_memory_nbytes", bytes, kind];
}

function body(title, panels, rows) {
  return el("tbody", {}, el("tr", { class: "fs-group" }, el("th", { scope: "rowgroup", colspan: panels.length + 1, text: title })), ...rows);
}

/** `top` > 0: a bar under each value, as a share of it. `words(value, panel)`: how it stands to the reference. */
function row(label, about, path, panels, values, show, { top = 0, words = () => "" } = {}) {
  return el("tr", { "data-row": path },
    el("th", { scope: "row" }, el("span", { text: label }), about ? el("small", { text: about }) : ""),
    ...values.map((value, at) => {
      const panel = panels[at];
      const cell = el("td", { "data-panel": panel.key, ...panel.data, "data-value": String(value) }, el("span", { text: show(value) }));
      if (top > 0) {
        const bar = el("i", { class: "fs-cell-bar" });
        bar.style.width = `${(value / top) * 100}%`;
        cell.append(bar);
      }
      const ratio = words(value, panel);
      if (ratio) cell.append(el("small", { class: "fs-ratio", text: ratio }));
      return cell;
    }));
}

function treeRows(panels, reference, same) {
  const of = (pickOf) => panels.map(pickOf);
  const counted = (path) => of((panel) => pick(panel.result, path));
  const answer = (value) => (value === "null" ? "–" : value === "true" ? "✓ yes" : "✗ no");
  return body("Tree", panels, [
    row("Paths returned", "", "paths", panels, counted("paths"), count),
    row("Steps", "", "counters.steps", panels, counted("counters.steps"), count),
    row("Forks", "", "counters.forks", panels, counted("counters.forks"), count),
    row("Pruned paths", "", "counters.pruned", panels, counted("counters.pruned"), count),
    row("Digest", "of tokens, parents and ends, in order", "tree_digest", panels, of((panel) => panel.digest ?? ""), (digest) => (digest ? digest.slice(0, 12) : "not computed")),
    row("Same tree", `as ${reference.word}`, "same_tree", panels, of((panel) => String(same.get(panel) ?? null)), answer),
  ]);
}
