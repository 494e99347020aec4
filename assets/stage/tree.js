// The token tree: SVG. What is in sight has a mark, kept by its node's id; far out, small subtrees are folded.

import { arrow } from "./arrows.js";
import { Camera } from "./camera.js";
import { svg } from "./dom.js";
import { Foldings } from "./foldings.js";
import { Layout } from "./layout.js";
import { PROMPT } from "./log.js";
import { front, looks } from "./looks.js";
import { DX, DY, Mark, radiusOf } from "./nodemark.js";
import { Shape } from "./shape.js";
import { holderOf, originOf, placedOf, sight } from "./sight.js";

export { drawLegend } from "./legend.js";

const MARGIN = 60; // pixels around the view in which marks are ready
const KEPT = 3000; // marks that are kept, those out of sight included
const FAR = [0.42, 0.2, 0.1, 0.05]; // below these scales labels make way, dots and lines grow
const TALL = 16; // pixels of a lane that the whole tree is drawn with at most
const EDGE = 36; // pixels that the newest tokens keep from the rim when followed
const DRIFT = 24; // pixels that the newest tokens may be off the middle where they fill the card
const LEAD = 3; // columns by which the view goes ahead where steps come fast: it moves once in as many
const FAST = 160; // milliseconds between two steps below which the view keeps up and does not glide
const NONE = { threshold: 0, stride: 1 };

export class Tree {
  constructor(host, actions) {
    this.folds = svg("g", { class: "fs-folds", role: "presentation" });
    this.edges = svg("g", { class: "fs-edges", "aria-hidden": "true" });
    this.nodes = svg("g", { class: "fs-nodes", role: "presentation" });
    this.foldings = new Foldings(this.folds);
    this.group = svg("g", { class: "fs-world", role: "presentation" }, this.folds, this.edges, this.nodes);
    this.svg = svg("svg", {
      class: "fs-tree-svg", role: "tree", tabindex: "0",
      "aria-label": "Token tree. Arrow keys move between tokens.",
    }, this.group);
    host.append(this.svg);
    this.name = `fs${Math.random().toString(36).slice(2, 8)}`;
    this.actions = actions;
    this.laneFloor = 0; // pixels: far out, lanes are not lower than this, so that a long tree fills its card
    this.isDrawing = false; // a frame is being drawn: what follows the view is drawn after it
    this.moved = () => {}; // told when the view or the layout has changed
    this.camera = new Camera(this.svg, this.group, {
      moved: () => this.#later(),
      tallness: (scale) => Math.max(1, this.laneFloor / (DY * scale)),
      touched: () => {
        this.following = false;
        actions.invalidate();
      },
    });
    this.#listen();
    this.reset(null);
  }

  reset(log) {
    this.log = log;
    this.scene = null;
    this.layout = new Layout(new Shape());
    this.marks = new Map(); // by node id, those last in sight at the end
    this.present = []; // ids that are in the document, rising
    this.level = NONE;
    this.laneFloor = 0;
    this.selected = null;
    this.following = true;
    this.followed = { cursor: -1, at: -Infinity, isFast: false }; // the step whose column was last looked for, and when
    for (const layer of [this.folds, this.edges, this.nodes]) layer.replaceChildren();
    this.camera.stop();
  }

  /** Draw the log as it was after the cursor. */
  draw(scene) {
    if (!this.log) return;
    this.scene = scene;
    this.#lay(scene.shape);
    this.isDrawing = true;
    if (this.following) this.follow(scene.state);
    this.#refresh();
    this.isDrawing = false;
  }

