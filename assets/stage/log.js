// The event log: steps in, state at a cursor out. No DOM; the page, node and the tests run it alike.
//
// What a step says never changes, so facts (nodes, decisions, ends, writes) are kept once, each with the
// index of its step, and a view at cursor c ignores facts that are younger than c. What does change (which
// path sees which slot) is a `State`, advanced a step at a time from the nearest checkpoint.

export const PROMPT = -1;
const EVERY = 32; // steps between two checkpoints

/** Who sees which slot after one step. Rows are the live paths, in the engine's order. */
export class State {
  constructor() {
    this.cursor = -1;
    this.numNodes = 0; // nodes made up to the cursor
    this.numPrompt = 0; // prompt tokens whose keys and values are stored
    this.capacity = 0; // slots this state has room for
    this.rows = [{ path: 0, node: PROMPT, bits: new Uint32Array(0) }];
    this.refs = new Int32Array(0); // [slots] rows that see the slot
    this.tokens = new Int32Array(0); // [slots] 0 free, n + 1 node n, -(i + 1) prompt token i
    this.memory = null;
    this.isOver = false; // the paths have all ended; the pool is shown as the last pass left it
  }

  clone() {
    const copy = Object.assign(new State(), this);
    copy.rows = this.rows.map((row) => ({ ...row, bits: row.bits.slice() }));
    copy.refs = this.refs.slice();
    copy.tokens = this.tokens.slice();
    return copy;
  }

  /** Apply one step; `wrote(token, slot)` hears which token went into which slot. */
  advance(step, wrote = () => {}) {
    if (this.isOver) this.#restart();
    this.cursor = step.index;
    this.reserve(Math.max(step.memory.capacity, ...step.slots.map((slot) => slot + 1)));
    if (step.phase === "prefill") this.#writePrompt(step, wrote);
    else this.#writeRows(step, wrote);
    this.numNodes += step.nodes.length;
    this.isOver = !step.paths.length;
    this.memory = this.isOver ? step.memory_forward : step.memory;
    if (this.isOver) return;
    const moved = this.#fork(step);
    if (moved) this.#count();
    for (const slot of step.freed) this.#free(slot);
  }

  reserve(capacity) {
    if (capacity <= this.capacity) return;
    const grow = (Kind, old, size) => {
      const fresh = new Kind(size);
      fresh.set(old);
      return fresh;
    };
    this.capacity = capacity;
    this.refs = grow(Int32Array, this.refs, capacity);
    this.tokens = grow(Int32Array, this.tokens, capacity);
    const words = (capacity + 31) >> 5;
    for (const row of this.rows) row.bits = grow(Uint32Array, row.bits, words);
  }

  /** Slots that row `row` sees, in rising order. */
  visible(row) {
    const slots = [];
    row.bits.forEach((word, at) => {
      for (let rest = word; rest; rest &= rest - 1) slots.push(at * 32 + (31 - Math.clz32(rest & -rest)));
    });
    return slots;
  }

  /** The slot that holds `token` (node id + 1, or -(prompt index + 1)) now, or -1. */
  holds(slot, token) {
    return slot >= 0 && slot < this.capacity && this.tokens[slot] === token;
  }

  /** The next sample of a run whose samples come one after another. */
  #restart() {
    this.rows = [{ path: 0, node: PROMPT, bits: new Uint32Array((this.capacity + 31) >> 5) }];
    this.refs.fill(0);
    this.tokens.fill(0);
    this.numPrompt = 0;
  }

  #writePrompt(step, wrote) {
    for (const slot of step.slots) {
      const token = -(this.numPrompt + 1);
      this.numPrompt += 1;
      this.tokens[slot] = token;
      for (const row of this.rows) row.bits[slot >> 5] |= 1 << (slot & 31);
      this.refs[slot] = this.rows.length;
      wrote(token, slot);
    }
  }

  #writeRows(step, wrote) {
    step.slots.forEach((slot, at) => {
      const row = this.rows[at];
      if (!row) return;
      this.tokens[slot] = row.node + 1;
      row.bits[slot >> 5] |= 1 << (slot & 31);
      this.refs[slot] = 1;
      wrote(row.node + 1, slot);
    });
  }

  /** `fork(parents)`, the only structural operation. True when rows were repeated, moved or dropped. */
  #fork(step) {
    const before = this.rows;
    const last = new Map(step.nodes.map((node) => [node.path, node.id]));
    const taken = new Set();
    const words = (this.capacity + 31) >> 5;
    this.rows = step.paths.map((path, at) => {
      const parent = before[step.parents[at]];
      const node = last.get(path) ?? parent?.node ?? PROMPT;
      let bits = parent?.bits ?? new Uint32Array(words);
      if (taken.has(parent)) bits = bits.slice();
      taken.add(parent);
      return { path, node, bits };
    });
    return step.paths.length !== before.length || step.parents.some((parent, at) => parent !== at);
  }

  #count() {
    this.refs.fill(0);
    for (const row of this.rows) for (const slot of this.visible(row)) this.refs[slot] += 1;
  }

  #free(slot) {
    for (const row of this.rows) row.bits[slot >> 5] &= ~(1 << (slot & 31));
    this.refs[slot] = 0;
    this.tokens[slot] = 0;
  }
}

