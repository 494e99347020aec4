// The event log: steps in, state at a cursor out. No DOM; the page, node and the tests run it alike.
//
// What a step says never changes, so facts (nodes, decisions, ends, writes) are kept once, each with the
// index of its step, and a view at cursor c ignores facts that are younger than c. What does change (which
// path sees which slot) is a `State`, advanced a step at a time from the nearest checkpoint.

import { readTrace } from "./parse.js";
import { Checkpoints, PROMPT, State } from "./state.js";
import { unpacked } from "./wire.js";

export { PROMPT, State };

const NEVER = 2 ** 31 - 1;

/** Everything known of one run. Grows by `append`; `at(cursor)` gives the state after that step. */
export class Log {
  constructor(header) {
    this.header = header;
    this.steps = [];
    this.root = fact({ id: PROMPT, parent: null, path: 0, text: "", raw: "", prob: 1, raw_prob: 1 }, -1, -1);
    this.nodes = []; // facts by node id
    this.prompt = header.prompt.map((token) => ({ ...token, slot: -1, written: Infinity }));
    this.source = header.source ?? []; // what an encoder reads; the prompt is then what its decoder begins with
    this.forks = []; // {step, path, node, children}
    this.ends = []; // {step, path, node, status}
    this.evictions = []; // {step, layer, token, at, of, isFree}: entry `at` of the `Evicted` `of`; token as in State.tokens
    this.gone = new Map(); // token -> where it stands in `evictions`, once for each time that it left
    this.lastOf = new Map(); // path -> its newest node, whenever it was made
    this.head = new State();
    this.checkpoints = new Checkpoints();
    this.view = this.head;
    this.made = []; // by step: nodes up to its end
    this.parents = new Column(); // by node id, as `node.parent`
    this.prunedAt = new Column(); // by node id: the step, or NEVER
    this.deaths = { key: "", dead: null }; // the last answer of `dead`
  }

  get length() {
    return this.steps.length;
  }

  /** The fact of a node; -1 is the end of the prompt. */
  node(id) {
    return id === PROMPT ? this.root : this.nodes[id];
  }

  /** Take the next step, as a trace or a live run (see wire.js) has it. */
  append(given) {
    const step = unpacked(given);
    if (step.index !== this.steps.length) throw new Error(`step ${step.index} after ${this.steps.length - 1}`);
    if (this.view === this.head) this.view = null; // somebody may still look at it
    this.checkpoints.offer(this.head);
    this.steps.push(step);
    for (const decision of step.decisions) this.#decide(decision, step.index);
    for (const node of step.nodes) this.#add(node, step.index);
    for (const fork of step.forks) this.forks.push({ step: step.index, ...fork });
    for (const end of step.ends) this.#end(end, step.index);
    this.made.push(this.nodes.length);
    this.head.advance(step, (token, slot) => this.#wrote(token, slot, step.index),
      (token, of, at, isFree) => this.#left(token, of, at, step.index, isFree));
  }

  /** The state after step `cursor` (clamped); do not change it. */
  at(cursor) {
    const want = Math.max(-1, Math.min(cursor, this.steps.length - 1));
    if (want === this.head.cursor) return this.head;
    if (want < 0) return new State();
    const near = this.checkpoints.before(want);
    let state = this.view;
    if (!state || state === this.head || state.cursor > want || state.cursor < near.cursor) state = near.clone();
    while (state.cursor < want) state.advance(this.steps[state.cursor + 1]);
    this.view = state;
    return state;
  }

  /** Node ids from the first token to `id`. */
  lineage(id) {
    const ids = [];
    for (let at = id; at !== PROMPT && at !== null; at = this.nodes[at].parent) ids.push(at);
    return ids.reverse();
  }

  /** Text of a path: what `id` and its ancestors add, without the prompt. */
  textOf(id) {
    return this.lineage(id).map((at) => this.nodes[at].text).join("");
  }

  promptText() {
    const text = (tokens) => tokens.map((token) => token.text).join("");
    return this.source.length ? `${text(this.source)} → ${text(this.prompt)}` : text(this.prompt);
  }

  /** [nodes] 1 where every path through the node had been pruned at `cursor`; do not change it. */
  dead(cursor) {
    const key = `${cursor}/${this.length}`;
    if (key !== this.deaths.key) this.deaths = { key, dead: this.#dead(cursor) };
    return this.deaths.dead;
  }

  /** From the newest node back: children follow their parents. */
  #dead(cursor) {
    const dead = new Uint8Array(this.nodes.length);
    const below = new Uint8Array(this.nodes.length); // 0 no child yet, 1 dead ones only, 2 a live one
    const parents = this.parents.values;
    const prunedAt = this.prunedAt.values;
    for (let id = (this.made[Math.min(cursor, this.length - 1)] ?? 0) - 1; id >= 0; id--) {
      dead[id] = Number(below[id] ? below[id] === 1 : prunedAt[id] <= cursor);
      if (parents[id] >= 0) below[parents[id]] |= dead[id] ? 1 : 2;
    }
    return dead;
  }

  #decide(decision, step) {
    const node = this.node(decision.node);
    if (node.decision) return; // several samples start at the prompt's end: the first one stands
    node.decision = decision;
    node.decided = step;
  }

