// The elements of the view "Self and cross", once.

import { recordedParts, top } from "./boardparts.js";
import { el } from "./dom.js";
import { swatch } from "./skeleton.js";

export const WORDS = { empty: "no run yet", recorded: "recorded" };
export const EMPTY = {
  title: "Two caches, and only one of them grows",
  note: "An encoder-decoder model reads its source once. Watch a recorded run, or run one of the sidebar’s model.",
};
const BYTES = {
  cross: ["cross-attention, held", "is-cross", "Measured bytes of the keys and values of the source, once for all paths"],
  crossCopies: ["a copy a path", "is-copies", "What it would take if every path kept its own copy of them: bytes of one copy times paths"],
  self: ["self-attention, in use", "is-unique", "Measured bytes of the keys and values of what the paths wrote; what they share is counted once"],
  selfCopies: ["a cache a path", "is-copies", "What one self-attention cache a path would hold"],
};

function card(kind, title, about, ...children) {
  return el("section", { class: `fs-card fs-two-${kind}`, "aria-label": title }, el("header", {}, el("h3", { text: title }), el("span", { class: "fs-card-note", text: about })), ...children);
}

/** Build the board's elements; returns those that it fills. */
export function build() {
  const parts = {
    ...recordedParts(WORDS, EMPTY, { shelf: "Recorded runs", player: "Player of the run" }),
    cross: el("p", { class: "fs-sentence", "data-says": "cross" }),
    self: el("p", { class: "fs-sentence", "data-says": "self" }),
    source: el("div", {}),
    pool: el("canvas", { class: "fs-canvas" }),
    tip: el("div", { class: "fs-tip", hidden: true, "aria-hidden": "true" }),
    noPool: el("p", { class: "fs-no-pool fs-hint", hidden: true }),
    poolTools: el("span", { class: "fs-pool-tools" }),
    strip: el("canvas", { class: "fs-canvas fs-two-strip", role: "img", "aria-label": "Bytes of the self-attention cache over time" }),
    texts: el("ul", { class: "fs-two-texts", "aria-label": "What the live paths have written" }),
    digest: el("code", { class: "fs-digest" }),
    bytes: {},
    timeline: el("div", { class: "fs-timeline" }),
    modes: {},
  };
  const bars = Object.entries(BYTES).map(([name, [label, kind, words]]) => {
    const [bar, value] = [el("i", { class: kind }), el("b", { "data-bytes": name })];
    parts.bytes[name] = { bar, value };
    return el("div", { title: words }, el("dt", { text: label }), el("dd", {}, el("span", { class: "fs-two-track", "aria-hidden": "true" }, bar), value));
  });
  parts.root = el("div", { class: "fs-stage fs-two is-empty", "data-state": "empty" },
    parts.shelf,
    top(parts, el("div", { class: "fs-evict-tools" }, parts.status)),
    parts.alert, parts.caption,
    el("div", { class: "fs-two-caches" },
      card("cross", "Cross-attention cache", "filled once by the encoder, read by all paths", parts.cross, parts.source,
        el("div", { class: "fs-keys" }, swatch("cross", "stored; below, the stronger the colour, the more a path looked there in this step"))),
      card("self", "Self-attention cache", "grows with every token, forks with the paths", el("div", { class: "fs-row" }, parts.self, parts.poolTools),
        el("div", { class: "fs-canvas-box fs-two-pool" }, parts.pool, parts.noPool, parts.tip),
        el("div", { class: "fs-keys" }, swatch("private", "one path’s own"), swatch("shared-1", "shared by 2+"), swatch("shared-3", "8+ paths"), swatch("free", "free")),
        parts.strip,
        el("div", { class: "fs-keys" }, swatch("unique", "in use"), swatch("allocated", "allocated"), swatch("logical", "one cache a path")))),
    el("div", { class: "fs-two-below" },
      card("bytes", "Bytes at the cursor", "both caches on one scale", el("dl", { class: "fs-two-bars" }, ...bars)),
      card("paths", "Paths", "press one: its slots, and what it looks at", parts.texts, parts.digest)),
    el("div", { class: "fs-dock fs-dock-timed" }, parts.narration, parts.timeline, parts.player));
  return parts;
}
