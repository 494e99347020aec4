// The token tree. What is in sight has a mark, kept by its node's id; far out, small subtrees are folded.

import { Bands } from "./bands.js";
import { Camera } from "./camera.js";
import { el, ownStyles } from "./dom.js";
import { DX, DY } from "./foldmark.js";
import { Foldings } from "./foldings.js";
import { grasp } from "./grasp.js";
import { Guide } from "./guide.js";
import { Layout } from "./layout.js";
import { PROMPT } from "./log.js";
import { looks } from "./looks.js";
import { Mark, radiusOf } from "./nodemark.js";
import { Shape } from "./shape.js";
import { holderOf, isWhole, originOf, placedOf, sight } from "./sight.js";

export { drawLegend } from "./legend.js";

const MARGIN = 60; // pixels around the view in which marks are ready
const KEPT = 3000; // marks that are kept, those out of sight included
const FAR = [0.42, 0.2, 0.1, 0.05]; // below these scales labels make way, dots and lines grow
const CLASSES = ["fs-tree-root", "is-far", "is-farther", "is-distant", "is-remote"];
const LATE = 3; // steps after which a token is written, if it lived, where steps come fast
const NONE = { threshold: 0, stride: 1 };

export class Tree {
  constructor(host, actions) {
    this.world = el("div", { class: "fs-world", role: "presentation" });
    this.bands = new Bands(this.world);
    this.foldings = new Foldings(this.bands);
    this.root = el("div", {
      class: "fs-tree-root", role: "tree", tabindex: "0",
      "aria-label": "Token tree. Arrow keys move between tokens.",
    }, this.world);
    this.host = host;
    ownStyles(host, "treemarks.css").append(this.root);
    this.name = `fs${Math.random().toString(36).slice(2, 8)}`;
    this.actions = actions;
    this.laneFloor = 0; // pixels: far out, lanes are not lower than this, so that a long tree fills its card
    this.isDrawing = false; // a frame is being drawn: what follows the view is drawn after it
    this.moved = () => {}; // told when the view or the layout has changed
    this.camera = new Camera(this.root, this.world, {
      moved: (isFrame) => (isFrame ? this.#now() : this.#later()),
      tallness: (scale) => Math.max(1, this.laneFloor / (DY * scale)),
      touched: () => {
        this.following = false;
        actions.invalidate();
      },
    });
    this.guide = new Guide(this);
    new ResizeObserver(() => this.#resized()).observe(this.root);
    grasp(this);
    this.reset(null);
  }

  reset(log) {
    this.log = log;
    this.scene = null;
    this.layout = new Layout(new Shape());
    this.marks = new Map(); // by node id
    this.present = []; // ids that are in the document, rising
    this.level = NONE;
    this.laneFloor = 0;
    this.selected = null;
    this.following = true;
    this.stands = false; // the view was put somewhere
    this.placed = { key: "", round: 0 }; // when all marks were last placed anew
    this.bands.clear();
    this.camera.stop();
  }

  /** Draw the log as it was after the cursor. */
  draw(scene) {
    if (!this.log) return;
    this.scene = scene;
    this.lay(scene.shape);
    this.isDrawing = true;
    if (this.following) this.guide.follow(scene.state, this.stands ? scene : { at_once: true });
    this.stands ||= this.box !== null;
    this.#refresh();
    this.isDrawing = false;
  }

  /** Keep the newest column in sight. */
  follow(state, at_once = false) {
    this.guide.follow(state, { at_once });
    this.stands ||= this.box !== null;
  }

  /** The whole tree in sight. */
  fit(at_once = false) {
    if (!this.box) return;
    if (this.log && this.layout.base === null) this.lay(this.#shape); // it has not been drawn yet
    this.following = false;
    this.guide.fit(at_once);
  }

  /** Move the view so that a column and a lane are in its middle. */
  centre(column, lane, scale = this.camera.scale, at_once = false) {
    if (!this.box) return;
    this.following = false;
    this.guide.centre(column, lane, scale, at_once);
    this.actions.invalidate();
  }

  zoom(factor) {
    const box = this.box;
    if (!box) return;
    this.following = false;
    this.camera.zoom(factor, box.width / 2, box.height / 2);
  }

  /** Mark the chosen node; with `reveal` bring it in sight, out of folds too. */
  choose(id, reveal = false) {
    this.selected = id;
    if (this.log && id !== null && reveal) {
      if (this.#shape.reveal(this.log, id)) this.actions.invalidate();
      this.lay(this.#shape);
      this.guide.reveal(id);
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
    const box = this.box;
    return box && this.#around(box, 0);
  }

  /** `window` with `margin` pixels around it, and the pixels of a column and a lane. */
  #around(box, margin) {
    const { x, y, scale } = this.camera;
    const [dx, dy] = [DX * scale, this.lanePixels(scale)];
    return {
      left: (-x - margin) / dx, right: (box.width - x + margin) / dx,
      top: (-y - margin) / dy, bottom: (box.height - y + margin) / dy, dx, dy,
    };
  }

  /** Pixels of a lane at a scale. */
  lanePixels(scale) {
    return DY * scale * this.camera.tallness(scale);
  }

  get #shape() {
    return this.layout.shape;
  }

  /** Lay out what has no place yet. Where the shape changed, what is chosen stays where it is on the screen. */
  lay(shape) {
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

  /** Size in sight, or null while hidden. Kept, because reading it makes the browser lay out anew. */
  get box() {
    this.size ??= { width: this.root.clientWidth, height: this.root.clientHeight };
    return this.size.width && this.size.height ? this.size : null;
  }

  /** Once a frame, however often the view moved. */
  #later() {
    if (!this.isDrawing) this.frame ??= requestAnimationFrame(() => this.#now());
  }

  #now() {
    if (this.scene?.log === this.log && this.log) this.#refresh();
    else this.frame = undefined;
  }

  /** Bring the marks in line with the scene and the view. */
  #refresh() {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.frame = undefined;
    const { log, layout, scene, camera } = this;
    const ids = this.#pick();
    this.#make(ids);
    const { state } = scene;
    const live = new Set(state.isOver ? [] : state.rows.map((row) => row.node));
    const lit = scene.focus?.nodes ?? new Set();
    const pointed = this.#drawn(scene.focus?.node ?? null);
    const chosen = this.#drawn(this.selected);
    const distance = FAR.filter((scale) => camera.scale < scale).length;
    const round = this.#round(distance);
    for (const id of ids) {
      const mark = this.marks.get(id);
      if (mark.round !== round) this.#put(mark, distance, round);
      if (!mark.isWritten && distance < 2 && (lit.has(id) || id === chosen || isReadable(scene, mark.node))) mark.write();
      mark.paint(looks(scene, id, { live, lit, pointed, chosen }));
    }
    this.present = ids;
    this.bands.show(ids.map((id) => this.marks.get(id)));
    this.foldings.draw(this);
    if (distance !== this.distance) this.root.setAttribute("class", CLASSES.slice(0, distance + 1).join(" "));
    this.distance = distance;
    const active = this.selected === null ? null : this.marks.get(this.selected)?.mark;
    if (active && !active.id) active.id = `${this.name}-${this.selected}`;
    if (active?.parentNode) this.root.setAttribute("aria-activedescendant", active.id);
    else this.root.removeAttribute("aria-activedescendant");
    this.moved();
  }

  /** Ids to be in the document, rising: the root, and what is there at the cursor and in sight. */
  #pick() {
    const { log, layout, scene } = this;
    const box = this.box ?? { width: 1000, height: 500 };
    const picked = sight(log, layout, this.#around(box, MARGIN));
    this.level = picked;
    const { hidesPruned } = this.#shape;
    const isThere = (id) => id < scene.state.numNodes && !(hidesPruned && scene.dead[id]);
    const ids = picked.ids.filter(isThere);
    if (layout.root === PROMPT || isThere(layout.root)) ids.push(layout.root);
    return ids.sort((a, b) => a - b);
  }

  /** Make the marks of `ids` that are missing; where they are too many, forget the others. */
  #make(ids) {
    const { log, marks } = this;
    for (const id of ids) if (!marks.has(id)) marks.set(id, new Mark(log, log.node(id)));
    if (marks.size <= KEPT) return;
    const wanted = new Set(ids);
    for (const id of marks.keys()) if (!wanted.has(id)) marks.delete(id);
  }

  /** The number of this placing: marks that were placed in it stand where they should. */
  #round(distance) {
    const { layout, level, camera, placed } = this;
    // Else a node's edge begins at who happens to be drawn.
    const key = isWhole(level) ? `${layout.epoch} ${camera.tallness(camera.scale)} ${distance}` : "";
    if (!key || key !== placed.key || layout !== placed.layout) this.placed = { key, layout, round: placed.round + 1 };
    return this.placed.round;
  }

  #put(mark, distance, round) {
    const { id } = mark.node;
    const { x, y } = this.placeOf(id);
    mark.round = round;
    if (distance >= 2) mark.unwrite();
    mark.moveTo(x, y, distance, id === this.layout.root ? null : this.#originOf(id));
  }

  #originOf(id) {
    const origin = originOf(this.log, this.layout, this.level, id);
    return { ...this.placeOf(origin), radius: radiusOf(this.log.node(origin)) };
  }

  /** Marks that the pointer meets beside their dots: those in sight, near by. */
  nearMarks() {
    return this.distance < 2 ? this.present.map((id) => this.marks.get(id)) : [];
  }

  /** The node whose mark stands for `id`: itself, or who holds it folded. */
  #drawn(id) {
    if (id === null || !this.log) return null;
    return holderOf(this.log, this.layout, this.level, placedOf(this.log, this.layout, id));
  }

  /** What stands above the tree may grow or go (a line of the tools): what is in sight stays where it is on the page. */
  #resized() {
    this.size = null;
    const top = this.host.offsetParent?.offsetTop ?? this.above;
    const shift = this.root.clientHeight ? top - (this.above ?? top) : 0;
    this.above = top;
    if (shift && !this.following) this.camera.shift(0, -shift);
    this.actions.invalidate();
  }
}

/** Whether there is time to read a token: not what rushes by, nor, where steps come fast, what was just made or is pruned. */
function isReadable({ state, dead, isFast, isRush }, node) {
  return !isRush && !(isFast && (dead[node.id] || node.step > state.cursor - LATE));
}
