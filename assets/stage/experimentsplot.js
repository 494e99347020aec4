// A sweep's measure over its axis: a mark a row with its interval, a line for each of the other axes' values.
// Colours and shapes are told apart by colour-blind eyes; the words and lines are CSS, they follow the theme.

import { el, svg } from "./dom.js";
import { bytes, count } from "./format.js";
import { byteTicks, ticks } from "./scale.js";

const HEIGHT = 320;
const PAD = { left: 74, right: 20, top: 30, bottom: 46 };
const WIDE = 8; // an axis whose ends are further apart than this is logarithmic
const SIGNS = [
  (x, y) => svg("circle", { cx: x, cy: y, r: 4.5 }),
  (x, y) => svg("path", { d: `M${x} ${y - 6}L${x + 6} ${y}L${x} ${y + 6}L${x - 6} ${y}Z` }),
  (x, y) => svg("rect", { x: x - 4.2, y: y - 4.2, width: 8.4, height: 8.4 }),
  (x, y) => svg("path", { d: `M${x} ${y - 6}L${x + 5.5} ${y + 4.5}H${x - 5.5}Z` }),
  (x, y) => svg("path", { d: `M${x} ${y + 6}L${x + 5.5} ${y - 4.5}H${x - 5.5}Z` }),
  (x, y) => svg("path", { d: `M${x - 5} ${y}H${x + 5}M${x} ${y - 5}V${y + 5}`, "stroke-width": 2.4 }),
];

/** A value as people read it, in its unit. */
export function shown(value, unit) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (unit === "B") return bytes(value);
  const text = Number.isInteger(value) || Math.abs(value) >= 1000 ? count(Math.round(value)) : String(Number(value.toPrecision(4)));
  return unit ? `${text} ${unit}` : text;
}

/** Rows by their values on the axes that vary, but for `x`: `Map` of a name to its rows, in order of x where that is one. */
export function series({ axes, rows }, x) {
  const varying = axes.filter((axis) => axis !== x && new Set(rows.map((row) => String(row[axis]))).size > 1);
  const groups = new Map();
  for (const row of rows) {
    const name = varying.map((axis) => `${axis} ${shown(row[axis], "")}`).join(", ");
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(row);
  }
  for (const own of groups.values()) if (own.every((row) => typeof row[x] === "number")) own.sort((a, b) => a[x] - b[x]);
  return groups;
}

/** The axis that stands below: the sweep's own, or the one of most values. */
export function axisOf({ x, axes, rows }) {
  if (x && rows.some((row) => row[x] !== undefined)) return x;
  const variety = (axis) => new Set(rows.map((row) => String(row[axis]))).size;
  return axes.reduce((best, axis) => (variety(axis) > variety(best) ? axis : best), axes[0]);
}

/** Where each of `values` stands, 0 to 1, and whether that is by its logarithm. */
export function places(values) {
  const isNumber = values.every((value) => typeof value === "number");
  const known = [...new Set(values)];
  if (!isNumber || known.length === 1) {
    const order = new Map(known.map((value, at) => [value, (at + 0.5) / known.length]));
    return { at: (value) => order.get(value), known, isLog: false };
  }
  known.sort((a, b) => a - b);
  const isLog = known[0] > 0 && known.at(-1) / known[0] > WIDE;
  const scale = isLog ? Math.log : (value) => value;
  const [low, high] = [scale(known[0]), scale(known.at(-1))];
  return { at: (value) => 0.04 + (0.92 * (scale(value) - low)) / (high - low), known, isLog };
}

export class Plot {
  /** `open(row)` is told which mark was clicked. */
  constructor({ open }) {
    this.open = open;
    this.svg = svg("svg", { class: "fs-sweep-svg", role: "img" });
    this.legend = el("div", { class: "fs-keys" });
    this.note = el("p", { class: "fs-card-note" });
    this.root = el("figure", { class: "fs-sweep-plot" }, this.svg, this.legend, this.note);
    this.width = 760;
    new ResizeObserver(() => {
      if (!this.root.clientWidth || this.root.clientWidth === this.width) return;
      this.width = this.root.clientWidth;
      if (this.drawn) this.draw(...this.drawn);
    }).observe(this.root);
  }

