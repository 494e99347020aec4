// The tree's marks in the document, in bands of columns, each an SVG of its own: where one has changed, the others are
// neither laid out nor painted again.

import { svg } from "./dom.js";
import { Edges } from "./edges.js";

const COLUMNS = 8; // of a band
const FIELD = 1e6; // pixels of the world, each way, that no tree goes beyond

export class Bands {
  /** `world`: the element they stand in, pixels at scale 1. */
  constructor(world) {
    this.world = world;
    this.shown = 0; // how often marks were shown: those that were last have this number
    this.clear();
  }

  clear() {
    this.bands = new Map(); // by number, from left to right
    this.marks = [];
    this.world.replaceChildren();
  }

  /** Let the document hold `marks`, in their order, and no others; those that stay are not touched. */
  show(marks) {
    this.shown += 1;
    for (const mark of marks) mark.shown = this.shown;
    for (const mark of this.marks) if (mark.shown !== this.shown) mark.remove();
    this.marks = marks;
    const parts = new Map(); // of each band
    for (const mark of marks) {
      partsAt(parts, bandOf(mark.node.depth)).nodes.push(mark.mark);
      if (mark.edge.line) partsAt(parts, bandOf(mark.node.depth - 1)).edges.push(mark); // where it begins, unless columns are passed over
    }
    for (const [at, band] of this.bands) {
      if (parts.has(at)) continue;
      band.root.remove();
      this.bands.delete(at);
    }
    for (const [at, { nodes, edges }] of parts) {
      const band = this.#band(at);
      band.nodes.show(nodes);
      band.edges.show(edges);
    }
  }

  /** The layer for what is folded into `node`, under the marks. */
  foldsAt(node) {
    return this.#band(bandOf(node.depth)).folds;
  }

  #band(at) {
    if (!this.bands.has(at)) {
      const next = Math.min(...[...this.bands.keys()].filter((other) => other > at));
      const band = makeBand();
      this.world.insertBefore(band.root, this.bands.get(next)?.root ?? null);
      this.bands.set(at, band);
    }
    return this.bands.get(at);
  }
}

/** The band of a depth, which stays whatever of the tree is shown. */
function bandOf(depth) {
  return Math.max(0, Math.floor((depth + 1) / COLUMNS));
}

function partsAt(parts, at) {
  if (!parts.has(at)) parts.set(at, { nodes: [], edges: [] });
  return parts.get(at);
}

function makeBand() {
  const folds = svg("g", { class: "fs-folds", role: "presentation" });
  const edges = new Edges();
  const nodes = new Nodes();
  // Nothing to see: as long as what is drawn reaches equally far, the browser keeps its layers as they are.
  const ground = svg("rect", { x: -FIELD, y: -FIELD, width: 2 * FIELD, height: 2 * FIELD, fill: "transparent", "pointer-events": "none" });
  return { folds, edges, nodes, root: svg("svg", { class: "fs-band", role: "presentation" }, ground, folds, edges.root, nodes.root) };
}

class Nodes {
  constructor() {
    this.root = svg("g", { class: "fs-nodes", role: "presentation" });
    this.parts = [];
  }

  /** Hold `parts`, in their order; those that are wanted no more were taken out before. */
  show(parts) {
    const kept = this.parts.filter((part) => part.parentNode === this.root);
    const isLonger = kept.every((part, at) => part === parts[at]); // as a run grows: those that are new come last
    let before = isLonger ? null : this.root.firstChild;
    for (const part of isLonger ? parts.slice(kept.length) : parts) {
      if (part === before) before = before.nextSibling;
      else this.root.insertBefore(part, before);
    }
    this.parts = parts;
  }
}
