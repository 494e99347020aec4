// The mark of one node: a dot and its token, its edge, and what it holds folded. Made once, painted when changed.

import { entropyColor } from "./color.js";
import { svg } from "./dom.js";
import { numGiven } from "./force.js";
import { plural, probability, shorten, visibleToken } from "./format.js";
import { PROMPT } from "./log.js";

export const DX = 92; // pixels between depths
export const DY = 23; // pixels between lanes
const BEND = 34; // pixels in which an edge reaches its lane; a token is written on the straight rest
const LABEL = 10; // characters of a token shown on its node
const ROOT = 8; // half the side of the prompt's square
const TIP = 26; // pixels: length of the mark of a node that was folded by hand
const LETTER = 6.7; // pixels on the screen that a letter of a fold's words takes
const LINE = 13; // ... and a line of them
const WORDS = 16; // letters of a fold's words, less the digits of its tokens

/** What a mark can be; each is a class. */
export const FLAGS = [
  "is-dead", "is-live", "is-open", "is-fork", "is-pruned", "is-finished", "is-lit", "is-hovered", "is-selected",
  "is-bookmarked", "is-found", "is-would", "is-wouldnt", "is-cut", "is-collapsed",
];
const EXTRAS = { // shapes that only some marks need, by flag
  "is-fork": (r) => svg("circle", { class: "fs-ring", r: (r + 3).toFixed(2) }),
  "is-would": (r) => svg("circle", { class: "fs-would", r: (r + 4.5).toFixed(2) }),
  "is-wouldnt": (r) => svg("path", { class: "fs-wouldnt", d: `M${-r - 6} ${r + 6}L${r + 6} ${-r - 6}` }),
  "is-cut": (r) => svg("path", { class: "fs-cut", d: `M${-r - 8} ${r + 5}L${r + 2} ${-r - 5}M${-r - 2} ${r + 5}L${r + 8} ${-r - 5}` }),
  "is-found": (r) => svg("circle", { class: "fs-hit-ring", r: (r + 6.5).toFixed(2) }),
  "is-bookmarked": (r) => svg("path", { class: "fs-flag", d: `M0 ${-r}V${-r - 12}L9 ${-r - 8.5}L0 ${-r - 5}` }),
};
const ENDS = { // other shapes for ends: a cross where pruned, a square where finished, a bar at the length limit
  pruned: () => svg("path", { class: "fs-end fs-cross", d: "M-4 -4L4 4M4 -4L-4 4" }),
  finished: (r) => svg("rect", { class: "fs-end fs-square", x: -r - 3, y: -r - 3, width: 2 * r + 6, height: 2 * r + 6, rx: 2.5 }),
  length: (r) => svg("path", { class: "fs-end fs-bar", d: `M${r + 5} ${-r - 1}V${r + 1}` }),
  cancelled: (r) => svg("path", { class: "fs-end fs-bar fs-cancelled", d: `M${r + 5} ${-r - 1}V${r + 1}` }),
};

/** Half the size of a node's dot: its area grows with the token's probability. */
export function radiusOf(node) {
  return node.id === PROMPT ? ROOT : 2.8 + 4.6 * Math.sqrt(node.prob);
}

/** "812 tokens · 0.310" */
export function foldWords({ tokens, mass }) {
  return `${plural(tokens, "token")} · ${probability(mass)}`;
}

