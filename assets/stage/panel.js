// One backend in a comparison: its tree, what its cache holds, its bytes over time, its counters.

import { drawCells } from "./cells.js";
import { endTimes } from "./clock.js";
import { isDark } from "./color.js";
import { el } from "./dom.js";
import { bytes, count, plural, seconds } from "./format.js";
import { Log, PROMPT } from "./log.js";
import { MemoryStrip, series } from "./memory.js";
import { Silhouette } from "./silhouette.js";

const BADGES = { waiting: "waiting", running: "running", done: "done", stopped: "stopped", never: "did not run" };
const TAIL = 96; // characters of a path that are shown

export class Panel {
  /** `point(panel, id)`, `select(panel, id)` and `seek(panel, step)` are told of what people do. */
  constructor({ name, title, about }, position, callbacks) {
    this.name = name;
    this.title = title;
    this.isTree = name !== "naive";
    this.parts = build(name, title, about, position);
    this.silhouette = new Silhouette(this.parts.tree, {
      hover: (id) => callbacks.point(this, id),
      select: (id) => callbacks.select(this, id),
    });
    this.strip = new MemoryStrip(this.parts.strip, { seek: (step) => callbacks.seek(this, step) });
    this.log = null;
    this.times = [];
    this.positions = [];
    this.cursor = -1;
    this.setState("waiting");
  }

  get length() {
    return this.log?.length ?? 0;
  }

  /** Take a batch of this run's steps; false where something before it is missing. */
  apply(batch) {
    if (batch.header && batch.seq === 0 && !this.log) {
      this.log = new Log(batch.header);
      this.silhouette.reset(this.log);
      this.strip.reset(this.log);
    }
    if (!this.log || batch.seq > this.length) return false;
    for (const step of batch.steps) if (step.index === this.length) this.log.append(step);
    this.times = endTimes(this.log.steps);
    let computed = 0;
    this.positions = this.log.steps.map((step) => (computed += step.positions));
    this.lines = series(this.log);
    this.slots = Math.max(0, ...this.log.steps.map((step) => Math.max(step.memory.capacity, step.memory_forward.capacity)));
    if (batch.details) this.parts.digest.textContent = `tree ${batch.details["tree digest"].slice(0, 12)}`;
    this.setState(batch.done ? "done" : "running");
    return true;
  }

  /** The next `draw` draws whatever has changed or not. */
  invalidate() {
    this.drawn = null;
  }

  setState(state) {
    this.state = state;
    this.parts.badge.textContent = BADGES[state];
    this.parts.root.dataset.state = state;
  }

  /** Whether its tree is that of the run the others are held against. */
  sameTree(isSame) {
    const { verdict } = this.parts;
    verdict.hidden = false;
    verdict.classList.toggle("is-same", isSame);
    if (isSame) verdict.textContent = "✓ same tree";
    else verdict.textContent = this.isTree ? "✗ another tree" : "✗ other samples, by design";
  }

  /** `scale`: what all panels share: `{depths, slots, top}`. `lit`: node whose path stands out, or null. */
  draw(colors, scale, lit) {
    const { parts, log } = this;
    const key = [this.length, this.cursor, lit, scale.depths, scale.slots, scale.top].join();
    if (!log || key === this.drawn) return; // several panels, of which one runs
    this.drawn = key;
    const state = log.at(this.cursor);
    const memory = state.memory;
    this.silhouette.draw(state, colors, isDark(), scale.depths, lit !== null && lit < state.numNodes ? lit : null);
    const each = drawCells(parts.cells, state, memory, scale.slots, colors);
    this.strip.draw({ state, colors }, scale.top);
    parts.stored.textContent = stored(memory, each);
    this.#text(state, lit);
    this.#counters(state, memory);
  }

  #counters(state, memory) {
    const { facts } = this.parts;
    facts.time.textContent = this.cursor < 0 ? seconds(0) : seconds(this.times[this.cursor]);
    facts.computed.textContent = count(this.cursor < 0 ? 0 : this.positions[this.cursor]);
    facts.used.textContent = bytes(memory?.kv_live_nbytes ?? 0);
    facts.allocated.textContent = bytes(memory?.kv_nbytes ?? 0);
  }

  #text(state, lit) {
    const { log, parts } = this;
    const newest = state.isOver ? state.numNodes - 1 : (state.rows[0]?.node ?? PROMPT);
    const id = lit !== null && lit < state.numNodes ? lit : newest;
    const prompt = log.promptText();
    const text = id === PROMPT ? "" : log.textOf(id);
    const chars = [...(prompt + text)];
    const cut = chars.length > TAIL ? chars.indexOf(" ", chars.length - TAIL) + 1 || chars.length - TAIL : 0;
    const shownPrompt = [...prompt].slice(cut).join("");
    parts.textPrompt.textContent = (cut ? "…" : "") + shownPrompt;
    parts.textPath.textContent = chars.slice(Math.max(cut, [...prompt].length)).join("");
  }
}

function stored(memory, each) {
  if (!memory?.capacity) return "nothing is kept";
  const words = `${plural(memory.unique_kv_tokens, "token")} stored`;
  return each > 1 ? `${words}, a cell is ${each}` : words;
}

function fact(name, title) {
  const value = el("dd", { "data-fact": name });
  return [value, el("div", { title }, el("dt", { text: name }), value)];
}

function build(name, title, about, position) {
  const parts = {
    badge: el("span", { class: "fs-badge" }),
    about: el("p", { class: "fs-about", text: about, title: about }),
    tree: el("canvas", {
      class: "fs-silhouette", tabindex: "0", role: "img",
      "aria-label": `Token tree of ${title}. Arrow keys move between tokens.`,
    }),
    textPrompt: el("span", { class: "fs-path-prompt" }),
    textPath: el("span", {}),
    cells: el("canvas", { class: "fs-cells", role: "img", "aria-label": `Tokens stored by ${title}` }),
    stored: el("span", { class: "fs-card-note" }),
    strip: el("canvas", { class: "fs-canvas fs-strip", role: "img", "aria-label": `Bytes of ${title} over time` }),
    digest: el("code", { class: "fs-digest" }),
    verdict: el("span", { class: "fs-verdict", hidden: true }),
  };
  const rows = {
    time: fact("time", "seconds of this run up to the cursor, passes and the rest"),
    computed: fact("computed", "token positions computed up to the cursor: forward_token_steps"),
    used: fact("in use", "KV bytes in use at the cursor"),
    allocated: fact("allocated", "KV bytes allocated at the cursor"),
  };
  parts.facts = Object.fromEntries(Object.entries(rows).map(([key, [value]]) => [key, value]));
  parts.root = el("section", { class: "fs-card fs-panel", "data-backend": name, "aria-label": title },
    el("header", {}, el("i", { class: "fs-chip", text: String(position), title: `runs as number ${position}` }),
      el("h3", { text: title }), el("code", { class: "fs-name", text: name }), parts.badge),
    parts.about, parts.tree,
    el("p", { class: "fs-panel-text" }, parts.textPrompt, parts.textPath),
    el("div", { class: "fs-row" }, el("h4", { text: "KV cache" }), parts.stored), parts.cells,
    parts.strip,
    el("dl", { class: "fs-counters" }, ...Object.values(rows).map(([, row]) => row)),
    el("footer", {}, parts.digest, parts.verdict));
  return parts;
}
