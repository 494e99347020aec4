// Bytes over time: what the paths need in one cache each, what is allocated, what is in use.

import { fontOf, inside, keptSize, writtenCanvas } from "./dom.js";
import { bytes } from "./format.js";
import { isQuantized } from "./weight.js";

const PAD = { left: 4, right: 4, top: 8, bottom: 4 };
const NAMES = { logical: "kv_logical_nbytes", allocated: "kv_nbytes", unique: "kv_live_nbytes" };

const known = new WeakMap(); // log -> its series: a log only grows

/**
 * Per-step bytes of a log, the higher of after the pass and after the decisions: `{logical, allocated, unique}`
 * arrays, and `top`, the largest of all. `copies` is what deep copies would need where that is another figure
 * than `logical`, which counts one cache a path; else null. Of a run that evicts, or stores in fewer bits, `logical`
 * is that figure: its copies would hold as little.
 */
export function series(log) {
  if (!known.has(log)) known.set(log, { logical: [], allocated: [], unique: [], copies: null, top: 1 });
  const lines = known.get(log);
  const { config, model } = log.header;
  const each = isQuantized(log.header) || config.eviction?.policy ? 0 : model.kv_nbytes_per_token;
  for (let at = lines.unique.length; at < log.length; at++) {
    const { memory, memory_forward: forward } = log.steps[at];
    for (const [name, field] of Object.entries(NAMES)) {
      lines[name].push(Math.max(memory[field], forward[field]));
      lines.top = Math.max(lines.top, lines[name][at]);
    }
    const needed = Math.max(memory.logical_kv_tokens, forward.logical_kv_tokens) * each;
    if (lines.copies || (needed && needed !== lines.logical[at])) {
      lines.copies ??= lines.logical.slice(0, at);
      lines.copies.push(needed);
      lines.top = Math.max(lines.top, needed);
    }
  }
  return lines;
}

/** The lines of a series between pixels, up to step `until`. */
export function drawSeries(context, lines, { x, y, until, colors }) {
  area(context, lines.unique, x, y, until, colors.unique);
  line(context, lines.allocated, x, y, until, colors.allocated, []);
  line(context, lines.logical, x, y, until, colors.logical, [4, 3]);
  if (lines.copies) line(context, lines.copies, x, y, until, colors.ink, [1, 3]);
}

/** What a series says of a step, in words. */
export function seriesWords(lines, step) {
  const copies = lines.copies ? ` · deep copies ${bytes(lines.copies[step])}` : "";
  return `in use ${bytes(lines.unique[step])} · allocated ${bytes(lines.allocated[step])} · one cache a path ${bytes(lines.logical[step])}${copies}`;
}

export class MemoryStrip {
  constructor(canvas, { seek }) {
    this.canvas = canvas;
    this.size = keptSize(canvas);
    this.log = null;
    const stepOf = (event) => {
      const share = (inside(event, canvas)[0] - PAD.left) / (canvas.clientWidth - PAD.left - PAD.right);
      return Math.max(0, Math.min(this.log.length - 1, Math.round(share * (this.log.length - 1))));
    };
    const move = (event) => {
      if (!this.log?.length) return;
      const step = stepOf(event);
      if (event.type === "pointerdown" || event.buttons & 1) seek(step);
      canvas.title = `step ${step}: ${seriesWords(series(this.log), step)}`;
    };
    canvas.addEventListener("pointerdown", move);
    canvas.addEventListener("pointermove", move);
  }

  reset(log) {
    this.log = log;
    this.canvas.title = "";
  }

  /** `top`: bytes at the upper edge, where several strips share one scale. */
  draw({ state, colors }, top = 0) {
    if (!this.log) return;
    const lines = series(this.log);
    writtenCanvas(this.canvas, (context, width, height) => {
      const steps = Math.max(1, this.log.length - 1);
      const x = (step) => PAD.left + (step / steps) * (width - PAD.left - PAD.right);
      const y = (value) => height - PAD.bottom - (value / Math.max(top, lines.top)) * (height - PAD.top - PAD.bottom);
      const until = Math.max(0, state.cursor);
      drawSeries(context, lines, { x, y, until, colors });
      context.strokeStyle = colors.line;
      context.strokeRect(0.5, 0.5, width - 1, height - 1);
      context.strokeStyle = colors.accent;
      context.beginPath();
      context.moveTo(x(until), 2);
      context.lineTo(x(until), height - 2);
      context.stroke();
      context.fillStyle = colors.surface;
      context.globalAlpha = 0.75;
      context.fillRect(3, 3, 92, 16);
      context.globalAlpha = 1;
      context.fillStyle = colors.muted;
      context.font = `10.5px ${fontOf(this.canvas, colors)}`;
      context.fillText(`max ${bytes(lines.top)}`, 7, 15);
    }, this.size);
  }
}

/** One point a pixel at most, the highest: long runs stay cheap and lose no peak. */
function path(context, values, x, y, until) {
  context.beginPath();
  let pixel = -1;
  let most = 0;
  for (let step = 0; step <= until && step < values.length; step++) {
    const at = Math.floor(x(step));
    most = at === pixel ? Math.max(most, values[step]) : values[step];
    const isLastOfPixel = step === until || step + 1 >= values.length || Math.floor(x(step + 1)) !== at;
    if (isLastOfPixel) {
      if (pixel === -1 && step === 0) context.moveTo(x(0), y(most));
      else context.lineTo(x(step), y(most));
    }
    pixel = at;
  }
}

function line(context, values, x, y, until, color, dash) {
  path(context, values, x, y, until);
  context.setLineDash(dash);
  context.strokeStyle = color;
  context.lineWidth = 1.6;
  context.stroke();
  context.setLineDash([]);
  context.lineWidth = 1;
}

function area(context, values, x, y, until, color) {
  path(context, values, x, y, until);
  context.lineTo(x(until), y(0));
  context.lineTo(x(0), y(0));
  context.fillStyle = color;
  context.fill();
}
