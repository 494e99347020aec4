// The blocks of a prefix cache as a forest: a text runs to the right, what follows on the same beginning stands below it.

import { slotColor } from "./color.js";
import { inkOn, mix } from "./contrast.js";
import { el, keptSize, mark, say, svg } from "./dom.js";
import { count } from "./format.js";
import { onHover } from "./hover.js";
import { endsAt, layoutOf, pastOf, tailsAt, tailsOf, usersOf } from "./reusestate.js";
import { blockWords, numbers, readable, turnWords } from "./reusewords.js";

export const KEYS = [
  { keys: "→ ←", words: "the block after it, the block before it", where: "in the blocks of Reuse" },
  { keys: "↑ ↓", words: "the block above or below", where: "in the blocks of Reuse" },
  { keys: "Enter", words: "keep the block in focus", where: "in the blocks of Reuse" },
];
const HEIGHTS = [[4, 56], [9, 43], [16, 30], [Infinity, 22]]; // up to so many rows with blocks: pixels of one
const TAILS = [[6, 29], [12, 27], [Infinity, 22]]; // the same of rows without
const LEAST = 4.2; // pixels of a token, below which the picture scrolls,
const MOST = 11; // ... and above which it does not fill its card
const GAP = 5; // pixels on either side of a block
const ABOVE = 12; // of a row, for the numbers on its blocks
const TOP = 26; // for the scale
const PALE = 0.62; // share of the ground in the colour of what has been idle longest
const LONGEST = 9; // characters of the numbers on a block
const NUMBERED = 3; // blocks that leave next and are numbered
const MOVING = 300; // blocks, beyond which they do not glide to their places
const NEAR = 6; // pixels between a block and its tip
const DOCK = 110; // of the player's, at the foot of the window
const TICKS = 200; // of the scale, at most

export class Forest {
  /** `actions`: `point(id)` with null for none, `pin(id)`, `pointRequest(n)`. */
  constructor(host, actions) {
    this.actions = actions;
    this.name = `fsr${Math.random().toString(36).slice(2, 8)}`;
    this.edges = svg("path");
    this.litEdges = svg("path", { class: "is-lit" });
    this.lines = svg("svg", { class: "fs-reuse-lines", "aria-hidden": "true" });
    this.space = el("div", { class: "fs-reuse-space", role: "tree", tabindex: 0, "aria-label": "Blocks of the prefix cache" }, this.lines);
    this.box = el("div", { class: "fs-reuse-forest" }, this.space);
    this.about = el("p", { class: "fs-reuse-about" });
    this.tip = el("p", { class: "fs-reuse-tip", "aria-hidden": "true", hidden: true }); // what stands below has it in words
    this.rest = el("p", { class: "fs-fine", hidden: true });
    this.aside = el("p", { class: "fs-fine fs-reuse-aside", text: "The picture goes on to the right: scroll it sideways.", hidden: true });
    host.append(this.aside, this.box, this.rest, this.about, this.tip);
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
    this.layout = this.state = this.chosen = null;
    this.space.replaceChildren(this.lines);
    this.scaled = this.told = "";
  }

  /** `lit`: blocks that something in focus is about, or null; `at`: the block in focus, or null. */
  draw({ record, state, colors, lit, litRequests, at }) {
    Object.assign(this, { record, state });
    if (!this.size.width) return;
    const known = tailsOf(record);
    this.layout = layoutOf(record, state, known);
    const tails = tailsAt(record, state, known).filter(([{ key }]) => this.layout.at.has(key));
    const ends = endsAt(record, state, new Set(tails.flatMap(([, requests]) => requests)));
    const shown = new Set([...state.held.keys(), ...state.gone, ...state.pending, ...pastOf(record, state)].filter((id) => this.layout.at.has(id)));
    const keys = new Set([...shown, ...tails.map(([{ key }]) => key)]);
    this.#scale(new Set([...keys].map((key) => this.layout.at.get(key).row)));
    for (const [key, cell] of this.cells) {
      if (keys.has(key)) continue;
      cell.root.remove();
      this.cells.delete(key);
    }
    this.gone = new Set(state.gone);
    this.pending = new Set(state.pending);
    this.space.classList.toggle("has-lit", lit !== null);
    this.space.classList.toggle("is-many", keys.size > MOVING);
    for (const id of shown) this.#cell(id, { colors, lit, at, ends: ends.get(id) ?? [] });
    for (const [tail, requests] of tails) this.#tail(tail, requests, litRequests);
    this.#lines(shown, tails, lit, litRequests);
    this.rest.hidden = !this.layout.left;
    say(this.rest, this.layout.left ? `${count(shown.size)} of ${count(shown.size + this.layout.left)} blocks are drawn; the record that is saved has all of them.` : "");
    this.#choose(this.cells.has(at) ? at : null);
    this.#tell(at);
    this.#tip(at);
  }

