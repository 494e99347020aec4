// Pointer and keys on the tree: what is met, chosen, unfolded.

import { arrow } from "./arrows.js";
import { inside } from "./dom.js";

const REACH = 11; // pixels of the world around a node in which the pointer meets it

/** Let `tree` (a Tree) be pointed at, clicked and walked over with arrow keys. */
export function grasp(tree) {
  const { root, actions } = tree;
  const subjectOf = (event) => {
    const id = idAt(tree, event);
    root.style.cursor = id !== null && event.target === root ? "pointer" : "";
    return id === null ? null : { kind: "node", id };
  };
  const point = (event) => {
    if (!root.classList.contains("is-dragging")) actions.point(subjectOf(event));
  };
  root.addEventListener("pointerover", point);
  root.addEventListener("pointermove", point);
  root.addEventListener("pointerleave", () => actions.point(null));
  root.addEventListener("click", (event) => {
    if (tree.camera.wasDragged) return;
    const id = idAt(tree, event);
    if (event.target.closest("[data-fold]")) open(tree, id);
    else actions.select(id === null ? null : { kind: "node", id });
  });
  root.addEventListener("keydown", (event) => {
    if (!tree.scene || event.ctrlKey || event.metaKey || event.altKey) return;
    tree.lay(tree.layout.shape); // it may have changed since it was drawn
    const to = arrow(event.key, tree.log, tree.layout, tree.scene.state.numNodes, tree.selected);
    if (to === null) return;
    event.preventDefault();
    actions.select({ kind: "node", id: to }, { reveal: true });
  });
}

/** The node whose mark is under the pointer, or the nearest one within reach; null: none. */
function idAt(tree, event) {
  const mark = event.target.closest?.("[data-id]");
  if (mark) return Number(mark.getAttribute("data-id"));
  const { x, y, scale } = tree.camera;
  const [px, py] = inside(event, tree.root);
  return nearest(tree.nearMarks(), (px - x) / scale, (py - y) / scale);
}

/** The id of the nearest of `marks` within REACH of a place in the world; null: none is. */
export function nearest(marks, x, y) {
  let best = null;
  let least = REACH ** 2;
  for (const mark of marks) {
    const far = (mark.x - x) ** 2 + (mark.y - y) ** 2;
    if (far > least) continue;
    least = far;
    best = mark.node.id;
  }
  return best;
}

/** A fold was clicked: unfold it, or look at it from nearer by. */
function open(tree, id) {
  const { layout, log, camera, actions } = tree;
  if (layout.shape.collapsed.has(id)) {
    layout.shape.collapse(id, false);
    actions.invalidate();
    return;
  }
  tree.centre(layout.columnOf(log, id) + 1, layout.yOf(id), Math.min(1, camera.scale * 3));
}
