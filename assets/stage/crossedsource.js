// The cross-attention cache as a table: a column a source token; stored once, layer by layer, and read by every path.

import { tintPosition } from "./cross.js";
import { el, mark, say } from "./dom.js";
import { count, plural, probability, shorten, visibleToken } from "./format.js";

export const KEYS = [
  { keys: "↑ ↓", words: "the path above or below: its looks, its slots", where: "on the paths of Self and cross" },
  { keys: "Escape", words: "let go of it", where: "on the paths of Self and cross" },
];
const CELLS = 1600; // of paths by source tokens, that are shown
const LETTERS = 14; // of a source token

export class SourceTable {
  /** `choose(path)`: a path is pressed, `take(path)`: gone to by keys, `point(path or null)`: pointed at. */
  constructor(host, { choose, take, point }) {
    Object.assign(this, { choose, take, point, tokens: 0 });
    this.head = el("tr", {});
    this.stored = el("tbody", { class: "fs-cross-stored" });
    this.read = el("tbody", { class: "fs-cross-read" });
    this.rest = el("p", { class: "fs-card-note" });
    this.root = el("table", { class: "fs-cross-table" }, el("thead", {}, this.head), this.stored, this.read);
    host.append(el("div", { class: "fs-cross-scroll", tabindex: 0, role: "region", "aria-label": "Source tokens, and how much every path looks at them" }, this.root), this.rest);
    this.read.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Another run: its source. */
  reset({ source, header: { model } }) {
    this.tokens = source.length;
    this.most = Math.max(1, Math.floor(CELLS / Math.max(1, source.length)));
    this.root.style.setProperty("--fs-columns", Math.max(1, source.length));
    this.heads = source.map(({ text, raw }) => {
      const words = visibleToken(text, raw);
      return { words, cell: el("th", { scope: "col", title: words }, el("span", { text: shorten(words, LETTERS) })) };
    });
    this.head.replaceChildren(el("th", { scope: "row", class: "fs-cross-name", text: "source" }), ...this.heads.map(({ cell }) => cell));
    const layer = (at) => el("tr", { title: `Layer ${at}: keys and values of ${plural(source.length, "source token")}, once` },
      ...(at ? [] : [el("th", { scope: "rowgroup", rowspan: model.num_layers, class: "fs-cross-name", text: `stored once, ${plural(model.num_layers, "layer")}` })]),
      el("td", { colspan: Math.max(1, source.length) }, el("i", {})));
    this.stored.replaceChildren(...Array.from({ length: model.num_layers }, (_, at) => layer(at)));
    this.rows = [];
    this.read.replaceChildren();
  }

  /** `readers`: as `crossedfacts.js` gives them; `chosen`: the path whose looks light the source; `isStored`: it has been read. */
  draw({ readers, chosen, isStored, log }) {
    this.stored.classList.toggle("is-empty", !isStored);
    const shown = readers.slice(0, this.most);
    while (this.rows.length < shown.length) this.#add();
    this.rows.forEach((row, at) => this.#row(row, shown[at] ?? null, chosen, log));
    const light = readers.find(({ path }) => path === chosen);
    this.heads.forEach(({ cell, words }, at) => tint(cell, words, light?.looks?.[at] ?? null));
    const left = readers.length - shown.length;
    say(this.rest, left > 0 ? `and ${plural(left, "more path")}, which read the same cache` : "");
  }

  #add() {
    const button = el("button", { type: "button", class: "fs-cross-path" });
    const cells = this.heads.map(() => el("td", {}));
    const root = el("tr", {}, el("th", { scope: "row", class: "fs-cross-name" }, button), ...cells);
    const row = { root, button, cells, path: null };
    button.addEventListener("click", () => this.choose(row.path));
    root.addEventListener("pointerenter", () => this.point(row.path));
    root.addEventListener("pointerleave", () => this.point(null));
    this.rows.push(row);
    this.read.append(root);
  }

  #row(row, reader, chosen, log) {
    row.root.hidden = !reader;
    if (!reader) return;
    const node = log.node(reader.node);
    row.path = reader.path;
    mark(row.root, "data-path", String(reader.path));
    mark(row.button, "aria-pressed", String(reader.path === chosen));
    say(row.button, `path ${count(reader.path)}${node.raw ? ` ${shorten(visibleToken(node.text, node.raw), 8)}` : ""}`);
    row.cells.forEach((cell, at) => tint(cell, this.heads[at].words, reader.looks?.[at] ?? null));
  }

  #key(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const shown = this.rows.filter(({ root }) => !root.hidden);
    const at = shown.findIndex(({ button }) => button === event.target);
    if (!by || at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = shown.at((at + by) % shown.length);
    to.button.focus();
    this.take(to.path);
    event.preventDefault();
  }
}

/** How much a path looked there; without a recorded weight it was too little to be recorded, without a look nothing is known. */
function tint(cell, words, look) {
  const weight = look?.weight ?? null;
  const share = look ? (weight === null ? "hardly" : probability(weight)) : "";
  mark(cell, "title", share ? `${words}: ${share}` : words);
  mark(cell, "data-weight", weight === null ? "" : String(weight));
  const tone = `${(tintPosition(weight ?? 0) * 100).toFixed(1)}%`;
  if (cell.style.getPropertyValue("--fs-look-share") !== tone) cell.style.setProperty("--fs-look-share", tone);
}
