// The time cursor: play, pause, scrub, step, speed, back to live.

import { el, isStill, svg } from "./dom.js";

export const SPEEDS = [0.25, 0.5, 1, 2, 4, 10];
const STEPS_PER_SECOND = 5; // at speed 1

const ICONS = {
  first: "M2.5 2.5h2v11h-2zM13.5 2.5v11L5.5 8z", back: "M11.5 2.5v11L3.5 8z",
  ahead: "M4.5 2.5v11l8-5.5z", end: "M11.5 2.5h2v11h-2zM2.5 2.5v11l8-5.5z",
  play: "M3 1.8v12.4L13.5 8z", pause: "M3 2h3.6v12H3zM9.4 2H13v12H9.4z",
};

function icon(name) {
  return svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

function stepOf(cursor, length) {
  return `step ${cursor} of ${length - 1}`;
}

export class Player {
  /** `changed(cursor)` is called whenever the cursor moved; `place(cursor, length)` says where it stands. */
  constructor(host, changed, place = stepOf) {
    this.changed = changed;
    this.words = place;
    this.length = 0;
    this.cursor = -1;
    this.speed = 1;
    this.playing = false;
    this.isLive = false; // a run is growing
    this.following = false; // the cursor is the newest step
    this.#build(host);
  }

  reset({ live }) {
    this.isLive = live;
    this.following = live;
    this.length = 0;
    this.cursor = -1;
    this.pause();
    this.#show();
  }

  /** The run has `length` steps now. */
  grow(length) {
    this.length = length;
    if (this.following) this.#move(length - 1);
    this.#show();
  }

  finish() {
    this.isLive = false;
    this.following = false;
    this.#show();
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
    requestAnimationFrame((now) => this.#tick(now));
    this.#show();
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
    this.playing = false;
    this.#show();
  }

  toggle() {
    if (this.playing || this.following) {
      this.following = false;
      this.pause();
    } else this.play();
  }

  seek(cursor) {
    this.following = false;
    this.playing = false;
    this.#move(cursor);
    this.#show();
  }

  step(by) {
    this.seek(this.cursor + by);
  }

  toLive() {
    this.playing = false;
    this.following = this.isLive;
    this.#move(this.length - 1);
    this.#show();
  }

  setSpeed(speed) {
    this.speed = speed;
    this.select.value = String(speed);
  }

  #move(cursor) {
    const to = Math.max(this.length ? 0 : -1, Math.min(cursor, this.length - 1));
    if (to === this.cursor) return;
    this.cursor = to;
    this.#show();
    this.changed(to);
  }

  #tick(now) {
    if (!this.playing) return;
    this.debt += ((now - this.last) / 1000) * STEPS_PER_SECOND * this.speed;
    this.last = now;
    const whole = Math.floor(this.debt);
    if (whole) {
      this.debt -= whole;
      this.#move(this.cursor + whole);
    }
    if (this.cursor >= this.length - 1) {
      if (this.isLive) this.following = true;
      this.pause();
      return;
    }
    requestAnimationFrame((next) => this.#tick(next));
  }

  #build(host) {
    const button = (name, title, onclick) =>
      el("button", { type: "button", class: `fs-button fs-${name}`, title, "aria-label": title, onclick },
        ...(ICONS[name] ? [icon(name)] : []));
    this.playButton = button("play", "Play (space)", () => this.toggle());
    this.range = el("input", { type: "range", class: "fs-range", min: 0, max: 0, step: 1, "aria-label": "Step" });
    this.range.addEventListener("input", () => this.seek(Number(this.range.value)));
    this.place = el("span", { class: "fs-place" });
    this.select = el("select", { class: "fs-speed", title: "Speed", "aria-label": "Speed" },
      ...SPEEDS.map((speed) => el("option", { value: speed, text: `${speed}×` })));
    this.select.value = "1";
    this.select.addEventListener("change", () => this.setSpeed(Number(this.select.value)));
    this.live = button("live", "Back to live (End)", () => this.toLive());
    host.append(
      button("first", "First step (Home)", () => this.seek(0)),
      button("back", "One step back (,)", () => this.step(-1)),
      this.playButton,
      button("ahead", "One step on (.)", () => this.step(1)),
      button("end", "Newest step (End)", () => this.toLive()),
      this.range, this.place, this.select, this.live,
    );
  }

  #show() {
    const running = this.playing || this.following;
    const deed = running ? "pause" : "play";
    if (this.deed !== deed) {
      this.deed = deed;
      this.playButton.replaceChildren(icon(deed));
      this.playButton.title = running ? "Pause (space)" : "Play (space)";
      this.playButton.setAttribute("aria-label", this.playButton.title);
    }
    this.range.max = String(Math.max(0, this.length - 1));
    this.range.value = String(Math.max(0, this.cursor));
    this.place.textContent = this.length ? this.words(this.cursor, this.length) : "no steps";
    this.live.hidden = !this.isLive;
    this.live.classList.toggle("is-on", this.following);
    this.live.textContent = this.following ? "● live" : "back to live";
  }
}
