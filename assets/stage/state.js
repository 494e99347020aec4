// Who sees which slot at one moment, and states kept on the way so that any moment is near to one. No DOM.
//
// All layers see the same until something is evicted. From then on every layer has a table of its own: `bits` and
// `tokens` are layer 0's, those of the others are asked for by layer.

export const PROMPT = -1;

/** The cache after one step. Rows are the live paths, in the engine's order. */
export class State {
  #refs = []; // by layer, counted when somebody asks

  constructor() {
    this.cursor = -1;
    this.numNodes = 0; // nodes made up to the cursor
    this.numPrompt = 0; // prompt tokens whose keys and values are stored
    this.capacity = 0; // slots this state has room for
    this.rows = [{ path: 0, node: PROMPT, bits: new Uint32Array(0) }];
    this.tokens = new Int32Array(0); // [slots] 0 free, n + 1 node n, -(i + 1) prompt token i
    this.deeper = null; // once layers differ, those of layer 1, 2, ...
    this.numLayers = 0;
    this.memory = null;
    this.isOver = false; // the paths have all ended; the pool is shown as the last pass left it
  }

  /** [slots] rows that see the slot, in layer 0. */
  get refs() {
    return this.refsOf(0);
  }

  /** [slots] rows that see the slot in `layer`. */
  refsOf(layer) {
    const at = this.deeper ? layer : 0;
    this.#refs[at] ??= countRefs(this.rows.map((row) => bitsOf(row, at)), this.capacity);
    return this.#refs[at];
  }

  /** [slots] what each slot of `layer` holds. */
  tokensOf(layer) {
    return layer && this.deeper ? this.deeper[layer - 1] : this.tokens;
  }

  /** Whether layers hold different tokens. */
  get isSplit() {
    return this.deeper !== null;
  }

  /** Bytes that a copy takes. */
  get nbytes() {
    const tables = 1 + (this.deeper?.length ?? 0);
    return tables * (4 * this.capacity + this.rows.length * (4 * ((this.capacity + 31) >> 5) + 64));
  }

  clone() {
    const copy = Object.assign(new State(), this);
    copy.rows = this.rows.map(copied);
    copy.tokens = this.tokens.slice();
    copy.deeper = this.deeper?.map((tokens) => tokens.slice()) ?? null;
    return copy;
  }

  /**
   * Apply one step; `wrote(token, slot)` hears which token went into which slot (of layer 0), `left(token, evicted, at,
   * isFree)` which one the entry `at` of an `Evicted` was, and whether nobody sees it any more.
   */
  advance(step, wrote = () => {}, left = () => {}) {
    if (this.isOver || (step.phase === "prefill" && this.rows[0].node !== PROMPT)) this.#restart(); // another sample
    this.#refs = [];
    this.cursor = step.index;
    this.numLayers = step.memory.layers.length;
    if (!this.deeper && (step.evictions?.length || step.layer_slots?.length || step.layer_freed?.length)) this.#split();
    this.reserve(step.slots.reduce((most, slot) => Math.max(most, slot + 1), step.memory.capacity));
    if (step.phase === "prefill") this.#writePrompt(step, wrote);
    else this.#writeRows(step, wrote);
    for (const evicted of step.evictions ?? []) this.#evict(evicted, left);
    this.numNodes += step.nodes.length;
    this.isOver = !step.paths.length;
    this.memory = this.isOver ? step.memory_forward : step.memory;
    if (this.isOver) return;
    this.#fork(step);
    const tables = this.deeper ? this.numLayers : 1;
    for (let layer = 0; layer < tables; layer++) {
      for (const slot of ofLayer(step.layer_freed, layer, step.freed)) this.#free(layer, slot);
    }
  }

  reserve(capacity) {
    if (capacity <= this.capacity) return;
    const grow = (Kind, old, size) => {
      const fresh = new Kind(size);
      fresh.set(old);
      return fresh;
    };
    this.capacity = capacity;
    this.tokens = grow(Int32Array, this.tokens, capacity);
    this.deeper = this.deeper?.map((tokens) => grow(Int32Array, tokens, capacity)) ?? null;
    const words = (capacity + 31) >> 5;
    for (const row of this.rows) {
      row.bits = grow(Uint32Array, row.bits, words);
      if (row.deeper) row.deeper = row.deeper.map((bits) => grow(Uint32Array, bits, words));
    }
  }

  /** Slots that row `row` sees in `layer`, in rising order. */
  visible(row, layer = 0) {
    const slots = [];
    eachSlot(bitsOf(row, layer), (slot) => slots.push(slot));
    return slots;
  }

  /** Whether row `row` sees `slot` in `layer`. */
  sees(row, slot, layer = 0) {
    return Boolean((bitsOf(row, layer)[slot >> 5] >>> (slot & 31)) & 1);
  }

  /** The slot that holds `token` (node id + 1, or -(prompt index + 1)) now, or -1. */
  holds(slot, token) {
    return slot >= 0 && slot < this.capacity && this.tokens[slot] === token;
  }

