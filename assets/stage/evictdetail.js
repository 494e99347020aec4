// One run in detail at the cursor: how full its layers are, who holds the context, the counters, what left, what it costs.

import { Context } from "./evictcontext.js";
import { el, say } from "./dom.js";
import { evictedIn, evidenceAt, factOf, rowOf, settingsOf } from "./evictfacts.js";
import { LayerBars } from "./evictlayers.js";
import { EvictionList } from "./evictlog.js";
import { Quality } from "./evictquality.js";
import { policyName } from "./evictwords.js";
import { lastWords } from "./fate.js";
import { count, plural, visibleToken } from "./format.js";
import { Scatter } from "./scatter.js";
import { SketchGrid } from "./sketchgrid.js";

const COUNTERLESS = {
  window: "A window counts nothing: the position alone decides.", fifo: "First in, first out counts nothing: the time of writing alone decides.",
  random: "Nothing is counted: chance decides.", lru: "No attention is summed: the step of the last use decides.",
  race: "RACE counts the queries, not the tokens: no counter is one token's.",
};

const NOTHING = { waiting: "waiting, it runs after those before it.", never: "did not run.", running: "running, no step yet." };

export class Detail {
  /** `seek(step)` moves the board's cursor; `invalidate()` draws again. */
  constructor({ seek, invalidate }) {
    this.invalidate = invalidate;
    this.seek = seek;
    const point = (code) => this.#set("lit", code);
    const pin = (code) => this.#set("pinned", code === this.pinned ? null : code);
    const actions = { seek, invalidate, point, pin, go: (event) => this.#go(event) };
    this.parts = build();
    const { parts } = this;
    this.context = new Context(parts.context, actions);
    this.bars = new LayerBars(parts.layers, { choose: (layer) => this.#set("layer", layer) });
    this.quality = new Quality(parts.quality, actions);
    this.grid = new SketchGrid(parts.grid, actions);
    this.scatter = new Scatter(parts.scatter, actions);
    this.list = new EvictionList(parts.events, actions);
    parts.path.addEventListener("change", () => this.#set("path", Number(parts.path.value)));
    this.card = null;
    this.layer = 0; // stays when another run is shown: runs are looked at layer by layer
  }

  /** Another run. */
  show(card) {
    if (this.card === card && this.log === card.log) return;
    Object.assign(this, { card, log: card.log, lit: null, pinned: null, path: null, evidenceKey: "" });
    this.context.reset();
    this.grid.reset();
    this.scatter.reset();
    this.list.reset(card.log);
    this.parts.path.dataset.key = ""; // paths of another run may have the same numbers
    this.parts.title.textContent = card.title;
    this.parts.sign.textContent = card.parts.root.querySelector(".fs-chip").textContent;
    Object.assign(this.parts.root.dataset, card.parts.root.dataset.run ? { run: card.parts.root.dataset.run } : {});
    this.parts.root.setAttribute("aria-label", `${card.title} in detail`);
  }

  draw({ colors, isDark }) {
    const { card, parts } = this;
    const { log } = this;
    if (!log) return this.#nothing();
    const state = log.at(card.cursor);
    const row = rowOf(log, state, this.path ?? state.rows[0]?.path);
    const isThere = Boolean(row && state.memory && state.numPrompt);
    if (!isThere) return this.#nothing();
    parts.body.hidden = false;
    parts.nothing.hidden = true;
    this.layer = Math.min(this.layer, state.numLayers - 1);
    const scene = { log, state, row, layer: this.layer, lit: this.lit, pinned: this.pinned, colors, isDark, told: this.#told(state) };
    this.#paths(state, row);
    for (const view of [this.bars, this.context, this.quality, this.list]) view.draw(scene);
    this.#counters(scene);
  }

  /** A run that has not begun, or never will. */
  #nothing() {
    const { card, parts } = this;
    parts.body.hidden = true;
    parts.nothing.hidden = false;
    say(parts.nothing, `${card.title}: ${NOTHING[card.state] ?? "no step of this run up to here."}`);
  }

  /** Which paths there are, to choose from. */
  #paths(state, row) {
    const { log, parts } = this;
    const key = `${row.path} ${state.rows.map(({ path, node }) => `${path}:${node}`).join()}`;
    if (key === parts.path.dataset.key) return;
    parts.path.dataset.key = key;
    parts.path.replaceChildren(...state.rows.map((one) => el("option", { value: one.path, text: `path ${one.path}: ${visibleToken(lastWords(log, one.node)).replaceAll("·", " ")}` })));
    parts.path.value = String(row.path);
    parts.path.hidden = state.rows.length < 2;
    parts.pathNote.textContent = state.rows.length > 1 ? `of ${plural(state.rows.length, state.isOver ? "last path" : "live path")}` : `path ${row.path}`;
  }

  /** What the counters of the layer say at the cursor, or said last before it. */
  #told(state) {
    const { log, layer } = this;
    const found = evidenceAt(log, state.cursor, layer);
    if (!found) return null;
    const { step, evidence } = found;
    const key = `${step} ${layer}`;
    if (this.evidenceKey !== key) {
      this.evidenceKey = key;
      const then = step === state.cursor ? state : log.at(step);
      const gone = new Map(evictedIn(log, step, layer).map(({ of, at, token }) => [of.slots[at], token])); // counted in the pass, then evicted
      const codes = evidence.slots.map((slot) => then.tokensOf(layer)[slot] || gone.get(slot) || 0);
      const before = step > 0 ? (log.steps[step - 1].evidence?.find((one) => one.layer === layer) ?? null) : null;
      const name = (entry) => (codes[entry] ? named(factOf(log, codes[entry])) : `slot ${evidence.slots[entry]}`);
      this.evidence = { step, evidence, before, codes, name, settings: settingsOf(log), leaving: evidence.slots.filter((slot) => gone.has(slot)).length };
      if (step !== state.cursor) log.at(state.cursor); // the views that follow look there
    }
    return this.evidence;
  }

  #counters(scene) {
    const { parts, layer } = this;
    const { told, state } = scene;
    const settings = settingsOf(this.log);
    const isSketch = Boolean(told?.evidence.columns?.length);
    parts.gridTitle.textContent = isSketch ? "Sketch" : "Counters";
    parts.gridNote.textContent = told ? `layer ${layer}${told.step < state.cursor ? `, as of step ${count(told.step)}` : ""}` : "";
    const none = this.#why(settings);
    parts.gridNone.textContent = told ? "" : none;
    parts.gridNone.hidden = Boolean(told);
    this.grid.draw(scene);
    parts.grid.hidden = !told;
    const hasExact = isSketch && Boolean(told.evidence.exact?.length);
    parts.scatterCard.hidden = !isSketch;
    parts.scatter.hidden = !hasExact;
    parts.scatterNone.hidden = hasExact;
    if (hasExact) this.scatter.draw(scene);
  }

  /** Why there are no counters to show. */
  #why({ policy }) {
    if (!policy) return "The full cache needs no counters: nothing leaves.";
    if (COUNTERLESS[policy]) return COUNTERLESS[policy];
    return this.log.steps.some(({ evidence }) => evidence?.length) ? "No counters were recorded up to this step."
      : `${policyName({ policy })} counts, but its counters are not in this trace: raise “Num evidence” in the limits and run again.`;
  }

