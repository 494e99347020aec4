// The marks of what is folded in a tree, by hand or because it is far away: how many tokens, what share of the run.

import { DX, DY, roomFor } from "./foldmark.js";
import { reaches } from "./layout.js";
import { counts, masses } from "./shape.js";
import { foldedInto } from "./sight.js";

const PARTS = 400; // wedges one fold is drawn of at most

export class Foldings {
  /** `bands`: the tree's, where they are drawn. */
  constructor(bands) {
    this.bands = bands;
    this.key = "";
  }

  /**
   * Every fold of a node that `tree` shows has its mark; words where they have room and stand in no larger fold's way.
   */
  draw(tree) {
    const { log, layout, level, camera, marks, present, scene } = tree;
    const hasFolds = level.threshold > 0 || layout.shape.collapsed.size > 0;
    if (!hasFolds && !this.key) return;
    this.#remember(log, layout, level, scene.state, hasFolds);
    const folds = present.map((id) => ({ id, ...tree.placeOf(id), fold: hasFolds ? this.#foldOf(tree, id) : null }));
    const said = [];
    for (const { x, fold } of folds.filter((one) => one.fold).sort((a, b) => b.fold.tokens - a.fold.tokens)) {
      const room = roomFor(fold, x, camera.scale);
      fold.room = room && said.every((other) => isClear(room, other)) ? room : null;
      if (fold.room) said.push(room);
    }
    for (const { id, fold } of folds) {
      const mark = marks.get(id);
      mark.drawFold(fold, fold?.isCollapsed ? 1 : camera.scale);
      if (mark.fold && !mark.fold.group.parentNode) this.bands.foldsAt(mark.node).append(mark.fold.group);
    }
  }

  /** What was found for this moment and this level of detail is kept while the view only moves. */
  #remember(log, layout, level, state, hasFolds) {
    const key = hasFolds ? `${layout.epoch} ${layout.y.length} ${level.threshold} ${level.stride} ${state.cursor}` : "";
    if (key === this.key && log === this.log) return;
    this.key = key;
    this.log = log;
    this.contents = new Map(); // id -> {tokens, mass, firsts} or null
    this.extents = hasFolds ? reaches(log, layout, state.numNodes) : null;
  }

  /** What the drawn node holds folded at the cursor; null: nothing. */
  #foldOf(tree, id) {
    if (!this.contents.has(id)) this.contents.set(id, this.#contentOf(tree, id));
    const content = this.contents.get(id);
    if (!content) return null;
    const { top, bottom, reach } = this.extents;
    const lane = DY * tree.camera.tallness(tree.camera.scale);
    const parts = content.isCollapsed ? [] : content.firsts.map((child) => (
      { top: top[child] * lane, bottom: bottom[child] * lane, reach: reach[child] * DX }));
    return { tokens: content.tokens, mass: content.mass, isCollapsed: content.isCollapsed, parts };
  }

  #contentOf({ log, layout, level, scene }, id) {
    const { state } = scene;
    const isCollapsed = layout.shape.collapsed.has(id);
    const all = isCollapsed ? log.node(id).children.filter((child) => child < state.numNodes)
      : foldedInto(log, layout, level, id, state.numNodes);
    if (!all.length) return null;
    const mass = masses(log, state.cursor);
    const count = counts(log, state.cursor);
    const sum = (values) => all.reduce((whole, child) => whole + values[child], 0);
    return { tokens: sum(count), mass: sum(mass), isCollapsed, firsts: all.slice(0, PARTS) };
  }
}

/** Whether two boxes on the screen leave each other alone. */
function isClear(a, b) {
  return a.right < b.left || b.right < a.left || a.bottom < b.top || b.bottom < a.top;
}
