// The blocks of a prefix cache as a forest: a text runs to the right, what follows on the same beginning stands below it.

import { slotColor } from "./color.js";
import { inkOn, mix } from "./contrast.js";
import { el, keptSize, mark, say, svg } from "./dom.js";
import { onHover } from "./hover.js";
import { endsAt, layoutOf, pastOf, tailsAt, tailsOf, usersOf } from "./reusestate.js";
import { blockWords, numbers, readable, turnWords } from "./reusewords.js";

export const KEYS = [
  { keys: "→ ←", words: "the block after it, the block before it", where: "in the blocks of Reuse" },
  { keys: "↑ ↓", words: "the block above or below", where: "in the blocks of Reuse" },
  { keys: "Enter", words: "keep the block in focus", where: "in the blocks of Reuse" },
];
const HEIGHTS = [[6, 56], [9, 43], [16, 30], [Infinity, 22]]; // up to so many rows with blocks: pixels of one
const TAILS = [[6, 41], [12, 29], [Infinity, 22]]; // the same of rows without
const LEAST = 4.2; // pixels of a token, below which the picture scrolls,
const MOST = 11; // ... and above which it does not fill its card
const GAP = 5; // pixels on either side of a block
const ABOVE = 12; // of a row, for the numbers on its blocks
const TOP = 26; // for the scale
const PALE = 0.62; // share of the ground in the colour of what has been idle longest
const LONGEST = 9; // characters of the numbers on a block
const NUMBERED = 3; // blocks that leave next and are numbered

export class Forest {
  /** `actions`: `point(id)` with null for none, `pin(id)`, `pointRequest(n)`. */
  constructor(host, actions) {
    this.actions = actions;
    this.name = `fsr${Math.random().toString(36).slice(2, 8)}`;
    this.lines = svg("svg", { class: "fs-reuse-lines", "aria-hidden": "true" });
    this.space = el("div", { class: "fs-reuse-space", role: "tree", tabindex: 0, "aria-label": "Blocks of the prefix cache" }, this.lines);
    this.box = el("div", { class: "fs-reuse-forest" }, this.space);
    this.about = el("p", { class: "fs-reuse-about" });
    host.append(this.box, this.about);
    this.size = keptSize(this.box);
    new ResizeObserver(() => actions.invalidate()).observe(this.box);
    const idOf = (event) => {
      const cell = event.target.closest?.("[data-block]");
      return cell ? Number(cell.dataset.block) : null;
    };
    onHover(this.space, (event) => {
      const tail = event.target.closest?.("[data-tail]");
      if (tail) actions.pointRequest(Number(tail.dataset.tail));
      else actions.point(idOf(event));
    }, () => actions.point(null));
    this.space.addEventListener("click", (event) => actions.pin(idOf(event)));
    this.space.addEventListener("keydown", (event) => this.#key(event));
    this.space.addEventListener("blur", () => actions.point(null));
    this.reset();
  }

  /** Another record is shown. */
  reset() {
    this.cells = new Map(); // block, or key of a tail -> its elements
    this.layout = null;
    this.state = null;
    this.space.replaceChildren(this.lines);
    this.lined = this.told = "";
  }

  /** `lit`: blocks that something in focus is about, or null; `at`: the block in focus, or null. */
  draw({ record, state, colors, lit, litRequests, at }) {
    Object.assign(this, { record, state });
    if (!this.size.width) return;
    const known = tailsOf(record);
    this.layout = layoutOf(record, state, known);
    const tails = tailsAt(record, state, known).filter(([{ key }]) => this.layout.at.has(key));
    this.#scale();
    const ends = endsAt(record, state, new Set(tails.flatMap(([, requests]) => requests)));
    const shown = new Set([...state.held.keys(), ...state.gone, ...state.pending, ...pastOf(record, state)].filter((id) => this.layout.at.has(id)));
    for (const [id, cell] of this.cells) {
      if (shown.has(id) || tails.some(([{ key }]) => key === id)) continue;
      cell.root.remove();
      this.cells.delete(id);
    }
    for (const id of shown) this.#cell(id, { colors, lit, at, ends: ends.get(id) ?? [] });
    for (const [tail, requests] of tails) this.#tail(tail, requests, litRequests);
    this.#lines(shown, tails, lit, litRequests);
    if (at !== null && this.cells.has(at)) mark(this.space, "aria-activedescendant", `${this.name}${at}`);
    else this.space.removeAttribute("aria-activedescendant");
    this.#tell(at);
  }

  /** Pixels of a token and of a row, and the scale above. */
  #scale() {
    const { at, rows, tokens } = this.layout;
    const withBlocks = new Set([...at].filter(([key]) => typeof key === "number").map(([, { row }]) => row));
    const [, high] = HEIGHTS.find(([most]) => withBlocks.size <= most);
    const [, low] = TAILS.find(([most]) => rows - withBlocks.size <= most);
    this.each = Math.max(LEAST, Math.min(MOST, (this.size.width - 2) / Math.max(1, tokens)));
    this.highs = Array.from({ length: Math.max(1, rows) }, (_, row) => (withBlocks.has(row) ? high : Math.min(low, high)));
    this.tops = [];
    const end = this.highs.reduce((top, own) => this.tops.push(top) && top + own, TOP);
    this.space.style.width = `${Math.ceil(this.each * tokens)}px`;
    this.space.style.height = `${end}px`;
  }

