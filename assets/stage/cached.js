// The board of "Cached against uncached": one greedy text written twice, under one cursor.

import { Board, attachBoard } from "./board.js";
import { Chart } from "./cachedchart.js";
import { Lane } from "./cachedlane.js";
import { crossing, keptOf, rowsOf, speedups } from "./cachedpace.js";
import { EMPTY, SIDES, WORDS, build, table } from "./cachedparts.js";
import { crossingWords, raceWords, rateWords, sameWords, timesWords } from "./cachedwords.js";
import { secondsAt } from "./clock.js";
import { digestOf } from "./counters.js";
import { mark, say } from "./dom.js";
import { EvictShelf } from "./evictshelf.js";
import { bytes, count, plural, seconds } from "./format.js";
import { page } from "./page.js";

const NAMES = Object.keys(SIDES);

/** `races`: the recorded ones. */
export function attach(host, races) {
  const run = (name) => host.trigger("select", { preset: name, token: page.asked("cached") });
  attachBoard("cached", host, (element, heal) => new Race(element, { heal, races, run }));
}

class Race extends Board {
  constructor(host, { heal, races, run }) {
    super(host, { name: "cached", parts: build(), heal, words: WORDS, time: { pace: 10 } });
    const seek = (line, at) => this.cursor.seek(line.lane, line.steps?.[at] ?? at);
    const chart = (title, note, kind, show) => new Chart({ title, note, kind, show, seek });
    this.charts = {
      speed: chart("Pace", "tokens a second, logarithmic; over tokens of text", "log", (value) => rateWords(value).replace(" tokens", "")),
      ratio: chart("Speed-up of a step", "uncached / cached, logarithmic", "log", (value) => `${Number(value.toPrecision(3))} ×`),
      time: chart("Time", "seconds since the run’s own start", "linear", seconds),
      kept: chart("Memory", "keys and values allocated", "bytes", bytes),
    };
    this.parts.charts.append(...Object.values(this.charts).map(({ root }) => root));
    this.parts.table.addEventListener("toggle", () => this.invalidate());
    this.shelf = new EvictShelf(this.parts.shelf, races, {
      show: (race, runs) => this.showRuns(runs, race), run, refuse: (words) => this.words.alert(words),
    });
    this.parts.modes.second.click(); // a race is what one came for
  }

  /** Whose steps keys are about. */
  get active() {
    return this.all[0] ?? null;
  }

  /** A recorded race, `[{log}]` in the order of `SIDES`. Whether it is shown. */
  showRuns(entries, { title, caption, name }) {
    const runs = this.admit(entries, { least: 2, most: 2, few: "This race has a run without a step." });
    if (!runs) return false;
    this.#fill(NAMES, { live: false, race: name });
    this.all.forEach((lane, at) => lane.show(runs[at].log, "recorded"));
    this.#title(title, caption);
    this.#digest();
    this.atEnd("");
    this.player.autoplay();
    return true;
  }

  start({ order }) {
    this.#fill(order, { live: true, race: null });
  }

  told({ batch }) {
    if (batch?.seq === 0) this.#title(batch.title, "");
  }

  finish(how) {
    super.finish(how);
    this.#digest();
  }

