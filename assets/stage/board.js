// A board: runs under one cursor, live ones that come one after another or ended ones. What every tab of runs does alike.

import { BoardWords } from "./boardwords.js";
import { palette } from "./color.js";
import { Cursor } from "./cursor.js";
import { mark, say } from "./dom.js";
import { Healing } from "./healing.js";
import { bindKeys } from "./keys.js";
import { healer, leave, letGo, listeners, page } from "./page.js";
import { Listener } from "./steps.js";
import { watchTheme } from "./theme.js";

/** A gr.HTML host becomes the board `make(host, heal)`: messages come as JSON in `props.value`, gaps heal through `server`. */
export function attachBoard(name, { element, props, watch, server }, make) {
  const board = make(element.querySelector(".fs-host"), healer(server));
  page.stages[name] = board;
  listeners.set(name, board.listener);
  letGo.set(name, (token) => server.leave(token));
  const take = () => props.value && board.take(JSON.parse(props.value));
  watch("value", take);
  take();
  page.waiting[name]?.(board);
}

/**
 * What a tab adds: `start(message)` gives the runs of a live board to `begin`, `paint()` draws, and where files can
 * be dropped `open(files)` takes them; recorded runs lie on its `shelf`. A run is a `Growing` with `key`, and `word` within a sentence.
 */
export class Board {
  /**
   * `name`: of the stage, and of the field of a message that holds its board's id. `parts`: `root`, `badge`, `heading`,
   * `note`, `alert`, `status`, `player`, `modes`; a `timeline` scrubs in the place of the player's range. `words`: how
   * BoardWords names its states. `area`: whose size matters. `time`: `unit` and `pace` of the player.
   */
  constructor(host, { name, parts, heal, words, area = parts.root, time = {} }) {
    Object.assign(this, { name, parts, all: [], id: null, frame: 0 });
    host.append(parts.root);
    this.healing = new Healing(heal);
    this.listener = new Listener((batch) => this.#heard(batch));
    this.words = new BoardWords(parts, words);
    this.cursor = new Cursor(parts, { moved: () => this.moved(), active: () => this.active, hasJumps: Boolean(parts.timeline), ...time });
    new ResizeObserver(() => this.resized()).observe(area);
    watchTheme(() => {
      this.colors = null;
      this.words.legend();
      this.resized();
    });
    if (this.open) this.#hearDrops();
    bindKeys(this);
  }

  get player() {
    return this.cursor.player;
  }

  get log() {
    return this.active?.log ?? null;
  }

  /** The run that keys are about. */
  get active() {
    return null;
  }

  /** Whether the server runs what this board has asked for. */
  get isRunning() {
    return this.player.isLive;
  }

  /** A message of the server: a word (`status`), why nothing came of it (`alert`), or news of a run. */
  take(message) {
    if (!page.requests.takes(this.name, message)) return; // of a board that was stopped, or left
    if (message.status) this.words.say(message.status);
    if (message.alert) {
      page.requests.close(this.name);
      this.words.alert(message.alert);
      if (this.isRunning) this.finish(message.failed ? "failed" : "stopped");
      else this.words.giveUp("Nothing was run; what you saw before is still here.");
    }
    if (message[this.name]) this.news(message);
  }

  /** What this tab alone is told in a message. */
  told() {}

  /** Run was pressed. */
  wait() {
    this.words.wait();
  }

  /** Another one is asked for: the live one is stopped, on the server too. */
  leave() {
    this.shelf?.forget();
    if (!this.isRunning) return;
    leave(this.name);
    this.finish("stopped");
  }

  /** Stop was pressed: what came stays. */
  stop() {
    this.finish("stopped");
  }

  /** What was waited for will not come. */
  rest() {
    this.words.giveUp(`Stopped before anything ran${this.all.length ? "; what you saw before is still here" : ""}.`);
  }

  /** No more will come: all have run (`done`), Stop was pressed (`stopped`), or it broke off (`failed`). */
  finish(how) {
    this.listener.end();
    if (how !== "done") for (const run of this.all) run.breakOff(how);
    this.words.end(how);
    page.requests.close(this.name);
    this.player.finish();
    this.grown();
  }

  /**
   * Those of `entries` (`[{log}]`, at least `least`, the first `most`) that this board may show in the place of what it
   * shows; null while a board runs, or where they are too few: then nothing changes but a sentence.
   */
  admit(entries, { least, most, few }) {
    const whole = entries.filter(({ log }) => log?.length).slice(0, most);
    if (!this.isRunning && whole.length >= least) {
      leave(this.name); // what waits in line would take the place of these
      this.id = null;
      return whole;
    }
    this.words.alert(this.isRunning ? "A live run is under way; stop it first." : few);
    return null;
  }

  /** New runs in the place of the old ones. */
  begin(all, how) {
    this.all = all;
    this.cursor.reset(how);
    this.words.alert("");
    this.parts.root.classList.remove("is-empty");
  }

  /** Runs that have ended are shown: the cursor stands at their end. */
  atEnd(words) {
    this.words.say(words);
    this.words.stand("recorded");
    this.grown();
    this.player.seek(this.player.length - 1);
    return true;
  }

  /** A run has more steps, or has become another one. */
  grown() {
    this.cursor.grow();
    this.invalidate();
  }

  moved() {
    this.invalidate();
  }

  resized() {
    const isVisible = this.isVisible();
    if (isVisible && !this.wasVisible) this.arrive();
    this.wasVisible = isVisible;
    this.invalidate();
  }

  /** The tab came to the front: where there is nothing yet, the first of the shelf is shown. */
  arrive() {
    const isFree = !this.all.length && !this.isRunning && !page.requests.isOpen(this.name) && !this.shelf?.isOpening;
    if (isFree && this.shelf?.boards.length) this.shelf.open(this.shelf.boards[0].name);
  }

  isVisible() {
    return this.parts.root.isConnected && this.parts.root.offsetParent !== null;
  }

  /** What `bindKeys` asks a stage for, where a board has it. */
  get tree() {
    return { root: null, zoom: () => {} };
  }

  select() {}

  fit() {}

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
    this.paint();
  }

