// The token tree: SVG, appended to and never rebuilt. Per update only what changed is touched.

import { Camera } from "./camera.js";
import { entropyColor } from "./color.js";
import { el, svg } from "./dom.js";
import { shorten, visibleToken } from "./format.js";
import { Layout } from "./layout.js";
import { PROMPT } from "./log.js";

export const DX = 92; // pixels between depths
export const DY = 23; // pixels between lanes
const BEND = 34; // pixels in which an edge reaches its lane; a token is written on the straight rest
const LABEL = 10; // characters of a token shown on its node
const FAR = 0.42; // below this scale labels make way for the shape
const HURRY = 2; // columns behind which the view stops gliding and jumps
const CHUNK = 4; // depths that are shown or hidden together: only what is in sight is painted

export class Tree {
  constructor(host, actions) {
    this.group = svg("g", { class: "fs-world", role: "presentation" });
    this.svg = svg("svg", {
      class: "fs-tree-svg", role: "tree", tabindex: "0",
      "aria-label": "Token tree. Arrow keys move between tokens.",
    }, this.group);
    host.append(this.svg);
    this.actions = actions;
    this.camera = new Camera(this.svg, this.group, {
      moved: () => this.#moved(),
      touched: () => {
        this.following = false;
        actions.invalidate();
      },
    });
    this.following = true;
    this.selected = null;
    this.#listen();
    this.reset(null);
  }

  reset(log) {
    this.log = log;
    this.layout = new Layout();
    this.shown = []; // by node id: {mark, edge, circle, key}
    this.group.replaceChildren();
    this.chunks = []; // by depth / CHUNK: {group, edges, marks, shown}
    this.selected = null;
    this.hovered = null;
    this.lit = [];
    this.litNodes = null;
    if (log) this.#addRoot();
    this.following = true;
    this.camera.stop();
  }

  /** Draw the log as it was after the cursor. */
  draw({ state, dead, isDark: dark, focus }) {
    if (!this.log) return;
    this.layout.update(this.log);
    while (this.shown.length < this.log.nodes.length) this.#add(this.log.nodes[this.shown.length]);
    const live = new Set(state.isOver ? [] : state.rows.map((row) => row.node));
    for (const node of this.log.nodes) this.#paint(node, state, dead[node.id] === 1, live.has(node.id) && node.ended > state.cursor, dark);
    this.#paintRoot(state, dark);
    this.#light(focus);
    if (this.following) this.follow(state);
    else this.#cull();
  }

  /** Keep the newest column in sight, as large as the column allows. */
  follow(state, at_once = false) {
    const box = this.#box();
    if (!box) return;
    const depth = this.#frontDepth(state);
    const lanes = this.#frontLanes(state, depth);
    const top = Math.min(...lanes);
    const bottom = Math.max(...lanes);
    const scale = Math.max(0.66, Math.min(1.1, (box.height - 96) / ((bottom - top + 1.4) * DY)));
    const x = Math.min(74, box.width - (depth + 2.6) * DX * scale);
    const y = box.height / 2 + 10 - ((top + bottom) / 2) * DY * scale;
    const far = Math.abs(x - this.camera.x) > HURRY * DX * scale;
    if (at_once || (far && this.camera.goal)) this.camera.set(x, y, scale);
    else this.camera.glide(x, y, scale);
  }

  /** The whole tree in sight. */
  fit(at_once = false) {
    const box = this.#box();
    if (!box) return;
    this.following = false;
    const [low, high] = this.layout.extent;
    const width = this.layout.columns.length * DX + 120;
    const height = (high - low + 2.4) * DY;
    const scale = Math.min(1.2, box.width / width, box.height / height);
    const x = (box.width - (width - 150) * scale) / 2;
    const y = box.height / 2 - ((low + high) / 2) * DY * scale;
    if (at_once) this.camera.set(x, y, scale);
    else this.camera.glide(x, y, scale);
  }

