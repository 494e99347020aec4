// One paragraph of the text view: a variant with its share of the probability, its words and how it ended.

import { el } from "./dom.js";
import { plural, probability } from "./format.js";
import { PROMPT } from "./log.js";
import { END_WORDS, readable, variantWords } from "./outline.js";

const BEFORE = 240; // characters shown of what comes before a hoisted token
const SHARE = "Share of the run's probability mass that goes through this variant, of all that was explored (pruned paths included)";

export class Variant {
  constructor() {
    this.context = el("span", { class: "fs-context" }); // what leads up to it, where a hoisted token begins the outline
    this.fold = el("button", { type: "button", class: "fs-variant-fold", tabindex: "-1", "data-fold": "", "aria-expanded": "true", "aria-label": "" });
    this.share = el("span", { class: "fs-variant-share", title: SHARE });
    this.tail = el("span", { class: "fs-variant-tail" });
    this.words = el("p", { class: "fs-variant-text" }, this.context, this.tail);
    this.box = el("div", { class: "fs-variant", role: "group" }, this.fold, this.share, this.words);
    this.ids = [];
    this.key = "";
  }

  /** Show `item` of the outline. `facts`: {mass, counts, live} at the cursor. */
  fill(item, words, scene, facts) {
    const isHere = (id) => words.span(id)?.parentNode === this.words;
    let same = 0;
    while (same < this.ids.length && this.ids[same] === item.ids[same] && isHere(this.ids[same])) same += 1;
    for (const id of this.ids.slice(same)) if (isHere(id)) words.span(id).remove();
    for (const id of item.ids) {
      const span = words.paint(id, scene);
      if (span.parentNode !== this.words) this.words.insertBefore(span, this.tail);
    }
    this.ids = item.ids;
    this.#before(item, scene.log);
    this.#head(item, scene, facts);
  }

  #before({ key, level }, log) {
    const text = level || key === PROMPT ? "" : log.promptText() + log.textOf(log.node(key).parent);
    const shown = text && readable(text.length > BEFORE ? `…${text.slice(-BEFORE)}` : text);
    if (this.context.textContent !== shown) this.context.textContent = shown;
  }

  #head(item, { log, dead, shape, state }, { mass, counts, live }) {
    const last = item.ids.at(-1);
    const node = log.node(last);
    const end = last !== PROMPT && node.ended <= state.cursor ? node.status : "";
    const below = last === PROMPT ? state.numNodes : counts[last] - 1;
    const hidden = shape.collapsed.has(last) ? below : 0;
    const isDead = last !== PROMPT && dead[last] === 1;
    const tokens = item.ids.length - Number(item.key === PROMPT);
    const share = item.key === PROMPT ? null : mass[item.key];
    const isLive = live.has(last) && !end;
    const key = `${share} ${tokens} ${end} ${hidden} ${item.variants} ${isDead} ${item.level} ${isLive} ${last}`;
    if (key === this.key) return;
    this.key = key;
    this.box.style.setProperty("--level", item.level);
    this.box.classList.toggle("is-dead", isDead);
    this.box.classList.toggle("is-first", item.level === 0);
    this.box.setAttribute("aria-label", variantWords(item, share, tokens, end, hidden));
    this.#foldButton(last, item.variants, hidden);
    this.share.textContent = share === null ? "" : probability(share);
    this.share.style.setProperty("--mass", share ?? 0);
    this.tail.replaceChildren(...tailParts(end, tokens, hidden, isLive));
  }

  #foldButton(last, variants, hidden) {
    this.fold.disabled = !variants && !hidden;
    this.fold.dataset.fold = last;
    this.fold.setAttribute("aria-expanded", String(!hidden));
    this.fold.setAttribute("aria-label", hidden ? "Unfold what follows" : "Fold the variants below");
  }
}

function tailParts(end, tokens, hidden, isLive) {
  const parts = [];
  if (isLive) parts.push(el("i", { class: "fs-caret", title: "this path goes on" }));
  if (end) parts.push(el("i", { class: `fs-swatch is-${end}` }), el("span", { text: END_WORDS[end] }));
  if (hidden) parts.push(el("span", { text: `${plural(hidden, "token")} folded` }));
  parts.push(el("span", { class: "fs-variant-length", text: plural(tokens, "token") }));
  return parts;
}
