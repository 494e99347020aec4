// How one figure stands to another, with its direction in words. Pure functions.

/** `[what a larger value is called, what a smaller one is]`. */
const DIRECTIONS = {
  time: ["slower", "faster"],
  when: ["later", "sooner"],
  rate: ["faster", "slower"],
  memory: ["more", "less"],
  count: ["more", "fewer"],
};

const MEASURED = new Set(["time", "when", "rate"]); // never twice the same

/** `1.04×`, `8.2×`, `31×`: two digits that mean something. */
export function timesOf(ratio) {
  if (ratio < 1.1) return `${ratio.toFixed(2)}×`;
  return `${ratio < 10 ? ratio.toFixed(1) : Math.round(ratio).toLocaleString("en-US")}×`;
}

/** `value` against `base`: "8.2× faster", "2.1× more", "the same", "none"; "" where no ratio exists. */
export function ratioWords(value, base, kind) {
  if (value === base) return "the same";
  if (kind === "share") return `${Math.abs((value - base) * 100).toFixed(1)} points ${value > base ? "more" : "less"}`;
  if (value === 0) return "none";
  if (base === 0) return "";
  const ratio = Math.max(value / base, base / value);
  if (ratio < (MEASURED.has(kind) ? 1.02 : 1.005)) return "about the same";
  return `${timesOf(ratio)} ${DIRECTIONS[kind][value > base ? 0 : 1]}`;
}

/**
 * A run against the one the others are held against, as a sentence. `run`, `base`: `{title, word, result}`.
 * Where a token takes other bytes in the other model, stored tokens are compared in the place of bytes.
 */
export function againstWords(run, base, { sameBytes = true } = {}) {
  const [now, then] = [run.result, base.result];
  const parts = [
    tellTime(run, base, ratioWords(now.seconds.total, then.seconds.total, "time")),
    sameBytes ? tellBytes(now.counters.kv_nbytes_peak, then.counters.kv_nbytes_peak)
      : tellMany("stored", now.counters.unique_kv_tokens_peak, then.counters.unique_kv_tokens_peak, "tokens at its peak"),
    tellMany("computed", now.counters.forward_token_steps, then.counters.forward_token_steps, "positions"),
  ];
  return `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}.`;
}

function tellTime(run, base, words) {
  if (words === "the same" || words === "about the same") return `${run.title} took ${words} time as ${base.word}`;
  return words && words !== "none" ? `${run.title} was ${words} than ${base.word}` : `${run.title} against ${base.word}: time not measured`;
}

function tellBytes(now, then) {
  if (now === 0 && then > 0) return "kept no keys and values";
  if (then === 0 && now > 0) return "kept keys and values, which it does not";
  const words = ratioWords(now, then, "memory");
  return words === "the same" ? "allocated as much memory at its peak" : `allocated ${words} memory at its peak`;
}

function tellMany(verb, now, then, noun) {
  const words = ratioWords(now, then, "count");
  return words === "the same" ? `${verb} as many ${noun}` : `${verb} ${words.replace("about the same", "about as many")} ${noun}`;
}
