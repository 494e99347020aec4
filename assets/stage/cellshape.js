// The shapes of the slot map's cells, on a canvas.

/** Pixels between two cells of `cell` pixels, which it includes. */
export function gapOf(cell) {
  return cell > 7 ? 1.5 : cell > 3 ? 1 : 0;
}

/** Private cells are round where they are large enough to show it. */
export function roundness(refs, cell) {
  if (cell < 6) return 0;
  return refs === 1 ? cell / 2 - 0.5 : cell > 9 ? 2.5 : 1;
}

/** A square with rounded corners, or none, as the path to fill or stroke. */
export function box(context, x, y, size, round) {
  context.beginPath();
  if (round) context.roundRect(x, y, size, size, round);
  else context.rect(x, y, size, size);
}

/** A dashed, stepped line behind the first `mark` cells. */
export function behind(context, mark, capacity, columns, cell) {
  const row = Math.floor(mark / columns);
  const x = (mark % columns) * cell - 0.75;
  context.setLineDash([3, 2]);
  context.beginPath();
  if (row < Math.ceil(capacity / columns)) context.moveTo(columns * cell, row * cell - 0.75);
  if (x > 0) {
    context.lineTo(x, row * cell - 0.75);
    context.lineTo(x, (row + 1) * cell - 0.75);
  }
  context.lineTo(0, (x > 0 ? row + 1 : row) * cell - 0.75);
  context.stroke();
  context.setLineDash([]);
}
