// Colour scales. Entropy uses plasma (Smith & van der Walt 2015, matplotlib): even in lightness, and told
// apart by colour-blind eyes. The ends are trimmed so that no colour drowns in the ground.

const PLASMA = [
  [13, 8, 135], [47, 5, 150], [73, 3, 160], [97, 0, 167], [120, 1, 168], [142, 12, 164], [162, 29, 154],
  [180, 46, 141], [195, 64, 127], [209, 81, 113], [222, 99, 101], [233, 117, 88], [242, 137, 75],
  [249, 157, 62], [253, 180, 48], [252, 204, 37], [246, 229, 38], [240, 249, 33],
];
const TRIM = { light: [0.04, 0.9], dark: [0.17, 0.97] };

/** Plasma at `t` in 0..1 as `rgb(...)`. */
export function plasma(t) {
  const at = Math.max(0, Math.min(1, t)) * (PLASMA.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, PLASMA.length - 1);
  const mixed = PLASMA[low].map((value, i) => Math.round(value + (PLASMA[high][i] - value) * (at - low)));
  return `rgb(${mixed.join(",")})`;
}

/** Colour of a normalised entropy. The scale is a square root: most of what happens is below 0.3. */
export function entropyColor(value, dark) {
  const [from, to] = dark ? TRIM.dark : TRIM.light;
  return plasma(from + (to - from) * entropyPosition(value));
}

/** Where a normalised entropy stands on the legend, 0..1. */
export function entropyPosition(value) {
  return Math.sqrt(Math.max(0, Math.min(1, value)));
}

/** The page's colours for canvases, read from the CSS variables of `element`. */
export function palette(element) {
  const style = getComputedStyle(element);
  const read = (name) => style.getPropertyValue(`--fs-${name}`).trim();
  const names = ["ink", "muted", "faint", "line", "surface", "free", "private", "accent", "logical", "allocated", "unique"];
  const shared = [1, 2, 3, 4, 5].map((at) => read(`shared-${at}`));
  return { ...Object.fromEntries(names.map((name) => [name, read(name)])), shared };
}

/** Colour of a slot that `refs` paths see. */
export function slotColor(refs, colors) {
  if (refs <= 0) return colors.free;
  if (refs === 1) return colors.private;
  const level = Math.min(colors.shared.length - 1, Math.floor(Math.log2(refs)) - 1);
  return colors.shared[Math.max(0, level)];
}

export function isDark(doc = document) {
  return doc.body.classList.contains("dark");
}
