// Hits and misses over time: a bar a request, the hit rate of all so far, and the bytes held against the bound.

import { el, inside, keptSize, svg } from "./dom.js";
import { bytes, count, plural } from "./format.js";
import { boundOf, historyOf, roomOf } from "./reusestate.js";
import { percent } from "./reusewords.js";
import { byteTicks, ticks } from "./scale.js";

const HIGH = { top: 14, bars: 118, gap: 34, bytes: 62, bottom: 8 };
const PAD = { left: 62, right: 46 };
const FEW = 12; // moments that have room at least

export class HistoryChart {
  /** `actions`: `seek(moment)`. */
  constructor(host, actions) {
    this.actions = actions;
    this.svg = svg("svg", { class: "fs-reuse-chart", role: "img" });
    this.tip = el("p", { class: "fs-curve-tip" });
    host.append(this.svg, el("div", { class: "fs-keys" }, ...[["hit", "found"], ["miss", "computed"], ["rate", "hit rate so far"], ["held", "bytes held"], ["bound", "bound"]].map(([kind, text]) =>
      el("span", { class: "fs-swatch-row" }, el("i", { class: `fs-swatch is-reuse-${kind}` }), el("span", { text })))), this.tip);
    this.size = keptSize(this.svg);
    new ResizeObserver(() => actions.invalidate()).observe(this.svg);
    this.svg.addEventListener("pointermove", (event) => this.#tell(this.#at(event)));
    this.svg.addEventListener("pointerleave", () => this.#tell(null));
    this.svg.addEventListener("click", (event) => {
      const at = this.#at(event);
      if (at !== null) actions.seek(at);
    });
  }

  /** Another record is shown. */
  reset() {
    this.key = null;
  }

  draw({ record, state, lit, litRequests }) {
    const { width } = this.size;
    if (!width) return;
    const key = [record.length, width, state.cursor, litRequests ? [...litRequests] : "", Boolean(lit), record.requests.at(-1)?.hit_tokens].join();
    if (key === this.key) return;
    this.key = key;
    this.record = record;
    const history = historyOf(record);
    this.shown = Math.max(FEW, record.length);
    this.x = (moment) => PAD.left + (moment / this.shown) * (width - PAD.left - PAD.right);
    const floor = HIGH.top + HIGH.bars;
    const base = floor + HIGH.gap + HIGH.bytes;
    const most = ticks(history.bars.reduce((top, { hit, miss }) => Math.max(top, hit + miss), 1), 3, 1);
    const y = (tokens) => floor - (tokens / most.at(-1)) * HIGH.bars;
    const rate = (share) => floor - share * HIGH.bars;
    const room = roomOf(history);
    const scale = byteTicks(room, 2);
    const b = (value) => base - (value / scale.values.at(-1)) * HIGH.bytes;
    const text = (at, down, words, anchor = "end") => svg("text", { class: "fs-tick", x: at, y: down, "text-anchor": anchor, text: words });
    const rule = (down) => svg("line", { class: "fs-grid-line", x1: PAD.left, x2: width - PAD.right, y1: down, y2: down });
    const right = width - PAD.right + 6;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${base + HIGH.bottom}`);
    this.svg.setAttribute("aria-label", this.#words(history, state));
    this.svg.replaceChildren(
      ...most.map((value) => rule(y(value))), ...most.map((value) => text(PAD.left - 7, y(value) + 3.5, count(value))),
      ...[0, 0.5, 1].map((share) => text(right, rate(share) + 3.5, percent(share), "start")),
      ...scale.values.flatMap((value) => [rule(b(value)), text(PAD.left - 7, b(value) + 3.5, `${count(value / scale.size)} ${scale.unit}`)]),
      ...this.#bars(history.bars.filter(({ at }) => at <= state.cursor), y, litRequests),
      this.#line(history.rates, state.cursor, rate), ...this.#bytes(history, state.cursor, b, base, room),
      this.#cursor(state.cursor, base), text(PAD.left - 7, floor + 15, "request"),
      ...history.bars.filter((_, at) => at % Math.ceil((history.bars.length * 22) / (width - PAD.left - PAD.right)) === 0).map(({ n, at, end }) => text((this.x(at) + this.x(end + 1)) / 2, floor + 15, String(n + 1), "middle")));
  }

  /** However many there are, four paths: what was found and what was computed, of requests that are lit and that are not. */
  #bars(bars, y, lit) {
    const box = ({ at, end }, from, to) => {
      const [x, wide] = [this.x(at) + 1, Math.max(2, this.x(end + 1) - this.x(at) - 3)];
      return `M${x.toFixed(1)} ${y(from).toFixed(1)}h${wide.toFixed(1)}V${y(to).toFixed(1)}h${(-wide).toFixed(1)}Z`;
    };
    const paths = (some, how) => [
      svg("path", { class: `fs-reuse-hit${how}`, d: some.map((bar) => box(bar, 0, bar.hit)).join("") }),
      svg("path", { class: `fs-reuse-miss${how}`, d: some.map((bar) => box(bar, bar.hit, bar.hit + bar.miss)).join("") }),
    ];
    if (!lit) return paths(bars, "");
    return [...paths(bars.filter(({ n }) => !lit.has(n)), " is-dim"), ...paths(bars.filter(({ n }) => lit.has(n)), "")];
  }

  #line(rates, cursor, y) {
    const points = rates.slice(0, cursor + 1).flatMap((rate, at) => (rate === null ? [] : [[this.x(at + 0.5), y(rate)]]));
    return svg("path", { class: "fs-reuse-rate", d: points.map(([x, up], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${up.toFixed(1)}`).join("") });
  }

  #bytes({ bytes: held, bounds }, cursor, y, base, room) {
    let area = `M${this.x(0)} ${base}`;
    let bound = "";
    let wasBounded = false;
    held.forEach((value, at) => {
      if (at <= cursor) area += `V${y(value).toFixed(1)}H${this.x(at + 1).toFixed(1)}`;
      const isIn = bounds[at] !== null && bounds[at] <= room;
      if (isIn) bound += `${wasBounded ? "V" : `M${this.x(at).toFixed(1)} `}${y(bounds[at]).toFixed(1)}H${this.x(at + 1).toFixed(1)}`;
      wasBounded = isIn;
    });
    return [svg("path", { class: "fs-reuse-held", d: `${area}V${base}Z` }), svg("path", { class: "fs-reuse-bound", d: bound })];
  }

  #cursor(cursor, base) {
    const x = this.x(cursor + 0.5);
    return svg("line", { class: "fs-reuse-cursor", x1: x, x2: x, y1: HIGH.top - 8, y2: base });
  }

  #words({ bars }, { cursor, moment }) {
    const seen = bars.filter(({ at }) => at <= cursor);
    const rate = moment?.stats.queries ? `; ${percent(moment.stats.hit_rate)} of all prompt tokens found` : "";
    return `${plural(seen.length, "request")} so far${rate}; ${bytes(moment?.stats.nbytes ?? 0)} held`;
  }

  #at(event) {
    if (!this.record?.length) return null;
    const share = (inside(event, this.svg)[0] - PAD.left) / Math.max(1, this.size.width - PAD.left - PAD.right);
    return Math.max(0, Math.min(this.record.length - 1, Math.floor(share * this.shown)));
  }

  #tell(at) {
    const moment = at === null ? null : this.record.moments[at];
    const request = this.record?.requests[moment?.request];
    const bound = moment ? boundOf(moment) : null;
    const who = request ? `request ${request.n + 1}: ${count(request.hit_tokens)} found, ${count(request.miss_tokens)} computed; ` : "";
    this.tip.textContent = moment ? `Moment ${at}: ${who}${bytes(moment.stats.nbytes)} held${bound === null ? "" : ` of ${bytes(bound)}`}` : "";
  }
}
