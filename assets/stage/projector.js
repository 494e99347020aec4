// For your model: what this tree would take in the KV cache of a model that people know. Predicted, and says so.

import { el } from "./dom.js";
import { bytes, count } from "./format.js";
import { ELEMENTS, FIELDS, complaint, formula, perToken, project } from "./shapes.js";
import { isQuantized } from "./weight.js";

const OWN = "own"; // the choice that stands for what is typed in
const FORMULA = "2 × layers × KV heads × head size × element size × tokens";

export class Projector {
  /** `shapes`: the list of explorer/shapes.py; without one there is nothing to choose from, and nothing is shown. */
  constructor(host, shapes) {
    this.shapes = shapes ?? [];
    this.host = host;
    host.hidden = !this.shapes.length;
    if (!this.shapes.length) return;
    this.#build();
    this.#choose(this.shapes.find(({ name }) => name === "llama-3.1-8b") ?? this.shapes[0]);
  }

  reset(log) {
    this.log = log;
    this.key = "";
  }

  draw({ log, state }) {
    if (!this.shapes.length) return;
    const key = [log.length, state.cursor, this.choice].join();
    if (log === this.log && key === this.key) return;
    this.log = log;
    this.key = key;
    this.cursor = state.cursor;
    this.#show();
  }

  #build() {
    this.select = el("select", { class: "fs-speed fs-model-choice", "aria-label": "Model" },
      ...this.shapes.map(({ name, title }) => el("option", { value: name, text: title })),
      el("option", { value: OWN, text: "your own shape" }));
    this.select.addEventListener("change", () => this.#choose(this.shapes.find(({ name }) => name === this.select.value) ?? this.#own()));
    const typed = () => this.#typed();
    this.inputs = Object.fromEntries(FIELDS.map(([name, words, most]) =>
      [name, el("input", { type: "number", min: 1, max: most, step: 1, inputmode: "numeric", "aria-label": words, oninput: typed })]));
    this.dtype = el("select", { "aria-label": "Number format", onchange: typed },
      ...Object.keys(ELEMENTS).map((name) => el("option", { value: name, text: name })));
    this.headline = el("span", { class: "fs-project-headline" });
    this.refusal = el("p", { class: "fs-project-refusal", role: "alert", hidden: true });
    this.cells = {};
    const row = (name, words, title) => el("tr", {}, el("th", { scope: "row", text: words, title }),
      ...["copies", "sharing", "saved"].map((kind) => (this.cells[`${name}-${kind}`] = el("td", { "data-figure": `${name}-${kind}` }))));
    this.table = el("table", { class: "fs-project-table" },
      el("thead", {}, el("tr", {}, el("td", {}, el("em", { class: "fs-predicted", text: "predicted", title: FORMULA })),
        ...[["one cache a path", "What deep copies would need"], ["sharing", "Every token stored once"], ["saved", "By sharing"]]
          .map(([text, title]) => el("th", { scope: "col", text, title })))),
      el("tbody", {}, row("now", "at the cursor", "After the decisions of this step"), row("peak", "at its peak", "The most at any moment of the run so far")));
    this.note = el("p", { class: "fs-fine fs-project-note" });
    this.host.append(el("details", { class: "fs-project" },
      el("summary", {}, el("span", { text: "For your model" }), this.headline),
      el("div", { class: "fs-project-form" }, this.select,
        ...FIELDS.map(([name, words]) => el("label", {}, el("span", { text: words }), this.inputs[name])),
        el("label", {}, el("span", { text: "format" }), this.dtype)),
      this.refusal, this.table, this.note));
  }

  /** A model of the list, or what is typed in. */
  #choose(shape) {
    this.shape = shape;
    const isListed = this.shapes.includes(shape);
    this.from = { ...shape, model: isListed ? shape.title : this.from.model }; // what typing sets out from
    this.select.value = isListed ? shape.name : OWN;
    for (const [name] of FIELDS) this.inputs[name].value = String(shape[name]);
    this.dtype.value = shape.dtype;
    this.refusal.hidden = true;
    this.#changed();
  }

  /** A shape of one's own to begin with: the one that was shown, windows and latent vector too. */
  #own() {
    const from = this.shape ?? this.from;
    return { ...from, name: OWN, title: "Your shape", source: from.name === OWN ? from.source : `as ${from.title} has it` };
  }

  /** Somebody typed: another shape than any of the list, without window or latent vector, which is said. */
  #typed() {
    const sizes = Object.fromEntries(FIELDS.map(([name]) => [name, this.inputs[name].value === "" ? NaN : Number(this.inputs[name].value)]));
    const { window, latent } = this.from;
    const dropped = [window && "sliding windows", latent && "latent attention"].filter(Boolean).join(" and ");
    const source = dropped ? `as typed in, without the ${dropped} of ${this.from.model}` : "as typed in";
    const shape = { ...sizes, name: OWN, title: "Your shape", dtype: this.dtype.value, source, window: null, window_layers: 0, latent: null };
    const why = complaint(shape);
    this.select.value = OWN;
    this.refusal.textContent = why ?? "";
    this.refusal.hidden = !why;
    this.shape = why ? null : shape;
    this.#changed();
  }

  #changed() {
    this.choice = (this.choice ?? 0) + 1;
    if (this.log?.length) this.#show();
  }

  #show() {
    const { shape, log } = this;
    this.table.classList.toggle("is-unknown", !shape);
    this.headline.textContent = "";
    if (!shape || !log?.length) {
      for (const cell of Object.values(this.cells)) cell.textContent = "";
      this.note.textContent = "";
      return;
    }
    const found = project(log, shape, this.cursor);
    for (const when of ["now", "peak"]) {
      const { copies, sharing } = found[when];
      this.cells[`${when}-copies`].textContent = bytes(copies);
      this.cells[`${when}-sharing`].textContent = bytes(sharing);
      this.cells[`${when}-saved`].textContent = copies ? `${Math.round((1 - sharing / copies) * 100)} %` : "nothing yet";
      for (const kind of ["copies", "sharing"]) {
        this.cells[`${when}-${kind}`].title = `${FORMULA}; here ${formula(shape)} = ${bytes(perToken(shape))} a token`;
      }
    }
    this.headline.textContent = `${shape.title}: ${bytes(found.peak.sharing)} instead of ${bytes(found.peak.copies)}, predicted`;
    this.note.textContent = noteOf(shape, found.longest, log.header);
  }
}

/** Where the numbers are from, and what is particular about this model. */
function noteOf(shape, longest, header) {
  const parts = [`${formula(shape)} = ${bytes(perToken(shape))} a token (${shape.source}).`];
  if (shape.latent) {
    parts.push("Latent attention keeps one vector for all heads, as its paper has it; an implementation that stores full keys and values needs more.");
  }
  if (shape.window) {
    const which = shape.window_layers === shape.layers ? "All layers" : `${shape.window_layers} of ${shape.layers} layers`;
    parts.push(`${which} keep the last ${count(shape.window)} tokens of a path${longest <= shape.window ? "; no path of this run is longer" : ""}.`);
  }
  const ignored = [header.config.eviction?.policy && "evictions", isQuantized(header) && "quantised storage"].filter(Boolean).join(" and ");
  if (ignored) parts.push(`Not counted: the ${ignored} of this run; predicted is every token of the tree, in ${shape.dtype}.`);
  return parts.join(" ");
}
