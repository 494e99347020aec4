// Lines over the length of the text, up to the cursor and pale after it. Solid is cached, dashed is uncached.

import { el, fontOf, inside, keptSize, say, writtenCanvas } from "./dom.js";
import { count } from "./format.js";
import { byteTicks, ticks } from "./scale.js";

const PAD = { left: 58, right: 14, top: 12, bottom: 22 };
const PALE = 0.28;

/** Values of an axis by logarithm: 1, 2 and 5 of every power of ten from `low` to `high`, those around them among them. */
export function logTicks(low, high) {
  const values = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const digit of [1, 2, 5]) values.push(Number((digit * 10 ** power).toPrecision(6)));
  }
  const from = Math.max(0, values.findLastIndex((value) => value <= low * (1 + 1e-9)));
  const to = values.findIndex((value) => value >= high * (1 - 1e-9));
  return values.slice(from, (to < 0 ? values.length : to) + 1);
}

/** How values from `low` to `top` stand on a chart: `{values, at(value)}`, ticks and 0..1. `kind`: "log", "bytes" or "linear". */
export function axisOf(kind, low, top) {
  if (kind === "log" && low > 0 && low <= top) {
    const all = logTicks(low, Math.max(top, low * 1.01));
    const isDecade = (value) => Number.isInteger(Math.round(Math.log10(value) * 1e6) / 1e6);
    const values = all.length > 6 ? all.filter((value, at) => isDecade(value) || at === 0 || at === all.length - 1) : all;
    const [from, to] = [Math.log(all[0]), Math.log(all.at(-1))];
    return { values, at: (value) => (Math.log(value) - from) / (to - from || 1) };
  }
  const values = kind === "bytes" ? byteTicks(top, 3).values : ticks(top, 3);
  return { values, at: (value) => value / (values.at(-1) || 1) };
}

export class Chart {
  /** `kind`: of the upright axis; `show(value)`: its words; `seek(line, at)` is told where people press. */
  constructor({ title, note, kind, show, seek }) {
    Object.assign(this, { title, kind, show, seek, lines: [] });
    this.canvas = el("canvas", { class: "fs-canvas fs-race-chart", role: "img" });
    this.tip = el("p", { class: "fs-curve-tip" });
    this.root = el("figure", { class: "fs-curve" }, el("figcaption", {}, el("h4", { text: title }), el("span", { class: "fs-card-note", text: note })), this.canvas, this.tip);
    this.size = keptSize(this.canvas);
    const move = (event) => {
      const length = this.#lengthAt(event);
      if (length === null) return;
      if (event.type === "pointerdown" || event.buttons & 1) this.#seek(length);
      this.#tell(length);
    };
    for (const kind of ["pointerdown", "pointermove"]) this.canvas.addEventListener(kind, move);
    this.canvas.addEventListener("pointerleave", () => say(this.tip, ""));
  }

  /**
   * `lines`: `[{name, color, isDashed, xs, ys, at}]`, `ys` null where nothing is known, `at` the cursor's place in them;
   * `right`: the longest text; `level`: a value with a line of its own; `mark`: `{x, words}`, an upright one.
   */
  draw({ lines, right, colors, level = null, mark = null, words = "" }) {
    Object.assign(this, { lines, right });
    if (this.canvas.getAttribute("aria-label") !== words) this.canvas.setAttribute("aria-label", words);
    const ends = [...lines.map(({ ys }) => endsOf(ys)), ...(level === null ? [] : [[level, level]])];
    const [low, top] = [Math.min(...ends.map(([least]) => least)), Math.max(0, ...ends.map(([, most]) => most))];
    this.across = ticks(right, 5, 1);
    writtenCanvas(this.canvas, (context, width, height) => {
      const axis = axisOf(this.kind, low, top);
      const x = (value) => PAD.left + (value / this.across.at(-1)) * (width - PAD.left - PAD.right);
      const y = (value) => height - PAD.bottom - axis.at(value) * (height - PAD.top - PAD.bottom);
      context.font = `11px ${fontOf(this.canvas, colors)}`;
      this.#grid(context, axis, x, y, width, height, colors);
      if (level !== null) stroke(context, [[PAD.left, y(level)], [width - PAD.right, y(level)]], colors.ink, 1, [2, 3]);
      if (mark) this.#mark(context, mark, x, height, width, colors);
      for (const line of lines) this.#line(context, line, x, y, colors);
    }, this.size);
  }

