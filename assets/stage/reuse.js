// The Reuse tab's first view: a prefix cache as a forest of blocks, moment by moment, recorded or this page's own.

import { Board, attachBoard } from "./board.js";
import { el, say } from "./dom.js";
import { EvictShelf } from "./evictshelf.js";
import { plural } from "./format.js";
import { page } from "./page.js";
import { Copy } from "./reusecopy.js";
import { Forest } from "./reuseforest.js";
import { HistoryChart } from "./reusehistory.js";
import { EMPTY, WORDS, build } from "./reuseparts.js";
import { parseRecord } from "./reuserecord.js";
import { Prompt, Requests } from "./reuserequests.js";
import { chainOf, isReached, stateAt, usersOf } from "./reusestate.js";
import { BlockTable } from "./reusetable.js";
import { countWords, figuresOf, noteOf, sentenceOf, titleOf } from "./reusewords.js";
import { listenToTabs, markTab } from "./tabs.js";

const PACE = 0.9; // moments a second
const WINDING_UP = [300, 1500]; // milliseconds after which a run that was stopped has let go of its blocks
const LOST = "The run has ended, but not all of it came here. Open this tab again to ask for the rest.";
const ENDS = { done: "Done.", stopped: "Stopped. What came stays here, and in the cache.", failed: "Broken off. What came stays here." };

/** `examples`: the recorded ones, `[{name, title, caption, path}]`. */
export function attach(host, examples) {
  const run = (name) => host.trigger("select", { preset: name, token: page.asked("reuse") });
  const since = async (id, seq) => JSON.parse(await host.server.record_since({ id, seq }));
  attachBoard("reuse", host, (element) => new ReuseBoard(element, { examples, run, since }));
  document.addEventListener("click", letKeysGo);
}

/** A view that was chosen with a pointer leaves the keys to its board; a radio that the keyboard reached keeps its arrows. */
function letKeysGo({ target, detail }) {
  const views = detail > 0 && target.closest?.("#fs-reuse-views");
  if (views) requestAnimationFrame(() => views.contains(document.activeElement) && document.activeElement.blur());
}

class ReuseBoard extends Board {
  constructor(host, { examples, run, since }) {
    super(host, { name: "reuse", parts: build(), words: WORDS, time: { unit: "moment", pace: PACE } });
    this.copy = new Copy({
      since, isWanted: (message) => page.requests.takes("reuse", message), told: (message) => this.#told(message), lost: (message) => this.#lost(message),
      grown: () => this.record === this.live && this.grown(),
    });
    this.record = null; // the one that is shown
    this.view = "picture";
    this.pinned = this.pointed = this.pointedRequest = null; // a block, a block, a request
    const { parts } = this;
    const actions = {
      invalidate: () => this.invalidate(), seek: (moment) => this.player.seek(moment), focused: () => this.pointed ?? this.pinned,
      point: (id) => this.#point({ pointed: id }), pointRequest: (n) => this.#point({ pointedRequest: n }), pin: (id) => this.select(id),
    };
    this.forest = new Forest(parts.forest, actions);
    this.table = new BlockTable(parts.table);
    this.requests = new Requests(parts.requests, actions);
    this.prompt = new Prompt(parts.prompt, parts.promptNote, actions);
    this.history = new HistoryChart(parts.history, actions);
    const boards = examples.map((example) => ({ ...example, runs: [{ title: example.title, path: example.path }] }));
    this.shelf = new EvictShelf(parts.shelf, boards, {
      show: ({ name }, [{ log }]) => this.#open(log, { name }), run, refuse: (words) => this.words.alert(words), parse: parseRecord,
    });
    this.show("picture");
    listenToTabs(parts.tabs, (view) => this.show(view));
    parts.live.addEventListener("click", () => this.#showLive());
    parts.save.addEventListener("click", () => this.#save());
    parts.file.addEventListener("change", async () => {
      await this.open([...parts.file.files]);
      parts.file.value = "";
    });
  }

  get active() {
    return this.record;
  }

  /** The record of this page's cache, as far as it is known. */
  get live() {
    return this.copy.record;
  }

  // ---- what the server tells ------------------------------------------------------------------

  /** What is new in this page's cache: it is shown, whoever asked for it, here. */
  news(message) {
    this.copy.take(message);
  }

  /** This page's cache is up to date: `token` where a request of this board is what it tells of, `done` at its end. */
  #told({ token, done, status, now, planned }) {
    if (planned !== undefined && this.planned !== token) {
      this.planned = token;
      this.live.plan(planned);
    }
    const isOn = token !== undefined && !done;
    const wasRunning = this.isRunning;
    if (this.record !== this.live) this.#put(this.live, { live: isOn });
    else if (isOn && !this.isRunning) this.player.reset({ live: true });
    this.grown();
    if (isOn) {
      this.words.stand("live");
      this.words.say(`Running request ${(now ?? this.live.requests.length - 1) + 1} …`);
    } else if (token !== undefined) {
      this.finish("done");
      const { kind, words } = this.live.moments.at(-1);
      const isRun = kind === "end";
      if (!isRun) this.words.stand("shared");
      if (status || !isRun) this.words.say(status || words);
    } else if (!wasRunning) {
      this.words.restAt("shared");
      this.words.say(this.live.moments.at(-1).words);
    }
    if (!isOn && !wasRunning) this.player.seek(this.player.length - 1);
  }

  /** Nothing has changed where a word says why: what was asked for need not be a run. */
  take(message) {
    const isWaiting = this.words.isWaiting && !this.isRunning;
    super.take(message);
    if (message.alert && isWaiting && !this.words.isWaiting) this.words.say("What you saw before is still here.");
  }

  /** What came before a message could not be had: where that was the last one, the run has ended all the same. */
  #lost({ token, done }) {
    if (token === undefined || !done) return;
    this.finish("done");
    this.words.say(LOST);
  }

