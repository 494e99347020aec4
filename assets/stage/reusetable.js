// The blocks of a prefix cache as a table: what stands behind the picture.

import { el, mark } from "./dom.js";
import { bytes, count, seconds } from "./format.js";
import { usersOf } from "./reusestate.js";
import { numbers, readable, turnWords } from "./reusewords.js";

const COLUMNS = ["Block", "Before it", "Tokens", "Bytes", "In prompts", "Held by", "Made", "Idle", "Leaves"];
const MOST = 600; // rows that are shown

export class BlockTable {
  constructor(host) {
    this.body = el("tbody");
    this.rows = new Map(); // block -> its row
    this.rest = el("p", { class: "fs-fine", hidden: true });
    host.append(el("div", { class: "fs-reuse-scroll", tabindex: 0, role: "region", "aria-label": "Table of the blocks" }, el("table", { class: "fs-reuse-rows" },
      el("thead", {}, el("tr", {}, ...COLUMNS.map((name) => el("th", { scope: "col", text: name })))), this.body)), this.rest);
  }

  /** Another record is shown. */
  reset() {
    this.key = null;
  }

  draw({ record, state, lit, at }) {
    const key = [record.length, state.cursor].join();
    if (key !== this.key) this.#fill(record, state);
    this.key = key;
    for (const [id, row] of this.rows) mark(row, "class", id === at ? "is-at" : lit?.has(id) ? "is-lit" : "");
  }

  #fill(record, state) {
    this.rows = new Map([...state.held].slice(0, MOST).map(([id, held]) => {
      const { text, depth, tokens, nbytes } = record.blocks[id];
      const users = usersOf(record, id, state.cursor);
      const cell = (name, value, words) => el("td", { "data-cell": name, "data-value": String(value), text: words });
      return [id, el("tr", { "data-block": id },
        el("th", { scope: "row", title: record.blocks[id].key, text: readable(text) }), cell("depth", depth, depth ? `${count(depth)} ${depth === 1 ? "block" : "blocks"}` : "nothing"), cell("tokens", tokens, count(tokens)),
        cell("nbytes", nbytes, bytes(nbytes)), cell("users", users.join(), users.length ? numbers(users) : "–"), cell("pins", held.pins, count(held.pins)),
        cell("born", held.born, `${seconds(Math.max(0, state.time - held.born))} ago`), cell("idle", held.idle, seconds(held.idle)), cell("turn", held.turn, turnWords(held)))];
    }));
    this.body.replaceChildren(...this.rows.values());
    this.rest.hidden = state.held.size <= MOST;
    this.rest.textContent = `The first ${count(MOST)} of ${count(state.held.size)} blocks; the record that is saved has all of them.`;
  }
}
