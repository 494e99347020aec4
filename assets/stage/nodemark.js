// The mark of one node: a dot, its token, its edge (see Edges). Made once, touched where it changed. Its shapes stand at their
// places in the world themselves: a transform a mark would be a layer of the picture each, and thousands of them.

import { entropyColor } from "./color.js";
import { svg } from "./dom.js";
import { DX, FoldMark } from "./foldmark.js";
import { numGiven } from "./force.js";
import { shorten, visibleToken } from "./format.js";
import { PROMPT } from "./log.js";

const BEND = 34; // pixels in which an edge reaches its lane; a token is written on the straight rest
const LABEL = 10; // characters of a token shown on its node
const ROOT = 8; // half the side of the prompt's square
const SIZES = [1, 1.9, 2.6, 3.6, 6]; // of the shapes, by distance (see FAR): lines grow alike, by --k of treemarks.css
const CROSSES = [1, 1.9, 3.6, 5, 6];

/** What a mark can be; each is a class. */
export const FLAGS = [
  "is-dead", "is-live", "is-open", "is-fork", "is-pruned", "is-finished", "is-lit", "is-hovered", "is-selected",
  "is-bookmarked", "is-found", "is-would", "is-wouldnt", "is-cut", "is-collapsed",
];
/** The bits of `FLAGS` by name. */
export const BIT = Object.fromEntries(FLAGS.map((name, at) => [name.slice(3), 1 << at]));
const EXTRAS = { // shapes that only some marks need, by flag
  fork: circle("fs-ring", 3), would: circle("fs-would", 4.5), found: circle("fs-hit-ring", 6.5),
  wouldnt: path("fs-wouldnt", (r) => [["M", -r - 6, r + 6], ["L", r + 6, -r - 6]]),
  cut: path("fs-cut", (r) => [["M", -r - 8, r + 5], ["L", r + 2, -r - 5], ["M", -r - 2, r + 5], ["L", r + 8, -r - 5]]),
  bookmarked: path("fs-flag", (r) => [["M", 0, -r], ["L", 0, -r - 12], ["L", 9, -r - 8.5], ["L", 0, -r - 5]]),
};
const ANY_EXTRA = Object.keys(EXTRAS).reduce((bits, name) => bits | BIT[name], 0);
const BAR = (r) => [["M", r + 5, -r - 1], ["L", r + 5, r + 1]];
const ENDS = { // other shapes for ends: a cross where pruned, a square where finished, a bar at the length limit
  pruned: path("fs-end fs-cross", () => [["M", -4, -4], ["L", 4, 4], ["M", 4, -4], ["L", -4, 4]], CROSSES),
  finished: square("fs-end fs-square", (r) => r + 3, 2.5),
  length: path("fs-end fs-bar", BAR),
  cancelled: path("fs-end fs-bar fs-cancelled", BAR),
};
const DOT = circle("fs-dot", 0);
const ROOT_DOT = square("fs-dot", () => ROOT, 4);

/** Shapes: `make()` an element, `put` it where its node stands: (part, x, y, radius, distance). */
function circle(name, more) {
  return {
    make: () => svg("circle", { class: name }),
    put: (part, x, y, radius, distance) => set(part, { cx: x, cy: short(y), r: short((radius + more) * SIZES[distance]) }),
  };
}

function square(name, half, corner) {
  return {
    make: () => svg("rect", { class: name }),
    put: (part, x, y, radius, distance) => {
      const side = half(radius) * SIZES[distance];
      set(part, { x: short(x - side), y: short(y - side), width: short(2 * side), height: short(2 * side), rx: corner * SIZES[distance] });
    },
  };
}

/** `points(radius)`: `[letter, dx, dy]`, pixels off the node's middle. */
function path(name, points, sizes = SIZES) {
  return {
    make: () => svg("path", { class: name }),
    put: (part, x, y, radius, distance) => part.setAttribute("d", points(radius)
      .map(([letter, dx, dy]) => `${letter}${short(x + dx * sizes[distance])} ${short(y + dy * sizes[distance])}`).join("")),
  };
}

function set(part, attributes) {
  for (const name in attributes) part.setAttribute(name, attributes[name]);
}

function short(value) {
  return Math.round(value * 100) / 100;
}

/** Half the size of a node's dot: its area grows with the token's probability. */
export function radiusOf(node) {
  return node.id === PROMPT ? ROOT : 2.8 + 4.6 * Math.sqrt(node.prob);
}

const originals = new Map(); // what thousands of marks have alike, made once: to copy is quicker

function copyOf(name, make) {
  if (!originals.has(name)) originals.set(name, make());
  return originals.get(name).cloneNode(true);
}

function labelOf(text) {
  const label = copyOf("label", () => svg("text", { class: "fs-label" }));
  label.textContent = text;
  return label;
}

const names = new Map(); // flags -> what they add to a class

function classOf(base, flags) {
  if (!names.has(flags)) names.set(flags, FLAGS.filter((_, at) => flags & (1 << at)).map((name) => ` ${name}`).join(""));
  return base + names.get(flags);
}

