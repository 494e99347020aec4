// Finding text in a tree: over the joined text of paths, so that a match may run over several tokens. No DOM.
// A match belongs to the node in which it ends, so that what paths share is found once.

import { PROMPT } from "./log.js";

/** A search that grows with its log: what was looked at is not looked at again. */
export class Search {
  constructor(log, query) {
    this.log = log;
    this.query = query.toLowerCase();
    this.matches = []; // {nodes: ids from the first token to the last, step}, in order of creation
    this.tails = []; // by node id: the end of the text that leads to it and with it, one letter shorter than the query
    this.head = this.#tail(log.promptText().toLowerCase());
  }

  #tail(text) {
    return this.query.length > 1 ? text.slice(1 - this.query.length) : "";
  }

  /** Look at the nodes that have come. */
  update() {
    const { log, query, tails } = this;
    if (!query.trim()) return;
    while (tails.length < log.nodes.length) {
      const { id, parent, text, step } = log.nodes[tails.length];
      const before = parent === PROMPT ? this.head : tails[parent];
      const joined = before + text.toLowerCase();
      tails.push(this.#tail(joined));
      for (let at = joined.indexOf(query); at >= 0; at = joined.indexOf(query, at + 1)) {
        this.matches.push({ nodes: this.#over(id, joined.length - at), step });
      }
    }
  }

  /** The nodes, first to last, that the final `letters` of the text up to `id` are spread over; the prompt has none. */
  #over(id, letters) {
    const ids = [];
    let left = letters;
    for (let at = id; at !== PROMPT && left > 0; at = this.log.nodes[at].parent) {
      ids.push(at);
      left -= this.log.nodes[at].text.toLowerCase().length;
    }
    return ids.reverse();
  }

  /** Matches that are there at `cursor`. */
  at(cursor) {
    this.update();
    const { matches } = this;
    let there = matches.length;
    while (there > 0 && matches[there - 1].step > cursor) there -= 1;
    return there === matches.length ? matches : matches.slice(0, there);
  }
}
