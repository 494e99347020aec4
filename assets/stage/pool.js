// The KV pool: one cell a slot. Colour and shape say who sees it: shared slots are squares, darker the more
// paths see them; private ones are round, in one of four tints of slate by their owner's row. The tints differ in
// lightness, which every eye sees, and stay greyer than the greens of the reference counts and the plasma of
// entropy; neighbouring rows differ, distant ones may share a tint: pointing at a path tells which slots are its own.

import { behind, box, gapOf, roundness } from "./cellshape.js";
import { el, inside, keptSize, sharpCanvas } from "./dom.js";
import { count, visibleToken } from "./format.js";
import { marks } from "./marks.js";
import { byPath, chunks, inRows, inSegments, neighbour } from "./order.js";
import { Pulse } from "./pulse.js";
import { SlotCells } from "./slotcells.js";

export const KEYS = [
  { keys: "← ↑ ↓ →", words: "move over the slots", where: "in the KV pool" },
  { keys: "Enter", words: "pin the slot", where: "in the KV pool" },
  { keys: "o", words: "order by slot or by path", where: "in the KV pool" },
];
const ORDERS = { slot: "by slot", path: "by path" };

/** The largest square cell with which `slots` cells fit; `{cell, columns, rows}` in CSS pixels. */
export function gridFor(slots, width, height) {
  let cell = Math.min(22, Math.max(2, Math.floor(Math.sqrt((width * height) / Math.max(1, slots)))));
  const fits = () => Math.ceil(slots / Math.max(1, Math.floor(width / cell))) * cell <= height;
  while (cell > 2 && !fits()) cell -= 1;
  const columns = Math.max(1, Math.floor(width / cell));
  return { cell, columns, rows: Math.ceil(slots / columns) };
}

export class Pool {
  /** `tools`: where the choice of order goes. */
  constructor(canvas, tip, actions, tools) {
    this.canvas = canvas;
    this.tip = tip;
    this.actions = actions;
    this.order = "slot";
    this.heard = el("span", { class: "fs-unseen", "aria-live": "polite" });
    canvas.after(this.heard);
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "KV pool, a cell is a slot: arrow keys move, Enter pins");
    this.size = keptSize(canvas);
    this.cells = new SlotCells(canvas);
    this.pulse = new Pulse(canvas, (slot) => this.#middle(slot));
    this.reset(null);
    this.#build(tools);
    this.#listen();
  }

  reset(log) {
    this.log = log;
    this.state = this.layout = this.pressed = null;
    this.cells.reset();
    this.at = -1; // the slot that the keyboard is on
    this.tip.hidden = true;
    this.pulse.stop();
  }

