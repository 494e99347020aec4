// A run's bytes over its steps, small: in use, allocated, and what one cache a path would need.

import { inside, sharpCanvas } from "./dom.js";
import { bytes } from "./format.js";

const PAD = { left: 4, right: 4, top: 8, bottom: 4 };

export class Strip {
  /** `seek(step)` is told where people click or drag. */
  constructor(canvas, { seek }) {
    this.canvas = canvas;
    this.curves = null;
    const jump = (event) => {
      if (!this.curves?.used.length || (event.type === "pointermove" && !(event.buttons & 1))) return;
      const share = (inside(event, canvas)[0] - PAD.left) / (canvas.clientWidth - PAD.left - PAD.right);
      seek(Math.round(Math.max(0, Math.min(1, share)) * (this.curves.used.length - 1)));
    };
    canvas.addEventListener("pointerdown", jump);
    canvas.addEventListener("pointermove", jump);
  }

  /** `curves` as `curvesOf` gives them; `top`: bytes at the upper edge, one for all panels. */
  draw(curves, cursor, top, colors) {
    this.curves = curves;
    sharpCanvas(this.canvas, (context, width, height) => {
      const steps = Math.max(1, curves.used.length - 1);
      const x = (step) => PAD.left + (step / steps) * (width - PAD.left - PAD.right);
      const y = (value) => height - PAD.bottom - (value / top) * (height - PAD.top - PAD.bottom);
      const until = Math.max(0, cursor);
      trace(context, curves.used, x, y, until);
      context.lineTo(x(until), y(0));
      context.lineTo(x(0), y(0));
      context.fillStyle = colors.unique;
      context.fill();
      for (const [values, color, dash] of [[curves.allocated, colors.allocated, []], [curves.logical, colors.logical, [4, 3]]]) {
        trace(context, values, x, y, until);
        context.setLineDash(dash);
        context.strokeStyle = color;
        context.lineWidth = 1.6;
        context.stroke();
      }
      context.setLineDash([]);
      context.lineWidth = 1;
      context.strokeStyle = colors.line;
      context.strokeRect(0.5, 0.5, width - 1, height - 1);
      context.fillStyle = colors.accent;
      context.fillRect(x(until) - 0.5, 2, 1, height - 4);
      this.#peak(context, curves, colors);
    });
  }

  #peak(context, { allocated, logical }, colors) {
    const peak = allocated.reduce((most, value, at) => Math.max(most, value, logical[at]), 0);
    context.fillStyle = colors.surface;
    context.globalAlpha = 0.75;
    context.fillRect(3, 3, 92, 16);
    context.globalAlpha = 1;
    context.fillStyle = colors.muted;
    context.font = `10.5px ${getComputedStyle(this.canvas).fontFamily}`;
    context.fillText(`max ${bytes(peak)}`, 7, 15);
  }
}

function trace(context, values, x, y, until) {
  context.beginPath();
  for (let step = 0; step <= until && step < values.length; step++) {
    if (step === 0) context.moveTo(x(0), y(values[0]));
    else context.lineTo(x(step), y(values[step]));
  }
}
