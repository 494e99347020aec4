// The branching text read as text: what all variants share once, then the variants as a foldable outline.
// Paragraphs and tokens are kept by their node and only what changed is touched; of a long outline only what is
// near the part in sight is in the document.

import { el, keptSize } from "./dom.js";
import { onHover } from "./hover.js";
import { PROMPT } from "./log.js";
import { beside, deepest, inSight, itemBeside, lines, outline } from "./outline.js";
import { childrenOf, counts, masses, shownNodes } from "./shape.js";
import { nodeSubject } from "./subject.js";
import { Variant } from "./variant.js";
import { ViewLegend } from "./viewlegend.js";
import { Words } from "./words.js";

const FEW = 120; // paragraphs up to which all are in the document
const LINE = 26; // pixels of a line of text
const GAP = 6; // pixels between paragraphs
const LETTER = 7.6; // pixels of a usual letter
const SPARE = 500; // pixels of text kept above and below what is in sight
const SIGNS = [
  ["underline", "sure to unsure of what follows"], ["fork", "fork"], ["pruned", "pruned"], ["finished", "finished"], ["length", "length limit"],
  ["caret", "goes on"],
];

export const KEYS = [
  { keys: "← →", words: "the token before, the token after (into the first variant)", where: "in the text" },
  { keys: "↑ ↓", words: "the variant above or below", where: "in the text" },
  { keys: "Enter", words: "pin the token", where: "in the text" },
];

export class TextView {
  constructor(host, actions) {
    this.root = el("div", {
      class: "fs-outline", role: "tree", tabindex: "0", "aria-label": "Branching text. Arrow keys move between tokens and variants.",
    });
    this.above = el("div", { class: "fs-outline-space", role: "presentation" });
    this.below = el("div", { class: "fs-outline-space", role: "presentation" });
    this.waiting = el("p", { class: "fs-hint fs-outline-waiting", text: "What is hoisted is not there yet at this step.", hidden: true });
    this.legend = new ViewLegend(SIGNS);
    host.append(this.root, this.waiting, this.legend.row);
    this.actions = actions;
    this.size = keptSize(this.root);
    this.#listen();
    this.reset(null);
  }

  reset(log) {
    this.log = log;
    this.scene = null;
    this.words = new Words(log);
    this.variants = new Map(); // by the first token of an item
    this.heights = new Map(); // by the first token of an item: {length, height} as measured
    this.items = [];
    this.unmeasured = []; // items in the document whose heights are still to be taken
    this.key = "";
    this.current = null; // where the arrow keys are
    this.pinned = null;
    this.levels = 0;
    this.letters = null; // of a line, as wide as the view is
    this.root.replaceChildren(this.above, this.below);
    this.root.scrollTop = this.top = 0; // kept, for to ask lays out what was changed before
  }

  draw(scene) {
    if (!this.log) return;
    this.scene = scene;
    const { shape, state, isDark, tau } = scene;
    const marks = `${[...shape.bookmarks].join()} ${[...shape.found].join()}`;
    const key = `${state.cursor} ${shape.version} ${isDark} ${tau} ${marks} ${this.words.hasWholePrompt}`;
    if (key !== this.key) {
      this.key = key;
      this.#outline(scene);
      this.#window();
    }
    this.legend.draw(tau);
    const id = scene.pinned?.kind === "node" ? scene.pinned.id : null;
    this.words.light(scene.focus, id);
    if (id !== this.pinned) this.#reach((this.pinned = id));
  }