export class Mark {
  constructor(log, node, name) {
    this.radius = radiusOf(node);
    this.node = node;
    this.token = node.id === PROMPT ? "Prompt" : visibleToken(node.text, node.raw);
    this.extras = {};
    this.end = null;
    this.key = this.place = this.foldKey = "";
    this.fold = null;
    this.edge = node.id === PROMPT ? null : svg("path", { class: "fs-edge" });
    this.dot = node.id === PROMPT
      ? svg("rect", { class: "fs-dot", x: -ROOT, y: -ROOT, width: 2 * ROOT, height: 2 * ROOT, rx: 4 })
      : svg("circle", { class: "fs-dot", r: this.radius.toFixed(2) });
    this.mark = svg("g", {
      class: "fs-node", "data-id": node.id, id: `${name}-${node.id}`, role: "treeitem", "aria-level": node.depth + 2,
      "aria-selected": "false", "aria-label": node.id === PROMPT ? `Prompt: ${log.promptText().trim().slice(-60)}` : this.token,
    }, ...(node.id === PROMPT ? this.#promptParts(log) : [this.dot]));
    this.near = node.id === PROMPT ? [] : this.#tokenParts();
    this.isNear = false;
  }

  /** The token is written, and easy to point at, only near by: far out these parts would cost and not be seen. */
  setNear(isNear) {
    if (isNear === this.isNear) return;
    this.isNear = isNear;
    if (isNear) this.mark.append(...this.near);
    else for (const part of this.near) part.remove();
  }

  #promptParts(log) {
    const words = log.promptText().trim();
    const given = numGiven(log);
    const label = (y, text) => svg("text", { class: "fs-label fs-label-root", x: -12, y, "text-anchor": "end", text });
    const more = given ? [label(18, `+${given} given`)] : [];
    return [svg("title", { text: words }), this.dot, label(4, "prompt"), ...more];
  }

  #tokenParts() {
    const label = svg("text", {
      class: "fs-label", x: (-this.radius - 2).toFixed(1), y: -4.5, "text-anchor": "end", text: shorten(this.token, LABEL),
    });
    return [label, svg("circle", { class: "fs-hit", r: 11 })];
  }

  /** Put it at (x, y), its edge coming from `from`: `{x, y, radius}`, or null for the root. World pixels. */
  moveTo(x, y, from) {
    const place = `${x} ${y.toFixed(1)}`;
    const origin = from ? `${from.x} ${from.y.toFixed(1)}` : "";
    if (this.place === place + origin) return;
    this.place = place + origin;
    this.mark.setAttribute("transform", `translate(${place})`);
    if (!this.edge) return;
    if (!from) {
      this.edge.removeAttribute("d");
      return;
    }
    const px = from.x + from.radius - 1; // from its rim, so that no edge covers a node
    const py = from.y.toFixed(1);
    const bend = BEND * Math.max(1, (x - from.x) / DX);
    const lane = y.toFixed(1);
    this.edge.setAttribute("d", `M${px.toFixed(1)} ${py}C${(px + bend * 0.65).toFixed(1)} ${py} ${(px + bend * 0.35).toFixed(1)} ${lane} ${(px + bend).toFixed(1)} ${lane}H${x}`);
  }

  /** `flags`: bits of FLAGS. `entropy`: normalised, null where undecided. `ended`: a status, or "". */
  paint({ flags, entropy, ended, isDark, isExpanded }) {
    const key = `${flags} ${entropy} ${ended} ${isDark} ${isExpanded}`;
    if (key === this.key) return;
    this.key = key;
    const names = FLAGS.filter((_, at) => flags & (1 << at));
    const base = this.node.id === PROMPT ? "fs-node fs-root" : "fs-node";
    this.mark.setAttribute("class", [base, ...names].join(" "));
    this.edge?.setAttribute("class", ["fs-edge", ...names.filter((name) => EDGE.has(name))].join(" "));
    this.mark.setAttribute("aria-selected", String(names.includes("is-selected")));
    if (isExpanded === null) this.mark.removeAttribute("aria-expanded");
    else this.mark.setAttribute("aria-expanded", String(isExpanded));
    this.dot.style.fill = entropy === null ? "" : entropyColor(entropy, isDark);
    for (const [name, make] of Object.entries(EXTRAS)) this.#extra(name, names.includes(name), make);
    this.#endMark(ended);
  }

