// The boards of runs that come with Forkscope, as cards above the Evict tab: each a question and what really happened.

import { el } from "./dom.js";
import { parseTrace } from "./log.js";
import { textOf } from "./runs.js";

export class EvictShelf {
  /** `boards`: `[{name, title, caption, runs: [{title, path}]}]`; `show(board, runs)` gets `[{title, log}]` and says whether they are shown; `run(name)` runs one live; `parse(text, title)` reads a file. */
  constructor(host, boards, { show, run, refuse, parse = parseTrace }) {
    Object.assign(this, { boards, show, run, refuse, parse });
    this.isOpening = false;
    this.turn = 0; // what was asked for last is what is shown
    this.shown = null;
    this.cards = boards.map((board) => this.#card(board));
    host.replaceChildren(...this.cards);
    host.hidden = !boards.length;
  }

  /** What is shown is the board of this name now; null: none of them. */
  settle(name) {
    this.turn += 1;
    this.isOpening = false;
    this.shown = name;
    this.#mark(name);
  }

  /** What was asked for is not wanted any more. */
  forget() {
    this.settle(this.shown);
  }

  /** Put a recorded board on the table. */
  async open(name) {
    const board = this.boards.find((one) => one.name === name);
    const turn = (this.turn += 1);
    this.isOpening = true;
    this.#mark(name);
    try {
      const runs = await Promise.all(board.runs.map(async (run) => ({ title: run.title, log: this.parse(await textOf(run), run.title) })));
      if (turn === this.turn && !this.show(board, runs)) this.forget();
    } catch (error) {
      if (turn !== this.turn) return;
      this.forget();
      this.refuse(error.message);
    }
  }

  #mark(name) {
    for (const card of this.cards) {
      const isHere = card.dataset.board === name;
      card.classList.toggle("is-current", isHere);
      card.querySelector(".fs-shelf-open").setAttribute("aria-pressed", String(isHere));
    }
  }

  #card(board) {
    const open = el("button", { type: "button", class: "fs-shelf-open", "aria-pressed": "false", title: board.caption, onclick: () => this.open(board.name) },
      el("strong", { text: board.title }));
    const live = el("button", { type: "button", class: "fs-link fs-shelf-live", text: "run it live", title: `Run “${board.title}” on the bundled model`, onclick: () => this.run(board.name) });
    return el("div", { class: "fs-shelf-card", "data-board": board.name }, open, live);
  }
}
