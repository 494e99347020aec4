// How full each layer is against its budget, for one path; a layer is chosen here.

import { el } from "./dom.js";
import { count } from "./format.js";
import { occupancyOf } from "./evictfacts.js";

export const KEYS = [{ keys: "↑ ↓", words: "another layer, also for the sketch", where: "in the layers of Evict" }];

export class LayerBars {
  /** `choose(layer)` is called when people pick one. */
  constructor(host, { choose }) {
    this.choose = choose;
    this.root = el("div", { class: "fs-evict-layers", role: "radiogroup", "aria-label": "Slots seen by the path in each layer, and the budget" });
    this.rows = [];
    host.append(this.root);
    this.root.addEventListener("keydown", (event) => this.#key(event));
  }

  draw({ log, state, row, layer }) {
    const all = occupancyOf(log, state, row);
    while (this.rows.length > all.length) this.rows.pop().root.remove();
    while (this.rows.length < all.length) this.#add(this.rows.length);
    const top = Math.max(1, ...all.map(({ most, budget }) => Math.max(most, budget ?? 0)));
    all.forEach((one, at) => this.#fill(this.rows[at], one, top, at === layer, state.rows.length > 1));
    this.layer = layer;
  }

  #add(layer) {
    const parts = { bar: el("i", { class: "fs-fill" }), most: el("i", { class: "fs-most" }), budget: el("i", { class: "fs-budget" }), words: el("span", { class: "fs-count" }) };
    parts.root = el("button", { type: "button", class: "fs-evict-layer", role: "radio", "data-layer": layer, onclick: () => this.choose(layer) },
      el("b", { text: `L${layer}` }), el("span", { class: "fs-gauge" }, parts.bar, parts.most, parts.budget), parts.words);
    this.rows.push(parts);
    this.root.append(parts.root);
  }

  #fill(parts, { layer, seen, most, live, budget }, top, isChosen, isMany) {
    const key = [seen, most, live, budget, top, isChosen, isMany].join();
    if (parts.key === key) return;
    parts.key = key;
    const share = (value) => `${(value / top) * 100}%`;
    parts.bar.style.width = share(seen);
    parts.most.style.left = share(most);
    parts.most.hidden = !isMany || most === seen;
    parts.budget.style.left = share(budget ?? 0);
    parts.budget.hidden = budget === null;
    parts.words.textContent = budget === null ? count(seen) : `${count(seen)} / ${count(budget)}`;
    const words = `layer ${layer}: the path sees ${count(seen)}${budget === null ? "" : ` of at most ${count(budget)}`}`
      + `${isMany ? `, the fullest path ${count(most)}` : ""}; ${count(live)} in use`;
    parts.root.title = words;
    parts.root.setAttribute("aria-label", words);
    parts.root.setAttribute("aria-checked", String(isChosen));
    parts.root.tabIndex = isChosen ? 0 : -1;
    Object.assign(parts.root.dataset, { seen, budget: budget ?? "", live });
  }

  #key(event) {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey || !this.rows.length) return;
    const to = (this.layer + by + this.rows.length) % this.rows.length;
    this.choose(to);
    this.rows[to].root.focus();
    event.preventDefault();
  }
}
