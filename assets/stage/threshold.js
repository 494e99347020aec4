// The fork threshold on the entropy legend as a handle: dragging it tries another one on the run that is shown.

import { entropyPosition, isDark } from "./color.js";
import { el, inside } from "./dom.js";
import { atThreshold } from "./force.js";
import { drawLegend } from "./legend.js";
import { noteOf, sentenceOf, show, whyNot } from "./whatif.js";

const STEP = 0.005;
const KEYED = { ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP, PageDown: -10 * STEP, PageUp: 10 * STEP };
const SNAP = 4; // pixels from the run's own threshold within which the handle falls back to it

export class Threshold {
  /** `help`: a sentence for each setting of a run, by its name. */
  constructor({ legend, whatif }, actions, help = {}) {
    this.legend = legend;
    this.help = help.entropy_threshold ? `${help.entropy_threshold}. ` : "";
    this.actions = actions;
    this.sentence = el("span", { class: "fs-whatif-words" });
    this.note = el("span", { class: "fs-whatif-note" });
    this.run = el("button", { type: "button", class: "fs-button fs-whatif-run", text: "Run with this", title: "Start this run with that threshold", onclick: () => this.#run() });
    this.back = el("button", { type: "button", class: "fs-button fs-whatif-back", text: "Put back", title: "The run’s own threshold again (Escape on the handle)", onclick: () => this.#putBack() });
    this.row = whatif;
    whatif.append(el("p", { role: "status" }, this.sentence, " ", this.note), el("span", { class: "fs-whatif-deeds" }, this.run, this.back));
    this.reset(null);
  }

  reset(log) {
    this.log = log;
    this.key = this.look = "";
    this.row.hidden = true;
  }

  draw({ log, state, tau, trial, isDark: dark }) {
    const own = log.header.config.branching.entropy_threshold;
    const look = `${own} ${dark} ${whyNot(log)}`;
    if (look !== this.look || !this.handle?.isConnected) {
      this.look = look;
      this.#legend(own);
    }
    const key = `${tau} ${state.cursor} ${log.length}`;
    if (key === this.key) return;
    this.key = key;
    this.tau = tau;
    this.row.hidden = !trial;
    this.#place(tau ?? own, own);
    if (!trial) return;
    this.sentence.textContent = sentenceOf(trial, tau);
    this.note.textContent = noteOf(trial);
    this.run.title = `Start this run with entropy_threshold ${show(tau)}`;
    this.handle.setAttribute("aria-valuetext", `${show(tau)}; the run’s own is ${show(own)}. ${this.sentence.textContent}`);
  }

  /** The scale with its marks; the run's own threshold stays where it is while another is tried. */
  #legend(own) {
    drawLegend(this.legend, own, isDark(), entropyPosition);
    this.scale = this.legend.querySelector(".fs-scale");
    const why = whyNot(this.log);
    this.handle = el("span", {
      class: "fs-scale-handle", role: "slider", tabindex: why ? null : 0, "aria-label": "Fork threshold", "aria-valuemin": 0, "aria-valuemax": 1,
      "aria-orientation": "horizontal", "aria-disabled": why ? "true" : null,
      title: why || `${this.help}Fork threshold: drag, or arrow keys, to try another one on this run; double click puts it back`,
    });
    this.label = el("span", { class: "fs-scale-value", "aria-hidden": "true" });
    this.handle.append(this.label);
    this.scale.append(this.handle);
    this.key = "";
    if (!why) this.#listen(own);
  }

  #place(value, own) {
    this.handle.style.left = `${entropyPosition(value) * 100}%`;
    this.handle.classList.toggle("is-tried", this.tau !== null && this.tau !== undefined);
    this.handle.setAttribute("aria-valuenow", show(value));
    this.handle.setAttribute("aria-valuetext", `${show(own)}, the run’s own`);
    this.label.textContent = show(value);
  }

  #listen(own) {
    const { handle, scale } = this;
    const at = (event) => {
      const x = inside(event, scale)[0];
      if (Math.abs(x - entropyPosition(own) * scale.clientWidth) < SNAP) return null;
      return Number((Math.max(0, Math.min(1, x / scale.clientWidth)) ** 2).toFixed(3));
    };
    const move = (event) => this.#ask(at(event));
    scale.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      handle.setPointerCapture(event.pointerId);
      handle.addEventListener("pointermove", move);
      if (event.target !== handle && event.target !== this.label) move(event);
      handle.focus();
      event.preventDefault();
    });
    for (const name of ["pointerup", "pointercancel"]) handle.addEventListener(name, () => handle.removeEventListener("pointermove", move));
    scale.addEventListener("dblclick", () => this.#putBack());
    handle.addEventListener("keydown", (event) => this.#key(event, own));
  }

  #key(event, own) {
    const now = this.tau ?? own;
    const ends = { Home: 0, End: 1 };
    if (event.key === "Escape" && this.tau !== null) this.#putBack();
    else if (event.key in KEYED) this.#try(now + KEYED[event.key], own);
    else if (event.key in ends) this.#try(ends[event.key], own);
    else if (event.key === "Enter" && this.tau !== null) this.#run();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #try(value, own) {
    const tau = Number(Math.max(0, Math.min(1, value)).toFixed(3));
    this.#ask(Math.abs(tau - own) < 1e-9 ? null : tau);
  }

  #putBack() {
    this.#ask(null);
  }

  /** Known at once: several keys may come before the next frame. */
  #ask(tau) {
    this.tau = tau;
    this.actions.tryTau(tau);
  }

  #run() {
    if (this.tau === null) return;
    this.actions.request("run", atThreshold(this.log, this.tau));
  }
}