export class Mark {
  constructor(log, node) {
    const isRoot = node.id === PROMPT;
    this.node = node;
    this.radius = radiusOf(node);
    this.token = isRoot ? "Prompt" : visibleToken(node.text, node.raw);
    this.base = isRoot ? "fs-node fs-root" : "fs-node";
    this.x = this.y = this.fromX = this.fromY = NaN;
    this.distance = 0; // how far away it was drawn last
    this.round = -1; // of the tree's placings, when it was placed last
    this.look = { flags: 0, entropy: null, ended: "", isDark: null, isExpanded: null };
    this.extras = {};
    this.end = this.fold = null;
    this.edge = { line: "", look: "plain" }; // the root has none
    this.shape = isRoot ? ROOT_DOT : DOT;
    this.mark = copyOf(this.base, () => svg("g", { class: this.base, role: "treeitem", "aria-selected": "false" }, this.shape.make()));
    this.dot = this.mark.firstChild;
    set(this.mark, { "data-id": node.id, "aria-level": node.depth + 2, "aria-label": isRoot ? `Prompt: ${log.promptText().trim().slice(-60)}` : this.token });
    this.labels = isRoot ? rootLabels(log) : [[labelOf(shorten(this.token, LABEL)), -this.radius - 2, -4.5]];
    if (isRoot) this.mark.prepend(svg("title", { text: log.promptText().trim() }));
    this.isWritten = false; // its token is written
    if (isRoot) this.write();
  }

  /** The token is written near by. */
  write() {
    this.isWritten = true;
    this.mark.append(...this.labels.map(([label]) => label));
  }

  /** Far out it would cost and not be seen. */
  unwrite() {
    if (this.node.id === PROMPT || !this.isWritten) return;
    this.isWritten = false;
    for (const [label] of this.labels) label.remove();
  }

  /** Put it at (x, y), its edge coming from `origin`, another mark's `{x, y, radius}`, or null for the root. World pixels. */
  moveTo(x, y, distance, origin) {
    if (x !== this.x || y !== this.y || distance !== this.distance) {
      Object.assign(this, { x, y, distance, fromX: NaN });
      this.#put(this.shape, this.dot);
      for (const name in this.extras) this.#put(EXTRAS[name], this.extras[name]);
      if (this.end) this.#put(ENDS[this.look.ended], this.end);
      for (const [label, dx, dy] of this.labels) set(label, { x: short(x + dx), y: short(y + dy) });
    }
    this.#draw(origin);
  }

  #put(shape, part) {
    shape.put(part, this.x, this.y, this.radius, this.distance);
  }

  #draw(origin) {
    const { x, y } = this;
    if (!origin) {
      this.edge.line = "";
      this.fromX = NaN;
      return;
    }
    if (origin.x === this.fromX && origin.y === this.fromY) return;
    Object.assign(this, { fromX: origin.x, fromY: origin.y });
    const from = origin.x + origin.radius - 1; // from its rim, so that no edge covers a node
    const [high, lane] = [short(origin.y), short(y)];
    const bend = BEND * Math.max(1, (x - origin.x) / DX);
    this.edge.line = `M${short(from)} ${high}C${short(from + bend * 0.65)} ${high} ${short(from + bend * 0.35)} ${lane} ${short(from + bend)} ${lane}H${x}`;
  }

  /** `flags`: bits of FLAGS. `entropy`: normalised, null where undecided. `ended`: a status, or "". Placed before. */
  paint(look) {
    const { flags, entropy, ended, isDark, isExpanded } = look;
    const old = this.look;
    this.look = look;
    if (entropy !== old.entropy || isDark !== old.isDark) {
      if (entropy === null) this.dot.removeAttribute("fill");
      else this.dot.setAttribute("fill", entropyColor(entropy, isDark));
    }
    if (isExpanded !== old.isExpanded) {
      if (isExpanded === null) this.mark.removeAttribute("aria-expanded");
      else this.mark.setAttribute("aria-expanded", String(isExpanded));
    }
    if (ended !== old.ended) this.#endMark(ended);
    const changed = flags ^ old.flags;
    if (!changed) return;
    this.mark.setAttribute("class", classOf(this.base, flags));
    this.edge.look = flags & BIT.lit ? "lit" : flags & BIT.dead ? "dead" : "plain";
    if (changed & BIT.selected) this.mark.setAttribute("aria-selected", String((flags & BIT.selected) > 0));
    if (changed & ANY_EXTRA) for (const name in EXTRAS) this.#extra(name, (flags & BIT[name]) > 0);
  }

  #extra(name, isWanted) {
    const part = this.extras[name];
    if (isWanted && !part) {
      if (name === "fork" && this.node.id === PROMPT) return; // its own rim is drawn strong
      const made = EXTRAS[name].make();
      this.extras[name] = made;
      this.#put(EXTRAS[name], made);
      this.mark.insertBefore(made, this.dot);
    } else if (!isWanted && part) {
      part.remove();
      delete this.extras[name];
    }
  }

  #endMark(ended) {
    this.end?.remove();
    this.end = ended ? ENDS[ended].make() : null;
    if (!this.end) return;
    this.#put(ENDS[ended], this.end);
    this.dot.after(this.end);
  }

  /** Show what is folded here (see FoldMark) at `scale`; null: nothing is. */
  drawFold(fold, scale) {
    if (!fold) {
      this.fold?.group.remove();
      this.fold = null;
      return;
    }
    this.fold ??= new FoldMark(this.node.id, this.radius);
    this.fold.draw(fold, this.x, this.y, scale);
  }

  /** Take it out of the document. */
  remove() {
    this.mark.remove();
    this.fold?.group.remove();
  }
}

function rootLabels(log) {
  const given = numGiven(log);
  const label = (dy, text) => [svg("text", { class: "fs-label fs-label-root", text }), -12, dy];
  return [label(4, "prompt"), ...(given ? [label(18, `+${given} given`)] : [])];
}
