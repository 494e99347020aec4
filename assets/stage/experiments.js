// The board of the Experiments tab: a sweep's plot and table while its rows come, its exports, its rows as runs.

import { BoardWords } from "./boardwords.js";
import { el } from "./dom.js";
import { build, EMPTY, WORDS } from "./experimentsparts.js";
import { Plot, shown } from "./experimentsplot.js";
import { bytes, count, plural, seconds } from "./format.js";
import { leave, letGo, page, showTab, stageNamed } from "./page.js";

const COLUMNS = 6; // measures in the table, those of the axes not counted

/** `sweeps`: those there are, `[{name, about}]`. */
export function attach({ element, props, watch, server, trigger }, sweeps) {
  const board = new Experiments(element.querySelector(".fs-host"), { server, trigger, sweeps });
  page.stages.experiments = board;
  letGo.set("experiments", (token) => server.leave(token));
  const take = () => props.value && board.take(JSON.parse(props.value));
  watch("value", take);
  take();
  page.waiting.experiments?.(board);
}

export class Experiments {
  constructor(host, { server, trigger, sweeps }) {
    Object.assign(this, { server, trigger });
    this.sweep = null; // the newest message of the sweep that is shown
    this.measure = null; // the name of the one that is drawn
    this.frame = 0;
    this.player = { isLive: false, playing: false }; // what the page asks of a stage
    this.parts = build(sweeps);
    host.append(this.parts.root);
    this.words = new BoardWords(this.parts, WORDS);
    this.words.title(EMPTY.title, EMPTY.note);
    this.plot = new Plot({ open: (row) => this.open(row) });
    this.parts.plot.append(this.plot.root);
    this.parts.measure.addEventListener("change", () => {
      this.measure = this.parts.measure.value;
      this.draw();
    });
    this.parts.resume.addEventListener("click", () => this.resume());
    for (const [kind, button] of Object.entries(this.parts.exports)) button.addEventListener("click", () => this.export(kind));
  }

  /** A message of the server: a word (`status`), why nothing came of it (`alert`), or all that is known of a sweep. */
  take(message) {
    if (!page.requests.takes("experiments", message)) return;
    if (message.status) this.words.say(message.status);
    if (message.alert) {
      page.requests.close("experiments");
      this.words.alert(message.alert);
      if (this.player.isLive) this.#end(message.failed ? "failed" : "stopped");
      else this.words.giveUp("Nothing was run; what you saw before is still here.");
    }
    if (message.sweep) this.#news(message);
  }

  /** What a stage is asked by the page: something of it waits, was left, is stopped, will not come. */
  wait() {
    this.words.wait();
  }

  leave() {
    if (!this.player.isLive) return;
    leave("experiments");
    this.#end("stopped");
  }

  stop() {
    this.#end("stopped");
  }

  rest() {
    this.words.giveUp("Stopped before anything ran.");
  }

  isVisible() {
    return this.parts.root.isConnected && this.parts.root.offsetParent !== null;
  }

  #news(message) {
    const isOther = message.sweep !== this.sweep?.sweep;
    const before = isOther ? {} : this.sweep;
    this.sweep = { ...message, predicted: message.predicted ?? before.predicted, summary: message.summary ?? before.summary };
    if (isOther) this.words.alert("");
    const { about, name, total, model, rows } = this.sweep;
    this.words.title(about, `${name}: ${plural(total, "row")} on ${model}`);
    this.#measures();
    if (message.isEstimate) {
      page.requests.close("experiments");
      this.words.say("Estimated; nothing was run.");
      this.words.stand("estimated");
    } else if (message.done) this.#end("done");
    else {
      this.player.isLive = true;
      this.words.stand("live");
      this.words.say(this.#progress(rows, total, message.left));
    }
    this.draw();
  }

