// A map of the whole tree in a corner of its card, with the part that is in sight; dragging it moves the view.

import { el, inside, keptSize } from "./dom.js";
import { PROMPT } from "./log.js";
import { colorBits, fillBar } from "./pixels.js";

const PAD = 5; // pixels around the tree
const SLACK = 12; // pixels that may be out of sight without a map
const LANE = 6; // pixels of a lane at most
const STEP = 0.4; // of what is in sight, that an arrow key moves by

export class Minimap {
  /** `tree`: the Tree whose view it shows and moves. */
  constructor(host, actions, tree) {
    this.host = host;
    this.actions = actions;
    this.tree = tree;
    this.isOpen = true;
    this.picture = null; // pixels of the tree alone, made anew when it has changed
    this.canvas = el("canvas", { class: "fs-map", tabindex: "0", role: "img", "aria-label": "Map of the whole tree; the frame is what is in sight. Arrow keys move it." });
    this.toggle = el("button", { type: "button", class: "fs-map-toggle", onclick: () => this.#open(!this.isOpen) });
    this.size = keptSize(this.canvas);
    host.append(this.canvas, this.toggle);
    tree.moved = () => this.scene && !tree.isDrawing && this.#show();
    this.#listen();
    this.#open(true);
  }

  reset() {
    this.scene = null;
    this.key = "";
    this.host.hidden = true;
  }

  draw(scene) {
    this.scene = scene;
    this.#show();
  }

  #open(isOpen) {
    this.isOpen = isOpen;
    this.canvas.hidden = !isOpen;
    this.toggle.textContent = isOpen ? "×" : "map";
    this.toggle.title = isOpen ? "Hide the map" : "Show a map of the whole tree";
    this.toggle.setAttribute("aria-label", this.toggle.title);
    this.toggle.setAttribute("aria-expanded", String(isOpen));
    if (this.scene) this.#show();
  }

  #show() {
    const { window, layout } = this.tree;
    if (!window || layout.base === null) return;
    const world = this.#world();
    const [across, down] = [SLACK / window.dx, SLACK / window.dy];
    const isAll = world.left >= window.left - across && world.right <= window.right + across
      && world.top >= window.top - down && world.bottom <= window.bottom + down;
    if (this.host.hidden !== isAll) this.host.hidden = isAll;
    if (!isAll && this.isOpen && this.size.width) this.#paint(world, window);
  }

  #paint(world, window) {
    const { width, height } = this.size;
    this.#sharpen();
    this.scales = fitted(world, width, height);
    this.#picture(width, height);
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.putImageData(this.picture, 0, 0);
    context.scale(this.canvas.width / width, this.canvas.height / height);
    this.#frame(context, window, width, height);
  }

  /** The canvas as sharp as the screen. */
  #sharpen() {
    const ratio = Math.min(globalThis.devicePixelRatio || 1, 3);
    const [width, height] = [this.size.width, this.size.height].map((pixels) => Math.round(pixels * ratio));
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
  }

  /** Where the shown tree stands, in columns and lanes. */
  #world() {
    const { layout } = this.tree;
    const [low, high] = layout.extent;
    return { left: -0.2, right: layout.columns.length, top: low - 0.5, bottom: high + 0.5 };
  }

  #picture(width, height) {
    const { scene, tree } = this;
    const { layout } = tree;
    const { state, dead, focus } = scene;
    const lit = focus?.nodes;
    const key = [layout.epoch, layout.y.length, state.cursor, scene.isDark, scene.colors.muted, width, height, lit?.size ?? 0, focus?.node ?? ""].join();
    if (key === this.key) return;
    this.key = key;
    const ratio = this.canvas.width / width;
    const context = this.canvas.getContext("2d");
    this.picture = context.createImageData(this.canvas.width, this.canvas.height);
    const { x, y, dx } = this.scales;
    const lane = Math.max(0.6, Math.min(1.6, this.scales.dy * 0.5));
    const draw = (color, thick, isWanted) => {
      const bits = colorBits(context, color, thick * ratio);
      for (let id = 0; id < state.numNodes; id++) {
        if (Number.isNaN(layout.y[id]) || !isWanted(id)) continue;
        const right = x(layout.column[id]);
        fillBar(this.picture, (right - dx) * ratio, (right + 0.4) * ratio, y(layout.y[id]) * ratio, thick * ratio, bits);
      }
    };
    draw(scene.colors.line, lane, (id) => dead[id]);
    draw(scene.colors.muted, lane, (id) => !dead[id]);
    if (lit?.size && !lit.has(PROMPT)) draw(scene.colors.accent, lane + 1, (id) => lit.has(id));
  }

  #frame(context, window, width, height) {
    const { x, y } = this.scales;
    const [left, right] = [Math.max(1, x(window.left)), Math.min(width - 1, x(window.right))];
    const [top, bottom] = [Math.max(1, y(window.top)), Math.min(height - 1, y(window.bottom))];
    context.strokeStyle = this.scene.colors.accent;
    context.lineWidth = 1.5;
    context.strokeRect(left, top, Math.max(3, right - left), Math.max(3, bottom - top));
  }

  #listen() {
    const { canvas, tree } = this;
    new ResizeObserver(() => this.scene && this.#show()).observe(canvas);
    const move = (event) => {
      const [px, py] = inside(event, canvas);
      tree.centre(this.scales.column(px), this.scales.lane(py), tree.camera.scale, true);
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      move(event);
      event.preventDefault();
      canvas.focus({ preventScroll: true });
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) move(event);
    });
    canvas.addEventListener("keydown", (event) => {
      const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
      const { window } = tree;
      if (!window || (!across && !down)) return;
      event.preventDefault();
      tree.centre((window.left + window.right) / 2 + across * STEP * (window.right - window.left),
        (window.top + window.bottom) / 2 + down * STEP * (window.bottom - window.top));
    });
  }
}

/** Columns and lanes to pixels of the map, and back. */
function fitted({ left, right, top, bottom }, width, height) {
  const dx = (width - 2 * PAD) / (right - left);
  const dy = Math.min((height - 2 * PAD) / (bottom - top), LANE);
  const middle = height / 2 - ((top + bottom) / 2) * dy;
  return {
    dx, dy, x: (column) => PAD + (column - left) * dx, y: (lane) => middle + lane * dy,
    column: (px) => left + (px - PAD) / dx, lane: (py) => (py - middle) / dy,
  };
}