  /** One line on how things stand at the cursor: no speech while that moves by itself. */
  tell(line, words) {
    mark(line, "aria-live", this.player.playing || this.player.following ? "off" : "polite");
    say(line, words);
  }

  /** News of a board's runs, batch by batch; a tab that is told of something else has its own. */
  news(message) {
    if (message[this.name] !== this.id) {
      this.id = message[this.name];
      this.start(message);
      this.words.stand("live");
    }
    const run = this.all.find(({ key }) => key === message.now);
    if (!message.batch) run.setState("running");
    const hasGap = message.batch && !run.apply(message.batch); // what is heard may still be on its way, or never come
    this.told(message);
    this.#listen(run, message.runs[message.now]);
    const isHeard = (one) => this.listener.hears(message.runs[one.key]?.run) && !(hasGap && one === run);
    const missing = this.#catchUp(message, this.all.filter((one) => !isHeard(one)));
    this.grown();
    if (message.done) this.#end(message, missing);
    else this.words.say(`Running ${run.word}, ${this.all.indexOf(run) + 1} of ${this.all.length} …`);
  }

  #catchUp({ runs }, all = this.all) {
    return this.healing.catchUp(all, runs, () => this.grown());
  }

  /** The end, when all is here: an answer on its way may be older than the end, so it is asked for once more. */
  #end(message, missing, tries = 2) {
    if (this.id !== message[this.name] || !this.isRunning) return;
    if (missing && tries) missing.then(() => this.#end(message, this.#catchUp(message), tries - 1));
    else this.finish("done");
  }

  /** The steps of a run that has begun come as events of their own, to its end. */
  #listen(run, known) {
    if (!run.log || run.state !== "running") this.listener.end();
    else if (known?.done === false) {
      this.heard = run;
      this.listener.hear(known.run, run.length);
    }
  }

  /** Steps of the run that is heard. */
  #heard(batch) {
    if (!this.heard.apply(batch)) return; // the next message that leaves a gap asks for what is missing
    if (batch.done) this.listener.end();
    this.grown();
  }

  #hearDrops() {
    const { root } = this.parts;
    const hasFiles = (event) => event.dataTransfer.types.includes("Files");
    root.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
    root.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      this.open([...event.dataTransfer.files]);
    });
  }
}