  #fill(order, { live, race }) {
    this.shelf.settle(race);
    this.begin(order.map((key) => new Lane({ key, ...SIDES[key] })), { live });
    this.parts.lanes.replaceChildren(...this.all.map(({ parts }) => parts.root));
    this.cursor.show(this.all);
  }

  #title(heading, caption) {
    const { log } = this.all[0];
    const note = log ? `${log.header.model.name} on ${log.header.model.device}, ${log.header.model.dtype}: greedy, one path, at most ${plural(log.header.config.limits.max_new_tokens, "new token")}` : EMPTY.note;
    this.words.title(heading, note);
    this.parts.caption.textContent = caption;
    this.parts.caption.hidden = !caption;
  }

  /** The digests of both trees, by the page's own count where the browser can. */
  async #digest() {
    const { all } = this;
    for (const lane of all) if (lane.log) lane.digest = (await digestOf(lane.log)) ?? lane.digest;
    if (all === this.all) this.invalidate();
  }

  paint() {
    const [cached, uncached] = this.all;
    if (!cached) return;
    cached.draw(uncached.tokens);
    uncached.draw(cached.tokens);
    this.#say(cached, uncached);
    if (!cached.log) return;
    this.colors.sides ??= sidesOf(this.parts.root);
    this.#curves(cached, uncached);
  }

  #say(cached, uncached) {
    const { parts, player, cursor } = this;
    const now = cursor.mode === "second" && !player.isLive ? secondsAt(this.all, player.cursor) : null;
    this.tell(parts.narration, raceWords([cached.side, uncached.side], now, cached.pace?.lengths[cached.cursor] ?? 0));
    const logs = [cached.log, uncached.log];
    const isBoth = logs.every((log) => log?.length);
    const { isSame, words } = isBoth ? sameWords(...logs, !player.isLive, [cached.digest, uncached.digest]) : { isSame: null, words: "" };
    this.tell(parts.same, words);
    mark(parts.same, "data-same", String(isSame));
    if (!isBoth) this.known = null;
    this.points = isBoth ? this.#points(...logs) : [];
    say(parts.crossing, crossingWords(this.points));
    this.#table(isBoth);
  }

  /** The speed-ups, counted anew when either log has grown. */
  #points(cached, uncached) {
    const key = `${cached.length}/${uncached.length}`;
    if (this.known?.key !== key || this.known.log !== cached) {
      const points = speedups(cached, uncached);
      this.known = { key, log: cached, points, xs: points.map(({ length }) => length), ys: points.map(({ ratio }) => ratio) };
    }
    return this.known.points;
  }

  #table(isBoth) {
    const { parts, all: [cached, uncached] } = this;
    if (!parts.table.open) return;
    if (this.tabled === this.known) return;
    this.tabled = this.known;
    parts.tableBody.replaceChildren(table(isBoth ? rowsOf(cached.log, uncached.log, [cached.times, uncached.times]) : []));
  }

  #curves(cached, uncached) {
    const { charts, colors, points, player } = this;
    const { config } = cached.log.header;
    const lanes = [cached, uncached].filter(({ log }) => log?.length);
    const longest = Math.max(...lanes.map(({ pace }) => pace.lengths.at(-1)));
    const planned = cached.pace.lengths[0] - cached.log.made[0] + config.limits.max_new_tokens;
    const shared = { colors, right: player.isLive ? planned : longest };
    const lines = (name) => lanes.map((lane) => ({
      lane, name: lane.title.toLowerCase(), color: colors.sides[lane.key], isDashed: lane === uncached, xs: lane.pace.lengths, ys: lane.curves[name], at: lane.cursor,
    }));
    const found = crossing(points);
    const edge = found === null ? null : { x: found, words: `faster from ${count(Math.round(found))}` };
    const spoken = (what, show) => `${what}: ${lanes.map((lane) => `${lane.title.toLowerCase()} ${show(lane)}`).join(", ")}`;
    charts.speed.draw({ ...shared, lines: lines("speed"), mark: edge,
      words: spoken("Pace at the end of the text", ({ pace }) => (pace.medians.at(-1) ? rateWords(1 / pace.medians.at(-1)) : "not known")) });
    charts.time.draw({ ...shared, lines: lines("time"), words: spoken("Time in all", ({ times }) => seconds(times.at(-1))) });
    charts.kept.draw({ ...shared, lines: lines("kept"), words: spoken("Keys and values at the end", ({ log }) => bytes(keptOf(log, log.length - 1))) });
    const reached = Math.min(...lanes.map((lane) => lane.pace.lengths[lane.cursor] ?? 0));
    const { xs, ys } = this.known ?? { xs: [] };
    const first = cached.pace.lengths.indexOf(xs[0]);
    charts.ratio.draw({ ...shared, lines: xs.length ? [{
      lane: cached, name: "", color: colors.ink, xs, ys, at: xs.findLastIndex((length) => length <= reached), steps: xs.map((_, at) => first + at),
    }] : [], level: 1, mark: edge, words: `Speed-up of a step: ${points.length ? timesWords(points.at(-1).ratio) : "not known yet"} at the end` });
  }
}

/** The colours of both sides, as the theme has them. */
function sidesOf(root) {
  const style = getComputedStyle(root);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--fs-backend-${name}`).trim()]));
}