  #outline({ log, state, shape }) {
    const shown = shownNodes(log, shape);
    this.children = (id) => childrenOf(log, id, shape, state.cursor, shown);
    const isThere = shape.hoisted === PROMPT || log.nodes[shape.hoisted].step <= state.cursor;
    this.items = isThere ? outline(this.children, shape.hoisted) : [];
    this.waiting.hidden = isThere;
    this.facts = {
      mass: masses(log, state.cursor), counts: counts(log, state.cursor),
      live: new Set(state.isOver ? [] : state.rows.map((row) => row.node)),
    };
    const levels = Math.max(1, deepest(this.items));
    if (levels === this.levels) return;
    this.levels = levels; // set only where it changed, for then all is laid out anew
    this.root.style.setProperty("--levels", levels);
  }

  /** Put the paragraphs near the part in sight into the document, in their order, and take the others out. */
  #window() {
    this.#measure(); // what stands there, before anything is changed
    const { first, last, above, below } = this.#range();
    const items = this.items.slice(first, last);
    const wanted = new Set(items.map((item) => item.key));
    for (const [key, { box }] of this.variants) {
      if (wanted.has(key)) continue;
      box.remove();
      this.variants.delete(key);
    }
    this.above.style.height = `${above}px`;
    this.below.style.height = `${below}px`;
    let next = this.above.nextSibling;
    for (const item of items) {
      const variant = this.variants.get(item.key) ?? this.#add(item.key);
      if (variant.box === next) next = next.nextSibling;
      else this.root.insertBefore(variant.box, next);
      variant.fill(item, this.words, this.scene, this.facts);
    }
    this.range = `${first} ${last}`;
    this.unmeasured = this.items.length > FEW ? items : [];
  }

  #range() {
    const count = this.items.length;
    if (count <= FEW) return { first: 0, last: count, above: 0, below: 0 };
    return inSight(this.items.map((item) => this.#height(item)), this.top, this.size.height || 400, SPARE);
  }

  /** Pixels of a paragraph: as it was measured, else as its letters need. */
  #height({ key, ids }) {
    const known = this.heights.get(key);
    if (known?.length === ids.length) return known.height;
    this.letters ??= Math.max(12, Math.min(520, this.size.width * 0.6) / LETTER);
    const height = GAP + LINE * lines(this.log, ids, this.letters);
    this.heights.set(key, { length: ids.length, height });
    return height;
  }

  #measure() {
    for (const { key, ids } of this.unmeasured) this.heights.set(key, { length: ids.length, height: this.variants.get(key).box.offsetHeight });
    this.unmeasured = [];
  }

  #add(key) {
    const variant = new Variant();
    this.variants.set(key, variant);
    return variant;
  }

  #scrolled() {
    this.top = this.root.scrollTop;
    if (!this.scene || this.items.length <= FEW) return;
    const { first, last } = this.#range();
    if (`${first} ${last}` === this.range) return;
    this.#window();
    this.words.light(this.scene.focus, this.pinned);
  }

  /** Bring a token in sight. */
  #reach(id) {
    if (id === null) return;
    if (!this.words.span(id)?.isConnected) {
      const at = this.items.findIndex((item) => item.ids.includes(id));
      if (at < 0) return;
      this.top = this.root.scrollTop = this.items.slice(0, at).reduce((sum, item) => sum + this.#height(item), 0) - 60;
      this.#window();
      this.words.light(this.scene.focus, this.pinned);
    }
    const span = this.words.span(id);
    this.root.setAttribute("aria-activedescendant", span.id);
    span.scrollIntoView({ block: "nearest" });
  }

  #listen() {
    const { root, actions } = this;
    const idOf = (event) => {
      const span = event.target.closest?.("[data-id]");
      return span ? Number(span.dataset.id) : null;
    };
    new ResizeObserver(() => {
      this.letters = null;
      this.heights.clear();
    }).observe(root);
    root.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    onHover(root, (event) => actions.point(nodeSubject(idOf(event))), () => actions.point(null));
    root.addEventListener("click", (event) => this.#click(event, idOf(event)));
    root.addEventListener("blur", () => {
      if (this.current !== null) actions.point(null);
      this.current = null;
    });
    root.addEventListener("keydown", (event) => {
      if (event.target !== root || event.ctrlKey || event.metaKey || event.altKey || !this.items.length) return;
      if (this.#press(event.key)) event.preventDefault();
    });
  }

  #click(event, id) {
    if (!window.getSelection().isCollapsed) return; // somebody copies text
    const fold = event.target.closest?.("[data-fold]");
    if (event.target.closest?.("[data-more]")) {
      this.words.showWholePrompt();
      this.actions.invalidate();
    } else if (fold) this.#fold(Number(fold.dataset.fold));
    else this.actions.select(nodeSubject(id));
  }

  #fold(id) {
    const { shape } = this.scene;
    shape.collapse(id, !shape.collapsed.has(id));
    this.actions.invalidate();
  }

  #press(key) {
    const start = this.items[0].key;
    const from = this.#from(start);
    const moves = {
      ArrowLeft: () => beside(this.log, this.children, from, -1, start),
      ArrowRight: () => beside(this.log, this.children, from, 1, start),
      ArrowUp: () => itemBeside(this.items, from, -1),
      ArrowDown: () => itemBeside(this.items, from, 1),
    };
    if (key === "Enter") this.actions.select(nodeSubject(from));
    else if (moves[key]) {
      this.current = moves[key]();
      this.actions.point(nodeSubject(this.current));
      this.#reach(this.current);
    } else return false;
    return true;
  }

  /** Where the keys start: where they were, else what is pinned, if that is shown; else the beginning. */
  #from(start) {
    const isShown = (id) => id !== null && this.items.some((item) => item.ids.includes(id));
    return [this.current, this.pinned].find(isShown) ?? start;
  }
}