  #cell(id, { colors, lit, at, ends }) {
    const { state, record } = this;
    const place = this.layout.at.get(id);
    const held = state.held.get(id);
    const cell = this.cells.get(id) ?? this.#add(id);
    const users = usersOf(record, id, state.cursor).length;
    const { left, width } = this.#box(place);
    const looks = [
      state.found.has(id) ? "is-found" : "", state.fresh.has(id) ? "is-fresh" : "", held?.pins ? "is-pinned" : "", held ? "" : state.gone.includes(id) ? "is-left" : state.pending.includes(id) ? "is-pending" : "is-past",
      this.isBounded && held?.turn === 0 ? "is-next" : "", lit?.has(id) ? "is-lit" : lit ? "is-dim" : "", id === at ? "is-at" : "",
    ].filter(Boolean).join(" ");
    const fill = held ? mix(slotColor(users, colors), colors.surface, PALE * held.pale) : "";
    const key = [left, this.tops[place.row], width, this.highs[place.row], looks, fill, held?.turn, ends].join();
    if (cell.key === key) return;
    cell.key = key;
    this.#put(cell, place);
    Object.assign(cell.root.style, { backgroundColor: fill, color: held ? inkOn(fill) : "" });
    mark(cell.root, "class", `fs-reuse-block ${looks}`);
    mark(cell.root, "data-users", String(users));
    mark(cell.root, "aria-selected", String(id === at));
    cell.text.hidden = width < 26 || this.highs[place.row] < 26 || looks.includes("is-past");
    const turn = this.isBounded && held && !held.pins && held.turn !== null && held.turn < NUMBERED ? String(held.turn + 1) : "";
    say(cell.turn, turn);
    cell.turn.hidden = !turn || width < 14;
    say(cell.ends, ends.length ? few(ends) : "");
    cell.ends.hidden = !ends.length;
    mark(cell.root, "aria-label", this.#label(id, held, users));
  }

