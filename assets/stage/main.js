// One stage: every view of one run under one time cursor. Mount as many on a page as needed.

import { BADGES, drawDetails, drawWords } from "./caption.js";
import { isDark, palette } from "./color.js";
import { Inspector } from "./inspector.js";
import { bindKeys } from "./keys.js";
import { Layers } from "./layers.js";
import { Log, parseTrace } from "./log.js";
import { marks } from "./marks.js";
import { MemoryStrip } from "./memory.js";
import { OriginLine } from "./origin.js";
import { Multiverse } from "./multiverse.js";
import { Minimap } from "./minimap.js";
import { Player } from "./player.js";
import { Pool } from "./pool.js";
import { Projector } from "./projector.js";
import { NodeTable } from "./rows.js";
import { Shape } from "./shape.js";
import { ShapeKey } from "./shapekey.js";
import { VIEWS, skeleton } from "./skeleton.js";
import { focusOn, isSame } from "./subject.js";
import { TextView } from "./text.js";
import { watchTheme } from "./theme.js";
import { Threshold } from "./threshold.js";
import { Timeline } from "./timeline.js";
import { Tools } from "./tools.js";
import { Tree } from "./tree.js";
import { trialOf } from "./whatif.js";

const READ = 240; // milliseconds between two drawings of what is read

/**
 * Put a stage into `host`. Options: `heal(run, seq)` (a promise of the missing batch), `request(kind, data)`
 * (ask the server side for something), `opened(stage)` and `ended(stage)` (a run began here, or ended).
 */
export function mount(host, options = {}) {
  return new Stage(host, options);
}

export class Stage {
  constructor(host, options) {
    this.options = options;
    this.parts = skeleton(host);
    this.log = null;
    this.run = null;
    this.title = this.note = "";
    this.details = {};
    this.pinned = null; // subjects
    this.pointed = null;
    this.tau = null; // a threshold that is tried out
    this.shape = new Shape(); // what of the tree is shown, and in what order
    this.view = "tree";
    this.frame = 0;
    this.readAt = -Infinity; // when what is read was drawn last
    this.drawn = 0; // frames drawn, for measurements
    this.left = new Set(); // live runs that were stopped, or left for another: nothing of them is taken
    this.actions = {
      point: (subject) => this.point(subject),
      select: (subject, how) => this.select(subject, how),
      seek: (step) => this.player.seek(step),
      tryTau: (value) => this.tryTau(value),
      reshape: () => this.invalidate(),
      invalidate: () => this.invalidate(),
      request: (kind, data) => options.request?.(kind, data),
      say: (sentence) => this.say(sentence),
    };
    const { parts, actions } = this;
    this.player = new Player(parts.player, () => this.invalidate(), undefined, { marks: () => marks(this.log) });
    this.tree = new Tree(parts.tree, actions);
    this.tools = new Tools(parts.tools, actions);
    this.timeline = new Timeline(parts.timeline, actions, { toEnd: () => this.player.toLive() });
    this.pool = new Pool(parts.pool, parts.tip, actions, parts.poolTools);
    this.inspector = new Inspector(parts.inspector, actions);
    this.views = { // of the tree: the one that is shown is drawn
      tree: this.tree, text: new TextView(parts.text, actions), multiverse: new Multiverse(parts.multiverse, actions),
      table: new NodeTable(parts.table, actions),
    };
    this.panels = [ // drawn every time; canvases last: their text settles the styles of what was changed before it
      this.tools,
      new ShapeKey(parts.shapes, actions, this.tree),
      new Threshold(parts, actions),
      new OriginLine(parts.origin, actions),
      this.pool,
      new Layers(parts.layers, actions),
      this.timeline,
    ];
    this.readings = [this.inspector, new Projector(parts.projector, options.shapes), new Minimap(parts.minimap, actions, this.tree),
      new MemoryStrip(parts.memory, actions)];
    this.#listen(host);
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
    if ((isNew && (!batch.header || batch.seq > 0)) || (!isNew && batch.seq > this.log.length)) {
      this.#heal(batch);
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
    this.finish(badge);
  }

  /** Something is on its way (a model that loads, a place in line): `words` on the badge, the run shown stays. */
  wait(words) {
    this.parts.root.dataset.state = "loading";
    this.parts.badge.textContent = words;
  }

  /** Nothing came of it, or no more will: why, in a sentence. What was shown stays. */
  fail(sentence) {
    if (this.player.isLive) this.stop("failed");
    else this.describe({ badge: this.badge });
    this.say(sentence);
  }

  /** No more steps will come. */
  finish(badge = "done") {
    this.player.finish();
    this.describe({ badge });
    this.options.ended?.(this);
  }

  describe({ badge, title, note, details }) {
    const { parts } = this;
    if (badge) {
      this.badge = badge;
      parts.badge.textContent = BADGES[badge];
      parts.badge.className = `fs-badge is-${badge}`;
      parts.root.dataset.state = badge;
    }
    if (title !== undefined) parts.title.textContent = this.title = title ?? "";
    if (note !== undefined) parts.note.textContent = this.note = note ?? "";
    if (details) drawDetails(parts.details, this.log, (this.details = details));
  }

  /** One sentence for the person; "" takes it away. */
  say(sentence) {
    this.parts.alert.textContent = sentence;
    this.parts.alert.hidden = !sentence;
  }

  /** Light something up everywhere while it is pointed at; null: nothing. */
  point(subject) {
    if (isSame(subject, this.pointed)) return;
    this.pointed = subject;
    this.invalidate();
  }

  /** Pin something; null lets go. With `reveal` it is brought in sight. */
  select(subject, { reveal = false } = {}) {
    this.pinned = subject;
    const id = subject?.kind === "node" ? subject.id : (this.focus()?.node ?? null);
    this.tree.choose(subject ? id : null, reveal);
    this.invalidate();
  }

  /** What lights up now: what is pointed at, else what is pinned. */
  focus() {
    if (!this.log) return null;
    const state = this.log.at(this.player.cursor);
    return focusOn(this.log, state, this.pointed) ?? focusOn(this.log, state, this.pinned);
  }

  /** Try another threshold on what is shown; null: the run's own again. */
  tryTau(value) {
    this.tau = value;
    this.invalidate();
  }

  /** Show one of the views of the tree: "tree", "text", "multiverse" or "table". */
  show(view) {
    if (!this.views[view]) return;
    this.view = view;
    const { parts } = this;
    for (const name of Object.keys(VIEWS)) parts[name].hidden = name !== view;
    for (const tab of parts.viewTabs.children) {
      const isShown = tab.dataset.view === view;
      tab.setAttribute("aria-selected", String(isShown));
      tab.tabIndex = isShown ? 0 : -1;
    }
    parts.root.dataset.view = view;
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

  isVisible() {
    return this.parts.root.isConnected && this.parts.root.checkVisibility();
  }

  invalidate() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    if (!this.isVisible()) return;
    const { parts, player, log } = this;
    if (!log) return;
    const scene = this.scene();
    this.views[this.view].draw(scene);
    drawWords(parts, scene, player.playing || player.following);
    parts.follow.setAttribute("aria-pressed", String(this.tree.following));
    for (const panel of this.panels) panel.draw(scene);
    this.#drawReadings(scene);
    this.drawn += 1;
  }

  /** What is read, not watched, is drawn a few times a second while steps come fast and nothing is in focus. */
  #drawReadings(scene) {
    const now = performance.now();
    const isMoving = this.player.playing || this.player.following;
    const wait = isMoving && !scene.focus ? this.readAt + READ - now : 0;
    clearTimeout(this.later);
    if (wait > 0) {
      this.later = setTimeout(() => this.log && this.isVisible() && this.#drawReadings(this.scene()), wait);
      return;
    }
    this.readAt = now;
    for (const panel of this.readings) panel.draw(scene);
  }

  /** Everything that views draw from. */
  scene() {
    const { log, player, pinned, tau, shape } = this;
    const state = log.at(player.cursor);
    this.colors ??= palette(this.parts.root);
    return {
      trial: trialOf(log, state.cursor, tau), badge: this.badge,
      log, state, pinned, tau, shape, dead: log.dead(state.cursor), colors: this.colors, isDark: isDark(), focus: this.focus(),
    };
  }

  #begin(log, run, { live }) {
    if (this.run !== run) for (const old of [this.run, this.healing]) if (old && old !== run) this.left.add(old);
    this.log = log;
    this.run = run;
    this.pinned = this.pointed = this.tau = this.healing = null;
    this.shape.reset();
    for (const view of [...Object.values(this.views), ...this.panels, ...this.readings]) view.reset(log);
    this.player.reset({ live });
    this.say("");
    this.parts.root.classList.toggle("is-empty", !log);
    if (log && this.isVisible()) this.tree.follow(new Log(log.header).at(-1), true);
    this.invalidate();
  }

