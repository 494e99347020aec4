// Thousands of small bars as pixels: a canvas would keep each as a drawing of its own and draw them all again.

/** A colour's 32 bits in an image, on a page's canvas; of bars of less than a pixel the share that they cover. */
export function colorBits(context, color, thick = 1) {
  context.fillStyle = color;
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(context.fillStyle.slice(at, at + 2), 16)); // it says #rrggbb
  return ((Math.round(255 * Math.min(1, thick)) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** Fill the pixels of `image` from `left` to `right` around `middle`, `thick` high, one row at least. */
export function fillBar(image, left, right, middle, thick, bits) {
  const { width, height } = image;
  image.words ??= new Uint32Array(image.data.buffer);
  const rows = Math.max(1, Math.round(thick));
  const top = Math.round(middle - rows / 2);
  const [from, to] = [Math.max(0, Math.floor(left)), Math.min(width, Math.ceil(right))];
  for (let row = Math.max(0, top); row < Math.min(height, top + rows); row++) {
    if (from < to) image.words.fill(bits, row * width + from, row * width + to);
  }
}
