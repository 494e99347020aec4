// The legend below a view of the tree: its own signs, and those of a threshold while one is tried out.

import { el } from "./dom.js";
import { swatch } from "./skeleton.js";

const TRIED = [["gained", "would fork"], ["lost", "would not"], ["cut", "not reached"]];

export class ViewLegend {
  /** `signs`: `[[kind, words]]`, kinds as in views.css. */
  constructor(signs) {
    this.tried = TRIED.map(([kind, words]) => swatch(kind, words));
    this.row = el("div", { class: "fs-view-legend" }, ...signs.map(([kind, words]) => swatch(kind, words)), ...this.tried);
    this.draw(null);
  }

  /** `tau`: the threshold that is tried out, or null. */
  draw(tau) {
    for (const sign of this.tried) sign.hidden = tau === null;
  }
}
