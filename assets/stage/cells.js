// What a cache holds at one moment: a cell is a stored token, as large in every panel of a comparison.

import { slotColor } from "./color.js";
import { sharpCanvas } from "./dom.js";
import { gridFor } from "./pool.js";

const LEAST = 3; // pixels of the smallest cell; more tokens than fit share a cell

/** How many tokens one cell stands for when `slots` of them must fit. */
export function tokensPerCell(slots, width, height) {
  const fits = Math.max(1, Math.floor(width / LEAST) * Math.floor(height / LEAST));
  return Math.max(1, Math.ceil(slots / fits));
}

/** Draw `memory` (a step's, or null) at the scale at which `slots` tokens fit. Returns tokens per cell. */
export function drawCells(canvas, state, memory, slots, colors) {
  let each = 1;
  sharpCanvas(canvas, (context, width, height) => {
    if (!memory?.capacity) return;
    each = tokensPerCell(slots, width, height);
    const { cell, columns } = gridFor(Math.ceil(slots / each), width, height);
    const gap = cell > 6 ? 1.5 : cell > 3 ? 1 : 0.5;
    for (let at = 0; at * each < memory.capacity; at++) {
      context.fillStyle = colorOf(state, memory, at * each, colors);
      context.fillRect((at % columns) * cell, Math.floor(at / columns) * cell, cell - gap, cell - gap);
    }
  });
  return each;
}

/** Only a pool says who sees which slot; elsewhere every stored token is one path's own. */
function colorOf(state, memory, slot, colors) {
  if (state.numPrompt) return slotColor(state.refs[slot] ?? 0, colors);
  return slot < memory.unique_kv_tokens ? colors.private : colors.free;
}
