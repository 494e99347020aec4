// The board of a comparison: a panel a backend, one cursor over all, the table when runs have ended.

import { build, introduce } from "./board.js";
import { places, placeOf, secondsAt, stepAt } from "./clock.js";
import { entropyPosition, isDark, palette } from "./color.js";
import { count, seconds } from "./format.js";
import { bindKeys } from "./keys.js";
import { PROMPT } from "./log.js";
import { page, status } from "./page.js";
import { Panel } from "./panel.js";
import { Player } from "./player.js";
import { drawSummary } from "./table.js";
import { watchTheme } from "./theme.js";
import { drawLegend } from "./tree.js";

const HEIGHTS = [140, 184, 420]; // pixels of the panels' trees: least, usual, most

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
}

export class Board {
  constructor(host, { heal, backends }) {
    this.heal = heal;
    this.backends = new Map(backends.map((one) => [one.name, one]));
    this.healing = new Set();
    this.id = null;
    this.panels = [];
    this.mode = "step";
    this.height = HEIGHTS[1];
    this.pointed = null; // {panel, id}
    this.pinned = null;
    this.isWaiting = true; // asked for, and nothing has come
    this.frame = 0;
    this.parts = build();
    this.parts.panels.append(...backends.map(introduce));
    host.append(this.parts.root);
    this.player = new Player(this.parts.player, () => this.#seekAll(), (at, length) => this.#place(at, length));
    this.#listen();
    this.#legend();
  }

  /** A message of the server: a word (`status`), why nothing came of it (`alert`), or news of a run. */
  take(message) {
    if (message.status) this.#say(message.status);
    if (message.alert) {
      this.isWaiting = false;
      this.#alert(message.alert);
      if (this.player.isLive) this.finish("stopped");
      else this.#say("Nothing was run; what you saw before is still here.");
    }
    if (message.compare && message.compare !== this.stopped) this.#news(message);
  }

  /** Compare was pressed. */
  queued() {
    this.#alert("");
    page.queued();
    this.#say("Waiting for the device …");
    this.isWaiting = true;
  }

  /** Stop was pressed: what runs is over, and what waits will not begin, whatever is still on its way. */
  stop() {
    if (this.player.isLive) this.finish("stopped");
    else if (this.isWaiting) this.#say("Stopped before anything ran.");
    this.isWaiting = false;
  }

  /** No more will come: all have run (`done`), or Stop was pressed (`stopped`). */
  finish(how) {
    if (how === "stopped") {
      this.stopped = this.id;
      for (const panel of this.panels) {
        if (panel.state === "running") panel.setState("stopped");
        if (panel.state === "waiting") panel.setState("never");
      }
      this.#say("Stopped. The cache is freed; what came stays here.");
    } else this.#say("Done.");
    this.#badge(how);
    this.player.finish();
    this.#sync();
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
    if (id !== null && panel.log.node(id).step > panel.cursor) return;
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
    const scale = this.#scale();
    for (const panel of this.panels) panel.draw(this.colors, scale, this.#litIn(panel));
  }

  #news(message) {
    if (message.compare !== this.id) {
      if (!this.isWaiting) return;
      this.#begin(message);
    }
    const panel = this.panels.find((one) => one.name === message.now);
    if (message.batch) panel.apply(message.batch);
    else panel.setState("running");
    if (message.batch?.seq === 0) this.#describe(message.batch);
    this.#catchUp(message.runs);
    if (message.summary) this.#summarize(message.summary);
    this.#sync();
    if (message.done) this.finish("done");
    else this.#say(`Running ${panel.title.toLowerCase()}, ${this.panels.indexOf(panel) + 1} of ${this.panels.length} …`);
  }

  #begin({ compare, order }) {
    this.id = compare;
    this.isWaiting = false;
    this.pointed = this.pinned = null;
    this.titles = Object.fromEntries(order.map((name) => [name, this.backends.get(name).title]));
    this.panels = order.map((name, at) => new Panel(this.backends.get(name), at + 1, {
      point: (panel, id) => this.#point(panel, id),
      select: (panel, id) => this.#pin(panel, id),
      seek: (panel, step) => this.player.seek(placeOf(panel, this.panels, step, this.mode)),
    }));
    this.parts.panels.replaceChildren(...this.panels.map((panel) => panel.parts.root));
    this.parts.results.hidden = true;
    this.parts.root.classList.remove("is-empty");
    this.#badge("live");
    this.#alert("");
    this.player.reset({ live: true });
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
    for (const panel of this.panels) {
      const told = runs[panel.name];
      const isBehind = told && (panel.length < told.length || (told.done && panel.state !== "done"));
      if (!isBehind || this.healing.has(told.run)) continue;
      this.healing.add(told.run);
      this.heal(told.run, panel.length).then((missing) => {
        if (missing?.run && this.panels.includes(panel)) panel.apply(missing);
        this.#sync();
      }).catch(() => {}).finally(() => this.healing.delete(told.run)); // the next message asks again
    }
  }

