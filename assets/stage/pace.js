// How fast steps come, and what may wait where they come fast: the panels beside the tree have their turn three times
// in two seconds, together with a frame of the stage, and what is read, not watched, once a second: nobody reads faster.

const FAST = 160; // milliseconds a step, below which steps come fast,
const RUSH = 50; // ... and below which nobody could read what they bring
const KEPT = 3; // moments from which it is taken
const STILL = 400; // ... after which, should no step come, what was left for later is drawn
const TURN = 660; // milliseconds between two turns,
const READ = 960; // ... and between two of what is read, where steps come fast
const SLACK = 160; // milliseconds that a turn waits for a frame to go along with

export class Pace {
  /** `draw()`: a turn has come, and no frame of the stage with it. */
  constructor(draw) {
    this.draw = draw;
    this.panels = new Turns(draw);
    this.readings = new Turns(draw);
    this.reset();
  }

  reset() {
    clearTimeout(this.still);
    this.cursor = -1;
    this.moments = []; // where the cursor was last, and when it came there: {cursor, at}
    this.panels.reset();
    this.readings.reset();
  }

  /** The cursor stands at step `cursor`. */
  at(cursor) {
    if (cursor === this.cursor) return;
    this.cursor = cursor;
    this.moments = [...this.moments.slice(1 - KEPT), { cursor, at: performance.now() }];
    clearTimeout(this.still);
    if (this.isFast) this.still = setTimeout(this.draw, STILL);
  }

  /** Milliseconds a step, till now; Infinity as long as nobody knows, which takes `least` moments. */
  #step(least) {
    const [first, last] = [this.moments[0], this.moments.at(-1)];
    const way = this.moments.length >= least ? last.cursor - first.cursor : 0;
    return way > 0 ? (performance.now() - first.at) / way : Infinity;
  }

  get isFast() {
    return this.#step(2) < FAST;
  }

  get isRush() {
    return this.#step(KEPT) < RUSH;
  }

  /** The next turn may not wait. */
  hurry() {
    this.panels.hurry();
    this.readings.hurry();
  }

  /** Whether the panels are drawn now; where they `mayWait` they may be drawn later. */
  isTurn(mayWait) {
    return this.panels.isDue(mayWait ? TURN : 0);
  }

  /** The same for what is read; it waits longer while steps come fast. */
  isReading(mayWait) {
    return this.readings.isDue(mayWait ? (this.isFast ? READ : TURN) : 0);
  }
}

class Turns {
  constructor(draw) {
    this.draw = draw;
    this.reset();
  }

  reset() {
    clearTimeout(this.later);
    this.hurry();
  }

  hurry() {
    this.last = -Infinity;
  }

  /** Whether one is due, `every` so many milliseconds; else it will be. */
  isDue(every) {
    const now = performance.now();
    const wait = this.last + every - now;
    clearTimeout(this.later);
    if (every && wait > 0) this.later = setTimeout(this.draw, wait + SLACK);
    else this.last = now;
    return !every || wait <= 0;
  }
}
