// The row above the views of the tree: search, fold, hoist, bookmark, hide, sort. What is done to the picture is a
// `Shape`; what is in force and not the rule (a hoisted node, folds, hidden tokens) is said in a line of its own.

import { el, mark, svg } from "./dom.js";
import { count, plural, visibleToken } from "./format.js";
import { PROMPT } from "./log.js";
import { Search } from "./search.js";
import { pruned } from "./shape.js";
import { nodeSubject } from "./subject.js";

const CRUMB = 28; // letters of a hoisted path that are shown
const ICONS = {
  fold: "M2 8h3M5 8l8-4.5v9z", hoist: "M8 13.5V4M4 7.5L8 3.5l4 4M3 1.5h10", flag: "M4 14.5V2l9 3.2L4 8.4",
  pruned: "M3.5 3.5l9 9M12.5 3.5l-9 9", sort: "M2.5 4h11M2.5 8h7M2.5 12h3.5",
};

/** The node a key is for: what is pointed at, else what is pinned, whether it has been drawn yet or not. */
const target = (stage) => stage.focus()?.node ?? null;

/** Keys of the row: `deed(stage)` as in the table of keys. */
export const KEYS = [
  { keys: "/", words: "search in the text", deed: (stage) => stage.tools?.focusSearch() },
  { keys: "c", words: "fold or unfold the token", deed: (stage) => stage.tools?.fold(target(stage)) },
  { keys: "C", words: "unfold all", deed: (stage) => stage.tools?.unfoldAll() },
  { keys: "h", words: "show only what is below the token", deed: (stage) => stage.tools?.hoist(target(stage)) },
  { keys: "H", words: "show all again", deed: (stage) => stage.tools?.showAll() },
  { keys: "b", words: "bookmark the token", deed: (stage) => stage.tools?.bookmark(target(stage)) },
  { keys: "B", words: "next bookmark", deed: (stage) => stage.tools?.nextBookmark(stage.pinned?.id) },
  { keys: "d", words: "hide what is pruned", deed: (stage) => stage.tools?.hidePruned() },
  { keys: "s", words: "sort by probability or by creation", deed: (stage) => stage.tools?.sort() },
];

export class Tools {
  constructor(host, actions) {
    this.actions = actions;
    this.scene = null;
    this.parts = this.#build(host);
    this.reset(null);
  }

  reset(log) {
    this.log = log;
    this.scene = null;
    this.search = null;
    this.match = -1; // which of the matches was gone to
    this.foundKey = "";
    this.parts.input.value = "";
    this.parts.count.textContent = "";
  }

  draw(scene) {
    this.scene = scene;
    this.#found(scene);
    this.#buttons(scene);
    this.#standing(scene);
  }

  focusSearch() {
    this.parts.input.focus();
    this.parts.input.select();
  }

  /** Go to the next match (or, with -1, the one before it), around the end. */
  go(way) {
    const matches = this.search?.at(this.scene?.state.cursor ?? -1) ?? [];
    if (!matches.length) return;
    this.match = this.match < 0 && way < 0 ? matches.length - 1 : (this.match + way + matches.length) % matches.length;
    this.#select(matches[this.match].nodes.at(-1));
  }

  fold(id = this.#target()) {
    if (id !== null && this.#hasChildren(id)) this.#change((shape) => shape.collapse(id, !shape.collapsed.has(id)));
  }

  unfoldAll() {
    this.#change((shape) => shape.expandAll());
  }

  hoist(id = this.#target()) {
    if (id !== null) this.#change((shape) => shape.hoist(id));
  }

  showAll() {
    this.#change((shape) => shape.hoist(PROMPT));
  }

  bookmark(id = this.#target()) {
    if (id !== null) this.#change((shape) => shape.bookmark(id));
  }

  /** Go to the bookmark after the node `from`, around the end. */
  nextBookmark(from = this.scene?.pinned?.id) {
    const marked = [...(this.scene?.shape.bookmarks ?? [])].filter((id) => id < this.scene.state.numNodes).sort((a, b) => a - b);
    if (marked.length) this.#select(marked.find((id) => id > (from ?? -2)) ?? marked[0]);
  }

  hidePruned() {
    this.#change((shape) => shape.hidePruned(!shape.hidesPruned));
  }

  sort() {
    this.#change((shape) => shape.sortBy(shape.sort === "probable" ? "created" : "probable"));
  }

  /** The node that a button is for: what was pointed at when last drawn, else what is pinned. */
  #target() {
    return this.scene?.focus?.node ?? null;
  }

