// The board of a comparison: a panel a run, one cursor over all, what it comes to when runs have ended.

import { ORDER, RUNS, build, introduce } from "./board.js";
import { entropyPosition, isDark, palette } from "./color.js";
import { resultOf } from "./counters.js";
import { Cursor } from "./cursor.js";
import { Curves } from "./curves.js";
import { count, plural } from "./format.js";
import { bindKeys } from "./keys.js";
import { PROMPT } from "./log.js";
import { page, status } from "./page.js";
import { Panel } from "./panel.js";
import { Picker } from "./picker.js";
import { Places } from "./places.js";
import { tellPlace } from "./race.js";
import { Results } from "./results.js";
import { MOST_RUNS, sideBySide } from "./sidebyside.js";
import { sources } from "./sources.js";
import { watchTheme } from "./theme.js";
import { drawLegend } from "./tree.js";

const HEIGHTS = [140, 184, 420]; // pixels of the panels' trees: least, usual, most
const BADGES = {
  waiting: "waiting", live: "running live", done: "finished", stopped: "stopped", failed: "failed", recorded: "runs side by side",
};

/**
 * A gr.HTML host becomes the board: messages come as JSON in `props.value`, gaps heal through `server`.
 * `backends`: `[{name, title, about}]`, all there are.
 */
export function attach({ element, props, watch, server }, backends) {
  const heal = async (run, seq) => JSON.parse(await server.events_since({ run, seq }));
  const board = new Board(element.querySelector(".fs-host"), { heal, backends });
  page.stages.compare = board;
  const take = () => props.value && board.take(JSON.parse(props.value));
  watch("value", take);
  take();
  page.waiting.compare?.(board);
}

