// The elements of a stage, once.

import { el } from "./dom.js";

function button(name, title, text) {
  return el("button", { type: "button", class: `fs-button ${name}`, title, "aria-label": title, text });
}

function card(name, title, ...children) {
  return el("section", { class: `fs-card fs-card-${name}`, "aria-label": title }, ...children);
}

/** A key of a legend. */
export function swatch(kind, text) {
  return el("span", { class: "fs-swatch-row" }, el("i", { class: `fs-swatch is-${kind}` }), el("span", { text }));
}

/** Build the stage's elements inside `host`; returns those that views fill. */
export function skeleton(host) {
  const parts = {
    badge: el("span", { class: "fs-badge", text: "no run" }),
    title: el("h2", { class: "fs-title" }),
    note: el("p", { class: "fs-note" }),
    legend: el("div", { class: "fs-legend" }),
    tree: el("div", { class: "fs-tree" }),
    pool: el("canvas", { class: "fs-canvas", role: "img", "aria-label": "KV pool: a cell is a slot" }),
    tip: el("div", { class: "fs-tip", hidden: true }),
    layers: el("canvas", { class: "fs-canvas", role: "img", "aria-label": "Slots of every layer" }),
    memory: el("canvas", { class: "fs-canvas", role: "img", "aria-label": "Bytes over time" }),
    inspector: el("div", { class: "fs-inspector" }),
    details: el("dl", { class: "fs-facts fs-details" }),
    player: el("div", { class: "fs-player", role: "group", "aria-label": "Player" }),
    narration: el("p", { class: "fs-narration", "aria-live": "polite" }),
    sentence: el("p", { class: "fs-sentence" }),
    poolNote: el("span", { class: "fs-card-note" }),
    memoryNote: el("p", { class: "fs-fine" }),
    noPool: el("p", { class: "fs-hint fs-no-pool", hidden: true }),
    alert: el("p", { class: "fs-alert", role: "alert", hidden: true }),
    fit: button("fs-fit", "Whole tree (0)", "fit"),
    zoomIn: button("fs-zoom-in", "Zoom in (+)", "+"),
    zoomOut: button("fs-zoom-out", "Zoom out (−)", "−"),
    follow: button("fs-follow", "Follow the newest tokens (f)", "follow"),
  };
  const tree = card("tree", "Token tree", parts.tree,
    el("div", { class: "fs-tools" }, parts.follow, parts.fit, parts.zoomOut, parts.zoomIn),
    el("div", { class: "fs-shapes", "aria-hidden": "true" },
      swatch("fork", "fork"), swatch("pruned", "pruned"), swatch("finished", "finished"), swatch("open", "undecided")));
  const pool = card("pool", "KV pool",
    el("header", {}, el("h3", { text: "KV pool" }), parts.poolNote),
    el("div", { class: "fs-canvas-box" }, parts.pool, parts.tip, parts.noPool),
    el("div", { class: "fs-keys" }, swatch("private", "one path"), swatch("shared-1", "2+"), swatch("shared-3", "8+"),
      swatch("shared-5", "32+ paths"), swatch("free", "free")));
  const layers = card("layers", "Layers",
    el("header", {}, el("h3", { text: "Layers × slots" }), el("span", { class: "fs-card-note", text: "live slots per layer" })),
    el("div", { class: "fs-canvas-box" }, parts.layers));
  const memory = card("memory", "Memory",
    el("header", {}, el("h3", { text: "Memory" })), parts.sentence,
    el("div", { class: "fs-canvas-box" }, parts.memory), parts.memoryNote,
    el("div", { class: "fs-keys" }, swatch("unique", "in use"), swatch("allocated", "allocated"), swatch("logical", "one cache a path")));
  const inspector = card("inspector", "Inspector", el("h3", { text: "Inspector" }), parts.inspector,
    el("details", { class: "fs-run-details" }, el("summary", { text: "This run" }), parts.details));
  parts.root = el("div", { class: "fs-stage is-empty" },
    el("header", { class: "fs-top" }, parts.badge, el("div", { class: "fs-heading" }, parts.title, parts.note), parts.legend),
    parts.alert,
    el("div", { class: "fs-grid" }, tree, el("div", { class: "fs-maps" }, pool, layers), el("div", { class: "fs-side" }, inspector, memory)),
    el("div", { class: "fs-dock" }, parts.narration, parts.player));
  host.append(parts.root);
  return parts;
}
