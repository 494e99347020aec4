// The table behind the tree: every token made up to the cursor. Only rows in sight are in the document.

import { COLUMNS, captionOf, childrenAt, listed, ordered, statusOf } from "./columns.js";
import { entropyColor } from "./color.js";
import { el } from "./dom.js";
import { onHover } from "./hover.js";
import { nodeSubject } from "./subject.js";

const ROW = 25; // pixels
const SPARE = 8; // rows kept above and below what is in sight

export const KEYS = [
  { keys: "↑ ↓", words: "the row above or below", where: "in the table" },
  { keys: "PageUp PageDown", words: "a screen of rows up or down", where: "in the table" },
  { keys: "Enter", words: "pin the token of the row; on a heading: sort by it", where: "in the table" },
];

export class NodeTable {
  constructor(host, actions) {
    this.actions = actions;
    this.name = `fsr${Math.random().toString(36).slice(2, 8)}`;
    this.caption = el("caption", { class: "fs-rows-caption" });
    this.heads = COLUMNS.map((column) => this.#heading(column));
    this.above = el("tr", { class: "fs-rows-space", "aria-hidden": "true" }, el("td", { colspan: COLUMNS.length }));
    this.below = el("tr", { class: "fs-rows-space", "aria-hidden": "true" }, el("td", { colspan: COLUMNS.length }));
    this.body = el("tbody", {}, this.above, this.below);
    this.table = el("table", { class: "fs-rows", role: "grid" }, this.caption, el("thead", {}, el("tr", {}, ...this.heads)), this.body);
    this.box = el("div", {
      class: "fs-rows-box", tabindex: "0", role: "group", "aria-label": "Table of tokens. Arrow keys move between rows.",
    }, this.table);
    host.append(this.box);
    this.#listen();
    this.reset(null);
  }

  reset(log) {
    this.log = log;
    this.scene = null;
    this.key = "";
    this.ids = [];
    this.places = new Map(); // node id -> its row
    this.sort = { key: "id", way: 1 };
    this.current = null;
    this.pinned = null;
    this.lines = new Map(); // node id -> {row, key}
    this.body.replaceChildren(this.above, this.below);
    this.box.scrollTop = 0;
    this.#mark();
  }

  draw(scene) {
    if (!this.log) return;
    const { log, state, shape } = scene;
    const key = `${state.cursor} ${shape.version} ${this.sort.key} ${this.sort.way}`;
    if (key !== this.key) {
      this.key = key;
      this.facts = {
        live: new Set(state.isOver ? [] : state.rows.map((row) => row.node)),
        children: childrenAt(log, state.numNodes),
      };
      this.scene = { ...scene, ...this.facts };
      this.ids = ordered(log, listed(log, state, shape), this.sort, this.scene);
      this.places = new Map(this.ids.map((id, at) => [id, at]));
      this.caption.textContent = captionOf(this.ids, log, state, shape, this.sort);
      this.table.setAttribute("aria-rowcount", this.ids.length + 1);
    }
    this.scene = { ...scene, ...this.facts };
    this.#window();
    const id = scene.pinned?.kind === "node" ? scene.pinned.id : null;
    if (id !== this.pinned) this.#reach((this.pinned = id));
  }

  /** Put the rows in sight into the document, take the others out. */
  #window() {
    const height = this.box.clientHeight || 400;
    const top = Math.min(this.box.scrollTop, Math.max(0, this.ids.length * ROW + HEAD - height)); // it may be shorter now
    const first = Math.max(0, Math.floor(top / ROW) - SPARE);
    const last = Math.min(this.ids.length, Math.ceil((top + height) / ROW) + SPARE);
    const wanted = this.ids.slice(first, last);
    const keep = new Set(wanted);
    for (const [id, { row }] of this.lines) {
      if (keep.has(id)) continue;
      row.remove();
      this.lines.delete(id);
    }
    this.#space(this.above, first);
    this.#space(this.below, this.ids.length - last);
    let next = this.above.nextSibling;
    wanted.forEach((id, at) => {
      const line = this.#line(id, first + at);
      if (line.row === next) next = next.nextSibling;
      else this.body.insertBefore(line.row, next);
    });
  }

