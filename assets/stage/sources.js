// Runs that the board can be given without running anything: the page's recorded ones, and those of this visit.

import { parseTrace } from "./log.js";
import { page } from "./page.js";
import { textOf } from "./runs.js";

/** `[{group, id, title, note, load}]`; `load()` is a promise of the run's log. */
export function sources() {
  const recorded = (page.recorded ?? []).map((entry) => ({
    group: "Recorded runs", id: `recorded:${entry.name}`, title: entry.title, note: entry.blurb,
    load: async () => parseTrace(await textOf(entry), entry.title),
  }));
  const known = new Set(recorded.map(({ id }) => id));
  const visited = (page.history?.entries ?? []).filter(({ key, log, badge }) => !known.has(key) && log.length && badge !== "live").map((entry) => ({
    group: "Runs of this visit", id: `visit:${entry.id}`, title: entry.title, note: entry.note, load: async () => entry.log,
  }));
  return [...recorded, ...visited];
}