  /** Ask for what is missing, once at a time; the newest batch is asked for again with it. */
  #heal(batch) {
    if (this.healing === batch.run || !this.options.heal) return;
    this.healing = batch.run;
    const from = batch.run === this.run ? this.log.length : 0;
    this.options.heal(batch.run, from).then((missing) => {
      this.healing = null;
      if (missing?.run) this.apply(missing);
    }).catch(() => {
      this.healing = null; // the next batch asks again
    });
  }

  #listen(host) {
    const { parts } = this;
    parts.fit.addEventListener("click", () => this.fit());
    parts.zoomIn.addEventListener("click", () => this.tree.zoom(1.25));
    parts.zoomOut.addEventListener("click", () => this.tree.zoom(0.8));
    parts.follow.addEventListener("click", () => this.follow());
    for (const tab of parts.viewTabs.children) tab.addEventListener("click", () => this.show(tab.dataset.view));
    parts.viewTabs.addEventListener("keydown", (event) => this.#tabKey(event));
    const resized = new ResizeObserver(() => this.invalidate());
    for (const part of [parts.root, parts.pool, parts.layers, parts.memory, parts.tree]) resized.observe(part);
    watchTheme(() => {
      this.colors = null;
      this.invalidate();
    });
    bindKeys(this);
    host.addEventListener("dragover", (event) => event.preventDefault());
    host.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files[0]) this.open(event.dataTransfer.files[0]);
    });
  }

  /** Arrow keys move between the tabs of the views. */
  #tabKey(event) {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    const tabs = [...this.parts.viewTabs.children];
    const tab = tabs.at((tabs.indexOf(event.target) + way) % tabs.length);
    this.show(tab.dataset.view);
    tab.focus();
    event.preventDefault();
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
