// The board of a comparison: a panel a run, one cursor over all, what it comes to when runs have ended.

import { ORDER, RUNS, build, introduce, notesOf } from "./board.js";
import { listenTo } from "./boardlisten.js";
import { BoardWords } from "./boardwords.js";
import { palette } from "./color.js";
import { resultOf } from "./counters.js";
import { Cursor } from "./cursor.js";
import { Curves } from "./curves.js";
import { plural } from "./format.js";
import { Healing } from "./healing.js";
import { healer, leave, letGo, page } from "./page.js";
import { Panel, sharedScale } from "./panel.js";
import { Picker } from "./picker.js";
import { Places } from "./places.js";
import { Pointing } from "./pointing.js";
import { tellPlace } from "./race.js";
import { Results } from "./results.js";
import { MOST_RUNS, sideBySide } from "./sidebyside.js";
import { sources } from "./sources.js";

const HEIGHTS = [140, 184, 420]; // pixels of the panels' trees: least, usual, most

/**
 * A gr.HTML host becomes the board: messages come as JSON in `props.value`, gaps heal through `server`.
 * `backends`: `[{name, title, about}]`, all there are.
 */
export function attach({ element, props, watch, server }, backends) {
  const board = new Board(element.querySelector(".fs-host"), { heal: healer(server), backends });
  page.stages.compare = board;
  letGo.set("compare", (token) => server.leave(token));
  const take = () => props.value && board.take(JSON.parse(props.value));
  watch("value", take);
  take();
  page.waiting.compare?.(board);
}

