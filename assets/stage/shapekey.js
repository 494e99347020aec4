// The legend of the tree's shapes: those every tree has, and those that are in the picture only now and then.

import { el, svg } from "./dom.js";

const DOT = ["circle", { class: "fs-dot", r: 4 }];
const ALWAYS = [
  ["fork", "is-fork", DOT, ["circle", { class: "fs-ring", r: 6.4 }]],
  ["pruned", "is-pruned", ["path", { class: "fs-end fs-cross", d: "M-4 -4L4 4M4 -4L-4 4" }]],
  ["finished", "is-finished", ["circle", { class: "fs-dot", r: 3 }], ["rect", { class: "fs-end fs-square", x: -6, y: -6, width: 12, height: 12, rx: 2.5 }]],
  ["length limit", "", ["circle", { class: "fs-dot", r: 3.4 }], ["path", { class: "fs-end fs-bar", d: "M6.5 -5V5" }]],
  ["newest", "is-open is-live", DOT],
  ["likely, unlikely", "", ["circle", { class: "fs-dot", r: 5.4, cx: -4 }], ["circle", { class: "fs-dot", r: 2.6, cx: 6 }]],
];
const SOMETIMES = { // what must hold of a scene -> the shape
  folds: ["folded: tokens · share", "", ["path", { class: "fs-fold-shape", d: "M-7 0L7 -6V6Z" }]],
  bookmarks: ["bookmark", "", ["path", { class: "fs-flag", d: "M-4 6V-6L5 -2.8L-4 0.4" }]],
  found: ["found", "", ["circle", { class: "fs-hit-ring", r: 6 }], ["circle", { class: "fs-dot", r: 3 }]],
  would: ["would fork, not explored", "", DOT, ["circle", { class: "fs-would", r: 6.6 }]],
  wouldnt: ["would not fork", "is-wouldnt", DOT, ["circle", { class: "fs-ring", r: 6.4 }], ["path", { class: "fs-wouldnt", d: "M-7 7L7 -7" }]],
  cut: ["fork not reached", "is-cut", DOT, ["circle", { class: "fs-ring", r: 6.4 }], ["path", { class: "fs-cut", d: "M-9 6.5L2 -6.5M-2 6.5L9 -6.5" }]],
};

export class ShapeKey {
  /** `tree`: the Tree whose marks it explains. */
  constructor(host, actions, tree) {
    this.tree = tree;
    this.sometimes = Object.fromEntries(Object.entries(SOMETIMES).map(([name, row]) => [name, entry(row)]));
    host.replaceChildren(...ALWAYS.map(entry), ...Object.values(this.sometimes));
  }

  reset() {
    for (const row of Object.values(this.sometimes)) row.hidden = true;
  }

  draw({ shape, trial }) {
    const is = {
      folds: shape.collapsed.size > 0 || this.tree.level.threshold > 0, bookmarks: shape.bookmarks.size > 0,
      found: shape.found.size > 0, would: trial?.gained > 0, wouldnt: trial?.lost > 0, cut: trial?.cut > 0,
    };
    for (const [name, row] of Object.entries(this.sometimes)) if (row.hidden === is[name]) row.hidden = !is[name];
  }
}

function entry([words, kind, ...parts]) {
  return el("span", { class: "fs-shape" },
    svg("svg", { viewBox: "-9 -8 18 16", class: "fs-shape-mark", "aria-hidden": "true" },
      svg("g", { class: `fs-shape-node ${kind}` }, ...parts.map(([tag, attributes]) => svg(tag, attributes)))),
    el("span", { text: words }));
}
