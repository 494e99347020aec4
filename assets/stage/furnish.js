// What a stage is furnished with: its player, the views of the tree, the panels around them; and what it listens to.

import { Inspector } from "./inspector.js";
import { bindKeys } from "./keys.js";
import { Layers } from "./layers.js";
import { marks } from "./marks.js";
import { MemoryStrip } from "./memory.js";
import { Minimap } from "./minimap.js";
import { Multiverse } from "./multiverse.js";
import { OriginLine } from "./origin.js";
import { PhaseStrip } from "./phasestrip.js";
import { Player } from "./player.js";
import { Pool } from "./pool.js";
import { Projector } from "./projector.js";
import { NodeTable } from "./rows.js";
import { ShapeKey } from "./shapekey.js";
import { listenToTabs } from "./tabs.js";
import { TextView } from "./text.js";
import { watchTheme } from "./theme.js";
import { Threshold } from "./threshold.js";
import { Timeline } from "./timeline.js";
import { Tools } from "./tools.js";
import { Tree } from "./tree.js";

/** Everything that draws, as properties of the stage. */
export function furnish(stage) {
  const { parts, actions, options } = stage;
  const player = new Player(parts.player, () => stage.invalidate(), undefined, { marks: () => marks(stage.log), isDrawn: true });
  const tree = new Tree(parts.tree, actions);
  const tools = new Tools(parts.tools, actions);
  const timeline = new Timeline(parts.timeline, actions, { toEnd: () => player.toLive() });
  const pool = new Pool(parts.pool, parts.tip, actions, parts.poolTools);
  const inspector = new Inspector(parts.inspector, actions, options.help);
  const views = { // of the tree: the one that is shown is drawn
    tree, text: new TextView(parts.text, actions), multiverse: new Multiverse(parts.multiverse, actions),
    table: new NodeTable(parts.table, actions),
  };
  const panels = [ // drawn every time, unless steps come fast
    tools,
    new ShapeKey(parts.shapes, actions, tree),
    new Threshold(parts, actions, options.help),
    new OriginLine(parts.origin, actions),
    pool,
    new Layers(parts.layers, actions),
    timeline,
  ];
  const readings = [ // what is read: a few times a second while steps come
    inspector,
    new Projector(parts.projector, options.shapes),
    new Minimap(parts.minimap, actions, tree),
    new MemoryStrip(parts.memory, actions),
    new PhaseStrip(parts.phases),
  ];
  return { player, tree, tools, timeline, pool, inspector, views, panels, readings };
}

/** Buttons, tabs, keys, the theme, another size, and files that are dropped on it. */
export function listen(stage, host) {
  const { parts, tree } = stage;
  parts.fit.addEventListener("click", () => stage.fit());
  parts.zoomIn.addEventListener("click", () => tree.zoom(1.25));
  parts.zoomOut.addEventListener("click", () => tree.zoom(0.8));
  parts.follow.addEventListener("click", () => stage.follow());
  listenToTabs(parts.viewTabs, (view) => stage.show(view));
  const resized = new ResizeObserver(() => stage.invalidate());
  for (const part of [parts.root, parts.pool, parts.layers, parts.memory]) resized.observe(part);
  watchTheme(() => {
    stage.colors = null;
    stage.invalidate();
  });
  bindKeys(stage);
  host.addEventListener("dragover", (event) => event.preventDefault());
  host.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) stage.open(event.dataTransfer.files[0]);
  });
}
