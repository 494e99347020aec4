// What a board listens to beside its player: files that are dropped on it, another size, another theme, keys.

import { bindKeys } from "./keys.js";
import { watchTheme } from "./theme.js";

/** `board`: with `parts.root`, and as keys.js asks; `open(files)`; `resized()` when `area` is; `themed()`. */
export function listenTo(board, { area, open, resized, themed }) {
  const { root } = board.parts;
  const hasFiles = (event) => event.dataTransfer.types.includes("Files");
  root.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  root.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    open([...event.dataTransfer.files]);
  });
  new ResizeObserver(resized).observe(area);
  watchTheme(themed);
  bindKeys(board);
}
