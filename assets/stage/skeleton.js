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

/** A key of a legend with a figure behind its words. */
function figure(kind, text, title) {
  const row = swatch(kind, text);
  row.setAttribute("title", title);
  row.append(el("b", { class: "fs-figure", "data-bytes": kind }));
  return row;
}

const GAP = 10; // pixels between two rows of the stage

/** The views of the token tree: name -> what its tab says. One is shown at a time. */
export const VIEWS = { tree: "Tree", text: "Text", multiverse: "Multiverse", table: "Table" };

/** Build the stage's elements inside `host`; returns those that views fill. */
export function skeleton(host) {
  const parts = { ...head(), ...treeParts(), ...mapParts(), ...sideParts(), ...dockParts() };
  const tree = card("tree", "Token tree",
    el("div", { class: "fs-tree-bar" }, parts.viewTabs, parts.tools,
      el("div", { class: "fs-zoom" }, parts.follow, parts.fit, parts.zoomOut, parts.zoomIn)),
    el("div", { class: "fs-views" }, ...Object.keys(VIEWS).map((name) => parts[name]), parts.empty),
    el("div", { class: "fs-tree-foot" }, parts.shapes, parts.minimap));
  const pool = card("pool", "KV pool",
    el("header", {}, el("h3", { text: "KV pool" }), parts.poolNote, parts.poolTools),
    el("div", { class: "fs-canvas-box" }, parts.pool, parts.tip, parts.noPool), parts.poolKeys);
  const layers = card("layers", "Layers",
    el("header", {}, el("h3", { text: "Layers × slots" }), el("span", { class: "fs-card-note", text: "live slots per layer" })),
    el("div", { class: "fs-canvas-box" }, parts.layers));
  const inspector = card("inspector", "Inspector", parts.inspector,
    el("details", { class: "fs-run-details" }, el("summary", { text: "This run" }), parts.details));
  const memory = card("memory", "Memory",
    el("header", {}, el("h3", { text: "Memory" })), parts.sentence,
    el("div", { class: "fs-canvas-box" }, parts.memory), parts.memoryKeys, parts.projector);
  parts.root = el("div", { class: "fs-stage is-empty" },
    parts.welcome,
    el("header", { class: "fs-top" }, parts.badge,
      el("div", { class: "fs-heading" }, parts.title, parts.note, parts.origin), parts.legend),
    parts.whatif, parts.alert,
    el("div", { class: "fs-grid" }, tree, el("div", { class: "fs-maps" }, pool, layers, card("phases", "Prefill and decode", parts.phases)),
      el("div", { class: "fs-side" }, inspector, memory)),
    el("div", { class: "fs-dock fs-dock-timed" }, parts.narration, parts.timeline, parts.player));
  host.append(parts.root);
  leaveRoom(parts.root, [parts.welcome, parts.root.querySelector(".fs-top"), parts.whatif, parts.alert]);
  return parts;
}

/** The tree's card is as high as the window leaves it: lines that come and go above it are counted. */
function leaveRoom(root, rows) {
  const observer = new ResizeObserver(() => {
    const above = rows.reduce((sum, row) => sum + (row.offsetHeight ? row.offsetHeight + GAP : 0), 0);
    root.style.setProperty("--fs-above", `${above}px`);
  });
  rows.forEach((row) => observer.observe(row));
}

function head() {
  return {
    welcome: el("div", { class: "fs-welcome", hidden: true }),
    badge: el("span", { class: "fs-badge" }),
    title: el("h2", { class: "fs-title" }),
    note: el("p", { class: "fs-note" }),
    origin: el("p", { class: "fs-origin", hidden: true }),
    legend: el("div", { class: "fs-legend" }),
    whatif: el("div", { class: "fs-whatif", hidden: true }),
    alert: el("p", { class: "fs-alert", role: "alert", hidden: true }),
  };
}

function treeParts() {
  const tabs = Object.entries(VIEWS).map(([name, text], at) => el("button", {
    type: "button", class: "fs-view-tab", role: "tab", "data-view": name, text, title: `${text} (${at + 1})`,
  }));
  return {
    viewTabs: el("div", { class: "fs-view-tabs", role: "tablist", "aria-label": "Views of the tree" }, ...tabs),
    tools: el("div", { class: "fs-tools", role: "group", "aria-label": "Tree tools" }),
    follow: button("fs-follow", "Follow the newest tokens (f)", "follow"),
    fit: button("fs-fit", "Whole tree (0)", "fit"),
    zoomIn: button("fs-zoom-in", "Zoom in (+)", "+"),
    zoomOut: button("fs-zoom-out", "Zoom out (−)", "−"),
    ...Object.fromEntries(Object.keys(VIEWS).map((name) => [name, el("div", { class: `fs-view fs-${name}`, role: "tabpanel" })])),
    minimap: el("div", { class: "fs-minimap", hidden: true }),
    empty: el("div", { class: "fs-empty" },
      el("h3", { text: "Nothing has run yet" }),
      el("p", { text: "Play a recorded run, open a trace file, or write a prompt and press Run." })),
    shapes: el("div", { class: "fs-shapes" }),
  };
}

function mapParts() {
  return {
    pool: el("canvas", { class: "fs-canvas", role: "img", "aria-label": "KV pool: a cell is a slot" }),
    poolTools: el("div", { class: "fs-pool-tools" }),
    poolNote: el("span", { class: "fs-card-note" }),
    poolKeys: el("div", { class: "fs-keys" }, swatch("private", "one path’s own"), swatch("shared-1", "2+"), swatch("shared-3", "8+"),
      swatch("shared-5", "32+ paths"), swatch("free", "free"), swatch("copy", "first own slot"), swatch("grown", "pool grew"), swatch("high", "high water")),
    noPool: el("p", { class: "fs-hint fs-no-pool", hidden: true }),
    tip: el("div", { class: "fs-tip", hidden: true }),
    layers: el("canvas", { class: "fs-canvas", role: "img", "aria-label": "Slots of every layer" }),
    phases: el("div", { class: "fs-phases" }),
  };
}

function sideParts() {
  return {
    inspector: el("div", { class: "fs-inspector" }),
    details: el("dl", { class: "fs-facts fs-details" }),
    sentence: el("p", { class: "fs-sentence" }),
    memory: el("canvas", { class: "fs-canvas", role: "img", "aria-label": "Bytes over time" }),
    memoryKeys: el("div", { class: "fs-keys" }, figure("unique", "in use", "Every stored token once"), figure("allocated", "allocated", "Storage, each once"),
      figure("logical", "one cache a path", "What deep copies would need"), figure("cross", "cross-attention", "Keys and values of the source, apart from what the paths write")),
    projector: el("div", { class: "fs-projector" }),
  };
}

function dockParts() {
  return {
    narration: el("p", { class: "fs-narration", "aria-live": "polite" }),
    timeline: el("div", { class: "fs-timeline" }),
    player: el("div", { class: "fs-player", role: "group", "aria-label": "Player" }),
  };
}
