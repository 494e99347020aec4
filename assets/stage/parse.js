// A trace file, read with distrust: every field that the page goes by is held against what it must be, before
// anything of the run is shown. Pure; what it lets through, log.js can take.

import { COUNT, FAR, check, fault, flag, isObject, maybe, number, oneOf, text, whole } from "./fields.js";

const ROOM = 2 ** 28; // bytes that a page keeps of who sees which slot
const PATHS = 4096;

const ID = whole(-1, 2 ** 31 - 1); // of a node; -1: the end of the prompt
const PATH = whole(0, 2 ** 31 - 1);
const TOKEN = whole(0, 2 ** 31 - 1);
const SHARE = number(0, 1);

const versions = check("a list of versions", (value) => isObject(value) && Object.values(value).every((one) => typeof one === "string"));

const HEADER = {
  software: versions,
  created: text,
  config: {
    prompt: text, prompt_ids: maybe([TOKEN]), prefix_ids: maybe([TOKEN]), chat_template: flag, model: text, device: text, dtype: text,
    sampling: { temperature: number(0), top_k: maybe(COUNT), top_p: maybe(SHARE), seed: COUNT },
    branching: { entropy_threshold: SHARE, branch_factor: whole(1, 4096), max_paths: whole(1, PATHS), select: text, width: text },
    cache: { backend: text, prefill_chunk: whole(1) },
    eviction: maybe({
      policy: maybe(text), budget: maybe(number()), sinks: COUNT, recent: COUNT, strategy: text, topk: COUNT, residual_entries: COUNT,
      sketch_width: COUNT, sketch_depth: COUNT, against_full: flag,
    }),
    limits: { max_new_tokens: whole(1), max_finished: maybe(COUNT), num_samples: maybe(COUNT), num_candidates: COUNT },
  },
  model: {
    name: text, architecture: text, num_parameters: COUNT, num_layers: whole(1, 100_000), num_kv_heads: COUNT, head_dim: COUNT,
    vocab_size: whole(1, 2 ** 31 - 1), context: maybe(COUNT), device: text, dtype: text, kv_nbytes_per_token: COUNT, backends: [text],
    reason: maybe(text), cross_nbytes_per_token: maybe(COUNT),
    work: maybe({
      flops_per_position: COUNT, flops_per_logits: COUNT, flops_per_pair: COUNT, weight_nbytes: COUNT, active_nbytes: COUNT,
      expert_nbytes: maybe(COUNT),
    }),
  },
  prompt: [{ token: TOKEN, text, raw: text }],
  source: maybe([{ token: TOKEN, text, raw: text }]),
  origin: maybe({ created: text, kind: oneOf("forced", "grown", "threshold"), node: maybe(ID), depth: maybe(ID), text: maybe(text) }),
  execution: maybe({ unmasked: text, masked: text, compiled: COUNT, notes: [text] }),
  rates: maybe({ flops_per_second: number(1, FAR * FAR), nbytes_per_second: number(1, FAR * FAR), conditions: text }),
};

const MEMORY = {
  unique_kv_tokens: COUNT, logical_kv_tokens: COUNT, shared_kv_tokens: COUNT, private_kv_tokens: COUNT, capacity: COUNT,
  high_water: COUNT, kv_nbytes: COUNT, kv_live_nbytes: COUNT, kv_logical_nbytes: COUNT, layers: [COUNT],
  cross_tokens: maybe(COUNT), cross_nbytes: maybe(COUNT),
};
const STEP = {
  phase: oneOf("prefill", "decode"), positions: COUNT, seconds: number(0), overhead_seconds: number(0), paths: [PATH], parents: [COUNT],
  decisions: [{
    path: PATH, node: ID, entropy: number(), normalized_entropy: SHARE, raw_entropy: number(), factor: whole(1, 4096),
    candidates: [{ token: TOKEN, text, raw_logprob: number(), prob: SHARE }], kl: maybe(number()), full_top: maybe(TOKEN),
    look: maybe({ tokens: [COUNT], weights: [SHARE] }),
    top: maybe(TOKEN), float32_top: maybe(TOKEN), float32_error: maybe(number(0)),
  }],
  nodes: [{
    id: ID, parent: ID, path: PATH, token: TOKEN, text, raw: text, prob: SHARE, raw_prob: SHARE, logprob: number(), raw_logprob: number(),
    perturbed: maybe(number()),
  }],
  forks: [{ path: PATH, children: [PATH] }],
  ends: [{ path: PATH, node: ID, status: oneOf("finished", "length", "pruned", "cancelled") }],
  reused: maybe({
    hit_tokens: COUNT, miss_tokens: COUNT, seconds_saved: maybe(number()), max_abs_error: maybe(number(0)), reason: text,
  }),
  slots: [COUNT], freed: [COUNT], memory_forward: MEMORY, memory: MEMORY, peak_memory_nbytes: COUNT,
  evictions: maybe([{
    layer: COUNT, slots: [COUNT], paths: [[PATH]], positions: [COUNT], tokens: [TOKEN], texts: [text], scores: [maybe(number(-FAR * FAR, FAR * FAR))],
    exact: [maybe(number())], ranks: [COUNT], kept: [maybe(number(-FAR * FAR, FAR * FAR))], reasons: [text],
  }]),
  evidence: maybe([{
    layer: COUNT, slots: [COUNT], positions: [COUNT], estimates: [number()], exact: maybe([number()]), columns: maybe([[COUNT]]),
    cells: maybe([[number()]]), error_bound: maybe(number()), total: maybe(number()),
  }]),
  layer_slots: maybe([[COUNT]]), layer_freed: maybe([[COUNT]]), budgets: maybe([COUNT]),
};

