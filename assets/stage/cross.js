// What an encoder-decoder model's path looked at in its source when it decided: a cell for each source token.

import { el } from "./dom.js";
import { bytes, plural, probability, shorten, visibleToken } from "./format.js";

const TICKS = [0, 0.1, 0.4, 1];

/** Where a weight stands on the tint's scale, 0..1: a square root, for most of what a long source gets is little. */
export function tintPosition(weight) {
  return Math.sqrt(Math.max(0, Math.min(1, weight)));
}

/**
 * `[{text, weight}]`, an entry a source token in order; weight null where it is too small to have been recorded.
 * Null for models without a source and decisions without a look.
 */
export function looksOf(log, decision) {
  if (!log.source.length || !decision?.look) return null;
  const { tokens, weights } = decision.look;
  const of = new Map(tokens.map((token, at) => [token, weights[at]]));
  return log.source.map(({ text, raw }, at) => ({ text: visibleToken(text, raw), weight: of.get(at) ?? null }));
}

/** The heat map of a decision, with its legend; nothing where the trace has none. */
export function crossMap(log, decision) {
  const looks = looksOf(log, decision);
  if (!looks) return [];
  const least = Math.min(...decision.look.weights);
  return [el("section", { class: "fs-source", "aria-label": "Attention over the source" },
    el("div", { class: "fs-source-head" },
      el("h4", { text: "looked at", title: "Cross-attention of this decision, over the source: mean of the decoder's layers and heads" }), legend()),
    el("ol", { class: "fs-source-cells" }, ...looks.map((look) => cell(look, least))))];
}

function cell({ text, weight }, least) {
  const share = weight === null ? `below ${probability(least)}` : probability(weight);
  const item = el("li", { class: "fs-source-cell", title: `${text}: ${share}`, "aria-label": `${text}: ${share}`, "data-weight": weight ?? "" },
    el("span", { text: shorten(text, 16) }), el("small", { text: weight === null ? "" : probability(weight) }));
  item.style.setProperty("--fs-look-share", `${tintPosition(weight ?? 0) * 100}%`);
  return item;
}

function legend() {
  const ticks = TICKS.map((value) => {
    const tick = el("span", { class: "fs-scale-tick", text: String(value) });
    tick.style.left = `${tintPosition(value) * 100}%`;
    return tick;
  });
  return el("div", { class: "fs-source-legend", "aria-hidden": "true" },
    el("span", { class: "fs-legend-word", text: "share of attention" }),
    el("div", { class: "fs-scale" }, el("div", { class: "fs-scale-bar fs-source-bar" }), ...ticks));
}

/** The cross-attention cache in words, apart from what the paths write; "" where there is none. */
export function crossWords({ cross_tokens: tokens, cross_nbytes: nbytes } = {}) {
  return nbytes ? `${bytes(nbytes)} for ${plural(tokens, "source token")}, once for all paths` : "";
}
