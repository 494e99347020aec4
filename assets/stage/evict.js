// The board of the Evict tab: one to eight runs with bounded caches under one cursor, one or two of them in detail.

import { BoardWords } from "./boardwords.js";
import { isDark, palette } from "./color.js";
import { Cursor } from "./cursor.js";
import { EvictCard } from "./evictcard.js";
import { Detail } from "./evictdetail.js";
import { settingsOf } from "./evictfacts.js";
import { Opening } from "./evictopening.js";
import { BADGES, EMPTY, LETTERS, build } from "./evictparts.js";
import { Sharing } from "./evictsharing.js";
import { EvictShelf } from "./evictshelf.js";
import { differs, runName } from "./evictwords.js";
import { narrate, plural } from "./format.js";
import { Healing } from "./healing.js";
import { bindKeys } from "./keys.js";
import { healer, leave, letGo, page } from "./page.js";
import { watchTheme } from "./theme.js";
import { Timeline } from "./timeline.js";

/** A gr.HTML host becomes the board: messages come as JSON in `props.value`. `boards`: the recorded ones. */
export function attach({ element, props, watch, server, trigger }, boards) {
  const board = new EvictBoard(element.querySelector(".fs-host"), { heal: healer(server), boards, run: (name) => trigger("select", { preset: name, token: page.asked("evict") }) });
  page.stages.evict = board;
  letGo.set("evict", (token) => server.leave(token));
  const take = () => props.value && board.take(JSON.parse(props.value));
  watch("value", take);
  take();
  page.waiting.evict?.(board);
}

export class EvictBoard {
  constructor(host, { heal, boards, run }) {
    this.healing = new Healing(heal);
    this.id = null; // of the live board
    this.cards = [];
    this.focused = this.besides = null; // cards
    this.frame = 0;
    this.parts = build();
    host.append(this.parts.root);
    this.words = new BoardWords(this.parts, { badges: BADGES, empty: "no run yet" });
    this.cursor = new Cursor(this.parts, { moved: () => this.#moved(), active: () => this.focused, hasJumps: true });
    this.timeline = new Timeline(this.parts.timeline, {
      seek: (step) => this.focused && this.cursor.seek(this.focused, step), invalidate: () => this.invalidate(), point: () => {}, select: () => {},
    }, { toEnd: () => this.player.toLive() });
    this.details = [0, 1].map((at) => new Detail({ seek: (step) => this.cursor.seek(this.#detailed()[at], step), invalidate: () => this.invalidate() }));
    this.shelf = new EvictShelf(this.parts.shelf, boards, {
      show: (one, runs) => this.showRuns(runs, { heading: one.title, caption: one.caption, board: one.name }),
      run: (name) => run(name), refuse: (words) => this.words.alert(words),
    });
    this.sharing = new Sharing(this);
    this.opening = new Opening(this);
    this.#listen();
  }

  /** The stage whose run is shown here as well, or null. */
  get shared() {
    return this.sharing.stage;
  }

  get player() {
    return this.cursor.player;
  }

  get log() {
    return this.focused?.log ?? null;
  }

  /** What `bindKeys` asks a stage's tree for: there is none here. */
  get tree() {
    return { svg: null, zoom: () => {} };
  }

  /** A message of the server: a word (`status`), why nothing came of it (`alert`), or news of a run. */
  take(message) {
    if (!page.requests.takes("evict", message)) return; // of a board that was stopped, or left
    if (message.status) this.words.say(message.status);
    if (message.alert) {
      page.requests.close("evict");
      this.words.alert(message.alert);
      if (this.player.isLive) this.finish(message.failed ? "failed" : "stopped");
      else this.words.giveUp("Nothing was run; what you saw before is still here.");
    }
    if (message.evict) this.#news(message);
  }

  /** Run was pressed. */
  wait() {
    this.words.wait();
  }

  /** Another one is asked for: the live one is stopped, on the server too. */
  leave() {
    this.shelf.forget();
    if (!this.player.isLive || this.shared) return;
    leave("evict");
    this.finish("stopped");
  }

  /** Stop was pressed: what came stays. A run of Explore is stopped there. */
  stop() {
    if (!this.shared) this.finish("stopped");
  }

  /** What was waited for will not come. */
  rest() {
    this.words.giveUp("Stopped before anything ran.");
  }

  /** No more will come: `done`, `stopped` or `failed`. */
  finish(how) {
    if (how === "done") this.words.say("Done.");
    else {
      for (const card of this.cards) card.breakOff(how);
      this.words.say(how === "failed" ? "Broken off. What came stays here." : "Stopped. The cache is freed; what came stays here.");
    }
    this.words.stand(how);
    page.requests.close("evict");
    this.player.finish();
    this.grown();
  }

  /** Show runs that have ended, 1 to 8 of `{title, log}`; while a board runs nothing changes but a sentence. Whether they are shown. */
  showRuns(runs, { heading = null, caption = "", board = null } = {}) {
    if (this.player.isLive && !this.shared) {
      this.words.alert("A board is running; stop it first.");
      return false;
    }
    const whole = runs.filter(({ log }) => log?.length).slice(0, LETTERS.length);
    if (!whole.length) {
      this.words.alert("This run has no step yet.");
      return false;
    }
    leave("evict"); // what waits in line would take the place of these
    this.begin(whole.map(({ title, log }) => ({ title: title || runName(settingsOf(log)) })), { live: false });
    this.cards.forEach((card, at) => card.show(whole[at].log, "recorded"));
    this.shown = board; // the name of a recorded board
    this.shelf.mark(board);
    this.title(heading ?? whole.map(({ title }) => title).join(" · "), caption);
    this.words.say(whole.length > 1 ? `${plural(whole.length, "run")} under one cursor.` : "");
    this.words.stand("recorded");
    this.grown();
    this.player.seek(this.player.length - 1);
    return true;
  }

  isVisible() {
    return this.parts.root.isConnected && this.parts.root.offsetParent !== null;
  }

  select() {
    for (const detail of this.details) detail.pinned = null;
    this.invalidate();
  }

  fit() {}

  follow() {
    this.player.toLive();
  }

  focus(card) {
    if (this.focused === card) return;
    if (this.besides === card) this.besides = this.focused;
    this.focused = card;
    this.#placed();
  }

  beside(card) {
    this.besides = this.besides === card ? null : card;
    this.#placed();
  }

  invalidate() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    if (!this.isVisible()) return;
    this.colors ??= palette(this.parts.root);
    this.opening.refresh();
    for (const card of this.cards) card.draw();
    const { log } = this;
    this.parts.root.classList.toggle("is-empty", !this.cards.length);
    if (!log) return;
    const scene = { log, state: log.at(this.focused.cursor), colors: this.colors, isDark: isDark(), focus: null };
    const words = narrate(log, this.focused.cursor);
    this.parts.narration.setAttribute("aria-live", this.player.playing || this.player.following ? "off" : "polite");
    if (this.parts.narration.textContent !== words) this.parts.narration.textContent = words;
    this.#detailed().forEach((card, at) => {
      this.details[at].show(card);
      this.details[at].draw(scene);
    });
    this.timeline.draw(scene);
  }

  #detailed() {
    return this.cards.filter((card) => card === this.focused || card === this.besides);
  }

  #news(message) {
    if (message.evict !== this.id) this.#start(message);
    const card = this.cards.find((one) => one.key === message.now);
    if (message.batch) card.apply(message.batch);
    else card.setState("running");
    this.healing.catchUp(this.cards, message.runs, () => this.grown());
    this.grown();
    if (message.done) this.finish("done");
    else this.words.say(`Running ${card.title}, ${this.cards.indexOf(card) + 1} of ${this.cards.length} …`);
  }

  #start({ evict, order, titles, heading, caption, preset }) {
    this.id = evict;
    this.begin(order.map((_, at) => ({ title: titles[at] })), { live: true });
    this.shelf.mark(preset ?? null);
    this.title(heading, caption);
    this.words.stand("live");
  }