  /** Keep the newest column in sight, as large as the column allows. */
  follow(state, at_once = false) {
    const box = this.#box();
    if (!box) return;
    const { camera } = this;
    const { column, lanes } = front(this.log, this.layout, state);
    const top = Math.min(...lanes);
    const bottom = Math.max(...lanes);
    const scale = Math.max(0.66, Math.min(1.1, (box.height - 48) / ((bottom - top + 1.4) * DY)));
    const x = Math.min(74, box.width - (column + 1.6) * DX * scale);
    const y = box.height / 2 - ((top + bottom) / 2) * DY * scale;
    if (at_once) camera.jump(x, y, scale);
    else {
      this.#catchUp(box, column, top, bottom);
      if (state.cursor !== this.followed.cursor) {
        const at = performance.now();
        this.followed = { cursor: state.cursor, at, isFast: at - this.followed.at < FAST };
      }
      if (this.followed.isFast && Math.abs(scale / camera.scale - 1) < 0.25) camera.stop();
      else camera.glide(x, y, scale);
    }
  }

  /** The whole tree in sight: as wide as the card, and as high where its lanes allow. */
  fit(at_once = false) {
    const box = this.#box();
    if (!box) return;
    this.following = false;
    const [low, high] = this.layout.extent;
    const width = this.layout.columns.length * DX + 120;
    const lane = (box.height - 12) / (high - low + 1.6); // pixels
    const scale = Math.min(1.2, box.width / width, lane / DY);
    this.laneFloor = Math.min(TALL, lane);
    const x = (box.width - (width - 150) * scale) / 2;
    const y = box.height / 2 - ((low + high) / 2) * this.#lanePixels(scale);
    if (at_once) this.camera.jump(x, y, scale);
    else this.camera.glide(x, y, scale);
  }

  zoom(factor) {
    const box = this.#box();
    if (!box) return;
    this.following = false;
    this.camera.zoom(factor, box.width / 2, box.height / 2);
  }

  /** Mark the chosen node; with `reveal` bring it in sight, out of folds too. */
  choose(id, reveal = false) {
    this.selected = id;
    if (this.log && id !== null && reveal) {
      if (this.#shape.reveal(this.log, id)) this.actions.reshape();
      this.#lay(this.#shape);
      this.#reveal(id);
    }
    if (this.scene?.log === this.log) this.#refresh();
  }

  /** Where a node stands in the world: pixels at scale 1. */
  placeOf(id) {
    const tall = this.camera.tallness(this.camera.scale);
    return { x: this.layout.columnOf(this.log, id) * DX, y: this.layout.yOf(id) * DY * tall };
  }

  /** What is in sight: `{left, right, top, bottom}`, in columns and lanes; null while hidden. */
  get window() {
    const box = this.#box();
    return box && this.#around(box, 0);
  }

  /** `window` with `margin` pixels around it, and the pixels of a column and a lane. */
  #around(box, margin) {
    const { x, y, scale } = this.camera;
    const [dx, dy] = [DX * scale, this.#lanePixels(scale)];
    return {
      left: (-x - margin) / dx, right: (box.width - x + margin) / dx,
      top: (-y - margin) / dy, bottom: (box.height - y + margin) / dy, dx, dy,
    };
  }

  #lanePixels(scale) {
    return DY * scale * this.camera.tallness(scale);
  }

  /** Move the view so that a column and a lane are in its middle. */
  centre(column, lane, scale = this.camera.scale, at_once = false) {
    const box = this.#box();
    if (!box) return;
    this.following = false;
    const [x, y] = [box.width / 2 - column * DX * scale, box.height / 2 - lane * this.#lanePixels(scale)];
    if (at_once) this.camera.jump(x, y, scale);
    else this.camera.glide(x, y, scale);
    this.actions.invalidate();
  }

  get #shape() {
    return this.layout.shape;
  }

