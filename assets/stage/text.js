// The branching text read as text: what all variants share once, then the variants as a foldable outline.
// Rows and tokens are kept by their node and only what changed is touched.

import { entropyColor, entropyPosition } from "./color.js";
import { el } from "./dom.js";
import { count, plural, probability } from "./format.js";
import { PROMPT } from "./log.js";
import { END_WORDS, beside, deepest, itemBeside, outline, readable, variantWords } from "./outline.js";
import { childrenOf, counts, masses, shownNodes } from "./shape.js";
import { nodeSubject } from "./subject.js";

const LONG = 700; // characters of a prompt beyond which its middle is left out until somebody asks
const BEFORE = 240; // characters of what comes before a hoisted token

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
    this.waiting = el("p", { class: "fs-hint fs-outline-waiting", text: "What is hoisted is not there yet at this step.", hidden: true });
    host.append(this.root, this.waiting);
    this.actions = actions;
    this.name = `fst${Math.random().toString(36).slice(2, 8)}`;
    this.#listen();
    this.reset(null);
  }

  reset(log) {
    this.log = log;
    this.rows = new Map(); // by the first token of an item: its elements, and what they show
    this.spans = new Map(); // by node: {span, key}
    this.items = [];
    this.key = "";
    this.current = null; // where the arrow keys are
    this.pinned = null;
    this.lit = new Map(); // node -> how it is lit
    this.hasWholePrompt = false;
    this.root.replaceChildren();
    this.root.scrollTop = 0;
  }

  draw(scene) {
    if (!this.log) return;
    this.scene = scene;
    const { shape, state, isDark, tau } = scene;
    const marks = `${[...shape.bookmarks].join()} ${[...shape.found].join()}`;
    const key = `${state.cursor} ${shape.version} ${isDark} ${tau} ${marks} ${this.hasWholePrompt}`;
    if (key !== this.key) {
      this.key = key;
      this.#layout(scene);
    }
    this.#light(scene);
  }

  #layout(scene) {
    const { log, state, shape } = scene;
    const shown = shownNodes(log, shape);
    this.children = (id) => childrenOf(log, id, shape, state.cursor, shown);
    const isThere = shape.hoisted === PROMPT || log.nodes[shape.hoisted].step <= state.cursor;
    this.items = isThere ? outline(this.children, shape.hoisted) : [];
    this.mass = masses(log, state.cursor);
    this.counts = counts(log, state.cursor);
    this.live = new Set(state.isOver ? [] : state.rows.map((row) => row.node));
    this.root.style.setProperty("--levels", Math.max(1, deepest(this.items)));
    this.waiting.hidden = isThere;
    this.#arrange();
    for (const item of this.items) this.#fill(this.rows.get(item.key), item, scene);
  }

  /** The rows of `items` in their order: what is gone first, so that nothing that stays has to move. */
  #arrange() {
    const wanted = new Set(this.items.map((item) => item.key));
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      row.box.remove();
      this.rows.delete(key);
    }
    let next = this.root.firstChild;
    for (const { key } of this.items) {
      const { box } = this.rows.get(key) ?? this.#addRow(key);
      if (box === next) next = next.nextSibling;
      else this.root.insertBefore(box, next);
    }
  }

  #addRow(key) {
    const fold = el("button", { type: "button", class: "fs-variant-fold", "data-fold": key, tabindex: "-1" });
    const share = el("span", { class: "fs-variant-share" });
    const tail = el("span", { class: "fs-variant-tail" });
    const words = el("p", { class: "fs-variant-text" }, ...this.#before(key), tail);
    const box = el("div", { class: "fs-variant", role: "group" }, fold, share, words);
    const row = { box, fold, share, words, tail, ids: [], label: "", end: "", level: -1 };
    this.rows.set(key, row);
    return row;
  }

  /** What comes before a hoisted token, as plain muted text. */
  #before(key) {
    const { hoisted } = this.scene.shape;
    if (key === PROMPT || key !== hoisted) return [];
    const text = readable(this.log.promptText() + this.log.textOf(this.log.node(key).parent));
    return [el("span", { class: "fs-context", text: text.length > BEFORE ? `… ${text.slice(-BEFORE)}` : text })];
  }

  #fill(row, item, scene) {
    let same = 0;
    const isHere = (id) => this.spans.get(id)?.span.parentNode === row.words;
    while (same < row.ids.length && row.ids[same] === item.ids[same] && isHere(row.ids[same])) same += 1;
    for (const id of row.ids.slice(same)) if (isHere(id)) this.spans.get(id).span.remove();
    for (const id of item.ids) {
      const token = this.spans.get(id) ?? this.#addToken(id);
      if (token.span.parentNode !== row.words) row.words.insertBefore(token.span, row.tail);
      this.#paint(token, id, scene);
    }
    row.ids = item.ids;
    this.#head(row, item, scene);
  }

  #head(row, item, { log, dead, shape, state }) {
    const last = item.ids.at(-1);
    const node = log.node(last);
    const end = last !== PROMPT && node.ended <= state.cursor ? node.status : "";
    const isFolded = shape.collapsed.has(last) && node.children.some((id) => log.nodes[id].step <= state.cursor);
    const isDead = last !== PROMPT && dead[last] === 1;
    const tokens = item.ids.length - Number(item.key === PROMPT);
    const mass = item.key === PROMPT ? null : this.mass[item.key];
    const hidden = isFolded ? this.#below(last) : 0;
    const label = `${mass} ${tokens} ${end} ${hidden} ${item.variants} ${isDead} ${item.level} ${this.live.has(last)}`;
    if (label === row.label) return;
    row.label = label;
    row.box.style.setProperty("--level", item.level);
    row.box.classList.toggle("is-dead", isDead);
    row.box.classList.toggle("is-first", item.level === 0);
    row.box.setAttribute("aria-label", variantWords(item, mass, tokens, end, hidden));
    row.fold.disabled = !item.variants && !isFolded;
    row.fold.dataset.fold = last;
    row.fold.setAttribute("aria-expanded", String(!isFolded));
    row.fold.setAttribute("aria-label", isFolded ? "Unfold what follows" : "Fold the variants below");
    row.share.textContent = mass === null ? "" : probability(mass);
    row.share.title = mass === null ? "" : "Share of the run's probability mass that goes through this variant (pruned paths included)";
    row.share.style.setProperty("--mass", mass ?? 0);
    row.tail.replaceChildren(...tailParts({ end, tokens, hidden, isLive: this.live.has(last) && !end }));
  }

  #below(id) {
    return id === PROMPT ? this.scene.state.numNodes : this.counts[id] - 1;
  }

  #addToken(id) {
    const node = this.log.node(id);
    const span = id === PROMPT ? this.#prompt() : el("span", {
      class: "fs-word", role: "treeitem", "data-id": id, id: `${this.name}-${id}`, "aria-level": node.depth + 2,
      text: readable(node.text, node.raw),
    });
    const token = { span, key: -1 };
    this.spans.set(id, token);
    return token;
  }

  /** The prompt: its last token is where the first decision was taken. */
  #prompt() {
    const span = el("span", { role: "treeitem", "data-id": PROMPT, id: `${this.name}-${PROMPT}`, "aria-level": 1 });
    const texts = this.log.prompt.map((token) => readable(token.text, token.raw));
    const last = texts.pop() ?? "";
    const text = texts.join("");
    if (text.length <= LONG || this.hasWholePrompt) span.append(text);
    else {
      span.append(text.slice(0, LONG / 2), el("button", {
        type: "button", class: "fs-more", "data-more": true, text: `… ${count(text.length - LONG)} characters more …`,
      }), text.slice(-LONG / 2));
    }
    span.append(el("span", { class: "fs-word-last", text: last }));
    return span;
  }

  #paint(token, id, { log, state, dead, isDark, tau, shape }) {
    const node = log.node(id);
    const isDecided = node.decided <= state.cursor;
    const entropy = isDecided ? node.decision.normalized_entropy : 0;
    const isFork = isDecided && node.decision.factor > 1;
    const would = tau === null || tau === undefined || !isDecided ? isFork : entropy >= tau;
    const flags = [
      id === PROMPT, isDecided, isFork && would, id !== PROMPT && dead[id] === 1, would && !isFork, isFork && !would,
      shape.bookmarks.has(id), shape.found.has(id), id !== PROMPT && node.text === "",
    ];
    const key = flags.reduce((bits, flag, at) => bits | (Number(flag) << at), Number(isDark) << 12);
    if (key === token.key) return;
    token.key = key;
    token.span.className = `fs-word${flags.map((flag, at) => (flag ? ` ${CLASSES[at]}` : "")).join("")}`;
    token.span.style.setProperty("--h", isDecided ? entropyColor(entropy, isDark) : "transparent");
    token.span.style.setProperty("--u", entropyPosition(entropy).toFixed(3)); // unsure is thicker as well as brighter
  }

  /** What is in focus, and what is pinned; a newly pinned token is brought in sight. */
  #light({ focus, pinned }) {
    const lit = new Map([...(focus?.nodes ?? [])].map((id) => [id, "path"]));
    if (focus && focus.node !== null) lit.set(focus.node, "own");
    for (const id of this.lit.keys()) if (!lit.has(id)) this.spans.get(id)?.span.removeAttribute("data-lit");
    for (const [id, how] of lit) {
      const span = this.spans.get(id)?.span;
      if (span && span.dataset.lit !== how) span.dataset.lit = how;
    }
    this.lit = lit;
    const id = pinned?.kind === "node" ? pinned.id : null;
    if (id === this.pinned) return;
    for (const [at, isPinned] of [[this.pinned, "false"], [id, "true"]]) {
      if (at !== null) this.spans.get(at)?.span.setAttribute("aria-selected", isPinned);
    }
    this.pinned = id;
    if (id !== null) this.#reach(id);
  }

  #reach(id) {
    const span = this.spans.get(id)?.span;
    if (!span?.isConnected) return;
    this.root.setAttribute("aria-activedescendant", span.id);
    span.scrollIntoView({ block: "nearest" });
  }

  #listen() {
    const { root, actions } = this;
    const idOf = (event) => {
      const span = event.target.closest?.("[data-id]");
      return span ? Number(span.dataset.id) : null;
    };
    root.addEventListener("pointerover", (event) => actions.point(nodeSubject(idOf(event))));
    root.addEventListener("pointerleave", () => actions.point(null));
    root.addEventListener("click", (event) => this.#click(event, idOf(event)));
    root.addEventListener("blur", () => {
      if (this.current !== null) actions.point(null);
      this.current = null;
    });
    root.addEventListener("keydown", (event) => {
      if (event.target !== root || event.ctrlKey || event.metaKey || event.altKey || !this.items.length) return;
      if (this.#key(event.key)) event.preventDefault();
    });
  }

  #click(event, id) {
    if (!window.getSelection().isCollapsed) return; // somebody copies text
    const fold = event.target.closest?.("[data-fold]");
    if (event.target.closest?.("[data-more]")) {
      this.hasWholePrompt = true;
      this.spans.get(PROMPT).span.remove();
      this.spans.delete(PROMPT);
      this.actions.invalidate();
    } else if (fold) this.#fold(Number(fold.dataset.fold));
    else this.actions.select(nodeSubject(id));
  }

  #fold(id) {
    const { shape } = this.scene;
    shape.collapse(id, !shape.collapsed.has(id));
    this.actions.reshape();
  }

  #key(key) {
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

  /** Where the keys start: where they were, else what is pinned, if that is to be seen; else the beginning. */
  #from(start) {
    return [this.current, this.pinned].find((id) => id !== null && this.spans.get(id)?.span.isConnected) ?? start;
  }
}

const CLASSES = [
  "is-prompt", "is-decided", "is-fork", "is-dead", "is-gained", "is-lost", "is-bookmark", "is-found", "is-special",
];

function tailParts({ end, tokens, hidden, isLive }) {
  const parts = [];
  if (isLive) parts.push(el("i", { class: "fs-caret", title: "this path goes on" }));
  if (end) parts.push(el("i", { class: `fs-swatch is-${end}` }), el("span", { text: END_WORDS[end] }));
  if (hidden) parts.push(el("span", { text: `${plural(hidden, "token")} folded` }));
  parts.push(el("span", { class: "fs-variant-length", text: plural(tokens, "token") }));
  return parts;
}
