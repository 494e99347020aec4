// A panel's own buttons, keys and handle: moved left and right, pinned, hidden.

import { el, svg } from "./dom.js";

/** For the sheet of keys; they work while the focus is anywhere in a panel. */
export const KEYS = [
  { keys: "⇧← ⇧→", words: "move the panel left, right", where: "in a panel of Compare" },
  { keys: "r", words: "hold the others against this panel, or no longer", where: "in a panel of Compare" },
  { keys: "Delete", words: "hide the panel", where: "in a panel of Compare" },
];

const ICONS = {
  left: "M10 3L5 8l5 5", right: "M6 3l5 5-5 5", hide: "M4 4l8 8M12 4l-8 8",
  pin: "M6 2.5h4M6.6 2.5v4L4.5 9h7L9.4 6.5v-4M8 9v4.5",
};
const TITLES = {
  left: "Move left (Shift and ←)", right: "Move right (Shift and →)",
  pin: "Hold the others against this one (r)", hide: "Hide (Delete)",
};
const DATA = "application/x-forkscope-panel";

/** `{left, right, pin, hide}` buttons; `act(deed)` is told which was pressed. */
export function panelButtons(title, act) {
  return Object.fromEntries(Object.keys(TITLES).map((deed) => [deed, el("button", {
    type: "button", class: `fs-icon fs-panel-${deed}`, title: TITLES[deed], "aria-label": `${title}: ${TITLES[deed]}`, "data-deed": deed,
    onclick: () => act(deed),
  }, svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[deed] })))]));
}

/** The deed of a key pressed inside a panel; null for other keys. */
export function deedOf(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (event.shiftKey) return { ArrowLeft: "left", ArrowRight: "right" }[event.key] ?? null;
  return { r: "pin", Delete: "hide" }[event.key] ?? null;
}

/** A panel is dragged by its `handle` and dropped on another: `drop(key, onto)`. */
export function draggable(panel, handle, drop) {
  const { root } = panel.parts;
  handle.draggable = true;
  handle.addEventListener("dragstart", (event) => {
    event.dataTransfer.setData(DATA, panel.key);
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setDragImage(root, 20, 20);
    root.classList.add("is-dragged");
  });
  handle.addEventListener("dragend", () => root.classList.remove("is-dragged"));
  const isPanel = (event) => event.dataTransfer.types.includes(DATA);
  root.addEventListener("dragover", (event) => {
    if (!isPanel(event)) return;
    event.preventDefault();
    root.classList.add("is-target");
  });
  root.addEventListener("dragleave", () => root.classList.remove("is-target"));
  root.addEventListener("drop", (event) => {
    root.classList.remove("is-target");
    if (!isPanel(event)) return;
    event.preventDefault();
    drop(event.dataTransfer.getData(DATA), panel.key);
  });
}