  #extra(name, isWanted, make) {
    const part = this.extras[name];
    if (isWanted && !part) {
      if (name === "is-fork" && this.node.id === PROMPT) return; // its own rim is drawn strong
      this.extras[name] = make(this.radius);
      this.mark.insertBefore(this.extras[name], this.dot);
    } else if (!isWanted && part) {
      part.remove();
      delete this.extras[name];
    }
  }

  #endMark(ended) {
    if (this.ended === ended) return;
    this.ended = ended;
    this.end?.remove();
    this.end = ended ? ENDS[ended](this.radius) : null;
    if (this.end) this.dot.after(this.end);
  }

  /**
   * Show what is folded here: `{tokens, mass, isCollapsed, parts: [{top, bottom, reach}], room}` in world pixels (a
   * fold by hand has a shape of its own; `room`: see `roomFor`, null: no words), at `scale`; null: nothing is.
   */
  drawFold(fold, x, y, scale) {
    const key = fold ? foldKey(fold, x, y, scale) : "";
    if (key === this.foldKey) return;
    this.foldKey = key;
    if (!fold) {
      this.fold?.remove();
      this.fold = null;
      return;
    }
    this.fold ??= svg("g", { class: "fs-fold", "data-id": this.node.id, "data-fold": "", "aria-hidden": "true" });
    const words = foldWords(fold);
    const lead = fold.isCollapsed ? "Click to unfold." : "Click to look closer.";
    const shape = svg("path", { class: "fs-fold-shape", d: fold.isCollapsed ? tip(this.radius, x, y) : fold.parts.map((part) => wedge(this.radius, x, y, part)).join("") });
    const label = fold.isCollapsed ? byHand(words, x, y) : fold.room ? within(words, fold.room, scale) : [];
    this.fold.setAttribute("class", `fs-fold${fold.isCollapsed ? " is-collapsed" : ""}`);
    this.fold.replaceChildren(svg("title", { text: `${words} of the run's probability mass, folded. ${lead}` }), shape, ...label);
  }
}

const EDGE = new Set(["is-dead", "is-live", "is-lit"]);

/** Folds of one node that look alike have one key: `parts` reach as far in all, and words are at one place. */
function foldKey({ tokens, mass, isCollapsed, parts, room }, x, y, scale) {
  let sum = 0;
  for (const { top, bottom, reach } of parts) sum += top * 3 + bottom * 7 + reach;
  return `${tokens} ${mass} ${isCollapsed} ${parts.length} ${sum} ${x} ${y} ${room ? `${room.right} ${room.top} ${scale}` : ""}`;
}

/** Folded by hand: a small wedge that opens to the right. */
function tip(radius, x, y) {
  const from = x + radius + 3;
  return `M${from} ${y}L${from + TIP} ${y - 8}V${y + 8}Z`;
}

/** Folded by distance: a wedge as long and as high as what it stands for. */
function wedge(radius, x, y, { top, bottom, reach }) {
  const pad = Math.min(DY * 0.4, 3 + (bottom - top));
  const [high, low] = [(top - pad).toFixed(1), (bottom + pad).toFixed(1)];
  const shoulder = bottom - top < DY ? Math.min(x + DX, reach) : reach; // a single path is a bar
  return `M${(x + radius).toFixed(1)} ${y.toFixed(1)}L${shoulder} ${high}H${reach}V${low}H${shoulder}Z`;
}

function byHand(words, x, y) {
  return [svg("text", { class: "fs-fold-words", x: x + TIP + 18, y: y + 4, text: words })];
}

/** Where on the screen the words of a fold would stand, in its largest wedge; null: there is no room. */
export function roomFor(fold, x, scale) {
  if (fold.isCollapsed) return null;
  const largest = fold.parts.reduce((best, part) => (part.bottom - part.top > best.bottom - best.top ? part : best));
  const digits = Math.floor(Math.log10(fold.tokens)) + 1;
  const width = (WORDS + digits + Math.floor((digits - 1) / 3)) * LETTER;
  if ((largest.bottom - largest.top) * scale < LINE || (largest.reach - x) * scale < width * 1.4) return null;
  const right = largest.reach * scale - 6;
  const middle = ((largest.top + largest.bottom) / 2) * scale;
  return { left: right - width, right, top: middle - LINE / 2, bottom: middle + LINE / 2 };
}

/** Words in the size of the page's own text, whatever the scale. */
function within(words, { right, top }, scale) {
  return [svg("text", {
    class: "fs-fold-words", "text-anchor": "end", y: LINE - 3, text: words,
    transform: `translate(${(right / scale).toFixed(1)} ${(top / scale).toFixed(1)}) scale(${(1 / scale).toFixed(3)})`,
  })];
}