  #summarize(summary) {
    const { results, resultsTitle, resultsBody } = this.parts;
    results.hidden = false;
    const ended = summary.order.length;
    const all = this.panels.length;
    resultsTitle.textContent = ended < all ? `Ended so far: ${ended} of ${all}` : "What it took";
    drawSummary(resultsBody, summary, this.titles);
    const isComparable = summary.order.length > 1;
    for (const panel of this.panels) {
      const same = summary.same_tree[panel.name];
      if (same !== undefined && isComparable) panel.sameTree(same);
    }
  }

  /** After news: more places for the cursor, and every panel where it belongs. */
  #sync() {
    const { player } = this;
    const isAtEnd = !player.playing && !player.following && player.cursor >= player.length - 1;
    player.grow(places(this.panels, this.mode));
    if (isAtEnd) player.seek(player.length - 1);
    this.#seekAll();
  }

  #seekAll() {
    const runs = this.panels;
    const isNewest = this.player.following;
    for (const panel of runs) {
      panel.cursor = isNewest ? panel.length - 1 : stepAt(panel, runs, this.player.cursor, this.mode);
    }
    this.invalidate();
  }

  #place(at, length) {
    if (this.mode === "second") return `${seconds(secondsAt(this.panels, at))} of ${seconds(secondsAt(this.panels, length - 1))}`;
    return `step ${at} of ${length - 1}`;
  }

  #setMode(mode) {
    const isAtEnd = this.player.cursor >= this.player.length - 1;
    const first = this.panels[0];
    const stands = first?.cursor ?? -1;
    this.mode = mode;
    for (const [name, button] of Object.entries(this.parts.modes)) button.setAttribute("aria-pressed", String(name === mode));
    if (!first) return;
    const { following } = this.player;
    this.player.length = places(this.panels, mode);
    if (following || isAtEnd) this.player.cursor = this.player.length - 1;
    else this.player.cursor = placeOf(first, this.panels, Math.max(0, stands), mode);
    this.player.grow(this.player.length);
    this.#seekAll();
  }

  #scale() {
    const logs = this.panels.filter((panel) => panel.log);
    const planned = this.player.isLive ? (logs[0]?.log.header.config.limits.max_new_tokens ?? 1) : 1;
    const depths = Math.max(planned, ...logs.map((panel) => panel.log.nodes.reduce((most, node) => Math.max(most, node.depth + 1), 1)));
    return {
      depths,
      slots: Math.max(1, ...logs.map((panel) => panel.slots)),
      top: Math.max(1, ...logs.map((panel) => panel.lines.top)),
    };
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
    for (const panel of this.panels) panel.invalidate();
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

  #badge(how) {
    this.parts.badge.textContent = { live: "running live", done: "finished", stopped: "stopped" }[how];
    this.parts.badge.className = `fs-badge is-${how}`;
  }

  #legend() {
    drawLegend(this.parts.legend, this.threshold ?? null, isDark(), entropyPosition);
  }

  #listen() {
    for (const [name, button] of Object.entries(this.parts.modes)) button.addEventListener("click", () => this.#setMode(name));
    const resized = new ResizeObserver(() => this.#redraw());
    resized.observe(this.parts.panels);
    watchTheme(() => {
      this.colors = null;
      this.#legend();
      this.#redraw();
    });
    bindKeys(this);
  }
}

/** Trees that are the same number their tokens alike: what is lit in one is lit in the others. */
function idIn(panel, lit) {
  if (lit.panel === panel || lit.id === PROMPT) return lit.id;
  const [here, there] = [panel.log?.nodes[lit.id], lit.panel.log?.nodes[lit.id]];
  const isSame = panel.isTree && lit.panel.isTree && here && there && here.token === there.token && here.parent === there.parent;
  return isSame ? lit.id : null;
}
