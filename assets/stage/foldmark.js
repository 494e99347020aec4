// The mark of what a node holds folded: a wedge and its words. World pixels, but where a name says otherwise.

import { svg } from "./dom.js";
import { plural, probability } from "./format.js";

export const DX = 92; // pixels between depths
export const DY = 23; // pixels between lanes
const TIP = 26; // pixels: length of the mark of a node that was folded by hand
const LETTER = 6.7; // pixels on the screen that a letter of a fold's words takes
const LINE = 13; // ... and a line of them
const WORDS = 16; // letters of a fold's words, less the digits of its tokens

/** "812 tokens · 0.310" */
export function foldWords({ tokens, mass }) {
  return `${plural(tokens, "token")} · ${probability(mass)}`;
}

export class FoldMark {
  /** `radius`: of the dot of the node `id`. */
  constructor(id, radius) {
    this.radius = radius;
    this.group = svg("g", { class: "fs-fold", "data-id": id, "data-fold": "", "aria-hidden": "true" });
    this.key = "";
  }

  /**
   * Show `{tokens, mass, isCollapsed, parts: [{top, bottom, reach}], room}` of a node at (x, y) (a fold by hand has a
   * shape of its own; `room`: see `roomFor`, null: no words), at `scale`.
   */
  draw(fold, x, y, scale) {
    const key = foldKey(fold, x, y, scale);
    if (key === this.key) return;
    this.key = key;
    const { radius } = this;
    const words = foldWords(fold);
    const lead = fold.isCollapsed ? "Click to unfold." : "Click to look closer.";
    const shape = svg("path", { class: "fs-fold-shape", d: fold.isCollapsed ? tip(radius, x, y) : fold.parts.map((part) => wedge(radius, x, y, part)).join("") });
    const label = fold.isCollapsed ? byHand(words, x, y) : fold.room ? within(words, fold.room, scale) : [];
    this.group.setAttribute("class", `fs-fold${fold.isCollapsed ? " is-collapsed" : ""}`);
    this.group.replaceChildren(svg("title", { text: `${words} of the run's probability mass, folded. ${lead}` }), shape, ...label);
  }
}

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