  #progress(rows, total, left) {
    const rest = typeof left === "number" ? `, about ${seconds(left)} to go` : "";
    return `${count(rows.length)} of ${plural(total, "row")}${rest} …`;
  }

  #end(how) {
    this.player.isLive = false;
    page.requests.close("experiments");
    this.words.say(how === "done" ? "Done." : "Stopped. The rows that were done stay here.");
    this.words.stand(how);
    this.draw();
  }

  /** What can be drawn: measures of which a row has a value; the one that was chosen stays. */
  #measures() {
    const { measures, rows } = this.sweep;
    const known = Object.keys(measures).filter((name) => !rows.length || rows.some((row) => typeof row[name] === "number"));
    if (!known.includes(this.measure)) this.measure = known[0];
    const key = known.join();
    if (key !== this.known) {
      this.known = key;
      this.parts.measure.replaceChildren(...known.map((name) => el("option", { value: name, text: `${measures[name].title}${measures[name].unit ? ` (${measures[name].unit})` : ""}` })));
    }
    this.parts.measure.value = this.measure;
    this.columns = [...new Set([this.measure, ...known])].slice(0, COLUMNS);
  }

  draw() {
    const { sweep, parts } = this;
    if (!sweep) return;
    const { rows, predicted, summary } = sweep;
    const failed = rows.filter((row) => row.error);
    parts.root.classList.toggle("is-empty", !rows.length);
    parts.estimate.textContent = predictionOf(sweep, predicted);
    parts.estimate.hidden = !predicted;
    parts.bar.style.width = `${(100 * rows.length) / sweep.total}%`;
    parts.resume.hidden = this.player.isLive || (rows.length === sweep.total && !failed.length) || !rows.length;
    this.#measures();
    if (rows.length) this.plot.draw(sweep, this.measure);
    this.#table(rows);
    this.#answers(summary);
    parts.ratio.replaceChildren(...ratioNote(rows));
    parts.ratio.hidden = !parts.ratio.childElementCount;
  }

  #table(rows) {
    const { measures, axes } = this.sweep;
    const about = (name) => ({ title: measures[name].title });
    this.parts.head.replaceChildren(el("tr", {}, ...axes.map((axis) => el("th", { scope: "col", text: axis })),
      ...this.columns.map((name) => el("th", { scope: "col", ...about(name), text: name })), el("th", { scope: "col", text: "took" }), el("td")));
    this.parts.body.replaceChildren(...rows.map((row) => el("tr", { "data-key": row.key, class: row.error ? "is-failed" : "" },
      ...axes.map((axis) => el("th", { scope: "row", text: shown(row[axis], "") })),
      ...(row.error ? [el("td", { colspan: this.columns.length, text: row.error })] : this.columns.map((name) => this.#cell(row, name))),
      el("td", { text: row.seconds === null ? "–" : seconds(row.seconds) }),
      el("td", {}, row.error ? "" : el("button", { type: "button", class: "fs-button fs-sweep-open", text: "Open", title: "Run this row's first seed in Explore", onclick: () => this.open(row) })))));
  }

  #cell(row, name) {
    const { unit } = this.sweep.measures[name];
    const [low, high] = [row[`${name}_low`], row[`${name}_high`]];
    const cell = el("td", { "data-measure": name, "data-value": String(row[name]) }, el("span", { text: shown(row[name], unit) }));
    if (typeof low === "number" && high > low) cell.append(el("small", { text: `${shown(low, unit === "B" ? unit : "")} to ${shown(high, unit === "B" ? unit : "")}` }));
    return cell;
  }

  #answers(summary) {
    const said = Object.entries(summary ?? {}).filter(([, part]) => part?.answer);
    this.parts.answers.replaceChildren(...said.flatMap(([name, part]) => [el("dt", { text: name.replaceAll("_", " ") }), el("dd", { text: part.answer })]));
    this.parts.answers.hidden = !said.length;
  }

  /** A row's first run, in Explore. */
  async open(row) {
    const found = await this.#ask("open_row", row.key);
    if (!found) return;
    const stage = await stageNamed("explore");
    showTab("Explore");
    stage.options.request("row", { config: found, changes: {}, prefix_ids: found.prefix_ids, origin: null });
  }

  /** Save the table (csv), the document (json) or the file for the command line (config). */
  async export(kind) {
    const text = await this.#ask("export", kind);
    if (text === null) return;
    const { name } = this.sweep;
    const file = { csv: `${name}.csv`, json: `${name}.json`, config: `${name}-sweep.json` }[kind];
    const url = URL.createObjectURL(new Blob([text], { type: kind === "csv" ? "text/csv" : "application/json" }));
    el("a", { href: url, download: file }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  /** Go on with the rows that are missing or failed. */
  resume() {
    const { sweep } = this.sweep;
    this.trigger("select", { sweep, token: page.asked("experiments") });
  }

  async #ask(what, of) {
    const answer = JSON.parse(await this.server[what]({ sweep: this.sweep.sweep, of }));
    if (answer.alert) this.words.alert(answer.alert);
    return answer.found ?? null;
  }
}

/** What a sweep will take, predicted from a short measurement. */
function predictionOf({ total, model }, predicted) {
  if (!predicted) return "";
  const time = typeof predicted.seconds === "number" ? `about ${seconds(predicted.seconds)}` : "a time that cannot be told";
  const memory = typeof predicted.nbytes === "number" ? `; keys and values of the largest run at worst ${bytes(predicted.nbytes)}` : "";
  return `Predicted for ${plural(total, "row")}: ${time}${memory}. From a moment's measurement of ${model} on this machine, with every path alive to the end.`;
}

/** The ratio that leaves out what one side computes, beside the honest one; of the row with the longest prompt. */
function ratioNote(rows) {
  const known = rows.filter((one) => typeof one.speedup_forward_tokens === "number");
  if (!known.length) return [];
  const row = known.reduce((longest, one) => (one.prompt_tokens > longest.prompt_tokens ? one : longest));
  const [prompt, length] = [row.prompt_tokens, row.generated_tokens / row.paths];
  const wrong = (prompt + length) / length;
  return [
    el("h3", { text: "How not to count a speed-up" }),
    el("p", { text: `(P + G) / G = (${shown(prompt, "")} + ${shown(length, "")}) / ${shown(length, "")} = ${shown(wrong, "")} × is often quoted. `
      + "It charges every sample its prompt, and the tree neither its own prompt nor the paths it pruned; of the tokens that paths share it knows nothing." }),
    el("p", { text: `Counted whole, ${row.name} saves ${shown(row.speedup_forward_tokens, "×")} by forward tokens and ${shown(row.speedup_seconds, "×")} by the clock of this machine.` }),
  ];
}
