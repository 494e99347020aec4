// The board of "Self and cross": one run of an encoder-decoder model, its two caches side by side at the cursor.

import { Board, attachBoard } from "./board.js";
import { hasPool } from "./caches.js";
import { isDark } from "./color.js";
import { digestOf } from "./counters.js";
import { crossAt, crossSentence, readers, selfAt, selfSentence, topOf } from "./crossedfacts.js";
import { EMPTY, WORDS, build } from "./crossedparts.js";
import { SourceTable } from "./crossedsource.js";
import { el, mark, say } from "./dom.js";
import { EvictShelf } from "./evictshelf.js";
import { bytes, narrate, plural } from "./format.js";
import { Growing } from "./growing.js";
import { MemoryStrip } from "./memory.js";
import { page } from "./page.js";
import { Pool } from "./pool.js";
import { Timeline } from "./timeline.js";

const TEXTS = 24; // paths whose text is shown
const NO_POOL = "Here every path keeps a self-attention cache of its own: there are no shared slots. Choose copy-on-write under Cache and backend to see some.";

/** `examples`: the recorded ones. */
export function attach(host, examples) {
  const run = (name) => host.trigger("select", { preset: name, token: page.asked("cross") });
  attachBoard("cross", host, (element, heal) => new Crossed(element, { heal, examples, run }));
}

/** The board's one run; the board itself shows it. */
class Run extends Growing {
  constructor() {
    super();
    Object.assign(this, { key: "run", word: "the run", parts: { root: el("div", {}), badge: el("span", {}) } });
    this.setState("waiting");
  }

  taken() {}

  grown() {}
}

class Crossed extends Board {
  constructor(host, { heal, examples, run }) {
    super(host, { name: "cross", parts: build(), heal, words: WORDS });
    const { parts } = this;
    const invalidate = () => this.invalidate();
    this.path = this.pointed = null; // paths: chosen, pointed at
    this.slot = null; // pointed at
    const seek = (step) => this.active && this.cursor.seek(this.active, step);
    this.timeline = new Timeline(parts.timeline, { seek, invalidate, point: () => {}, select: () => {} }, { toEnd: () => this.player.toLive() });
    this.pool = new Pool(parts.pool, parts.tip, { invalidate, point: (subject) => this.#set("slot", subject?.slot ?? null), select: () => {} }, parts.poolTools);
    this.strip = new MemoryStrip(parts.strip, { seek });
    this.source = new SourceTable(parts.source, { choose: (path) => this.#choose(path), take: (path) => this.#set("path", path), point: (path) => this.#set("pointed", path) });
    this.shelf = new EvictShelf(parts.shelf, examples, {
      show: (example, runs) => this.showRuns(runs, example), run, refuse: (words) => this.words.alert(words),
    });
  }

  get active() {
    return this.all[0] ?? null;
  }

  /** A recorded run, `[{log}]`. Whether it is shown. */
  showRuns(entries, { title, caption, name }) {
    const runs = this.admit(entries, { least: 1, most: 1, few: "This run has no step yet." });
    if (!runs) return false;
    this.#fill({ live: false, example: name });
    this.active.show(runs[0].log, "recorded");
    this.#title(title, caption);
    this.#taken();
    this.atEnd("");
    this.#digest();
    this.player.autoplay();
    return true;
  }

  start({ preset }) {
    this.#fill({ live: true, example: preset ?? null });
  }

  told({ batch }) {
    if (batch?.seq !== 0) return;
    this.#title(batch.title, "");
    this.#taken();
  }

  news(message) {
    super.news(message);
    if (!message.done) this.words.say("Running …");
  }

  finish(how) {
    super.finish(how);
    this.#digest();
  }

  /** Escape: no path is chosen. */
  select() {
    this.#set("path", null);
  }

  #fill({ live, example }) {
    this.shelf.settle(example);
    this.begin([new Run()], { live });
    this.path = this.pointed = this.slot = null;
    this.cursor.show(this.all);
  }

  /** The run has begun: its source is known. */
  #taken() {
    const { log, parts } = this;
    for (const view of [this.timeline, this.pool, this.strip, this.source]) view.reset(log);
    const isPool = hasPool(log) || log.header.config.cache.backend === "cow";
    parts.noPool.hidden = isPool;
    say(parts.noPool, NO_POOL);
    parts.digest.textContent = "";
  }

  #title(heading, caption) {
    const { log, parts } = this;
    const { model, config } = log?.header ?? {};
    this.words.title(heading, model ? `${model.name} on ${model.device}, ${config.cache.backend}: ${plural(log.source.length, "source token")}, at most ${plural(config.branching.max_paths, "path")}` : EMPTY.note);
    parts.caption.textContent = caption;
    parts.caption.hidden = !caption;
  }

  async #digest() {
    const { log } = this;
    const digest = log?.length ? await digestOf(log) : null;
    if (log === this.log) this.parts.digest.textContent = digest ? `tree ${digest.slice(0, 12)}` : "";
  }