  /** The next sample of a run whose samples come one after another. */
  #restart() {
    this.rows = [{ path: 0, node: PROMPT, bits: new Uint32Array((this.capacity + 31) >> 5) }];
    this.tokens.fill(0);
    this.deeper = null;
    this.numPrompt = 0;
  }

  /** From now on layers differ: each gets what all have. */
  #split() {
    const others = Array.from({ length: Math.max(0, this.numLayers - 1) });
    this.deeper = others.map(() => this.tokens.slice());
    for (const row of this.rows) row.deeper = others.map(() => row.bits.slice());
  }

  #writePrompt(step, wrote) {
    step.slots.forEach((slot, at) => {
      const token = -(this.numPrompt + 1);
      this.numPrompt += 1;
      this.#put(step, at, token, this.rows);
      wrote(token, slot);
    });
  }

  #writeRows(step, wrote) {
    step.slots.forEach((slot, at) => {
      const row = this.rows[at];
      if (!row) return;
      this.#put(step, at, row.node + 1, [row]);
      wrote(row.node + 1, slot);
    });
  }

  /** `token` goes where entry `at` of the step's slots says, in every layer. */
  #put(step, at, token, rows) {
    const tables = this.deeper ? this.numLayers : 1;
    for (let layer = 0; layer < tables; layer++) {
      const slot = ofLayer(step.layer_slots, layer, step.slots)[at];
      this.tokensOf(layer)[slot] = token;
      for (const row of rows) bitsOf(row, layer)[slot >> 5] |= 1 << (slot & 31);
    }
  }

  /** Slots leave paths, as those were in the pass; one that nobody sees any more is free. */
  #evict(evicted, left) {
    const { layer, slots, paths } = evicted;
    const rows = new Map(this.rows.map((row) => [row.path, row]));
    slots.forEach((slot, at) => {
      const token = this.tokensOf(layer)[slot] ?? 0;
      for (const path of paths[at]) {
        const row = rows.get(path);
        if (row) bitsOf(row, layer)[slot >> 5] &= ~(1 << (slot & 31));
      }
      left(token, evicted, at, this.#isFreed(layer, slot));
    });
    for (const [path, slot, copy] of evicted.copied ?? []) { // an entry that others see as well, before it changed
      const bits = bitsOf(rows.get(path), layer);
      bits[slot >> 5] &= ~(1 << (slot & 31));
      bits[copy >> 5] |= 1 << (copy & 31);
      this.tokensOf(layer)[copy] = this.tokensOf(layer)[slot];
    }
    for (const [, slot] of evicted.copied ?? []) this.#isFreed(layer, slot);
  }

  /** Whether nobody sees `slot` of `layer` any more: it is free then. */
  #isFreed(layer, slot) {
    const isFree = !this.rows.some((row) => this.sees(row, slot, layer));
    if (isFree) this.tokensOf(layer)[slot] = 0;
    return isFree;
  }

  /** `fork(parents)`, the only structural operation. */
  #fork(step) {
    const before = this.rows;
    const last = new Map(step.nodes.map((node) => [node.path, node.id]));
    const taken = new Set();
    const words = (this.capacity + 31) >> 5;
    this.rows = step.paths.map((path, at) => {
      const parent = before[step.parents[at]];
      const node = last.get(path) ?? parent?.node ?? PROMPT;
      const bits = parent?.bits ?? new Uint32Array(words);
      const deeper = parent?.deeper ?? this.deeper?.map(() => new Uint32Array(words));
      const row = { path, node, bits, ...(deeper && { deeper }) };
      if (!taken.has(parent)) {
        taken.add(parent);
        return row;
      }
      return copied(row);
    });
  }

  #free(layer, slot) {
    for (const row of this.rows) bitsOf(row, layer)[slot >> 5] &= ~(1 << (slot & 31));
    this.tokensOf(layer)[slot] = 0;
  }
}

function copied(row) {
  return { ...row, bits: row.bits.slice(), ...(row.deeper && { deeper: row.deeper.map((bits) => bits.slice()) }) };
}

function bitsOf(row, layer) {
  return layer && row.deeper ? row.deeper[layer - 1] : row.bits;
}

/** What a step says of `layer` where it says it by layer, else what it says of all. */
function ofLayer(byLayer, layer, all) {
  return byLayer?.length ? byLayer[layer] : all;
}

function eachSlot(bits, visit) {
  for (let at = 0; at < bits.length; at++) {
    for (let rest = bits[at]; rest; rest &= rest - 1) visit(at * 32 + 31 - Math.clz32(rest & -rest));
  }
}

function countRefs(all, capacity) {
  const refs = new Int32Array(capacity);
  for (const bits of all) eachSlot(bits, (slot) => (refs[slot] += 1));
  return refs;
}

const EVERY = 16; // steps between two checkpoints, at first
const NBYTES = 16 * 2 ** 20; // of all checkpoints of one run

/** Copies of the state every so many steps: twice as far apart whenever they outgrow their bytes. */
export class Checkpoints {
  constructor(most = NBYTES) {
    this.most = most;
    this.every = EVERY;
    this.kept = []; // the state before step 0, before step `every`, ...
    this.nbytes = 0;
  }

  /** Keep `state`, about to take its next step, if its turn has come. */
  offer(state) {
    if ((state.cursor + 1) % this.every) return;
    this.kept.push(state.clone());
    this.nbytes += state.nbytes;
    while (this.nbytes > this.most && this.kept.length > 1) this.#thin();
  }

  /** The newest one that is not younger than step `cursor`; do not change it. */
  before(cursor) {
    return this.kept[Math.min(Math.floor((cursor + 1) / this.every), this.kept.length - 1)];
  }

  #thin() {
    this.every *= 2;
    this.kept = this.kept.filter((_, at) => at % 2 === 0);
    this.nbytes = this.kept.reduce((sum, state) => sum + state.nbytes, 0);
  }
}
