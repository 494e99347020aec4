// Bytes over time: what the paths need in one cache each, what is allocated, what is in use.

import { inside, sharpCanvas } from "./dom.js";
import { bytes } from "./format.js";

const PAD = { left: 4, right: 4, top: 8, bottom: 4 };

/** Per-step bytes of a log: `{logical, allocated, unique}` arrays, and the largest of all. */
export function series(log) {
  const pick = (name) => log.steps.map((step) => Math.max(step.memory[name], step.memory_forward[name]));
  const lines = { logical: pick("kv_logical_nbytes"), allocated: pick("kv_nbytes"), unique: pick("kv_live_nbytes") };
  return { ...lines, top: Math.max(1, ...lines.logical, ...lines.allocated) };
}

export class MemoryStrip {
  constructor(canvas, { seek }) {
    this.canvas = canvas;
    this.log = null;
    const jump = (event) => {
      if (!this.log?.length || (event.type === "pointermove" && !(event.buttons & 1))) return;
      const share = (inside(event, canvas)[0] - PAD.left) / (canvas.clientWidth - PAD.left - PAD.right);
      seek(Math.round(share * (this.log.length - 1)));
    };
    canvas.addEventListener("pointerdown", jump);
    canvas.addEventListener("pointermove", jump);
  }

  reset(log) {
    this.log = log;
    this.length = -1;
  }

  /** `top`: bytes at the upper edge, where several strips share one scale. */
  draw({ state, colors }, top = 0) {
    if (!this.log) return;
    if (this.length !== this.log.length) {
      this.lines = series(this.log);
      this.length = this.log.length;
    }
    sharpCanvas(this.canvas, (context, width, height) => {
      const steps = Math.max(1, this.log.length - 1);
      const x = (step) => PAD.left + (step / steps) * (width - PAD.left - PAD.right);
      const y = (value) => height - PAD.bottom - (value / Math.max(top, this.lines.top)) * (height - PAD.top - PAD.bottom);
      const until = Math.max(0, state.cursor);
      area(context, this.lines.unique, x, y, until, colors.unique);
      line(context, this.lines.allocated, x, y, until, colors.allocated, []);
      line(context, this.lines.logical, x, y, until, colors.logical, [4, 3]);
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
      context.font = `10.5px ${getComputedStyle(this.canvas).fontFamily}`;
      context.fillText(`max ${bytes(this.lines.top)}`, 7, 15);
    });
  }
}

function path(context, values, x, y, until) {
  context.beginPath();
  for (let step = 0; step <= until && step < values.length; step++) {
    if (step === 0) context.moveTo(x(0), y(values[0]));
    else context.lineTo(x(step), y(values[step]));
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
