// The KV pool: one cell a slot, coloured by how many live paths see it.

import { slotColor } from "./color.js";
import { inside, sharpCanvas } from "./dom.js";
import { count, visibleToken } from "./format.js";

/** The largest square cell with which `slots` cells fit; `{cell, columns, rows}` in CSS pixels. */
export function gridFor(slots, width, height) {
  let cell = Math.min(22, Math.max(2, Math.floor(Math.sqrt((width * height) / Math.max(1, slots)))));
  const fits = () => Math.ceil(slots / Math.max(1, Math.floor(width / cell))) * cell <= height;
  while (cell > 2 && !fits()) cell -= 1;
  const columns = Math.max(1, Math.floor(width / cell));
  return { cell, columns, rows: Math.ceil(slots / columns) };
}

export class Pool {
  constructor(canvas, tip, actions) {
    this.canvas = canvas;
    this.tip = tip;
    this.log = null;
    this.grid = null;
    canvas.addEventListener("pointermove", (event) => this.#point(event, actions));
    canvas.addEventListener("pointerleave", () => {
      tip.hidden = true;
      actions.point(null);
    });
    canvas.addEventListener("click", (event) => {
      const slot = this.#slotAt(event);
      if (slot !== null && this.state.tokens[slot]) actions.select({ kind: "slot", slot });
    });
  }

  reset(log) {
    this.log = log;
    this.state = null;
    this.tip.hidden = true;
  }

  /** `focus.slots`: slots that stay bright; `focus.slot`: the one that is outlined. */
  draw({ state, colors, focus }) {
    const lit = focus?.slots ?? null;
    const own = focus?.slot ?? -1;
    this.state = state;
    sharpCanvas(this.canvas, (context, width, height) => {
      const slots = state.capacity;
      if (!slots) return;
      this.grid = gridFor(slots, width, height - 2);
      const { cell, columns } = this.grid;
      const gap = cell > 7 ? 1.5 : cell > 3 ? 1 : 0;
      const round = cell > 9 ? 2.5 : 0;
      for (let slot = 0; slot < slots; slot++) {
        const x = (slot % columns) * cell;
        const y = Math.floor(slot / columns) * cell;
        context.globalAlpha = lit && state.refs[slot] && !lit.has(slot) ? 0.28 : 1;
        context.fillStyle = slotColor(state.refs[slot], colors);
        box(context, x, y, cell - gap, round);
        context.fill();
        if (slot === own) {
          context.globalAlpha = 1;
          context.strokeStyle = colors.accent;
          context.lineWidth = 2;
          box(context, x - 1, y - 1, cell - gap + 2, round);
          context.stroke();
        }
      }
      context.globalAlpha = 1;
      this.#highWater(context, state.memory?.high_water ?? 0, colors);
    });
  }

  /** A stepped line behind the last slot that attention reads. */
  #highWater(context, mark, colors) {
    const { cell, columns, rows } = this.grid;
    if (!mark) return;
    const row = Math.floor(mark / columns);
    const x = (mark % columns) * cell - 0.75;
    context.strokeStyle = colors.muted;
    context.lineWidth = 1;
    context.setLineDash([3, 2]);
    context.beginPath();
    if (row < rows) context.moveTo(columns * cell, row * cell - 0.75);
    if (x > 0) {
      context.lineTo(x, row * cell - 0.75);
      context.lineTo(x, (row + 1) * cell - 0.75);
    }
    context.lineTo(0, (x > 0 ? row + 1 : row) * cell - 0.75);
    context.stroke();
    context.setLineDash([]);
  }

  #slotAt(event) {
    if (!this.grid || !this.state) return null;
    const [x, y] = inside(event, this.canvas);
    const column = Math.floor(x / this.grid.cell);
    if (column >= this.grid.columns) return null;
    const slot = Math.floor(y / this.grid.cell) * this.grid.columns + column;
    return slot >= 0 && slot < this.state.capacity ? slot : null;
  }

  #point(event, actions) {
    const slot = this.#slotAt(event);
    this.tip.hidden = slot === null;
    if (slot === null) {
      actions.point(null);
      return;
    }
    const token = this.state.tokens[slot];
    this.tip.textContent = `slot ${count(slot)}: ${slotWords(this.log, token, this.state.refs[slot])}`;
    const [x, y] = inside(event, this.canvas.parentElement);
    this.tip.style.left = `${Math.min(x + 12, this.canvas.parentElement.clientWidth - 200)}px`;
    this.tip.style.top = `${y + 14}px`;
    actions.point(token ? { kind: "slot", slot } : null);
  }
}

function box(context, x, y, size, round) {
  context.beginPath();
  if (round) context.roundRect(x, y, size, size, round);
  else context.rect(x, y, size, size);
}

/** What a slot holds and who sees it, in words. */
export function slotWords(log, token, refs) {
  if (!token) return "free";
  const holder = token > 0 ? log.nodes[token - 1] : log.prompt[-token - 1];
  const name = holder ? `“${visibleToken(holder.text, holder.raw)}”` : "a token";
  const who = refs === 1 ? "one path (private)" : `${count(refs)} paths (shared)`;
  return `${name}${token < 0 ? " of the prompt" : ""}, seen by ${who}`;
}
