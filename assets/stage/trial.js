// Temperature, top-k and top-p tried out on one decision: three controls, bars before and after, and what is known.

import { el } from "./dom.js";
import { probability, shorten, visibleToken } from "./format.js";
import { EXACT, reshape, wouldFork } from "./reshape.js";
import { show } from "./whatif.js";

const NAMES = ["temperature", "top_k", "top_p"];
const VERDICT = { yes: "would fork", no: "would not fork", open: "may fork" };

/** Shows one decision at a time; what was tried stays from token to token until it is put back. */
export class Trial {
  constructor(host) {
    this.host = host;
    this.tried = null; // settings, or null: the run's own
    this.key = "";
  }

  reset() {
    this.tried = null;
    this.key = "";
    this.host.replaceChildren();
  }

  /** `decision` of a run with `header`; `id` names the node it was taken at. */
  draw(log, id, decision) {
    const key = `${id}`;
    if (key === this.key) return;
    this.key = key;
    this.log = log;
    this.decision = decision;
    this.own = log.header.config.sampling;
    this.#build();
    this.#show();
  }

  #build() {
    const settings = this.tried ?? this.own;
    const { inputs } = (this.parts = { inputs: {} });
    inputs.temperature = el("input", { type: "range", min: 0, max: 2, step: 0.05, value: settings.temperature, "aria-label": "Temperature", "data-trial": "temperature" });
    inputs.top_k = el("input", { type: "number", min: 1, max: 1_000_000, step: 1, placeholder: "all", value: settings.top_k ?? "", "aria-label": "Top-k", "data-trial": "top_k" });
    inputs.top_p = el("input", { type: "range", min: 0.05, max: 1, step: 0.05, value: settings.top_p ?? 1, "aria-label": "Top-p", "data-trial": "top_p" });
    this.values = Object.fromEntries(NAMES.map((name) => [name, el("span", { class: "fs-trial-value" })]));
    for (const name of NAMES) inputs[name].addEventListener("input", () => this.#changed());
    this.back = el("button", { type: "button", class: "fs-button fs-trial-back", text: "as run", title: "The run’s own settings again", onclick: () => this.#putBack() });
    this.list = el("ol", { class: "fs-alternatives fs-trial-list", "aria-label": "Probabilities before and after" });
    this.words = el("p", { class: "fs-trial-words", role: "status" });
    this.why = el("p", { class: "fs-fine fs-trial-why" });
    const row = (name, label) => el("label", { class: "fs-trial-row" }, el("span", { text: label }), inputs[name], this.values[name]);
    this.host.replaceChildren(
      el("div", { class: "fs-trial" }, row("temperature", "temperature"), row("top_p", "top-p"), row("top_k", "top-k")),
      el("div", { class: "fs-trial-said" }, this.words, this.back), this.list, this.why);
  }

  #read() {
    const { inputs } = this.parts;
    const k = Math.round(Number(inputs.top_k.value));
    return {
      temperature: Number(inputs.temperature.value), top_k: inputs.top_k.value !== "" && k >= 1 ? k : null,
      top_p: Number(inputs.top_p.value) < 1 ? Number(inputs.top_p.value) : null,
    };
  }

  /** A value nobody touched stays the run's own, also where the control cannot stand on it. */
  #changed() {
    const read = this.#read();
    const before = this.tried ?? this.own;
    const moved = document.activeElement?.dataset?.trial;
    this.tried = moved ? { ...before, [moved]: read[moved] } : read;
    if (NAMES.every((name) => (this.tried[name] ?? null) === (this.own[name] ?? null))) this.tried = null;
    this.#show();
  }

  #putBack() {
    this.tried = null;
    this.#build();
    this.#show();
    this.parts.inputs.temperature.focus();
  }

  #show() {
    const { decision, log, own } = this;
    const settings = this.tried ?? own;
    const { vocab_size: vocab } = log.header.model;
    const after = reshape(decision, settings, own, vocab);
    this.values.temperature.textContent = String(Number(settings.temperature.toFixed(2)));
    this.values.top_p.textContent = settings.top_p ? String(Number(settings.top_p.toFixed(2))) : "off";
    this.values.top_k.textContent = settings.top_k ? "" : "off";
    this.back.hidden = !this.tried;
    const tau = log.header.config.branching.entropy_threshold;
    const isFree = log.header.config.branching.select === "arithmetic" || log.header.config.cache.backend === "naive";
    const verdict = isFree ? "" : ` · ${VERDICT[wouldFork(after, tau)]}`;
    this.words.textContent = `entropy ${between(after.normalized, 3)}${verdict}`;
    this.words.title = `Normalised entropy, 0 sure to 1; held against the run’s threshold ${show(tau)}`;
    this.list.replaceChildren(...decision.candidates.map((one, at) => pair(one, after.probs[at], this.#scale(after))));
    this.why.textContent = after.why;
  }

  #scale(after) {
    return 100 / Math.max(...this.decision.candidates.map((one) => one.prob), ...after.probs.map((one) => one.high), 1e-9);
  }
}

/** One number, or "low – high" where the record leaves it open. */
function between({ low, high }, digits = 3) {
  if (high - low <= EXACT) return digits === 3 ? probability((low + high) / 2) : ((low + high) / 2).toFixed(digits);
  const [a, b] = [low.toFixed(2), high.toFixed(2)];
  return a === b ? a : `${a} – ${b}`;
}

function pair(one, after, scale) {
  const before = el("span", { class: "fs-trial-before" });
  before.style.width = `${one.prob * scale}%`;
  const sure = el("span", { class: "fs-trial-sure" });
  sure.style.width = `${after.low * scale}%`;
  const open = el("span", { class: "fs-trial-open" });
  open.style.left = `${after.low * scale}%`;
  open.style.width = `${(after.high - after.low) * scale}%`;
  const words = `${probability(one.prob)} before, ${between(after)} after`;
  return el("li", { title: words },
    el("span", { class: "fs-alt-token", text: shorten(visibleToken(one.text, String(one.token)), 14) }),
    el("span", { class: "fs-alt-track", role: "img", "aria-label": words }, before, sure, open),
    el("span", { class: "fs-alt-p", text: between(after) }));
}