export class Board {
  constructor(host, { heal, backends }) {
    this.heal = heal;
    this.backends = new Map(backends.map((one) => [one.name, one]));
    this.healing = new Set();
    this.id = null;
    this.height = HEIGHTS[1];
    this.pointed = null; // {panel, id}
    this.pinned = null;
    this.isWaiting = true; // asked for, and nothing has come
    this.frame = 0;
    this.parts = build();
    this.parts.panels.append(...backends.map(introduce));
    host.append(this.parts.root);
    this.cursor = new Cursor(this.parts, () => this.invalidate());
    this.places = new Places(this.parts, () => this.#placed());
    const seek = (panel, step) => this.cursor.seek(panel, step);
    this.curves = new Curves(this.parts.curves, { seek });
    this.results = new Results(this.parts, (panel, node) => this.#showNode(panel, node));
    this.picker = new Picker(this.parts.picker, { sources, show: (entries) => this.showRuns(entries), say: (words) => this.#alert(words) });
    this.callbacks = {
      seek, point: (panel, id) => this.#point(panel, id), select: (panel, id) => this.#pin(panel, id),
      act: (panel, deed) => this.places.act(panel, deed), drop: (key, onto) => this.places.drop(key, onto),
    };
    this.#listen();
    this.#legend();
  }

  get player() {
    return this.cursor.player;
  }

  /** Every panel, also hidden ones; and those that are shown, in their order. */
  get all() {
    return this.places.all;
  }

  get panels() {
    return this.places.shown;
  }

  /** A message of the server: a word (`status`), why nothing came of it (`alert`), or news of a run. */
  take(message) {
    if (message.status) this.#say(message.status);
    if (message.alert) {
      this.isWaiting = page.isWaiting = false;
      this.#alert(message.alert);
      if (this.player.isLive) this.finish(message.failed ? "failed" : "stopped");
      else {
        this.#say("Nothing was run; what you saw before is still here.");
        this.#stand(message.failed ? "failed" : this.rest);
      }
    }
    if (message.compare && message.compare !== this.stopped) this.#news(message);
  }

  /** Compare was pressed. */
  queued() {
    this.#alert("");
    page.queued();
    this.#say("Waiting for the device …");
    this.isWaiting = true;
    this.#stand("waiting");
  }

  /** Stop was pressed: what runs is over, and what waits will not begin, whatever is still on its way. */
  stop() {
    if (this.player.isLive) this.finish("stopped");
    else if (this.isWaiting) {
      page.isWaiting = false;
      this.#say("Stopped before anything ran.");
      this.#stand(this.rest);
    }
    this.isWaiting = false;
  }

  /** No more will come: all have run (`done`), Stop was pressed (`stopped`), or it broke off (`failed`). */
  finish(how) {
    if (how === "done") this.#say("Done.");
    else {
      this.stopped = this.id;
      for (const panel of this.all) {
        if (panel.state === "running") panel.setState(how);
        if (panel.state === "waiting") panel.setState("never");
      }
      this.#say(how === "failed" ? "Broken off. What came stays here." : "Stopped. The cache is freed; what came stays here.");
    }
    this.#stand(how);
    this.player.finish();
    this.#sync();
  }

  /**
   * Hold runs that have ended against each other: 2 to 4 of `{title, note, log}`, from their logs alone.
   * While a comparison runs nothing changes but a sentence. Whether they are shown.
   */
  showRuns(entries) {
    if (this.player.isLive) {
      this.#alert("A comparison is running; stop it first.");
      return false;
    }
    const runs = entries.filter(({ log }) => log?.length).slice(0, MOST_RUNS);
    if (runs.length < 2) {
      this.#alert("Choose at least two runs that have a step.");
      return false;
    }
    this.id = this.warmUp = this.threshold = null;
    this.isWaiting = false;
    const { kinds, heading, note } = sideBySide(runs);
    this.#begin(kinds, RUNS, { live: false });
    this.all.forEach((panel, at) => {
      panel.show(runs[at].log, "recorded");
      panel.result = resultOf(panel.log);
    });
    this.results.digests(this.all, () => this.#conclude());
    this.parts.heading.textContent = heading;
    this.parts.note.textContent = note;
    this.#legend();
    this.#say(`${plural(runs.length, "run")} side by side.`);
    this.#stand("recorded");
    this.#sync();
    this.player.seek(this.player.length - 1);
    return true;
  }

  isVisible() {
    return this.parts.root.isConnected && this.parts.root.offsetParent !== null;
  }

  /** The panel that the keyboard is in, else the first: what the arrow keys move in. */
  get active() {
    return this.panels.find((panel) => panel.parts.root.contains(document.activeElement)) ?? this.panels[0];
  }

  get log() {
    return this.active?.log ?? null;
  }

  /** What `bindKeys` asks a stage's tree for. */
  get tree() {
    const panel = this.active;
    return {
      svg: panel?.parts.tree,
      selected: panel && this.pinned ? idIn(panel, this.pinned) : null,
      layout: panel?.silhouette.layout,
      zoom: (factor) => this.#resize(this.height * factor),
    };
  }

  /** Pin a token of the active panel; null: let go. What the cursor has not reached cannot be pinned. */
  select(subject) {
    const panel = this.active;
    const id = subject?.id ?? null;
    if (!panel || (id !== null && panel.log.node(id).step > panel.cursor)) return;
    this.#pin(panel, id);
  }

  fit() {
    this.#resize(HEIGHTS[1]);
  }

  follow() {
    this.player.toLive();
  }

  invalidate() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    if (!this.isVisible()) return;
    this.colors ??= palette(this.parts.root);
    this.picker.refresh();
    const { panels } = this;
    const scale = this.#scale(panels);
    for (const panel of panels) panel.draw(this.colors, scale, this.#litIn(panel));
    this.curves.draw(panels, this.cursor.mode);
    const words = tellPlace(panels, this.player.cursor, this.cursor.mode);
    this.parts.race.setAttribute("aria-live", this.player.playing || this.player.following ? "off" : "polite");
    if (this.parts.race.textContent !== words) this.parts.race.textContent = words;
  }

  #news(message) {
    if (message.compare !== this.id) {
      if (!this.isWaiting) return;
      this.#start(message);
    }
    const panel = this.all.find((one) => one.key === message.now);
    if (message.batch) panel.apply(message.batch);
    else panel.setState("running");
    if (message.batch?.seq === 0) this.#describe(message.batch);
    this.#catchUp(message.runs);
    if (message.summary) this.#summarize(message.summary);
    this.#sync();
    if (message.done) this.finish("done");
    else this.#say(`Running ${panel.word}, ${this.all.indexOf(panel) + 1} of ${this.all.length} …`);
  }

  #start({ compare, order }) {
    this.id = compare;
    this.isWaiting = false;
    this.warmUp = null;
    this.#begin(order.map((name, at) => {
      const { title, about } = this.backends.get(name);
      return { key: name, title, word: title.toLowerCase(), about, sign: String(at + 1), data: { "data-backend": name }, isTree: name !== "naive" };
    }), ORDER, { live: true });
    this.#stand("live");
  }

