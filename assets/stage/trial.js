// Temperature, top-k and top-p tried out on one decision: three controls, bars before and after, and what is known.

import { el } from "./dom.js";
import { probability, shorten, visibleToken } from "./format.js";
import { EXACT, reshape, wouldFork } from "./reshape.js";
import { STRATEGIES, TITLES, isSameSettings, strategyName } from "./strategy.js";
import { show } from "./whatif.js";

const NAMES = ["temperature", "top_k", "top_p"];
const STEP = 0.05; // of a slider, by arrow key; PageUp and PageDown go five
const KEYED = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5 };
const VERDICT = { yes: "would fork", no: "would not fork", open: "may fork" };

/** Shows one decision at a time; what was tried stays from token to token until it is put back. */
export class Trial {
  /** `help`: a sentence for each setting, by its name. */
  constructor(host, help = {}) {
    this.host = host;
    this.help = help;
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
    const slider = (name, label, [min, max], value) => el("input", { // it stands wherever a run's own value is
      type: "range", min, max, step: "any", value, "aria-label": label, "data-trial": name, title: this.help[name] ?? null,
      onkeydown: (event) => this.#key(event),
    });
    inputs.temperature = slider("temperature", "Temperature", [0, hottest(settings, this.own)], settings.temperature);
    inputs.top_p = slider("top_p", "Top-p", [lowest(settings, this.own), 1], settings.top_p ?? 1);
    inputs.top_k = el("input", {
      type: "number", min: 1, max: 1_000_000, step: 1, placeholder: "all", value: settings.top_k ?? "", "aria-label": "Top-k", "data-trial": "top_k",
      title: this.help.top_k ?? null,
    });
    this.values = Object.fromEntries(NAMES.map((name) => [name, el("span", { class: "fs-trial-value" })]));
    for (const name of NAMES) inputs[name].addEventListener("input", () => this.#changed());
    this.chips = Object.fromEntries(Object.keys(STRATEGIES).map((name) => [name, el("button", {
      type: "button", class: "fs-choice", text: name, title: TITLES[name], "data-strategy": name, onclick: () => this.#take(name),
    })]));
    this.name = el("span", { class: "fs-trial-name" });
    this.back = el("button", { type: "button", class: "fs-button fs-trial-back", text: "as run", title: "The run’s own settings again", onclick: () => this.#putBack() });
    this.list = el("ol", { class: "fs-alternatives fs-trial-list", "aria-label": "Probabilities before and after" });
    this.words = el("p", { class: "fs-trial-words", role: "status" });
    this.why = el("p", { class: "fs-fine fs-trial-why" });
    const row = (name, label) => el("label", { class: "fs-trial-row", title: this.help[name] ?? null }, el("span", { text: label }), inputs[name], this.values[name]);
    this.host.replaceChildren(
      el("div", { class: "fs-choices fs-trial-strategies", role: "group", "aria-label": "Sampling strategies" }, ...Object.values(this.chips)),
      el("div", { class: "fs-trial" }, row("temperature", "temperature"), row("top_p", "top-p"), row("top_k", "top-k")),
      this.name, el("div", { class: "fs-trial-said" }, this.words, this.back), this.list, this.why);
  }

  #read() {
    const { inputs } = this.parts;
    const k = Math.round(Number(inputs.top_k.value));
    return {
      temperature: rounded(inputs.temperature.value), top_k: inputs.top_k.value !== "" && k >= 1 ? k : null,
      top_p: rounded(inputs.top_p.value) < 1 ? rounded(inputs.top_p.value) : null,
    };
  }

  /** A slider's keys, by steps of its own: to the next whole one. */
  #key(event) {
    const input = event.currentTarget;
    const far = KEYED[event.key];
    if (!far || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = (far > 0 ? Math.floor : Math.ceil)(Number(input.value) / STEP + Math.sign(far) * 1e-6) + far;
    input.value = rounded(Math.max(Number(input.min), Math.min(Number(input.max), to * STEP)));
    this.#changed();
    event.preventDefault();
  }

  /** A value nobody touched stays the run's own, also where the control cannot stand on it. */
  #changed() {
    const read = this.#read();
    const before = this.tried ?? this.own;
    const moved = document.activeElement?.dataset?.trial;
    this.tried = moved ? { ...before, [moved]: read[moved] } : read;
    if (isSameSettings(this.tried, this.own)) this.tried = null;
    this.#show();
  }

  /** One of the strategies, whatever the controls stood on. */
  #take(name) {
    this.tried = isSameSettings(STRATEGIES[name], this.own) ? null : STRATEGIES[name];
    this.#build();
    this.#show();
    this.chips[name].focus();
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
    this.values.temperature.textContent = shown(settings.temperature);
    this.values.top_p.textContent = settings.top_p ? shown(settings.top_p) : "off";
    this.values.top_k.textContent = settings.top_k ? "" : "off";
    this.back.hidden = !this.tried;
    this.name.textContent = `${this.tried ? "tried" : "as run"}: ${strategyName(settings)}`;
    for (const [name, chip] of Object.entries(this.chips)) chip.setAttribute("aria-pressed", String(isSameSettings(STRATEGIES[name], settings)));
    const tau = log.header.config.branching.entropy_threshold;
    const isFree = log.header.config.branching.select === "arithmetic" || log.header.config.cache.backend === "naive";
    const verdict = isFree ? "" : ` · ${VERDICT[wouldFork(after, tau)]}`;
    this.words.textContent = `entropy ${between(after.normalized, (value) => value.toFixed(3))}${verdict}`;
    this.words.title = `Normalised entropy, 0 sure to 1; held against the run’s threshold ${show(tau)}`;
    this.list.replaceChildren(...decision.candidates.map((one, at) => pair(one, after.probs[at], this.#scale(after))));
    this.why.textContent = after.why;
  }

  #scale(after) {
    return 100 / Math.max(...this.decision.candidates.map((one) => one.prob), ...after.probs.map((one) => one.high), 1e-9);
  }
}

/** Where the temperature's slider ends: at 2, or where a run may go, once one does. */
function hottest(...all) {
  return all.some(({ temperature }) => temperature > 2) ? 10 : 2;
}

/** Where top-p's slider begins: it is never 0. */
function lowest(...all) {
  return Math.min(STEP, ...all.map(({ top_p: p }) => p ?? 1));
}

/** A slider's value, as it is said. */
const rounded = (value) => Number(Number(value).toPrecision(3));
const shown = (value) => String(rounded(value));

/** One number, or "low – high" where the record leaves it open. */
function between({ low, high }, words = probability) {
  if (high - low <= EXACT) return words((low + high) / 2);
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
