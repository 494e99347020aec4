// The counters of one layer: a sketch as depth × width cells, exact counters as one row of tokens.

import { inkOn, mix } from "./contrast.js";
import { el, fontOf, inside, say, sharpCanvas } from "./dom.js";
import { count, plural } from "./format.js";
import { heldColor } from "./heldscale.js";

export const KEYS = [
  { keys: "← → ↑ ↓", words: "another counter", where: "in the counters" },
  { keys: "Enter", words: "pin its token", where: "in the counters" },
];
const UNIT = "attention gathered: summed over heads and queries; divided by the queries that could see the token it is the “per query” of an eviction";
const LEAST = 3; // pixels of a column
const WIDEST = 9000; // pixels of a picture; wider sketches share cells
const TALL = { sketch: 22, exact: 64 }; // pixels of a row
const ROOM = 34; // pixels of a cell that has room for its value
const HIT = 0.5; // of the largest gain of a step: from there on a cell is marked

/**
 * The cells that a sketch's evidence tells of: Map row * width + column -> `{row, column, value, entries, gain}`, `entries`
 * being places in `evidence.slots`, `gain` the rise since `before` (evidence of the step before; unknown: null).
 */
export function cellsOf(evidence, width, before = null) {
  const cells = new Map();
  const old = before ? cellsOf(before, width) : null;
  evidence.columns.forEach((columns, row) => columns.forEach((column, entry) => {
    const key = row * width + column;
    const known = cells.get(key);
    if (known) known.entries.push(entry);
    else {
      const value = evidence.cells[row][entry];
      const was = old?.get(key)?.value;
      cells.set(key, { row, column, value, entries: [entry], gain: was === undefined ? null : value - was });
    }
  }));
  return cells;
}

/** How a row of `width` columns is drawn in `space` pixels: columns a cell stands for, and pixels of a cell. */
export function fitted(width, space) {
  const each = Math.ceil((width * LEAST) / WIDEST);
  const cells = Math.ceil(width / each);
  return { each, cells, cell: Math.max(LEAST, Math.floor((space / cells) * 4) / 4) };
}

/** Several columns a cell: the largest known value of them stands for all; `entries` of all. */
export function binned(cells, width, each) {
  if (each === 1) return cells;
  const bins = new Map();
  const across = Math.ceil(width / each);
  for (const one of cells.values()) {
    const column = Math.floor(one.column / each);
    const key = one.row * across + column;
    const known = bins.get(key);
    if (!known) bins.set(key, { ...one, column, entries: [...one.entries] });
    else {
      known.entries.push(...one.entries);
      known.value = Math.max(known.value, one.value);
      known.gain = known.gain === null ? one.gain : Math.max(known.gain, one.gain ?? -Infinity);
    }
  }
  return bins;
}

/** The counters as cells: a sketch's, or one an entry where there is no sketch. */
function countersOf(evidence, settings, before) {
  if (evidence.columns?.length) return { width: settings.sketch_width, depth: evidence.columns.length, cells: cellsOf(evidence, settings.sketch_width, before) };
  const was = new Map((before?.slots ?? []).map((slot, at) => [`${slot}/${before.positions[at]}`, before.estimates[at]]));
  const order = evidence.slots.map((_, at) => at).sort((a, b) => evidence.positions[a] - evidence.positions[b]);
  const cells = new Map(order.map((entry, column) => {
    const value = evidence.estimates[entry];
    const old = was.get(`${evidence.slots[entry]}/${evidence.positions[entry]}`);
    return [column, { row: 0, column, value, entries: [entry], gain: old === undefined ? null : value - old }];
  }));
  return { width: order.length, depth: 1, cells };
}

