// Runs that the Evict tab can be given without running anything: those of this visit, and trace files.

import { el } from "./dom.js";
import { isBounded } from "./evictfacts.js";
import { parseTrace } from "./log.js";
import { page } from "./page.js";

export class Opening {
  constructor(board) {
    this.board = board;
    const { others, file } = board.parts;
    others.addEventListener("change", () => {
      const entry = page.history?.entries.find(({ id }) => String(id) === others.value);
      if (entry) board.showRuns([{ title: entry.title, log: entry.log }]);
      others.value = "";
    });
    file.addEventListener("change", async () => {
      await this.open([...file.files]);
      file.value = "";
    });
  }

  /** Runs of this visit that have a bounded cache, to choose from. */
  refresh() {
    const { others } = this.board.parts;
    const runs = (page.history?.entries ?? []).filter(({ log, badge }) => isBounded(log) && log.length && badge !== "live");
    const key = runs.map(({ id, title }) => `${id}:${title}`).join("\n");
    if (key === this.key) return;
    this.key = key;
    others.replaceChildren(el("option", { value: "", text: "Runs of this visit …" }), ...runs.map(({ id, title }) => el("option", { value: id, text: title })));
    others.hidden = !runs.length;
  }

  /** Trace files of this computer, read in the browser. */
  async open(files) {
    try {
      const runs = await Promise.all(files.map(async (file) => ({ title: file.name, log: parseTrace(await file.text(), file.name) })));
      if (runs.length) this.board.showRuns(runs);
    } catch (error) {
      this.board.words.alert(`${error.message} Open .jsonl files that Forkscope recorded.`);
    }
  }
}
