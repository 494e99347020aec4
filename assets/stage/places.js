// Where the panels of a board stand: swapped, pinned first, hidden and brought back, by button, key and drag.

import { arrangement, hiddenTo, moved, movedTo, pinnedTo, shownAgain, shownOf } from "./arrange.js";
import { el } from "./dom.js";
import { deedOf } from "./paneltools.js";

const DEEDS = {
  left: (now, key) => moved(now, key, -1), right: (now, key) => moved(now, key, 1), pin: pinnedTo, hide: hiddenTo,
};

export class Places {
  /** `parts`: `panels`, `hidden` of the board; `changed()` is called when others are shown, or elsewhere. */
  constructor(parts, changed) {
    Object.assign(this, { parts, changed });
    this.all = []; // every panel, also hidden ones
    this.now = arrangement([]);
    parts.panels.addEventListener("keydown", (event) => this.#key(event));
  }

  /** The panels that are shown, in their order. */
  get shown() {
    return shownOf(this.now).map((key) => this.all.find((panel) => panel.key === key));
  }

  /** What the others are held against: the pinned panel, else deep copies, else the first tree. */
  get reference() {
    const { shown } = this;
    const named = (key) => shown.find((panel) => panel.key === key);
    return named(this.now.pinned) ?? named("deepcopy") ?? shown.find((panel) => panel.isTree) ?? shown[0];
  }

  /** Other panels in the place of these. */
  fill(panels) {
    this.all = panels;
    this.#arrange(arrangement(panels.map((panel) => panel.key)));
  }

  /** What a button or a key of a panel does; the focus stays on it. */
  act(panel, deed) {
    const next = DEEDS[deed](this.now, panel.key);
    if (next === this.now) return;
    const focused = document.activeElement;
    this.#arrange(next);
    if (deed === "hide") this.parts.hidden.querySelector("button:last-child").focus();
    else if (panel.parts.root.contains(focused)) (focused.disabled ? panel.parts.tree : focused).focus();
  }

  /** The panel `key` was dropped on `onto`. */
  drop(key, onto) {
    this.#arrange(movedTo(this.now, key, onto));
  }

  #arrange(next) {
    this.now = next;
    const { shown, reference } = this;
    this.parts.panels.replaceChildren(...shown.map((panel) => panel.parts.root));
    this.parts.panels.dataset.count = String(shown.length);
    const free = shown.filter((panel) => panel.key !== next.pinned);
    for (const panel of shown) {
      panel.setPlace({
        isFirst: panel === free[0], isLast: panel === free.at(-1), isPinned: panel.key === next.pinned,
        isReference: panel === reference, isAlone: shown.length < 2,
      });
      panel.invalidate();
    }
    this.#hidden(next.hidden);
    this.changed();
  }

  #hidden(keys) {
    const { hidden } = this.parts;
    hidden.hidden = !keys.length;
    hidden.replaceChildren(el("span", { text: "Hidden:" }), ...keys.map((key) => this.#chip(this.all.find((one) => one.key === key))));
  }

  #chip(panel) {
    const back = () => {
      this.#arrange(shownAgain(this.now, panel.key));
      panel.parts.tree.focus();
    };
    return el("button", { type: "button", class: "fs-button fs-unhide", ...panel.data, title: `Show ${panel.title} again`, onclick: back },
      el("i", { class: "fs-chip" }), el("span", { text: panel.title }));
  }

  #key(event) {
    const deed = deedOf(event);
    const panel = deed && this.shown.find((one) => one.parts.root.contains(event.target));
    if (!panel) return;
    event.preventDefault();
    this.act(panel, deed);
  }
}