  /** Lay out what has no place yet. Where the shape changed, what is chosen stays where it is on the screen. */
  #lay(shape) {
    if (shape && shape !== this.layout.shape) this.layout = new Layout(shape);
    const { layout, log, camera } = this;
    const isAnew = layout.y.length > 0 && layout.version !== layout.shape.version;
    const anchors = isAnew ? [this.selected, layout.root].filter((id) => id !== null && !Number.isNaN(layout.yOf(id))) : [];
    const before = anchors.map((id) => [id, this.placeOf(id)]);
    layout.update(log);
    const [id, old] = before.find(([at]) => !Number.isNaN(layout.yOf(at))) ?? [];
    if (id === undefined || this.following) return;
    const { x, y } = this.placeOf(id);
    camera.jump(camera.x + (old.x - x) * camera.scale, camera.y + (old.y - y) * camera.scale, camera.scale);
  }

  /** Bring a node in sight, near enough to be drawn for itself. */
  #reveal(id) {
    const box = this.#box();
    if (!box) return;
    const { camera } = this;
    const { x, y } = this.placeOf(id);
    const [px, py] = [x * camera.scale + camera.x, y * camera.scale + camera.y];
    const isOut = px < 50 || py < 30 || px > box.width - 50 || py > box.height - 30;
    const isFolded = this.scene && holderOf(this.log, this.layout, this.level, id) !== id;
    if (isOut || isFolded) this.centre(this.layout.columnOf(this.log, id), this.layout.yOf(id), isFolded ? Math.max(0.6, camera.scale) : camera.scale);
  }

  /** Size in sight, or null while hidden. Kept, because reading it makes the browser lay out anew. */
  #box() {
    this.size ??= { width: this.svg.clientWidth, height: this.svg.clientHeight };
    return this.size.width && this.size.height ? this.size : null;
  }

  /** The newest tokens are never out of sight, however fast they come: as little as needed, at once. */
  #catchUp(box, column, top, bottom) {
    const { camera } = this;
    const right = column * DX * camera.scale + camera.x;
    const [high, low] = [top, bottom].map((lane) => lane * this.#lanePixels(camera.scale) + camera.y);
    const over = Math.min(0, box.width - EDGE - right);
    const lead = over && this.followed.isFast ? LEAD * DX * camera.scale : 0;
    const dx = over - lead + Math.max(0, Math.min(EDGE, 74) - right);
    const isOut = high < EDGE / 2 || low > box.height - EDGE / 2; // always, where they are higher than the card
    const middle = box.height / 2 - (high + low) / 2;
    const dy = isOut && (over || Math.abs(middle) > DRIFT) ? middle : 0;
    if (dx || dy) camera.set(camera.x + dx, camera.y + dy, camera.scale);
  }

  /** Once a frame, however often the view moved. */
  #later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      if (this.scene?.log === this.log && this.log) this.#refresh();
    });
  }

  /** Bring the marks in line with the scene and the view. */
  #refresh() {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.frame = undefined;
    const { log, layout, scene, camera } = this;
    const ids = this.#pick();
    this.#stack(ids);
    const { state } = scene;
    const live = new Set(state.isOver ? [] : state.rows.map((row) => row.node));
    const lit = scene.focus?.nodes ?? new Set();
    const pointed = this.#drawn(scene.focus?.node ?? null);
    const chosen = this.#drawn(this.selected);
    const distance = FAR.filter((scale) => camera.scale < scale).length;
    for (const id of this.present) {
      const mark = this.marks.get(id);
      mark.setNear(distance < 2);
      const { x, y } = this.placeOf(id);
      mark.moveTo(x, y, this.#origin(id));
      mark.paint(looks(scene, id, { live, lit, pointed, chosen }));
    }
    this.foldings.draw(this);
    if (distance !== this.distance) this.svg.setAttribute("class", ["fs-tree-svg", "is-far", "is-farther", "is-distant", "is-remote"].slice(0, distance + 1).join(" "));
    this.distance = distance;
    const active = this.selected === null ? null : this.marks.get(this.selected)?.mark;
    if (active?.parentNode) this.svg.setAttribute("aria-activedescendant", active.id);
    else this.svg.removeAttribute("aria-activedescendant");
    this.moved();
  }

  /** Ids to be in the document, rising: the root, and what is there at the cursor and in sight. */
  #pick() {
    const { log, layout, scene } = this;
    const box = this.#box() ?? { width: 1000, height: 500 };
    const picked = sight(log, layout, this.#around(box, MARGIN));
    this.level = picked;
    const { hidesPruned } = this.#shape;
    const isThere = (id) => id < scene.state.numNodes && !(hidesPruned && scene.dead[id]);
    const ids = picked.ids.filter(isThere);
    if (layout.root === PROMPT || isThere(layout.root)) ids.push(layout.root);
    return ids.sort((a, b) => a - b);
  }

  /** Let the document hold the marks of `ids` and no others, in their order; those that stay are not touched. */
  #stack(ids) {
    const { log, marks } = this;
    const wanted = new Set(ids);
    for (const id of this.present) {
      if (wanted.has(id)) continue;
      const { mark, edge, fold } = marks.get(id);
      for (const part of [mark, edge, fold]) part?.remove();
    }
    let before = { node: this.nodes.firstChild, edge: this.edges.firstChild };
    for (const id of ids) {
      let mark = marks.get(id);
      if (!mark) marks.set(id, (mark = new Mark(log, log.node(id), this.name)));
      if (mark.mark === before.node) before.node = before.node.nextSibling;
      else this.nodes.insertBefore(mark.mark, before.node);
      if (!mark.edge) continue;
      if (mark.edge === before.edge) before.edge = before.edge.nextSibling;
      else this.edges.insertBefore(mark.edge, before.edge);
    }
    this.present = ids;
    if (marks.size <= KEPT) return;
    for (const id of marks.keys()) if (!wanted.has(id)) marks.delete(id);
  }

  #origin(id) {
    if (id === this.layout.root) return null;
    const origin = originOf(this.log, this.layout, this.level, id);
    return { ...this.placeOf(origin), radius: radiusOf(this.log.node(origin)) };
  }

  /** The node whose mark stands for `id`: itself, or who holds it folded. */
  #drawn(id) {
    if (id === null || !this.log) return null;
    return holderOf(this.log, this.layout, this.level, placedOf(this.log, this.layout, id));
  }

  /** What stands above the tree may grow or go (a line of the tools): what is in sight stays where it is on the page. */
  #resized() {
    this.size = null;
    const top = this.svg.parentElement.offsetParent?.offsetTop ?? this.above;
    const shift = this.svg.clientHeight ? top - (this.above ?? top) : 0;
    this.above = top;
    if (shift && !this.following) this.camera.shift(0, -shift);
  }

  #listen() {
    new ResizeObserver(() => this.#resized()).observe(this.svg);
    const idOf = (event) => {
      const mark = event.target.closest?.("[data-id]");
      return mark ? Number(mark.getAttribute("data-id")) : null;
    };
    const subjectOf = (event) => (idOf(event) === null ? null : { kind: "node", id: idOf(event) });
    this.svg.addEventListener("pointerover", (event) => this.actions.point(subjectOf(event)));
    this.svg.addEventListener("pointerleave", () => this.actions.point(null));
    this.svg.addEventListener("click", (event) => {
      if (this.camera.wasDragged) return;
      if (event.target.closest("[data-fold]")) this.#open(idOf(event));
      else this.actions.select(subjectOf(event));
    });
    this.svg.addEventListener("keydown", (event) => {
      if (!this.scene || event.ctrlKey || event.metaKey || event.altKey) return;
      this.#lay(this.#shape); // it may have changed since it was drawn
      const to = arrow(event.key, this.log, this.layout, this.scene.state.numNodes, this.selected);
      if (to === null) return;
      event.preventDefault();
      this.actions.select({ kind: "node", id: to }, { reveal: true });
    });
  }

  /** A fold was clicked: unfold it, or look at it from nearer by. */
  #open(id) {
    if (this.#shape.collapsed.has(id)) {
      this.#shape.collapse(id, false);
      this.actions.reshape();
      return;
    }
    const { layout } = this;
    this.centre(layout.columnOf(this.log, id) + 1, layout.yOf(id), Math.min(1, this.camera.scale * 3));
  }
}
