// What a comparison comes to: is it the same tree, the figures in words, the table, what was held equal.

import { digestOf } from "./counters.js";
import { firstDifference, tellDifference } from "./difference.js";
import { el } from "./dom.js";
import { count, plural } from "./format.js";
import { listed } from "./race.js";
import { againstWords } from "./ratios.js";
import { conditions, showSetting } from "./settings.js";
import { drawTable } from "./table.js";

/** Whether a panel holds its run whole: one that was stopped is compared as far as it came. */
const isWhole = (panel) => panel.state === "done" || panel.state === "recorded";

export class Results {
  /** `parts`: `sameTree`, `results`, `resultsTitle`, `resultsBody` of the board; `show(panel, node)` seeks. */
  constructor(parts, show) {
    this.parts = parts;
    this.show = show;
    this.reset();
  }

  /** Other panels come: what was said of these is forgotten. */
  reset() {
    this.found = new Map(); // panel -> its difference to the reference, with the key it is for
    this.told = this.drawn = null;
  }

  /** Where every panel's tree leaves that of `reference`: their marks, verdicts, and the line above them. */
  compareTrees(panels, reference, areBackends) {
    for (const panel of panels) panel.marks = [];
    const others = panels.filter((panel) => panel !== reference && panel.length && reference?.length);
    const told = others.map((panel) => [panel, this.#difference(reference, panel)]);
    for (const [panel, found] of told) {
      if (found.a !== null) reference.marks.push(found.a);
      if (found.b !== null) panel.marks.push(found.b);
      panel.alike = found.kind === "text" ? 0 : found.same;
      const isSame = { none: isWhole(panel) && isWhole(reference) ? true : null, samples: null }[found.kind];
      panel.setVerdict(verdict(found.kind, isSame), isSame === undefined ? false : isSame);
    }
    if (reference) {
      reference.alike = Infinity;
      reference.setVerdict("", null);
    }
    this.#line(reference, told, areBackends);
  }

  #difference(reference, panel) {
    const partial = !(isWhole(panel) && isWhole(reference));
    const key = [reference.key, reference.length, panel.length, partial].join();
    const known = this.found.get(panel);
    if (known?.key === key && known.a === reference.log && known.b === panel.log) return known.found;
    const found = firstDifference(reference.log, panel.log, { partial });
    this.found.set(panel, { key, found, a: reference.log, b: panel.log });
    return found;
  }

  #line(reference, told, areBackends) {
    const rows = [];
    const names = (pairs) => listed([reference, ...pairs.map(([panel]) => panel)].map((panel) => panel.word));
    const same = told.filter(([panel, found]) => found.kind === "none" && isWhole(panel) && isWhole(reference));
    const soFar = told.filter(([panel, found]) => found.kind === "none" && !same.some(([one]) => one === panel));
    if (same.length) rows.push(line("same", "✓", "Same tree", `${names(same)} made the same ${plural(same[0][1].same, "token")}: every parent, every end.`));
    for (const [panel, { same: tokens }] of soFar) rows.push(line("so-far", "…", "Same so far", `${reference.word} and ${panel.word}: ${plural(tokens, "token")}.`));
    for (const [panel, found] of told) {
      if (found.kind === "none") continue;
      const words = `${sameStart(reference.log, panel.log)}${tellDifference(found, [reference.log, panel.log], [reference.word, panel.word])}`;
      if (found.kind === "samples") rows.push(line("by-design", "≠", "Other by design", areBackends ? byDesign(panel, reference) : words));
      else {
        const isAlike = found.kind === "text" && found.a === null && found.b === null;
        rows.push(line(isAlike ? "same" : "other", isAlike ? "✓" : "✗", isAlike ? "Same text" : "Not the same tree", words, this.#button(reference, panel, found)));
      }
    }
    this.parts.sameTree.hidden = !rows.length;
    const key = rows.map((row) => row.textContent).join("\n");
    if (key !== this.told) this.parts.sameTree.replaceChildren(...rows);
    this.told = key;
  }

  #button(reference, panel, found) {
    const [run, node] = found.a === null ? [panel, found.b] : [reference, found.a];
    if (node === null) return "";
    return el("button", { type: "button", class: "fs-button fs-show-difference", text: "Show it", onclick: () => this.show(run, node) });
  }

  /** The figures of the panels that have ended. `notes`: what the figures cannot say. */
  draw(panels, reference, { warmUp, notes, isEnded }) {
    const ended = panels.filter((panel) => panel.result && panel.log); // figures may come before the steps
    const { results, resultsTitle, resultsBody } = this.parts;
    results.hidden = !ended.length;
    if (!ended.length) return;
    const key = JSON.stringify([isEnded, panels.length, reference.key, ended.map((panel) => [panel.key, panel.title, panel.digest, panel.result.seconds.total, this.found.get(panel)?.found.kind])]);
    if (key === this.drawn) return; // news that change no figure
    this.drawn = key;
    const isOpen = resultsBody.querySelector("details")?.open ?? false;
    const base = ended.includes(reference) ? reference : ended[0];
    resultsTitle.textContent = isEnded || ended.length === panels.length ? "What it took" : `Ended so far: ${ended.length} of ${panels.length}`;
    const same = new Map(ended.map((panel) => [panel, panel === base ? true : sameOf(this.found.get(panel), base, panel)]));
    const table = el("div", {});
    drawTable(table, ended, base, same);
    const { equal, different } = conditions(ended.map((panel) => panel.log.header));
    const sameBytes = (panel) => panel.log.header.model.kv_nbytes_per_token === base.log.header.model.kv_nbytes_per_token;
    const words = ended.filter((panel) => panel !== base).map((panel) =>
      el("li", { ...panel.data }, el("i", { class: "fs-chip" }), el("span", { text: againstWords({ ...panel, title: capital(panel.word) }, base, { sameBytes: sameBytes(panel) }) })));
    resultsBody.replaceChildren(
      words.length ? el("ul", { class: "fs-in-words", "aria-label": "In words" }, ...words) : "",
      table, ...[...notes, ...unequalBytes(ended, sameBytes)].map((text) => el("p", { class: "fs-fine", text })),
      settings(ended, equal, different, warmUp));
    resultsBody.querySelector("details").open = isOpen;
  }

  /** A digest for every panel that has none, where the browser can compute it; then `done()`. */
  async digests(panels, done) {
    for (const panel of panels) panel.setDigest(await digestOf(panel.log));
    done();
  }
}

/** Whether the trees are the same; null where other tokenizers leave no answer. */
function sameOf(known, base, panel) {
  if (!known || known.a !== base.log || known.b !== panel.log) return null;
  return known.found.kind === "text" ? null : known.found.kind === "none";
}

function verdict(kind, isSame) {
  if (kind === "none") return isSame ? "✓ same tree" : "same so far";
  return { samples: "other samples, by design", text: "other tokenizer" }[kind] ?? "✗ another tree";
}

function line(kind, sign, title, words, ...more) {
  return el("div", { class: `fs-same-line is-${kind}` }, el("i", { text: sign, "aria-hidden": "true" }), el("strong", { text: title }), el("span", { text: capital(words) }), ...more);
}

function capital(words) {
  return words[0].toUpperCase() + words.slice(1);
}

function byDesign(panel, reference) {
  const [naive, tree] = panel.isTree ? [reference, panel] : [panel, reference];
  return `${naive.word} draws independent samples, so its tokens are other ones than ${tree.word}’s tree.`;
}

/** What comes before the first generated token, where it differs already. */
function sameStart(a, b) {
  const ids = (log) => log.prompt.map(({ token }) => token).join();
  return ids(a) === ids(b) || a.promptText() === b.promptText() ? "" : "Their prompts differ already. ";
}

function unequalBytes(ended, sameBytes) {
  if (ended.every(sameBytes)) return [];
  const each = ended.map((panel) => `${panel.word} ${count(panel.log.header.model.kv_nbytes_per_token)} B`);
  return [`A token takes another number of bytes in each model (${listed(each)}): bytes are of different things, tokens can be compared.`];
}

function settings(panels, equal, different, warmUp) {
  const held = warmUp ? { ...equal, "warm up": warmUp } : equal;
  const other = Object.entries(different).map(([name, values]) => el("tr", { "data-setting": name }, el("th", { scope: "row", text: name }),
    ...values.map((value, at) => el("td", { ...panels[at].data, text: showSetting(value) }))));
  const facts = Object.entries(held).flatMap(([name, value]) => [el("dt", { text: name }), el("dd", { text: showSetting(value) })]);
  return el("div", { class: "fs-conditions" },
    el("h4", { text: panels.length > 1 ? "Settings that differ" : "Settings" }),
    other.length ? el("div", { class: "fs-figures-box" }, el("table", { class: "fs-figures fs-different" },
      el("thead", {}, el("tr", {}, el("td"), ...panels.map((panel) => el("th", { scope: "col", ...panel.data }, el("i", { class: "fs-chip" }), el("span", { text: panel.title }))))),
      el("tbody", {}, ...other))) : el("p", { class: "fs-fine", text: panels.length > 1 ? "None: everything that was set is equal." : "" }),
    el("details", { class: "fs-equal" }, el("summary", { text: `Held equal: ${plural(Object.keys(held).length, "setting")}` }), el("dl", { class: "fs-facts" }, ...facts)));
}
