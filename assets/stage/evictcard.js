// One run on the board of the Evict tab: what it keeps, what that saves and what it costs, at the cursor.

import { el, say } from "./dom.js";
import { fullTokens, numEvicted, qualityAt, qualityOf, settingsOf, writtenOf } from "./evictfacts.js";
import { budgetWords, keepsWords, policyName, strategyWords } from "./evictwords.js";
import { bytes, count, plural } from "./format.js";
import { Growing } from "./growing.js";

export const KEYS = [
  { keys: "← →", words: "the run before, the run after: shown in detail", where: "on the runs of Evict" },
  { keys: "b", words: "put the next run beside it, or away", where: "on the runs of Evict" },
];
const WRITTEN = 90; // characters shown of what a run wrote
const FACTS = {
  kv: ["KV in use", "Measured bytes of keys and values, of all layers and paths; what paths share is counted once"],
  full: ["if these paths kept all", "What a full cache would hold for the same paths (predicted: its tokens times the bytes of one in the model's own format)"],
  score: ["counters", "Bytes of the policy's own counters or sketch: part of what it costs"],
  evicted: ["evicted", "Slots that left a path in a layer, up to the cursor"],
  kl: ["mean KL", "KL(full cache ‖ this run) a token, in nats, up to the cursor; measured where the full cache ran beside it"],
  flips: ["other first choice", "Tokens whose most probable next token is not the full cache's"],
};

export class EvictCard extends Growing {
  /** `callbacks`: `focus(card)`, `beside(card)`. */
  constructor({ key, title, sign, data }, callbacks) {
    super();
    Object.assign(this, { key, name: key, title, word: title, data });
    this.parts = build({ key, title, sign, data });
    this.parts.root.addEventListener("click", (event) => {
      if (!event.target.closest("button.fs-beside")) callbacks.focus(this);
    });
    this.parts.name.addEventListener("keydown", (event) => callbacks.key(this, event));
    this.parts.beside.addEventListener("click", () => callbacks.beside(this));
    this.setState("waiting");
  }

  /** A run begins: its settings are known. */
  taken(log) {
    const settings = settingsOf(log);
    const { parts } = this;
    parts.policy.textContent = policyName(settings) === this.title ? "" : policyName(settings);
    const isMany = settings.policy && log.header.config.branching?.max_paths > 1;
    parts.budget.textContent = [`${budgetWords(settings)}${isMany ? " for each path" : ""}`, strategyWords(settings)].filter(Boolean).join("; ");
    parts.keeps.textContent = `keeps ${keepsWords(settings)}`;
    parts.keeps.title = parts.keeps.textContent;
  }

  grown() {
    this.drawn = null;
  }

  /** What is put where: "focus", "beside" or "". `canBeside`: there is a run in focus that is another one. */
  setPlace(place, canBeside) {
    const { root, name, beside } = this.parts;
    root.dataset.place = place;
    name.setAttribute("aria-checked", String(place === "focus"));
    name.tabIndex = place === "focus" ? 0 : -1;
    beside.hidden = !canBeside || place === "focus";
    beside.setAttribute("aria-pressed", String(place === "beside"));
  }

  /** The figures at the cursor. */
  draw() {
    const { log, parts, cursor } = this;
    if (!log || this.drawn === `${cursor}/${this.length}`) return;
    this.drawn = `${cursor}/${this.length}`;
    const state = log.at(cursor);
    const { memory } = state;
    const each = log.header.model.kv_nbytes_per_token;
    const full = fullTokens(log, state) * each;
    const used = memory?.kv_live_nbytes ?? 0;
    parts.facts.kv.textContent = memory ? bytes(used) : "nothing yet";
    parts.facts.full.textContent = bytes(full);
    parts.bar.style.width = `${full ? Math.min(100, (used / full) * 100) : 0}%`;
    parts.facts.score.textContent = settingsOf(log).policy ? bytes(memory?.score_nbytes ?? 0) : "none";
    parts.facts.evicted.textContent = count(numEvicted(log, cursor));
    const quality = qualityAt(log, cursor);
    parts.facts.kl.textContent = quality ? `${quality.kl.toFixed(3)} nats` : qualityOf(log).length ? "not yet" : settingsOf(log).policy ? "not measured" : "is the full cache";
    parts.facts.flips.textContent = quality ? `${count(quality.flips)} of ${plural(quality.decisions, "token")}` : "–";
    const [row] = state.rows;
    const text = row ? writtenOf(log, row, WRITTEN) : "";
    say(parts.wrote, text ? `${state.rows.length > 1 ? `path ${row.path} writes` : "writes"} “${text}”` : "");
  }
}

function build({ key, title, sign, data }) {
  const parts = {
    badge: el("span", { class: "fs-badge" }),
    name: el("button", { type: "button", class: "fs-evict-name", role: "radio", "aria-checked": "false", tabindex: -1, text: title, title: `Look at “${title}” in detail` }),
    beside: el("button", { type: "button", class: "fs-button fs-beside", text: "beside", title: `Put “${title}” beside the run in focus`, "aria-pressed": "false", hidden: true }),
    policy: el("span", { class: "fs-evict-policy" }),
    budget: el("p", { class: "fs-evict-budget" }),
    keeps: el("p", { class: "fs-evict-keeps" }),
    wrote: el("p", { class: "fs-evict-wrote" }),
    bar: el("i", {}),
    facts: {},
  };
  const facts = Object.entries(FACTS).map(([name, [label, words]]) => {
    parts.facts[name] = el("dd", { "data-fact": name });
    return el("div", { title: words, "data-wide": !["kv", "kl"].includes(name) }, el("dt", { text: label }), parts.facts[name]);
  });
  parts.root = el("section", { class: "fs-card fs-evict-card", "data-panel": key, ...data, "aria-label": title },
    el("header", {}, el("i", { class: "fs-chip", text: sign }), parts.name, parts.beside),
    el("p", { class: "fs-panel-sub" }, parts.badge, parts.policy), parts.budget, parts.keeps, parts.wrote,
    el("div", { class: "fs-evict-share", "aria-hidden": "true" }, parts.bar),
    el("dl", { class: "fs-evict-figures" }, ...facts));
  return parts;
}