  zoom(factor) {
    const box = this.#box();
    if (!box) return;
    this.following = false;
    this.camera.zoom(factor, box.width / 2, box.height / 2);
  }

  /** Light what is in focus, and the node itself. */
  #light(focus) {
    const nodes = focus?.nodes ?? null;
    const id = focus?.node ?? null;
    if (nodes === this.litNodes && id === this.hovered) return;
    for (const { mark, edge } of this.lit) {
      mark.classList.remove("is-lit");
      edge?.classList.remove("is-lit");
    }
    if (this.hovered !== null) this.#shownOf(this.hovered)?.mark.classList.remove("is-hovered");
    this.litNodes = nodes;
    this.hovered = id;
    this.lit = [...(nodes ?? [])].map((at) => this.shown[at]).filter(Boolean);
    for (const { mark, edge } of this.lit) {
      mark.classList.add("is-lit");
      edge?.classList.add("is-lit");
    }
    if (id !== null) this.#shownOf(id)?.mark.classList.add("is-hovered");
  }

  /** Mark the chosen node; with `reveal` bring it in sight. */
  choose(id, reveal = false) {
    if (this.selected !== null) this.#shownOf(this.selected)?.mark.setAttribute("aria-selected", "false");
    this.selected = id;
    for (const one of this.group.querySelectorAll(".is-selected")) one.classList.remove("is-selected");
    const shown = id === null ? null : this.#shownOf(id);
    if (!shown) return;
    shown.mark.classList.add("is-selected");
    shown.mark.setAttribute("aria-selected", "true");
    this.svg.setAttribute("aria-activedescendant", shown.mark.id);
    if (reveal) this.#reveal(id);
  }

  #reveal(id) {
    const box = this.#box();
    const { camera } = this;
    const x = ((id === PROMPT ? 0 : this.log.nodes[id].depth + 1) * DX) * camera.scale + camera.x;
    const y = this.layout.yOf(id) * DY * camera.scale + camera.y;
    const out = x < 50 || y < 40 || x > box.width - 50 || y > box.height - 40;
    if (!out) return;
    this.following = false;
    camera.glide(camera.x + box.width / 2 - x, camera.y + box.height / 2 - y, camera.scale);
  }

  #shownOf(id) {
    return id === PROMPT ? this.root : this.shown[id];
  }

  /** Size in sight, or null while hidden. Kept, because reading it makes the browser lay out anew. */
  #box() {
    this.size ??= { width: this.svg.clientWidth, height: this.svg.clientHeight };
    return this.size.width && this.size.height ? this.size : null;
  }

  #frontDepth(state) {
    const depths = state.rows.map((row) => (row.node === PROMPT ? -1 : this.log.nodes[row.node].depth));
    if (depths.length && !state.isOver) return Math.max(...depths);
    const last = this.log.nodes[state.numNodes - 1];
    return last ? last.depth : -1;
  }

  /** Lanes of the newest column, those of live paths where there are any. */
  #frontLanes(state, depth) {
    const live = state.isOver ? [] : state.rows.map((row) => this.layout.yOf(row.node));
    const lanes = live.length ? live : (this.layout.columns[depth] ?? []);
    return lanes.length ? lanes : [0];
  }

  #addRoot() {
    const words = this.log.promptText().trim();
    const tail = words.length > 26 ? "…" + words.slice(-25) : words;
    const circle = svg("rect", { class: "fs-dot", x: -8, y: -8, width: 16, height: 16, rx: 4 });
    const label = svg("text", { class: "fs-label fs-label-root", x: -12, y: 4, "text-anchor": "end", text: "prompt" });
    const mark = svg("g", {
      class: "fs-node fs-root", role: "treeitem", "data-id": PROMPT, id: this.#markId(PROMPT),
      "aria-label": `Prompt: ${tail}`, "aria-level": 1, "aria-selected": "false",
    }, svg("title", { text: words }), circle, label);
    this.root = { mark, circle, edge: null, radius: 8, key: "" };
    this.#chunk(-1).marks.append(mark);
  }

  #markId(id) {
    this.name ??= `fs${Math.random().toString(36).slice(2, 8)}`;
    return `${this.name}-${id}`;
  }

  #add(node) {
    const x = (node.depth + 1) * DX;
    const y = this.layout.y[node.id] * DY;
    const px = x - DX + (this.#shownOf(node.parent).radius - 1); // from its rim, so that no edge covers a node
    const py = this.layout.yOf(node.parent) * DY;
    const edge = svg("path", {
      class: "fs-edge",
      d: `M${px} ${py.toFixed(1)}C${px + BEND * 0.65} ${py.toFixed(1)} ${px + BEND * 0.35} ${y.toFixed(1)} ${px + BEND} ${y.toFixed(1)}H${x}`,
    });
    const radius = 2.8 + 4.6 * Math.sqrt(node.prob);
    const circle = svg("circle", { class: "fs-dot", r: radius.toFixed(2) });
    const token = visibleToken(node.text, node.raw);
    const label = svg("text", {
      class: "fs-label", x: (-radius - 2).toFixed(1), y: -4.5, "text-anchor": "end", text: shorten(token, LABEL),
    });
    const mark = svg("g", {
      class: "fs-node", transform: `translate(${x} ${y.toFixed(1)})`, "data-id": node.id, id: this.#markId(node.id),
      role: "treeitem", "aria-level": node.depth + 2, "aria-selected": "false", "aria-label": token,
    }, svg("circle", { class: "fs-hit", r: 11 }), circle, label);
    this.shown.push({ mark, edge, circle, radius, key: -1, ring: null, end: null });
    const chunk = this.#chunk(node.depth);
    chunk.edges.append(edge);
    chunk.marks.append(mark);
  }

  /** The group that a depth is drawn in; the prompt's depth is -1. */
  #chunk(depth) {
    const at = Math.floor((depth + 1) / CHUNK);
    while (this.chunks.length <= at) {
      const edges = svg("g", { class: "fs-edges", "aria-hidden": "true" });
      const marks = svg("g", { class: "fs-nodes", role: "presentation" });
      const group = svg("g", { role: "presentation" }, edges, marks);
      this.chunks.push({ group, edges, marks, isShown: true });
      this.group.append(group);
    }
    return this.chunks[at];
  }

  #moved() {
    this.svg.classList.toggle("is-far", this.camera.scale < FAR);
    this.#cull();
  }

  /** Take what is out of sight out of the picture. */
  #cull() {
    const { x, scale } = this.camera;
    const { width } = this.#box() ?? { width: 2000 };
    const from = (-x / scale / DX - 2) / CHUNK;
    const to = ((width - x) / scale / DX + 2) / CHUNK;
    this.chunks.forEach((chunk, at) => {
      const isShown = at + 1 > from && at < to;
      if (isShown === chunk.isShown) return;
      chunk.isShown = isShown;
      chunk.group.style.display = isShown ? "" : "none";
    });
  }

  #paint(node, state, dead, live, dark) {
    const shown = this.shown[node.id];
    const there = node.step <= state.cursor;
    const decided = node.decided <= state.cursor;
    const ended = node.ended <= state.cursor ? node.status : "";
    const key = there ? 1 + decided * 2 + dead * 4 + live * 8 + dark * 16 + (ended ? 32 : 0) : 0;
    if (key === shown.key) return;
    const { mark, edge, circle } = shown;
    shown.key = key;
    mark.classList.toggle("is-future", !there);
    edge.classList.toggle("is-future", !there);
    if (!there) return;
    for (const part of [mark, edge]) {
      part.classList.toggle("is-dead", dead);
      part.classList.toggle("is-live", live);
    }
    mark.classList.toggle("is-open", !decided && !ended);
    circle.style.fill = decided ? entropyColor(node.decision.normalized_entropy, dark) : "";
    this.#ring(shown, decided && node.decision.factor > 1);
    this.#endMark(shown, ended);
  }

  #paintRoot(state, dark) {
    const decided = this.log.root.decided <= state.cursor;
    const key = `${decided}${dark}`;
    if (key === this.root.key) return;
    this.root.key = key;
    const { decision } = this.log.root;
    this.root.circle.style.fill = decided ? entropyColor(decision.normalized_entropy, dark) : "";
    this.root.mark.classList.toggle("is-fork", decided && decision.factor > 1);
  }

  #ring(shown, wanted) {
    shown.mark.classList.toggle("is-fork", wanted);
    if (wanted && !shown.ring) {
      shown.ring = svg("circle", { class: "fs-ring", r: (shown.radius + 3).toFixed(2) });
      shown.mark.insertBefore(shown.ring, shown.circle);
    }
  }

  /** Other shapes for ends: a cross where pruned, a square where finished, a bar at the length limit. */
  #endMark(shown, ended) {
    if (shown.end && shown.ended !== ended) {
      shown.end.remove();
      shown.end = null;
    }
    shown.ended = ended;
    shown.mark.classList.toggle("is-pruned", ended === "pruned");
    shown.mark.classList.toggle("is-finished", ended === "finished");
    if (!ended || shown.end) return;
    const r = shown.radius;
    const forms = {
      pruned: () => svg("path", { class: "fs-end fs-cross", d: "M-4 -4L4 4M4 -4L-4 4" }),
      finished: () => svg("rect", { class: "fs-end fs-square", x: -r - 3, y: -r - 3, width: 2 * r + 6, height: 2 * r + 6, rx: 2.5 }),
      length: () => svg("path", { class: "fs-end fs-bar", d: `M${r + 5} ${-r - 1}V${r + 1}` }),
      cancelled: () => svg("path", { class: "fs-end fs-bar fs-cancelled", d: `M${r + 5} ${-r - 1}V${r + 1}` }),
    };
    shown.end = forms[ended]();
    shown.mark.insertBefore(shown.end, shown.mark.querySelector(".fs-label"));
  }

  #listen() {
    new ResizeObserver(() => (this.size = null)).observe(this.svg);
    const idOf = (event) => {
      const mark = event.target.closest?.(".fs-node");
      return mark ? Number(mark.getAttribute("data-id")) : null;
    };
    const subjectOf = (event) => (idOf(event) === null ? null : { kind: "node", id: idOf(event) });
    this.svg.addEventListener("pointerover", (event) => this.actions.point(subjectOf(event)));
    this.svg.addEventListener("pointerleave", () => this.actions.point(null));
    this.svg.addEventListener("click", (event) => {
      if (!this.camera.wasDragged) this.actions.select(subjectOf(event));
    });
  }
}

/** The legend of the tree: the entropy scale with the run's own threshold on it, and the shapes. */
export function drawLegend(host, threshold, dark, position) {
  const stops = 24;
  const colors = Array.from({ length: stops + 1 }, (_, i) => entropyColor((i / stops) ** 2, dark));
  const bar = el("div", { class: "fs-scale-bar" });
  bar.style.background = `linear-gradient(90deg, ${colors.join(",")})`;
  const ticks = [0, 0.1, 0.3, 0.6, 1].map((value) => {
    const tick = el("span", { class: "fs-scale-tick", text: String(value) });
    tick.style.left = `${position(value) * 100}%`;
    return tick;
  });
  const mark = el("span", { class: "fs-scale-threshold", title: `fork threshold ${threshold}` });
  mark.style.left = `${position(threshold) * 100}%`;
  host.replaceChildren(
    el("span", { class: "fs-legend-word", text: "sure" }),
    el("div", { class: "fs-scale" }, bar, ...(threshold === null ? [] : [mark]), ...ticks),
    el("span", { class: "fs-legend-word", text: "unsure" }),
  );
}
