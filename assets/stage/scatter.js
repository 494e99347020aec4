// What a sketch says against what is true, a point a stored token; on the diagonal it is right.

import { el, fontOf, inside, keptSize, say, sharpCanvas } from "./dom.js";
import { count, plural } from "./format.js";
import { ticks } from "./scale.js";
import { leavingWords } from "./sketchgrid.js";

export const KEYS = [
  { keys: "← →", words: "the token counted less, counted more", where: "in estimate against exact" },
  { keys: "Enter", words: "pin it", where: "in estimate against exact" },
];
const PAD = { left: 48, right: 8, top: 8, bottom: 30 };
const REACH = 12; // pixels around a point in which the pointer meets it

/** What is drawn: points by rising true value, both axes' end, the bound if it is in the picture, the largest error. */
export function scatterOf({ estimates, exact, columns = [], error_bound: bound = null }) {
  const points = exact.map((x, entry) => ({ entry, x, y: estimates[entry] })).sort((a, b) => a.x - b.x);
  const most = Math.max(0, ...points.map(({ x, y }) => Math.max(x, y)));
  const axis = ticks(most || 1, 4);
  const worst = points.reduce((far, one) => (Math.abs(one.y - one.x) > Math.abs(far.y - far.x) ? one : far), points[0] ?? { x: 0, y: 0 });
  const confidence = 1 - Math.exp(-columns.length); // with which an estimate keeps the bound
  return { points, confidence, ticks: axis, top: axis.at(-1), bound, isBoundInside: bound !== null && bound < axis.at(-1), worst, least: Math.min(0, ...points.map(({ y }) => y)) };
}

