// Sampling strategies by their names: what a temperature and filters together are called. No DOM.

/** Strategies to try, by name: settings as a run has them. */
export const STRATEGIES = {
  greedy: { temperature: 0, top_k: null, top_p: null },
  plain: { temperature: 1, top_k: null, top_p: null },
  temperature: { temperature: 0.7, top_k: null, top_p: null },
  "top-k": { temperature: 1, top_k: 3, top_p: null },
  "top-p": { temperature: 1, top_k: null, top_p: 0.9 },
  combined: { temperature: 0.7, top_k: 3, top_p: 0.9 },
};

export const TITLES = {
  greedy: "Always the most probable token",
  plain: "The model’s own distribution, nothing changed",
  temperature: "Every logit divided by 0.7: surer",
  "top-k": "Of the 3 most probable tokens only",
  "top-p": "Of the smallest set that holds 0.9 of the probability",
  combined: "Temperature 0.7, then the 3 most probable, then the smallest set that holds 0.9 of what is left",
};

const figure = (value) => String(Number(Number(value).toPrecision(3)));

/** What settings are called: the temperature first, then the filters in the order in which they cut. */
export function strategyName({ temperature, top_k: k, top_p: p }) {
  if (temperature < 1.18e-38) return "greedy"; // no filter takes the most probable token away
  const parts = [];
  if (temperature !== 1) parts.push(`temperature ${figure(temperature)}`);
  if (k) parts.push(`top-k ${k}`);
  if (p && p < 1) parts.push(`top-p ${figure(p)}`);
  return parts.join(", then ") || "plain sampling";
}

/** Whether two settings are the same. */
export function isSameSettings(one, other) {
  return ["temperature", "top_k", "top_p"].every((name) => (one[name] ?? null) === (other[name] ?? null));
}
