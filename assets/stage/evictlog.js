// Every eviction up to the cursor with its reason, newest first; of thousands only those in sight are in the document.

import { el, mark } from "./dom.js";
import { factOf, numBefore, numEvicted } from "./evictfacts.js";
import { count, plural, visibleToken } from "./format.js";

export const KEYS = [
  { keys: "↑ ↓", words: "the eviction above or below", where: "in the evictions" },
  { keys: "PageUp PageDown", words: "ten up, ten down", where: "in the evictions" },
  { keys: "Home End", words: "the newest, the oldest", where: "in the evictions" },
  { keys: "Enter", words: "go to its step and light its token", where: "in the evictions" },
];
const HEIGHT = 40; // pixels of a row
const SPARE = 4; // rows above and below those in sight
const FAR = 10;

/** Indices into `log.evictions`, by layer (null: of all layers); grown with the log. */
export class EvictionIndex {
  constructor(log) {
    this.log = log;
    this.length = 0;
    this.byLayer = new Map();
  }

  /** Those of `layer` up to step `cursor`, oldest first: `{list, count}`, the first `count` of `list`. */
  until(cursor, layer) {
    const { log } = this;
    for (; this.length < log.evictions.length; this.length++) {
      for (const key of [null, log.evictions[this.length].layer]) {
        if (!this.byLayer.has(key)) this.byLayer.set(key, []);
        this.byLayer.get(key).push(this.length);
      }
    }
    const list = this.byLayer.get(layer) ?? [];
    const end = numEvicted(log, cursor);
    return { list, count: numBefore(list, (index) => index >= end) };
  }
}

export class EvictionList {
  /** `go(event)`: an eviction was chosen, an entry of `log.evictions`; `point(code)`. */
  constructor(host, actions) {
    this.actions = actions;
    this.name = `fsv${Math.random().toString(36).slice(2, 8)}`;
    this.only = el("input", { type: "checkbox", class: "fs-evict-only", onchange: () => actions.invalidate() });
    this.note = el("span", { class: "fs-card-note" });
    this.word = el("span", {});
    this.space = el("div", { class: "fs-evict-space", role: "presentation" });
    this.root = el("div", { class: "fs-evict-list", role: "listbox", tabindex: 0, "aria-label": "Evictions, newest first" }, this.space);
    this.empty = el("p", { class: "fs-hint", text: "Nothing has left up to this step." });
    host.append(el("header", {}, el("h3", { text: "Evictions" }), this.note, el("label", { class: "fs-evict-filter" }, this.only, this.word)), this.empty, this.root);
    this.rows = new Map(); // by place from the newest: {root, index}
    this.root.addEventListener("scroll", () => this.#window(), { passive: true });
    this.root.addEventListener("keydown", (event) => this.#key(event));
    this.root.addEventListener("click", (event) => {
      const row = event.target.closest("[data-index]");
      if (row) this.#choose(Number(row.dataset.index));
    });
    new ResizeObserver(() => this.#window()).observe(this.root);
    this.reset(null);
  }

  reset(log) {
    this.log = log;
    this.index = log ? new EvictionIndex(log) : null;
    this.active = null; // an index into log.evictions
    this.found = { list: [], count: 0 };
    for (const { root } of this.rows.values()) root.remove();
    this.rows.clear();
    this.key = "";
  }

  draw({ log, state, layer }) {
    const only = this.only.checked ? layer : null;
    this.found = this.index.until(state.cursor, only);
    const all = only === null ? this.found.count : this.index.until(state.cursor, null).count;
    this.note.textContent = only === null ? plural(all, "slot") + " so far" : `${count(this.found.count)} of ${count(all)} so far`;
    this.word.textContent = `only layer ${layer}`;
    this.empty.hidden = this.found.count > 0;
    this.root.hidden = !this.found.count;
    const key = `${this.found.count} ${only} ${log.length} ${state.cursor}`;
    if (key === this.key) return;
    this.key = key;
    this.cursor = state.cursor;
    this.space.style.height = `${this.found.count * HEIGHT}px`;
    this.#window();
  }

  #at(place) {
    return this.found.list[this.found.count - 1 - place];
  }

  #window() {
    if (!this.log || this.root.hidden) return;
    const first = Math.max(0, Math.floor(this.root.scrollTop / HEIGHT) - SPARE);
    const last = Math.min(this.found.count, Math.ceil((this.root.scrollTop + (this.root.clientHeight || 240)) / HEIGHT) + SPARE);
    for (const [place, { root }] of this.rows) {
      if (place >= first && place < last) continue;
      root.remove();
      this.rows.delete(place);
    }
    this.root.removeAttribute("aria-activedescendant");
    for (let place = first; place < last; place++) this.#row(place);
  }

  #row(place) {
    const index = this.#at(place);
    const known = this.rows.get(place) ?? this.#add(place);
    known.root.setAttribute("aria-selected", String(index === this.active));
    known.root.classList.toggle("is-now", this.log.evictions[index].step === this.cursor);
    mark(known.root, "aria-setsize", String(this.found.count));
    if (index === this.active) this.root.setAttribute("aria-activedescendant", known.root.id);
    if (known.index === index) return;
    known.index = index;
    const { step, layer, token, at, of } = this.log.evictions[index];
    const fact = factOf(this.log, token);
    known.root.dataset.index = index;
    known.root.setAttribute("aria-posinset", place + 1);
    known.name.textContent = `“${visibleToken(of.texts[at], fact?.raw ?? "")}”`;
    known.where.textContent = ` at ${count(of.positions[at])} left ${this.log.lastOf.size < 2 ? "" : `${pathWords(of.paths[at])} · `}layer ${layer} · step ${count(step)}`;
    known.why.textContent = of.reasons[at];
    known.root.title = `${of.reasons[at]}; rank ${count(of.ranks[at])} of what could go`;
  }

  #add(place) {
    const parts = { name: el("b", {}), where: el("span", {}), why: el("span", { class: "fs-why" }), index: null };
    parts.root = el("div", { class: "fs-evict-row", role: "option", id: `${this.name}-${place}`, "aria-selected": "false" }, el("div", {}, parts.name, parts.where), parts.why);
    parts.root.style.top = `${place * HEIGHT}px`;
    this.rows.set(place, parts);
    this.space.append(parts.root);
    return parts;
  }

  #choose(index) {
    this.active = index;
    this.key = "";
    this.actions.go(this.log.evictions[index]);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.found.count) return;
    const last = this.found.count - 1;
    const at = this.active === null ? -1 : this.found.list.indexOf(this.active);
    const place = at < 0 ? -1 : Math.max(-1, last - at); // -1: not among those that are listed
    const to = { ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + FAR, PageUp: place - FAR, Home: 0, End: last }[event.key];
    if (event.key === "Enter" && place >= 0) this.actions.go(this.log.evictions[this.active]);
    else if (to !== undefined) this.#move(Math.max(0, Math.min(last, to)));
    else return;
    event.preventDefault();
  }

  #move(place) {
    this.active = this.#at(place);
    const top = place * HEIGHT;
    const { scrollTop, clientHeight } = this.root;
    if (top < scrollTop) this.root.scrollTop = top;
    else if (top + HEIGHT > scrollTop + clientHeight) this.root.scrollTop = top + HEIGHT - clientHeight;
    this.#window();
    this.actions.point(this.log.evictions[this.active].token);
  }
}

function pathWords(paths) {
  return paths.length === 1 ? `path ${paths[0]}` : paths.length > 4 ? plural(paths.length, "path") : `paths ${paths.join(", ")}`;
}
