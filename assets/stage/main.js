// One stage: every view of one run under one time cursor. Mount as many on a page as needed.

import { BADGES, drawDetails, drawWords } from "./caption.js";
import { CatchUp } from "./catchup.js";
import { isDark, palette } from "./color.js";
import { isStill, keptSize, mark } from "./dom.js";
import { furnish, listen } from "./furnish.js";
import { Log, parseTrace } from "./log.js";
import { Pace } from "./pace.js";
import { Shape } from "./shape.js";
import { VIEWS, skeleton } from "./skeleton.js";
import { focusOn, isSame } from "./subject.js";
import { markTab } from "./tabs.js";
import { trialOf } from "./whatif.js";

const LAST = 500; // milliseconds for which the last step of a run is seen before the whole tree is

/**
 * Put a stage into `host`. Options: `heal(run, seq)` (a promise of the missing batch), `request(kind, data)`
 * (ask the server side for something), `opened(stage)` and `ended(stage)` (a run began here, or ended), `left()`
 * (a live run gave way to another one: the server need not go on), `waits()` (a run was asked for).
 */
export function mount(host, options = {}) {
  return new Stage(host, options);
}

export class Stage {
  constructor(host, options) {
    this.options = options;
    this.parts = skeleton(host);
    this.size = keptSize(this.parts.root);
    this.log = this.run = null;
    this.title = this.note = "";
    this.details = {};
    this.pinned = this.pointed = null; // subjects
    this.tau = null; // a threshold that is tried out
    this.shape = new Shape(); // what of the tree is shown, and in what order
    this.view = "tree";
    this.frame = this.drawn = 0; // the one asked for; how many there were, for measurements
    this.pace = new Pace(() => this.invalidate());
    this.left = new Set(); // live runs that were stopped, or left for another: nothing of them is taken
    this.actions = {
      point: (subject) => this.point(subject),
      select: (subject, how) => this.select(subject, how),
      seek: (step) => this.player.seek(step),
      tryTau: (value) => this.tryTau(value),
      invalidate: () => this.hurry(),
      request: (kind, data) => options.request?.(kind, data),
      say: (sentence) => this.say(sentence),
    };
    this.catchUp = new CatchUp(options.heal, (batch) => this.apply(batch));
    Object.assign(this, furnish(this));
    listen(this, host);
    this.show("tree");
    this.clear();
  }

  /** Forget the run; the page waits for one. */
  clear() {
    this.#begin(null, null, { live: false });
    this.describe({ badge: "none", title: "", note: "" });
  }

  /** Show a finished run: a `Log`, or the text of a trace file. `note` goes under the title. */
  load(trace, { title = "", note = "", name, badge = "recorded", cursor = null, autoplay = cursor === null, details = {} } = {}) {
    const log = trace instanceof Log ? trace : parseTrace(trace, name);
    this.leave();
    this.#begin(log, `file:${title}`, { live: false });
    this.describe({ badge, title, note, details });
    this.player.grow(log.length);
    if (autoplay) this.player.autoplay();
    else this.player.seek(cursor ?? log.length - 1);
    this.options.opened?.(this);
  }

  /**
   * Take a batch of a live run: `{run, seq, header?, steps, done?, title?, note?, details?}`, `seq` being the
   * index of its first step. Batches that leave a gap are healed through `options.heal`. Whether the run was
   * one to take: not one that was stopped, or left for another.
   */
  apply(batch) {
    if (!batch?.run || this.left.has(batch.run)) return false;
    const isNew = batch.run !== this.run;
    if (!isNew && !(this.player.isLive && (batch.done || batch.seq + batch.steps.length > this.log.length))) return true; // known
    if ((isNew && (!batch.header || batch.seq > 0)) || (!isNew && batch.seq > this.log.length)) {
      this.catchUp.ask(batch, isNew ? 0 : this.log.length);
      return true;
    }
    if (isNew) {
      this.#begin(new Log(batch.header), batch.run, { live: true });
      this.describe({ badge: "live", title: batch.title, note: batch.note, details: {} });
      this.options.opened?.(this);
    }
    for (const step of batch.steps) if (step.index === this.log.length) this.log.append(step);
    this.player.grow(this.log.length);
    if (batch.details) this.describe({ details: batch.details });
    if (batch.done) this.finish();
    this.invalidate();
    return true;
  }

  /** Stop was pressed: what came stays, what is still on its way is not taken. */
  stop(badge = "stopped") {
    this.left.add(this.run);
    this.catchUp.forget();
    this.finish(badge);
  }

  /** Another run is opened, or asked for: the live one is stopped, on the server too. */
  leave() {
    if (!this.player.isLive) return;
    this.stop();
    this.options.left?.();
  }

  /** Something is on its way (a model that loads, a place in line): `words` on the badge, the run shown stays. */
  wait(words) {
    this.parts.badge.className = "fs-badge is-loading";
    this.parts.badge.textContent = words;
    this.options.waits?.();
  }

  /** What was waited for will not come. */
  rest() {
    this.catchUp.forget();
    this.describe({ badge: this.badge });
  }

  /** Nothing came of it, or no more will: why, in a sentence. What was shown stays. */
  fail(sentence, badge = "failed") {
    if (this.player.isLive) this.stop(badge);
    else this.rest();
    this.say(sentence);
  }

  /** No more steps will come. */
  finish(badge = "done") {
    this.player.finish();
    this.describe({ badge });
    this.invalidate();
    this.options.ended?.(this);
  }