  /** "slot" or "path". */
  orderBy(order) {
    this.order = order;
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button.dataset.order === order));
    this.pulse.stop();
    this.actions.invalidate();
  }

  /** `focus.slots`: slots that stay bright; `focus.slot`: the one that is outlined; `isMoving`: it plays, or follows; `isFast`: steps come fast. */
  draw({ log, state, colors, focus, isMoving, isFast }) {
    const before = this.state;
    const cursor = this.cursor;
    this.state = state;
    this.cursor = state.cursor;
    sharpCanvas(this.canvas, (context, width, height) => {
      if (!state.capacity) return;
      this.layout = this.order === "path" ? inSegments(byPath(log, state), width, height - 2)
        : inRows(state.capacity, gridFor(state.capacity, width, height - 2));
      context.drawImage(this.cells.draw(this.layout, state, colors, focus, width), 0, 0, width, height);
      this.#outlines(context, state, colors, focus);
      if (this.order === "slot") this.#edges(context, log, state, width, colors);
      this.#copies(context, log, state, colors);
    }, this.size);
    const isOn = state.cursor === cursor + 1 || (isMoving && state.cursor > cursor);
    if (before && isOn) this.#animate(log, state, cursor, colors, isFast);
    else if (state.cursor !== cursor) this.pulse.stop();
  }

  /** The slot that is pointed at, and the one that the keyboard is on. */
  #outlines(context, state, colors, focus) {
    const { cell } = this.layout;
    const gap = gapOf(cell);
    for (const [slot, color] of [[focus?.slot ?? -1, colors.accent], [this.#hasFocus() ? this.at : -1, colors.ink]]) {
      if (slot < 0 || slot >= state.capacity) continue;
      const [x, y] = this.layout.at(slot);
      context.strokeStyle = color;
      context.lineWidth = 2;
      box(context, x - 1, y - 1, cell - gap + 2, roundness(state.refs[slot], cell));
      context.stroke();
    }
  }

  /** Where the pool grew: a bracket before the first slot of a chunk; and a dashed line behind the last slot in use ever. */
  #edges(context, log, state, width, colors) {
    const { cell, columns } = this.layout;
    context.strokeStyle = colors.muted;
    context.lineWidth = 1;
    for (const { slot } of chunks(log, state.cursor)) {
      if (!slot || cell < 5) continue;
      const [x, y] = this.layout.at(slot);
      context.beginPath();
      context.moveTo(x + cell * 0.45, y - 0.9);
      context.lineTo(x - 0.9, y - 0.9);
      context.lineTo(x - 0.9, y + cell - 1);
      context.stroke();
    }
    const mark = state.memory?.high_water ?? 0;
    if (mark) behind(context, mark, state.capacity, columns, cell);
  }

  /** The first private slots behind a shared prefix that this very step wrote. */
  #copies(context, log, state, colors) {
    const { cell } = this.layout;
    if (cell < 5) return;
    context.strokeStyle = colors.accent;
    context.lineWidth = 1.4;
    for (const slot of written(log, state, state.cursor - 1)) {
      const [x, y] = this.layout.at(slot);
      box(context, x + 0.6, y + 0.6, cell - 2.7, (cell - 2.7) / 2);
      context.stroke();
    }
  }

  /** From the last slot that a new one's path shares to the new one, for all steps after `since`. */
  #animate(log, state, since, colors, isFast) {
    if (this.layout) this.pulse.start(copied(log, state, since), colors.accent, this.layout.cell, isFast);
  }

  #middle(slot) {
    const [x, y] = this.layout.at(slot);
    return [x + this.layout.cell / 2, y + this.layout.cell / 2];
  }

  #build(tools) {
    this.buttons = Object.entries(ORDERS).map(([order, text]) => {
      const button = el("button", {
        type: "button", class: "fs-choice", text, "data-order": order, "aria-pressed": String(order === this.order),
        title: order === "slot" ? "As the pool numbers its slots (o)" : "Prompt, what paths share, then each path's own slots (o)",
      });
      button.addEventListener("click", () => this.orderBy(order));
      return button;
    });
    tools?.append(el("div", { class: "fs-choices", role: "group", "aria-label": "Order of the slots" }, ...this.buttons));
  }

  #listen() {
    const { canvas, actions } = this;
    canvas.addEventListener("pointermove", (event) => this.#point(this.#slotAt(event)));
    canvas.addEventListener("pointerleave", () => this.#point(null));
    canvas.addEventListener("pointerdown", (event) => (this.pressed = this.#slotAt(event)));
    canvas.addEventListener("click", () => this.#pin(this.pressed)); // its own coordinates are whole pixels
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("focus", () => {
      if (this.state?.capacity && canvas.matches(":focus-visible")) this.#stand(Math.max(0, this.at));
    });
    canvas.addEventListener("blur", () => {
      this.#point(null);
      actions.invalidate();
    });
  }

  #key(event) {
    if (!this.state?.capacity || !this.layout || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow")) {
      const from = this.at < 0 || this.at >= this.state.capacity ? (this.layout.order?.[0] ?? 0) : this.at;
      this.#stand(this.at < 0 ? from : neighbour(this.layout, this.state.capacity, from, event.key));
    } else if (event.key === "Enter") this.#pin(this.at);
    else if (event.key === "o") this.orderBy(this.order === "slot" ? "path" : "slot");
    else return;
    event.preventDefault();
  }

  /** The keyboard is on `slot`. */
  #stand(slot) {
    this.at = slot;
    this.#point(slot);
    this.heard.textContent = this.#words(slot);
    this.actions.invalidate();
  }

  #hasFocus() {
    return document.activeElement === this.canvas && this.canvas.matches(":focus-visible");
  }

  #pin(slot) {
    if (slot !== null && slot >= 0 && this.state?.tokens[slot]) this.actions.select({ kind: "slot", slot });
  }

  #slotAt(event) {
    if (!this.layout || !this.state) return null;
    const slot = this.layout.slotAt(...inside(event, this.canvas));
    return slot !== null && slot < this.state.capacity ? slot : null;
  }

  #point(slot) {
    const { tip, actions } = this;
    tip.hidden = slot === null || !this.layout;
    if (tip.hidden) {
      actions.point(null);
      return;
    }
    tip.textContent = this.#words(slot);
    const [x, y] = this.layout.at(slot);
    const room = this.canvas.clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(room, x + this.layout.cell + 4))}px`;
    tip.style.top = `${y + this.layout.cell + 6}px`;
    actions.point(this.state.tokens[slot] ? { kind: "slot", slot } : null);
  }

  #words(slot) {
    const chunk = chunks(this.log, this.state.cursor).findLast((one) => one.slot <= slot);
    const grown = chunk?.slot ? `; the pool grew to it in step ${chunk.step}` : "";
    return `slot ${count(slot)}: ${slotWords(this.log, this.state.tokens[slot], this.state.refs[slot])}${grown}`;
  }
}

/** Slots that the steps after `since` wrote as the first private ones behind a shared prefix, the newest step's first. */
function written(log, state, since) {
  const list = marks(log);
  const slots = [];
  for (let at = list.findLastIndex(({ step }) => step <= state.cursor); at >= 0 && list[at].step > since; at--) {
    const { kind, pooled, nodes } = list[at];
    if (kind !== "copy" || !pooled) continue;
    for (const id of nodes) if (state.holds(log.nodes[id].slot, id + 1)) slots.push(log.nodes[id].slot);
  }
  return slots;
}

/** `[shared slot, first private slot]` of every copy-on-write moment after step `since` that can be seen at the cursor. */
export function copied(log, state, since) {
  return written(log, state, since).flatMap((to) => {
    const { parent } = log.nodes[state.tokens[to] - 1];
    const from = parent < 0 ? log.prompt.at(-1)?.slot : log.nodes[parent].slot;
    return from >= 0 && state.tokens[from] ? [[from, to]] : [];
  });
}

/** What a slot holds and who sees it, in words. */
export function slotWords(log, token, refs) {
  if (!token) return "free";
  const holder = token > 0 ? log.nodes[token - 1] : log.prompt[-token - 1];
  const name = holder ? `“${visibleToken(holder.text, holder.raw)}”` : "a token";
  const who = refs === 1 ? "one path (private)" : `${count(refs)} paths (shared)`;
  return `${name}${token < 0 ? " of the prompt" : ""}, seen by ${who}`;
}