  #box({ from, tokens }) {
    const left = from * this.each + (from ? GAP : 1);
    return { left, width: Math.max(3, (from + tokens) * this.each - left - GAP) };
  }

  #put({ root }, place) {
    const { left, width } = this.#box(place);
    Object.assign(root.style, { left: `${left}px`, top: `${this.tops[place.row]}px`, width: `${width}px`, height: `${this.highs[place.row] - ABOVE}px` });
    root.style.setProperty("--lines", Math.max(1, Math.floor((this.highs[place.row] - ABOVE - 2) / 12.5)));
  }

  /** The end of a prompt that was computed and is not kept. */
  #tail(tail, requests, lit) {
    const place = this.layout.at.get(tail.key);
    const how = lit ? (requests.some((n) => lit.has(n)) ? "is-lit" : "is-dim") : "";
    const cell = this.cells.get(tail.key) ?? this.#made(tail.key, tail.text, { "data-tail": requests[0] });
    const key = [this.tops[place.row], this.highs[place.row], place.from, this.each, requests, how].join();
    if (cell.key === key) return;
    cell.key = key;
    this.#put(cell, place);
    mark(cell.root, "class", `fs-reuse-block is-tail ${how}`);
    mark(cell.root, "aria-label", `Computed, not kept, at the end of ${requests.length === 1 ? "request" : "requests"} ${numbers(requests)}: ${readable(tail.text)}`);
    cell.text.hidden = this.#box(place).width < 22 || this.highs[place.row] < 26;
    say(cell.ends, few(requests));
    cell.ends.hidden = false;
  }

  #label(id, held, users) {
    const { state, record } = this;
    const { text, depth } = record.blocks[id];
    const what = [state.found.has(id) ? "found now" : "", state.fresh.has(id) ? "new now" : "", held ? turnWords(held) : state.gone.includes(id) ? "leaves now" : state.pending.includes(id) ? "not computed yet" : "left before"].filter(Boolean).join(", ");
    return `Block ${depth + 1} of its text, in ${users} ${users === 1 ? "prompt" : "prompts"}, ${what}: ${readable(text)}`;
  }

  /** Whether anything will have to leave: else nobody is next. */
  get isBounded() {
    const { moment } = this.state;
    return typeof moment?.capacity_blocks === "number" || (typeof moment?.capacity_nbytes === "number" && moment.stats.nbytes > moment.capacity_nbytes / 2);
  }

  #add(id) {
    const { text, depth } = this.record.blocks[id];
    return this.#made(id, text, { id: `${this.name}${id}`, "data-block": id, "aria-level": depth + 1, "aria-selected": "false" });
  }

  #made(key, text, attributes) {
    const cell = {
      text: el("span", { class: "fs-reuse-text", text: readable(text).trim() }),
      turn: el("b", { class: "fs-reuse-turn", "aria-hidden": "true", hidden: true }),
      ends: el("i", { class: "fs-reuse-ends", "aria-hidden": "true", hidden: true }),
      key: "",
    };
    cell.root = el("div", { class: "fs-reuse-block", role: "treeitem", ...attributes }, cell.text, cell.turn, cell.ends);
    this.cells.set(key, cell);
    this.space.append(cell.root);
    return cell;
  }

  /** From a block to those that follow it, and the scale in tokens. */
  #lines(shown, tails, lit, litRequests) {
    const { record, layout, each } = this;
    const isHere = (id) => shown.has(id) && !this.cells.get(id).root.classList.contains("is-past");
    const edges = [...shown].filter((id) => isHere(id) && isHere(record.blocks[id].parent)).map((id) => ({ id, parent: record.blocks[id].parent, isLit: lit?.has(id) }));
    for (const [{ key: id, parent }, requests] of tails) if (parent !== null) edges.push({ id, parent, isLit: lit?.has(parent) && requests.some((n) => litRequests.has(n)) });
    const key = [each, this.tops, layout.tokens, JSON.stringify(edges)].join();
    if (key === this.lined) return;
    this.lined = key;
    const middle = (row) => this.tops[row] + (this.highs[row] - ABOVE) / 2;
    const paths = edges.map(({ id, parent, isLit }) => {
      const [to, from] = [layout.at.get(id), layout.at.get(parent)];
      const [x, y0, y1] = [to.from * each, middle(from.row), middle(to.row)];
      const way = to.row === from.row ? `M${x - GAP} ${y0}H${x + GAP}` : `M${x - GAP} ${y0}H${x}V${y1 - 5}Q${x} ${y1} ${x + GAP} ${y1}`;
      return svg("path", { class: isLit ? "is-lit" : "", d: way });
    });
    const { block_size: size } = record.start;
    const apart = size * Math.max(1, Math.ceil(54 / (size * each)));
    const ticks = Array.from({ length: Math.floor(layout.tokens / apart) + 1 }, (_, at) => {
      const isLast = at * apart === layout.tokens;
      return svg("text", { x: Math.max(1, at * apart * each), y: 10, "text-anchor": !at ? "start" : isLast ? "end" : "middle", text: at ? String(at * apart) : "0 tokens" });
    });
    this.lines.replaceChildren(...paths.filter((path) => !path.classList.contains("is-lit")), ...paths.filter((path) => path.classList.contains("is-lit")), ...ticks);
  }

  #tell(id) {
    const place = id === null ? null : this.layout.at.get(id);
    const words = place ? blockWords(this.record, this.state, id, place) : null;
    const key = words ? `${words.text}\n${words.facts}` : "";
    if (key === this.told && this.about.childElementCount) return;
    this.told = key;
    this.about.replaceChildren(...(words ? [el("strong", { text: `“${words.text.trim()}”` }), el("span", { text: ` ${words.facts}` })]
      : [el("span", { class: "fs-hint", text: "A row is a text, from left to right; what begins alike is one trunk. The small numbers are requests, at the end of theirs. Point at a block for all of it." })]));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.layout || !this.cells.size) return;
    const { at } = this.layout;
    const now = this.actions.focused();
    const ids = [...this.cells.keys()].filter((id) => at.has(id) && typeof id === "number").sort((a, b) => at.get(a).row - at.get(b).row || at.get(a).from - at.get(b).from);
    const parent = (id) => this.record.blocks[id].parent ?? null;
    const beside = (way) => {
      const near = ids.filter((id) => (at.get(id).row - at.get(now).row) * way > 0);
      return near.sort((a, b) => (at.get(a).row - at.get(b).row) * way || Math.abs(at.get(a).from - at.get(now).from) - Math.abs(at.get(b).from - at.get(now).from))[0];
    };
    const moves = {
      ArrowRight: () => ids.find((id) => parent(id) === now), ArrowLeft: () => (this.cells.has(parent(now)) ? parent(now) : undefined),
      ArrowUp: () => beside(-1), ArrowDown: () => beside(1),
    };
    if (event.key === "Enter") this.actions.pin(now);
    else if (!moves[event.key]) return;
    else {
      const to = now !== null && this.cells.has(now) ? moves[event.key]() : ids[0];
      if (to !== undefined) {
        this.actions.point(to);
        this.cells.get(to).root.scrollIntoView({ block: "nearest", inline: "nearest" });
      }
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Requests by their numbers, many of them by how many they are. */
function few(requests) {
  const words = numbers(requests);
  return words.length > LONGEST ? `×${requests.length}` : words;
}
