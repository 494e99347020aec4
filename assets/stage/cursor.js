// One cursor over all panels of a board: by step, or by second of each run's own clock.

import { places, placeOf, secondsAt, stepAt } from "./clock.js";
import { seconds } from "./format.js";
import { marks } from "./marks.js";
import { Player } from "./player.js";

export class Cursor {
  /**
   * `parts`: `player`, `modes` of the board; `moved()` is called when a panel stands elsewhere; `active()` is
   * the panel whose forks and ends the keys jump between; `hasJumps`: there are buttons for them, and no range.
   * `unit` and `pace` are the player's.
   */
  constructor(parts, { moved, active, hasJumps = false, unit = "step", pace }) {
    this.moved = moved;
    this.unit = unit;
    this.modes = parts.modes;
    this.mode = "step";
    this.panels = []; // those that are shown
    this.player = new Player(parts.player, () => this.#seekAll(), (at, length) => this.#words(at, length),
      { unit, pace, ...(hasJumps ? { marks: () => this.#marks(active()) } : {}) });
    this.player.marks = () => this.#marks(active());
    for (const [name, button] of Object.entries(this.modes)) button.addEventListener("click", () => this.#setMode(name));
  }

  /** Forget where it stood: other panels come. */
  reset(how) {
    this.player.reset(how);
  }

  /** `panel` goes to `step`, the others where that puts them. */
  seek(panel, step) {
    this.player.seek(placeOf(panel, this.panels, step, this.mode));
  }

  /** After news: more places, and every panel where it belongs. */
  grow() {
    const { player } = this;
    const isAtEnd = !player.playing && !player.following && player.cursor >= player.length - 1;
    player.grow(places(this.panels, this.mode));
    if (isAtEnd) player.seek(player.length - 1);
    this.#seekAll();
  }

  /** Other panels are shown, or in another order; what can stay where it stood does. */
  show(panels) {
    const held = this.#held();
    this.panels = panels;
    if (this.player.length) this.#stay(held);
  }

  /** What happened in a run, or its own `jumps`, where the cursor stands at it. */
  #marks(panel) {
    const own = panel?.jumps ?? (panel?.log ? marks(panel.log) : []);
    return own.map((mark) => ({ ...mark, step: placeOf(panel, this.panels, mark.step, this.mode) }));
  }

  #setMode(mode) {
    const held = this.#held();
    this.mode = mode;
    for (const [name, button] of Object.entries(this.modes)) button.setAttribute("aria-pressed", String(name === mode));
    if (this.panels.length) this.#stay(held);
  }

  #held() {
    const { player, panels } = this;
    return { panel: panels[0], isAtEnd: player.following || player.cursor >= player.length - 1 };
  }

  #stay({ panel, isAtEnd }) {
    const { player, panels, mode } = this;
    const one = panels.includes(panel) ? panel : panels[0];
    const step = Math.max(0, Math.min(one.cursor, one.length - 1));
    player.length = places(panels, mode);
    player.cursor = isAtEnd ? player.length - 1 : placeOf(one, panels, step, mode);
    player.grow(player.length);
    this.#seekAll();
  }

  #seekAll() {
    const { panels, player, mode } = this;
    for (const panel of panels) panel.cursor = player.following ? panel.length - 1 : stepAt(panel, panels, player.cursor, mode);
    this.moved();
  }

  #words(at, length) {
    if (this.mode === "second") return `${seconds(secondsAt(this.panels, at))} of ${seconds(secondsAt(this.panels, length - 1))}`;
    return `${this.unit} ${at} of ${length - 1}`;
  }
}