  #add(node, step) {
    const parent = this.node(node.parent);
    if (!parent || node.id !== this.nodes.length) throw new Error(`node ${node.id} is out of order`);
    this.nodes[node.id] = fact(node, step, parent.depth + 1);
    parent.children.push(node.id);
    this.parents.push(node.parent);
    this.prunedAt.push(NEVER);
    this.lastOf.set(node.path, node.id);
  }

  #end(end, step) {
    this.ends.push({ step, ...end });
    const node = this.node(end.node);
    node.ended = step;
    node.status = end.status;
    if (end.node >= 0) this.prunedAt.values[end.node] = end.status === "pruned" ? step : NEVER;
  }

  #left(token, of, at, step, isFree) {
    if (!this.gone.has(token)) this.gone.set(token, []);
    this.gone.get(token).push(this.evictions.length);
    this.evictions.push({ step, layer: of.layer, token, at, of, isFree });
  }

  #wrote(token, slot, step) {
    const holder = token > 0 ? this.nodes[token - 1] : this.prompt[-token - 1];
    if (holder) Object.assign(holder, { slot, written: step });
  }
}

/** Whole numbers in a row that grows: what is read for every node of every frame. */
class Column {
  constructor() {
    this.values = new Int32Array(256);
    this.length = 0;
  }

  push(value) {
    if (this.length === this.values.length) {
      const longer = new Int32Array(2 * this.length);
      longer.set(this.values);
      this.values = longer;
    }
    this.values[this.length++] = value;
  }
}

function fact(node, step, depth) {
  return {
    ...node, step, depth, children: [], decision: null, decided: Infinity,
    status: null, ended: Infinity, slot: -1, written: Infinity,
  };
}

function perLayer(state, read) {
  return Array.from({ length: state.numLayers }, (_, layer) => read(layer));
}

/** What a page shows of `log` at `cursor`, as plain JSON: equal pages, equal descriptions. */
export function describe(log, cursor) {
  const state = log.at(cursor);
  const at = state.cursor;
  return {
    cursor: at,
    nodes: log.nodes.slice(0, state.numNodes).map((node) => ({
      id: node.id, parent: node.parent, depth: node.depth, text: node.text,
      entropy: node.decided <= at ? node.decision.normalized_entropy : null,
      status: node.ended <= at ? node.status : null,
      slot: state.holds(node.slot, node.id + 1) ? node.slot : null,
    })),
    dead: Array.from(log.dead(at)).slice(0, state.numNodes),
    paths: state.rows.map((row) => ({
      path: row.path, node: row.node, visible: state.visible(row),
      ...(state.isSplit && { layers: perLayer(state, (layer) => state.visible(row, layer)) }),
    })),
    refs: Array.from(state.refs),
    tokens: Array.from(state.tokens),
    ...(state.isSplit && {
      layerRefs: perLayer(state, (layer) => Array.from(state.refsOf(layer))), layerTokens: perLayer(state, (layer) => Array.from(state.tokensOf(layer))),
    }),
    over: state.isOver,
    layers: state.memory ? [...state.memory.layers] : [],
    memory: log.steps.slice(0, at + 1).map((step) => [
      step.memory.unique_kv_tokens, step.memory.logical_kv_tokens, step.memory.kv_nbytes,
    ]),
  };
}

/** The log of a trace file (JSON lines) up to its last whole line. Throws an Error of one sentence. */
export function parseTrace(text, name) {
  const { header, steps } = readTrace(text, name);
  const log = new Log(header);
  for (const step of steps) log.append(step);
  return log;
}
