// What a node's mark says at a moment, and where the newest tokens are. Pure.

import { PROMPT } from "./log.js";
import { BIT } from "./nodemark.js";
import { markOf } from "./whatif.js";

const TRIED = { gained: BIT.would, lost: BIT.wouldnt, cut: BIT.cut };

/**
 * How the mark of node `id` looks in `scene`: see `Mark.paint`. `live`: newest nodes of live paths; `lit`: nodes in
 * focus; `pointed`, `chosen`: the node in focus and the chosen one, or who stands for them.
 */
export function looks(scene, id, { live, lit, pointed, chosen }) {
  const { log, state, shape, trial } = scene;
  const node = log.node(id);
  const isDecided = node.decided <= state.cursor;
  const ended = node.ended <= state.cursor ? node.status : "";
  const isCollapsed = shape.collapsed.has(id);
  const hasChildren = node.children.length > 0 && log.nodes[node.children[0]].step <= state.cursor;
  let flags = TRIED[markOf(trial, node)] ?? 0;
  if (id !== PROMPT) {
    if (scene.dead[id] === 1) flags |= BIT.dead;
    if (!isDecided && !ended) flags |= BIT.open;
  }
  if (node.ended > state.cursor && live.has(id)) flags |= BIT.live;
  if (isDecided && node.decision.factor > 1) flags |= BIT.fork;
  if (ended === "pruned") flags |= BIT.pruned;
  else if (ended === "finished") flags |= BIT.finished;
  if (lit.has(id)) flags |= BIT.lit;
  if (id === pointed) flags |= BIT.hovered;
  if (id === chosen) flags |= BIT.selected;
  if (shape.bookmarks.has(id)) flags |= BIT.bookmarked;
  if (shape.found.has(id)) flags |= BIT.found;
  if (isCollapsed) flags |= BIT.collapsed;
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
