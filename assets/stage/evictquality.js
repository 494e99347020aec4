// How far the run is from its full cache, token by token along the time axis, and where they first choose differently.

import { el, fontOf, inside, keptSize, sharpCanvas } from "./dom.js";
import { qualityAlong, qualityOf, settingsOf } from "./evictfacts.js";
import { count, visibleToken } from "./format.js";
import { ticks } from "./scale.js";

export const KEYS = [{ keys: "← →", words: "the measured token before, after", where: "on the quality strip" }];
const PAD = { left: 38, right: 8, top: 12, bottom: 4 };

/** "first different choice at step 41: “ lemon” → “ apple”": the full cache's first choice, then the run's. */
export function flipWords({ step, flip }) {
  const full = flip.full.text === null ? `token ${flip.full.token}` : `“${visibleToken(flip.full.text, flip.full.raw ?? "")}”`;
  return `first different choice at step ${count(step)}: ${full} with the full cache → “${visibleToken(flip.own.text, flip.own.raw ?? "")}” here`;
}

export class Quality {
  /** `seek(step)`. */
  constructor(host, actions) {
    this.actions = actions;
    this.canvas = el("canvas", { class: "fs-quality", tabindex: 0, role: "slider", "aria-label": "KL divergence from the full cache, by step", "aria-valuemin": 0, "aria-orientation": "horizontal" });
    this.words = el("p", { class: "fs-quality-words" });
    host.append(this.words, this.canvas);
    this.size = keptSize(this.canvas);
    new ResizeObserver(() => actions.invalidate()).observe(this.canvas);
    const stepAt = (event) => {
      const share = (inside(event, this.canvas)[0] - PAD.left) / (this.size.width - PAD.left - PAD.right);
      return Math.max(0, Math.min(this.length - 1, Math.round(share * (this.length - 1))));
    };
    this.canvas.addEventListener("pointerdown", (event) => this.length && actions.seek(stepAt(event)));
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.length) return;
      const step = stepAt(event);
      if (event.buttons & 1) actions.seek(step);
      this.canvas.title = this.#told(step);
    });
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.length = 0;
    this.list = [];
  }

  draw({ log, state, row, colors }) {
    const all = qualityOf(log);
    this.length = log.length;
    this.cursor = state.cursor;
    this.list = row ? qualityAlong(log, row) : [];
    this.canvas.hidden = !all.length;
    const first = this.list.find(({ step, flip }) => flip && step <= state.cursor);
    const later = this.list.some(({ flip }) => flip);
    const words = !all.length ? unmeasured(settingsOf(log)) : first ? capital(flipWords(first)) : later ? "Up to here every first choice is the full cache's."
      : `Along this path every first choice so far is the full cache's.`;
    if (this.words.textContent !== words) this.words.textContent = words;
    if (!all.length) return;
    const at = this.list.find(({ step }) => step === state.cursor);
    this.canvas.setAttribute("aria-valuemax", Math.max(0, log.length - 1));
    this.canvas.setAttribute("aria-valuenow", Math.max(0, state.cursor));
    this.canvas.setAttribute("aria-valuetext", at ? `step ${at.step}: ${at.kl.toFixed(3)} nats` : `step ${state.cursor}: nothing measured`);
    sharpCanvas(this.canvas, (context, width, height) => this.#paint(context, width, height, colors, first), this.size);
  }

  #paint(context, width, height, colors, first) {
    const axis = ticks(Math.max(0.01, ...this.list.map(({ kl }) => kl)), 2);
    const top = axis.at(-1);
    const x = (step) => PAD.left + (step / Math.max(1, this.length - 1)) * (width - PAD.left - PAD.right);
    const y = (value) => height - PAD.bottom - (Math.min(top, value) / top) * (height - PAD.top - PAD.bottom);
    const wide = Math.max(1.5, Math.min(8, (width - PAD.left - PAD.right) / Math.max(1, this.length) - 1));
    context.font = `10.5px ${fontOf(this.canvas, colors)}`;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const value of axis) {
      context.fillStyle = colors.line;
      context.fillRect(PAD.left, y(value), width - PAD.left - PAD.right, 1);
      context.fillStyle = colors.muted;
      context.fillText(String(value), PAD.left - 5, y(value));
    }
    context.textAlign = "left";
    for (const { step, kl, flip } of this.list) {
      context.globalAlpha = step <= this.cursor ? 1 : 0.3;
      context.fillStyle = flip ? colors.accent : colors.logical;
      context.fillRect(x(step) - wide / 2, Math.min(y(kl), y(0) - 1), wide, Math.max(1, y(0) - y(kl)));
    }
    context.globalAlpha = 1;
    if (first) {
      context.fillStyle = colors.accent;
      context.beginPath();
      context.moveTo(x(first.step) - 4, 1);
      context.lineTo(x(first.step) + 4, 1);
      context.lineTo(x(first.step), 8);
      context.fill();
    }
    context.fillStyle = colors.ink;
    context.fillRect(x(Math.max(0, this.cursor)) - 0.75, PAD.top - 4, 1.5, height - PAD.top - PAD.bottom + 4);
  }

  #told(step) {
    const one = this.list.find((measured) => measured.step === step);
    return one ? `step ${step}: ${one.kl.toFixed(4)} nats${one.flip ? ", another first choice" : ""}` : `step ${step}`;
  }

  #key(event) {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = this.list.map(({ step }) => step);
    const to = way > 0 ? steps.find((step) => step > this.cursor) : steps.findLast((step) => step < this.cursor);
    if (to !== undefined) this.actions.seek(to);
    event.preventDefault();
  }
}

function unmeasured({ policy }) {
  return policy ? "Not measured: switch on “Against full” in the eviction settings and run again, and the full cache runs beside it."
    : "This run has the full cache itself: there is nothing to hold it against.";
}

function capital(words) {
  return words[0].toUpperCase() + words.slice(1) + ".";
}