const EVICTED = ["paths", "positions", "tokens", "texts", "scores", "exact", "ranks", "kept", "reasons"];
const COUNTED = ["positions", "estimates"];

/**
 * `{header, steps}` of a trace file (JSON lines), up to its last whole line. Throws an Error of one sentence, which
 * names the file, the line and what is wrong with it.
 */
export function readTrace(file, name = "This file") {
  const lines = file.slice(0, file.lastIndexOf("\n") + 1).split("\n");
  const header = parsed(lines[0]);
  if (header?.format !== "forkscope-trace") throw new Error(`${name} is not a Forkscope trace.`);
  if (header.version !== 1) {
    const version = Number.isInteger(header.version) ? `version ${header.version}` : "an unknown version";
    throw new Error(`${name} is a trace of ${version}; this page reads version 1.`);
  }
  const expect = (wrong, line) => {
    if (wrong) throw new Error(`${name} is damaged at line ${line}: ${wrong}.`);
  };
  expect(fault(header, HEADER, "the line"), 1);
  const steps = [];
  const order = new Order(header);
  for (let at = 1; at < lines.length; at++) {
    if (!lines[at]) continue;
    const step = parsed(lines[at]);
    expect(fault(step, STEP, "the line") ?? order.fault(step), at + 1);
    steps.push(step);
  }
  return { header, steps };
}

/** How a step goes on from those before it. */
class Order {
  constructor({ prompt, source }) {
    Object.assign(this, { numPrompt: prompt.length, numSource: source?.length ?? 0, steps: 0, nodes: 0, rows: 1, wasOver: false, read: 0, capacity: 0 });
  }

  /** What is wrong with the next step, whose fields are what they must be; null: nothing. */
  fault(step) {
    if (step.index !== this.steps) return `step ${this.steps} is missing`;
    const wrong = this.#sizes(step) ?? this.#slots(step) ?? this.#layers(step) ?? this.#tree(step);
    this.steps += 1;
    this.nodes += step.nodes.length;
    this.rows = step.paths.length || 1;
    this.wasOver = !step.paths.length;
    return wrong;
  }

  #sizes({ paths, parents, memory, memory_forward: forward }) {
    if (paths.length > PATHS) return `paths has more than ${PATHS} entries`;
    if (parents.length !== paths.length) return "parents does not have one entry for each of paths";
    if (parents.some((row) => row >= this.rows)) return "parents names a path that is not there";
    this.capacity = Math.max(this.capacity, memory.capacity, forward.capacity);
    if ((this.capacity / 8) * (32 + paths.length) > ROOM) return "memory.capacity is more slots than this page can show";
    return null;
  }

  #slots({ phase, positions, slots, freed }) {
    if (phase === "prefill") {
      if (this.wasOver) this.read = 0; // the next of several samples
      if (positions > this.numPrompt) return "positions is more than the prompt has";
      this.read += slots.length;
      if (this.read > this.numPrompt) return "slots has more entries than the prompt has tokens";
    } else if (slots.length && slots.length !== this.rows) return "slots does not have one entry for each path before it";
    if ([...slots, ...freed].some((slot) => slot >= this.capacity)) return "a slot lies outside memory.capacity";
    return new Set(slots).size < slots.length ? "slots names one slot twice" : null;
  }

  /** What is said layer by layer: of layers that are there, columns of one length, slots of the pool. */
  #layers({ evictions, evidence, layer_slots: written, layer_freed: freed, slots, budgets, memory: { layers: { length } } }) {
    for (const [name, byLayer] of [["layer_slots", written], ["layer_freed", freed], ["budgets", budgets]]) {
      if (byLayer?.length && byLayer.length !== length) return `${name} does not have one entry for each layer`;
    }
    if (written?.some((own) => own.length !== slots.length)) return "layer_slots has an entry that is not as long as slots";
    if ([...(written ?? []), ...(freed ?? [])].some((own) => own.some((slot) => slot >= this.capacity))) return "a slot of a layer lies outside memory.capacity";
    for (const [name, columns, all] of [["evictions", EVICTED, evictions], ["evidence", COUNTED, evidence]]) {
      for (const one of all ?? []) {
        if (one.layer >= length) return `${name} names a layer that is not there`;
        if (one.slots.some((slot) => slot >= this.capacity)) return `${name} names a slot outside memory.capacity`;
        if (columns.some((column) => one[column].length !== one.slots.length)) return `${name} has columns of different lengths`;
      }
    }
    return null;
  }

  #tree({ decisions, nodes, ends }) {
    const known = this.nodes + nodes.length;
    for (const [at, { id, parent }] of nodes.entries()) {
      if (id !== this.nodes + at) return `nodes[${at}].id is not ${this.nodes + at}`;
      if (parent >= this.nodes) return `nodes[${at}].parent is not a node before it`;
    }
    if (decisions.some(({ node }) => node >= this.nodes)) return "decisions names a node that is not there";
    for (const { look } of decisions) {
      if (look && look.tokens.length !== look.weights.length) return "a look has columns of different lengths";
      if (look?.tokens.some((token) => token >= this.numSource)) return "a look names a source token that is not there";
    }
    return ends.some(({ node }) => node >= known) ? "ends names a node that is not there" : null;
  }
}

function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
