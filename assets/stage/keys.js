// The keyboard: one key, one deed; the same table is what `?` shows.

import { el } from "./dom.js";
import { PROMPT } from "./log.js";

export const KEYS = [
  ["Space", "play or pause"],
  [". ,", "one step on, one step back"],
  ["Home End", "first step, newest step"],
  ["← →", "in the tree: parent, first child"],
  ["↑ ↓", "in the tree: the token above or below at the same depth"],
  ["Enter", "pin the token in the inspector"],
  ["Esc", "let go"],
  ["0 + −", "whole tree, zoom in, zoom out"],
  ["f", "follow the newest tokens"],
  ["t", "dark or light"],
  ["?", "these keys"],
];

const DEEDS = {
  " ": (stage) => stage.player.toggle(),
  ".": (stage) => stage.player.step(1),
  ",": (stage) => stage.player.step(-1),
  Home: (stage) => stage.player.seek(0),
  End: (stage) => stage.player.toLive(),
  Escape: (stage) => stage.select(null),
  0: (stage) => stage.fit(),
  "+": (stage) => stage.tree.zoom(1.25),
  "=": (stage) => stage.tree.zoom(1.25),
  "-": (stage) => stage.tree.zoom(0.8),
  f: (stage) => stage.follow(),
};

const MOVES = {
  ArrowLeft: (log, id) => (id === PROMPT ? PROMPT : log.node(id).parent),
  ArrowRight: (log, id, cursor) => log.node(id).children.find((child) => log.node(child).step <= cursor) ?? id,
  ArrowUp: (log, id, cursor, y) => neighbour(log, id, cursor, y, -1),
  ArrowDown: (log, id, cursor, y) => neighbour(log, id, cursor, y, 1),
};

/** The nearest node above (-1) or below (1) at the same depth. */
function neighbour(log, id, cursor, y, way) {
  if (id === PROMPT) return id;
  const beside = log.nodes.filter((node) =>
    node.step <= cursor && node.depth === log.node(id).depth && (y(node.id) - y(id)) * way > 0);
  beside.sort((a, b) => Math.abs(y(a.id) - y(id)) - Math.abs(y(b.id) - y(id)));
  return beside[0]?.id ?? id;
}

/** Keys of a stage; they stay silent while somebody types or the stage is hidden. Returns an undo. */
export function bindKeys(stage) {
  const listen = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || !stage.isVisible()) return;
    if (event.target.closest?.("dialog")) return;
    if (event.target === stage.tree.svg && treeKey(stage, event.key)) event.preventDefault();
    else if (DEEDS[event.key] && !isControl(event)) {
      DEEDS[event.key](stage);
      event.preventDefault();
    }
  };
  document.addEventListener("keydown", listen);
  return () => document.removeEventListener("keydown", listen);
}

function treeKey(stage, key) {
  const { log, tree, player } = stage;
  if (!log) return false;
  if (key === "Enter") {
    stage.select(tree.selected ?? PROMPT);
    return true;
  }
  if (!MOVES[key]) return false;
  const from = tree.selected ?? PROMPT;
  stage.select(MOVES[key](log, from, player.cursor, (id) => tree.layout.yOf(id)), true);
  return true;
}

function isTyping(target) {
  return Boolean(target.closest?.("input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable=true]"));
}

/** Space and Enter belong to a focused button, arrows and Home/End to a focused slider or tab. */
function isControl(event) {
  if (event.key === " " || event.key === "Enter") return Boolean(event.target.closest?.("button, [role=tab], summary, input, a"));
  return (event.key === "Home" || event.key === "End") && Boolean(event.target.closest?.("[role=tab], input"));
}

/** A dialog that lists the keys. */
export function keysDialog() {
  const rows = KEYS.map(([keys, deed]) => el("div", { class: "fs-key-row" },
    el("span", {}, ...keys.split(" ").map((key) => el("kbd", { text: key }))), el("span", { text: deed })));
  const close = el("button", { type: "button", class: "fs-button", text: "Close" });
  const dialog = el("dialog", { class: "fs-dialog", "aria-label": "Keys" }, el("h3", { text: "Keys" }), ...rows, close);
  close.addEventListener("click", () => dialog.close());
  return dialog;
}
