// Memory and time of several runs, as lines on one scale. Colours are CSS variables: they follow the theme.

import { el, inside, svg } from "./dom.js";
import { bytes, count, plural, seconds } from "./format.js";
import { byteTicks, ticks } from "./scale.js";

const SIZE = { width: 520, height: 216 };
const PAD = { left: 62, right: 16, top: 10, bottom: 34 };

export class Curves {
  /** `seek(panel, step)` is told where people click. */
  constructor(host, { seek }) {
    this.memory = new Chart("KV cache", "allocated (solid) and in use (dotted)", seek);
    this.pace = new Chart("Pace", "tokens chosen so far, also pruned ones", seek);
    host.append(el("div", { class: "fs-curves" }, this.memory.root, this.pace.root));
  }

  /** `panels`: those shown; `mode` as the cursor's: "step" puts tokens under the bytes, "second" time. */
  draw(panels, mode) {
    const runs = panels.filter((panel) => panel.length);
    const bySecond = mode === "second";
    const lines = runs.map((panel) => ({ panel, times: panel.times, ...panel.curves }));
    this.memory.draw({
      lines: lines.map((line) => ({ ...line, x: bySecond ? line.times : line.chosen, ys: [line.allocated, line.used] })),
      x: bySecond ? TIME : TOKENS,
      y: bytesAxis, say: (line, step) => `${bytes(line.allocated[step])} allocated, ${bytes(line.used[step])} in use`,
    });
    this.pace.draw({
      lines: lines.map((line) => ({ ...line, x: line.times, ys: [line.chosen] })),
      x: TIME,
      y: countAxis, say: (line, step) => `${plural(line.chosen[step], "token")} after ${seconds(line.times[step])}`,
    });
  }
}

const TIME = { label: "seconds since the run’s own start", show: seconds, least: 0 };
const TOKENS = { label: "tokens chosen so far, also pruned ones", show: count, least: 1 };
const bytesAxis = (top) => {
  const { unit, size, values } = byteTicks(top);
  return { values, show: (value) => `${count(value / size)} ${unit}` };
};
const countAxis = (top) => ({ values: ticks(top, 4, 1), show: count });

class Chart {
  constructor(title, words, seek) {
    this.seek = seek;
    this.key = "";
    this.svg = svg("svg", { class: "fs-chart", viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img" });
    this.tip = el("p", { class: "fs-curve-tip" });
    this.root = el("figure", { class: "fs-curve" },
      el("figcaption", {}, el("h4", { text: title }), el("span", { class: "fs-card-note", text: words })), this.svg, this.tip);
    this.title = title;
    this.svg.addEventListener("pointermove", (event) => this.#point(event));
    this.svg.addEventListener("pointerleave", () => this.#tell(null));
    this.svg.addEventListener("click", (event) => this.#click(event));
  }

  draw({ lines, x, y, say }) {
    const isSame = this.lines?.length === lines.length && lines.every(({ panel }, at) => panel === this.lines[at].panel);
    Object.assign(this, { lines, say });
    const key = JSON.stringify([x.label, lines.map((line) => line.x.length)]);
    if (key !== this.key || !isSame) {
      this.key = key;
      const right = Math.max(0, ...lines.map((line) => line.x.at(-1) ?? 0));
      const top = Math.max(0, ...lines.flatMap((line) => line.ys.map((values) => values.reduce((a, b) => Math.max(a, b), 0))));
      const axes = { x: ticks(right, 5, x.least), y: y(top) };
      const across = axes.x.at(-1);
      this.x = (value) => PAD.left + (value / across) * (SIZE.width - PAD.left - PAD.right);
      this.y = (value) => SIZE.height - PAD.bottom - (value / axes.y.values.at(-1)) * (SIZE.height - PAD.top - PAD.bottom);
      this.valueAt = (px) => ((px - PAD.left) / (SIZE.width - PAD.left - PAD.right)) * across;
      this.svg.replaceChildren(...this.#axes(axes, x), ...lines.flatMap((line, at) => this.#line(line, at)), this.#dots());
      this.svg.setAttribute("aria-label", `${this.title}: ${lines.map((line) => `${line.panel.word} ends at ${say(line, line.x.length - 1)}`).join("; ")}`);
    }
    this.place();
  }

  #axes(axes, { label, show }) {
    const bottom = SIZE.height - PAD.bottom;
    const text = (x, y, words, anchor) => svg("text", { class: "fs-tick", x, y, "text-anchor": anchor, text: words });
    return [
      ...axes.y.values.map((value) => svg("line", { class: "fs-grid-line", x1: PAD.left, x2: SIZE.width - PAD.right, y1: this.y(value), y2: this.y(value) })),
      ...axes.y.values.map((value) => text(PAD.left - 7, this.y(value) + 3.5, axes.y.show(value), "end")),
      ...axes.x.map((value) => text(this.x(value), bottom + 15, show(value), "middle")),
      text(SIZE.width - PAD.right, SIZE.height - 4, label, "end"),
    ];
  }

  /** A line that later ones cover shows as a rim around them. */
  #line(line, at) {
    const covered = this.lines.slice(at + 1).filter((other) => ["x", "ys"].every((name) => String(other[name]) === String(line[name]))).length;
    return line.ys.map((values, kind) => svg("path", {
      class: `fs-curve-line ${kind ? "is-dotted" : ""}`, "data-panel": line.panel.key, ...line.panel.data, d: this.#steps(line.x, values),
      "stroke-width": kind ? 1.6 : 1.8 + 2.6 * covered,
    }));
  }

  #steps(x, values) {
    let path = `M${this.x(0).toFixed(1)} ${this.y(0).toFixed(1)}`;
    x.forEach((value, at) => (path += `H${this.x(value).toFixed(1)}V${this.y(values[at]).toFixed(1)}`));
    return path;
  }

  #dots() {
    this.dots = this.lines.map(({ panel }) => svg("circle", { class: "fs-curve-dot", r: 4.5, "data-panel": panel.key, ...panel.data }));
    return svg("g", {}, ...this.dots);
  }

  place() {
    (this.lines ?? []).forEach((line, at) => {
      const step = Math.min(line.panel.cursor, line.x.length - 1);
      this.dots[at].setAttribute("cx", this.x(step < 0 ? 0 : line.x[step]));
      this.dots[at].setAttribute("cy", this.y(step < 0 ? 0 : line.ys[0][step]));
    });
  }

  /** Each line's newest step at the pointer; -1 before its first. */
  #under(event) {
    const value = this.valueAt((inside(event, this.svg)[0] / this.svg.clientWidth) * SIZE.width);
    return this.lines.map((line) => ({ line, step: line.x.findLastIndex((x) => x <= value) }));
  }

  #point(event) {
    if (this.lines?.length) this.#tell(this.#under(event));
  }

  #tell(under) {
    const words = (under ?? []).filter(({ step }) => step >= 0).map(({ line, step }) => `${line.panel.title}: ${this.say(line, step)}`);
    this.tip.textContent = words.join(" · ");
  }

  #click(event) {
    const [first] = this.lines?.length ? this.#under(event) : [];
    if (first) this.seek(first.line.panel, Math.max(0, first.step));
  }
}
