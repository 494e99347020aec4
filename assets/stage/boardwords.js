// What a board says of itself: its state, its title, one line on how things stand, what went wrong.

import { entropyPosition, isDark } from "./color.js";
import { say } from "./dom.js";
import { count } from "./format.js";
import { status } from "./page.js";
import { drawLegend } from "./tree.js";

const BADGES = { loading: "waiting", live: "running live", done: "finished", stopped: "stopped", failed: "failed" };
const ENDS = { done: "Done.", stopped: "Stopped. The cache is freed; what came stays here.", failed: "Broken off. What came stays here." };

export class BoardWords {
  /** `words`: what a board's own states are called, `empty` and `recorded` among them. A board without `parts.legend` shows no entropy. */
  constructor(parts, words) {
    Object.assign(this, { parts, badges: { ...BADGES, ...words } });
    this.rest = "empty"; // the state to go back to when a wait comes to nothing
    this.threshold = null;
    this.legend();
  }

  /** One plain line on how things stand, here and beside Run. */
  say(words) {
    status(words);
    say(this.parts.status, words);
  }

  /** Why something could not be done; "" takes it away. */
  alert(sentence) {
    this.parts.alert.textContent = sentence;
    this.parts.alert.hidden = !sentence;
  }

  /** What the board as a whole is doing: a state that has a name. */
  stand(how) {
    if (how !== "loading") this.rest = how;
    this.parts.badge.textContent = this.badges[how];
    this.parts.badge.className = `fs-badge is-${how}`;
    this.parts.root.dataset.state = how;
  }

  get isWaiting() {
    return this.parts.root.dataset.state === "loading";
  }

  /** So it stands; while something is waited for, so it will stand if that comes to nothing. */
  restAt(how) {
    if (this.isWaiting) this.rest = how;
    else this.stand(how);
  }

  /** Something was asked for and is waited for. */
  wait() {
    this.alert("");
    this.say("Waiting for the device …");
    this.stand("loading");
  }

  /** No more will come: "done", "stopped" or "failed". */
  end(how) {
    this.say(ENDS[how]);
    this.stand(how);
  }

  /** What was waited for will not come, and `why`: what stood before stands again. */
  giveUp(why) {
    this.say(why);
    this.stand(this.rest);
  }

  title(heading, note, threshold = null) {
    this.parts.heading.textContent = heading;
    this.parts.note.textContent = this.parts.note.title = note;
    this.threshold = threshold;
    this.legend();
  }

  /** The title of a comparison of backends, from the first batch of one of them. */
  describe({ title, header: { config, model } }) {
    const { entropy_threshold: threshold, branch_factor: children, max_paths: paths } = config.branching;
    this.title(title, `${model.name} on ${model.device}, ${model.dtype}: seed ${config.sampling.seed}, forks at entropy ${threshold}, `
      + `${children} children, at most ${paths} paths, ${count(config.limits.max_new_tokens)} tokens each`, threshold);
  }

  legend() {
    if (this.parts.legend) drawLegend(this.parts.legend, this.threshold, isDark(), entropyPosition);
  }
}
