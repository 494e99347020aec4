// The runs of this visit as a list: picture, title, one line; rename, delete, reopen, compare.

import { isDark, palette } from "./color.js";
import { el, sharpCanvas } from "./dom.js";
import { droppedWords, lineOf } from "./history.js";
import { Silhouette } from "./silhouette.js";

const UNDO_SECONDS = 8;
const FEW = 4000; // nodes of a growing run whose picture is drawn anew every second
const BADGES = { recorded: "recorded", live: "live", done: "finished", stopped: "stopped", failed: "failed" };

export class Shelf {
  /** `deeds`: `open(id)` puts a run on the stage, `compare(entries)` compares some. */
  constructor(host, history, deeds) {
    this.history = history;
    this.deeds = deeds;
    this.picked = new Set(); // ids ticked for comparing
    this.rows = new Map();
    this.#build(host);
    this.pictures = new Pictures(host);
  }

  /** Show the list as it is now. */
  draw() {
    const { entries, dropped, current } = this.history;
    for (const id of this.picked) if (!this.history.find(id)) this.picked.delete(id);
    for (const [id, row] of this.rows) if (!this.history.find(id)) this.rows.delete(id) && row.root.remove();
    entries.forEach((entry, at) => {
      const row = this.rows.get(entry.id) ?? this.#row(entry);
      if (this.list.children[at] !== row.root) this.list.insertBefore(row.root, this.list.children[at] ?? null);
      this.#fill(row, entry, entry === current);
    });
    this.section.hidden = !entries.length && this.gone.hidden;
    this.dropped.textContent = droppedWords(dropped);
    this.#count();
  }

  /** The run on the stage has grown: its line, and its picture where that is quick. */
  grow(entry) {
    const row = this.rows.get(entry.id);
    if (!row) return;
    row.line.textContent = `${BADGES[entry.badge] ?? entry.badge} · ${lineOf(entry.log)}`;
    if (entry.log.nodes.length < FEW) this.#picture(row, entry);
  }

  /** The page turned dark or light. */
  recolor() {
    for (const row of this.rows.values()) row.pictured = -1;
    this.draw();
  }

  #build(host) {
    this.list = el("ul", { class: "fs-past-list" });
    this.button = el("button", { type: "button", class: "fs-button fs-past-compare", text: "Compare" });
    this.button.addEventListener("click", () => this.#compare());
    this.gone = el("p", { class: "fs-past-gone", role: "status", hidden: true });
    this.dropped = el("p", { class: "fs-past-note" });
    this.section = el("section", { class: "fs-past", "aria-label": "Runs of this visit", hidden: true },
      el("header", {}, el("h3", { class: "fs-side-title", text: "This visit" }), this.button),
      this.list, this.gone, this.dropped);
    host.append(this.section);
  }

  #row(entry) {
    const { id } = entry;
    const row = {
      pictured: -1,
      pick: el("input", { type: "checkbox", class: "fs-past-pick", title: "Tick two or more to compare them" }),
      picture: el("canvas", { class: "fs-past-picture", "aria-hidden": "true" }),
      title: el("strong"),
      line: el("span"),
      origin: el("span", { class: "fs-past-origin" }),
    };
    row.open = el("button", { type: "button", class: "fs-past-open" }, row.picture,
      el("span", { class: "fs-past-words" }, row.title, row.line, row.origin));
    row.rename = el("button", { type: "button", class: "fs-past-deed", title: "Rename (F2)", text: "✎" });
    row.remove = el("button", { type: "button", class: "fs-past-deed", title: "Delete (Del)", text: "×" });
    row.root = el("li", { class: "fs-past-row", "data-run": id }, row.pick, row.open,
      el("span", { class: "fs-past-deeds" }, row.rename, row.remove));
    row.pick.addEventListener("change", () => this.#pick(id, row.pick.checked));
    row.open.addEventListener("click", () => this.deeds.open(id));
    row.rename.addEventListener("click", () => this.#rename(row, id));
    row.remove.addEventListener("click", () => this.#remove(id));
    row.open.addEventListener("keydown", (event) => this.#key(event, row, id));
    this.rows.set(id, row);
    return row;
  }

  #fill(row, entry, isCurrent) {
    const name = `“${entry.title}”`;
    row.root.classList.toggle("is-current", isCurrent);
    row.open.setAttribute("aria-current", String(isCurrent));
    row.title.textContent = row.open.title = entry.title;
    row.line.textContent = `${BADGES[entry.badge] ?? entry.badge} · ${lineOf(entry.log)}`;
    row.origin.textContent = entry.origin;
    row.origin.hidden = !entry.origin;
    row.pick.setAttribute("aria-label", `Compare ${name}`);
    row.rename.setAttribute("aria-label", `Rename ${name}`);
    row.remove.setAttribute("aria-label", `Delete ${name}`);
    if (row.pictured !== entry.log.length) this.#picture(row, entry);
  }

  #picture(row, entry) {
    if (this.pictures.draw(entry.log, row.picture)) row.pictured = entry.log.length;
  }

  #key(event, row, id) {
    const deed = {
      F2: () => this.#rename(row, id),
      Delete: () => this.#remove(id),
      ArrowUp: () => row.root.previousElementSibling?.querySelector(".fs-past-open").focus(),
      ArrowDown: () => row.root.nextElementSibling?.querySelector(".fs-past-open").focus(),
    }[event.key];
    if (!deed) return;
    event.preventDefault();
    event.stopPropagation();
    deed();
  }

