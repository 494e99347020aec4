// Where a run came from: the run it was made from, what was changed, and the way back.

import { el } from "./dom.js";
import { shorten, visibleToken } from "./format.js";
import { show } from "./whatif.js";

const token = (text) => `“${shorten(visibleToken(text), 18)}”`;

/** What was changed, in words; `header` is that of the run that came of it. */
export function changeWords({ origin, config }) {
  if (origin.kind === "forced") return `${token(origin.text)} forced at depth ${origin.depth}`;
  if (origin.kind === "grown") return `grown on from ${token(origin.text)} at depth ${origin.depth}`;
  return `at threshold ${show(config.branching.entropy_threshold)}`;
}

export class OriginLine {
  /** `historyOf()` gives the history of this visit, where there is one: `{find(created), open(created)}`. */
  constructor(host, actions, historyOf = () => window.forkscope?.history) {
    this.host = host;
    this.actions = actions;
    this.historyOf = historyOf;
  }

  reset(log) {
    const origin = log?.header.origin ?? null;
    this.host.hidden = !origin;
    if (!origin) {
      this.host.replaceChildren();
      return;
    }
    const from = this.historyOf()?.find(origin.created) ?? null;
    const name = from ? `“${shorten(from.title, 40)}”` : "a run that is not here";
    this.host.replaceChildren(el("span", { text: `from ${name}, ${changeWords(log.header)}` }));
    if (from) {
      this.host.append(" · ", el("button", {
        type: "button", class: "fs-link fs-origin-back", text: "back", title: "Show the run this one was made from", onclick: () => this.#back(origin),
      }));
    }
  }

  draw() {}

  async #back({ created, node, kind }) {
    if ((await this.historyOf()?.open(created)) === false) {
      this.actions.say("That run is no longer here: runs of this visit are kept up to a bound.");
      return;
    }
    if (kind !== "threshold") this.actions.select({ kind: "node", id: node }, { reveal: true });
  }
}
