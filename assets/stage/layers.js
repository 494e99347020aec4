// Layers x slots: which slots each layer holds, and how many paths see them.

import { hasPool } from "./caches.js";
import { slotColor } from "./color.js";
import { el, fontOf, inside, keptSize, writtenCanvas } from "./dom.js";
import { count, plural } from "./format.js";
import { slotWords } from "./pool.js";

const LABELS = 62; // pixels for "L0 · 123"

export const KEYS = [
  { keys: "↑ ↓", words: "the layer above or below", where: "in layers × slots" },
  { keys: "← →", words: "the slot before or after; left of the first: the layer itself", where: "in layers × slots" },
  { keys: "Enter", words: "pin the layer or its cell", where: "in layers × slots" },
];

export class Layers {
  constructor(canvas, actions) {
    this.canvas = canvas;
    this.actions = actions;
    this.size = keptSize(canvas);
    this.heard = el("span", { class: "fs-unseen", "aria-live": "polite" });
    canvas.after(this.heard);
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "Slots of every layer: arrow keys move, Enter pins");
    canvas.addEventListener("pointermove", (event) => this.#point(this.#subjectAt(event)));
    canvas.addEventListener("pointerleave", () => this.#point(null));
    canvas.addEventListener("pointerdown", (event) => (this.pressed = this.#subjectAt(event)));
    canvas.addEventListener("click", () => { // its own coordinates are whole pixels: a cell may be narrower
      if (this.pressed) actions.select(this.pressed);
    });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#point(null));
    this.reset(null);
  }

  reset(log) {
    this.log = log;
    this.state = this.pressed = null;
    this.at = { layer: 0, slot: -1 }; // where the keyboard is; slot -1: the layer itself
  }

  /** Every layer of a run holds the same slots until something is evicted; the counts are measured per layer. */
  draw({ state, colors, focus }) {
    this.state = state;
    writtenCanvas(this.canvas, (context, width, height) => {
      const layers = state.memory?.layers ?? [];
      if (!layers.length) return;
      const row = (this.row = Math.min(26, height / layers.length));
      this.cell = (width - LABELS) / Math.max(1, state.capacity);
      context.font = `${Math.max(7, Math.min(10.5, row - 2))}px ${fontOf(this.canvas, colors)}`;
      context.textBaseline = "middle";
      const lit = litIn(state, focus);
      const shared = state.numPrompt && !state.isSplit ? this.#spans(state, colors, lit(0), 0) : null;
      layers.forEach((live, layer) => {
        const y = layer * row;
        context.globalAlpha = focus && focus.layer !== null && focus.layer !== layer ? 0.5 : 1;
        context.fillStyle = focus?.layer === layer ? colors.accent : colors.muted;
        if (row >= 7 || layer % Math.ceil(9 / row) === 0 || focus?.layer === layer) context.fillText(`L${layer} · ${count(live)}`, 0, y + row / 2);
        const faded = context.globalAlpha;
        const spans = state.isSplit ? this.#spans(state, colors, lit(layer), layer) : shared;
        if (spans) this.#cells(context, spans, y, row, faded);
        else this.#bar(context, live / state.capacity, colors, y, row, width);
      });
      context.globalAlpha = 1;
      this.#outline(context, layers.length * row, focus, colors);
    }, this.size);
  }

  /** The slot that is pointed at, in one layer or in all of them. */
  #outline(context, height, focus, colors) {
    if (!focus || focus.slot < 0) return;
    const x = LABELS + focus.slot * this.cell - 0.5;
    const wide = Math.max(2, this.cell);
    context.fillStyle = colors.accent;
    if (focus.layer === null) context.fillRect(x, 0, wide, height);
    else {
      context.fillRect(x, focus.layer * this.row, wide, this.row - 1);
      context.globalAlpha = 0.35;
      context.fillRect(x, 0, wide, height);
      context.globalAlpha = 1;
    }
  }

  /** A cache without slots: how full it is. */
  #bar(context, share, colors, y, row, width) {
    const tall = row > 4 ? row - 1.5 : row;
    context.fillStyle = colors.free;
    context.fillRect(LABELS, y, width - LABELS, tall);
    context.fillStyle = colors.private;
    context.fillRect(LABELS, y, (width - LABELS) * share, tall);
  }

  /** Neighbouring slots that look alike, once for all layers while these hold the same: `{color, alpha, at: [x, width, x, width, ...]}`. */
  #spans(state, colors, lit, layer) {
    const looks = new Map();
    const { cell } = this;
    const { capacity } = state;
    const refs = state.refsOf(layer);
    const look = (slot) => refs[slot] * 2 + (lit?.has(slot) ? 1 : 0);
    let from = 0;
    for (let slot = 1; slot <= capacity; slot++) {
      if (slot < capacity && look(slot) === look(from)) continue;
      const color = slotColor(refs[from], colors);
      const alpha = lit && refs[from] && !lit.has(from) ? 0.28 : 1;
      const key = `${color} ${alpha}`;
      if (!looks.has(key)) looks.set(key, { color, alpha, at: [] });
      looks.get(key).at.push(LABELS + from * cell, (slot - from) * cell + 0.25);
      from = slot;
    }
    return [...looks.values()];
  }

