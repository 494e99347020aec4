// The cells of the slot map, on a paper beside the page: those that look as they did are not drawn again.

import { box, gapOf, roundness } from "./cellshape.js";
import { slotColor } from "./color.js";
import { fontOf } from "./dom.js";

/** Colour of a slot: `owner`, its one path's row, or -1, tints a private one. */
function ownColor(refs, owner, colors) {
  if (refs !== 1 || owner < 0 || !colors.own) return slotColor(refs, colors);
  return colors.own[owner % colors.own.length];
}

/** [slots] the row of the one path that sees the slot; -1: none, or several. */
function ownerOf(state) {
  const owners = new Int32Array(state.capacity).fill(-1);
  state.rows.forEach((row, at) => {
    for (const slot of state.visible(row)) if (state.refs[slot] === 1) owners[slot] = at;
  });
  return owners;
}

function tints(element) {
  const style = getComputedStyle(element);
  return [1, 2, 3, 4].map((at) => style.getPropertyValue(`--fs-own-${at}`).trim());
}

export class SlotCells {
  /** `canvas`: the one of the page; its size, font and colours are theirs. */
  constructor(canvas) {
    this.canvas = canvas;
    this.paper = document.createElement("canvas");
    this.reset();
  }

  reset() {
    this.key = "";
  }

  /** The paper with the cells of `state` in `layout`, for a canvas `width` CSS pixels wide. `focus.slots` stay bright. */
  draw(layout, state, colors, focus, width) {
    const { canvas, paper } = this;
    colors.own ??= tints(canvas);
    const key = [canvas.width, canvas.height, layout.cell, layout.columns, colors.ink, layout.order ? `${state.cursor} ${focus?.paths}` : ""].join();
    const context = paper.getContext("2d");
    const isFresh = key !== this.key;
    if (isFresh) {
      this.key = key;
      this.looks = []; // by slot
      Object.assign(paper, { width: canvas.width, height: canvas.height }); // which empties it
      context.scale(canvas.width / width, canvas.width / width);
    }
    this.#cells(context, layout, state, colors, focus?.slots ?? null);
    if (isFresh) this.#labels(context, layout, colors, focus);
    return paper;
  }

  #cells(context, layout, state, colors, lit) {
    const { cell } = layout;
    const gap = gapOf(cell);
    const owners = ownerOf(state);
    const { refs } = state;
    for (let slot = 0; slot < state.capacity; slot++) {
      const isFaded = lit !== null && refs[slot] > 0 && !lit.has(slot);
      const color = ownColor(refs[slot], owners[slot], colors);
      const look = isFaded ? `${color} faded` : color;
      if (this.looks[slot] === look) continue;
      this.looks[slot] = look;
      const [x, y] = layout.at(slot);
      context.clearRect(x - gap / 2, y - gap / 2, cell, cell);
      context.globalAlpha = isFaded ? 0.28 : 1;
      context.fillStyle = color;
      box(context, x, y, cell - gap, roundness(refs[slot], cell));
      context.fill();
    }
    for (let slot = this.looks.length - 1; slot >= state.capacity; slot--) { // an earlier moment: the pool had not grown yet
      const [x, y] = layout.at(slot);
      context.clearRect(x - gap / 2, y - gap / 2, cell, cell);
      this.looks.pop();
    }
    context.globalAlpha = 1;
  }

  #labels(context, { labels, cell }, colors, focus) {
    if (!labels.length) return;
    context.font = `${Math.min(10.5, cell - 0.5)}px ${fontOf(this.canvas, colors)}`;
    context.textBaseline = "middle";
    for (const { text, path, x, y } of labels) {
      context.fillStyle = path !== null && focus?.paths.length === 1 && focus.paths[0] === path ? colors.accent : colors.muted;
      context.fillText(text, x + 1, y + cell / 2 - 0.5);
    }
  }
}
