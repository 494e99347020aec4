// The edges of a band: those of a column that look alike are one path, which a browser keeps more easily than one each.

import { svg } from "./dom.js";

const LOOKS = ["dead", "plain", "lit"]; // from below to above

export class Edges {
  constructor() {
    this.looks = Object.fromEntries(LOOKS.map((look) => [look, svg("g", { class: `fs-edge is-${look}` })]));
    this.root = svg("g", { class: "fs-edges", "aria-hidden": "true" }, ...Object.values(this.looks));
    this.columns = new Map(); // by the depth of the nodes that the edges lead to
  }

  /** Draw the edges of `marks`, `[{node, edge: {line, look}}]`, and no others. */
  show(marks) {
    const columns = new Map();
    for (const { node, edge } of marks) {
      if (!columns.has(node.depth)) columns.set(node.depth, []);
      columns.get(node.depth).push(edge);
    }
    for (const [depth, column] of this.columns) {
      if (columns.has(depth)) continue;
      column.show([]);
      this.columns.delete(depth);
    }
    for (const [depth, edges] of columns) {
      if (!this.columns.has(depth)) this.columns.set(depth, new Column(this.looks));
      this.columns.get(depth).show(edges);
    }
  }
}

class Column {
  constructor(layers) {
    this.layers = layers;
    this.paths = {}; // by look
    this.lines = []; // what is drawn
    this.kinds = []; // ... and how it looks
  }

  show(edges) {
    const { lines, kinds } = this;
    const isDrawn = ({ line, look }, at) => line === lines[at] && look === kinds[at];
    if (edges.length === lines.length && edges.every(isDrawn)) return;
    this.lines = edges.map(({ line }) => line);
    this.kinds = edges.map(({ look }) => look);
    for (const look of LOOKS) this.#draw(look, edges.filter((edge) => edge.look === look).map(({ line }) => line).join(""));
  }

  #draw(look, line) {
    const old = this.paths[look];
    if (line === (old?.line ?? "")) return;
    if (line) {
      const path = old?.path ?? this.layers[look].appendChild(svg("path"));
      path.setAttribute("d", line);
      this.paths[look] = { path, line };
    } else {
      old.path.remove();
      delete this.paths[look];
    }
  }
}
