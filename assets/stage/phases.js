// Prefill and decode apart, up to a step: what explorer/phases.py says of the same steps, to the number. No DOM.

const SEQUENTIAL = new Set(["deepcopy", "recompute"]); // one pass for each path
const PHASES = ["prefill", "decode"];
const SUMS = ["steps", "tokens", "positions", "seconds", "weight_nbytes", "kv_read_nbytes", "kv_written_nbytes", "flops", "compute", "memory"];

const known = new WeakMap(); // log -> {all: sums up to each step, by phase, sight}: a log only grows

/** Keys that the last `queries` tokens of a text of `length` see, each itself among them. */
function pairs(queries, length) {
  return queries * (length - queries) + (queries * (queries + 1)) / 2;
}

/** Half way to an even number, as Python rounds. */
function rounded(value) {
  const whole = Math.floor(value);
  const isHalf = value - whole === 0.5;
  return isHalf ? whole + (whole % 2) : Math.round(value);
}

function written({ config, model }, { positions, memory_forward: memory }) {
  if (!memory.kv_live_nbytes) return 0;
  if ((config.cache.kv_dtype ?? "model") === "model") return positions * model.kv_nbytes_per_token;
  return rounded((positions * memory.kv_live_nbytes) / memory.unique_kv_tokens);
}

/** Bytes of one pass: of experts at most those that its positions may have chosen. */
function weights({ weight_nbytes: all, active_nbytes: active, expert_nbytes: experts = 0 }, positions) {
  const dense = all - experts;
  return dense + Math.min(experts, positions * (active - dense));
}

/** How many tokens each path of a run with a policy sees in each layer, followed from step to step. */
class Sight {
  rows = null; // [paths] [layers], null before the first pass
  ids = [];

  constructor(numLayers) {
    this.numLayers = numLayers;
  }

  /** Pairs of a query and a key that it sees in the pass of `step`, mean of layers. */
  passed(step) {
    const given = Math.max(step.memory_forward.logical_kv_tokens - step.positions, 0);
    const rows = this.rows ?? [Array(this.numLayers).fill(given)];
    const queries = Math.floor(step.positions / rows.length);
    const seen = rows.flat().reduce((sum, each) => sum + pairs(queries, each + queries), 0);
    const after = rows.map((row) => row.map((each) => each + queries));
    const at = new Map(this.ids.map((path, row) => [path, row]));
    for (const { layer, paths } of step.evictions ?? []) for (const path of paths.flat()) after[at.get(path) ?? 0][layer] -= 1;
    this.rows = step.parents.length ? step.parents.map((parent) => [...after[parent]]) : [Array(this.numLayers).fill(0)];
    this.ids = step.paths;
    return seen / this.numLayers;
  }
}

/** What the pass of one step computed and moved, `rows` paths being live before it; `sight` of a run with a policy. */
function passOf(header, step, rows, sight) {
  const { config: { cache: { backend } }, model: { work }, rates } = header;
  const { positions, phase, memory_forward: memory } = step;
  const isPrefill = phase === "prefill";
  const passes = SEQUENTIAL.has(backend) ? rows : 1;
  let seen = memory.logical_kv_tokens; // one query a path, which sees all that the path sees
  if (sight) seen = sight.passed(step);
  else if (backend === "recompute") seen = rows * pairs(Math.floor(positions / rows), Math.floor(positions / rows));
  else if (isPrefill) seen = pairs(positions, Math.max(memory.logical_kv_tokens, positions));
  const pass = {
    steps: 1, tokens: isPrefill ? positions : rows, positions, seconds: step.seconds, kv_read_nbytes: memory.kv_live_nbytes,
    kv_written_nbytes: written(header, step), weight_nbytes: 0, flops: 0, compute: 0, memory: 0,
  };
  if (!work) return pass;
  pass.weight_nbytes = passes * weights(work, Math.floor(positions / passes));
  pass.flops = positions * work.flops_per_position + rows * work.flops_per_logits + rounded(seen * work.flops_per_pair);
  if (!rates) return pass;
  const compute = pass.flops / rates.flops_per_second;
  const memorySeconds = (pass.weight_nbytes + pass.kv_read_nbytes + pass.kv_written_nbytes) / rates.nbytes_per_second;
  pass[compute > memorySeconds ? "compute" : "memory"] = Math.max(compute, memorySeconds);
  return pass;
}

function sums(log) {
  const { config, model } = log.header;
  if (!known.has(log)) known.set(log, { all: [], sight: config.eviction?.policy ? new Sight(model.num_layers) : null });
  const { all, sight } = known.get(log);
  for (let at = all.length; at < log.length; at++) {
    const step = log.steps[at];
    const before = all[at - 1] ?? Object.fromEntries(PHASES.map((phase) => [phase, Object.fromEntries(SUMS.map((name) => [name, 0]))]));
    const pass = passOf(log.header, step, step.phase === "decode" ? log.steps[at - 1]?.paths.length || 1 : 1, sight);
    const own = before[step.phase];
    all.push({ ...before, [step.phase]: Object.fromEntries(SUMS.map((name) => [name, own[name] + pass[name]])) });
  }
  return all;
}

/** Linear between the two nearest ranks; null of nothing. */
export function quantile(values, share) {
  if (!values.length) return null;
  const ranked = [...values].sort((a, b) => a - b);
  const place = share * (ranked.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, ranked.length - 1);
  return ranked[below] + (place - below) * (ranked[above] - ranked[below]);
}

function rate(amount, per) {
  return amount !== null && per ? amount / per : null;
}

function summary({ compute, memory, ...total }, { model: { work }, rates }) {
  const { tokens, seconds } = total;
  const nbytes = work ? total.weight_nbytes + total.kv_read_nbytes + total.kv_written_nbytes : null;
  const flops = work ? total.flops : null;
  const best = compute + memory;
  const isKnown = work && rates && total.steps;
  return {
    ...total, weight_nbytes: work ? total.weight_nbytes : null, flops, nbytes, tokens_per_second: rate(tokens, seconds),
    intensity: rate(flops, nbytes), nbytes_per_second: rate(nbytes, seconds), flops_per_second: rate(flops, seconds),
    predicted: isKnown ? {
      seconds: best, tokens_per_second: rate(tokens, best), bound: compute >= memory ? "compute" : "memory",
      ridge: rates.flops_per_second / rates.nbytes_per_second, reached: rate(best, seconds),
    } : null,
  };
}

/** `{prefill, decode, first_token_seconds, inter_token_seconds, machine}` of the steps up to `cursor`. */
export function phasesOf(log, cursor) {
  const last = Math.min(cursor, log.length - 1);
  const at = last < 0 ? null : sums(log)[last];
  const nothing = Object.fromEntries(SUMS.map((name) => [name, 0]));
  const steps = log.steps.slice(0, last + 1);
  const took = steps.filter(({ phase }) => phase === "decode").map((step) => step.seconds + step.overhead_seconds);
  const first = steps.findIndex(({ nodes }) => nodes.length);
  return {
    ...Object.fromEntries(PHASES.map((phase) => [phase, summary(at?.[phase] ?? nothing, log.header)])),
    first_token_seconds: first < 0 ? null : steps.slice(0, first + 1).reduce((sum, step) => sum + step.seconds + step.overhead_seconds, 0),
    inter_token_seconds: { p50: quantile(took, 0.5), p95: quantile(took, 0.95), steps: took.length },
    machine: log.header.rates ?? null,
  };
}
