// Pan and zoom of one element: what the user chose stays until the user changes it.

import { inside, isStill } from "./dom.js";

const MIN = 0.004; // a path of some thousand tokens, whole
const MAX = 4;
const GLIDE_MS = 30; // between two frames of a glide: smooth enough, and half the painting
const REST = 18; // milliseconds after such a frame in which none is asked for: the page has one less to make

export class Camera {
  /**
   * `world`, in `root`, is moved and scaled. `moved(isFrame)` is called whenever the view changed, in a frame of its own or not;
   * `touched()` when the user changed it. `tallness(scale)`: how much taller than wide things are drawn at a scale; what stands at y = 1
   * then stands at `tallness * scale` pixels.
   */
  constructor(root, world, { moved = () => {}, touched = () => {}, tallness = () => 1 } = {}) {
    this.root = root;
    this.world = world;
    this.moved = moved;
    this.touched = touched;
    this.tallness = tallness;
    this.x = 0;
    this.y = 0;
    this.scale = 1;
    this.goal = null;
    this.frame = 0;
    this.last = 0;
    this.wasDragged = false; // the click that follows is the end of a drag
    this.#listen();
  }

  set(x, y, scale, isFrame = false) {
    Object.assign(this, { x, y, scale: Math.max(MIN, Math.min(MAX, scale)) });
    this.world.style.transform = `translate(${x.toFixed(2)}px, ${y.toFixed(2)}px) scale(${this.scale.toFixed(4)})`;
    this.moved(isFrame);
  }

  /** There at once, whatever was under way. */
  jump(x, y, scale) {
    this.stop();
    this.set(x, y, scale);
  }

  /** Glide there; at once where people asked for no motion. */
  glide(x, y, scale) {
    if (isStill()) {
      this.set(x, y, scale);
      return;
    }
    this.goal = { x, y, scale };
    if (!this.frame) this.frame = requestAnimationFrame((now) => this.#step(now));
  }

  /** Move what is in sight by some pixels, and where a glide leads as well. */
  shift(dx, dy) {
    if (this.goal) this.goal = { ...this.goal, x: this.goal.x + dx, y: this.goal.y + dy };
    this.set(this.x + dx, this.y + dy, this.scale);
  }

  stop() {
    this.goal = null;
  }

  zoom(factor, cx, cy) {
    this.stop();
    const scale = Math.max(MIN, Math.min(MAX, this.scale * factor));
    const ratio = scale / this.scale;
    const taller = ratio * (this.tallness(scale) / this.tallness(this.scale));
    this.set(cx - (cx - this.x) * ratio, cy - (cy - this.y) * taller, scale);
  }

  #step(now) {
    this.frame = 0;
    if (!this.goal) return;
    if (now - this.last < GLIDE_MS) {
      this.frame = requestAnimationFrame((next) => this.#step(next));
      return;
    }
    this.last = now;
    const { x, y, scale } = this.goal;
    const near = Math.abs(x - this.x) + Math.abs(y - this.y) < 0.5 && Math.abs(scale / this.scale - 1) < 0.002;
    const ease = (from, to) => (near ? to : from + (to - from) * 0.28);
    this.set(ease(this.x, x), ease(this.y, y), ease(this.scale, scale), true);
    if (near) this.goal = null;
    else this.#goOn();
  }

  #goOn() {
    this.frame = setTimeout(() => (this.frame = requestAnimationFrame((now) => this.#step(now))), REST);
  }

  #listen() {
    const { root } = this;
    root.addEventListener("wheel", (event) => {
      event.preventDefault();
      const [cx, cy] = inside(event, root);
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), cx, cy);
      this.touched();
    }, { passive: false });
    const pointers = new Map();
    root.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse" && event.button !== 0) return;
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      this.wasDragged = false;
    });
    root.addEventListener("pointermove", (event) => this.#drag(event, pointers));
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
      root.addEventListener(name, (event) => {
        pointers.delete(event.pointerId);
        root.classList.remove("is-dragging");
      });
    }
  }

  #drag(event, pointers) {
    const from = pointers.get(event.pointerId);
    if (!from) return;
    const to = [event.clientX, event.clientY];
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (!other && !this.root.classList.contains("is-dragging") && Math.hypot(to[0] - from[0], to[1] - from[1]) < 4) return;
    pointers.set(event.pointerId, to);
    this.stop();
    this.wasDragged = true;
    if (other) {
      const box = this.root.getBoundingClientRect();
      const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      this.zoom(spread(to) / spread(from), (to[0] + other[0]) / 2 - box.left, (to[1] + other[1]) / 2 - box.top);
    } else {
      this.root.classList.add("is-dragging");
      this.root.setPointerCapture?.(event.pointerId);
      this.set(this.x + to[0] - from[0], this.y + to[1] - from[1], this.scale);
    }
    this.touched();
  }
}
