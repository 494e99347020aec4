// The stage in words: narration, the memory sentence, the counts over the maps, the run's facts.

import { crossWords } from "./cross.js";
import { el, mark, say } from "./dom.js";
import { bytes, count, memorySentence, narrate, plural } from "./format.js";
import { reusedWords } from "./reused.js";

export const BADGES = {
  none: "no run", loading: "loading", recorded: "recorded run", live: "running live",
  done: "live run, finished", stopped: "stopped", failed: "failed",
};

const BYTES = [["unique", "kv_live_nbytes"], ["allocated", "kv_nbytes"], ["logical", "kv_logical_nbytes"]];

/** Say what is shown; `isMoving`: five times a second, which is no speech for a screen reader. */
export function drawWords(parts, { log, state }, isMoving) {
  say(parts.narration, narrate(log, state.cursor));
  mark(parts.narration, "aria-live", isMoving ? "off" : "polite");
  const { memory } = state;
  const hasPool = log.head.numPrompt > 0 || log.length === 0;
  say(parts.sentence, memorySentence(memory, hasPool));
  say(parts.poolNote, memory && hasPool
    ? `${count(memory.shared_kv_tokens)} shared · ${count(memory.private_kv_tokens)} own · ${count(memory.capacity - memory.unique_kv_tokens)} free${state.isSplit ? " · slots of layer 0" : ""}`
    : "");
  for (const [kind, name] of BYTES) {
    say(parts.memoryKeys.querySelector(`[data-bytes="${kind}"]`), memory ? bytes(memory[name]) : "");
  }
  const cross = parts.memoryKeys.querySelector('[data-bytes="cross"]');
  cross.parentElement.hidden = !memory?.cross_nbytes;
  say(cross, crossWords(memory ?? {}));
  parts.noPool.hidden = hasPool;
  say(parts.noPool, hasPool ? "" : `Backend “${log.header.config.cache.backend}” keeps no shared pool, so there are no slots to draw.`);
}

/** The facts of a run that do not change with the cursor. `details`: what is known beside its header. */
export function drawDetails(host, log, details) {
  const rows = log ? { ...factsOf(log), ...apartOf(log), ...reuseOf(log), ...details } : details;
  host.replaceChildren(...Object.entries(rows).flatMap(([name, value]) =>
    [el("dt", { text: name }), el("dd", { text: String(value), "data-detail": name })]));
}

/** What of the prompt came from the prefix cache. */
function reuseOf(log) {
  const words = reusedWords(log);
  return words ? { "prompt reuse": words } : {};
}

/** How far the run was from float32, where that ran beside it. */
function apartOf({ steps }) {
  const compared = steps.flatMap(({ decisions }) => decisions).filter(({ float32_error: error }) => error !== undefined && error !== null);
  if (!compared.length) return {};
  const flips = compared.filter((one) => one.top !== one.float32_top).length;
  const most = compared.reduce((top, { float32_error: error }) => Math.max(top, error), 0);
  return { "against float32": `${count(flips)} of ${count(compared.length)} most probable tokens are others, logits off by up to ${Number(most.toPrecision(2))}` };
}

/** The kernels that attention ran on, and what was asked for and not to be had. */
function kernelsOf({ unmasked, masked, compiled, notes }) {
  const names = [...new Set([unmasked, masked].filter(Boolean))];
  const through = names.length > 1 ? " (through the tree mask)" : "";
  return [`${names.join(" and ")}${through}${compiled ? `, ${plural(compiled, "block")} compiled` : ""}`, ...notes].join(". ");
}

function factsOf({ header: { model, config, execution }, steps }) {
  const hasHit = steps.some(({ reused }) => reused?.hit_tokens); // then no pass was over a whole text
  return {
    model: `${model.name} (${model.architecture}, ${count(model.num_parameters)} parameters)`,
    backend: config.cache.backend,
    device: `${model.device}, ${model.dtype}`,
    ...(execution && { attention: kernelsOf(hasHit ? { ...execution, unmasked: "" } : execution) }),
    seed: String(config.sampling.seed),
    threshold: String(config.branching.entropy_threshold),
  };
}
