// How fast steps come, and what may wait where they come fast: what is read, not watched, has its turn a few times a
// second, together with a frame of the stage.

const FAST = 160; // milliseconds a step, below which steps come fast,
const RUSH = 50; // ... and below which nobody could read what they bring
const KEPT = 3; // moments from which it is taken
const READ = 480; // milliseconds between two turns of what is read
const SLACK = 160; // milliseconds that a turn waits for a frame to go along with

export class Pace {
  /** `draw()`: the turn of what is read has come, and no frame of the stage with it. */
  constructor(draw) {
    this.draw = draw;
    this.reset();
  }

  reset() {
    clearTimeout(this.later);
    this.cursor = -1;
    this.moments = []; // where the cursor was last, and when it came there: {cursor, at}
    this.readAt = -Infinity;
  }

  /** The cursor stands at step `cursor`. */
  at(cursor) {
    if (cursor === this.cursor) return;
    this.cursor = cursor;
    this.moments = [...this.moments.slice(1 - KEPT), { cursor, at: performance.now() }];
  }

  /** Milliseconds a step; Infinity as long as nobody knows, which takes `least` moments. */
  #step(least) {
    const [first, last] = [this.moments[0], this.moments.at(-1)];
    const way = this.moments.length >= least ? last.cursor - first.cursor : 0;
    return way > 0 ? (last.at - first.at) / way : Infinity;
  }

  get isFast() {
    return this.#step(2) < FAST;
  }

  get isRush() {
    return this.#step(KEPT) < RUSH;
  }

  /** The next turn may not wait. */
  hurry() {
    this.readAt = -Infinity;
  }

  /** Whether what is read is drawn now; where it `mayWait` it may be drawn later. */
  isTurn(mayWait) {
    const now = performance.now();
    const wait = mayWait ? this.readAt + READ - now : 0;
    clearTimeout(this.later);
    if (wait > 0) this.later = setTimeout(this.draw, wait + SLACK);
    else this.readAt = now;
    return wait <= 0;
  }
}
