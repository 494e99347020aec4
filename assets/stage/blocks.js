// How one block of the multiverse is painted: colour and ink, hatching where pruned, an edge where a path ended.

import { entropyColor, entropyPosition } from "./color.js";
import { inkOn, mix } from "./contrast.js";
import { count, shorten, visibleToken } from "./format.js";
import { PROMPT } from "./log.js";
import { counts } from "./shape.js";
import { markOf } from "./whatif.js";

const LEVELS = 64; // shades of the entropy scale that blocks are painted in
const FADED = 0.7; // of the ground in a pruned block's colour
const TEXT = 12; // pixels of height that a line of text needs
const LEAST = 22; // pixels of width below which no column is written on
const FONT = 11.5;
const PAD = 4;

/** Grounds and inks for every shade of entropy, in the theme's colours; made once a theme. */
export class Shades {
  constructor(colors, isDark) {
    this.colors = colors;
    this.isDark = isDark;
    const grounds = Array.from({ length: LEVELS + 1 }, (_, at) => entropyColor((at / LEVELS) ** 2, isDark));
    this.live = grounds.map((ground) => ({ ground, ink: inkOn(ground) }));
    this.dead = grounds.map((ground) => {
      const faded = mix(ground, colors.surface, FADED);
      return { ground: faded, ink: inkOn(faded) };
    });
    this.open = { ground: colors.free, ink: inkOn(colors.free) };
    this.hatch = hatching(colors.surface);
    this.widths = new Map(); // text -> pixels
  }

  /** `{ground, ink}` for a normalised entropy; null: nothing has been decided. */
  of(entropy, isDead) {
    if (entropy === null) return this.open;
    return (isDead ? this.dead : this.live)[Math.round(entropyPosition(entropy) * LEVELS)];
  }
}

/** A tile of diagonal lines. */
function hatching(color) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const context = tile.getContext("2d");
  context.strokeStyle = color;
  context.lineWidth = 1.6;
  context.beginPath();
  for (const shift of [-6, 0, 6]) {
    context.moveTo(shift - 1, 7);
    context.lineTo(shift + 7, -1);
  }
  context.stroke();
  return context.createPattern(tile, "repeat");
}

/** Paints blocks (`{x, y, h, ids}`) of columns `column` pixels wide. */
export class BlockPainter {
  constructor(context, scene, shades, column, height) {
    Object.assign(this, { context, scene, shades, column, height });
    context.textBaseline = "middle";
    context.font = `${FONT}px ${getComputedStyle(context.canvas).fontFamily}`;
    this.counts = counts(scene.log, scene.state.cursor);
  }

  block(block) {
    const { context } = this;
    const [id] = block.ids;
    const isDead = block.ids.every((at) => this.#isDead(at));
    const { ground, ink } = this.shades.of(this.#entropy(block.ids), isDead);
    const box = this.#box(block);
    context.fillStyle = ground;
    context.fillRect(...box);
    if (isDead && id !== PROMPT) {
      context.globalAlpha = 0.55;
      context.fillStyle = this.shades.hatch;
      context.fillRect(...box);
      context.globalAlpha = 1;
    }
    if (this.column > 8) this.#seam(box);
    if (block.ids.length === 1) this.#text(block, ink, isDead);
  }

  /** What stands out over the colours: ends, marks of the reader, and what is in focus. */
  marks(block) {
    const { scene, shades: { colors } } = this;
    const { focus, shape } = scene;
    if (block.ids.length === 1) {
      this.#end(block);
      this.#trial(block);
    }
    if (block.ids.some((id) => shape.found.has(id))) this.#frame(block, colors.accent, 1.5);
    if (block.ids.some((id) => shape.bookmarks.has(id))) this.#flag(block, colors.accent);
    if (block.ids.some((id) => focus?.nodes.has(id))) this.#frame(block, colors.ink, 1);
    if (focus && block.ids.includes(focus.node)) this.#frame(block, colors.accent, 3);
  }

  #isDead(id) {
    return id !== PROMPT && this.scene.dead[id] === 1;
  }

  /** Of the tokens that share a block, the mean of those that were decided; null: none was. */
  #entropy(ids) {
    const { log, state } = this.scene;
    const known = ids.map((id) => log.node(id)).filter((node) => node.decided <= state.cursor);
    if (!known.length) return null;
    return known.reduce((sum, node) => sum + node.decision.normalized_entropy, 0) / known.length;
  }

