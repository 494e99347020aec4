// Prefill and decode under the maps: how fast each goes, how soon tokens come, and what the machine would allow.

import { el, mark, say } from "./dom.js";
import { bytes, count, plural, seconds } from "./format.js";
import { phasesOf } from "./phases.js";

const NAMES = {
  prefill: "The prompt is read: many tokens in one pass, so that the machine computes. Then: bytes moved, and FLOPs for each of them",
  decode: "One token a path and pass: all the weights are read for few tokens, so that memory holds it up. Then: bytes moved, and FLOPs for each of them",
};
const WAITS = {
  first: ["first token", "From the start of the run to its first token"],
  p50: ["between tokens, p50", "From a path's token to its next: half of the steps took no longer"],
  p95: ["p95", "Nineteen of twenty steps took no longer"],
};
const UNKNOWN = "–";

/** Three digits, and whole thousands. */
export function figure(value) {
  return value >= 100 ? count(Math.round(value)) : String(Number(value.toPrecision(3)));
}

/** What is known of a phase beside its speed, in a sentence; what is predicted says so. */
export function phaseWords(part) {
  if (!part.steps) return "nothing yet";
  const words = [`${plural(part.tokens, "token")} in ${seconds(part.seconds)}`];
  if (part.nbytes !== null) words.push(bytes(part.nbytes), `${figure(part.intensity)} FLOP/B`);
  return words.join(" · ");
}

/** The machine's best for the same passes, and how it is known. */
export function predictedWords({ predicted }) {
  return predicted ? `at best ${figure(predicted.tokens_per_second)} (${predicted.bound} bound)` : "";
}

export class PhaseStrip {
  constructor(host) {
    this.rows = Object.fromEntries(Object.entries(NAMES).map(([name, title]) => [name, row(name, title)]));
    this.waits = Object.fromEntries(Object.entries(WAITS).map(([name, [words, title]]) => [name, wait(name, words, title)]));
    host.append(
      ...Object.values(this.rows).map(({ root }) => root),
      el("dl", { class: "fs-phase-waits" }, ...Object.values(this.waits).map(({ root }) => root)),
    );
  }

  reset() {}

  draw({ log, state }) {
    const found = phasesOf(log, state.cursor);
    const top = Math.max(found.prefill.tokens_per_second ?? 0, found.decode.tokens_per_second ?? 0);
    for (const [name, parts] of Object.entries(this.rows)) drawRow(parts, found[name], top, found.machine);
    const { first_token_seconds: first, inter_token_seconds: { p50, p95 } } = found;
    for (const [name, value] of Object.entries({ first, p50, p95 })) say(this.waits[name].figure, value === null ? UNKNOWN : seconds(value));
  }
}

function drawRow({ root, bar, speed, words, best }, part, top, machine) {
  const own = part.tokens_per_second;
  mark(bar, "style", `width:${top && own ? ((100 * own) / top).toFixed(1) : 0}%`);
  mark(root, "data-idle", String(!part.steps));
  say(speed, own === null ? UNKNOWN : `${figure(own)} tokens/s`);
  say(words, phaseWords(part));
  say(best, predictedWords(part));
  best.hidden = !part.predicted;
  mark(best, "title", machine ? `Predicted, not measured: the longer of computing and reading, pass by pass, at this machine's best. ${machine.conditions}` : "");
}

function row(name, title) {
  const parts = {
    bar: el("i", { class: "fs-phase-bar" }), speed: el("b", { class: "fs-phase-speed", "data-figure": `${name}-speed` }),
    words: el("span", { class: "fs-phase-words" }), best: el("em", { class: "fs-predicted", "data-figure": `${name}-best` }),
  };
  parts.root = el("div", { class: `fs-phase is-${name}`, title },
    el("span", { class: "fs-phase-name", text: name }), el("span", { class: "fs-phase-track", "aria-hidden": "true" }, parts.bar),
    parts.speed, parts.words, parts.best);
  return parts;
}

function wait(name, words, title) {
  const figureElement = el("dd", { "data-figure": name });
  return { figure: figureElement, root: el("div", { title }, el("dt", { text: words }), figureElement) };
}
