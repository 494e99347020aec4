// The recorded runs and the runs of this visit: what is on the stage, and what was.

import { el } from "./dom.js";
import { History } from "./history.js";
import { fileUrl, mark, page, showRunState, showTab, stageNamed } from "./page.js";
import { Shelf } from "./shelf.js";
import { watchTheme } from "./theme.js";
import { attachWelcome } from "./welcome.js";

const GROWS_EVERY = 1000; // milliseconds between two looks at a growing run

/**
 * Recorded runs as cards, the history below them. `entries`: `[{path, title, blurb, digest?, name}]`; the first
 * one plays at once. `trigger("select", {name} or {config})` fills the form with a run's settings.
 */
export async function attach({ element, trigger }, entries) {
  const host = element.querySelector(".fs-runs");
  const runs = new Runs(host, entries, trigger);
  const first = entries.length ? textOf(entries[0]) : null; // on its way while the stage is made
  first?.catch(() => {}); // `play` says so
  const stage = await stageNamed("explore");
  runs.listen(stage);
  if (first && !stage.log && !page.requests.isOpen("explore")) await runs.play(0, first);
}

class Runs {
  constructor(host, entries, trigger) {
    this.entries = entries;
    this.trigger = trigger;
    this.key = null; // of the recorded run that is being opened
    this.turn = 0; // what was asked for last is what is shown
    this.history = new History(() => this.#changed());
    this.cards = entries.map((entry, at) => this.#card(entry, at));
    const [open, file] = this.#opener();
    host.replaceChildren(
      el("section", { class: "fs-recorded", "aria-label": "Recorded runs" },
        el("header", {}, el("h3", { class: "fs-side-title", text: "Recorded runs" }), open, file),
        el("div", { class: "fs-run-cards" }, ...this.cards)));
    this.shelf = new Shelf(host, this.history, {
      open: (id) => this.open(id),
      compare: (chosen) => this.compare(chosen),
    });
    watchTheme(() => requestAnimationFrame(() => this.shelf.recolor()));
    page.history = this.#handle();
    page.recorded = entries;
  }

  /** Hear of every run that begins, moves and ends on `stage`. */
  listen(stage) {
    this.stage = stage;
    stage.options.opened = () => this.#opened();
    stage.options.ended = () => this.#ended();
    stage.options.waits = () => {
      this.turn += 1; // a recorded run that is still on its way is not wanted any more
      this.#mark();
    };
    const { changed } = stage.player;
    stage.player.changed = (cursor) => {
      changed(cursor);
      this.#moved(cursor);
    };
    attachWelcome(stage, { hasRuns: this.entries.length > 0, ready: () => this.#ready(), run: () => document.querySelector("#fs-run").click() });
    if (stage.log) this.#opened();
    showRunState();
  }

  /** Put a recorded run on the stage, from its first step. */
  async play(at, text = null) {
    const entry = this.entries[at];
    const turn = (this.turn += 1);
    const key = `recorded:${entry.name}`;
    const known = this.history.entries.find((one) => one.key === key);
    mark(this.cards[at]);
    try {
      const trace = known?.log ?? await (text ?? textOf(entry));
      if (turn !== this.turn) return; // another one was asked for, or came, meanwhile
      this.key = key;
      this.stage.load(trace, {
        title: known?.title ?? entry.title, note: entry.blurb, name: entry.title,
        details: entry.digest ? { "tree digest": entry.digest } : {},
      });
    } catch (error) {
      if (turn !== this.turn) return;
      this.stage.say(error.message);
      this.#mark();
    } finally {
      this.key = null;
    }
  }

  /** Put a run of this visit on the stage where it was left. `id`: of the entry, or `created` of its header. */
  open(id) {
    const entry = this.history.find(id) ?? this.history.made(id, this.stage.log);
    if (!entry) return false;
    showTab("Explore");
    if (entry === this.history.current) return true;
    const { log, title, note, badge, details, cursor } = entry;
    this.stage.load(log, { title, note, badge, details, cursor: Math.max(0, cursor) });
    this.#fill(log.header.config, { config: log.header.config });
    return true;
  }

  /** The settings of a run into the form: the prompt at once, so that nothing typed after it is lost, the others when the server answers. */
  #fill(config, asked) {
    window.forkscope.filling = typeof config?.prompt === "string" ? config.prompt : undefined;
    this.trigger("select", asked);
  }

  /** Side by side in the Compare tab. */
  async compare(chosen) {
    showTab("Compare");
    const board = await stageNamed("compare");
    board.showRuns(chosen.map(({ title, note, log }) => ({ title, note, log })));
  }

  #handle() {
    const { history } = this;
    return {
      get entries() {
        return history.entries;
      },
      find: (created) => history.made(created, this.stage.log),
      open: (id) => this.open(id),
      add: (run) => history.add(run),
      remove: (id) => history.remove(id),
      rename: (id, title) => history.rename(id, title),
    };
  }

  #card(entry, at) {
    const card = el("button", { type: "button", class: "fs-run", "data-run": entry.name, title: entry.blurb },
      el("strong", { text: entry.title }), el("span", { text: entry.blurb }));
    card.addEventListener("click", () => {
      showTab("Explore");
      this.play(at);
      this.#fill(entry.config, { name: entry.name });
    });
    return card;
  }

  #opener() {
    const file = el("input", { type: "file", accept: ".jsonl,.json", hidden: true, class: "fs-file" });
    const open = el("button", {
      type: "button", class: "fs-button fs-open", text: "Open a file…", title: "A .jsonl file that Forkscope recorded; it stays on this computer",
    });
    open.addEventListener("click", () => file.click());
    file.addEventListener("change", async () => {
      if (file.files[0]) await this.stage.open(file.files[0]);
      file.value = "";
    });
    return [open, file];
  }