  /** A box in the title's place: Enter and leaving it keep what was typed, Escape does not. */
  #rename(row, id) {
    if (row.root.querySelector(".fs-past-box")) return;
    const entry = this.history.find(id);
    const box = el("input", { type: "text", class: "fs-past-box", maxlength: 90, "aria-label": `New title of “${entry.title}”` });
    box.value = entry.title;
    row.root.classList.add("is-renaming");
    row.open.after(box);
    box.focus();
    box.select();
    let isOver = false;
    const end = (keep, back) => {
      if (isOver) return;
      isOver = true;
      row.root.classList.remove("is-renaming");
      box.remove();
      if (keep) this.history.rename(id, box.value);
      if (back) row.open.focus();
    };
    box.addEventListener("blur", () => end(true, false));
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      end(event.key === "Enter", true);
    });
  }

  #remove(id) {
    const { title } = this.history.find(id);
    const undo = this.history.remove(id);
    const back = el("button", { type: "button", class: "fs-button", text: "Undo" });
    const hide = () => {
      const hadFocus = this.gone.contains(document.activeElement);
      this.gone.hidden = true;
      this.gone.replaceChildren();
      this.draw();
      if (hadFocus) this.list.querySelector(".fs-past-open")?.focus();
    };
    back.addEventListener("click", () => {
      undo();
      hide();
      this.rows.get(id)?.open.focus();
    });
    this.gone.replaceChildren(el("span", { text: `“${title}” deleted.` }), back);
    this.gone.hidden = false;
    this.draw();
    back.focus();
    clearTimeout(this.hiding);
    this.hiding = setTimeout(hide, UNDO_SECONDS * 1000);
  }

  #pick(id, isPicked) {
    if (isPicked) this.picked.add(id);
    else this.picked.delete(id);
    this.#count();
  }

  #count() {
    const { size } = this.picked;
    this.button.disabled = size < 2;
    this.button.textContent = size < 2 ? "Compare" : `Compare ${size}`;
    this.button.title = size < 2 ? "Tick two runs or more to compare them" : "Side by side, in the Compare tab";
    this.button.hidden = this.history.entries.length < 2;
  }

  /** The oldest of the ticked runs first. */
  #compare() {
    const chosen = this.history.entries.filter((entry) => this.picked.has(entry.id)).reverse();
    this.deeds.compare(chosen);
  }
}

/** Small pictures of trees, all drawn on one hidden canvas: nothing of a run stays with its picture. */
class Pictures {
  constructor(host) {
    this.canvas = el("canvas", { class: "fs-past-picture is-workshop", "aria-hidden": "true" });
    host.append(this.canvas);
    this.silhouette = new Silhouette(this.canvas, { hover: () => {}, select: () => {}, pad: 4 });
  }

  /** Whether there was room to draw: a hidden sidebar has none. */
  draw(log, target) {
    if (!this.canvas.clientWidth) return false;
    sharpCanvas(this.canvas, () => {});
    const depths = log.nodes.reduce((most, node) => Math.max(most, node.depth + 1), 1);
    this.silhouette.reset(log);
    this.silhouette.draw(log.head, palette(this.canvas), isDark(), depths, null);
    this.silhouette.reset(null);
    target.width = this.canvas.width;
    target.height = this.canvas.height;
    target.getContext("2d").drawImage(this.canvas, 0, 0);
    return true;
  }
}