  describe({ badge, title, note, details }) {
    const { parts } = this;
    if (badge) {
      this.badge = badge;
      parts.badge.textContent = BADGES[badge];
      parts.badge.className = `fs-badge is-${badge}`;
    }
    if (title !== undefined) parts.title.textContent = this.title = title ?? "";
    if (note !== undefined) parts.note.textContent = this.note = note ?? "";
    if (details) drawDetails(parts.details, this.log, (this.details = details));
  }

  /** One sentence for the person, and what can be done about it (a button); "" takes it away. */
  say(sentence, ...deeds) {
    this.parts.alert.replaceChildren(sentence, ...deeds);
    this.parts.alert.hidden = !sentence;
  }

  /** Light something up everywhere while it is pointed at; null: nothing. */
  point(subject) {
    if (isSame(subject, this.pointed)) return;
    this.pointed = subject;
    this.hurry();
  }

  /** Pin something; null lets go. With `reveal` it is brought in sight. */
  select(subject, { reveal = false } = {}) {
    this.pinned = subject;
    const id = subject?.kind === "node" ? subject.id : this.#focusOn(subject)?.node;
    this.tree.choose(id ?? null, reveal);
    this.hurry();
  }

  /** What lights up now: what is pointed at, else what is pinned. */
  focus() {
    return this.#focusOn(this.pointed) ?? this.#focusOn(this.pinned);
  }

  /** Try another threshold on what is shown; null: the run's own again. */
  tryTau(value) {
    this.tau = value;
    this.hurry();
  }

  /** Show one of the views of the tree: "tree", "text", "multiverse" or "table". */
  show(view) {
    if (!this.views[view]) return;
    this.view = view;
    for (const name of Object.keys(VIEWS)) this.parts[name].hidden = name !== view;
    markTab(this.parts.viewTabs, view);
    this.parts.root.dataset.view = view;
    this.invalidate();
  }

  nextView() {
    const names = Object.keys(VIEWS).filter((name) => this.views[name]);
    this.show(names[(names.indexOf(this.view) + 1) % names.length]);
  }

  fit() {
    this.tree.fit();
    this.invalidate();
  }

  follow() {
    this.tree.following = !this.tree.following;
    this.invalidate();
  }

  /** Known from the size of its element: to ask the page would settle its styles in every frame. */
  isVisible() {
    return this.parts.root.isConnected && (this.size.isKnown ? this.size.width > 0 : this.parts.root.checkVisibility());
  }

  invalidate() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  /** What somebody did is seen in the next frame, in all panels. */
  hurry() {
    this.pace.hurry();
    this.invalidate();
  }

  draw() {
    this.frame = 0;
    const { parts, player, log } = this;
    if (!log || !this.isVisible()) return;
    const scene = this.scene();
    this.#finale();
    this.views[this.view].draw(scene);
    mark(parts.follow, "aria-pressed", String(this.tree.following));
    const isTurn = this.pace.isTurn(scene.isMoving);
    if (isTurn || !scene.isFast) {
      player.draw();
      drawWords(parts, scene, scene.isMoving);
      for (const panel of this.panels) panel.draw(scene);
    } else this.pool.pulse.along();
    if (this.pace.isReading(scene.isMoving)) for (const panel of this.readings) panel.draw(scene);
    this.drawn += 1;
  }

  /** A run that was followed to its end is shown whole, once, when its last step was seen. */
  #finale() {
    if (!this.player.isPlayedOut) return;
    this.player.isPlayedOut = false;
    clearTimeout(this.later);
    const { log } = this;
    this.later = setTimeout(() => {
      const isEnd = this.log === log && this.player.cursor === log.length - 1 && !this.player.isLive;
      if (isEnd && this.tree.following) this.fit();
    }, isStill() ? 0 : LAST);
  }

  /** Everything that views draw from. */
  scene() {
    const { log, player, pinned, tau, shape } = this;
    const state = log.at(player.cursor);
    this.colors ??= palette(this.parts.root);
    this.pace.at(player.cursor);
    const isMoving = player.playing || player.following;
    return {
      trial: trialOf(log, state.cursor, tau), badge: this.badge, isMoving, isFast: isMoving && this.pace.isFast, isRush: isMoving && this.pace.isRush,
      log, state, pinned, tau, shape, dead: log.dead(state.cursor), colors: this.colors, isDark: isDark(), focus: this.focus(),
    };
  }

  #focusOn(subject) {
    return this.log && subject ? focusOn(this.log, this.log.at(this.player.cursor), subject) : null;
  }

  #begin(log, run, { live }) {
    if (this.run !== run) for (const old of [this.run, this.catchUp.run]) if (old && old !== run) this.left.add(old);
    this.log = log;
    this.run = run;
    this.pinned = this.pointed = this.tau = null;
    this.catchUp.forget();
    this.pace.reset();
    this.shape.reset();
    for (const view of [...Object.values(this.views), ...this.panels, ...this.readings]) view.reset(log);
    this.player.reset({ live });
    this.say("");
    this.parts.root.classList.toggle("is-empty", !log);
    if (log && this.isVisible()) this.tree.follow(new Log(log.header).at(-1), true);
    this.invalidate();
  }

  /** A trace file from this computer, read in the browser; false: another kind of file, nothing changed. */
  async open(file) {
    try {
      const log = parseTrace(await file.text(), file.name);
      this.load(log, { title: file.name, note: "opened from this computer" });
      return true;
    } catch (error) {
      this.say(`${error.message} Open a .jsonl file that Forkscope recorded.`);
      return false;
    }
  }
}
