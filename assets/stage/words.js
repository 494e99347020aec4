// Tokens as they stand in the text: one element each, kept and repainted where something changed.

import { entropyColor, entropyPosition } from "./color.js";
import { el } from "./dom.js";
import { numGiven } from "./force.js";
import { count, plural } from "./format.js";
import { PROMPT } from "./log.js";
import { readable } from "./outline.js";
import { markOf } from "./whatif.js";

const LONG = 700; // characters of a prompt beyond which its middle is left out until somebody asks
const CLASSES = [
  "is-prompt", "is-decided", "is-fork", "is-dead", "is-gained", "is-lost", "is-cut", "is-bookmark", "is-found", "is-special",
];

export class Words {
  constructor(log) {
    this.log = log;
    this.name = `fst${Math.random().toString(36).slice(2, 8)}`;
    this.tokens = new Map(); // by node id: {span, key}
    this.lit = new Map(); // node id -> how it is lit
    this.pinned = null;
    this.hasWholePrompt = false;
  }

  /** The element of a token, if it has one. */
  span(id) {
    return this.tokens.get(id)?.span ?? null;
  }

  showWholePrompt() {
    this.hasWholePrompt = true;
    this.span(PROMPT)?.remove();
    this.tokens.delete(PROMPT);
  }

  /** The element of token `id`, as it is in `scene`. */
  paint(id, { log, state, dead, isDark, trial, shape }) {
    const token = this.tokens.get(id) ?? this.#add(id);
    const node = log.node(id);
    const isDecided = node.decided <= state.cursor;
    const entropy = isDecided ? node.decision.normalized_entropy : 0;
    const isFork = isDecided && node.decision.factor > 1;
    const tried = markOf(trial, node);
    const flags = [
      id === PROMPT, isDecided, isFork && !tried, id !== PROMPT && dead[id] === 1, tried === "gained", tried === "lost", tried === "cut",
      shape.bookmarks.has(id), shape.found.has(id), id !== PROMPT && node.text === "",
    ];
    const key = flags.reduce((bits, flag, at) => bits | (Number(flag) << at), Number(isDark) << 12);
    if (key === token.key) return token.span;
    token.key = key;
    token.span.className = `fs-word${flags.map((flag, at) => (flag ? ` ${CLASSES[at]}` : "")).join("")}`;
    token.span.style.setProperty("--h", isDecided ? entropyColor(entropy, isDark) : "transparent");
    token.span.style.setProperty("--u", entropyPosition(entropy).toFixed(3)); // unsure is thicker as well as brighter
    return token.span;
  }

  /** Light what is in focus, and show what is pinned. */
  light(focus, pinned) {
    const lit = new Map([...(focus?.nodes ?? [])].map((id) => [id, "path"]));
    if (focus && focus.node !== null) lit.set(focus.node, "own");
    for (const id of this.lit.keys()) if (!lit.has(id)) this.span(id)?.removeAttribute("data-lit");
    for (const [id, how] of lit) {
      const span = this.span(id);
      if (span && span.dataset.lit !== how) span.dataset.lit = how;
    }
    this.lit = lit;
    if (pinned !== this.pinned) this.span(this.pinned)?.setAttribute("aria-selected", "false");
    this.pinned = pinned;
    this.span(pinned)?.setAttribute("aria-selected", "true");
  }

  #add(id) {
    const node = this.log.node(id);
    const words = id === PROMPT ? this.#prompt() : [readable(node.text, node.raw)];
    const span = el("span", {
      class: "fs-word", role: "treeitem", "data-id": id, id: `${this.name}-${id}`, "aria-level": node.depth + 2, "aria-selected": "false",
    }, ...words);
    const token = { span, key: -1 };
    this.tokens.set(id, token);
    return token;
  }

  /** The prompt: its last token is where the first decision was taken. */
  #prompt() {
    const texts = this.log.prompt.map((token) => readable(token.text, token.raw));
    const { source } = this.log;
    if (source.length) texts[0] = `${source.map((token) => readable(token.text, token.raw)).join("")} → `;
    const given = numGiven(this.log);
    const last = el("span", { class: `fs-word-last${given ? " fs-path-given" : ""}`, text: texts.pop() ?? "" });
    if (given) {
      const title = `${plural(given, "token")} given, not generated`;
      const words = texts.splice(texts.length - (given - 1)).join("");
      return [...this.#asked(texts.join("")), el("span", { class: "fs-path-given", title, text: words }), last];
    }
    return [...this.#asked(texts.join("")), last];
  }

  /** What was asked, its middle left out where it is long. */
  #asked(text) {
    if (text.length <= LONG || this.hasWholePrompt) return [text];
    const more = el("button", {
      type: "button", class: "fs-more", "data-more": true, text: `… ${count(text.length - LONG)} characters more …`,
    });
    return [text.slice(0, LONG / 2), more, text.slice(-LONG / 2)];
  }
}
