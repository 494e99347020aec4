// The multiverse: every token a block as high as its share of the run's probability. A click makes one the whole.

import { BlockPainter, Shades } from "./blocks.js";
import { el, inside, isStill, sharpCanvas } from "./dom.js";
import { plural, probability, shorten, visibleToken } from "./format.js";
import { blocks, crumbs, isWithin, stack, there } from "./icicle.js";
import { PROMPT } from "./log.js";
import { beside } from "./outline.js";
import { childrenOf, masses, shownNodes } from "./shape.js";
import { nodeSubject } from "./subject.js";
import { ViewLegend } from "./viewlegend.js";

const NARROW = 46; // pixels: a column in which a usual token can be read
const WIDE = 132; // no column is wider than this
const GLIDE_MS = 280;
const CRUMBS = 5; // named at most, the first and the last ones

export const KEYS = [
  { keys: "← →", words: "the token before, the most probable one after", where: "in the multiverse" },
  { keys: "↑ ↓", words: "the block above or below at the same depth", where: "in the multiverse" },
  { keys: "Enter", words: "make the block the whole, and pin it", where: "in the multiverse" },
  { keys: "Backspace", words: "back to what was the whole before", where: "in the multiverse" },
];

export class Multiverse {
  constructor(host, actions) {
    this.actions = actions;
    this.crumbs = el("nav", { class: "fs-crumbs", "aria-label": "What the whole height stands for" });
    this.whole = el("button", {
      type: "button", class: "fs-button fs-all-columns", "aria-pressed": "false", text: "all columns",
      title: "Squeeze every column in sight, or make them wide enough to read",
    });
    this.canvas = el("canvas", {
      class: "fs-icicle", tabindex: "0", role: "application",
      "aria-label": "Multiverse: the height of a block is its share of the run's probability. Arrow keys move, Enter makes a block the whole, Backspace goes back.",
    });
    this.far = el("span", { class: "fs-fine fs-icicle-far" });
    this.words = el("p", { class: "fs-fine fs-icicle-words", "aria-live": "polite" });
    this.legend = new ViewLegend([["hatched", "pruned"], ["edge", "finished"], ["length", "length limit"], ["undecided", "undecided"]]);
    host.append(el("div", { class: "fs-icicle-head" }, this.crumbs, this.far, this.whole), this.canvas,
      el("div", { class: "fs-icicle-foot" }, this.words, this.legend.row));
    this.#listen();
    this.reset(null);
  }

  reset(log) {
    this.log = log;
    this.scene = null;
    this.key = "";
    this.back = []; // what was the whole before
    this.root = PROMPT; // what is the whole now; where it is not there yet, its nearest ancestor is
    this.squeezed = false;
    this.following = true;
    this.left = 0; // columns out of sight on the left of the root's
    this.view = null; // {top, span, from}: the mass in sight and the first column
    this.glide = null;
    this.current = null;
    this.crumbKey = "";
    this.found = [];
    if (!log) sharpCanvas(this.canvas, () => {});
  }

  draw(scene) {
    if (!this.log) return;
    this.scene = scene;
    const { log, state, shape } = scene;
    const key = `${state.cursor} ${log.length} ${shape.version}`;
    if (key !== this.key) {
      this.key = key;
      const shown = shownNodes(log, shape);
      const kept = new Map(); // one list a node, for a frame asks for them more than once
      this.children = (id) => {
        if (!kept.has(id)) kept.set(id, childrenOf(log, id, shape, state.cursor, shown));
        return kept.get(id);
      };
      this.mass = masses(log, state.cursor);
      this.base = there(log, shape.hoisted, state.cursor);
      this.stack = stack(log, this.children, this.mass, this.base);
    }
    this.#move();
    sharpCanvas(this.canvas, (context, width, height) => this.#paint(context, width, height));
    this.#breadcrumb();
    this.#caption();
    this.legend.draw(scene.tau);
  }

  /** What is the whole at this moment. */
  get top() {
    const root = there(this.log, this.root, this.scene.state.cursor);
    return isWithin(this.log, root, this.base) && this.stack.heights[root + 1] > 0 ? root : this.base;
  }

  /** Make `id` the whole; `null` goes back by one. */
  renormalise(id) {
    if (id === this.top || (id === null && !this.back.length)) return;
    if (id !== null) this.back.push(this.root);
    this.root = id ?? this.back.pop();
    this.left = 0;
    this.following = this.root === this.base; // else what was clicked stays in sight
    this.glide = isStill() || !this.view ? null : { from: { ...this.view }, began: performance.now() };
    this.actions.invalidate();
  }

  /** Where the view is now: at its goal, or on the way there. */
  #move() {
    const goal = this.#goal();
    const share = this.glide ? Math.min(1, (performance.now() - this.glide.began) / GLIDE_MS) : 1;
    if (share === 1) {
      this.glide = null;
      this.view = goal;
      return;
    }
    const ease = 1 - (1 - share) ** 3;
    const between = (name) => this.glide.from[name] + (goal[name] - this.glide.from[name]) * ease;
    this.view = { top: between("top"), span: between("span"), from: between("from"), column: between("column") };
    this.actions.invalidate();
  }