  /** New panels in the place of the old ones. */
  #begin(kinds, order, how) {
    this.areBackends = how.live;
    this.notes = [];
    this.pointed = this.pinned = null;
    this.cursor.reset(how);
    this.parts.order.textContent = order;
    this.parts.root.classList.remove("is-empty");
    this.#alert("");
    this.places.fill(kinds.map((kind) => new Panel(kind, this.callbacks)));
  }

  #placed() {
    this.cursor.show(this.panels);
    this.#conclude();
  }

  #describe(batch) {
    const { config, model } = batch.header;
    this.threshold = config.branching.entropy_threshold;
    this.parts.heading.textContent = batch.title;
    this.parts.note.textContent = `${model.name} on ${model.device}, ${model.dtype}: seed ${config.sampling.seed}, forks at entropy ${this.threshold}, `
      + `${config.branching.branch_factor} children, at most ${config.branching.max_paths} paths, ${count(config.limits.max_new_tokens)} tokens each`;
    this.#legend();
  }

  /** Ask for the steps that never arrived, of any run. */
  #catchUp(runs) {
    for (const panel of this.all) {
      const told = runs[panel.key];
      const isBehind = told && (panel.length < told.length || (told.done && panel.state !== "done"));
      if (!isBehind || this.healing.has(told.run)) continue;
      this.healing.add(told.run);
      this.heal(told.run, panel.length).then((missing) => {
        if (missing?.run && this.all.includes(panel)) panel.apply(missing);
        this.#sync();
      }).catch(() => {}).finally(() => this.healing.delete(told.run)); // the next message asks again
    }
  }

  /** Figures of the backends that have ended, as Python gives them. */
  #summarize(summary) {
    this.warmUp = summary.equal.warm_up;
    const { naive, recompute } = summary.runs;
    for (const panel of this.all) {
      panel.result = summary.runs[panel.key] ?? null;
      if (panel.result) panel.setDigest(panel.result.tree_digest);
    }
    this.notes = [
      naive && summary.order.length > 1 && `Naive drew ${plural(naive.paths, "independent sample")}, as many as the tree returned paths; its tokens are other ones by design, so its tree is not the same.`,
      recompute && "Recompute keeps no keys and values: its cache is empty, and every step computes every path's whole text again.",
    ].filter(Boolean);
  }

  /** Same tree or not, and the figures of what has ended. */
  #conclude() {
    const { shown, reference } = this.places;
    this.results.compareTrees(shown, reference, this.areBackends);
    this.results.draw(shown, reference, { warmUp: this.warmUp, notes: this.notes, isEnded: !this.player.isLive });
    this.invalidate();
  }

  #sync() {
    this.cursor.grow();
    this.#conclude();
  }

  #scale(panels) {
    const ready = panels.filter((panel) => panel.log);
    const planned = this.player.isLive ? (ready[0]?.log.header.config.limits.max_new_tokens ?? 1) : 1;
    const most = (name) => Math.max(1, ...ready.map((panel) => panel[name]));
    return { depths: Math.max(planned, most("depths")), slots: most("slots"), top: most("top") };
  }

  /** Go to where a token was made, and pin it. */
  #showNode(panel, node) {
    this.cursor.seek(panel, panel.log.node(node).step);
    this.#pin(panel, node);
    panel.parts.tree.focus();
  }

  #pin(panel, id) {
    this.pinned = id === null ? null : { panel, id };
    this.invalidate();
  }

  #point(panel, id) {
    if (this.pointed?.panel === panel && this.pointed?.id === id) return;
    this.pointed = id === null ? null : { panel, id };
    this.invalidate();
  }

  #litIn(panel) {
    const lit = this.pointed ?? this.pinned;
    return lit && idIn(panel, lit);
  }

  #resize(height) {
    this.height = Math.max(HEIGHTS[0], Math.min(HEIGHTS[2], height));
    this.parts.root.style.setProperty("--fs-tree-height", `${Math.round(this.height)}px`);
    this.#redraw();
  }

  #redraw() {
    for (const panel of this.all) panel.invalidate();
    this.invalidate();
  }

  #say(words) {
    status(words);
    if (this.parts.status.textContent !== words) this.parts.status.textContent = words;
  }

  #alert(sentence) {
    this.parts.alert.textContent = sentence;
    this.parts.alert.hidden = !sentence;
  }

  /** What the board as a whole is doing; `rest` is what it goes back to when a wait comes to nothing. */
  #stand(how) {
    if (how !== "waiting") this.rest = how;
    this.parts.badge.textContent = BADGES[how] ?? "no comparison yet";
    this.parts.badge.className = `fs-badge is-${how}`;
    this.parts.root.dataset.state = how ?? "empty";
  }

  #legend() {
    drawLegend(this.parts.legend, this.threshold ?? null, isDark(), entropyPosition);
  }

  #listen() {
    const { root, panels } = this.parts;
    const hasFiles = (event) => event.dataTransfer.types.includes("Files");
    root.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
    root.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      this.picker.open([...event.dataTransfer.files]);
    });
    const resized = new ResizeObserver(() => this.#redraw());
    resized.observe(panels);
    watchTheme(() => {
      this.colors = null;
      this.#legend();
      this.#redraw();
    });
    bindKeys(this);
  }
}

/** Trees that are the same up to a token number it alike: what is lit in one is lit in the others. */
function idIn(panel, lit) {
  if (lit.panel === panel || lit.id === PROMPT) return lit.id;
  return panel.log && lit.id < Math.min(panel.alike, lit.panel.alike, panel.log.nodes.length) ? lit.id : null;
}