  #cells(context, spans, y, row, faded) {
    const tall = row > 4 ? row - 1.5 : row;
    for (const { color, alpha, at } of spans) {
      context.globalAlpha = faded * alpha;
      context.fillStyle = color;
      context.beginPath();
      for (let i = 0; i < at.length; i += 2) context.rect(at[i], y, at[i + 1], tall);
      context.fill();
    }
    context.globalAlpha = 1;
  }

  #subjectAt(event) {
    const layers = this.state?.memory?.layers.length ?? 0;
    if (!layers || !this.row) return null;
    const [x, y] = inside(event, this.canvas);
    const layer = Math.floor(y / this.row);
    if (layer < 0 || layer >= layers) return null;
    return this.#subject(layer, x < LABELS ? -1 : Math.floor((x - LABELS) / this.cell));
  }

  /** A layer, or one of its cells where the slot holds something. */
  #subject(layer, slot) {
    if (slot < 0) return { kind: "layer", layer };
    return this.state.tokensOf(layer)[slot] ? { kind: "cell", layer, slot } : null;
  }

  #key(event) {
    const layers = this.state?.memory?.layers.length ?? 0;
    if (!layers || event.ctrlKey || event.metaKey || event.altKey) return;
    const { layer, slot } = this.at;
    const moves = {
      ArrowUp: [layer - 1, slot], ArrowDown: [layer + 1, slot], ArrowLeft: [layer, slot - 1], ArrowRight: [layer, slot + 1], Enter: [layer, slot],
    };
    if (!moves[event.key]) return;
    const [toLayer, toSlot] = moves[event.key];
    const most = this.state.numPrompt ? this.state.capacity - 1 : -1;
    this.at = { layer: Math.max(0, Math.min(layers - 1, toLayer)), slot: Math.max(-1, Math.min(most, toSlot)) };
    const subject = this.#subject(this.at.layer, this.at.slot);
    if (event.key === "Enter") {
      if (subject) this.actions.select(subject);
    } else this.#point(subject);
    this.heard.textContent = this.#words(this.at.layer, this.at.slot);
    event.preventDefault();
  }

  #point(subject) {
    this.actions.point(subject);
    this.canvas.title = subject ? this.#words(subject.layer, subject.slot ?? -1) : "";
  }

  #words(layer, slot) {
    const { state, log } = this;
    if (slot >= 0) return `layer ${layer}, slot ${count(slot)}: ${slotWords(log, state.tokensOf(layer)[slot], state.refsOf(layer)[slot])}`;
    const live = state.memory.layers[layer];
    return `layer ${layer}: ${hasPool(log) ? plural(live, "live slot") : `${plural(live, "token")} kept`}`;
  }
}

/** By layer: the slots that stay bright (null: all of them). A token may lie elsewhere in every layer, or be gone there. */
function litIn(state, focus) {
  const slots = focus?.slots ?? null;
  if (!slots || !state.isSplit) return () => slots;
  if (focus.layer !== null) return (layer) => (layer === focus.layer ? slots : new Set());
  const tokens = new Set([...slots].map((slot) => state.tokens[slot]));
  return (layer) => new Set(Array.from(state.tokensOf(layer).keys()).filter((slot) => tokens.has(state.tokensOf(layer)[slot])));
}