  #goal() {
    const { tops, heights, deepest } = this.stack;
    const top = this.top;
    const { depth } = this.log.node(top);
    const width = this.canvas.clientWidth || 1;
    const columns = deepest - depth + 1;
    const fit = Math.min(WIDE, width / columns);
    const column = this.squeezed ? fit : Math.max(Math.min(NARROW, width), fit);
    this.room = Math.max(0, columns - width / column); // columns that are out of sight
    if (this.following) this.left = this.room;
    this.left = Math.max(0, Math.min(this.room, this.left));
    return { top: tops[top + 1], span: heights[top + 1], from: depth + this.left, column };
  }

  #paint(context, width, height) {
    const { log, scene, view } = this;
    if (this.shades?.colors !== scene.colors || this.shades.isDark !== scene.isDark) this.shades = new Shades(scene.colors, scene.isDark);
    const painter = new BlockPainter(context, scene, this.shades, view.column, height);
    const isSeen = ({ depth }) => (depth + 1 - view.from) * view.column > 0 && (depth - view.from) * view.column < width;
    this.found = blocks(log, this.stack, view, height).filter(isSeen);
    for (const block of this.found) block.x = (block.depth - view.from) * view.column;
    for (const block of this.found) painter.block(block);
    for (const block of this.found) painter.marks(block);
  }

  #breadcrumb() {
    const way = crumbs(this.log, this.children, this.base, this.top);
    const key = way.join();
    if (key === this.crumbKey) return;
    this.crumbKey = key;
    const named = way.length > CRUMBS ? [way[0], null, ...way.slice(2 - CRUMBS)] : way;
    this.crumbs.replaceChildren(...named.map((id, at) => this.#crumb(id, at === named.length - 1)));
  }

  #crumb(id, isLast) {
    if (id === null) return el("span", { class: "fs-crumb-gap", text: "…" });
    const crumb = el("button", {
      type: "button", class: "fs-crumb", text: nameOf(this.log, id), "data-crumb": id,
      "aria-current": isLast ? "true" : null, title: isLast ? "the whole height" : "Make this the whole again",
    });
    crumb.addEventListener("click", () => this.renormalise(id));
    return crumb;
  }

  #caption() {
    const { focus } = this.scene;
    const id = focus?.node ?? null;
    const words = id === null || !this.stack.heights[id + 1] ? this.#overview() : this.blockWords(id);
    const far = this.room > 0.01 ? `${plural(Math.ceil(this.room), "column")} out of sight: drag` : "";
    if (this.far.textContent !== far) this.far.textContent = far;
    if (this.words.textContent !== words) this.words.textContent = this.words.title = words;
  }

  #overview() {
    const whole = this.top === PROMPT ? "" : ` (the whole: ${probability(this.mass[this.top])})`;
    return `Height: share of the run's probability${whole}. A click makes a block the whole.`;
  }

  /** One block in words. */
  blockWords(id) {
    const { state } = this.scene;
    const node = this.log.node(id);
    const share = id === PROMPT ? 1 : this.mass[id];
    const parts = [`${nameOf(this.log, id)}: ${probability(share)} of the run`];
    if (this.top !== PROMPT && isWithin(this.log, id, this.top)) parts.push(`${probability(share / this.mass[this.top])} of what is shown`);
    if (node.decided <= state.cursor) parts.push(`entropy after it ${node.decision.normalized_entropy.toFixed(3)}`);
    const variants = this.children(id).length;
    if (variants > 1) parts.push(plural(variants, "variant"));
    if (node.ended <= state.cursor) parts.push(ENDS[node.status]);
    return `${parts.join(" · ")}.`;
  }

  #at(event) {
    const [x, y] = inside(event, this.canvas);
    const column = this.view?.column ?? 1;
    const hit = this.found.find((block) => x >= block.x && x < block.x + column && y >= block.y && y < block.y + Math.max(1, block.h));
    return hit?.ids[0] ?? null;
  }

  #listen() {
    const { canvas, actions } = this;
    canvas.addEventListener("pointermove", (event) => {
      this.#drag(event);
      if (!this.drag?.isMoving) actions.point(nodeSubject(this.#at(event)));
    });
    canvas.addEventListener("pointerleave", () => actions.point(null));
    canvas.addEventListener("blur", () => {
      if (this.current !== null) actions.point(null);
      this.current = null;
    });
    canvas.addEventListener("click", (event) => !this.drag?.isMoving && this.#click(this.#at(event)));
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.scene) return;
      if (this.#key(event.key)) event.preventDefault();
    });
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => (this.drag = { x: event.clientX, left: this.left, isMoving: false }));
    new ResizeObserver(() => actions.invalidate()).observe(canvas);
    this.whole.addEventListener("click", () => {
      this.squeezed = !this.squeezed;
      this.whole.setAttribute("aria-pressed", String(this.squeezed));
      actions.invalidate();
    });
  }

  #click(id) {
    if (id === null) return this.actions.select(null);
    this.actions.select(nodeSubject(id));
    return this.renormalise(id);
  }

  /** Sideways, and down where that is all a wheel can do; a page that must scroll on scrolls on. */
  #wheel(event) {
    const way = event.deltaX || (event.shiftKey ? event.deltaY : 0);
    if (!way || !this.room) return;
    event.preventDefault();
    this.#pan(this.left + way / this.view.column);
  }

  #drag(event) {
    if (!(event.buttons & 1)) this.drag = null;
    if (!this.drag) return;
    const far = event.clientX - this.drag.x;
    if (!this.drag.isMoving && (Math.abs(far) < 5 || !this.room)) return;
    this.drag.isMoving = true;
    this.canvas.setPointerCapture?.(event.pointerId);
    this.#pan(this.drag.left - far / this.view.column);
  }

  #pan(left) {
    this.left = Math.max(0, Math.min(this.room, left));
    this.following = this.left > this.room - 0.5;
    this.actions.invalidate();
  }

  #key(key) {
    const from = this.#from();
    const moves = {
      ArrowLeft: () => beside(this.log, this.children, from, -1, this.base),
      ArrowRight: () => heaviest(this.children(from), this.mass) ?? from,
      ArrowUp: () => this.#neighbour(from, -1),
      ArrowDown: () => this.#neighbour(from, 1),
    };
    if (key === "Backspace") this.renormalise(null);
    else if (key === "Enter") this.#click(from);
    else if (moves[key]) this.#go(moves[key]());
    else return false;
    return true;
  }

  #go(id) {
    this.current = id;
    this.actions.point(nodeSubject(id));
    const { depth } = this.log.node(id);
    const { from, column } = this.view;
    const seen = this.canvas.clientWidth / column;
    if (depth < from || depth + 1 > from + seen) this.#pan(depth - this.log.node(this.top).depth - seen / 2);
  }

  #from() {
    const pinned = this.scene.pinned?.kind === "node" ? this.scene.pinned.id : null;
    return [this.current, pinned].find((id) => id !== null && this.stack.heights[id + 1] > 0) ?? this.top;
  }

  /** The next block of the same depth above or below. */
  #neighbour(id, way) {
    const { depth } = this.log.node(id);
    const column = this.stack.order.filter((at) => this.log.node(at).depth === depth);
    return column[column.indexOf(id) + way] ?? id;
  }
}

const ENDS = { pruned: "pruned", finished: "ends here", length: "at the length limit", cancelled: "stopped" };

function heaviest(ids, mass) {
  return ids.length ? ids.reduce((best, id) => (mass[id] > mass[best] ? id : best)) : null;
}

function nameOf(log, id) {
  return id === PROMPT ? "prompt" : `“${shorten(visibleToken(log.node(id).text, log.node(id).raw), 16)}”`;
}