  #space(row, rows) {
    const height = `${rows * ROW}px`;
    if (row.firstChild.style.height !== height) row.firstChild.style.height = height;
    row.hidden = !rows;
  }

  #line(id, at) {
    const line = this.lines.get(id) ?? this.#addLine(id);
    const { log, focus, pinned, shape, isDark } = this.scene;
    const node = log.nodes[id];
    const texts = COLUMNS.map((column) => column.text(node, this.scene));
    const status = statusOf(node, this.scene, this.scene.live);
    const isOwn = focus?.node === id;
    const classes = [
      `is-${status}`, focus?.nodes.has(id) && "is-lit", isOwn && "is-own", shape.found.has(id) && "is-found",
      shape.bookmarks.has(id) && "is-bookmark",
    ].filter(Boolean).join(" ");
    const isPinned = pinned?.kind === "node" && pinned.id === id;
    const key = `${at} ${classes} ${isPinned} ${isDark} ${texts.join("\t")}`;
    if (key === line.key) return line;
    line.key = key;
    line.row.className = `fs-entry ${classes}`;
    line.row.setAttribute("aria-rowindex", at + 2);
    line.row.setAttribute("aria-selected", String(isPinned));
    texts.forEach((text, column) => {
      const cell = line.row.children[column];
      if (cell.textContent !== text) cell.textContent = text;
    });
    const entropy = COLUMNS[ENTROPY].value(node, this.scene);
    line.row.children[ENTROPY].style.setProperty("--h", entropy === null ? "transparent" : entropyColor(entropy, isDark));
    return line;
  }

  #addLine(id) {
    const cells = COLUMNS.map(({ key, isNumber }) => el("td", { class: `fs-cell-${key}${isNumber ? " is-number" : ""}` }));
    const row = el("tr", { "data-id": id, id: `${this.name}-${id}` }, ...cells);
    const line = { row, key: "" };
    this.lines.set(id, line);
    return line;
  }

  #heading({ key, title, help, isNumber }) {
    const button = el("button", { type: "button", class: "fs-sort", text: title, title: help });
    button.addEventListener("click", () => this.#sortBy(key));
    return el("th", { scope: "col", "data-column": key, class: isNumber ? "is-number" : null }, button);
  }

  /** The same heading again turns the order around; probabilities and the like begin with the largest. */
  #sortBy(key) {
    const begins = LARGEST_FIRST.has(key) ? -1 : 1;
    this.sort = { key, way: this.sort.key === key ? -this.sort.way : begins };
    this.box.scrollTop = 0;
    this.#mark();
    this.actions.invalidate();
  }

  #mark() {
    for (const head of this.heads) {
      const isSorted = head.dataset.column === this.sort.key;
      if (isSorted) head.setAttribute("aria-sort", this.sort.way > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  /** Bring a token's row in sight. */
  #reach(id) {
    const at = this.places.get(id);
    if (at === undefined) return;
    const { box } = this;
    const room = box.clientHeight - HEAD;
    const top = at * ROW;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + ROW > box.scrollTop + room) box.scrollTop = top + ROW - room;
    this.#window();
    box.setAttribute("aria-activedescendant", `${this.name}-${id}`);
  }

  #listen() {
    const { box, actions } = this;
    const idOf = (event) => {
      const row = event.target.closest?.("tr[data-id]");
      return row ? Number(row.dataset.id) : null;
    };
    box.addEventListener("scroll", () => this.scene && this.#window(), { passive: true });
    onHover(box, (event) => actions.point(nodeSubject(idOf(event))), () => actions.point(null));
    box.addEventListener("click", (event) => !event.target.closest("button") && actions.select(nodeSubject(idOf(event))));
    box.addEventListener("blur", () => {
      if (this.current !== null) actions.point(null);
      this.current = null;
    });
    box.addEventListener("keydown", (event) => {
      if (event.target !== box || event.ctrlKey || event.metaKey || event.altKey || !this.ids.length) return;
      if (this.#key(event.key)) event.preventDefault();
    });
    new ResizeObserver(() => this.scene && this.#window()).observe(box);
  }

  #key(key) {
    const page = Math.max(1, Math.floor((this.box.clientHeight - HEAD) / ROW) - 1);
    const way = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page }[key];
    const at = [this.current, this.pinned].map((id) => this.places.get(id)).find((place) => place !== undefined);
    if (key === "Enter" && at !== undefined) this.actions.select(nodeSubject(this.ids[at]));
    else if (way) {
      const next = at === undefined ? 0 : Math.max(0, Math.min(this.ids.length - 1, at + way));
      this.current = this.ids[next];
      this.actions.point(nodeSubject(this.current));
      this.#reach(this.current);
    } else return false;
    return true;
  }
}

const HEAD = 62; // pixels that caption and headings cover
const ENTROPY = COLUMNS.findIndex((column) => column.key === "entropy");
const LARGEST_FIRST = new Set(["prob", "raw", "entropy", "children", "refs", "bytes"]);