/** Everything known of one run. Grows by `append`; `at(cursor)` gives the state after that step. */
export class Log {
  constructor(header) {
    this.header = header;
    this.steps = [];
    this.root = fact({ id: PROMPT, parent: null, path: 0, text: "", raw: "", prob: 1, raw_prob: 1 }, -1, -1);
    this.nodes = []; // facts by node id
    this.prompt = header.prompt.map((token) => ({ ...token, slot: -1, written: Infinity }));
    this.forks = []; // {step, path, node, children}
    this.ends = []; // {step, path, node, status}
    this.lastOf = new Map(); // path -> its newest node, whenever it was made
    this.head = new State();
    this.checkpoints = [];
    this.view = this.head;
  }

  get length() {
    return this.steps.length;
  }

  /** The fact of a node; -1 is the end of the prompt. */
  node(id) {
    return id === PROMPT ? this.root : this.nodes[id];
  }

  append(step) {
    if (step.index !== this.steps.length) throw new Error(`step ${step.index} after ${this.steps.length - 1}`);
    if (this.view === this.head) this.view = null; // somebody may still look at it
    if (step.index % EVERY === 0) this.checkpoints.push(this.head.clone());
    this.steps.push(step);
    for (const decision of step.decisions) this.#decide(decision, step.index);
    for (const node of step.nodes) this.#add(node, step.index);
    for (const fork of step.forks) this.forks.push({ step: step.index, ...fork });
    for (const end of step.ends) this.#end(end, step.index);
    this.head.advance(step, (token, slot) => this.#wrote(token, slot, step.index));
  }

  /** The state after step `cursor` (clamped); do not change it. */
  at(cursor) {
    const want = Math.max(-1, Math.min(cursor, this.steps.length - 1));
    if (want === this.head.cursor) return this.head;
    const near = this.checkpoints[Math.floor(want / EVERY)];
    if (want < 0) return new State();
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
    return this.prompt.map((token) => token.text).join("");
  }

  /** [nodes] 1 where every path through the node had been pruned at `cursor`. Children follow parents. */
  dead(cursor) {
    const dead = new Uint8Array(this.nodes.length);
    for (let id = this.nodes.length - 1; id >= 0; id--) {
      const node = this.nodes[id];
      if (node.step > cursor) continue;
      let alive = 0;
      let seen = 0;
      for (const child of node.children) {
        if (this.nodes[child].step > cursor) continue;
        seen += 1;
        alive += 1 - dead[child];
      }
      dead[id] = Number(seen ? !alive : node.ended <= cursor && node.status === "pruned");
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
    this.nodes[node.id] = fact(node, step, parent.depth + 1);
    parent.children.push(node.id);
    this.lastOf.set(node.path, node.id);
  }

  #end(end, step) {
    this.ends.push({ step, ...end });
    const node = this.node(end.node);
    node.ended = step;
    node.status = end.status;
  }

  #wrote(token, slot, step) {
    const holder = token > 0 ? this.nodes[token - 1] : this.prompt[-token - 1];
    if (holder) Object.assign(holder, { slot, written: step });
  }
}

function fact(node, step, depth) {
  return {
    ...node, step, depth, children: [], decision: null, decided: Infinity,
    status: null, ended: Infinity, slot: -1, written: Infinity,
  };
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
    paths: state.rows.map((row) => ({ path: row.path, node: row.node, visible: state.visible(row) })),
    refs: Array.from(state.refs),
    tokens: Array.from(state.tokens),
    over: state.isOver,
    layers: state.memory ? [...state.memory.layers] : [],
    memory: log.steps.slice(0, at + 1).map((step) => [
      step.memory.unique_kv_tokens, step.memory.logical_kv_tokens, step.memory.kv_nbytes,
    ]),
  };
}

/** Parse a trace file (JSON lines) up to its last whole line. Throws an Error of one sentence. */
export function parseTrace(text, name = "This file") {
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n").filter((line) => line);
  const header = lines.length ? parseLine(lines[0]) : null;
  if (header?.format !== "forkscope-trace") throw new Error(`${name} is not a Forkscope trace.`);
  if (header.version !== 1) {
    throw new Error(`${name} is a trace of version ${header.version}; this page reads version 1.`);
  }
  const log = new Log(header);
  lines.slice(1).forEach((line, at) => {
    const step = parseLine(line);
    if (step?.index !== log.length) throw new Error(`${name} is damaged at line ${at + 2}.`);
    log.append(step);
  });
  return log;
}

function parseLine(line) {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