export class SketchGrid {
  /** `point(code)`, `pin(code)`. */
  constructor(host, actions) {
    this.actions = actions;
    this.canvas = el("canvas", { class: "fs-sketch", tabindex: 0, role: "application", "aria-label": "Counters: arrow keys move, Enter pins the token" });
    this.scroller = el("div", { class: "fs-sketch-box" }, this.canvas);
    this.heard = el("p", { class: "fs-sketch-told", "aria-live": "polite" });
    this.keys = el("p", { class: "fs-card-note" });
    this.shades = el("i", { class: "fs-shades" });
    this.most = el("span", {});
    this.scale = el("p", { class: "fs-card-note fs-sketch-scale" }, el("span", { text: "0" }), this.shades, this.most, el("span", { text: UNIT }));
    host.append(this.scroller, this.scale, this.heard, this.keys);
    this.space = 0;
    new ResizeObserver(() => {
      this.space = this.scroller.clientWidth;
      actions.invalidate();
    }).observe(this.scroller);
    this.canvas.addEventListener("pointermove", (event) => this.#hover(event));
    this.canvas.addEventListener("pointerleave", () => this.#show(null));
    this.canvas.addEventListener("click", () => this.at && this.#pin());
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => this.#show(null));
    this.reset();
  }

  reset() {
    this.at = this.shown = null; // {row, column} that is pointed at
  }

  /** `told`: `{evidence, before, settings, name(entry), codes}` of a layer, or null: nothing is counted. */
  draw({ told, colors, isDark, lit, pinned }) {
    this.told = told;
    this.scroller.hidden = !told;
    if (!told || !this.space) return;
    const { width, depth, cells } = countersOf(told.evidence, told.settings, told.before);
    const isSketch = Boolean(told.evidence.columns?.length);
    const { each, cells: across, cell } = fitted(width, this.space);
    this.grid = { width: across, depth, cell, tall: isSketch ? Math.max(8, Math.min(TALL.sketch, 120 / depth)) : TALL.exact, cells: binned(cells, width, each), each, isSketch };
    const size = { width: Math.ceil(across * cell), height: Math.ceil(depth * this.grid.tall) };
    Object.assign(this.canvas.style, { width: `${size.width}px`, height: `${size.height}px` });
    sharpCanvas(this.canvas, (context) => this.#paint(context, size, colors, isDark, [lit, pinned]), size);
    this.#legend(width, each, cells.size, depth, isDark);
    say(this.heard, this.at ? this.#told() : this.#summary(depth, width));
  }

  #paint(context, size, colors, isDark, wanted) {
    const { cells, cell, tall, isSketch } = this.grid;
    const gap = cell > 5 ? 1 : 0;
    const top = Math.max(1e-12, ...Array.from(cells.values(), ({ value }) => Math.abs(value)));
    const most = Math.max(0, ...Array.from(cells.values(), ({ gain }) => gain ?? 0));
    hatch(context, size, colors);
    context.font = `10.5px ${fontOf(this.canvas, colors)}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const one of cells.values()) {
      const [x, y] = [one.column * cell, one.row * tall];
      const share = Math.abs(one.value) / top;
      context.fillStyle = share > 0 ? heldColor(0.06 + 0.94 * share, isDark) : mix(colors.surface, colors.line, 0.5);
      const high = isSketch ? tall - 1 : Math.max(1, share * (tall - 6));
      if (!isSketch) clear(context, x, y, cell, tall, colors);
      if (!isSketch) context.fillStyle = heldColor(0.06 + 0.94 * share, isDark);
      context.fillRect(x, y + (isSketch ? 0 : tall - high), cell - gap, high);
      if (isSketch && cell >= ROOM) write(context, one.value, x + cell / 2, y + tall / 2);
      if (most > 0 && one.gain !== null && one.gain >= HIT * most) hit(context, x, y, cell - gap, colors);
      if (one.entries.some((entry) => wanted.includes(this.told.codes[entry]) && this.told.codes[entry] !== 0)) frame(context, x, y, cell - gap, tall - 1, colors.accent);
    }
    if (this.at) frame(context, this.at.column * cell, this.at.row * tall, cell - gap, tall - 1, colors.ink);
  }

  #legend(width, each, known, depth, isDark) {
    const { isSketch } = this.grid;
    const top = Math.max(0, ...Array.from(this.grid.cells.values(), ({ value }) => Math.abs(value)));
    say(this.most, top.toPrecision(3));
    this.shades.style.backgroundImage = `linear-gradient(90deg, ${heldColor(0.08, isDark)}, ${heldColor(1, isDark)})`;
    const text = isSketch
      ? `${count(depth)} rows × ${count(width)} counters; hatched: no token in the cache counts there, so its value is not recorded; notch above: gained at least half of the largest known gain of this step`
        + (each > 1 ? `; a cell is ${count(each)} counters, the largest of them` : "")
      : "a bar is the counter of one stored token, in the order of the text; notch: gained at least half of the largest known gain of this step";
    say(this.keys, text);
    Object.assign(this.canvas.dataset, { known, width, depth });
  }

  #summary(depth, width) {
    const { cells, isSketch } = this.grid;
    const crowded = [...cells.values()].filter(({ entries }) => entries.length > 1).length;
    if (!isSketch) return `${plural(width, "exact counter")}, one a stored token${leavingWords(this.told)}.`;
    return `${count(cells.size)} of ${count(depth * width)} counters in use by stored tokens${crowded ? `; in ${count(crowded)} of them several tokens are counted together` : "; none is shared"}${leavingWords(this.told)}.`;
  }

  /** What the counter that is pointed at says. */
  #told() {
    const { told, grid, at } = this;
    const where = grid.isSketch ? `row ${at.row}, counter ${count(at.column * grid.each)}: ` : "";
    const one = this.#here();
    if (!one) return `${where}not recorded`;
    const { value, entries, gain } = one;
    const names = entries.slice(0, 4).map((entry) => `${told.name(entry)} at ${count(told.evidence.positions[entry])}`);
    if (entries.length > 4) names.push(`${count(entries.length - 4)} more`);
    return `${where}${value.toFixed(4)}${gain ? ` (${gain > 0 ? "+" : ""}${gain.toFixed(4)} in this step)` : ""}: ${names.join(", ")}${entries.length > 1 ? ", counted together" : ""}`;
  }

  #hover(event) {
    if (!this.grid) return;
    const [x, y] = inside(event, this.canvas);
    this.#show({ row: Math.floor(y / this.grid.tall), column: Math.floor(x / this.grid.cell) });
  }

  #show(at) {
    if (at?.row === this.at?.row && at?.column === this.at?.column) return;
    this.at = at;
    const one = this.#here();
    this.actions.point(one ? this.told.codes[one.entries[0]] || null : null);
    this.actions.invalidate();
  }

  #here() {
    return this.at && this.grid ? (this.grid.cells.get(this.at.row * this.grid.width + this.at.column) ?? null) : null;
  }

  #pin() {
    const one = this.#here();
    if (one) this.actions.pin(this.told.codes[one.entries[0]] || null);
  }

  #key(event) {
    if (!this.grid || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (event.key === "Enter") this.#pin();
    else if (by) {
      const { row, column } = this.at ?? { row: 0, column: -1 };
      const clamp = (value, most) => Math.max(0, Math.min(most - 1, value));
      this.#show({ row: clamp(row + by[0], this.grid.depth), column: clamp(column + by[1], this.grid.width) });
      const x = this.at.column * this.grid.cell;
      if (x < this.scroller.scrollLeft || x > this.scroller.scrollLeft + this.space - 20) this.scroller.scrollLeft = x - this.space / 2;
    } else return;
    event.preventDefault();
  }
}

/** Counters are read before a step's evictions: of the tokens that they count some may be gone after it. */
export function leavingWords({ leaving }) {
  return leaving ? `; ${count(leaving)} of the tokens ${leaving === 1 ? "leaves" : "leave"} in this step` : "";
}

/** The ground of what is not recorded. */
function hatch(context, { width, height }, colors) {
  context.fillStyle = colors.free;
  context.globalAlpha = 0.5;
  context.fillRect(0, 0, width, height);
  context.strokeStyle = colors.faint;
  context.globalAlpha = 0.28;
  context.lineWidth = 1;
  context.beginPath();
  for (let x = -height; x < width; x += 6) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.stroke();
  context.globalAlpha = 1;
}

/** A value on the ground that was painted last. */
function write(context, value, x, y) {
  context.fillStyle = inkOn(context.fillStyle);
  context.fillText(Math.abs(value) < 99.95 ? value.toFixed(1) : value.toFixed(0), x, y + 1);
}

function clear(context, x, y, wide, tall, colors) {
  context.fillStyle = colors.surface;
  context.fillRect(x, y, wide, tall);
}

function hit(context, x, y, wide, colors) {
  context.fillStyle = colors.ink;
  context.fillRect(x, y, Math.max(2, wide), 2);
}

function frame(context, x, y, wide, tall, color) {
  context.strokeStyle = color;
  context.lineWidth = 2;
  context.strokeRect(x - 0.5, y + 0.5, Math.max(3, wide + 1), tall - 1);
}
