// The context as text: each token coloured by how many layers still hold it for one path, crossed where none does.

import { inkOn } from "./contrast.js";
import { el } from "./dom.js";
import { contextOf, departures, factOf, heldBy, positionOf, settingsOf, storedOf } from "./evictfacts.js";
import { count, plural, visibleToken } from "./format.js";
import { heldColor } from "./heldscale.js";
import { onHover } from "./hover.js";
import { readable } from "./outline.js";

export const KEYS = [
  { keys: "← →", words: "the token before, the token after", where: "in the context of Evict" },
  { keys: "Enter", words: "pin the token", where: "in the context of Evict" },
];
const MOST = 3; // departures told of one token

export class Context {
  /** `point(code)`, `pin(code)`: a token is looked at, chosen; `seek(step)`. */
  constructor(host, actions) {
    this.actions = actions;
    this.spans = new Map(); // by token code: {span, key}
    this.name = `fse${Math.random().toString(36).slice(2, 8)}`;
    this.root = el("div", { class: "fs-evict-text", role: "listbox", tabindex: 0, "aria-label": "The context, token by token", "aria-orientation": "horizontal" });
    this.legend = el("div", { class: "fs-keys fs-held-legend" });
    this.about = el("div", { class: "fs-evict-about", "aria-live": "polite" });
    host.append(this.root, this.legend, this.about);
    const codeOf = (event) => {
      const span = event.target.closest?.("[data-code]");
      return span ? Number(span.dataset.code) : null;
    };
    onHover(this.root, (event) => actions.point(codeOf(event)), () => actions.point(null));
    this.root.addEventListener("click", (event) => {
      if (window.getSelection().isCollapsed) actions.pin(codeOf(event));
    });
    this.root.addEventListener("keydown", (event) => this.#key(event));
    this.root.addEventListener("blur", () => actions.point(null));
  }

  reset() {
    this.spans.clear();
    this.root.replaceChildren();
    this.codes = [];
    this.told = this.lit = this.looks = null;
  }

  draw(scene) {
    const { log, state, row, isDark } = scene;
    const tokens = contextOf(log, state, row);
    const codes = tokens.map(({ code }) => code);
    for (const token of tokens) this.#paint(log, token, state.numLayers, isDark);
    if (String(codes) !== String(this.codes)) this.#arrange(codes);
    this.#light(scene);
    this.#legend(state.numLayers, isDark, settingsOf(log));
    this.#tell(scene);
  }

  #arrange(codes) {
    this.codes = codes;
    const wanted = codes.map((code) => this.spans.get(code).span);
    const { children } = this.root;
    wanted.forEach((span, at) => {
      if (children[at] !== span) this.root.insertBefore(span, children[at] ?? null);
    });
    while (children.length > wanted.length) children[wanted.length].remove();
  }

