// The keyboard: one table of keys and deeds; the same table is what `?` shows.

import { KEYS as ON_READERS } from "./crossedsource.js";
import { el } from "./dom.js";
import { KEYS as ON_CARDS } from "./evictcard.js";
import { KEYS as IN_CONTEXT } from "./evictcontext.js";
import { KEYS as IN_EVICT_LAYERS } from "./evictlayers.js";
import { KEYS as IN_EVICTIONS } from "./evictlog.js";
import { KEYS as ON_QUALITY } from "./evictquality.js";
import { KEYS as IN_LAYERS } from "./layers.js";
import { PROMPT } from "./log.js";
import { KEYS as IN_MULTIVERSE } from "./multiverse.js";
import { KEYS as IN_PANELS } from "./paneltools.js";
import { KEYS as IN_POOL } from "./pool.js";
import { KEYS as IN_BLOCKS } from "./reuseforest.js";
import { KEYS as IN_REQUESTS } from "./reuserequests.js";
import { KEYS as IN_TABLE } from "./rows.js";
import { KEYS as IN_SCATTER } from "./scatter.js";
import { KEYS as IN_COUNTERS } from "./sketchgrid.js";
import { VIEWS } from "./skeleton.js";
import { nodeSubject } from "./subject.js";
import { KEYS as IN_TEXT } from "./text.js";
import { KEYS as ON_TIMELINE } from "./timeline.js";
import { KEYS as TOOLS } from "./tools.js";

/** `[group, [{keys, also?, words, deed}]]`: keys as KeyboardEvent.key names them, by blanks; `also`: not on the sheet. */
export const KEYS = [
  ["Time", [
    { keys: "Space", words: "play or pause", deed: (stage) => stage.player.toggle() },
    { keys: ". ,", words: "one step on, one step back", deed: (stage, { key }) => stage.player.step(key === "." ? 1 : -1) },
    { keys: "Home", words: "first step", deed: (stage) => stage.player.seek(0) },
    { keys: "End l", words: "newest step, back to live", deed: (stage) => stage.player.toLive() },
    { keys: "n p", words: "next, previous fork; in Reuse: request", deed: (stage, { key }) => stage.player.jump(["fork", "request"], key === "n" ? 1 : -1) },
    { keys: "y Y", words: "next, previous copy", deed: (stage, { key }) => stage.player.jump(["copy"], key === "y" ? 1 : -1) },
    { keys: "x X", words: "next, previous prune or finish", deed: (stage, { key }) => stage.player.jump(["prune", "finish"], key === "x" ? 1 : -1) },
    { keys: "e E", words: "next, previous eviction", deed: (stage, { key }) => stage.player.jump(["evict"], key === "e" ? 1 : -1) },
    { keys: "[ ]", words: "slower, faster", deed: (stage, { key }) => stage.player.faster(key === "]" ? 1 : -1) },
  ]],
  ["Tree", TOOLS],
  ["View", [
    { keys: "0", words: "whole tree", deed: (stage) => stage.fit() },
    { keys: "+ -", also: "= −", words: "zoom in, zoom out", deed: (stage, { key }) => stage.tree.zoom("+=".includes(key) ? 1.25 : 0.8) },
    { keys: "f", words: "follow the newest tokens", deed: (stage) => stage.follow() },
    { keys: "v", words: "next view", deed: (stage) => stage.nextView?.() },
    { keys: "1 2 3 4", words: "tree, text, multiverse, table", deed: (stage, { key }) => stage.show?.(Object.keys(VIEWS)[key - 1]) },
    { keys: "w", words: "who owns this: into the KV pool", deed: (stage) => intoPool(stage) },
    { keys: "g", words: "grow a run from the token in focus", deed: (stage) => stage.inspector?.grow() },
    { keys: "Escape", words: "let go", deed: (stage) => stage.select(null) },
  ]],
];

/** The keyboard goes to the slot of what is in focus. */
function intoPool(stage) {
  if (!stage.pool) return; // a board has none
  const slot = stage.focus()?.slot ?? -1;
  if (slot >= 0) stage.pool.at = slot;
  stage.parts.pool.focus();
}

/** Keys of one focused view, for the sheet alone: the view listens itself. */
const IN_TREE = ["In the tree", [
  { keys: "← →", words: "parent, first child" },
  { keys: "↑ ↓", words: "the token above or below at the same depth" },
  { keys: "Enter", words: "pin the token in the inspector" },
]];

