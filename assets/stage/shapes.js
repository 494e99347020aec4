// What a run's tree would take in another model's KV cache: arithmetic on published shapes. Predicted, never measured.

import { PROMPT } from "./log.js";

/** Bytes of one element. */
export const ELEMENTS = { float32: 4, bfloat16: 2, float16: 2, float8: 1 };
/** What may be typed in: `[name, words, most]`, all whole numbers from 1 on. */
export const FIELDS = [["layers", "layers", 1000], ["kv_heads", "KV heads", 1024], ["head_dim", "head size", 4096]];

/** Elements that one token takes in one layer: keys and values of all heads, or one latent vector. */
export function elements(shape) {
  return shape.latent || 2 * shape.kv_heads * shape.head_dim;
}

/** Bytes of a token that every layer keeps. */
export function perToken(shape) {
  return shape.layers * elements(shape) * ELEMENTS[shape.dtype];
}

/** Bytes of `tokens` in the layers that keep all of them, `windowed` of them in the layers that slide. */
export function nbytes(shape, tokens, windowed) {
  const sliding = shape.window ? shape.window_layers : 0;
  return elements(shape) * ELEMENTS[shape.dtype] * ((shape.layers - sliding) * tokens + sliding * windowed);
}

/** The formula of `shape` with its numbers, for one token. */
export function formula(shape) {
  const inner = shape.latent ? `${shape.latent} elements` : `2 × ${shape.kv_heads} KV heads × ${shape.head_dim}`;
  return `${shape.layers} layers × ${inner} × ${ELEMENTS[shape.dtype]} B`;
}

/** Why a typed-in shape cannot be, in one sentence; null where it can. */
export function complaint(shape) {
  for (const [name, words, most] of FIELDS) {
    const value = shape[name];
    if (!Number.isInteger(value) || value < 1 || value > most) {
      return `${words[0].toUpperCase()}${words.slice(1)}: give a whole number from 1 to ${most}.`;
    }
  }
  return null;
}

/**
 * Tokens that the paths of a tree keep, by step: `forward` after the pass, `after` the decisions, each
 * `{unique, logical}` arrays. A token is kept as long as a live path runs through it; all live paths are equally
 * long, so a window of W tokens is the last W positions of every path. Whatever backend ran the tree.
 */
export class TreeTokens {
  constructor(log, window = null) {
    this.log = log;
    this.window = window;
    this.forward = { unique: [], logical: [] };
    this.after = { unique: [], logical: [] };
    this.read = 0;
    this.#restart();
  }

  /** Take the steps that came since. */
  grow() {
    for (; this.read < this.log.length; this.read++) {
      const step = this.log.steps[this.read];
      if (step.phase === "prefill") this.#readPrompt(step);
      else this.#store();
      this.#note(this.forward);
      this.#decide(step);
      this.#note(this.after);
    }
    return this;
  }

  #restart() {
    this.rows = [PROMPT]; // the newest node of each live path, not stored yet
    this.length = 0; // tokens stored of each path
    this.unique = 0; // tokens kept where paths share them; with a window, those inside it
    this.kept = []; // tokens by position
    this.place = new Map(); // stored node -> its position
    this.heirs = new Map(); // live paths and stored children right after a node
  }

  #readPrompt({ positions, slots }) {
    if (this.rows.length !== 1 || this.rows[0] !== PROMPT) this.#restart(); // the next of several independent samples
    const tokens = Math.max(positions, slots.length); // those that were reused have slots, and were not computed
    for (let at = 0; at < tokens; at++) this.#lengthen(1);
  }

  get first() {
    return this.window ? Math.max(0, this.length - this.window) : 0;
  }

  #note({ unique, logical }) {
    unique.push(this.unique);
    logical.push(this.rows.length * (this.length - this.first));
  }

  #lengthen(tokens) {
    const before = this.first;
    this.kept.push(tokens);
    this.length += 1;
    this.unique += tokens;
    if (this.first > before) this.unique -= this.kept[before];
  }

  #store() {
    for (const node of this.rows) this.place.set(node, this.length);
    this.#lengthen(this.rows.length);
  }

  #decide(step) {
    const made = new Map(step.nodes.map((node) => [node.path, node.id]));
    const before = this.rows;
    this.rows = step.paths.map((path, at) => {
      const from = before[step.parents[at]];
      this.heirs.set(from, (this.heirs.get(from) ?? 0) + 1);
      return made.get(path) ?? from;
    });
    for (const node of before) this.#release(node);
  }

  #release(id) {
    let node = id;
    while (this.place.has(node) && !this.heirs.get(node)) {
      const position = this.place.get(node);
      this.place.delete(node);
      this.heirs.delete(node);
      this.kept[position] -= 1;
      if (position >= this.first) this.unique -= 1;
      node = this.log.nodes[node].parent;
      this.heirs.set(node, (this.heirs.get(node) ?? 0) - 1);
    }
  }
}

const counted = new WeakMap(); // log -> Map(window -> TreeTokens)

/** The counts of a log, kept and grown with it. */
export function treeTokens(log, window = null) {
  if (!counted.has(log)) counted.set(log, new Map());
  const byWindow = counted.get(log);
  if (!byWindow.has(window)) byWindow.set(window, new TreeTokens(log, window));
  return byWindow.get(window).grow();
}

/**
 * Predicted bytes of the log's tree in a model of this shape, for one cache a path (`copies`) and for `sharing`:
 * `{now: {copies, sharing}, peak: {copies, sharing}, longest}`; `longest`: tokens of the longest path.
 */
export function project(log, shape, cursor) {
  const whole = treeTokens(log);
  const windowed = shape.window ? treeTokens(log, shape.window) : whole;
  const at = (moment, kind, step) => nbytes(shape, whole[moment][kind][step], windowed[moment][kind][step]);
  const peak = (kind) => {
    let most = 0;
    for (let step = 0; step < log.length; step++) most = Math.max(most, at("forward", kind, step), at("after", kind, step));
    return most;
  };
  const moment = cursor >= 0 && !log.steps[cursor].paths.length ? "forward" : "after"; // a run that is over: its last pass
  const now = (kind) => (cursor < 0 ? 0 : at(moment, kind, cursor));
  return {
    now: { copies: now("logical"), sharing: now("unique") },
    peak: { copies: peak("logical"), sharing: peak("unique") },
    longest: whole.length,
  };
}