  /** Pixels of a token and of a row, and the scale above. `used`: rows with something in them; the others take none yet. */
  #scale(used) {
    const { at, rows, tokens } = this.layout;
    const withBlocks = new Set([...at].filter(([key]) => typeof key === "number").map(([, { row }]) => row));
    const [, high] = HEIGHTS.find(([most]) => withBlocks.size <= most);
    const [, low] = TAILS.find(([most]) => rows - withBlocks.size <= most);
    this.each = Math.max(LEAST, Math.min(MOST, (this.size.width - 2) / Math.max(1, tokens)));
    this.highs = Array.from({ length: Math.max(1, rows) }, (_, row) => (withBlocks.has(row) ? high : Math.min(low, high)));
    this.tops = [];
    this.highs.reduce((top, own, row) => this.tops.push(top) && top + (used.has(row) ? own : 0), TOP);
    const end = this.highs.reduce((top, own) => top + own, TOP); // of all rows: what stands below stays there
    this.space.style.width = `${Math.ceil(this.each * tokens)}px`;
    this.space.style.height = `${end}px`;
    const isWide = this.each * tokens > this.size.width + 2;
    this.aside.hidden = !isWide;
    this.box.classList.toggle("is-wide", isWide);
  }

  #cell(id, { colors, lit, at, ends }) {
    const { state, record } = this;
    const place = this.layout.at.get(id);
    const held = state.held.get(id);
    const cell = this.cells.get(id) ?? this.#add(id);
    const users = usersOf(record, id, state.cursor).length;
    const { left, width } = this.#box(place);
    const looks = [
      state.found.has(id) ? "is-found" : "", state.fresh.has(id) ? "is-fresh" : "", held?.pins ? "is-pinned" : "", held ? "" : this.gone.has(id) ? "is-left" : this.pending.has(id) ? "is-pending" : "is-past",
      this.isBounded && held?.turn === 0 ? "is-next" : "",
    ].filter(Boolean).join(" ");
    this.#light(cell, `fs-reuse-block ${looks}${lit?.has(id) ? " is-lit" : ""}${id === at ? " is-at" : ""}`);
    const fill = held ? mix(slotColor(users, colors), colors.surface, PALE * held.pale) : "";
    const key = [left, this.tops[place.row], width, this.highs[place.row], looks, fill, users, held?.pins, held?.turn, ends].join();
    if (cell.key === key) return;
    cell.key = key;
    this.#put(cell, place);
    Object.assign(cell.root.style, { backgroundColor: fill, color: held ? inkOn(fill) : "" });
    mark(cell.root, "data-users", String(users));
    cell.text.hidden = width < 26 || this.highs[place.row] < 26 || looks.includes("is-past");
    const turn = this.isBounded && held && !held.pins && held.turn !== null && held.turn < NUMBERED ? String(held.turn + 1) : "";
    say(cell.turn, turn);
    cell.turn.hidden = !turn || width < 14 || (ends.length > 0 && this.#isTight(width, place.row));
    say(cell.ends, ends.length ? few(ends) : "");
    cell.ends.hidden = !ends.length;
    mark(cell.root, "aria-label", this.#label(id, held, users, cell.words));
  }

  /** Whether a cell has no room for a number above and one below. */
  #isTight(width, row) {
    return width < 40 && this.highs[row] < 30;
  }

  /** How a cell looks, where that is another way than before. */
  #light(cell, looks) {
    if (cell.looks === looks) return;
    cell.looks = looks;
    cell.root.className = looks;
  }

  /** The keyboard's block, null: none of those that are drawn. */
  #choose(at) {
    const now = at === null ? null : this.cells.get(at).root;
    if (this.chosen === now) return;
    this.chosen?.removeAttribute("aria-selected");
    this.chosen = now;
    now?.setAttribute("aria-selected", "true");
    if (now) mark(this.space, "aria-activedescendant", now.id);
    else this.space.removeAttribute("aria-activedescendant");
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
    const cell = this.cells.get(tail.key) ?? this.#made(tail.key, tail.text, { "data-tail": requests[0], "aria-hidden": "true" }); // Prompt has it in words
    this.#light(cell, `fs-reuse-block is-tail${requests.some((n) => lit?.has(n)) ? " is-lit" : ""}`);
    const key = [this.tops[place.row], this.highs[place.row], place.from, this.each, requests].join();
    if (cell.key === key) return;
    cell.key = key;
    this.#put(cell, place);
    cell.text.hidden = this.#box(place).width < 22 || this.highs[place.row] < 26;
    say(cell.ends, few(requests));
    cell.ends.hidden = false;
  }

  #label(id, held, users, words) {
    const { state, record } = this;
    const { depth } = record.blocks[id];
    const what = [state.found.has(id) ? "found now" : "", state.fresh.has(id) ? "new now" : "", held ? turnWords(held) : this.gone.has(id) ? "leaves now" : this.pending.has(id) ? "not computed yet" : "left before"].filter(Boolean).join(", ");
    return `Block ${depth + 1} of its text, in ${users} ${users === 1 ? "prompt" : "prompts"}, ${what}: ${words}`;
  }

  /** Whether anything will have to leave: else nobody is next. */
  get isBounded() {
    const { moment } = this.state;
    return typeof moment?.capacity_blocks === "number" || (typeof moment?.capacity_nbytes === "number" && moment.stats.nbytes > moment.capacity_nbytes / 2);
  }

  #add(id) {
    const { text, depth } = this.record.blocks[id];
    return this.#made(id, text, { role: "treeitem", id: `${this.name}${id}`, "data-block": id, "aria-level": depth + 1 });
  }

  #made(key, text, attributes) {
    const words = readable(text);
    const cell = {
      words, text: el("span", { class: "fs-reuse-text", text: words.trim() }),
      turn: el("b", { class: "fs-reuse-turn", "aria-hidden": "true", hidden: true }),
      ends: el("i", { class: "fs-reuse-ends", "aria-hidden": "true", hidden: true }),
      key: "", looks: "",
    };
    cell.root = el("div", { class: "fs-reuse-block", ...attributes }, cell.text, cell.turn, cell.ends);
    this.cells.set(key, cell);
    this.space.append(cell.root);
    return cell;
  }

  /** From a block to those that follow it. */
  #lines(shown, tails, lit, litRequests) {
    const { record, layout, each } = this;
    const isHere = (id) => shown.has(id) && (this.state.held.has(id) || this.gone.has(id) || this.pending.has(id));
    const edges = [...shown].filter((id) => isHere(id) && isHere(record.blocks[id].parent)).map((id) => ({ id, parent: record.blocks[id].parent, isLit: lit?.has(id) }));
    for (const [{ key: id, parent }, requests] of tails) if (parent !== null) edges.push({ id, parent, isLit: lit?.has(parent) && requests.some((n) => litRequests.has(n)) });
    const middle = (row) => this.tops[row] + (this.highs[row] - ABOVE) / 2;
    const way = ({ id, parent }) => {
      const [to, from] = [layout.at.get(id), layout.at.get(parent)];
      const [x, y0, y1] = [to.from * each, middle(from.row), middle(to.row)];
      return to.row === from.row ? `M${x - GAP} ${y0}H${x + GAP}` : `M${x - GAP} ${y0}H${x}V${y1 - 5}Q${x} ${y1} ${x + GAP} ${y1}`;
    };
    mark(this.edges, "d", edges.map(way).join(""));
    mark(this.litEdges, "d", edges.filter(({ isLit }) => isLit).map(way).join(""));
    this.#ticks();
  }

  /** The scale in tokens. */
  #ticks() {
    const { record, layout, each } = this;
    const { block_size: size } = record.start;
    const apart = size * Math.max(1, Math.ceil(54 / (size * each)), Math.ceil(layout.tokens / size / TICKS));
    const key = [each, apart, layout.tokens].join();
    if (key === this.scaled) return;
    this.scaled = key;
    const ticks = Array.from({ length: Math.floor(layout.tokens / apart) + 1 }, (_, at) => {
      const isLast = at * apart === layout.tokens;
      return svg("text", { x: Math.max(1, at * apart * each), y: 10, "text-anchor": !at ? "start" : isLast ? "end" : "middle", text: at ? String(at * apart) : "0 tokens" });
    });
    this.lines.replaceChildren(this.edges, this.litEdges, ...ticks);
  }

  #tell(id) {
    const words = id === null ? null : blockWords(this.record, this.state, id);
    const key = words ? `${words.text}\n${words.facts}` : "";
    if (key === this.told && this.about.childElementCount) return;
    this.told = key;
    this.tip.replaceChildren(...(words ? [el("strong", { text: `“${words.text.trim()}”` }), el("span", { text: ` ${words.facts}` })] : []));
    this.about.replaceChildren(...(words ? [el("strong", { text: `“${words.text.trim()}”` }), el("span", { text: ` ${words.facts}` })]
      : [el("span", { class: "fs-hint", text: "A row is a text; what begins alike is one trunk. Dark numbers: requests, where what is left of theirs ends. Light 1 2 3: leave next, in this order. Point at a block for all of it." })]));
  }

  /** The same words beside the block, within the window and over nothing that is pointed at. */
  #tip(at) {
    const cell = this.cells.get(at);
    this.tip.hidden = !cell || !this.told;
    if (this.tip.hidden) return;
    const [own, host, box] = [cell.root, this.tip.offsetParent ?? this.box, this.box].map((one) => one.getBoundingClientRect());
    const { width, height } = this.tip.getBoundingClientRect();
    const left = Math.max(box.left, Math.min(own.left, box.right - width));
    const isAbove = own.bottom + NEAR + height > window.innerHeight - DOCK && own.top - ABOVE - height > 0;
    const top = isAbove ? own.top - ABOVE - height : own.bottom + NEAR;
    Object.assign(this.tip.style, { left: `${left - host.left}px`, top: `${top - host.top}px` });
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
