// The whole run on one strip: memory as a curve, what happened as marks, and the cursor: it is the scrubber.

import { el, inside, keptSize, sharpCanvas } from "./dom.js";
import { bytes } from "./format.js";
import { KINDS, binWords, bins, marks, stepWords } from "./marks.js";
import { drawSeries, series } from "./memory.js";

export const KEYS = [
  { keys: "← →", words: "one step back, one on", where: "on the timeline" },
  { keys: "PageUp PageDown", words: "ten steps back, ten on", where: "on the timeline" },
  { keys: "Home End", words: "first step, newest step", where: "on the timeline" },
  { keys: "Enter", words: "pin what happened in this step", where: "on the timeline" },
];

const PAD = 9; // pixels left and right of the first and last step
const LANE = 9.5; // pixels of a lane of marks
const TOP = 3;
const GAP = 9; // pixels between two marks of one lane, below which they are one
const REACH = 7; // pixels around a mark in which the pointer meets it
const BESIDE = 5; // pixels right of the cursor that the marks of its own step may take
const FAR = 10; // steps of PageUp and PageDown

/** The step under pixel `x` of a strip of `width` pixels over `length` steps. */
export function stepAtPixel(x, width, length) {
  const share = (x - PAD) / Math.max(1, width - 2 * PAD);
  return Math.max(0, Math.min(length - 1, Math.round(share * (length - 1))));
}

export class Timeline {
  /** `toEnd()`: the newest step, and back to live where the run is. */
  constructor(host, actions, { toEnd }) {
    this.actions = actions;
    this.toEnd = toEnd;
    this.log = null;
    this.cursor = -1;
    this.picture = document.createElement("canvas"); // all but the cursor, made once the run grows no more
    this.canvas = el("canvas", {
      class: "fs-timeline-strip", tabindex: 0, role: "slider", "aria-label": "Step, on a timeline of the run",
      "aria-valuemin": 0, "aria-orientation": "horizontal",
    });
    this.tip = el("div", { class: "fs-tip fs-timeline-tip", hidden: true, "aria-hidden": "true" });
    host.append(this.canvas, this.tip);
    this.size = keptSize(this.canvas);
    new ResizeObserver(() => actions.invalidate()).observe(this.canvas);
    this.#listen();
  }

  reset(log) {
    this.log = log;
    this.cursor = -1;
    this.key = "";
    this.tip.hidden = true;
  }

  draw({ log, state, colors, isDark, focus }) {
    this.cursor = state.cursor;
    this.#say(log, state);
    sharpCanvas(this.canvas, (context, width, height) => {
      if (!log.length || !width) return;
      this.#compose(context, log, colors, isDark, width, height);
      const x = this.#x(width, log.length);
      const at = x(Math.max(0, state.cursor));
      context.globalAlpha = 0.62; // what the cursor has not reached
      context.fillStyle = colors.surface;
      context.fillRect(at + BESIDE, 0, width - at, height);
      context.globalAlpha = 1;
      const pointed = focus?.step ?? (focus && focus.node !== null && focus.node >= 0 ? log.nodes[focus.node].step : null);
      if (pointed !== null) tick(context, x(pointed), height, colors.ink);
      hand(context, at, height, colors);
    }, this.size);
  }

