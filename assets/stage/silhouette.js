// A whole token tree in a small canvas: the shape, where it forked, how unsure the model was.

import { entropyColor } from "./color.js";
import { inside, sharpCanvas } from "./dom.js";
import { shorten, visibleToken } from "./format.js";
import { Layout } from "./layout.js";
import { PROMPT } from "./log.js";

const PAD = 12; // pixels around the tree
const NEAR = 14; // pixels within which the pointer finds a token

export class Silhouette {
  /** `hover(id|null)` and `select(id)` are told of nodes. */
  constructor(canvas, { hover, select, pad = PAD }) {
    this.canvas = canvas;
    this.pad = pad;
    this.reset(null);
    canvas.addEventListener("pointermove", (event) => hover(this.#nodeAt(event)));
    canvas.addEventListener("pointerleave", () => hover(null));
    canvas.addEventListener("click", (event) => select(this.#nodeAt(event)));
  }

  reset(log) {
    this.log = log;
    this.layout = new Layout();
    this.state = null;
  }

  /** `depths`: columns to leave room for; `lit`: a node whose path stands out, or null; `marks`: nodes that differ. */
  draw(state, colors, dark, depths, lit, marks = []) {
    if (!this.log) return;
    this.state = state;
    this.layout.update(this.log);
    sharpCanvas(this.canvas, (context, width, height) => {
      this.place = this.#places(width, height, Math.max(1, depths));
      const nodes = this.log.nodes.slice(0, state.numNodes);
      const dead = this.log.dead(state.cursor);
      this.#edges(context, nodes.filter((node) => dead[node.id]), colors.line, 1);
      this.#edges(context, nodes.filter((node) => !dead[node.id]), colors.faint, 1.2);
      if (lit !== null && lit !== PROMPT) {
        this.#edges(context, this.log.lineage(lit).map((id) => this.log.nodes[id]), colors.accent, 2.4);
      }
      this.#dots(context, nodes, dead, dark, colors);
      this.#fronts(context, state, colors);
      for (const id of marks) if (id < state.numNodes) this.#mark(context, this.log.node(id), colors, width);
    });
  }

  #places(width, height, depths) {
    const [low, high] = this.layout.extent;
    const dx = (width - 2 * this.pad) / depths;
    const lane = Math.min(16, (height - 2 * this.pad) / Math.max(1, high - low));
    const middle = height / 2 - ((low + high) / 2) * lane;
    return {
      x: (node) => this.pad + (node.depth + 1) * dx,
      y: (node) => middle + this.layout.yOf(node.id) * lane,
      radius: Math.max(1.1, Math.min(4, lane * 0.36, dx * 0.8)),
      dx,
    };
  }

  #edges(context, nodes, color, width) {
    const { x, y, dx } = this.place;
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    for (const node of nodes) {
      const parent = this.log.node(node.parent);
      const [fromX, fromY, toX, toY] = [x(parent), y(parent), x(node), y(node)];
      context.moveTo(fromX, fromY);
      context.bezierCurveTo(fromX + dx * 0.6, fromY, toX - dx * 0.6, toY, toX, toY);
    }
    context.stroke();
  }

  #dots(context, nodes, dead, dark, colors) {
    const { x, y, radius } = this.place;
    for (const node of [this.log.root, ...nodes]) {
      const isDecided = node.decided <= this.state.cursor;
      const isFork = isDecided && node.decision.factor > 1;
      context.globalAlpha = dead[node.id] ? 0.3 : 1;
      context.fillStyle = isDecided ? entropyColor(node.decision.normalized_entropy, dark) : colors.faint;
      disc(context, x(node), y(node), isFork ? radius * 1.35 : radius * 0.85);
      context.fill();
    }
    context.globalAlpha = 1;
  }

  /** The live paths' newest tokens. */
  #fronts(context, state, colors) {
    if (state.isOver) return;
    const { x, y, radius } = this.place;
    context.strokeStyle = colors.accent;
    context.lineWidth = 1.6;
    for (const row of state.rows) {
      const node = this.log.node(row.node);
      disc(context, x(node), y(node), radius + 1.4);
      context.stroke();
    }
  }

  /** Where another run went another way: a diamond, and the token beside it. */
  #mark(context, node, colors, width) {
    const [x, y, size] = [this.place.x(node), this.place.y(node), Math.max(6, this.place.radius + 3.5)];
    context.beginPath();
    context.moveTo(x, y - size);
    context.lineTo(x + size, y);
    context.lineTo(x, y + size);
    context.lineTo(x - size, y);
    context.closePath();
    for (const [color, line] of [[colors.surface, 4.5], [colors.ink, 1.8]]) {
      context.strokeStyle = color;
      context.lineWidth = line;
      context.stroke();
    }
    const label = shorten(visibleToken(node.text, node.raw), 16);
    context.font = `600 11px ${getComputedStyle(this.canvas).getPropertyValue("--fs-mono")}`;
    const wide = context.measureText(label).width;
    const left = x + size + 4 + wide > width - 4 ? x - size - 4 - wide : x + size + 4;
    context.fillStyle = colors.surface;
    context.globalAlpha = 0.85;
    context.fillRect(left - 2, y - 8, wide + 4, 16);
    context.globalAlpha = 1;
    context.fillStyle = colors.ink;
    context.fillText(label, left, y + 4);
  }

  #nodeAt(event) {
    if (!this.state || !this.place) return null;
    const [px, py] = inside(event, this.canvas);
    let best = null;
    let nearest = NEAR ** 2;
    for (const node of this.log.nodes.slice(0, this.state.numNodes)) {
      const far = (this.place.x(node) - px) ** 2 + (this.place.y(node) - py) ** 2;
      if (far < nearest) [best, nearest] = [node.id, far];
    }
    return best;
  }
}

function disc(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
}
