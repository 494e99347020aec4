// A run that comes batch by batch, or whole, and its own clock: what every panel of a board is.

import { endTimes } from "./clock.js";
import { isTree } from "./counters.js";
import { Log } from "./log.js";

const BADGES = {
  waiting: "waiting", running: "running", done: "done", stopped: "stopped", failed: "failed", never: "did not run", recorded: "recorded",
};

/** Its panel has `parts` with `root` and `badge`, and hears `taken(log)` when a run begins, `grown()` when it has more steps. */
export class Growing {
  constructor() {
    this.log = null;
    this.times = []; // seconds from its start to the end of each step
    this.cursor = -1;
    this.isTree = true;
  }

  get length() {
    return this.times.length;
  }

  get steps() {
    return this.log?.steps ?? [];
  }

  /** A run that has ended, whole. */
  show(log, state) {
    this.#take(log);
    this.isTree = isTree(log);
    this.grow();
    this.setState(state);
  }

  /** Take a batch of this run's steps; false where something before it is missing. */
  apply(batch) {
    if (batch.header && batch.seq === 0 && !this.log) this.#take(new Log(batch.header));
    if (!this.log || batch.seq > this.log.length) return false;
    for (const step of batch.steps) if (step.index === this.log.length) this.log.append(step);
    this.grow();
    if (batch.done) this.setState("done");
    else if (this.state === "waiting") this.setState("running"); // not what has ended: a batch may come late
    return true;
  }

  /** Its log has grown. */
  grow() {
    this.times = endTimes(this.log.steps);
    this.grown();
  }

  /** "waiting", "running", "done", "stopped", "failed", "never" or "recorded". */
  setState(state) {
    this.state = state;
    this.parts.badge.textContent = BADGES[state];
    this.parts.root.dataset.state = state;
  }

  /** Nothing more comes of its board: it is `how` if it ran, and never will run if it had not begun. */
  breakOff(how) {
    if (this.state === "running") this.setState(how);
    if (this.state === "waiting") this.setState("never");
  }

  #take(log) {
    this.log = log;
    this.taken(log);
  }
}
