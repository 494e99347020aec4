// Runs made from the one that is shown: a token forced, a path continued, another threshold. No DOM.

import { PROMPT } from "./log.js";

const given = (log) => log.header.config.prefix_ids ?? [];

/** How many of the prompt's tokens were given after it, not typed. */
export function numGiven(log) {
  return Math.min(given(log).length, log.prompt.length);
}

/** Text of the prompt in two parts: what was asked, and what was given after it. */
export function promptParts(log) {
  const from = log.prompt.length - numGiven(log);
  const text = (tokens) => tokens.map((token) => token.text).join("");
  const asked = log.source.length ? `${text(log.source)} → ` : text(log.prompt.slice(0, from));
  return [asked, text(log.prompt.slice(from))];
}

/** Token ids between prompt and the token after node `id`: its exact beginning. */
export function prefixOf(log, id) {
  return [...given(log), ...log.lineage(id).map((at) => log.nodes[at].token)];
}

/** The request for a run in which `token` (text `text`) comes after node `id`. */
export function forced(log, id, { token, text }) {
  return {
    changes: {}, prefix_ids: [...prefixOf(log, id), token],
    origin: { created: log.header.created, kind: "forced", node: id, depth: log.node(id).depth + 1, text },
  };
}

/** The request for a run that goes on after node `id`. */
export function grown(log, id) {
  const node = log.node(id);
  return {
    changes: {}, prefix_ids: prefixOf(log, id),
    origin: { created: log.header.created, kind: "grown", node: id, depth: node.depth, text: id === PROMPT ? "" : node.text || node.raw },
  };
}

/** The request for the same run at another threshold. */
export function atThreshold(log, tau) {
  return {
    changes: { entropy_threshold: Number(tau.toFixed(4)) },
    origin: { created: log.header.created, kind: "threshold", node: PROMPT, depth: -1, text: "" },
  };
}
