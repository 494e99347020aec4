// Which runs to hold against each other: recorded ones, those of this visit, files of this computer.

import { el } from "./dom.js";
import { parseTrace } from "./log.js";

const MOST = 4;
const HINT = "Runs that have ended: recorded ones, those of this visit, or trace files. Two files dropped on the board are held against each other at once; nothing is uploaded.";

export class Picker {
  /**
   * `sources()` gives what can be chosen besides opened files: `[{group, id, title, note, load}]`, `load()` a
   * promise of a log. `show(entries)` gets `[{title, note, log}]`; `say(words)` how things stand; `refuse(words)` what went wrong.
   */
  constructor(host, { sources, show, say, refuse }) {
    Object.assign(this, { sources, show, say, refuse });
    this.opened = [];
    this.selects = Array.from({ length: MOST }, (_, at) => el("select", { class: "fs-pick", "aria-label": `Run ${"ABCD"[at]}`, hidden: at > 1 }));
    this.more = el("button", { type: "button", class: "fs-button fs-pick-more", text: "+", title: "Another run", "aria-label": "Another run", onclick: () => this.#more() });
    this.go = el("button", { type: "button", class: "fs-button fs-pick-go", text: "Show side by side", onclick: () => this.#go() });
    this.file = el("input", { type: "file", accept: ".jsonl,.json", multiple: true, hidden: true, class: "fs-pick-file" });
    const open = el("button", { type: "button", class: "fs-button", text: "Open files…", onclick: () => this.file.click() });
    this.file.addEventListener("change", async () => {
      await this.open([...this.file.files]);
      this.file.value = "";
    });
    host.append(el("div", { class: "fs-picker", role: "group", "aria-label": "Recorded or opened runs", title: HINT },
      el("span", { class: "fs-picker-title", text: "Recorded or opened runs" }), ...this.selects, this.more, this.go, open, this.file));
    for (const select of this.selects) {
      select.addEventListener("pointerdown", () => this.refresh());
      select.addEventListener("focus", () => this.refresh());
    }
  }

  /** What can be chosen now. */
  refresh() {
    const all = [...this.sources(), ...this.opened];
    const key = all.map(({ group, id, title }) => `${group}/${id}/${title}`).join("\n");
    if (key === this.key) return;
    this.key = key;
    this.all = new Map(all.map((one) => [one.id, one]));
    this.selects.forEach((select, at) => {
      const chosen = this.all.has(select.value) ? select.value : "";
      const groups = new Map();
      for (const one of all) {
        if (!groups.has(one.group)) groups.set(one.group, el("optgroup", { label: one.group }));
        groups.get(one.group).append(el("option", { value: one.id, text: one.title }));
      }
      select.replaceChildren(...(at > 1 ? [el("option", { value: "", text: "none" })] : []), ...groups.values());
      select.value = chosen || (at > 1 ? "" : (all[at] ?? all[0])?.id ?? "");
    });
    this.go.disabled = all.length < 2;
  }

  /** Trace files of this computer, read in the browser. Two or more are shown at once. */
  async open(files) {
    const entries = [];
    for (const file of files) {
      try {
        const log = parseTrace(await file.text(), file.name);
        if (!log.length) throw new Error(`${file.name} holds no step yet.`);
        entries.push({ group: "Opened files", id: `file:${this.opened.length}:${file.name}`, title: file.name, note: "opened from this computer", log, load: async () => log });
        this.opened.push(entries.at(-1));
      } catch (error) {
        this.refuse(`${error.message} Open .jsonl files that Forkscope recorded.`);
        return;
      }
    }
    if (!entries.length) return;
    this.refresh();
    if (entries.length === 1) {
      this.selects[1].value = entries[0].id;
      this.say(`${entries[0].title} is the second run now.`);
    } else {
      this.#choose(entries.slice(0, MOST));
      this.show(entries.slice(0, MOST));
      if (entries.length > MOST) this.say(`Four runs fit the board: the first four of ${entries.length} files are shown.`);
    }
  }

  /** The selects say what is shown. */
  #choose(entries) {
    this.selects.forEach((select, at) => {
      select.hidden = at > 1 && at >= entries.length;
      select.value = entries[at]?.id ?? "";
    });
    this.more.hidden = this.selects.every((select) => !select.hidden);
  }

  #more() {
    const next = this.selects.find((select) => select.hidden);
    next.hidden = false;
    this.more.hidden = this.selects.every((select) => !select.hidden);
    next.focus();
  }

  async #go() {
    this.refresh();
    const chosen = this.selects.filter((select) => !select.hidden && select.value).map((select) => this.all.get(select.value));
    try {
      this.show(await Promise.all(chosen.map(async ({ title, note, load }) => ({ title, note, log: await load() }))));
    } catch (error) {
      this.refuse(error.message);
    }
  }
}
