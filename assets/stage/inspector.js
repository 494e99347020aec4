// Everything known of one token at the cursor: text, probabilities, alternatives, who owns its bytes.

import { el } from "./dom.js";
import { bytes, count, nats, plural, probability, shorten, visibleToken } from "./format.js";
import { PROMPT } from "./log.js";

const STATUS = {
  finished: "ended here (end of text)",
  length: "reached the length limit",
  pruned: "pruned: less probable than the paths that stayed",
  cancelled: "stopped here",
};

export class Inspector {
  constructor(host, actions) {
    this.actions = actions;
    this.host = host;
    this.key = "";
  }

  reset() {
    this.key = "";
    this.host.replaceChildren(el("p", { class: "fs-hint", text: "Point at a token to see what the model knew there." }));
  }

  /** What is in focus, else the first live path's newest token. */
  draw({ log, state, focus, pinned }) {
    const id = focus?.node ?? (focus ? null : front(log, state));
    if (!log || id === null) {
      if (this.key) this.reset();
      return;
    }
    const node = log.node(id);
    const isPinned = pinned?.id === id;
    const key = `${id} ${state.cursor} ${isPinned}`;
    if (key === this.key) return;
    this.key = key;
    const decided = node.decided <= state.cursor;
    this.host.replaceChildren(
      head(node, isPinned),
      facts(log, state, node),
      decided ? alternatives(log, state, node) : el("p", { class: "fs-hint", text: node.ended <= state.cursor
        ? "Its path ended here; nothing was decided after it."
        : "Its next token has not been decided yet." }),
      pathText(log, state, node),
    );
  }
}

function front(log, state) {
  if (!log?.length) return null;
  if (!state.isOver) return state.rows[0]?.node ?? PROMPT;
  return log.ends.find((end) => end.step <= state.cursor && end.status !== "pruned")?.node ?? PROMPT;
}

function head(node, pinned) {
  const name = node.id === PROMPT ? "end of prompt" : visibleToken(node.text, node.raw);
  return el("div", { class: "fs-token-head" },
    el("span", { class: "fs-token", text: shorten(name, 28), title: name }),
    el("span", { class: "fs-token-id", text: node.id === PROMPT ? "" : `token ${node.token}` }),
    pinned ? el("span", { class: "fs-pin", text: "pinned", title: "Click the ground or press Escape to let go" }) : "",
  );
}

function facts(log, state, node) {
  const rows = [];
  const add = (name, value, title) => rows.push(el("dt", { text: name, title }), el("dd", { text: value }));
  if (node.id !== PROMPT) {
    add("probability", `${probability(node.prob)} sampled · ${probability(node.raw_prob)} model`,
      "In the distribution that was sampled, and by the model itself (temperature 1, no filter)");
    add("path so far", `ln p = ${node.logprob.toFixed(2)} sampled · ${node.raw_logprob.toFixed(2)} model`, "Sum of log-probabilities along the path");
    add("raw text", JSON.stringify(node.raw));
  }
  if (node.decided <= state.cursor) {
    const d = node.decision;
    add("entropy after", `${nats(d.entropy)} sampled · ${nats(d.raw_entropy)} model`, "How unsure the next token is");
    add("normalised", `${d.normalized_entropy.toFixed(3)} of ln(vocabulary)`, "What the fork threshold is held against");
  }
  if (node.id !== PROMPT) add("where", `path ${node.path}, depth ${node.depth}, step ${node.step}`);
  if (node.ended <= state.cursor) add("end", STATUS[node.status]);
  add("bytes", owner(log, state, node));
  return el("dl", { class: "fs-facts" }, ...rows);
}

function owner(log, state, node) {
  const each = log.header.model.kv_nbytes_per_token;
  if (node.id === PROMPT) {
    return state.numPrompt
      ? `${plural(state.numPrompt, "prompt slot")} × ${bytes(each)} = ${bytes(state.numPrompt * each)}, stored once for all paths`
      : "no slots: this backend keeps no shared pool";
  }
  if (!log.head.capacity || (node.slot < 0 && node.step < state.cursor && !state.numPrompt)) {
    return "no slot: this backend keeps no shared pool";
  }
  if (node.written === Infinity && node.ended <= state.cursor) return "never stored: its path ended before the next pass";
  if (!state.holds(node.slot, node.id + 1) || node.written > state.cursor) {
    if (node.written <= state.cursor || node.ended <= state.cursor) return "freed: no live path sees it any more";
    return "not stored yet: written by the next forward pass";
  }
  const refs = state.refs[node.slot];
  const who = refs === 1 ? "private to one path" : `shared by ${plural(refs, "path")}: ${bytes(each / refs)} each`;
  return `slot ${count(node.slot)}, ${bytes(each)}, ${who}`;
}

function alternatives(log, state, node) {
  const chosen = new Set(node.children.filter((id) => log.nodes[id].step <= state.cursor).map((id) => log.nodes[id].token));
  const list = el("ol", { class: "fs-alternatives", "aria-label": "Most probable next tokens" });
  const { candidates, factor } = node.decision;
  const top = Math.max(...candidates.map((one) => Math.max(one.prob, Math.exp(one.raw_logprob))), 1e-9);
  for (const one of candidates) {
    const bar = el("span", { class: "fs-bar" });
    bar.style.width = `${(one.prob / top) * 100}%`;
    const raw = el("span", { class: "fs-bar-raw" });
    raw.style.left = `${(Math.exp(one.raw_logprob) / top) * 100}%`;
    list.append(el("li", { class: chosen.has(one.token) ? "is-chosen" : "", title: `model: ${probability(Math.exp(one.raw_logprob))}` },
      el("span", { class: "fs-alt-token", text: shorten(visibleToken(one.text, String(one.token)), 14) }),
      el("span", { class: "fs-alt-track" }, bar, raw),
      el("span", { class: "fs-alt-p", text: probability(one.prob) }),
    ));
  }
  const title = factor > 1 ? `Next token: split into ${factor}` : "Next token: one was drawn";
  return el("div", {}, el("h4", { text: title }), list,
    el("p", { class: "fs-fine", text: "bar: sampled probability · tick: the model's own · bold: taken" }));
}

function pathText(log, state, node) {
  const row = state.rows.find((one) => one.node === node.id) ?? null;
  const text = node.id === PROMPT ? "" : log.textOf(node.id);
  const prompt = log.promptText();
  const children = [
    el("h4", { text: "Text of this path" }),
    el("p", { class: "fs-path" },
      el("span", { class: "fs-path-prompt", text: prompt.length > 300 ? "…" + prompt.slice(-300) : prompt }),
      el("span", { text })),
  ];
  if (row && state.numPrompt) children.push(el("p", { class: "fs-fine", text: ownWords(log, state, row) }));
  return el("div", {}, ...children);
}

function ownWords(log, state, row) {
  const slots = state.visible(row);
  const own = slots.filter((slot) => state.refs[slot] === 1).length;
  const each = log.header.model.kv_nbytes_per_token;
  return `Sees ${plural(slots.length, "slot")} (${bytes(slots.length * each)}); ${count(own)} of them (${bytes(own * each)}) are its own.`;
}
