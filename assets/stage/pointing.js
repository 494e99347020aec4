// What is pointed at or pinned on a board: a token of one panel, lit in every panel that has it as well.

import { PROMPT } from "./log.js";

export class Pointing {
  /** `shown()` gives the panels in their order; `changed()` is called when something else is lit. */
  constructor(shown, changed) {
    Object.assign(this, { shown, changed });
    this.clear();
  }

  clear() {
    this.pointed = null; // {panel, id}
    this.pinned = null;
  }

  point(panel, id) {
    if (this.pointed?.panel === panel && this.pointed?.id === id) return;
    this.pointed = id === null ? null : { panel, id };
    this.changed();
  }

  pin(panel, id) {
    this.pinned = id === null ? null : { panel, id };
    this.changed();
  }

  /** Pin a token of the active panel; null: let go. What the cursor has not reached cannot be pinned. */
  select(id) {
    const panel = this.active;
    if (panel && (id === null || panel.log.node(id).step <= panel.cursor)) this.pin(panel, id);
  }

  /** The panel that the keyboard is in, else the first: what the arrow keys move in. */
  get active() {
    const panels = this.shown();
    return panels.find((panel) => panel.parts.root.contains(document.activeElement)) ?? panels[0];
  }

  /** The token that is lit in `panel`, or null; and the one that is pinned. */
  litIn(panel) {
    return idIn(panel, this.pointed ?? this.pinned);
  }

  pinnedIn(panel) {
    return idIn(panel, this.pinned);
  }
}

/** Trees that are the same up to a token number it alike: what is lit in one is lit in the others. */
function idIn(panel, lit) {
  if (!panel || !lit) return null;
  if (lit.panel === panel || lit.id === PROMPT) return lit.id;
  return panel.log && lit.id < Math.min(panel.alike, lit.panel.alike, panel.log.nodes.length) ? lit.id : null;
}