  /** New cards in the place of the old ones; they are named a, b, ... */
  begin(kinds, how) {
    this.shelf.forget();
    this.sharing.end();
    this.shown = null;
    this.cursor.reset(how);
    this.words.alert("");
    this.cards = kinds.map(({ title }, at) => new EvictCard({ key: LETTERS[at], title, sign: String(at + 1), data: { "data-run": LETTERS[at] } }, {
      focus: (card) => this.focus(card), beside: (card) => this.beside(card), key: (card, event) => this.#key(card, event),
    }));
    this.focused = this.cards.at(-1) ?? null;
    this.besides = null;
    this.parts.cards.replaceChildren(...this.cards.map(({ parts }) => parts.root));
    this.parts.cards.dataset.count = String(this.cards.length);
    this.cursor.show(this.cards);
    this.#placed();
  }

  title(heading, caption) {
    this.words.title(heading, differs(this.cards) || EMPTY.note);
    this.parts.caption.textContent = caption ?? "";
    this.parts.caption.hidden = !caption;
  }

  #placed() {
    for (const card of this.cards) card.setPlace(card === this.focused ? "focus" : card === this.besides ? "beside" : "", this.cards.length > 1);
    const shown = this.#detailed();
    this.parts.details.replaceChildren(...shown.map((_, at) => this.details[at].parts.root));
    this.parts.details.dataset.count = String(shown.length);
    this.timeline.reset(this.focused?.log ?? null);
    this.invalidate();
  }

  /** A card has more steps, or has become another run. */
  grown() {
    const note = differs(this.cards) || EMPTY.note;
    if (this.parts.note.textContent !== note) this.parts.note.textContent = this.parts.note.title = note;
    if (this.timeline.log !== this.log) this.timeline.reset(this.log);
    this.cursor.grow();
    this.invalidate();
  }

  #moved() {
    this.sharing.moved();
    this.invalidate();
  }

  #key(card, event) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "b" && this.cards.length > 1) this.beside(this.besides ?? this.cards.at((this.cards.indexOf(this.focused) + 1) % this.cards.length));
    else if (by && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const to = this.cards.at((this.cards.indexOf(card) + by) % this.cards.length);
      this.focus(to);
      to.parts.name.focus();
    } else return;
    event.preventDefault();
  }

  #listen() {
    const { root } = this.parts;
    let wasVisible = false;
    new ResizeObserver(() => {
      const isVisible = this.isVisible();
      if (isVisible && !wasVisible) this.sharing.arrive();
      wasVisible = isVisible;
      this.invalidate();
    }).observe(root);
    watchTheme(() => {
      this.colors = null;
      this.invalidate();
    });
    bindKeys(this);
  }
}