  /** `sweep`: a message of the server; `name`: of the measure. */
  draw(sweep, name) {
    this.drawn = [sweep, name];
    const x = axisOf(sweep);
    const { title, unit, timing } = sweep.measures[name];
    const rows = sweep.rows.filter((row) => typeof row[name] === "number" && row[x] !== undefined);
    const low = (row) => row[`${name}_low`] ?? row[name];
    const high = (row) => row[`${name}_high`] ?? row[name];
    const groups = series({ ...sweep, rows }, x);
    const spots = places(rows.map((row) => row[x]));
    const top = Math.max(0, ...rows.map(high));
    const bottom = Math.min(0, ...rows.map(low));
    const values = unit === "B" ? byteTicks(top).values : ticks(top);
    const below = bottom < 0 ? ticks(-bottom).slice(1).map((value) => -value) : [];
    const levels = [...below.reverse(), ...values];
    const [first, last] = [levels[0], levels.at(-1)];
    this.x = (value) => PAD.left + spots.at(value) * (this.width - PAD.left - PAD.right);
    this.y = (value) => HEIGHT - PAD.bottom - ((value - first) / (last - first)) * (HEIGHT - PAD.top - PAD.bottom);
    this.svg.replaceChildren(...this.#axes(levels, spots, unit, { x, name }), ...[...groups.values()].flatMap((own, at) => this.#line(own, at, { x, name, unit, low, high })));
    this.svg.setAttribute("aria-label", `${title} over ${x}: ${rows.map((row) => `${shown(row[x], "")}: ${shown(row[name], unit)}`).join("; ")}`);
    this.legend.replaceChildren(...(groups.size > 1 ? [...groups.keys()].map((word, at) => this.#key(word, at)) : []));
    this.legend.hidden = groups.size < 2;
    this.note.textContent = this.#note(rows, name, { title, unit, timing });
  }

  #note(rows, name, { title, unit, timing }) {
    const seeds = [...new Set(rows.map((row) => row.repeats).filter(Boolean))];
    const hasBars = rows.some((row) => typeof row[`${name}_low`] === "number");
    return [
      `${title}${unit ? `, ${unit === "B" ? "bytes" : unit}` : ""}.`,
      seeds.length ? `n = ${seeds.join(" or ")} seed${Math.max(...seeds) > 1 ? "s" : ""} a row${hasBars ? "; bars: bootstrap 95 % interval" : ""}.` : "",
      timing ? "Median of times on this machine; another one, or a busier one, gives others." : "",
    ].filter(Boolean).join(" ");
  }

  #axes(levels, { known, isLog }, unit, { x, name }) {
    const base = HEIGHT - PAD.bottom;
    const text = (px, py, words, anchor) => svg("text", { class: "fs-tick", x: px, y: py, "text-anchor": anchor, text: words });
    const each = Math.ceil((known.length * 80) / this.width);
    return [
      ...levels.map((value) => svg("line", { class: value === 0 ? "fs-grid-line is-zero" : "fs-grid-line", x1: PAD.left, x2: this.width - PAD.right, y1: this.y(value), y2: this.y(value) })),
      ...levels.map((value) => text(PAD.left - 8, this.y(value) + 3.5, shown(value, unit === "B" ? "B" : ""), "end")),
      ...known.filter((_, at) => at % each === 0).map((value) => text(this.x(value), base + 16, shown(value, ""), "middle")),
      text(PAD.left - 60, 14, unit && unit !== "B" ? `${name}, ${unit}` : name, "start"),
      text(this.width - PAD.right, HEIGHT - 8, isLog ? `${x}, logarithmic` : x, "end"),
    ];
  }

  #line(rows, at, { x, name, unit, low, high }) {
    const spot = (row) => [this.x(row[x]), this.y(row[name])];
    const path = rows.map((row, step) => `${step ? "L" : "M"}${spot(row).map((px) => px.toFixed(1)).join(" ")}`).join("");
    return [svg("g", { class: "fs-sweep-series", "data-series": at % SIGNS.length },
      svg("path", { class: "fs-sweep-line", d: path }),
      ...rows.flatMap((row) => {
        const [px] = spot(row);
        const [up, down] = [this.y(high(row)), this.y(low(row))];
        const bar = svg("path", { class: "fs-sweep-bar", d: `M${px} ${up}V${down}M${px - 4} ${up}H${px + 4}M${px - 4} ${down}H${px + 4}` });
        const mark = svg("g", { class: "fs-sweep-mark", tabindex: "0", role: "button", "aria-label": `${row.name}: ${shown(row[name], unit)}` }, SIGNS[at % SIGNS.length](...spot(row)),
          svg("title", { text: `${row.name}: ${shown(row[name], unit)}${high(row) > low(row) ? ` (${shown(low(row), "")} to ${shown(high(row), "")})` : ""}. Click: this run in Explore` }));
        mark.addEventListener("click", () => this.open(row));
        mark.addEventListener("keydown", (event) => event.key === "Enter" && this.open(row));
        return [...(high(row) > low(row) ? [bar] : []), mark];
      }))];
  }

  #key(word, at) {
    return el("span", { class: "fs-swatch-row" }, svg("svg", { class: "fs-sweep-key fs-sweep-series", "data-series": at % SIGNS.length, viewBox: "0 0 16 16", width: 14, height: 14 }, SIGNS[at % SIGNS.length](8, 8)), el("span", { text: word }));
  }
}
