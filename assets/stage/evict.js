// The board of the Evict tab: one to eight runs with bounded caches under one cursor, one or two of them in detail.

import { Board, attachBoard } from "./board.js";
import { isDark } from "./color.js";
import { mark, say } from "./dom.js";
import { EvictCard } from "./evictcard.js";
import { Detail } from "./evictdetail.js";
import { settingsOf } from "./evictfacts.js";
import { Opening } from "./evictopening.js";
import { EMPTY, LETTERS, WORDS, build } from "./evictparts.js";
import { Sharing } from "./evictsharing.js";
import { EvictShelf } from "./evictshelf.js";
import { differs, runName } from "./evictwords.js";
import { narrate, plural } from "./format.js";
import { page } from "./page.js";
import { Timeline } from "./timeline.js";

/** `boards`: the recorded ones. */
export function attach(host, boards) {
  const run = (name) => host.trigger("select", { preset: name, token: page.asked("evict") });
  attachBoard("evict", host, (element, heal) => new EvictBoard(element, { heal, boards, run }));
}

class EvictBoard extends Board {
  constructor(host, { heal, boards, run }) {
    super(host, { name: "evict", parts: build(), heal, words: WORDS });
    this.focused = this.besides = null; // cards
    const invalidate = () => this.invalidate();
    this.timeline = new Timeline(this.parts.timeline, {
      seek: (step) => this.focused && this.cursor.seek(this.focused, step), invalidate, point: () => {}, select: () => {},
    }, { toEnd: () => this.player.toLive() });
    this.details = [0, 1].map((at) => new Detail({ seek: (step) => this.cursor.seek(this.#detailed()[at], step), invalidate }));
    this.shelf = new EvictShelf(this.parts.shelf, boards, {
      show: ({ title, caption, name }, runs) => this.showRuns(runs, { heading: title, caption, board: name }), run, refuse: (words) => this.words.alert(words),
    });
    this.sharing = new Sharing(this);
    this.opening = new Opening(this);
  }

  get active() {
    return this.focused;
  }

  /** A run that Explore shows is Explore's own. */
  get isRunning() {
    return this.player.isLive && !this.sharing.stage;
  }

  stop() {
    if (!this.sharing.stage) super.stop();
    else if (this.words.isWaiting) this.rest();
    else page.stop("explore");
  }

  /** Show runs that have ended, 1 to 8 of `{title, log}`. Whether they are shown. */
  showRuns(entries, { heading = null, caption = "", board = null } = {}) {
    const runs = this.admit(entries, { least: 1, most: LETTERS.length, few: "This run has no step yet." });
    if (!runs) return false;
    this.fill(runs.map(({ title, log }) => title || runName(settingsOf(log))), { live: false, board });
    this.all.forEach((card, at) => card.show(runs[at].log, "recorded"));
    this.title(heading ?? runs.map(({ title }) => title).join(" · "), caption);
    const left = entries.length - runs.length;
    return this.atEnd([runs.length > 1 ? `${plural(runs.length, "run")} under one cursor.` : "", left ? `${plural(left, "more")} had no room or no step.` : ""].join(" ").trim());
  }

  open(files) {
    this.opening.open(files);
  }

  /** Escape: no token is pinned. */
  select() {
    for (const detail of this.details) detail.pinned = null;
    this.invalidate();
  }

  /** A live board shows the run that is under way, until people choose one. */
  told({ now }) {
    const running = this.all.find(({ key }) => key === now);
    if (!this.isChosen && running) this.focus(running);
  }

  #choose(card) {
    this.isChosen = true;
    this.focus(card);
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

  /** What happened at the cursor in the run in focus, which is named: its steps need not be as many as the board's. */
  #words() {
    const { log, focused } = this;
    if (!focused) return "";
    if (!log) return `${focused.title}: ${focused.parts.badge.textContent}.`;
    const words = narrate(log, focused.cursor);
    return this.all.length > 1 ? `${focused.title}. ${words}` : words;
  }

  paint() {
    this.opening.refresh();
    for (const card of this.all) card.draw();
    const { log, colors } = this;
    this.#detailed().forEach((card, at) => {
      this.details[at].show(card);
      this.details[at].draw({ colors, isDark: isDark() });
    });
    this.tell(this.parts.narration, this.#words());
    if (log) this.timeline.draw({ log, state: log.at(this.focused.cursor), colors, isDark: isDark(), focus: null });
  }

  #detailed() {
    return this.all.filter((card) => card === this.focused || card === this.besides);
  }

  start({ titles, heading, caption, preset }) {
    this.fill(titles, { live: true, board: preset });
    this.title(heading, caption);
  }

  /** New cards in the place of the old ones; they are named a, b, ... `board`: the name of the recorded board they are of. */
  fill(titles, { live, board = null }) {
    this.shelf.settle(board);
    this.sharing.end();
    this.begin(titles.map((title, at) => new EvictCard({ key: LETTERS[at], title, sign: String(at + 1), data: { "data-run": LETTERS[at] } }, {
      focus: (card) => this.#choose(card), beside: (card) => this.beside(card), key: (card, event) => this.#key(card, event),
    })), { live });
    this.focused = this.all.at(live ? 0 : -1);
    this.isChosen = !live;
    this.besides = null;
    this.parts.cards.replaceChildren(...this.all.map(({ parts }) => parts.root));
    this.parts.cards.dataset.count = String(this.all.length);
    this.cursor.show(this.all);
    this.#placed();
  }

  title(heading, caption) {
    this.words.title(heading, differs(this.all, heading) || EMPTY.note);
    this.parts.caption.textContent = caption ?? "";
    this.parts.caption.hidden = !caption;
  }

  #placed() {
    for (const card of this.all) card.setPlace(card === this.focused ? "focus" : card === this.besides ? "beside" : "", this.all.length > 1);
    const shown = this.#detailed();
    this.parts.details.replaceChildren(...shown.map((_, at) => this.details[at].parts.root));
    this.parts.details.dataset.count = String(shown.length);
    this.timeline.reset(this.log);
    this.invalidate();
  }

  grown() {
    const note = differs(this.all, this.parts.heading.textContent) || EMPTY.note;
    say(this.parts.note, note);
    mark(this.parts.note, "title", note);
    if (this.timeline.log !== this.log) this.timeline.reset(this.log);
    super.grown();
  }

  moved() {
    this.sharing.moved();
    this.invalidate();
  }

  #key(card, event) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const { all } = this;
    if (event.key === "b" && all.length > 1) this.beside(this.besides ?? all[(all.indexOf(this.focused) + 1) % all.length]);
    else if (by && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const to = all.at((all.indexOf(card) + by) % all.length);
      this.#choose(to);
      to.parts.name.focus();
    } else return;
    event.preventDefault();
  }

  arrive() {
    this.sharing.arrive();
  }
}