  #change(deed) {
    if (!this.scene) return;
    deed(this.scene.shape);
    this.actions.invalidate();
  }

  #select(id) {
    this.actions.select(nodeSubject(id), { reveal: true });
  }

  #hasChildren(id) {
    return this.log.node(id).children.some((child) => child < this.scene.state.numNodes);
  }

  #found({ shape, state }) {
    const { parts } = this;
    const matches = this.search?.at(state.cursor) ?? [];
    const key = this.search ? `${this.search.query} ${matches.length}` : "";
    if (key !== this.foundKey || (!key && shape.found.size)) {
      this.foundKey = key;
      shape.find(matches.flatMap((match) => match.nodes));
      this.actions.invalidate();
    }
    if (this.match >= matches.length) this.match = -1;
    const place = this.match < 0 ? `${count(matches.length)} found` : `${count(this.match + 1)} of ${count(matches.length)}`;
    const words = parts.input.value.trim() ? place : "";
    if (parts.count.textContent !== words) parts.count.textContent = words;
    parts.box.classList.toggle("has-query", Boolean(words));
    for (const button of [parts.before, parts.after]) if (button.hidden !== !matches.length) button.hidden = !matches.length;
  }

  #buttons({ shape, focus }) {
    const { parts } = this;
    const id = this.#target();
    const isNode = id !== null;
    const set = (button, isPressed, isUsable, title) => {
      mark(button, "aria-pressed", String(isPressed));
      if (button.disabled === isUsable) button.disabled = !isUsable;
      if (button.title === title) return;
      button.title = title;
      button.setAttribute("aria-label", title);
    };
    const isFolded = isNode && shape.collapsed.has(id);
    const one = focus && isNode ? `“${this.#name(id)}”` : "the pinned token";
    set(parts.fold, isFolded, isNode && this.#hasChildren(id), `${isFolded ? "Unfold" : "Fold"} ${one} (c)`);
    set(parts.hoist, isNode && id === shape.hoisted && id !== PROMPT, isNode && id !== shape.hoisted, `Show only what is below ${one} (h)`);
    set(parts.flag, isNode && shape.bookmarks.has(id), isNode, `Bookmark ${one} (b)`);
    set(parts.pruned, shape.hidesPruned, true, "Hide what this run prunes (d)");
    set(parts.sort, shape.sort === "probable", true, "Sort children by probability, likely ones above (s)");
  }

  #name(id) {
    const node = this.log.node(id);
    return id === PROMPT ? "prompt" : visibleToken(node.text, node.raw);
  }

  /** What is in force and not the rule, and how to undo it. */
  #standing({ log, shape, state }) {
    const chips = [];
    const size = (ids) => ids.filter((id) => id < state.numNodes).length;
    if (shape.hoisted !== PROMPT) {
      const text = log.textOf(shape.hoisted).replace(/\s+/g, " ").trim();
      const tail = text.length > CRUMB ? `…${text.slice(1 - CRUMB)}` : text;
      chips.push([`below “${tail}”`, "show all", "H", () => this.showAll()]);
    }
    const folds = size([...shape.collapsed]);
    if (folds) chips.push([plural(folds, "fold"), "unfold all", "C", () => this.unfoldAll()]);
    if (shape.hidesPruned) {
      const hidden = pruned(log).subarray(0, state.numNodes).reduce((sum, one) => sum + one, 0);
      chips.push([`${plural(hidden, "pruned token")} hidden`, "show", "d", () => this.hidePruned()]);
    }
    const marked = size([...shape.bookmarks]);
    if (marked) chips.push([plural(marked, "bookmark"), "next", "B", () => this.nextBookmark()]);
    const key = chips.map(([words]) => words).join("|");
    if (key === this.standingKey) return;
    this.standingKey = key;
    this.parts.standing.hidden = !chips.length;
    this.parts.standing.replaceChildren(...chips.map(([words, deed, keys, onclick]) => el("span", { class: "fs-standing-one" },
      el("span", { text: words }), el("button", { type: "button", class: "fs-standing-deed", text: deed, title: `${deed} (${keys})`, onclick }))));
  }

  #build(host) {
    const tool = (name, onclick) => el("button", { type: "button", class: `fs-button fs-tool is-${name}`, "aria-pressed": "false", onclick },
      svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[name] })));
    const step = (text, title, way) => el("button", {
      type: "button", class: "fs-search-step", text, title, "aria-label": title, hidden: true, onclick: () => this.go(way),
    });
    const parts = {
      input: el("input", { type: "search", class: "fs-search", placeholder: "search text", "aria-label": "Search in the text of the tree (/)", title: "Search in the text (/); Enter: next, Shift+Enter: the one before", autocomplete: "off", spellcheck: "false" }),
      count: el("span", { class: "fs-search-count", "aria-live": "polite" }),
      before: step("‹", "Match before (Shift+Enter)", -1),
      after: step("›", "Next match (Enter)", 1),
      fold: tool("fold", () => this.fold()), hoist: tool("hoist", () => this.hoist()), flag: tool("flag", () => this.bookmark()),
      pruned: tool("pruned", () => this.hidePruned()), sort: tool("sort", () => this.sort()),
      standing: el("div", { class: "fs-standing", hidden: true }),
    };
    parts.box = el("div", { class: "fs-search-box", role: "search" }, parts.input, parts.count, parts.before, parts.after);
    parts.input.addEventListener("input", () => {
      this.search = this.log ? new Search(this.log, parts.input.value) : null;
      this.match = -1;
      this.actions.invalidate();
    });
    parts.input.addEventListener("keydown", (event) => this.#key(event));
    host.append(parts.box, parts.fold, parts.hoist, parts.flag, parts.pruned, parts.sort);
    host.closest(".fs-tree-bar")?.after(parts.standing);
    if (!parts.standing.parentNode) host.append(parts.standing);
    return parts;
  }

  #key(event) {
    if (event.key === "Enter") this.go(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") {
      this.parts.input.value = "";
      this.search = null;
      this.match = -1;
      this.parts.input.blur();
      this.actions.invalidate();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
