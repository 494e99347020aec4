// What a node's mark says at a moment, and where the newest tokens are. Pure.

import { PROMPT } from "./log.js";
import { FLAGS } from "./nodemark.js";
import { markOf } from "./whatif.js";

/** The bits of `FLAGS` by name. */
const BIT = Object.fromEntries(FLAGS.map((name, at) => [name.slice(3), 1 << at]));

/**
 * How the mark of node `id` looks in `scene`: see `Mark.paint`. `live`: newest nodes of live paths; `lit`: nodes in
 * focus; `pointed`, `chosen`: the node in focus and the chosen one, or who stands for them.
 */
export function looks(scene, id, { live, lit, pointed, chosen }) {
  const { log, state, shape, trial } = scene;
  const node = log.node(id);
  const isDecided = node.decided <= state.cursor;
  const ended = node.ended <= state.cursor ? node.status : "";
  const isFork = isDecided && node.decision.factor > 1;
  const tried = markOf(trial, node);
  const isCollapsed = shape.collapsed.has(id);
  const hasChildren = node.children.length > 0 && log.nodes[node.children[0]].step <= state.cursor;
  const is = {
    dead: id !== PROMPT && scene.dead[id] === 1, live: live.has(id) && node.ended > state.cursor,
    open: id !== PROMPT && !isDecided && !ended, fork: isFork, pruned: ended === "pruned",
    finished: ended === "finished", lit: lit.has(id), hovered: id === pointed, selected: id === chosen,
    bookmarked: shape.bookmarks.has(id), found: shape.found.has(id), would: tried === "gained",
    wouldnt: tried === "lost", cut: tried === "cut", collapsed: isCollapsed,
  };
  let flags = 0;
  for (const name in BIT) if (is[name]) flags |= BIT[name];
  return {
    flags, ended, entropy: isDecided ? node.decision.normalized_entropy : null, isDark: scene.isDark,
    isExpanded: hasChildren ? !isCollapsed : null,
  };
}

/** The newest column, and the lanes in it: those of live paths where there are any that are shown. */
export function front(log, layout, state) {
  const isPlaced = (id) => !Number.isNaN(layout.yOf(id)) && layout.base !== null;
  const live = state.isOver ? [] : state.rows.map((row) => row.node).filter(isPlaced);
  if (live.length) {
    return { column: Math.max(...live.map((id) => layout.columnOf(log, id))), lanes: live.map((id) => layout.yOf(id)) };
  }
  const last = state.numNodes - 1;
  if (last < 0 || !isPlaced(last)) return { column: 0, lanes: [0] };
  const column = layout.columnOf(log, last);
  return { column, lanes: layout.columns[column - 1]?.map((id) => layout.y[id]) ?? [0] };
}
