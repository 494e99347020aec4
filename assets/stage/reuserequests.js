// The requests over a prefix cache: what each found and what it computed, and the text of the one at the cursor.

import { el, mark, say } from "./dom.js";
import { count, plural } from "./format.js";
import { onHover } from "./hover.js";
import { progressOf } from "./reusestate.js";
import { timeWords } from "./reusewords.js";

export const KEYS = [
  { keys: "↑ ↓", words: "the request above or below", where: "in the requests of Reuse" },
  { keys: "Enter", words: "go to where it looked into the cache", where: "in the requests of Reuse" },
];
const TOOK = "Looking up, copying and computing the prompt; the reply is not in it";
const COLD = "Took: reading the prompt, without the reply. Cold: the same prompt read without the cache, in a workload just before. Single readings of this machine.";
const SOURCES = { warm: "warmed, nothing written", explore: "run in Explore" };

export class Requests {
  /** `actions`: `seek(moment)`, `pointRequest(n)` with null for none. */
  constructor(host, actions) {
    this.actions = actions;
    this.body = el("tbody");
    this.rows = [];
    const head = [["Request"], ["Prompt"], ["Took", TOOK]].map(([name, title = null]) => el("th", { scope: "col", text: name, title }));
    head[1].append(el("span", { class: "fs-reuse-key" }, el("i", { class: "is-hit" }), el("span", { text: "found" }), el("i", { class: "is-miss" }), el("span", { text: "computed" })));
    host.append(el("table", { class: "fs-reuse-requests" }, el("thead", {}, el("tr", {}, ...head)), this.body), el("p", { class: "fs-fine", text: COLD }));
    const of = (event) => {
      const row = event.target.closest?.("[data-request]");
      return row ? Number(row.dataset.request) : null;
    };
    onHover(this.body, (event) => actions.pointRequest(of(event)), () => actions.pointRequest(null));
    this.body.addEventListener("click", (event) => this.#go(of(event)));
    this.body.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && actions.pointRequest(of(event)));
    this.body.addEventListener("focusout", () => actions.pointRequest(null));
    this.body.addEventListener("keydown", (event) => this.#key(event, of(event)));
  }

  reset() {
    this.rows = [];
    this.body.replaceChildren();
  }

  /** `lit`: requests that something in focus is about, or null. */
  draw({ record, state, litRequests: lit }) {
    this.record = record;
    const most = record.requests.reduce((top, { tokens }) => Math.max(top, tokens), 1);
    for (const request of record.requests) this.#row(request, state, lit, most);
  }

  #row(request, { cursor, moment }, lit, most) {
    const { n } = request;
    const row = this.rows[n] ?? this.#add(request);
    const progress = progressOf(this.record, n, cursor);
    const isNow = moment?.request === n;
    const cut = progress === "ended" && this.record.cut.has(n) ? "stopped" : "";
    const key = [cut, progress, isNow, lit?.has(n), most, request.hit_tokens, request.miss_tokens, request.seconds, request.seconds_saved, request.done].join();
    if (row.key === key) return;
    row.key = key;
    mark(row.root, "data-progress", progress);
    row.root.classList.toggle("is-now", isNow);
    row.root.classList.toggle("is-lit", Boolean(lit?.has(n)));
    mark(row.open, "aria-current", String(isNow));
    const isAhead = progress === "ahead";
    row.hit.style.width = `${isAhead ? 0 : (100 * request.hit_tokens) / most}%`;
    row.miss.style.width = `${isAhead ? 0 : (100 * request.miss_tokens) / most}%`;
    say(row.found, isAhead ? plural(request.tokens, "token") : `${count(request.hit_tokens)} of ${count(request.tokens)} found`);
    mark(row.found, "data-value", String(request.hit_tokens));
    const { own, saved } = isAhead ? { own: "", saved: "" } : timeWords(request, progress);
    say(row.own, own);
    say(row.saved, saved);
    say(row.cut, cut);
    row.saved.classList.toggle("is-saved", request.seconds_saved > 0);
    row.time.title = request.reason || `${TOOK}${request.cold_tokens ? `; cold: ${plural(request.cold_tokens, "token")} read without the cache` : ""}`;
  }

  #add({ n, title, source }) {
    const row = {
      open: el("button", { type: "button", class: "fs-reuse-open-request", tabindex: n ? -1 : 0, title: `Go to where request ${n + 1} looked` }, el("b", { text: String(n + 1) }), el("span", { text: title })),
      hit: el("i", { class: "is-hit" }), miss: el("i", { class: "is-miss" }), found: el("small", { "data-fact": "found" }),
      own: el("span"), saved: el("small"), cut: el("small", { class: "is-cut", "data-fact": "cut" }), key: "",
    };
    row.time = el("td", { class: "fs-reuse-time" }, row.own, row.saved);
    row.root = el("tr", { "data-request": n }, el("td", {}, row.open, Object.hasOwn(SOURCES, source) ? el("small", { text: SOURCES[source] }) : "", row.cut),
      el("td", {}, el("div", { class: "fs-reuse-bar", "aria-hidden": "true" }, row.hit, row.miss), row.found), row.time);
    this.rows[n] = row;
    this.body.append(row.root);
    return row;
  }

  #go(n) {
    const span = this.record?.spans[n];
    if (span) this.actions.seek(span.look ?? span.keep ?? span.end);
  }

  #key(event, n) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = this.rows[n + way];
    event.preventDefault();
    if (!to) return;
    for (const { open } of this.rows) open.tabIndex = -1;
    to.open.tabIndex = 0;
    to.open.focus();
  }
}

/** The prompt of the request at the cursor: what it found is tinted, block by block, and its reply follows. */
export class Prompt {
  /** `actions.point(id)`: of the block under the pointer, null for none. */
  constructor(host, note, actions) {
    this.note = note;
    this.text = el("p", { class: "fs-reuse-prompt", tabindex: 0, role: "group", "aria-label": "Prompt at the cursor" });
    this.reply = el("p", { class: "fs-reuse-reply" });
    host.append(this.text, this.reply);
    this.reset();
    onHover(this.text, (event) => {
      const id = event.target.closest?.("[data-block]")?.dataset.block;
      actions.point(id === undefined ? null : Number(id));
    }, () => actions.point(null));
  }

  /** Another record is shown. */
  reset() {
    this.key = null;
  }

  draw({ record, state, at }) {
    const { request } = state;
    const progress = request ? progressOf(record, request.n, state.cursor) : "";
    const key = [record.length, state.cursor, request?.n, progress, at, request?.reply.length].join();
    if (key === this.key) return;
    this.key = key;
    if (!request) {
      say(this.note, "");
      this.text.replaceChildren(el("span", { class: "fs-hint", text: "No request at this moment." }));
      this.reply.replaceChildren();
      return;
    }
    say(this.note, `request ${count(request.n + 1)}: ${request.title}`);
    this.text.replaceChildren(...request.parts.map(({ text }, place) => {
      const id = request.ids[place];
      const how = place < request.hit_blocks ? "is-hit" : id !== undefined && progress !== "looked" ? "is-stored" : "is-miss";
      return el("span", { class: `fs-reuse-part ${how}${id !== undefined && id === at ? " is-at" : ""}`, "data-block": id, text });
    }));
    this.reply.replaceChildren(...(progress === "ended" && request.reply ? [el("b", { text: "wrote " }), el("span", { text: request.reply })]
      : [el("span", { class: "fs-hint", text: request.source === "warm" ? "Read into the cache; nothing was written." : progress === "ended" ? "" : "Its reply comes when it has ended." })]));
  }
}