  finish(how) {
    const wasFollowing = this.player.following;
    super.finish(how);
    this.words.say(ENDS[how]);
    if (wasFollowing) this.player.seek(this.player.length - 1);
    if (how !== "done") for (const wait of WINDING_UP) setTimeout(() => this.copy.catchUp(), wait);
  }

  // ---- what is shown --------------------------------------------------------------------------

  /** The tab came to the front: what has happened in this page's cache since then, else the first example plays. */
  async arrive() {
    const isNew = await this.copy.catchUp();
    if (this.isRunning || page.requests.isOpen("reuse") || this.shelf.isOpening) return;
    const isWorth = this.record ? this.#hasLived : this.live?.moments.at(-1)?.held.length > 0; // before anything is shown: not an empty one
    if (isNew && isWorth && this.record !== this.live) this.#showLive();
    else if (!this.record && this.shelf.boards.length) this.shelf.open(this.shelf.boards[0].name);
    this.invalidate();
  }

  get #hasLived() {
    const last = this.live?.moments.at(-1);
    return Boolean(last && (this.live.requests.length || last.held.length || this.live.length > 1));
  }

  #showLive() {
    this.#put(this.live, { live: false });
    this.words.stand("shared");
    this.words.say("What runs of this page have left in the cache.");
    this.grown();
    this.player.seek(this.player.length - 1);
  }

  /** A record that is whole, played from its first moment. Whether it is shown. */
  #open(record, { name = null } = {}) {
    if (!this.admit([{ log: record }], { least: 1, most: 1, few: "This record has no moment." })) return false;
    this.#put(record, { live: false }, name);
    this.words.stand("recorded");
    this.words.say(`${plural(record.requests.length, "request")} in ${plural(record.length, "moment")}.`);
    this.grown();
    this.player.autoplay();
    return true;
  }

  #put(record, how, name = null) {
    this.record = record;
    this.pinned = this.pointed = this.pointedRequest = null;
    this.shelf.settle(name);
    this.begin([record], how);
    this.cursor.show([record]);
    for (const view of [this.forest, this.table, this.requests, this.prompt, this.history]) view.reset();
    const { caption } = record.start;
    this.parts.caption.textContent = caption;
  }

  /** A record file of this computer, read in the browser. */
  async open([file]) {
    if (!file) return;
    try {
      this.#open(parseRecord(await file.text(), file.name));
    } catch (error) {
      this.words.alert(`${error.message} Open a .json file that was saved here, or by the command line's reuse --record.`);
    }
  }

  #save() {
    const url = URL.createObjectURL(new Blob([this.record.file], { type: "application/json" }));
    el("a", { href: url, download: `reuse-${this.record.start.workload ?? "record"}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  /** "picture" or "table". */
  show(view) {
    this.view = view;
    this.parts.forest.hidden = view !== "picture";
    this.parts.table.hidden = view !== "table";
    markTab(this.parts.tabs, view);
    this.invalidate();
  }

  nextView() {
    this.show(this.view === "picture" ? "table" : "picture");
  }

  /** Escape, and a click beside the blocks: none is kept. */
  select(id) {
    this.pinned = this.pinned === id ? null : id;
    this.pointed = null;
    this.invalidate();
  }

  #point(to) {
    Object.assign(this, { pointed: null, pointedRequest: null }, to);
    this.invalidate();
  }

  paint() {
    const { record, colors, parts } = this;
    parts.live.hidden = this.record === this.live || !this.#hasLived || this.isRunning;
    parts.save.hidden = !record || this.isRunning;
    if (!record) return;
    const state = stateAt(record, record.cursor);
    const scene = { record, state, colors, ...this.#focus(record, state) };
    const title = titleOf(record) || EMPTY.title;
    say(parts.heading, title);
    parts.caption.hidden = !parts.caption.textContent || title !== record.start.title;
    say(parts.note, noteOf(record, state.moment));
    this.#figures(state);
    if (this.view === "picture") this.forest.draw(scene);
    else this.table.draw(scene);
    const reached = record.requests.filter(({ n }) => isReached(record, n, state.cursor)).length;
    say(parts.requestsNote, countWords(record, reached));
    this.requests.draw(scene);
    this.prompt.draw(scene);
    this.history.draw(scene);
    this.tell(parts.narration, sentenceOf(record, state));
  }

  /** What is lit: the text up to a block and the requests that have it, or the blocks of a request. */
  #focus(record, state) {
    const at = this.pointed ?? (this.pointedRequest === null ? this.pinned : null);
    if (at !== null && at < record.blocks.length) return { at, lit: new Set(chainOf(record, at)), litRequests: new Set(usersOf(record, at, state.cursor)) };
    if (this.pointedRequest !== null) return { at: null, lit: new Set(record.requests[this.pointedRequest]?.ids), litRequests: new Set([this.pointedRequest]) };
    return { at: null, lit: null, litRequests: null };
  }

  #figures(state) {
    const { figures } = this.parts;
    for (const [name, label, value, about] of figuresOf(state)) {
      let shown = figures.querySelector(`[data-fact="${name}"]`);
      if (!shown) {
        shown = el("dd", { "data-fact": name });
        figures.append(el("div", { title: about }, el("dt", { text: label }), shown));
      }
      say(shown, value);
    }
  }
}
