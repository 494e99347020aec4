// Colours by number: mixing them, and which ink can be read on them (WCAG 2.1 contrast). Pure functions.

/** `#rgb`, `#rrggbb` or `rgb(r, g, b)` as `[r, g, b]` in 0..255. */
export function parseColor(text) {
  const hex = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(text.trim())?.[1];
  if (hex) {
    const wide = hex.length === 3 ? [...hex].map((digit) => digit + digit).join("") : hex;
    return [0, 2, 4].map((at) => parseInt(wide.slice(at, at + 2), 16));
  }
  return text.match(/[\d.]+/g).slice(0, 3).map(Number);
}

/** `share` of the second colour in the first, as `rgb(...)`. */
export function mix(one, other, share) {
  const [a, b] = [parseColor(one), parseColor(other)];
  return `rgb(${a.map((value, at) => Math.round(value + (b[at] - value) * share)).join(",")})`;
}

/** Relative luminance, 0..1. */
export function luminance(color) {
  const [r, g, b] = parseColor(color).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Contrast ratio of two colours, 1..21. */
export function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** Black or white, whichever is read more easily on `ground`: never less than 4.5 to 1. */
export function inkOn(ground) {
  return contrast("#000000", ground) >= contrast("#ffffff", ground) ? "#000000" : "#ffffff";
}
