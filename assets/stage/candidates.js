// The most probable next tokens of one decision, as buttons: a click starts a run with that token there.

import { el } from "./dom.js";
import { probability, shorten, visibleToken } from "./format.js";

/** How wide a bar of 1 would be drawn, so that the tallest of `values` fills the track. */
function scaleOf(values) {
  return 100 / Math.max(...values, 1e-9);
}

/** Bars of a decision's candidates; `chosen` are tokens taken by the cursor, `force(candidate)` hears a click: a run of `model`. */
export function candidateList({ candidates }, chosen, force, model) {
  const models = candidates.map((one) => Math.exp(one.raw_logprob));
  const scale = scaleOf([...models, ...candidates.map((one) => one.prob)]);
  const list = el("ol", { class: "fs-alternatives", "aria-label": "Most probable next tokens; Enter forces one" });
  candidates.forEach((one, at) => {
    const name = visibleToken(one.text, String(one.token));
    const taken = chosen.has(one.token);
    const button = el("button", {
      type: "button", class: `fs-alt${taken ? " is-chosen" : ""}`, "data-token": one.token,
      title: `Force “${name}”: a new run of ${model} with this token here. Model: ${probability(models[at])}, sampled: ${probability(one.prob)}${taken ? "; taken in this run" : ""}`,
      "aria-label": `Force ${name}, probability ${probability(one.prob)}${taken ? ", taken" : ""}`,
      onclick: () => force(one),
    }, el("span", { class: "fs-alt-token", text: shorten(name, 14) }), track(one.prob * scale, models[at] * scale),
    el("span", { class: "fs-alt-p", text: probability(one.prob) }));
    button.addEventListener("keydown", (event) => step(event, list));
    list.append(el("li", { class: taken ? "is-chosen" : "" }, button));
  });
  return list;
}

function track(width, at) {
  const bar = el("span", { class: "fs-bar" });
  bar.style.width = `${width}%`;
  const raw = el("span", { class: "fs-bar-raw" });
  raw.style.left = `${Math.min(100, at)}%`;
  return el("span", { class: "fs-alt-track", "aria-hidden": "true" }, bar, raw);
}

/** Up and down go from one candidate to the next. */
function step(event, list) {
  const way = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!way) return;
  const buttons = [...list.querySelectorAll("button")];
  buttons[buttons.indexOf(event.currentTarget) + way]?.focus();
  event.preventDefault();
  event.stopPropagation();
}
