// What is known of one token, in words and rows: what the threshold did, its path's text, its numbers.

import { el } from "./dom.js";
import { numGiven, promptParts } from "./force.js";
import { bytes, count, nats, plural, probability, visibleToken } from "./format.js";
import { PROMPT } from "./log.js";
import { nodeNbytes, tokenNbytes, isQuantized } from "./weight.js";
import { show, whyNot } from "./whatif.js";

export const STATUS = {
  finished: "ended here (end of text)",
  length: "reached the length limit",
  pruned: "pruned: less probable than the paths that stayed",
  cancelled: "stopped here",
};
const SHORT = { forked: "still a fork", gained: "would fork", lost: "no fork", cut: "not reached", held: "no room", calm: "no fork" };
const LONG = 400; // characters of a prompt shown before a path

/** What continuing this token means, for the button's title. */
export function growTitle(node, cursor) {
  const after = node.ended <= cursor && node.status === "finished" ? ", after its end-of-text token" : "";
  return `Continue from exactly these tokens${after}, in a run of its own (g)`;
}

/** What the threshold did here, and what `tau`, which is tried out, would do by `trial`. */
export function verdict(log, node, tau, trial) {
  const { factor, normalized_entropy: h } = node.decision;
  const did = factor > 1 ? `split into ${factor}` : "one token drawn";
  if (whyNot(log)) return did;
  const { entropy_threshold: own } = log.header.config.branching;
  const sign = h >= own ? "≥" : "<";
  const words = `${sign} ${show(own)}: ${h >= own && factor === 1 ? "no room, or no second token" : did}`;
  return trial ? `${words}; at ${show(tau)}: ${SHORT[trial.at(node.id)]}` : words;
}

/** Prompt, what was given after it, and what grew: the end is what is seen first. */
export function pathText(log, node) {
  const [asked, given] = promptParts(log);
  const before = node.id === PROMPT ? [] : log.lineage(node.parent ?? PROMPT);
  const text = before.map((at) => log.nodes[at].text).join("");
  const parts = [el("span", { class: "fs-path-prompt", text: asked.length > LONG ? `…${asked.slice(-LONG)}` : asked })];
  if (given) parts.push(el("span", { class: "fs-path-given", text: given, title: `${plural(numGiven(log), "token")} given, not generated` }));
  parts.push(el("span", { text }));
  if (node.id !== PROMPT) parts.push(el("mark", { text: node.text || visibleToken("", node.raw) }));
  return [el("p", { class: "fs-path", tabindex: 0, "aria-label": "Text of this path" }, el("span", { class: "fs-path-inner" }, ...parts))];
}

/** Bytes of keys and values: of this token where layers differ, else of any. */
export function storedWords(log, state, node) {
  const { model } = log.header;
  const whole = bytes(model.kv_nbytes_per_token);
  if (state.isSplit && node.id !== PROMPT) {
    const found = nodeNbytes(log, state, node);
    if (!found) return "no keys and values in any layer";
    return `${bytes(found.nbytes)} of keys and values in ${count(found.layers)} of ${plural(model.num_layers, "layer")}${found.isMean ? ", on average" : ""}`;
  }
  if (!isQuantized(log.header)) return `${whole} of keys and values a token${state.isSplit ? " that every layer keeps" : ""}`;
  const mean = tokenNbytes(log.header, state.memory);
  return mean ? `${bytes(mean)} of keys and values a token on average, ${whole} unquantised` : `${whole} of keys and values a token, unquantised`;
}

/** Every number of the token, as a list. */
export function numbers(log, node, state) {
  const { cursor } = state;
  const rows = [];
  const add = (name, value, title) => rows.push(el("dt", { text: name, title }), el("dd", { text: value }));
  if (node.id === PROMPT) {
    const given = numGiven(log);
    add("prompt", plural(log.prompt.length - given, "token"));
    if (given) add("given after it", plural(given, "token"));
  } else {
    add("token", `${node.token} · ${JSON.stringify(node.raw)}`, "Its id, and its own form in the vocabulary");
    add("probability", `${probability(node.prob)} sampled · ${probability(node.raw_prob)} model`,
      "In the distribution that was sampled, and by the model itself (temperature 1, no filter)");
    add("path so far", `ln p = ${node.logprob.toFixed(2)} sampled · ${node.raw_logprob.toFixed(2)} model`, "Sum of log-probabilities along the path");
  }
  if (node.decided <= cursor) {
    const { decision } = node;
    const { branching } = log.header.config;
    add("entropy", `${nats(decision.entropy)} sampled · ${nats(decision.raw_entropy)} model`, "How unsure the next token is");
    add("normalised", `${decision.normalized_entropy.toFixed(4)} of ln(vocabulary)`, "What the fork threshold is held against");
    add("decided", `step ${node.decided}: ${decision.factor > 1 ? `split into ${decision.factor}` : "one token"} (up to ${branching.branch_factor})`);
  }
  if (node.id !== PROMPT) add("made", `step ${node.step}, depth ${node.depth}, path ${node.path}`);
  if (node.ended <= cursor) add("end", STATUS[node.status]);
  add("stored", storedWords(log, state, node));
  return el("dl", { class: "fs-facts" }, ...rows);
}