  #set(name, value) {
    if (this[name] === value) return;
    this[name] = value;
    this.invalidate();
  }

  #choose(path) {
    this.#set("path", this.path === path ? null : path);
  }

  paint() {
    const { log, colors, parts, player } = this;
    if (!log) return;
    const state = log.at(this.active.cursor);
    const reading = readers(log, state);
    const chosen = [this.pointed, this.path, reading[0]?.path].find((path) => reading.some((one) => one.path === path)) ?? null;
    const isHeld = (path) => path !== null && path === chosen;
    const cross = crossAt(log, state);
    const self = selfAt(state);
    say(parts.cross, crossSentence(cross));
    say(parts.self, selfSentence(self, state.rows.length, parts.noPool.hidden));
    this.#bytes({ cross: cross.nbytes, crossCopies: cross.copies, self: self.nbytes, selfCopies: self.copies });
    this.source.draw({ readers: reading, chosen, isStored: cross.nbytes > 0, log });
    const isMoving = player.playing || player.following;
    const focus = this.#focus(state, isHeld(this.pointed) || isHeld(this.path) ? chosen : null);
    if (parts.noPool.hidden) this.pool.draw({ log, state, colors, focus, isMoving, isFast: false });
    this.strip.draw({ state, colors });
    this.#texts(state, chosen);
    this.tell(parts.narration, narrate(log, state.cursor));
    this.timeline.draw({ log, state, colors, isDark: isDark(), focus: null });
  }

  /** The slots of a path, and the one that is pointed at. */
  #focus(state, path) {
    const row = state.rows.find((one) => one.path === path);
    return { slots: row ? new Set(state.visible(row)) : null, slot: this.slot ?? -1, paths: row ? [path] : [] };
  }

  #bytes(found) {
    const { parts, log } = this;
    const top = topOf(log);
    for (const [name, { bar, value }] of Object.entries(parts.bytes)) {
      const width = `${((found[name] / top) * 100).toFixed(2)}%`;
      if (bar.style.width !== width) bar.style.width = width;
      say(value, bytes(found[name]));
      mark(value, "data-value", String(found[name]));
    }
  }

  #texts(state, chosen) {
    const { log, parts } = this;
    const rows = state.rows.slice(0, TEXTS);
    const held = (path) => (this.slot === null ? false : state.rows.some((row) => row.path === path && state.sees(row, this.slot)));
    const key = JSON.stringify([state.cursor, chosen, this.slot, log.length]);
    if (parts.texts.dataset.key === key && this.drawn === log) return;
    parts.texts.dataset.key = key;
    this.drawn = log;
    const focused = parts.texts.contains(document.activeElement) ? document.activeElement.dataset.path : null;
    parts.texts.replaceChildren(...rows.map(({ path, node }) => el("li", {},
      el("button", { type: "button", class: `fs-two-path${held(path) ? " is-lit" : ""}`, "data-path": path, "aria-pressed": String(path === this.path), onclick: () => this.#choose(path) },
        el("b", { text: `path ${path}` }), el("span", { text: node < 0 ? "nothing yet" : log.textOf(node) })))),
    ...(state.rows.length > rows.length ? [el("li", { class: "fs-card-note", text: `and ${plural(state.rows.length - rows.length, "more path")}` })] : []));
    if (focused !== null) parts.texts.querySelector(`[data-path="${focused}"]`)?.focus({ preventScroll: true });
  }
}