export class Scatter {
  /** `point(code)`, `pin(code)`. */
  constructor(host, actions) {
    this.actions = actions;
    this.canvas = el("canvas", { class: "fs-scatter", tabindex: 0, role: "application", "aria-label": "Estimate against exact: arrow keys move between tokens, Enter pins" });
    this.words = el("p", { class: "fs-sketch-told", "aria-live": "polite" });
    host.append(this.canvas, this.words);
    this.size = keptSize(this.canvas);
    new ResizeObserver(() => actions.invalidate()).observe(this.canvas);
    this.canvas.addEventListener("pointermove", (event) => this.#show(this.#near(event)));
    this.canvas.addEventListener("pointerleave", () => this.#show(null));
    this.canvas.addEventListener("click", () => this.#pin());
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => this.#show(null));
    this.reset();
  }

  reset() {
    this.at = this.plot = this.told = null; // at: an entry of the evidence
  }

  /** `told` as the counters get it; its evidence has exact values. */
  draw({ told, colors, lit, pinned }) {
    if (this.told !== told) this.at = this.#again(told); // another step: the same token may stand elsewhere
    this.told = told;
    if (!told?.evidence.exact?.length) return;
    this.plot = scatterOf(told.evidence);
    sharpCanvas(this.canvas, (context, width, height) => this.#paint(context, width, height, colors, [lit, pinned]), this.size);
    Object.assign(this.canvas.dataset, { points: this.plot.points.length, bound: this.plot.bound ?? "" });
    say(this.words, this.at === null ? this.#summary() : this.#words(this.told.evidence));
  }

  #again(told) {
    if (this.at === null || !told) return null;
    const { slots, positions } = this.told.evidence;
    const found = told.evidence.slots.findIndex((slot, entry) => slot === slots[this.at] && told.evidence.positions[entry] === positions[this.at]);
    return found < 0 ? null : found;
  }

  #words({ positions, exact, estimates }) {
    return `${this.told.name(this.at)} at ${count(positions[this.at])}: exact ${exact[this.at].toFixed(4)}, estimate ${estimates[this.at].toFixed(4)}`;
  }

  #scale(width, height) {
    const { top, least } = this.plot;
    const span = top - least;
    return {
      x: (value) => PAD.left + ((value - least) / span) * (width - PAD.left - PAD.right),
      y: (value) => height - PAD.bottom - ((value - least) / span) * (height - PAD.top - PAD.bottom),
    };
  }

  #paint(context, width, height, colors, wanted) {
    const { points, ticks: axis, top, least, bound, isBoundInside } = this.plot;
    const { x, y } = this.#scale(width, height);
    context.font = `10.5px ${fontOf(this.canvas, colors)}`;
    context.lineWidth = 1;
    for (const value of axis) {
      context.strokeStyle = colors.line;
      line(context, x(least), y(value), x(top), y(value));
      line(context, x(value), y(least), x(value), y(top));
      context.fillStyle = colors.muted;
      context.textAlign = "right";
      context.textBaseline = "middle";
      context.fillText(String(value), PAD.left - 5, y(value));
      context.textAlign = "center";
      context.textBaseline = "top";
      context.fillText(String(value), x(value), height - PAD.bottom + 4);
    }
    context.fillText("exact attention gathered, summed over heads and queries", (PAD.left + width - PAD.right) / 2, height - 12);
    context.save();
    context.translate(1, (PAD.top + height - PAD.bottom) / 2);
    context.rotate(-Math.PI / 2);
    context.fillText("estimate", 0, 0);
    context.restore();
    context.strokeStyle = colors.muted;
    line(context, x(least), y(least), x(top), y(top));
    if (isBoundInside) {
      context.strokeStyle = colors.accent;
      context.setLineDash([5, 4]);
      line(context, x(least), y(least + bound), x(top - bound), y(top));
      context.setLineDash([]);
    }
    for (const { entry, x: exact, y: estimate } of points) {
      const isLit = entry === this.at || (wanted.includes(this.told.codes[entry]) && this.told.codes[entry] !== 0);
      context.beginPath();
      context.arc(x(exact), y(estimate), isLit ? 5 : 3, 0, 2 * Math.PI);
      context.globalAlpha = isLit ? 1 : 0.62;
      context.fillStyle = isLit ? colors.accent : colors.ink;
      context.fill();
    }
    context.globalAlpha = 1;
    context.textAlign = "left";
  }

  #summary() {
    const { points, bound, isBoundInside, worst, confidence } = this.plot;
    const error = worst.y - worst.x;
    const off = Math.abs(error) < 1e-6 ? "every estimate is exact" : `largest error ${error > 0 ? "+" : ""}${error.toFixed(4)}`;
    const line = bound === null ? "" : `; ${isBoundInside ? "dashed: " : ""}the error bound, +${bound.toFixed(3)}, which an estimate keeps with probability ${confidence.toFixed(2)}`
      + `${isBoundInside ? "" : ", lies above the picture"}`;
    return `${plural(points.length, "token")}, ${off}${line}${leavingWords(this.told)}.`;
  }

  #near(event) {
    if (!this.plot) return null;
    const [px, py] = inside(event, this.canvas);
    const { x, y } = this.#scale(this.size.width, this.size.height);
    const far = this.plot.points.map((one) => ({ entry: one.entry, far: Math.hypot(x(one.x) - px, y(one.y) - py) })).sort((a, b) => a.far - b.far);
    return far[0]?.far <= REACH ? far[0].entry : null;
  }

  #show(entry) {
    if (entry === this.at) return;
    this.at = entry;
    this.actions.point(entry === null ? null : this.told.codes[entry] || null);
    this.actions.invalidate();
  }

  #pin() {
    if (this.at !== null) this.actions.pin(this.told.codes[this.at] || null);
  }

  #key(event) {
    if (!this.plot || event.ctrlKey || event.metaKey || event.altKey) return;
    const { points } = this.plot;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Enter") this.#pin();
    else if (by) this.#show(points[Math.max(0, Math.min(points.length - 1, points.findIndex(({ entry }) => entry === this.at) + by))].entry);
    else return;
    event.preventDefault();
  }
}

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