  #opened() {
    const { stage, history } = this;
    if (!stage.log) return;
    this.turn += 1;
    const { log, title, note, badge, details } = stage;
    history.add({ log, title, note, badge, details, ...(this.key ? { key: this.key } : {}) });
    history.current.cursor = stage.player.cursor;
    this.#mark();
    clearInterval(this.growing);
    if (badge === "live") this.growing = setInterval(() => this.#grow(), GROWS_EVERY);
  }

  /** The card of the run on the stage, if it is a recorded one. */
  #mark() {
    mark(this.cards.find((card) => `recorded:${card.dataset.run}` === this.history.current?.key) ?? null);
  }

  #ended() {
    clearInterval(this.growing);
    const { stage, history } = this;
    const entry = history.current;
    if (entry?.log !== stage.log) return;
    Object.assign(entry, { badge: stage.badge, details: stage.details });
    history.grown();
    this.shelf.draw();
  }

  #grow() {
    const { current } = this.history;
    if (!current) return;
    this.history.grown();
    this.shelf.grow(current);
  }

  #moved(cursor) {
    const { current } = this.history;
    if (current && current.log === this.stage.log) current.cursor = cursor;
  }

  /** Another list; the run on the stage may carry another title. */
  #changed() {
    const { current } = this.history;
    if (current && current.log === this.stage.log && current.title !== this.stage.title) {
      this.stage.describe({ title: current.title });
    }
    this.shelf.draw();
  }

  /** A recorded run is on the stage: the one that is there already, or the first. */
  async #ready() {
    showTab("Explore");
    if (!this.history.current?.key && this.entries.length) await this.play(0);
  }
}

/** The trace of a recorded run; a long one is compressed. */
export async function textOf(entry) {
  const answer = await fetch(fileUrl(entry.path));
  if (!answer.ok) throw new Error(`The recorded run “${entry.title}” is not there.`);
  if (!entry.path.endsWith(".gz")) return answer.text();
  return new Response(answer.body.pipeThrough(new DecompressionStream("gzip"))).text();
}