  #box({ x, y, h }) {
    return [x, y, this.column, Math.max(0.5, h - (h > 3 ? 1 : 0))];
  }

  /** Between a token and the next one: a hairline, for what follows belongs to it. */
  #seam([x, y, w, h]) {
    const { context } = this;
    context.globalAlpha = 0.35;
    context.fillStyle = this.shades.colors.surface;
    context.fillRect(x + w - 1, y, 1, h);
    context.globalAlpha = 1;
  }

  #text({ x, y, h, ids: [id] }, ink, isDead) {
    const top = Math.max(0, y);
    const seen = Math.min(this.height, y + h) - top;
    if (seen < TEXT || this.column < LEAST || x < -PAD) return;
    const { context } = this;
    const words = this.#fitting(this.#label(id), this.column - 2 * PAD);
    if (!words) return;
    context.fillStyle = ink;
    context.globalAlpha = isDead ? 0.85 : 1;
    context.fillText(words, x + PAD, top + seen / 2 + 0.5);
    context.globalAlpha = 1;
  }

  /** As much of `words` as `width` pixels hold; nothing where it would be a letter or two of many. */
  #fitting(words, width) {
    const { widths } = this.shades;
    if (!widths.has(words)) widths.set(words, this.context.measureText(words).width);
    const wide = widths.get(words);
    if (wide <= width) return words;
    const letters = Math.floor(([...words].length * width) / wide);
    return letters < 3 ? "" : shorten(words, letters);
  }

  #label(id) {
    const { log, shape, state } = this.scene;
    const below = id === PROMPT ? state.numNodes : this.counts[id] - 1;
    const node = log.node(id);
    const name = id === PROMPT ? "prompt" : visibleToken(node.text.trim() ? node.text.replace(/^ /, "") : node.text, node.raw);
    return shape.collapsed.has(id) && below ? `+${count(below)} ${name}` : name;
  }

  /** The right edge of a path's last token: a bar where it finished, thin at the length limit, dashed if stopped. */
  #end(block) {
    const [id] = block.ids;
    const node = this.scene.log.node(id);
    if (id === PROMPT || node.ended > this.scene.state.cursor || node.status === "pruned") return;
    const [x, y, w, h] = this.#box(block);
    const { context } = this;
    const wide = node.status === "finished" ? 4 : 2;
    context.fillStyle = this.shades.colors.ink;
    if (node.status !== "cancelled") context.fillRect(x + w - wide, y, wide, h);
    else for (let at = 0; at < h; at += 4) context.fillRect(x + w - wide, y + at, wide, 2);
  }

  /** While a threshold is tried out: a disc where a fork would be, a ring where none would, struck where none is reached. */
  #trial(block) {
    const tried = markOf(this.scene.trial, this.scene.log.node(block.ids[0]));
    if (!tried) return;
    const [x, y, w, h] = this.#box(block);
    const { context, shades: { colors } } = this;
    const [cx, cy, r] = [x + w - 6, y + Math.min(h / 2, 7), Math.min(4, h / 2)];
    context.beginPath();
    context.arc(cx, cy, r, 0, 2 * Math.PI);
    context.fillStyle = tried === "gained" ? colors.accent : colors.surface;
    context.strokeStyle = tried === "gained" ? colors.surface : colors.accent;
    context.lineWidth = 1.5;
    context.fill();
    if (tried === "cut") {
      context.moveTo(cx - r, cy);
      context.lineTo(cx + r, cy);
    }
    context.stroke();
  }

  #frame(block, color, wide) {
    const [x, y, w, h] = this.#box(block);
    this.context.strokeStyle = color;
    this.context.lineWidth = wide;
    this.context.strokeRect(x + wide / 2, y + Math.min(wide, h) / 2, Math.max(0, w - wide), Math.max(0, h - wide));
  }

  #flag(block, color) {
    const [x, y] = this.#box(block);
    const { context } = this;
    context.fillStyle = color;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + 10, y);
    context.lineTo(x, y + 10);
    context.fill();
  }
}
