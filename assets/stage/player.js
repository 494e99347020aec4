// The time cursor: play, pause, scrub, step, jump, speed, back to live.

import { el, isStill, mark, say, svg } from "./dom.js";
import { count } from "./format.js";
import { KINDS, next } from "./marks.js";

export const SPEEDS = [0.25, 0.5, 1, 2, 4, 10];
const STEPS_PER_SECOND = 5; // at speed 1, unless who owns it says so

const ICONS = {
  first: "M2.5 2.5h2v11h-2zM13.5 2.5v11L5.5 8z", back: "M11.5 2.5v11L3.5 8z",
  ahead: "M4.5 2.5v11l8-5.5z", end: "M11.5 2.5h2v11h-2zM2.5 2.5v11l8-5.5z",
  play: "M3 1.8v12.4L13.5 8z", pause: "M3 2h3.6v12H3zM9.4 2H13v12H9.4z",
};
/** The keys of a jump, back and ahead, as its title names them. */
const EITHER = ["X: prune or finish", "x: prune or finish"];
const JUMP_KEYS = { fork: ["p", "n"], copy: ["Y", "y"], prune: EITHER, finish: EITHER, evict: ["E", "e"] };
const JUMP_NAMES = { fork: "fork", copy: "copy", prune: "prune", finish: "finish", evict: "eviction" };