  /** An eviction was chosen: to its step, with its token lit. */
  #go({ step, layer, token, at, of }) {
    this.layer = layer;
    this.pinned = token;
    if (!of.paths[at].includes(this.path)) this.path = of.paths[at][0] ?? this.path;
    this.seek(step);
    this.invalidate();
    requestAnimationFrame(() => this.context.reveal(token));
  }

  #set(name, value) {
    if (this[name] === value) return;
    this[name] = value;
    this.invalidate();
  }
}

function named({ text, raw }) {
  return `“${visibleToken(text, raw)}”`;
}

function section(name, title, ...children) {
  return el("section", { class: `fs-card fs-evict-part is-${name}`, "aria-label": title }, ...children);
}

function build() {
  const hosts = Object.fromEntries(["context", "layers", "quality", "grid", "scatter", "events"].map((name) => [name, el("div", { class: `fs-evict-${name}-host` })]));
  const parts = {
    ...hosts, title: el("h3", {}), sign: el("i", { class: "fs-chip" }),
    path: el("select", { class: "fs-evict-path", "aria-label": "Path" }), pathNote: el("span", { class: "fs-card-note" }),
    gridTitle: el("h3", {}), gridNote: el("span", { class: "fs-card-note" }), gridNone: el("p", { class: "fs-hint" }),
    scatterNone: el("p", { class: "fs-hint", text: "No exact counters beside the sketch: switch on “Exact” in the eviction settings." }),
    nothing: el("p", { class: "fs-hint", text: "No step of this run yet." }),
  };
  parts.scatterCard = section("scatter", "Estimate against exact", el("header", {}, el("h3", { text: "Estimate against exact" })), parts.scatterNone, parts.scatter);
  parts.body = el("div", { class: "fs-evict-parts" },
    section("context", "Context", el("header", {}, el("h3", { text: "Context" }), el("span", { class: "fs-evict-choose" }, parts.path, parts.pathNote)), parts.context),
    section("layers", "Layers", el("header", {}, el("h3", { text: "Layers against budget" }), el("span", { class: "fs-card-note", text: "slots the path sees" })), parts.layers),
    section("quality", "Quality", el("header", {}, el("h3", { text: "Against the full cache" }), el("span", { class: "fs-card-note", text: "KL a token, nats" })), parts.quality),
    section("grid", "Counters", el("header", {}, parts.gridTitle, parts.gridNote), parts.gridNone, parts.grid),
    parts.scatterCard,
    section("events", "Evictions", parts.events));
  parts.root = el("article", { class: "fs-evict-detail" }, el("header", { class: "fs-evict-detail-head" }, parts.sign, parts.title), parts.nothing, parts.body);
  return parts;
}
