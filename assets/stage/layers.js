// Layers x slots: which slots each layer holds, and how many paths see them.

import { slotColor } from "./color.js";
import { inside, sharpCanvas } from "./dom.js";
import { count } from "./format.js";

const LABELS = 62; // pixels for "L0 · 123"

export class Layers {
  constructor(canvas, actions) {
    this.canvas = canvas;
    this.state = null;
    canvas.addEventListener("pointermove", (event) => {
      const slot = this.#slotAt(event);
      actions.point(slot !== null && this.state.tokens[slot] ? { kind: "slot", slot } : null);
    });
    canvas.addEventListener("pointerleave", () => actions.point(null));
  }

  reset() {
    this.state = null;
  }

  /** Every layer of a run without eviction holds the same slots; the counts are measured per layer. */
  draw({ state, colors, focus }) {
    const lit = focus?.slots ?? null;
    const own = focus?.slot ?? -1;
    this.state = state;
    sharpCanvas(this.canvas, (context, width, height) => {
      const layers = state.memory?.layers ?? [];
      const slots = state.capacity;
      if (!layers.length) return;
      const row = Math.min(26, height / layers.length);
      this.cell = (width - LABELS) / Math.max(1, slots);
      context.font = `${Math.max(7, Math.min(10.5, row - 2))}px ${getComputedStyle(this.canvas).fontFamily}`;
      context.textBaseline = "middle";
      layers.forEach((live, layer) => {
        const y = layer * row;
        context.fillStyle = colors.muted;
        if (row >= 7 || layer % Math.ceil(9 / row) === 0) context.fillText(`L${layer} · ${count(live)}`, 0, y + row / 2);
        if (state.numPrompt) this.#row(context, state, colors, lit, y, row);
        else this.#bar(context, live / slots, colors, y, row, width);
      });
      if (own >= 0) {
        context.fillStyle = colors.accent;
        context.fillRect(LABELS + own * this.cell - 0.5, 0, Math.max(2, this.cell), layers.length * row);
      }
    });
  }

  /** A cache without slots: how full it is. */
  #bar(context, share, colors, y, row, width) {
    const tall = row > 4 ? row - 1.5 : row;
    context.fillStyle = colors.free;
    context.fillRect(LABELS, y, width - LABELS, tall);
    context.fillStyle = colors.private;
    context.fillRect(LABELS, y, (width - LABELS) * share, tall);
  }

  #row(context, state, colors, lit, y, row) {
    const tall = row > 4 ? row - 1.5 : row;
    let from = 0;
    const look = (slot) => state.refs[slot] * 2 + (lit?.has(slot) ? 1 : 0);
    for (let slot = 1; slot <= state.capacity; slot++) {
      if (slot < state.capacity && look(slot) === look(from)) continue;
      context.globalAlpha = lit && state.refs[from] && !lit.has(from) ? 0.28 : 1;
      context.fillStyle = slotColor(state.refs[from], colors);
      context.fillRect(LABELS + from * this.cell, y, (slot - from) * this.cell + 0.25, tall);
      from = slot;
    }
    context.globalAlpha = 1;
  }

  #slotAt(event) {
    if (!this.state?.capacity || !this.cell) return null;
    const slot = Math.floor((inside(event, this.canvas)[0] - LABELS) / this.cell);
    return slot >= 0 && slot < this.state.capacity ? slot : null;
  }
}