function icon(name) {
  return svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

export class Player {
  /**
   * `changed(cursor)` is called whenever the cursor moved; `place(cursor, length)` says where it stands. With
   * `marks()`, the marks of marks.js, there are buttons that jump between them, and no range: a timeline scrubs.
   * `isDrawn`: who owns it calls `draw` when time has gone on. `unit`: what it steps by, `pace` of them a second at speed 1.
   */
  constructor(host, changed, place = null, { marks = null, isDrawn = false, unit = "step", pace = STEPS_PER_SECOND } = {}) {
    this.changed = changed;
    this.words = place ?? ((cursor, length) => `${unit} ${cursor} of ${length - 1}`);
    this.unit = unit;
    this.pace = pace;
    this.marks = marks;
    this.isDrawn = isDrawn;
    this.length = 0;
    this.cursor = -1;
    this.speed = 1;
    this.playing = false;
    this.isLive = false; // a run is growing
    this.following = false; // the cursor is the newest step
    this.frame = 0; // the one that playing waits for
    this.#build(host);
  }

  reset({ live }) {
    this.isLive = live;
    this.following = live;
    this.isPlayedOut = false; // it came to the end by playing or following, and nobody has moved it since
    this.length = 0;
    this.cursor = -1;
    this.pause();
    this.draw();
  }

  /** The run has `length` steps now. */
  grow(length) {
    this.length = length;
    if (this.following) this.#move(length - 1);
    this.#goOn();
  }

  finish() {
    this.isLive = false;
    this.isPlayedOut = this.following;
    this.following = false;
    this.draw();
  }

  play() {
    if (!this.length) return;
    if (this.cursor >= this.length - 1) {
      if (this.isLive) {
        this.toLive();
        return;
      }
      this.#move(-1);
    }
    this.following = false;
    this.playing = true;
    this.last = performance.now();
    this.debt = 0;
    this.#ask();
    this.draw();
  }

  /** Play from the start, or stand at the end where people asked for no motion. */
  autoplay() {
    if (isStill()) this.seek(this.length - 1);
    else {
      this.#move(-1);
      this.play();
    }
  }

  pause() {
    this.#halt();
    this.draw();
  }

  toggle() {
    if (this.playing || this.following) {
      this.following = false;
      this.pause();
      this.changed(this.cursor); // what had to wait is drawn
    } else this.play();
  }

  seek(cursor) {
    this.following = this.isPlayedOut = false;
    this.#halt();
    this.#move(cursor);
    this.draw();
  }

  step(by) {
    this.seek(this.cursor + by);
  }

  /** To the next (1) or previous (-1) mark of one of `kinds`; false: there is none that way. */
  jump(kinds, way) {
    const mark = next(this.marks?.() ?? [], this.cursor, kinds, way);
    if (mark) this.seek(mark.step);
    return Boolean(mark);
  }

  toLive() {
    this.#halt();
    this.following = this.isLive;
    this.#move(this.length - 1);
    this.draw();
  }

  setSpeed(speed) {
    this.speed = speed;
    this.select.value = String(speed);
  }

  /** The next speed up (1) or down (-1). */
  faster(way) {
    this.setSpeed(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, SPEEDS.indexOf(this.speed) + way))]);
  }

  #move(cursor) {
    const to = Math.max(this.length ? 0 : -1, Math.min(cursor, this.length - 1));
    if (to === this.cursor) return;
    this.cursor = to;
    this.changed(to);
  }

  /** One frame is waited for at a time, however often play was pressed. */
  #ask() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame((now) => this.#tick(now));
  }

  #halt() {
    this.playing = false;
    cancelAnimationFrame(this.frame);
  }

  #tick(now) {
    if (!this.playing) return;
    this.debt += ((now - this.last) / 1000) * this.pace * this.speed;
    this.last = now;
    const whole = Math.floor(this.debt);
    if (whole) {
      this.debt -= whole;
      this.#move(this.cursor + whole);
      this.#goOn();
    }
    if (this.cursor >= this.length - 1) {
      if (this.isLive) this.following = true;
      else this.isPlayedOut = true;
      this.pause();
      return;
    }
    this.#ask();
  }

  #build(host) {
    const button = (name, title, onclick) =>
      el("button", { type: "button", class: `fs-button fs-${name}`, title, "aria-label": title, onclick },
        ...(ICONS[name] ? [icon(name)] : []));
    this.playButton = button("play", "Play (Space)", () => this.toggle());
    this.place = el("span", { class: "fs-place" });
    this.select = el("select", { class: "fs-speed", title: "Speed, slower [ and faster ]", "aria-label": "Speed" },
      ...SPEEDS.map((speed) => el("option", { value: speed, text: `${speed}×` })));
    this.select.value = "1";
    this.select.addEventListener("change", () => this.setSpeed(Number(this.select.value)));
    this.live = button("live", "Back to live (l, End)", () => this.toLive());
    if (this.marks) this.jumps = new Map(Object.keys(KINDS).map((kind) => [kind, this.#jumper(kind)]));
    else {
      this.range = el("input", { type: "range", class: "fs-range", min: 0, max: 0, step: 1, "aria-label": `${this.unit[0].toUpperCase()}${this.unit.slice(1)}` });
      this.range.addEventListener("input", () => this.seek(Number(this.range.value)));
    }
    host.append(
      el("div", { class: "fs-transport" },
        button("first", `First ${this.unit} (Home)`, () => this.seek(0)),
        button("back", `One ${this.unit} back (,)`, () => this.step(-1)),
        this.playButton,
        button("ahead", `One ${this.unit} on (.)`, () => this.step(1)),
        button("end", `Newest ${this.unit} (End)`, () => this.toLive())),
      ...(this.range ? [this.range] : []),
      el("div", { class: "fs-pace" }, this.place, this.select, this.live),
      ...(this.jumps ? [el("div", { class: "fs-jumps", role: "group", "aria-label": "Jump to" },
        ...[...this.jumps.values()].map(({ group }) => group))] : []),
    );
  }

  /** `‹ fork 9 ›`: the shape that the timeline marks it with, how many there are, back and ahead. */
  #jumper(kind) {
    const arrow = (way, text) => {
      const keys = JUMP_KEYS[kind]?.[way > 0 ? 1 : 0];
      const title = `${way > 0 ? "Next" : "Previous"} ${JUMP_NAMES[kind]}${keys ? ` (${keys})` : ""}`;
      const button = el("button", { type: "button", class: "fs-jump", title, "aria-label": title, text });
      button.addEventListener("click", () => this.jump([kind], way));
      return button;
    };
    const [back, ahead, number] = [arrow(-1, "‹"), arrow(1, "›"), el("b", {})];
    const group = el("span", { class: "fs-jumper", "data-kind": kind, title: KINDS[kind].title, hidden: kind === "evict" },
      back, el("i", { class: `fs-mark is-${kind}`, "aria-hidden": "true" }), el("span", { text: KINDS[kind].name }), number, ahead);
    return { group, back, ahead, number };
  }

  /** Time has gone on: who draws it has been told. */
  #goOn() {
    if (!this.isDrawn) this.draw();
  }

  draw() {
    const running = this.playing || this.following;
    const deed = running ? "pause" : "play";
    if (this.deed !== deed) {
      this.deed = deed;
      this.playButton.replaceChildren(icon(deed));
      this.playButton.title = running ? "Pause (Space)" : "Play (Space)";
      this.playButton.setAttribute("aria-label", this.playButton.title);
    }
    if (this.range) {
      this.range.max = String(Math.max(0, this.length - 1));
      this.range.value = String(Math.max(0, this.cursor));
    }
    say(this.place, this.length ? this.words(this.cursor, this.length) : `no ${this.unit}s`);
    if (this.live.hidden === this.isLive) this.live.hidden = !this.isLive;
    this.live.classList.toggle("is-on", this.following);
    say(this.live, this.following ? "● live" : "back to live");
    if (this.jumps) this.#showJumps();
  }

  /** How many of each kind there are, and which way there are any. */
  #showJumps() {
    const list = this.marks();
    if (this.counted?.list !== list || this.counted.length !== list.length) {
      this.counted = { list, length: list.length };
      for (const [kind, { group, number }] of this.jumps) {
        const own = list.filter((mark) => mark.kind === kind);
        say(number, count(own.reduce((sum, one) => sum + one.count, 0)));
        const isNone = kind === "evict" && !own.length;
        if (group.hidden !== isNone) group.hidden = isNone;
        this.jumps.get(kind).ends = [own[0]?.step ?? Infinity, own.at(-1)?.step ?? -Infinity];
      }
    }
    for (const { back, ahead, ends } of this.jumps.values()) {
      mark(back, "aria-disabled", String(!(ends[0] < this.cursor))); // a disabled one would lose the focus
      mark(ahead, "aria-disabled", String(!(ends[1] > this.cursor)));
    }
  }
}