  #grid(context, axis, x, y, width, height, colors) {
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const value of axis.values) {
      context.fillStyle = colors.line;
      context.fillRect(PAD.left, Math.round(y(value)), width - PAD.left - PAD.right, 1);
      context.fillStyle = colors.muted;
      context.fillText(this.show(value), PAD.left - 6, y(value));
    }
    context.textAlign = "center";
    const each = Math.max(1, Math.ceil((this.across.length * 48) / (width - PAD.left)));
    this.across.forEach((value, at) => {
      if (at % each === 0) context.fillText(count(value), Math.min(width - 16, x(value)), height - 9);
    });
  }

  #mark(context, { x: length, words }, x, height, width, colors) {
    const at = x(length);
    stroke(context, [[at, PAD.top], [at, height - PAD.bottom]], colors.accent, 1.2, [4, 3]);
    context.fillStyle = colors.accent;
    const isLeft = at > width * 0.7;
    context.textAlign = isLeft ? "right" : "left";
    context.fillText(words, at + (isLeft ? -5 : 5), PAD.top + 4);
  }

  #line(context, { xs, ys, at, color, isDashed }, x, y, colors) {
    const points = (from, to) => {
      const found = [];
      let pixel = -1;
      for (let place = from; place <= to; place++) {
        if (ys[place] === null || ys[place] === undefined) continue;
        const px = x(xs[place]);
        if (Math.floor(px) === pixel && place !== to) continue; // one point a pixel
        pixel = Math.floor(px);
        found.push([px, y(ys[place])]);
      }
      return found;
    };
    const dash = isDashed ? [5, 3] : [];
    context.globalAlpha = PALE;
    stroke(context, points(Math.max(0, at), xs.length - 1), color, 1.8, dash);
    context.globalAlpha = 1;
    const walked = points(0, at);
    stroke(context, walked, color, 2, dash);
    if (!walked.length) return;
    context.beginPath();
    context.arc(...walked.at(-1), 4, 0, 2 * Math.PI);
    context.fillStyle = color;
    context.fill();
    context.strokeStyle = colors.surface;
    context.lineWidth = 1.5;
    context.stroke();
  }

  #lengthAt(event) {
    if (!this.lines.length || !this.across) return null;
    const share = (inside(event, this.canvas)[0] - PAD.left) / (this.canvas.clientWidth - PAD.left - PAD.right);
    return Math.max(0, Math.min(1, share)) * this.across.at(-1);
  }

  #seek(length) {
    const line = this.lines.reduce((most, one) => (one.xs.length > most.xs.length ? one : most));
    const at = line.xs.findLastIndex((x) => x <= length);
    if (line.xs.length) this.seek(line, Math.max(0, at));
  }

  #tell(length) {
    const parts = this.lines.flatMap(({ name, xs, ys }) => {
      const at = xs.findLastIndex((x) => x <= length);
      return at >= 0 && ys[at] !== null && ys[at] !== undefined ? [`${name ? `${name} ` : ""}${this.show(ys[at])} at ${count(xs[at])} tokens`] : [];
    });
    say(this.tip, parts.join(" · "));
  }
}

const known = new WeakMap(); // values -> their ends: a line that grows is another one

/** The smallest and the largest that is known. */
function endsOf(values) {
  if (!known.has(values)) {
    known.set(values, values.reduce(([least, most], value) => (value === null ? [least, most] : [Math.min(least, value), Math.max(most, value)]), [Infinity, 0]));
  }
  return known.get(values);
}

function stroke(context, points, color, width, dash) {
  if (!points.length) return;
  context.beginPath();
  points.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.setLineDash(dash);
  context.strokeStyle = color;
  context.lineWidth = width;
  context.lineJoin = "round";
  context.stroke();
  context.setLineDash([]);
  context.lineWidth = 1;
}
