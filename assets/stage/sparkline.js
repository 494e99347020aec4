// Normalised entropy along the path to a node: a small line, the fork threshold across it, forks ringed.

import { entropyColor, entropyPosition } from "./color.js";
import { inside, svg } from "./dom.js";
import { shorten, visibleToken } from "./format.js";
import { PROMPT } from "./log.js";

const PAD = { left: 5, right: 5, top: 7, bottom: 6 };
const DOTS = 60; // points up to which every one has a dot of its own

/** What is drawn: a point for each decision on the way to `id` that was taken by `cursor`. */
export function pointsOf(log, id, cursor) {
  return [PROMPT, ...log.lineage(id)].map((at) => log.node(at)).filter((node) => node.decided <= cursor)
    .map((node) => ({
      id: node.id, depth: node.depth, entropy: node.decision.normalized_entropy, factor: node.decision.factor,
    }));
}

/** Where `points` stand in a box: x by depth, y on the legend's square-root scale, 1 at the top. */
export function placesOf(points, width, height) {
  const depths = Math.max(1, (points.at(-1)?.depth ?? 0) + 1);
  const y = (value) => PAD.top + (1 - entropyPosition(value)) * (height - PAD.top - PAD.bottom);
  const dx = (width - PAD.left - PAD.right) / depths;
  return { y, dx, places: points.map((point) => ({ ...point, x: PAD.left + (point.depth + 1) * dx, y: y(point.entropy) })) };
}

/**
 * The line as an svg element. `threshold` is the run's own, `tau` one that is tried out (or null). `onpoint(id |
 * null)` hears which point the pointer or the arrow keys are on, `onselect(id)` a click or Enter.
 */
export function sparkline({
  log, id, cursor, threshold = null, tau = null, isDark = false, width = 260, height = 56,
  onpoint = () => {}, onselect = () => {},
}) {
  const { places, y, dx } = placesOf(pointsOf(log, id, cursor), width, height);
  const title = svg("title");
  const light = svg("rect", { class: "fs-spark-light", y: 0, width: Math.max(1, dx).toFixed(1), height, hidden: true });
  const root = svg("svg", {
    class: "fs-spark", viewBox: `0 0 ${width} ${height}`, width, height, role: "group", tabindex: places.length ? 0 : null,
    "aria-label": label(places, threshold),
  }, title, light, svg("path", { class: "fs-spark-ground", d: `M${PAD.left} ${height - PAD.bottom}H${width - PAD.right}` }));
  if (places.length > 1) {
    root.append(svg("path", { class: "fs-spark-line", d: places.map(({ x, y: up }, at) => `${at ? "L" : "M"}${x.toFixed(1)} ${up.toFixed(1)}`).join("") }));
  }
  if (threshold !== null) root.append(level("fs-spark-threshold", y(threshold), width, `fork threshold of the run: ${threshold}`));
  if (tau !== null) root.append(level("fs-spark-tau", y(tau), width, `threshold tried out: ${tau}`));
  for (const place of places) {
    const [isFork, isEnd] = [place.factor > 1, place.id === id];
    if (isFork) root.append(disc("fs-spark-ring", place, 4.6));
    if (!isFork && !isEnd && places.length > DOTS) continue;
    const dot = disc(`fs-spark-dot${isEnd ? " is-end" : ""}`, place, isFork || isEnd ? 3 : 2);
    dot.style.fill = entropyColor(place.entropy, isDark);
    root.append(dot);
  }
  const show = (place) => {
    light.toggleAttribute("hidden", !place);
    if (!place) return;
    light.setAttribute("x", (place.x - Math.max(1, dx) / 2).toFixed(1));
    title.textContent = pointWords(log, place);
  };
  listen(root, places, width, show, onpoint, onselect);
  return root;
}

function label(places, threshold) {
  if (!places.length) return "Entropy along this path: nothing has been decided yet.";
  const forks = places.filter((place) => place.factor > 1).length;
  const high = places.reduce((best, place) => (place.entropy > best.entropy ? place : best));
  const held = threshold === null ? "" : ` The fork threshold is ${threshold}.`;
  return `Normalised entropy at ${places.length} decisions along this path, ${forks} of them forks; at most `
    + `${high.entropy.toFixed(3)}.${held} Arrow keys move between them.`;
}

function level(name, y, width, title) {
  return svg("path", { class: name, d: `M${PAD.left} ${y.toFixed(1)}H${width - PAD.right}` }, svg("title", { text: title }));
}

function disc(name, { x, y }, r) {
  return svg("circle", { class: name, cx: x.toFixed(1), cy: y.toFixed(1), r });
}

/** One point in words. */
export function pointWords(log, { id, entropy, factor }) {
  const node = log.node(id);
  const where = id === PROMPT ? "the prompt" : `“${shorten(visibleToken(node.text, node.raw), 24)}” (depth ${node.depth})`;
  return `after ${where}: entropy ${entropy.toFixed(3)}${factor > 1 ? `, split into ${factor}` : ""}`;
}

/** `show(place)`: it is lit, and what it says is the title; without one, nothing is. */
function listen(root, places, width, show, onpoint, onselect) {
  let current = -1; // where the keyboard is
  let lit = -1;
  const light = (at) => {
    if (at === lit) return;
    lit = at;
    show(places[at]);
    onpoint(places[at]?.id ?? null);
  };
  const stand = (at) => light((current = at));
  const under = (event) => {
    const x = (inside(event, root)[0] * width) / root.clientWidth;
    return places.reduce((best, place, at) => (Math.abs(place.x - x) < Math.abs(places[best].x - x) ? at : best), 0);
  };
  root.addEventListener("pointermove", (event) => places.length && light(under(event)));
  root.addEventListener("pointerleave", () => light(current));
  root.addEventListener("click", (event) => places.length && onselect(places[under(event)].id));
  root.addEventListener("blur", () => stand(-1));
  root.addEventListener("keydown", (event) => {
    const from = current < 0 ? places.length - 1 : current;
    if (event.key === "ArrowLeft") stand(Math.max(0, current < 0 ? from : from - 1));
    else if (event.key === "ArrowRight") stand(Math.min(places.length - 1, current < 0 ? from : from + 1));
    else if (event.key === "Enter" && current >= 0) onselect(places[current].id);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
