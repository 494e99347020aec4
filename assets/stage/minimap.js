// A map of the whole tree in a corner of its card, with the part that is in sight; dragging it moves the view.

import { el, inside, sharpCanvas } from "./dom.js";
import { PROMPT } from "./log.js";
import { DX, DY } from "./nodemark.js";

const PAD = 5; // pixels around the tree
const SLACK = 12; // pixels that may be out of sight without a map
const STEP = 0.4; // of what is in sight, that an arrow key moves by

export class Minimap {
  /** `tree`: the Tree whose view it shows and moves. */
  constructor(host, actions, tree) {
    this.host = host;
    this.actions = actions;
    this.tree = tree;
    this.isOpen = true;
    this.picture = document.createElement("canvas"); // the tree alone, drawn anew when it has changed
    this.canvas = el("canvas", { class: "fs-map", tabindex: "0", role: "img", "aria-label": "Map of the whole tree; the frame is what is in sight. Arrow keys move it." });
    this.toggle = el("button", { type: "button", class: "fs-map-toggle", onclick: () => this.#open(!this.isOpen) });
    host.append(this.canvas, this.toggle);
    tree.moved = () => this.scene && this.#show();
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
    const slack = SLACK / this.tree.camera.scale;
    const isAll = world.left >= window.left - slack && world.right <= window.right + slack
      && world.top >= window.top - slack && world.bottom <= window.bottom + slack;
    if (this.host.hidden !== isAll) this.host.hidden = isAll;
    if (isAll || !this.isOpen) return;
    sharpCanvas(this.canvas, (context, width, height) => {
      this.scales = fitted(world, width, height);
      this.#picture(width, height);
      context.drawImage(this.picture, 0, 0, width, height);
      this.#frame(context, window, width, height);
    });
  }

  /** Where the shown tree stands, in world pixels. */
  #world() {
    const { layout } = this.tree;
    const [low, high] = layout.extent;
    return { left: -DX * 0.2, right: layout.columns.length * DX, top: (low - 0.6) * DY, bottom: (high + 0.6) * DY };
  }

  #picture(width, height) {
    const { scene, tree, picture } = this;
    const { layout } = tree;
    const { state, dead, focus } = scene;
    const lit = focus?.nodes;
    const key = [layout.epoch, layout.y.length, state.cursor, scene.isDark, scene.colors.muted, width, height, lit?.size ?? 0, focus?.node ?? ""].join();
    if (key === this.key) return;
    this.key = key;
    const ratio = this.canvas.width / width;
    Object.assign(picture, { width: this.canvas.width, height: this.canvas.height });
    const context = picture.getContext("2d");
    context.scale(ratio, ratio);
    const { x, y, dx } = this.scales;
    const lane = Math.max(0.6, Math.min(1.6, this.scales.dy * 0.5));
    const draw = (color, thick, isWanted) => {
      context.fillStyle = color;
      for (let id = 0; id < state.numNodes; id++) {
        if (Number.isNaN(layout.y[id]) || !isWanted(id)) continue;
        const right = x(layout.column[id] * DX);
        context.fillRect(right - dx, y(layout.y[id] * DY) - thick / 2, dx + 0.4, thick);
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
    const move = (event) => {
      const [px, py] = inside(event, canvas);
      tree.centre(this.scales.worldX(px), this.scales.worldY(py), tree.camera.scale, true);
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

/** World to map and back, both directions filling the map. */
function fitted({ left, right, top, bottom }, width, height) {
  const sx = (width - 2 * PAD) / (right - left);
  const sy = Math.min((height - 2 * PAD) / (bottom - top), 6 / DY);
  const middle = height / 2 - ((top + bottom) / 2) * sy;
  return {
    x: (at) => PAD + (at - left) * sx, y: (at) => middle + at * sy, dx: DX * sx, dy: DY * sy,
    worldX: (px) => left + (px - PAD) / sx, worldY: (py) => (py - middle) / sy,
  };
}
