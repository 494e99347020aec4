// The runs of this visit, as data: what is kept, in which order, what goes first. No DOM.

import { count, plural, visibleToken } from "./format.js";

export const MOST_RUNS = 24;
export const MOST_NODES = 60_000;

/**
 * An entry: `{id, key, log, title, note, badge, details, cursor, origin, from, opened}`. `key` names what it is a
 * run of ("recorded:story", or null), `origin` the words of where it came from, `from` the id of that entry,
 * `opened` the turn in which a person last came back to it (0: never).
 */
export class History {
  /** `changed()` is called when the list is another one, or an entry of it is. */
  constructor(changed = () => {}, { runs = MOST_RUNS, nodes = MOST_NODES } = {}) {
    this.changed = changed;
    this.bounds = { runs, nodes };
    this.entries = []; // newest first
    this.current = null; // the entry on the stage
    this.dropped = 0; // let go for want of room
    this.turn = 0;
    this.added = 0;
  }

  find(id) {
    return this.entries.find((entry) => entry.id === id) ?? null;
  }

  /**
   * The run that was made at `created`: of several made in that second, the one that `log` is known to come from,
   * else the one on the stage.
   */
  made(created, log = null) {
    const known = log && this.entries.find((entry) => entry.log === log);
    const all = this.entries.filter((entry) => entry.log.header.created === created);
    return all.find((entry) => entry.id === known?.from) ?? all.find((entry) => entry === this.current) ?? all[0] ?? null;
  }

  /** The entry of this run: the one that has its log or its key, else a new one. It is the current one now. */
  add(run) {
    const known = this.entries.find((entry) => entry.log === run.log || (run.key && entry.key === run.key));
    const entry = known ?? { id: `run-${(this.added += 1)}`, opened: 0, cursor: -1 };
    if (known) {
      const { title } = known; // it may have been renamed
      Object.assign(entry, run, { title, opened: (this.turn += 1) });
    } else {
      const from = this.made(run.log.header.origin?.created);
      Object.assign(entry, { key: null, note: "", details: {}, from: from?.id ?? null, origin: originWords(run.log.header, from) }, run);
      this.entries.unshift(entry);
    }
    this.current = entry;
    this.#bound();
    this.changed();
    return entry;
  }

  /** Take an entry out; the returned function puts it back where it was. */
  remove(id) {
    const at = this.entries.findIndex((entry) => entry.id === id);
    if (at < 0) return null;
    const [entry] = this.entries.splice(at, 1);
    const wasCurrent = this.current === entry;
    if (wasCurrent) this.current = null;
    this.changed();
    return () => {
      this.entries.splice(Math.min(at, this.entries.length), 0, entry);
      if (wasCurrent && !this.current) this.current = entry;
      this.#bound();
      this.changed();
    };
  }

  /** Another title, of at most 90 characters; a blank one changes nothing. */
  rename(id, title) {
    const entry = this.find(id);
    const words = title.replace(/\s+/g, " ").trim().slice(0, 90);
    if (!entry || !words || words === entry.title) return false;
    entry.title = words;
    this.changed();
    return true;
  }

  /** What has grown may be too much; called while a run grows, and when it has ended. */
  grown() {
    if (this.#bound()) this.changed();
  }

  /** Let the oldest go that nobody came back to, then those not come back to for longest; never the current one. */
  #bound() {
    const leaving = excess(this.entries, this.current, this.bounds);
    this.entries = this.entries.filter((entry) => !leaving.includes(entry));
    this.dropped += leaving.length;
    return leaving.length > 0;
  }
}

/** Entries that must go so that at most `runs` and `nodes` stay; the current one stays whatever its size. */
export function excess(entries, current, { runs, nodes }) {
  const age = new Map([...entries].reverse().map((entry, at) => [entry, at]));
  const order = entries.filter((entry) => entry !== current)
    .sort((a, b) => a.opened - b.opened || age.get(a) - age.get(b));
  let [kept, held] = [entries.length, entries.reduce((sum, entry) => sum + entry.log.nodes.length, 0)];
  const leaving = [];
  for (const entry of order) {
    if (kept <= runs && held <= nodes) break;
    leaving.push(entry);
    kept -= 1;
    held -= entry.log.nodes.length;
  }
  return leaving;
}

/** One line on a run: threshold, the paths that live or were returned, backend. */
export function lineOf(log) {
  const { branching, cache, eviction } = log.header.config;
  const ended = new Set(log.ends.map((end) => end.path));
  const returned = log.ends.filter((end) => end.status !== "pruned").length;
  const live = log.head.isOver ? 0 : log.head.rows.filter((row) => !ended.has(row.path)).length;
  return `τ ${Number(branching.entropy_threshold.toFixed(4))} · ${plural(returned + live, "path")} · ${cache.backend}${eviction?.policy ? ` · ${eviction.policy} ${eviction.budget ?? eviction.layer_budgets.join(",")}` : ""}`;
}

/** Where a run came from: "from “A story”, “·dragon” forced"; "" of one that was not made from another. */
export function originWords(header, from = null) {
  const { origin } = header;
  if (!origin) return "";
  return `from ${from ? `“${from.title}”` : "another run"}, ${CHANGES[origin.kind]?.(header) ?? origin.kind}`;
}

const CHANGES = {
  forced: ({ origin }) => `“${visibleToken(origin.text)}” forced`,
  grown: ({ origin }) => `grown from “${visibleToken(origin.text)}”`,
  threshold: ({ config }) => `at threshold ${Number(config.branching.entropy_threshold.toFixed(4))}`,
};

/** What was let go, in one line; "" where nothing was. */
export function droppedWords(dropped, { runs, nodes } = { runs: MOST_RUNS, nodes: MOST_NODES }) {
  if (!dropped) return "";
  return `${plural(dropped, "older run")} let go: the newest ${count(runs)}, or ${count(nodes)} tokens, are kept.`;
}
