// Where every run of a comparison stands, in words. Pure functions.

import { secondsAt, stepAt } from "./clock.js";
import { plural, seconds } from "./format.js";

const ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"];

/** third; 13th; 22nd. */
export function ordinal(number) {
  if (number <= ORDINALS.length) return ORDINALS[number - 1];
  const isTeen = number % 100 > 10 && number % 100 < 14;
  return `${number}${(!isTeen && { 1: "st", 2: "nd", 3: "rd" }[number % 10]) || "th"}`;
}

/** Which sample (from 1) a run that draws one after another is on at `step`: each of them ends once. */
export function sampleAt(steps, step) {
  return 1 + steps.slice(0, Math.max(0, step)).reduce((sum, one) => sum + one.ends.length, 0);
}

/** "a, b and c". */
export function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/**
 * All runs in one sentence at place `at` of the cursor. `runs`: `[{word, steps, times, isTree, state}]`,
 * `word` what a sentence calls it, `state` "waiting", "running", "done", "recorded", "stopped", "failed" or "never".
 */
export function tellPlace(runs, at, mode) {
  if (!runs.some((run) => run.times.length)) return "";
  return mode === "second" ? race(runs, at) : sameStep(runs, at);
}

function race(runs, at) {
  const now = secondsAt(runs, at);
  const stands = runs.map((run) => ({ run, step: stepAt(run, runs, at, "second") }));
  const over = stands.filter(isOver).sort((a, b) => a.run.times.at(-1) - b.run.times.at(-1));
  const parts = over.length
    ? [`${listed(over.map(({ run }) => `${run.word} (${seconds(run.times.at(-1))})`))} ${over.length > 1 ? "have" : "has"} finished`] : [];
  for (const stand of stands) if (!isOver(stand)) parts.push(`${stand.run.word} ${standing(stand)}`);
  return `At ${seconds(now)} ${listed(parts)}.`;
}

const END = "at the end";

/** On how many paths a tree goes on after `step`. */
function living(run, step) {
  const { paths, ends } = run.steps[step];
  const ended = new Set(ends.map((end) => end.path));
  const live = paths.filter((path) => !ended.has(path)).length;
  return live ? `on ${plural(live, "path")}` : END;
}

/** Whether the run has ended, and not been cut off, at the step it stands at. A recorded one says so itself. */
function isOver({ run, step }) {
  if (step !== run.times.length - 1 || step < 0) return false;
  return run.state === "done" || (run.state === "recorded" && living(run, step) === END);
}

function standing({ run, step }) {
  const last = run.times.length - 1;
  if (last < 0) return run.state === "waiting" || run.state === "running" ? "has not begun to run" : "did not run";
  if (step === last && run.state !== "running") return `was ${run.state === "failed" ? "broken off" : "stopped"} at step ${last}`;
  if (step === last) return `is running, ${run.isTree ? `at step ${last}` : `on its ${sample(run, step)}`} so far`;
  if (step < 0) return "is still reading the prompt";
  if (!run.isTree) return `is on its ${sample(run, step)}`;
  return `is at step ${step} of ${last} ${living(run, step)}`;
}

function sample(run, step) {
  const which = ordinal(sampleAt(run.steps, step));
  return run.state === "done" || run.state === "recorded" ? `${which} of ${plural(sampleAt(run.steps, run.steps.length) - 1, "sample")}` : `${which} sample`;
}

const CAME = { running: "has come to", stopped: "was stopped at", failed: "was broken off at" };

function sameStep(runs, at) {
  const stands = runs.filter((run) => run.times.length).map((run) => ({ run, step: stepAt(run, runs, at, "step") }));
  const trees = stands.filter(({ run }) => run.isTree);
  const parts = [];
  const here = trees.filter(({ step }) => step === at);
  const ways = [...new Set(here.map(({ run }) => living(run, at)))];
  for (const way of ways) parts.push(`${listed(here.filter(({ run }) => living(run, at) === way).map(({ run }) => run.word))} ${way}`);
  for (const { run, step } of trees) if (step !== at) parts.push(`${run.word} ${CAME[run.state] ?? "ended at"} step ${step}`);
  for (const { run, step } of stands) {
    if (run.isTree) continue;
    const where = trees.length ? ` at the same share of its own steps (${step} of ${run.times.length - 1}),` : "";
    parts.push(`${run.word}${where} on its ${sample(run, step)}`);
  }
  return `Step ${at}: ${parts.join("; ")}.`;
}
