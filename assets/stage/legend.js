// The legends of the tree: the entropy scale, and the shapes that are in the picture.

import { entropyColor } from "./color.js";
import { el } from "./dom.js";

/** The entropy scale, with the run's own threshold on it. */
export function drawLegend(host, threshold, dark, position) {
  const stops = 24;
  const colors = Array.from({ length: stops + 1 }, (_, i) => entropyColor((i / stops) ** 2, dark));
  const bar = el("div", { class: "fs-scale-bar" });
  bar.style.background = `linear-gradient(90deg, ${colors.join(",")})`;
  const ticks = [0, 0.1, 0.3, 0.6, 1].map((value) => {
    const tick = el("span", { class: "fs-scale-tick", text: String(value) });
    tick.style.left = `${position(value) * 100}%`;
    return tick;
  });
  const mark = el("span", { class: "fs-scale-threshold", title: `fork threshold ${threshold}` });
  mark.style.left = `${position(threshold) * 100}%`;
  host.replaceChildren(
    el("span", { class: "fs-legend-word", text: "sure" }),
    el("div", { class: "fs-scale" }, bar, ...(threshold === null ? [] : [mark]), ...ticks),
    el("span", { class: "fs-legend-word", text: "unsure" }),
  );
}
