// One run in a comparison: its tree, what its cache holds, its bytes over time, its counters.

import { drawCells } from "./cells.js";
import { isDark } from "./color.js";
import { curvesOf } from "./counters.js";
import { el } from "./dom.js";
import { bytes, count, plural, seconds } from "./format.js";
import { Growing } from "./growing.js";
import { PROMPT } from "./log.js";
import { MemoryStrip, series } from "./memory.js";
import { draggable, panelButtons } from "./paneltools.js";
import { Silhouette } from "./silhouette.js";

const TAIL = 96; // characters of a path that are shown

export class Panel extends Growing {
  /**
   * `key` names it on the board, `title` to people, `word` within a sentence; `sign` stands in its chip;
   * `data` are attributes that give it its colour. `callbacks`: `point(panel, id)`, `select(panel, id)`,
   * `seek(panel, step)`, `act(panel, deed)` and `drop(key, onto)` are told of what people do.
   */
  constructor({ key, title, word, about, sign, data, isTree: grows = true }, callbacks) {
    super();
    Object.assign(this, { key, name: key, title, word, data, isTree: grows });
    this.parts = build(this, { about, sign, data }, (deed) => callbacks.act(this, deed));
    draggable(this, this.parts.header, callbacks.drop);
    this.silhouette = new Silhouette(this.parts.tree, {
      hover: (id) => callbacks.point(this, id),
      select: (id) => callbacks.select(this, id),
    });
    this.strip = new MemoryStrip(this.parts.strip, { seek: (step) => callbacks.seek(this, step) });
    this.positions = [];
    this.result = null; // figures, once it has ended
    this.digest = null;
    this.alike = 0; // nodes, from the first one, that are those of the run it is held against
    this.marks = []; // nodes at which it differs
    this.setState("waiting");
  }

  apply(batch) {
    const isTaken = super.apply(batch);
    if (isTaken && batch.details) this.setDigest(batch.details["tree digest"]);
    return isTaken;
  }

  taken(log) {
    this.silhouette.reset(log);
    this.strip.reset(log);
  }

  grown() {
    let computed = 0;
    this.positions = this.log.steps.map((step) => (computed += step.positions));
    this.curves = curvesOf(this.log);
    this.top = series(this.log).top;
    this.slots = this.log.steps.reduce((most, { memory, memory_forward: pass }) => Math.max(most, memory.capacity, pass.capacity), 0);
    this.depths = this.log.nodes.reduce((most, node) => Math.max(most, node.depth + 1), 1);
  }

  setDigest(digest) {
    this.digest = digest;
    this.parts.digest.textContent = digest ? `tree ${digest.slice(0, 12)}` : "";
  }

  /** The next `draw` draws whatever has changed or not. */
  invalidate() {
    this.drawn = null;
  }

  /** `words` on how its tree stands to the one it is held against; `isSame` null: not decided, or no matter. */
  setVerdict(words, isSame) {
    const { verdict } = this.parts;
    verdict.hidden = !words;
    verdict.textContent = words;
    verdict.classList.toggle("is-same", isSame === true);
    verdict.classList.toggle("is-other", isSame === false);
  }

  /** Which buttons can do something, and whether the others are held against this one. */
  setPlace({ isFirst, isLast, isPinned, isReference, isAlone }) {
    const { buttons, root, held } = this.parts;
    buttons.left.disabled = isFirst || isPinned;
    buttons.right.disabled = isLast || isPinned;
    buttons.hide.disabled = isAlone;
    buttons.pin.setAttribute("aria-pressed", String(isPinned));
    root.classList.toggle("is-reference", isReference && !isAlone);
    held.hidden = !isReference || isAlone;
  }

  /** `scale`: what all panels share: `{depths, slots, top}`. `lit`: node whose path stands out, or null. */
  draw(colors, scale, lit) {
    const { parts, log } = this;
    const key = [this.length, this.cursor, lit, scale.depths, scale.slots, scale.top, this.marks].join();
    if (!log || key === this.drawn) return; // several panels, of which one runs
    this.drawn = key;
    const state = log.at(this.cursor);
    const memory = state.memory;
    const shown = lit !== null && lit < state.numNodes ? lit : null;
    this.silhouette.draw(state, colors, isDark(), scale.depths, shown, this.marks);
    const each = drawCells(parts.cells, state, memory, scale.slots, colors);
    this.strip.draw({ state, colors }, scale.top);
    parts.stored.textContent = stored(memory, each);
    this.#text(state, shown);
    this.#counters(memory);
  }