  #x(width, length) {
    return (step) => PAD + (step / Math.max(1, length - 1)) * (width - 2 * PAD);
  }

  /** Curve and marks: from the picture, unless the run has grown, or the strip or its colours have changed. */
  #compose(context, log, colors, isDark, width, height) {
    const { width: pixels, height: rows } = this.canvas;
    const key = [log.length, pixels, rows, isDark].join();
    if (key !== this.key) {
      context.save();
      this.#paint(context, log, colors, width, height);
      context.restore();
      this.isPictured = false;
    } else {
      if (!this.isPictured) {
        Object.assign(this.picture, { width: pixels, height: rows });
        const paper = this.picture.getContext("2d");
        paper.scale(pixels / width, rows / height);
        this.#paint(paper, log, colors, width, height);
        this.isPictured = true;
      }
      context.drawImage(this.picture, 0, 0, width, height);
    }
    this.key = key;
  }

  #paint(context, log, colors, width, height) {
    const x = this.#x(width, log.length);
    const list = marks(log);
    const kinds = Object.keys(KINDS).filter((kind) => kind !== "evict" || list.some((mark) => mark.kind === "evict"));
    const floor = TOP + kinds.length * LANE + 4; // where the curve's top is
    const lines = series(log);
    const y = (value) => height - 2 - (value / lines.top) * (height - floor - 2);
    drawSeries(context, lines, { x, y, until: log.length - 1, colors });
    this.lanes = kinds.map((kind, lane) => {
      const middle = TOP + (lane + 0.5) * LANE;
      context.fillStyle = colors.line;
      context.fillRect(PAD, middle, width - 2 * PAD, 1);
      const found = bins(list, kind, x, GAP).map((bin) => ({ ...bin, x: x(bin.from), mark: merged(bin) }));
      for (const bin of found) SHAPES[kind](context, bin.x, middle + 0.5, bin.marks.length > 1 ? 3.9 : 3.1, colors);
      return { kind, middle, bins: found };
    });
  }

  #say(log, state) {
    const at = Math.max(0, state.cursor);
    const happened = stepWords(marks(log), at);
    const used = state.memory ? `; ${bytes(state.memory.kv_live_nbytes)} in use` : "";
    const words = log.length ? `step ${at} of ${log.length - 1}${happened && `: ${happened}`}${used}` : "no steps";
    if (words === this.words) return;
    this.words = words;
    this.canvas.setAttribute("aria-valuemax", Math.max(0, log.length - 1));
    this.canvas.setAttribute("aria-valuenow", at);
    this.canvas.setAttribute("aria-valuetext", words);
  }

  #listen() {
    const { canvas, actions } = this;
    const seek = (event) => {
      const [x] = inside(event, canvas);
      const step = this.#binAt(event)?.step ?? stepAtPixel(x, canvas.clientWidth, this.log.length);
      if (step >= this.log.length - 1) this.toEnd();
      else this.#seek(step);
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.log?.length || event.button) return;
      canvas.setPointerCapture(event.pointerId);
      seek(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.log?.length) return;
      this.#hover(event);
      if (event.buttons & 1) seek(event);
    });
    canvas.addEventListener("pointerleave", () => {
      this.tip.hidden = true;
      actions.point(null);
    });
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    if (!this.log?.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.log.length - 1;
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: -FAR, PageDown: FAR }[event.key];
    if (by) this.#seek(Math.max(0, Math.min(last, this.cursor + by)));
    else if (event.key === "Home") this.#seek(0);
    else if (event.key === "End") this.toEnd();
    else if (event.key === "Enter") this.actions.select({ kind: "step", step: Math.max(0, this.cursor) });
    else return;
    event.preventDefault();
  }

  /** Two keys may come before one frame. */
  #seek(step) {
    this.cursor = step;
    this.actions.seek(step);
  }

  /** The mark under the pointer: the nearest of the lane it is in. */
  #binAt(event) {
    const [x, y] = inside(event, this.canvas);
    const lane = this.lanes?.find(({ middle }) => Math.abs(y - middle) <= LANE / 2);
    const near = (lane?.bins ?? []).filter((bin) => Math.abs(bin.x - x) <= REACH);
    return near.sort((a, b) => Math.abs(a.x - x) - Math.abs(b.x - x))[0] ?? null;
  }

  #hover(event) {
    const bin = this.#binAt(event);
    const [x] = inside(event, this.canvas);
    const width = this.canvas.clientWidth;
    const step = stepAtPixel(x, width, this.log.length);
    this.tip.textContent = bin ? binWords(bin) : `step ${step}: ${bytes(series(this.log).unique[step])} in use`;
    this.tip.hidden = false;
    const left = (bin?.x ?? x) - this.tip.offsetWidth / 2;
    this.tip.style.left = `${Math.max(0, Math.min(width - this.tip.offsetWidth, left))}px`;
    this.actions.point(bin ? { kind: "step", step: bin.step, mark: bin.mark } : null);
  }
}

/** One mark that stands for all of a bin. */
function merged(bin) {
  if (bin.marks.length === 1) return bin.marks[0];
  const all = (name) => [...new Set(bin.marks.flatMap((mark) => mark[name]))];
  return { step: bin.step, kind: bin.kind, count: bin.count, nodes: all("nodes"), paths: all("paths"), pooled: bin.marks[0].pooled };
}

/** A shape a kind, told apart without colour: ring, diamond, cross, square, triangle. The tree's own shapes. */
const SHAPES = {
  fork: (context, x, y, r, colors) => {
    context.beginPath();
    context.arc(x, y, r, 0, 2 * Math.PI);
    paint(context, colors.surface, colors.ink);
  },
  copy: (context, x, y, r, colors) => {
    context.beginPath();
    context.moveTo(x, y - r - 0.5);
    context.lineTo(x + r + 0.5, y);
    context.lineTo(x, y + r + 0.5);
    context.lineTo(x - r - 0.5, y);
    context.closePath();
    paint(context, colors.accent, colors.accent);
  },
  prune: (context, x, y, r, colors) => {
    context.beginPath();
    context.moveTo(x - r, y - r);
    context.lineTo(x + r, y + r);
    context.moveTo(x + r, y - r);
    context.lineTo(x - r, y + r);
    paint(context, null, colors.muted);
  },
  finish: (context, x, y, r, colors) => {
    context.beginPath();
    context.rect(x - r, y - r, 2 * r, 2 * r);
    paint(context, colors.surface, colors.ink);
  },
  evict: (context, x, y, r, colors) => {
    context.beginPath();
    context.moveTo(x - r, y - r);
    context.lineTo(x + r, y - r);
    context.lineTo(x, y + r);
    context.closePath();
    paint(context, colors.muted, colors.ink);
  },
};

function paint(context, fill, stroke) {
  context.lineWidth = 1.4;
  if (fill) {
    context.fillStyle = fill;
    context.fill();
  }
  context.strokeStyle = stroke;
  context.stroke();
  context.lineWidth = 1;
}

/** Where what is pointed at was made. */
function tick(context, x, height, color) {
  context.fillStyle = color;
  context.globalAlpha = 0.55;
  context.fillRect(x - 0.75, 0, 1.5, height);
  context.globalAlpha = 1;
}

function hand(context, x, height, colors) {
  context.fillStyle = colors.accent;
  context.fillRect(x - 0.75, 0, 1.5, height);
  context.beginPath();
  context.roundRect(x - 4, height - 11, 8, 11, 3);
  context.fill();
}
