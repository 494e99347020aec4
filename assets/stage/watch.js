// A recorded run, told: it plays, stops at what is worth a sentence, and goes on by itself.

import { isStill } from "./dom.js";
import { count, plural, visibleToken } from "./format.js";

/** What to stop at: `[{step, words}]`, in order of time. Pure. */
export function beats(log) {
  const found = [reading(log), forking(log), pruning(log), finishing(log), ending(log)];
  return found.filter(Boolean).sort((a, b) => a.step - b.step);
}

function reading(log) {
  if (log.steps[0]?.phase !== "prefill") return null;
  const isNaive = log.header.config.cache.backend === "naive"; // each sample reads it anew
  const read = isNaive ? 1 : log.steps.findIndex((step) => step.phase !== "prefill");
  const last = (read < 0 ? log.length : read) - 1;
  const kept = log.at(last).numPrompt;
  const where = kept ? ` Their keys and values fill the first ${plural(kept, "slot")} of the KV pool.` : "";
  const words = log.source.length
    ? `The encoder has read the source, ${plural(log.source.length, "token")}, and the decoder begins`
    : `The model has read the prompt, ${plural(log.prompt.length, "token")}`;
  return { step: last, words: `${words}.${where}` };
}

function forking(log) {
  const [fork] = log.forks;
  if (!fork) return null;
  const { nodes } = log.steps[fork.step];
  const made = fork.children.map((path) => nodes.find((node) => node.path === path)).filter(Boolean);
  const words = made.map((node) => `“${visibleToken(node.text, node.raw)}”`).join(", ");
  const decision = made.length ? log.node(made[0].parent).decision : null;
  const unsure = decision ? ` (entropy ${decision.normalized_entropy.toFixed(2)}, threshold ${log.header.config.branching.entropy_threshold})` : "";
  const after = AFTER_FORK[log.header.config.cache.backend] ?? "";
  return { step: fork.step, words: `Here it is unsure${unsure}: the path forks into ${fork.children.length}, ${words}.${after}` };
}

const AFTER_FORK = {
  cow: " They share the slots of all that came before: nothing is copied.",
  deepcopy: " Each gets a copy of the whole cache.",
  batched: " Each gets a row of its own, copied from its parent's.",
  recompute: " No cache is kept: every step reads every path anew.",
};

function pruning(log) {
  const first = log.ends.find((end) => end.status === "pruned");
  if (!first) return null;
  const step = log.steps[first.step];
  const gone = step.ends.filter((end) => end.status === "pruned").length;
  const freed = step.freed.length ? ` ${plural(step.freed.length, "slot")} that nobody else saw ${step.freed.length === 1 ? "is" : "are"} free again.` : "";
  return {
    step: first.step,
    words: `More than ${plural(log.header.config.branching.max_paths, "path")}: the ${gone === 1 ? "least probable one is" : `${gone} least probable are`} pruned.${freed}`,
  };
}

function finishing(log) {
  const first = log.ends.find((end) => end.status === "finished");
  if (!first || first.step === log.length - 1) return null;
  return { step: first.step, words: "A path has reached its end: it is kept, and the others go on." };
}

function ending(log) {
  if (!log.length) return null;
  const returned = log.ends.filter((end) => end.status !== "pruned").length;
  if (log.header.config.cache.backend === "naive") {
    return { step: log.length - 1, words: `The run is over: ${plural(returned, "sample")}, one after another, each with a cache of its own.` };
  }
  const fullest = log.steps.flatMap((step) => [step.memory, step.memory_forward]).filter(Boolean)
    .reduce((most, memory) => (memory.logical_kv_tokens > most.logical_kv_tokens ? memory : most));
  const { unique_kv_tokens: unique, logical_kv_tokens: logical } = fullest;
  const memory = logical > unique && unique > 0 ? ` At its fullest, ${plural(unique, "slot")} did the work of ${count(logical)}.` : "";
  return { step: log.length - 1, words: `The run is over: ${plural(returned, "text")} from one prompt.${memory}` };
}

/** Milliseconds to read `words` in. */
export function readingTime(words) {
  return 1500 + words.length * 45;
}

/** Plays the stage's run from beat to beat. `say(words, at, all)` tells one; `over(isWhole)` when it ends. */
export class Watch {
  constructor(stage, { say, over, time = readingTime }) {
    Object.assign(this, { stage, say, over, time, log: stage.log, beats: stage.log ? beats(stage.log) : [], at: 0, until: null });
    if (!this.beats.length) {
      stage.say("There is no step to watch.");
      return void this.stop();
    }
    stage.player.seek(0);
    if (!isStill() && this.beats[0]?.step > 0) stage.player.play();
    this.#tick();
  }

  /** No further. */
  stop(isWhole = false) {
    if (this.isOver) return;
    this.isOver = true;
    cancelAnimationFrame(this.frame);
    this.over(isWhole);
  }

  #tick() {
    if (this.isOver) return;
    const { player, log } = this.stage;
    if (log !== this.log) return void this.stop();
    const beat = this.beats[this.at];
    if (this.until !== null) this.#hold(player, beat);
    else if (isStill() || player.cursor >= beat.step) this.#arrive(player, beat);
    this.frame = requestAnimationFrame(() => this.#tick());
  }

  #arrive(player, beat) {
    player.seek(beat.step);
    this.say(beat.words, this.at, this.beats.length);
    this.until = performance.now() + this.time(beat.words);
  }

  /** At a beat: on when it has been read, or when somebody pressed Play; over when somebody went elsewhere. */
  #hold(player, beat) {
    const isPlaying = player.playing;
    if (!isPlaying && player.cursor !== beat.step) return void this.stop();
    if (!isPlaying && performance.now() < this.until) return;
    this.until = null;
    this.at += 1;
    if (this.at === this.beats.length) return void this.stop(true);
    if (!isPlaying && !isStill() && this.beats[this.at].step > player.cursor) player.play();
  }
}