  #counters(memory) {
    const { facts } = this.parts;
    facts.time.textContent = seconds(this.times[this.cursor] ?? 0);
    facts.computed.textContent = count(this.positions[this.cursor] ?? 0);
    facts.used.textContent = bytes(memory?.kv_live_nbytes ?? 0);
    facts.allocated.textContent = bytes(memory?.kv_nbytes ?? 0);
  }

  #text(state, lit) {
    const { log, parts } = this;
    const newest = state.isOver ? state.numNodes - 1 : (state.rows[0]?.node ?? PROMPT);
    const id = lit ?? newest;
    const prompt = log.promptText();
    const text = id === PROMPT ? "" : log.textOf(id);
    const chars = [...(prompt + text)];
    const cut = chars.length > TAIL ? chars.indexOf(" ", chars.length - TAIL) + 1 || chars.length - TAIL : 0;
    const shownPrompt = [...prompt].slice(cut).join("");
    parts.textPrompt.textContent = (cut ? "…" : "") + shownPrompt;
    parts.textPath.textContent = chars.slice(Math.max(cut, [...prompt].length)).join("");
  }
}

/** What panels share, so that they can be held against each other: `{depths, slots, top}`. */
export function sharedScale(panels, isLive) {
  const ready = panels.filter((panel) => panel.log);
  const planned = isLive ? (ready[0]?.log.header.config.limits.max_new_tokens ?? 1) : 1;
  const most = (name) => Math.max(1, ...ready.map((panel) => panel[name]));
  return { depths: Math.max(planned, most("depths")), slots: most("slots"), top: most("top") };
}

function stored(memory, each) {
  if (!memory?.capacity) return "nothing is kept";
  const words = `${plural(memory.unique_kv_tokens, "token")} stored`;
  return each > 1 ? `${words}, a cell is ${each}` : words;
}

const FACTS = {
  time: ["time", "seconds of this run up to the cursor, passes and the rest"],
  computed: ["computed", "token positions computed up to the cursor: forward_token_steps"],
  used: ["in use", "KV bytes in use at the cursor"],
  allocated: ["allocated", "KV bytes allocated at the cursor"],
};

function build({ key, title }, { about, sign, data }, act) {
  const parts = {
    badge: el("span", { class: "fs-badge" }),
    held: el("span", { class: "fs-held", text: "the others are held against it", hidden: true }),
    buttons: panelButtons(title, act),
    about: el("p", { class: "fs-about", text: about, title: about }),
    tree: el("canvas", {
      class: "fs-silhouette", tabindex: "0", role: "img", "aria-label": `Token tree of ${title}. Arrow keys move between tokens.`,
    }),
    textPrompt: el("span", { class: "fs-path-prompt" }),
    textPath: el("span", {}),
    cells: el("canvas", { class: "fs-cells", role: "img", "aria-label": `Tokens stored by ${title}` }),
    stored: el("span", { class: "fs-card-note" }),
    strip: el("canvas", { class: "fs-canvas fs-strip", role: "img", "aria-label": `Bytes of ${title} over time` }),
    digest: el("code", { class: "fs-digest" }),
    verdict: el("span", { class: "fs-verdict", hidden: true }),
    facts: {},
  };
  const facts = Object.entries(FACTS).map(([name, [label, words]]) => {
    parts.facts[name] = el("dd", { "data-fact": label });
    return el("div", { title: words }, el("dt", { text: label }), parts.facts[name]);
  });
  parts.header = el("header", { title: "Drag to move" }, el("i", { class: "fs-chip", text: sign }), el("h3", { text: title, title }),
    el("span", { class: "fs-panel-tools", role: "group", "aria-label": `Panel of ${title}` }, ...Object.values(parts.buttons)));
  parts.root = el("section", { class: "fs-card fs-panel", "data-panel": key, ...data, "aria-label": title }, parts.header,
    el("p", { class: "fs-panel-sub" }, parts.badge, parts.held), parts.about, parts.tree,
    el("p", { class: "fs-panel-text" }, parts.textPrompt, parts.textPath),
    el("div", { class: "fs-row" }, el("h4", { text: "KV cache" }), parts.stored), parts.cells, parts.strip,
    el("dl", { class: "fs-counters" }, ...facts),
    el("footer", {}, parts.digest, parts.verdict));
  return parts;
}
