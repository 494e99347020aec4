// The figures of a comparison, as `explorer compare --json` prints them. Nothing is computed here.

import { el } from "./dom.js";
import { bytes, count, plural, seconds } from "./format.js";

const percent = (value) => `${(value * 100).toFixed(1)} %`;
const times = (value) => (value === null || value === undefined ? "–" : `${value < 10 ? value.toFixed(2) : value.toFixed(1)}×`);
const rate = (value) => `${count(Math.round(value))} /s`;

const PEAK = {
  cpu: ["Peak resident set of the process", "all of the process, weights and page too; it only grows over the process's life, so a later run never shows less than an earlier one"],
  cuda: ["Peak of the CUDA allocator", "above what was allocated when the run began"],
};

/** `[group, [[label, what it counts, path in a run, how to show it]]]`. */
const GROUPS = [
  ["Time", [
    ["Wall clock", "prefill, decode and everything else; sending it to this page is not counted", "seconds.total", seconds],
    ["Prefill", "forward passes over the prompt", "seconds.prefill", seconds],
    ["Decode", "forward passes after it", "seconds.decode", seconds],
    ["Outside the passes", "draws, forks, bookkeeping", "seconds.overhead", seconds],
    ["First token after", "", "seconds.first_token", seconds],
  ]],
  ["Work", [
    ["Generated tokens", "of the paths that were returned, each counted whole", "counters.generated_tokens", count],
    ["Computed positions", "forward_token_steps: prompt and pruned work included", "counters.forward_token_steps", count],
    ["Generated tokens per second", "", "tokens_per_second.generated", rate],
    ["Computed positions per second", "", "tokens_per_second.computed", rate],
  ]],
  ["KV cache at its peak", [
    ["Unique tokens", "really stored", "counters.unique_kv_tokens_peak", count],
    ["Logical tokens", "what one cache a path would store", "counters.logical_kv_tokens_peak", count],
    ["Sharing", "1 − unique / logical", "counters.sharing_peak", percent],
    ["Allocated", "storage, each once", "counters.kv_nbytes_peak", bytes],
    ["In use", "of the live tokens", "counters.kv_live_nbytes_peak", bytes],
    ["Logical bytes", "what one cache a path would need", "counters.kv_logical_nbytes_peak", bytes],
  ]],
];

/** The table of `summary`, and what was equal and what was not. `titles`: backend -> name shown. */
export function drawSummary(host, summary, titles) {
  host.replaceChildren(table(summary, titles), ...sentences(summary, titles), conditions(summary, titles));
}

function table(summary, titles) {
  const names = summary.order;
  const head = el("tr", {}, el("td"), ...names.map((name) =>
    el("th", { scope: "col", "data-backend": name }, el("i", { class: "fs-chip" }), el("span", { text: titles[name] ?? name }))));
  const groups = [...GROUPS, ["Process", [[...peakOf(summary), "counters.peak_memory_nbytes", bytes]]]];
  const bodies = groups.map(([title, rows]) => body(title, names, rows.map(([label, about, path, show]) => {
    const values = names.map((name) => path.split(".").reduce((at, key) => at[key], summary.runs[name]));
    const isPart = path !== "counters.sharing_peak" && path !== "counters.peak_memory_nbytes";
    return row(label, about, path, names, values, show, isPart ? Math.max(...values) : 0);
  })));
  return el("div", { class: "fs-table-box", tabindex: "0", role: "region", "aria-label": "Table of the comparison" },
    el("table", { class: "fs-table" }, el("thead", {}, head), ...bodies, treeRows(summary, names), ratioRows(summary, names, titles)));
}

function peakOf(summary) {
  const device = Object.values(summary.runs)[0].run.device;
  return device.startsWith("cuda") ? PEAK.cuda : PEAK.cpu;
}

function body(title, names, rows) {
  return el("tbody", {}, el("tr", { class: "fs-group" }, el("th", { scope: "rowgroup", colspan: names.length + 1, text: title })), ...rows);
}

