// The colours of "how many layers still hold it": one blue from pale to deep, even in lightness, so that it can be read
// without colour; neither entropy's scale (plasma) nor that of shared slots (green) has them. Pure functions.

import { mix } from "./contrast.js";

const ENDS = { light: ["#dfe9f6", "#1f5fa8"], dark: ["#1d2b40", "#8abdf7"] };

/** Colour of a share in 0..1 of the layers; 0 is none of them and has no colour. */
export function heldColor(share, dark) {
  const [from, to] = dark ? ENDS.dark : ENDS.light;
  return share <= 0 ? "transparent" : mix(from, to, Math.min(1, share));
}