export class Board {
  constructor(host, { heal, backends }) {
    this.backends = new Map(backends.map((one) => [one.name, one]));
    this.healing = new Healing(heal);
    this.id = null;
    this.height = HEIGHTS[1];
    this.frame = 0;
    this.parts = build();
    this.parts.panels.append(...backends.map(introduce));
    host.append(this.parts.root);
    this.words = new BoardWords(this.parts);
    this.pointing = new Pointing(() => this.panels, () => this.invalidate());
    this.cursor = new Cursor(this.parts, { moved: () => this.invalidate(), active: () => this.pointing.active });
    this.places = new Places(this.parts, () => this.#placed());
    const seek = (panel, step) => this.cursor.seek(panel, step);
    this.curves = new Curves(this.parts.curves, { seek });
    this.results = new Results(this.parts, (panel, node) => this.#showNode(panel, node));
    this.picker = new Picker(this.parts.picker, { sources, show: (entries) => this.showRuns(entries), say: (words) => this.words.say(words), refuse: (words) => this.words.alert(words) });
    this.callbacks = {
      seek, point: (panel, id) => this.pointing.point(panel, id), select: (panel, id) => this.pointing.pin(panel, id),
      act: (panel, deed) => this.places.act(panel, deed), drop: (key, onto) => this.places.drop(key, onto),
    };
    listenTo(this, {
      area: this.parts.panels, open: (files) => this.picker.open(files), resized: () => this.#redraw(),
      themed: () => {
        this.colors = null;
        this.words.legend();
        this.#redraw();
      },
    });
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
    if (!page.requests.takes("compare", message)) return; // of a comparison that was stopped, or left
    if (message.status) this.words.say(message.status);
    if (message.alert) {
      page.requests.close("compare");
      this.words.alert(message.alert);
      if (this.player.isLive) this.finish(message.failed ? "failed" : "stopped");
      else this.words.giveUp("Nothing was run; what you saw before is still here.");
    }
    if (message.compare) this.#news(message);
  }

  /** Compare was pressed. */
  wait() {
    this.words.wait();
  }

  /** Another one is asked for: the live one is stopped, on the server too. */
  leave() {
    if (!this.player.isLive) return;
    leave("compare");
    this.finish("stopped");
  }

  /** Stop was pressed: what came stays. */
  stop() {
    this.finish("stopped");
  }

  /** What was waited for will not come. */
  rest() {
    this.words.giveUp("Stopped before anything ran.");
  }

  /** No more will come: all have run (`done`), Stop was pressed (`stopped`), or it broke off (`failed`). */
  finish(how) {
    if (how === "done") this.words.say("Done.");
    else {
      for (const panel of this.all) {
        if (panel.state === "running") panel.setState(how);
        if (panel.state === "waiting") panel.setState("never");
      }
      this.words.say(how === "failed" ? "Broken off. What came stays here." : "Stopped. The cache is freed; what came stays here.");
    }
    this.words.stand(how);
    page.requests.close("compare");
    this.player.finish();
    this.#sync();
  }

  /**
   * Hold runs that have ended against each other: 2 to 4 of `{title, note, log}`, from their logs alone.
   * While a comparison runs nothing changes but a sentence. Whether they are shown.
   */
  showRuns(entries) {
    if (this.player.isLive) {
      this.words.alert("A comparison is running; stop it first.");
      return false;
    }
    const runs = entries.filter(({ log }) => log?.length).slice(0, MOST_RUNS);
    if (runs.length < 2) {
      this.words.alert("Choose at least two runs that have a step.");
      return false;
    }
    leave("compare"); // what waits in line would take the place of these
    this.id = this.warmUp = null;
    const { kinds, heading, note } = sideBySide(runs);
    this.#begin(kinds, RUNS, { live: false });
    this.all.forEach((panel, at) => {
      panel.show(runs[at].log, "recorded");
      panel.result = resultOf(panel.log);
    });
    this.results.digests(this.all, () => this.#conclude());
    this.words.title(heading, note);
    this.words.say(`${plural(runs.length, "run")} side by side.`);
    this.words.stand("recorded");
    this.#sync();
    this.player.seek(this.player.length - 1);
    return true;
  }

  isVisible() {
    return this.parts.root.isConnected && this.parts.root.offsetParent !== null;
  }

  get log() {
    return this.pointing.active?.log ?? null;
  }

  /** What `bindKeys` asks a stage's tree for. */
  get tree() {
    const panel = this.pointing.active;
    return {
      svg: panel?.parts.tree, selected: this.pointing.pinnedIn(panel), layout: panel?.silhouette.layout,
      zoom: (factor) => this.#resize(this.height * factor),
    };
  }

  select(subject) {
    this.pointing.select(subject?.id ?? null);
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
    const scale = sharedScale(panels, this.player.isLive);
    for (const panel of panels) panel.draw(this.colors, scale, this.pointing.litIn(panel));
    this.curves.draw(panels, this.cursor.mode);
    const words = tellPlace(panels, this.player.cursor, this.cursor.mode);
    this.parts.race.setAttribute("aria-live", this.player.playing || this.player.following ? "off" : "polite");
    if (this.parts.race.textContent !== words) this.parts.race.textContent = words;
  }

  #news(message) {
    if (message.compare !== this.id) this.#start(message);
    const panel = this.all.find((one) => one.key === message.now);
    if (message.batch) panel.apply(message.batch);
    else panel.setState("running");
    if (message.batch?.seq === 0) this.words.describe(message.batch);
    this.healing.catchUp(this.all, message.runs, () => this.#sync());
    if (message.summary) this.#summarize(message.summary);
    this.#sync();
    if (message.done) this.finish("done");
    else this.words.say(`Running ${panel.word}, ${this.all.indexOf(panel) + 1} of ${this.all.length} …`);
  }

  #start({ compare, order }) {
    this.id = compare;
    this.warmUp = null;
    this.#begin(order.map((name, at) => {
      const { title, about } = this.backends.get(name);
      return { key: name, title, word: title.toLowerCase(), about, sign: String(at + 1), data: { "data-backend": name }, isTree: name !== "naive" };
    }), ORDER, { live: true });
    this.words.stand("live");
  }

  /** New panels in the place of the old ones. */
  #begin(kinds, order, how) {
    this.areBackends = how.live;
    this.notes = [];
    this.pointing.clear();
    this.cursor.reset(how);
    this.parts.order.textContent = order;
    this.parts.root.classList.remove("is-empty");
    this.words.alert("");
    this.places.fill(kinds.map((kind) => new Panel(kind, this.callbacks)));
  }

  #placed() {
    this.cursor.show(this.panels);
    this.#conclude();
  }

  /** Figures of the backends that have ended, as Python gives them. */
  #summarize(summary) {
    this.warmUp = summary.equal.warm_up;
    for (const panel of this.all) {
      panel.result = summary.runs[panel.key] ?? null;
      if (panel.result) panel.setDigest(panel.result.tree_digest);
    }
    this.notes = notesOf(summary);
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

  /** Go to where a token was made, and pin it. */
  #showNode(panel, node) {
    this.cursor.seek(panel, panel.log.node(node).step);
    this.pointing.pin(panel, node);
    panel.parts.tree.focus();
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
}