/** `top` > 0: a bar under each value, as a share of it. */
function row(label, about, path, names, values, show, top = 0) {
  return el("tr", { "data-row": path },
    el("th", { scope: "row" }, el("span", { text: label }), about ? el("small", { text: about }) : ""),
    ...values.map((value, at) => {
      const cell = el("td", { "data-backend": names[at], "data-value": String(value) }, el("span", { text: show(value) }));
      if (top > 0) {
        const bar = el("i", { class: "fs-cell-bar" });
        bar.style.width = `${(value / top) * 100}%`;
        cell.append(bar);
      }
      return cell;
    }));
}

function treeRows(summary, names) {
  const of = (pick) => names.map((name) => pick(summary.runs[name], name));
  return body("Tree", names, [
    row("Paths returned", "", "paths", names, of((run) => run.paths), count),
    row("Forks", "", "counters.forks", names, of((run) => run.counters.forks), count),
    row("Digest", "of tokens, parents and ends, in order", "tree_digest", names, of((run) => run.tree_digest), (digest) => digest.slice(0, 12)),
    row("Same tree", `as ${summary.reference}`, "same_tree", names, of((_, name) => summary.same_tree[name]), (same) => (same ? "✓ yes" : "✗ no")),
  ]);
}

function ratioRows(summary, names, titles) {
  const { wall_vs_naive: wall, kv_peak_vs_deepcopy: peak } = summary.ratios;
  const rows = [];
  const of = (ratios) => names.map((name) => ratios[name] ?? null);
  if (names.length > 1 && Object.keys(wall).length) {
    rows.push(row(`Times as fast as ${titles.naive.toLowerCase()}`, "naive's wall clock ÷ this run's", "wall_vs_naive", names, of(wall), times));
  }
  if (names.length > 1 && Object.keys(peak).length) {
    rows.push(row(`Times smaller than ${titles.deepcopy.toLowerCase()}`, "peak of allocated KV bytes: deepcopy's ÷ this run's", "kv_peak_vs_deepcopy", names, of(peak), times));
  }
  return rows.length ? body("Ratios", names, rows) : "";
}

/** What the table cannot say. */
function sentences(summary, titles) {
  const found = [];
  const naive = summary.runs.naive;
  if (naive && summary.order.length > 1) {
    found.push(`${titles.naive} drew ${plural(naive.paths, "independent sample")}, as many as the tree returned paths; its tokens are other ones by design, so its tree is not the same.`);
  }
  if (summary.runs.recompute) found.push(`${titles.recompute} keeps no keys and values: its cache is empty, and every step computes every path's whole text again.`);
  return found.map((text) => el("p", { class: "fs-fine", text }));
}

function conditions(summary, titles) {
  const equal = Object.entries(summary.equal).map(([name, value]) => pair(name, show(name, value)));
  const different = Object.entries(summary.different).flatMap(([name, values]) =>
    [pair(name, Object.entries(values).map(([backend, value]) => `${titles[backend] ?? backend}: ${show(name, value)}`).join("; "))]);
  return el("div", { class: "fs-conditions" },
    el("h4", { text: "Held equal" }), el("dl", { class: "fs-facts" }, ...equal.flat()),
    el("h4", { text: "Different" }),
    different.length ? el("dl", { class: "fs-facts" }, ...different.flat()) : el("p", { class: "fs-fine", text: "Nothing but the backend." }));
}

function pair(name, text) {
  return [el("dt", { text: name.replaceAll("_", " ").replace("prompt ids", "prompt") }), el("dd", { text })];
}

function show(name, value) {
  if (name === "prompt_ids") return `${plural(value.length, "token")}: ${value.slice(0, 12).join(" ")}${value.length > 12 ? " …" : ""}`;
  if (value === null) return "none";
  if (typeof value !== "object") return String(value);
  return Object.entries(value).map(([key, one]) => `${key.replaceAll("_", " ")} ${one ?? "none"}`).join(" · ");
}
