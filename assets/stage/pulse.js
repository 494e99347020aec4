// The copy-on-write moment, moving: a dot from the shared slot to the first private one. Own canvas, own frames,
// and none of them once it has arrived.

import { el, isStill, sharpCanvas } from "./dom.js";

const LASTS = 600; // milliseconds
const APART = 180; // milliseconds between two steps, below which nobody could follow it
const FRAME = 30; // milliseconds between two drawings

export class Pulse {
  constructor(canvas) {
    this.canvas = el("canvas", { class: "fs-canvas fs-pulse", "aria-hidden": "true" });
    canvas.after(this.canvas);
    this.moves = [];
    this.frame = 0;
    this.began = this.asked = this.painted = -Infinity;
  }

  /** Move a dot along each of `moves`: `[[x, y], [x, y]]` in pixels. Not where people want no motion. */
  start(moves, color, size) {
    const now = performance.now();
    const isTooSoon = now - this.asked < APART;
    this.asked = now;
    if (!moves.length || isTooSoon || isStill()) {
      if (!moves.length || isTooSoon) this.stop();
      return;
    }
    Object.assign(this, { moves, color, size, began: now, painted: -Infinity });
    this.canvas.dataset.moves = String(moves.length);
    if (!this.frame) this.frame = requestAnimationFrame((at) => this.#tick(at));
  }

  stop() {
    if (!this.moves.length) return;
    this.moves = [];
    delete this.canvas.dataset.moves;
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    sharpCanvas(this.canvas, () => {});
  }

  #tick(now) {
    const share = (now - this.began) / LASTS;
    if (share >= 1) {
      this.stop();
      return;
    }
    if (now - this.painted >= FRAME) {
      this.painted = now;
      this.#paint(Math.max(0, share));
    }
    this.frame = requestAnimationFrame((at) => this.#tick(at));
  }

  #paint(share) {
    const along = 1 - (1 - share) ** 3;
    sharpCanvas(this.canvas, (context) => {
      context.strokeStyle = context.fillStyle = this.color;
      context.lineWidth = 1.5;
      for (const [[x, y], [toX, toY]] of this.moves) {
        const [atX, atY] = [x + (toX - x) * along, y + (toY - y) * along];
        context.globalAlpha = 0.55 * (1 - share);
        context.beginPath();
        context.moveTo(x, y);
        context.lineTo(atX, atY);
        context.stroke();
        context.beginPath();
        context.arc(toX, toY, this.size * (0.5 + 0.9 * share), 0, 2 * Math.PI);
        context.stroke();
        context.globalAlpha = 1 - 0.5 * share;
        context.beginPath();
        context.arc(atX, atY, Math.max(2, this.size * 0.24), 0, 2 * Math.PI);
        context.fill();
      }
      context.globalAlpha = 1;
    });
  }
}
