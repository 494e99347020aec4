// A run's way to keep its cache small, in words. Pure functions of its settings.

import { count, plural } from "./format.js";
import { readable } from "./outline.js";
import { conditions } from "./settings.js";

/** What people call a policy, and what it keeps. */
export const POLICIES = {
  window: ["Window", () => "the newest tokens"],
  fifo: ["First in, first out", () => "what was written last"],
  lru: ["Least recently used", () => "what was attended to most recently"],
  random: ["Random", () => "what chance leaves"],
  h2o: ["Exact attention (H2O)", () => "what gathered most attention, counted exactly"],
  count_min: ["Count-min sketch", (given) => `what gathered most attention, by a sketch of ${sketchWords(given)}`],
  count_sketch: ["Count sketch", (given) => `what gathered most attention, by a signed sketch of ${sketchWords(given)}`],
  race: ["RACE sketch", (given) => `what is like the queries so far, by a sketch of ${sketchWords(given)}`],
};
const LAST = 48; // characters of a prompt, where the question stands
const FULL = ["Full cache", "everything"];

/** "4 × 512 counters a layer". */
export function sketchWords({ sketch_width: width, sketch_depth: depth }) {
  return `${count(depth)} × ${count(width)} counters a layer`;
}

/** The policy's name. */
export function policyName({ policy }) {
  return policy ? (POLICIES[policy]?.[0] ?? policy) : FULL[0];
}

/** "the newest tokens; the first 4 and the last 8 never leave". */
export function keepsWords(settings) {
  const { policy, sinks, recent } = settings;
  if (!policy) return FULL[1];
  const kept = POLICIES[policy]?.[1](settings) ?? "what its score says";
  const shielded = [sinks ? `the first ${count(sinks)}` : "", recent ? `the last ${count(recent)}` : ""].filter(Boolean).join(" and ");
  if (policy === "fifo") return `${kept}; nothing is protected`;
  return `${kept}; ${shielded ? `${shielded} never leave` : "nothing is protected"}`;
}

/** "32 tokens a layer", "25 % of the prompt". */
export function budgetWords({ policy, budget, layer_budgets: layers = [], pyramid = 0, adaptive = false }) {
  if (!policy) return "no budget";
  const own = layers.length ? `${layers.map(count).join(", ")} tokens by layer`
    : budget < 1 ? `${Number((budget * 100).toPrecision(3))} % of the prompt's tokens` : `${plural(budget, "token")} a layer`;
  return `${own}${pyramid ? `, first layers up to ${Number((pyramid * 100).toPrecision(3))} % more` : ""}${adaptive ? ", moved between layers" : ""}`;
}

const STRATEGIES = {
  evict: () => "",
  topk: ({ topk }) => `attends to the top ${count(topk)} of what is stored`,
  aggregate: ({ residual_entries: entries }) => `folds what leaves into ${plural(entries, "entry")} a layer`.replace("entrys", "entries"),
};

/** What the budget does besides evicting; "" where it only evicts. */
export function strategyWords(settings) {
  return settings.policy ? (STRATEGIES[settings.strategy]?.(settings) ?? "") : "";
}

/** A run's name on the board where it has none: its policy and the settings that tell it from the others. */
export function runName(settings) {
  return settings.policy === "window" ? `Window, ${settings.sinks ? plural(settings.sinks, "sink") : "no sinks"}` : policyName(settings);
}

/** What differs between the runs of `cards`, in one line, and their prompt where `heading` does not say it. "" before any has begun. */
export function differs(cards, heading = "") {
  const headers = cards.filter(({ log }) => log).map(({ log }) => log.header);
  if (!headers.length) return "";
  const said = promptWords(headers[0]);
  const prompt = said && !heading.includes(said) ? `“${said}” · ` : "";
  const names = Object.keys(conditions(headers).different);
  if (headers.length > 1 && names.length) return `${names.includes("prompt") ? "" : prompt}What differs: ${names.slice(0, 5).join(", ")}${names.length > 5 ? ` and ${names.length - 5} more` : ""}.`;
  return `${prompt}${headers[0].model.name}, ${plural(headers[0].prompt.length, "prompt token")}`;
}

/** The end of a run's prompt. */
function promptWords({ source, prompt }) {
  const said = (source?.length ? source : prompt).filter((one) => one.text !== "" && !one.text.startsWith("<|"));
  const text = said.map((one) => readable(one.text, one.raw)).join("").replace(/\s+/g, " ").trim();
  return text.length <= LAST ? text : `…${[...text].slice(1 - LAST).join("")}`;
}