  #paint(log, { code, held, protection }, layers, isDark) {
    const known = this.spans.get(code) ?? this.#add(log, code);
    const key = `${held} ${protection} ${isDark}`;
    if (known.key === key) return;
    known.key = key;
    const color = heldColor(layers ? held / layers : 0, isDark);
    Object.assign(known.span.style, { backgroundColor: color, color: held ? inkOn(color) : "" });
    known.span.dataset.held = held;
    known.span.classList.toggle("is-gone", held === 0);
    known.span.classList.toggle("is-prompt-end", code === -log.prompt.length);
    known.span.classList.toggle("is-sink", protection === "sink");
    known.span.classList.toggle("is-recent", protection === "recent");
  }

  #add(log, code) {
    const { text, raw } = factOf(log, code);
    const span = el("span", { class: "fs-evict-token", role: "option", "data-code": code, id: `${this.name}${code}`, "aria-selected": "false", text: readable(text, raw) });
    const known = { span, key: "" };
    this.spans.set(code, known);
    return known;
  }

  #light({ lit, pinned }) {
    if (this.lit !== lit) {
      this.spans.get(this.lit)?.span.classList.remove("is-lit");
      this.spans.get(lit)?.span.classList.add("is-lit");
      this.lit = lit;
    }
    if (this.pinned !== pinned) {
      this.spans.get(this.pinned)?.span.setAttribute("aria-selected", "false");
      const span = this.spans.get(pinned)?.span;
      span?.setAttribute("aria-selected", "true");
      if (span) this.root.setAttribute("aria-activedescendant", span.id);
      this.pinned = pinned;
    }
  }

  /** Bring a token in sight, within its own box: the page stays where it is. */
  reveal(code) {
    const span = this.spans.get(code)?.span;
    if (!span?.isConnected) return;
    const [box, own] = [this.root.getBoundingClientRect(), span.getBoundingClientRect()];
    if (own.top < box.top) this.root.scrollTop -= box.top - own.top + 8;
    if (own.bottom > box.bottom) this.root.scrollTop += own.bottom - box.bottom + 8;
  }

  #legend(layers, isDark, { policy, strategy, residual_entries: entries }) {
    const key = `${layers} ${isDark}`;
    if (!layers || key === this.looks) return;
    this.looks = key;
    const stops = [...new Set([1, Math.ceil(layers / 2), layers])];
    const sign = (kind, text, style = "") => el("span", { class: "fs-swatch-row" }, el("i", { class: `fs-swatch ${kind}`, style }), el("span", { text }));
    this.legend.replaceChildren(
      ...stops.map((held) => sign("", held === layers ? (layers === 1 ? "held" : `held by all ${count(layers)} layers`) : plural(held, "layer"), `background:${heldColor(held / layers, isDark)}`)),
      sign("is-gone", "evicted everywhere"), sign("is-sink", "protected: sink"), sign("is-recent", "protected: recent"), sign("is-prompt-end", "end of the prompt"),
      policy && strategy === "aggregate" ? el("span", { text: `In each layer up to ${count(entries)} of the held ones stand for others as well, which were folded into them.` }) : "");
  }

  /** Who holds the token in focus, where it was evicted, when and why. */
  #tell({ log, state, row, lit, pinned }) {
    const code = lit ?? pinned;
    const key = `${code} ${state.cursor} ${row.path}`;
    if (key === this.told) return;
    this.told = key;
    this.about.replaceChildren(...(code === null ? [el("p", { class: "fs-hint", text: "Point at a token, or pin one: who holds it, where it left, when and why." })] : this.#words(log, state, row, code)));
  }

  #words(log, state, row, code) {
    const fact = factOf(log, code);
    const name = el("strong", { text: `“${visibleToken(fact.text, fact.raw)}”` });
    const at = ` at position ${count(positionOf(log, code))}${code < 0 ? " of the prompt" : ""}`;
    if (!this.codes.includes(code)) return [el("p", {}, name, el("span", { text: `${at} is not in the text of path ${row.path} at this step.` }))];
    const held = heldBy(state, row).flatMap((own, layer) => (own.has(code) ? [layer] : []));
    const where = el("span", { text: `${at}: ${heldWords(held, state.numLayers, row.path)}` });
    const others = state.rows.filter((one) => one !== row && storedOf(log, state, one).includes(code));
    const also = others.filter((one) => heldBy(state, one).some((own) => own.has(code)));
    const shared = others.length ? el("span", { text: `; of ${plural(others.length, "other path")} with it, ${count(also.length)} still ${also.length === 1 ? "holds" : "hold"} it` }) : "";
    const left = departures(log, code, state.cursor);
    const rows = left.slice(-MOST).reverse().map(({ step, layer, paths, reason }) => el("li", {},
      el("button", { type: "button", class: "fs-link", text: `step ${count(step)}`, onclick: () => this.actions.seek(step) }),
      el("span", { text: ` left ${log.lastOf.size < 2 ? "" : `${paths.length === 1 ? `path ${paths[0]}` : `paths ${paths.join(", ")}`} in `}layer ${layer}: ${reason}` })));
    if (left.length > MOST) rows.push(el("li", { text: `and ${plural(left.length - MOST, "time")} before` }));
    return [el("p", {}, name, where, shared), ...(rows.length ? [el("ul", {}, ...rows)] : [])];
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.codes.length) return;
    const at = this.codes.indexOf(this.lit ?? this.pinned);
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) {
      const code = this.codes[Math.max(0, Math.min(this.codes.length - 1, at < 0 ? 0 : at + by))];
      this.root.setAttribute("aria-activedescendant", this.spans.get(code).span.id);
      this.actions.point(code);
      this.reveal(code);
    } else if (event.key === "Enter" && at >= 0) this.actions.pin(this.codes[at]);
    else return;
    event.preventDefault();
  }
}

function heldWords(held, layers, path) {
  if (!held.length) return `path ${path} holds it in no layer any more`;
  if (held.length === layers) return `path ${path} holds it in ${layers === 1 ? "its one layer" : `all ${count(layers)} layers`}`;
  return `path ${path} holds it in layer${held.length === 1 ? "" : "s"} ${held.join(", ")} of ${count(layers)}`;
}
