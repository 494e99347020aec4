// Text for people: tokens made visible, sizes with units, and what a step did in plain words.

/** A token's text with blanks made visible: space `·`, newline `⏎`, tab `⇥`, other controls as code points. */
export function visibleToken(text, raw = "") {
  const shown = text === "" ? (raw === "" ? "∅" : `⟨${raw}⟩`) : text;
  return shown.replace(/[ \n\r\t\u00a0\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, (char) => {
    if (char === " ") return "·";
    if (char === "\n") return "⏎";
    if (char === "\t") return "⇥";
    return `⟨${char.codePointAt(0).toString(16).padStart(2, "0")}⟩`;
  });
}

/** The first `limit` characters, the rest as an ellipsis. */
export function shorten(text, limit) {
  const chars = [...text];
  return chars.length <= limit ? text : chars.slice(0, limit - 1).join("") + "…";
}

const INTEGERS = new Intl.NumberFormat("en-US"); // made once: toLocaleString makes one at every call

export function count(value) {
  return INTEGERS.format(value);
}

export function plural(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Bytes with a binary unit. */
export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let power = 0;
  while (value >= 1024 && power < units.length - 1) {
    value /= 1024;
    power += 1;
  }
  return `${power && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}

/** A probability: 3 digits, and never a 0 or 1 that is not one. */
export function probability(value) {
  if (value > 0 && value < 0.001) return "<0.001";
  if (value < 1 && value > 0.999) return ">0.999";
  return value.toFixed(3);
}

export function nats(value) {
  return `${value.toFixed(2)} nats`;
}

/** A duration with its unit. */
export function seconds(value) {
  if (value > 0 && value < 0.1) return `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`;
  return `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

/** How many slots do whose work, as a sentence; `memory` is a step's measured memory or null. */
export function memorySentence(memory, hasPool = true) {
  if (!memory || !memory.logical_kv_tokens) return "The cache is empty.";
  const { unique_kv_tokens: unique, logical_kv_tokens: logical } = memory;
  if (!hasPool) return `${plural(unique, "token")} cached, every path its own.`;
  if (unique === logical) return `${plural(unique, "slot")} in use, none shared yet.`;
  if (unique > logical) return `${plural(unique, "slot")} in use for ${count(logical)} that paths need.`;
  return `${plural(unique, "slot")} ${unique === 1 ? "does" : "do"} the work of ${count(logical)}.`;
}

/** One step in plain words: the surest news first. */
export function narrate(log, cursor) {
  const step = log.steps[cursor];
  if (!step) return "Nothing has happened yet.";
  const parts = [];
  const fork = widestFork(step);
  if (fork) parts.push(forkWords(step, fork));
  const others = step.forks.length - (fork ? 1 : 0);
  if (others > 0) parts.push(`${plural(others, "other path")} forked`);
  for (const [status, words] of Object.entries(ENDS)) {
    const count = step.ends.filter((end) => end.status === status).length;
    if (count) parts.push(`${plural(count, "path")} ${words}`);
  }
  const evicted = (step.evictions ?? []).reduce((sum, { slots }) => sum + slots.length, 0);
  if (evicted) parts.push(`${plural(evicted, "slot")} evicted`);
  const ended = new Set(step.ends.map((end) => end.path));
  const going = step.paths.filter((path) => !ended.has(path)).length;
  if (step.phase === "prefill" && !step.forks.length) parts.unshift(prefillWords(step));
  else if (!step.forks.length && going) parts.unshift(quietWords(step)); // where all end, their ends say enough
  const live = going ? `${plural(going, "path")} live` : overWords(log, cursor);
  return `Step ${cursor}: ${parts.filter(Boolean).join("; ")}; ${live}.`;
}

/** How many samples a run draws one after another, by its settings; 0: it grows one tree. */
export function numSamples({ header: { config } }) {
  return config.cache.backend === "naive" ? (config.limits?.num_samples ?? config.branching.max_paths) : 0;
}

/** No path is live: the run is over, or the next sample begins. */
function overWords(log, cursor) {
  const total = numSamples(log);
  const ends = log.ends.filter((end) => end.step <= cursor); // one a sample
  const wanted = log.header.config.limits?.max_finished ?? Infinity;
  const isEnough = ends.length >= total || ends.filter((end) => end.status === "finished").length >= wanted;
  return total && (cursor < log.length - 1 || !isEnough) ? `sample ${count(ends.length)} of ${count(total)} is done` : "the run is over";
}

const ENDS = {
  finished: "reached the end",
  length: "reached the length limit",
  pruned: "pruned as less probable",
  cancelled: "stopped",
};

function prefillWords(step) {
  const reused = step.slots.length - step.positions;
  const read = `the model read ${plural(step.positions, "prompt token")}`;
  return reused > 0 ? `${plural(reused, "prompt token")} came from the prefix cache and ${read}` : read;
}

function quietWords(step) {
  if (!step.nodes.length) return "";
  return step.nodes.length === 1 ? "the path went on by one token" : `${count(step.nodes.length)} paths went on by one token`;
}

function widestFork(step) {
  const entropy = (fork) => step.decisions.find((decision) => decision.path === fork.path)?.normalized_entropy ?? 0;
  return [...step.forks].sort((a, b) => entropy(b) - entropy(a))[0] ?? null;
}

function forkWords(step, fork) {
  const decision = step.decisions.find((one) => one.path === fork.path);
  const tokens = fork.children
    .map((path) => step.nodes.find((node) => node.path === path))
    .filter(Boolean)
    .map((node) => `“${visibleToken(node.text, node.raw)}”`);
  const unsure = decision ? ` was unsure (entropy ${decision.normalized_entropy.toFixed(2)}) and` : "";
  return `path ${fork.path}${unsure} split into ${fork.children.length}: ${tokens.join(", ")}`;
}
