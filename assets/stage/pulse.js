// The copy-on-write moment, moving: a dot from the shared slot to the first private one. Own canvas, own frames,
// and none of them once all dots have arrived. Dots of later steps set out while earlier ones are on their way.

import { el, isStill, keptSize, sharpCanvas, wipe } from "./dom.js";

const LASTS = 600; // milliseconds
const FRAME = 50; // milliseconds between two drawings: a dot glides, and the page has time for what matters
const ALONG = 150; // ... where steps come fast: dots are drawn with them,
const ALONE = 400; // ... or in a frame of their own, should no step come
export const MOST = 24; // dots on their way at a time, beyond which nobody could follow them

export class Pulse {
  /** `place(slot)`: the middle of a slot as it is drawn now, `[x, y]` in pixels. */
  constructor(canvas, place) {
    this.canvas = el("canvas", { class: "fs-canvas fs-pulse", "aria-hidden": "true" });
    canvas.after(this.canvas);
    this.place = place;
    this.moves = [];
    this.frame = 0;
    this.kept = keptSize(this.canvas);
  }

  /**
   * A dot sets out for each of `moves`, `[slot, slot]`, as far as there is room. Not where people want no motion.
   * `isFast`: steps come fast, and `start` with each of them: dots are drawn then, and need no frames of their own.
   */
  start(moves, color, size, isFast = false) {
    Object.assign(this, { color, size });
    if (isStill()) return;
    this.wait = isFast ? ALONE : FRAME;
    const began = performance.now();
    const fresh = moves.slice(0, MOST - this.moves.length).map(([from, to]) => ({ from, to, began }));
    this.moves.push(...fresh);
    if (!this.moves.length) return;
    this.#tell();
    if (isFast) {
      clearTimeout(this.frame);
      this.#tick(began);
    } else if (!this.frame) this.#next(0);
  }

  /** A frame is made anyway: dots that come along are drawn with it. */
  along() {
    const now = performance.now();
    if (!this.moves.length || this.wait === FRAME || now - this.drawnAt < ALONG) return;
    clearTimeout(this.frame);
    this.#tick(now);
  }

  /** Draw in the frame after `wait` milliseconds; no frame is asked for before. */
  #next(wait) {
    const frame = setTimeout(() => requestAnimationFrame((at) => this.frame === frame && this.#tick(at)), wait);
    this.frame = frame;
  }

  stop() {
    if (!this.moves.length) return;
    this.moves = [];
    this.#tell();
    clearTimeout(this.frame);
    this.frame = 0;
    wipe(this.canvas);
  }

  #tell() {
    if (this.moves.length) this.canvas.dataset.moves = String(this.moves.length);
    else delete this.canvas.dataset.moves;
  }

  #tick(now) {
    const going = this.moves.filter(({ began }) => now - began < LASTS);
    if (!going.length) {
      this.stop();
      return;
    }
    if (going.length < this.moves.length) {
      this.moves = going;
      this.#tell();
    }
    this.drawnAt = now;
    sharpCanvas(this.canvas, (context) => this.moves.forEach((move) => this.#paint(context, move, now)), this.kept);
    this.#next(this.wait);
  }

  #paint(context, { from, to, began }, now) {
    const share = Math.max(0, (now - began) / LASTS);
    const along = 1 - (1 - share) ** 3;
    const [[x, y], [toX, toY]] = [this.place(from), this.place(to)];
    const [atX, atY] = [x + (toX - x) * along, y + (toY - y) * along];
    context.strokeStyle = context.fillStyle = this.color;
    context.lineWidth = 1.5;
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
    context.globalAlpha = 1;
  }
}
