// Who sees which slot at one moment, and states kept on the way so that any moment is near to one. No DOM.

export const PROMPT = -1;

/** The cache after one step. Rows are the live paths, in the engine's order. */
export class State {
  #refs = null; // counted when somebody asks

  constructor() {
    this.cursor = -1;
    this.numNodes = 0; // nodes made up to the cursor
    this.numPrompt = 0; // prompt tokens whose keys and values are stored
    this.capacity = 0; // slots this state has room for
    this.rows = [{ path: 0, node: PROMPT, bits: new Uint32Array(0) }];
    this.tokens = new Int32Array(0); // [slots] 0 free, n + 1 node n, -(i + 1) prompt token i
    this.memory = null;
    this.isOver = false; // the paths have all ended; the pool is shown as the last pass left it
  }

  /** [slots] rows that see the slot. */
  get refs() {
    this.#refs ??= countRefs(this.rows, this.capacity);
    return this.#refs;
  }

  /** Bytes that a copy takes. */
  get nbytes() {
    return 4 * this.capacity + this.rows.length * (4 * ((this.capacity + 31) >> 5) + 64);
  }

  clone() {
    const copy = Object.assign(new State(), this);
    copy.rows = this.rows.map((row) => ({ ...row, bits: row.bits.slice() }));
    copy.tokens = this.tokens.slice();
    return copy;
  }

  /** Apply one step; `wrote(token, slot)` hears which token went into which slot. */
  advance(step, wrote = () => {}) {
    if (this.isOver || (step.phase === "prefill" && this.rows[0].node !== PROMPT)) this.#restart(); // another sample
    this.#refs = null;
    this.cursor = step.index;
    this.reserve(step.slots.reduce((most, slot) => Math.max(most, slot + 1), step.memory.capacity));
    if (step.phase === "prefill") this.#writePrompt(step, wrote);
    else this.#writeRows(step, wrote);
    this.numNodes += step.nodes.length;
    this.isOver = !step.paths.length;
    this.memory = this.isOver ? step.memory_forward : step.memory;
    if (this.isOver) return;
    this.#fork(step);
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
    this.tokens = grow(Int32Array, this.tokens, capacity);
    const words = (capacity + 31) >> 5;
    for (const row of this.rows) row.bits = grow(Uint32Array, row.bits, words);
  }

  /** Slots that row `row` sees, in rising order. */
  visible(row) {
    const slots = [];
    eachSlot(row.bits, (slot) => slots.push(slot));
    return slots;
  }

  /** The slot that holds `token` (node id + 1, or -(prompt index + 1)) now, or -1. */
  holds(slot, token) {
    return slot >= 0 && slot < this.capacity && this.tokens[slot] === token;
  }

  /** The next sample of a run whose samples come one after another. */
  #restart() {
    this.rows = [{ path: 0, node: PROMPT, bits: new Uint32Array((this.capacity + 31) >> 5) }];
    this.tokens.fill(0);
    this.numPrompt = 0;
  }

  #writePrompt(step, wrote) {
    for (const slot of step.slots) {
      const token = -(this.numPrompt + 1);
      this.numPrompt += 1;
      this.tokens[slot] = token;
      for (const row of this.rows) row.bits[slot >> 5] |= 1 << (slot & 31);
      wrote(token, slot);
    }
  }

  #writeRows(step, wrote) {
    step.slots.forEach((slot, at) => {
      const row = this.rows[at];
      if (!row) return;
      this.tokens[slot] = row.node + 1;
      row.bits[slot >> 5] |= 1 << (slot & 31);
      wrote(row.node + 1, slot);
    });
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
      let bits = parent?.bits ?? new Uint32Array(words);
      if (taken.has(parent)) bits = bits.slice();
      taken.add(parent);
      return { path, node, bits };
    });
  }

  #free(slot) {
    for (const row of this.rows) row.bits[slot >> 5] &= ~(1 << (slot & 31));
    this.tokens[slot] = 0;
  }
}

function eachSlot(bits, visit) {
  for (let at = 0; at < bits.length; at++) {
    for (let rest = bits[at]; rest; rest &= rest - 1) visit(at * 32 + 31 - Math.clz32(rest & -rest));
  }
}

function countRefs(rows, capacity) {
  const refs = new Int32Array(capacity);
  for (const row of rows) eachSlot(row.bits, (slot) => (refs[slot] += 1));
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
