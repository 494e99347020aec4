// The board of a comparison: a panel a run, one cursor over all, what it comes to when runs have ended.

import { Board, attachBoard } from "./board.js";
import { ORDER, RUNS, WORDS, build, introduce, notesOf } from "./compareparts.js";
import { resultOf } from "./counters.js";
import { Curves } from "./curves.js";
import { plural } from "./format.js";
import { Panel, sharedScale } from "./panel.js";
import { Picker } from "./picker.js";
import { Places } from "./places.js";
import { Pointing } from "./pointing.js";
import { tellPlace } from "./race.js";
import { Results } from "./results.js";
import { MOST_RUNS, sideBySide } from "./sidebyside.js";
import { sources } from "./sources.js";

const HEIGHTS = [140, 184, 420]; // pixels of the panels' trees: least, usual, most

/** `backends`: `[{name, title, about}]`, all there are. */
export function attach(host, backends) {
  attachBoard("compare", host, (element, heal) => new Comparison(element, heal, backends));
}

class Comparison extends Board {
  constructor(host, heal, backends) {
    const parts = build();
    super(host, { name: "compare", parts, heal, words: WORDS, area: parts.panels });
    this.backends = new Map(backends.map((one) => [one.name, one]));
    this.height = HEIGHTS[1];
    parts.panels.append(...backends.map(introduce));
    this.pointing = new Pointing(() => this.panels, () => this.invalidate());
    this.places = new Places(parts, () => this.#placed());
    const seek = (panel, step) => this.cursor.seek(panel, step);
    this.curves = new Curves(parts.curves, { seek });
    this.results = new Results(parts, (panel, node) => this.#showNode(panel, node));
    this.picker = new Picker(parts.picker, { sources, show: (entries) => this.showRuns(entries), say: (words) => this.words.say(words), refuse: (words) => this.words.alert(words) });
    this.callbacks = {
      seek, point: (panel, id) => this.pointing.point(panel, id), select: (panel, id) => this.pointing.pin(panel, id),
      act: (panel, deed) => this.places.act(panel, deed), drop: (key, onto) => this.places.drop(key, onto),
    };
  }

  /** The panels that are shown, in their order; `all` holds hidden ones as well. */
  get panels() {
    return this.places.shown;
  }

  get active() {
    return this.pointing.active;
  }

  /** Hold 2 to 4 of `{title, note, log}` against each other, from their logs alone. Whether they are shown. */
  showRuns(entries) {
    const runs = this.admit(entries, { least: 2, most: MOST_RUNS, few: "Choose at least two runs that have a step." });
    if (!runs) return false;
    this.warmUp = null;
    const { kinds, heading, note } = sideBySide(runs);
    this.#fill(kinds, RUNS, { live: false });
    this.all.forEach((panel, at) => {
      panel.show(runs[at].log, "recorded");
      panel.result = resultOf(panel.log);
    });
    this.results.digests(this.all, () => this.#conclude());
    this.words.title(heading, note);
    return this.atEnd(`${plural(runs.length, "run")} side by side.`);
  }

  open(files) {
    this.picker.open(files);
  }

  get tree() {
    const panel = this.active;
    return {
      root: panel?.parts.tree, selected: this.pointing.pinnedIn(panel), layout: panel?.silhouette.layout,
      zoom: (factor) => this.#resize(this.height * factor),
    };
  }

  select(subject) {
    this.pointing.select(subject?.id ?? null);
  }

  fit() {
    this.#resize(HEIGHTS[1]);
  }

  resized() {
    for (const panel of this.all) panel.invalidate();
    this.invalidate();
  }

  paint() {
    this.picker.refresh();
    const { panels } = this;
    const scale = sharedScale(panels, this.player.isLive);
    for (const panel of panels) panel.draw(this.colors, scale, this.pointing.litIn(panel));
    this.curves.draw(panels, this.cursor.mode);
    this.tell(this.parts.race, tellPlace(panels, this.player.cursor, this.cursor.mode));
  }

  start({ order }) {
    this.warmUp = null;
    this.#fill(order.map((name, at) => {
      const { title, about } = this.backends.get(name);
      return { key: name, title, word: title.toLowerCase(), about, sign: String(at + 1), data: { "data-backend": name }, isTree: name !== "naive" };
    }), ORDER, { live: true });
  }

  told({ batch, summary }) {
    if (batch?.seq === 0) this.words.describe(batch);
    if (summary) this.#summarize(summary);
  }

  grown() {
    this.cursor.grow();
    this.#conclude();
  }

  /** New panels in the place of the old ones. */
  #fill(kinds, order, how) {
    this.areBackends = how.live;
    this.notes = [];
    this.pointing.clear();
    this.results.reset();
    this.begin(kinds.map((kind) => new Panel(kind, this.callbacks)), how);
    this.parts.order.textContent = order;
    this.places.fill(this.all);
  }

  #placed() {
    this.cursor.show(this.panels);
    this.#conclude();
  }

  /** Figures of the backends that have ended, as Python gives them. */
  #summarize(summary) {
    this.warmUp = summary.equal.warm_up;
    for (const panel of this.all) {
      panel.result = summary.runs[panel.key] ?? null;
      if (panel.result) panel.setDigest(panel.result.tree_digest);
    }
    this.notes = notesOf(summary);
  }

  /** Same tree or not, and the figures of what has ended. */
  #conclude() {
    const { shown, reference } = this.places;
    this.results.compareTrees(shown, reference, this.areBackends);
    this.results.draw(shown, reference, { warmUp: this.warmUp, notes: this.notes, isEnded: !this.player.isLive });
    this.invalidate();
  }

  /** Go to where a token was made, and pin it. */
  #showNode(panel, node) {
    this.cursor.seek(panel, panel.log.node(node).step);
    this.pointing.pin(panel, node);
    panel.parts.tree.focus();
  }

  #resize(height) {
    this.height = Math.max(HEIGHTS[0], Math.min(HEIGHTS[2], height));
    this.parts.root.style.setProperty("--fs-tree-height", `${Math.round(this.height)}px`);
    this.resized();
  }
}