const ELSEWHERE = [
  ["In the search box", [
    { keys: "Enter ⇧Enter", words: "next match, the one before" },
    { keys: "Escape", words: "forget the search" },
  ]],
  ["On the threshold", [
    { keys: "← →", words: "lower, higher by 0.005" },
    { keys: "PageDown PageUp", words: "lower, higher by 0.05" },
    { keys: "Home End", words: "threshold 0, threshold 1" },
    { keys: "Enter", words: "run with it" },
    { keys: "Escape", words: "back to the run's own" },
  ]],
  ["In the inspector", [
    { keys: "← →", words: "on a tab: the next one; on the entropy of a path: its tokens" },
    { keys: "↑ ↓", words: "the candidate above or below" },
    { keys: "Enter", words: "on a candidate: force it; on the entropy of a path: pin the token" },
  ]],
  ["On the map", [{ keys: "← ↑ ↓ →", words: "move what is in sight" }]],
  ["In the runs of this visit", [
    { keys: "↑ ↓", words: "the run above or below" },
    { keys: "F2", words: "rename the run" },
    { keys: "Delete", words: "take it off the list" },
  ]],
];

/** Keys of the page itself, whichever stage is shown: a deed is given `{help, toggleTheme}`. */
const PAGE = ["Page", [
  { keys: "t", words: "dark or light", deed: (page) => page.toggleTheme() },
  { keys: "?", words: "these keys", deed: (page) => page.help() },
]];

/** Rows that views bring along, by the view that they say they work in. */
function brought(rows) {
  return [[`${rows[0].where[0].toUpperCase()}${rows[0].where.slice(1)}`, rows]];
}

const IN_EVICT = [ON_CARDS, IN_CONTEXT, IN_EVICT_LAYERS, ON_QUALITY, IN_COUNTERS, IN_SCATTER, IN_EVICTIONS];

export const SHEET = [...KEYS, IN_TREE, ...[IN_TEXT, IN_MULTIVERSE, IN_TABLE, ON_TIMELINE, IN_POOL, IN_LAYERS, IN_PANELS, ...IN_EVICT, IN_BLOCKS, IN_REQUESTS, ON_READERS].flatMap(brought), ...ELSEWHERE, PAGE];

const NAMES = { Space: " " };
const deedsOf = (groups) => new Map(groups.flatMap(([, rows]) =>
  rows.flatMap(({ keys, also = "", deed }) => `${keys} ${also}`.trim().split(" ").map((key) => [NAMES[key] ?? key, deed]))));
const DEEDS = deedsOf(KEYS);
const PAGE_DEEDS = deedsOf([PAGE]);

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
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping(event.target) || !stage.isVisible() || event.target.closest?.("dialog")) return;
    const deed = DEEDS.get(event.key);
    if (event.composedPath()[0] === stage.tree.root && treeKey(stage, event.key)) event.preventDefault();
    else if (deed && !isControl(event)) {
      deed(stage, event);
      event.preventDefault();
    }
  };
  document.addEventListener("keydown", listen);
  return () => document.removeEventListener("keydown", listen);
}

/** Keys of the page: `{help, toggleTheme}`. */
export function bindPage(page) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!isTyping(event.target) && !event.target.closest?.("dialog")) PAGE_DEEDS.get(event.key)?.(page);
  });
}

function treeKey(stage, key) {
  const { log, tree, player } = stage;
  if (!log) return false;
  if (key === "Enter") {
    stage.select(nodeSubject(tree.selected ?? PROMPT));
    return true;
  }
  if (!MOVES[key]) return false;
  const from = tree.selected ?? PROMPT;
  const to = MOVES[key](log, from, player.cursor, (id) => tree.layout.yOf(id));
  stage.select(nodeSubject(to), { reveal: true });
  return true;
}

function isTyping(target) {
  return Boolean(target.closest?.("input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable=true]"));
}

/** Space and Enter belong to a focused button, arrows and Home/End to a focused slider or tab. */
function isControl(event) {
  if (event.key === " " || event.key === "Enter") return Boolean(event.target.closest?.("button, [role=tab], summary, input, a"));
  return (event.key === "Home" || event.key === "End") && Boolean(event.target.closest?.("[role=tab], [role=slider], input"));
}

/** A dialog that lists the keys. */
export function keysDialog() {
  const groups = SHEET.map(([title, rows]) => el("section", { class: "fs-key-group" },
    el("h4", { text: title }), ...rows.map(({ keys, words }) => el("div", { class: "fs-key-row" },
      el("span", {}, ...keys.split(" ").map((key) => el("kbd", { text: key }))), el("span", { text: words })))));
  const close = el("button", { type: "button", class: "fs-button", text: "Close" });
  const dialog = el("dialog", { class: "fs-dialog", "aria-label": "Keys" },
    el("h3", { text: "Keys" }), el("div", { class: "fs-key-groups" }, ...groups), close);
  close.addEventListener("click", () => dialog.close());
  return dialog;
}
