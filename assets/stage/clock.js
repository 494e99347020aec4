// One time cursor over several runs: by step, or by second of each run's own clock. Pure functions.

export const TICKS = 120; // places of the cursor in `second` mode

/** Seconds from a run's start to the end of each of its steps. */
export function endTimes(steps) {
  let now = 0;
  return steps.map((step) => (now += step.seconds + step.overhead_seconds));
}

/** How many places the cursor has. `runs`: `[{times, isTree}]`, `times` as `endTimes` gives them. */
export function places(runs, mode) {
  const longest = Math.max(0, ...leading(runs).map((run) => run.times.length));
  return mode === "second" && longest ? TICKS + 1 : longest;
}

/** Seconds at place `at` in `second` mode: from 0 to the end of the slowest run. */
export function secondsAt(runs, at) {
  return (at / TICKS) * Math.max(0, ...runs.map((run) => run.times.at(-1) ?? 0));
}

/**
 * The step at which `run` stands when the cursor is at `wanted` (clamped); -1: before its first one.
 * By step, trees stand at the same step; independent samples, which have more of them, at the same
 * share of their own.
 */
export function stepAt(run, runs, wanted, mode) {
  const { times } = run;
  const last = places(runs, mode) - 1;
  const at = Math.min(wanted, last);
  if (mode === "second") {
    const now = secondsAt(runs, at) * (1 + 1e-9);
    let step = -1;
    while (step + 1 < times.length && times[step + 1] <= now) step += 1;
    return step;
  }
  if (leading(runs).includes(run)) return Math.min(at, times.length - 1);
  return last > 0 ? Math.round((at / last) * (times.length - 1)) : times.length - 1;
}

/** The place of the cursor at which `run` stands at `step`: what scrubbing one run means for all. */
export function placeOf(run, runs, step, mode) {
  const last = places(runs, mode) - 1;
  if (mode === "second") {
    const whole = Math.max(...runs.map((one) => one.times.at(-1) ?? 0));
    return whole ? Math.min(last, Math.ceil(((run.times[step] ?? 0) / whole) * TICKS - 1e-6)) : 0;
  }
  if (leading(runs).includes(run)) return Math.min(step, last);
  return Math.round((step / Math.max(1, run.times.length - 1)) * last);
}

/** The runs whose steps count: trees where there are any. */
function leading(runs) {
  const trees = runs.filter((run) => run.isTree && run.times.length);
  return trees.length ? trees : runs;
}
