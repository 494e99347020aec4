// One stage: every view of one run under one time cursor. Mount as many on a page as needed.

import { entropyPosition, isDark, palette } from "./color.js";
import { el } from "./dom.js";
import { bytes, count, memorySentence, narrate } from "./format.js";
import { Inspector } from "./inspector.js";
import { bindKeys } from "./keys.js";
import { Layers } from "./layers.js";
import { Log, PROMPT, parseTrace } from "./log.js";
import { MemoryStrip } from "./memory.js";
import { Player } from "./player.js";
import { Pool } from "./pool.js";
import { skeleton } from "./skeleton.js";
import { watchTheme } from "./theme.js";
import { Tree, drawLegend } from "./tree.js";

/**
 * Put a stage into `host`. Options: `heal(run, seq)` (a promise of the missing batch). Returns the `Stage`.
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
    this.pinned = null;
    this.pointed = null; // {id, slot} under the pointer
    this.frame = 0;
    this.drawn = 0; // frames drawn, for measurements
    this.left = new Set(); // live runs that were stopped, or left for another: nothing of them is taken
    const point = (id, slot = null) => this.point(id, slot);
    const select = (id) => this.select(id);
    const { parts } = this;
    this.player = new Player(parts.player, () => this.invalidate());
    this.tree = new Tree(parts.tree, { hover: point, select, touched: () => this.#leaveFollow() });
    this.pool = new Pool(parts.pool, parts.tip, { hover: point, select });
    this.layers = new Layers(parts.layers, { hover: point });
    this.memory = new MemoryStrip(parts.memory, { seek: (cursor) => this.player.seek(cursor) });
    this.inspector = new Inspector(parts.inspector);
    this.#listen(host);
    this.clear();
  }

  /** Forget the run; the page waits for one. */
  clear() {
    this.#begin(null, null, { live: false });
  }

  /** Show a finished run: a `Log`, or the text of a trace file. `note` goes under the title. */
  load(trace, { title = "", note = "", name, autoplay = true, details = {} } = {}) {
    const log = trace instanceof Log ? trace : parseTrace(trace, name);
    this.#begin(log, `file:${title}`, { live: false });
    this.describe({ badge: "recorded", title, note, details });
    this.player.grow(log.length);
    if (autoplay) this.player.autoplay();
    else this.player.seek(log.length - 1);
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
    }
    for (const step of batch.steps) if (step.index === this.log.length) this.log.append(step);
    this.player.grow(this.log.length);
    if (batch.details) this.describe({ details: batch.details });
    if (batch.done) this.finish();
    this.invalidate();
    return true;
  }

  /** Stop was pressed: what came stays, what is still on its way is not taken. */
  stop() {
    this.left.add(this.run);
    this.finish("stopped");
  }

  /** No more steps will come. */
  finish(badge = "done") {
    this.player.finish();
    this.describe({ badge });
  }

  describe({ badge, title, note, details }) {
    const { parts } = this;
    if (badge) {
      parts.badge.textContent = BADGES[badge];
      parts.badge.className = `fs-badge is-${badge}`;
    }
    if (title !== undefined) parts.title.textContent = title ?? "";
    if (note !== undefined) parts.note.textContent = note ?? "";
    if (details) this.#details(details);
  }

  /** One sentence for the person; "" takes it away. */
  say(sentence) {
    this.parts.alert.textContent = sentence;
    this.parts.alert.hidden = !sentence;
  }

  point(id, slot = null) {
    if (id === (this.pointed?.id ?? null) && slot === (this.pointed?.slot ?? null)) return;
    this.pointed = id === null && slot === null ? null : { id, slot };
    this.invalidate();
  }

  select(id, focus = false) {
    this.pinned = id;
    this.tree.choose(id, focus);
    this.invalidate();
  }

  fit() {
    this.tree.fit();
    this.#showFollow();
  }

  follow() {
    this.tree.following = true;
    this.#showFollow();
    this.invalidate();
  }

  isVisible() {
    return this.parts.root.isConnected && this.parts.root.offsetParent !== null;
  }

  invalidate() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    if (!this.isVisible()) return;
    const { parts, player, log } = this;
    this.colors ??= palette(parts.root);
    if (!log) return;
    const state = log.at(player.cursor);
    const id = this.pointed?.id ?? this.pinned;
    this.tree.draw(state);
    this.tree.light(id);
    const { lit, own } = this.#lit(state, id);
    this.pool.draw(state, this.colors, lit, own);
    this.layers.draw(state, this.colors, lit, own);
    this.memory.draw(state, this.colors);
    this.inspector.draw(log, state, id ?? this.#front(state), this.pinned !== null && id === this.pinned);
    this.#words(state);
    this.drawn += 1;
  }

  #begin(log, run, { live }) {
    if (this.run !== run) for (const old of [this.run, this.healing]) if (old && old !== run) this.left.add(old);
    this.log = log;
    this.run = run;
    this.pinned = null;
    this.pointed = null;
    this.healing = null;
    for (const view of [this.tree, this.pool, this.layers, this.memory, this.inspector]) view.reset(log);
    this.player.reset({ live });
    this.say("");
    this.parts.root.classList.toggle("is-empty", !log);
    this.#legend();
    this.#showFollow();
    if (log && this.isVisible()) {
      this.layoutNow();
    }
    this.invalidate();
  }

  layoutNow() {
    this.tree.follow(new Log(this.log.header).at(-1), true);
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

  /** Slots the pointed token's path sees, and its own slot. */
  #lit(state, id) {
    if (id === null || id === undefined) return { lit: null, own: this.pointed?.slot ?? -1 };
    if (id === PROMPT) return { lit: new Set(this.log.prompt.map((token) => token.slot)), own: -1 };
    const lit = new Set(this.log.prompt.map((token) => token.slot));
    for (const at of this.log.lineage(id)) {
      const { slot } = this.log.nodes[at];
      if (state.holds(slot, at + 1)) lit.add(slot);
    }
    const { slot } = this.log.nodes[id];
    return { lit, own: state.holds(slot, id + 1) ? slot : (this.pointed?.slot ?? -1) };
  }

  /** What the inspector shows when nothing is pointed at: the first live path's newest token. */
  #front(state) {
    if (state.rows.length) return state.rows[0].node;
    const ended = this.log.ends.filter((end) => end.step <= state.cursor && end.status !== "pruned");
    return ended[0]?.node ?? PROMPT;
  }

  #words(state) {
    const { parts, log } = this;
    const words = narrate(log, state.cursor);
    const isMoving = this.player.playing || this.player.following;
    parts.narration.setAttribute("aria-live", isMoving ? "off" : "polite"); // five a second is no speech
    if (parts.narration.textContent !== words) parts.narration.textContent = words;
    const memory = state.memory;
    const hasPool = log.head.numPrompt > 0 || log.length === 0;
    parts.sentence.textContent = memorySentence(memory, hasPool);
    parts.poolNote.textContent = memory && hasPool
      ? `${count(memory.shared_kv_tokens)} shared · ${count(memory.private_kv_tokens)} private · ${count(memory.capacity - memory.unique_kv_tokens)} free`
      : "";
    parts.memoryNote.textContent = memory
      ? `in use ${bytes(memory.kv_live_nbytes)} · allocated ${bytes(memory.kv_nbytes)} · one cache a path ${bytes(memory.kv_logical_nbytes)}`
      : "";
    parts.noPool.hidden = hasPool;
    parts.noPool.textContent = hasPool ? "" : `Backend “${log.header.config.cache.backend}” keeps no shared pool, so there are no slots to draw.`;
  }

  #details(details) {
    const { header } = this.log ?? {};
    const rows = header
      ? {
          model: `${header.model.name} (${header.model.architecture}, ${count(header.model.num_parameters)} parameters)`,
          backend: header.config.cache.backend,
          device: `${header.model.device}, ${header.model.dtype}`,
          seed: String(header.config.sampling.seed),
          threshold: String(header.config.branching.entropy_threshold),
          ...details,
        }
      : details;
    this.parts.details.replaceChildren(...Object.entries(rows).flatMap(([name, value]) =>
      [el("dt", { text: name }), el("dd", { text: String(value), "data-detail": name })]));
  }

  #legend() {
    const threshold = this.log?.header.config.branching.entropy_threshold ?? null;
    drawLegend(this.parts.legend, threshold, isDark(), entropyPosition);
  }

  #leaveFollow() {
    this.tree.following = false;
    this.#showFollow();
  }

  #showFollow() {
    this.parts.follow.setAttribute("aria-pressed", String(this.tree.following));
  }

  #listen(host) {
    const { parts } = this;
    parts.fit.addEventListener("click", () => this.fit());
    parts.zoomIn.addEventListener("click", () => this.tree.zoom(1.25));
    parts.zoomOut.addEventListener("click", () => this.tree.zoom(0.8));
    parts.follow.addEventListener("click", () => (this.tree.following ? this.#leaveFollow() : this.follow()));
    const resized = new ResizeObserver(() => this.invalidate());
    for (const part of [parts.root, parts.pool, parts.layers, parts.memory, parts.tree]) resized.observe(part);
    watchTheme(() => {
      this.colors = null;
      this.#legend();
      this.invalidate();
    });
    bindKeys(this);
    host.addEventListener("dragover", (event) => event.preventDefault());
    host.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files[0]) this.open(event.dataTransfer.files[0]);
    });
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

const BADGES = { recorded: "recorded run", live: "running live", done: "live run, finished", stopped: "stopped" };
