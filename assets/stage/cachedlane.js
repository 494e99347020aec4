// One side of the race: its text as it grows, what it takes and what it keeps at the cursor.

import { keptOf, paceOf } from "./cachedpace.js";
import { keptWords, rateWords } from "./cachedwords.js";
import { el, say } from "./dom.js";
import { count, seconds } from "./format.js";
import { Growing } from "./growing.js";

const FACTS = {
  length: ["text", "Tokens of the text at the cursor, the prompt among them"],
  rate: ["pace", "1 / the running median of the seconds that a step took, passes and the rest, over up to 15 steps"],
  time: ["time", "Seconds since its own start, the prompt's pass among them"],
  kept: ["allocated", "Bytes that are allocated for keys and values at the cursor: those of the text, and room for more"],
};

export class Lane extends Growing {
  constructor({ key, title, word, about, sign }) {
    super();
    Object.assign(this, { key, name: key, title, word, data: { "data-backend": key }, digest: null });
    this.parts = build({ key, title, about, sign });
    this.setState("waiting");
  }

  taken(log) {
    this.whole = ""; // all that was written
    this.ends = []; // by token, characters up to its end
    say(this.parts.prompt, log.promptText());
  }

  grown() {
    const { nodes } = this.log;
    for (let at = this.ends.length; at < nodes.length; at++) {
      this.whole += nodes[at].text;
      this.ends.push(this.whole.length);
    }
    this.pace = paceOf(this.log);
    this.curves = {
      speed: this.pace.medians.map((value) => (value === null ? null : 1 / value)), time: this.times, kept: this.log.steps.map((_, at) => keptOf(this.log, at)),
    };
    this.drawn = null;
  }

  /** New tokens at the cursor. */
  get tokens() {
    return this.log?.made[this.cursor] ?? 0;
  }

  /** Where it stands, for `raceWords`. */
  get side() {
    return {
      tokens: this.tokens, whole: this.ends?.length ?? 0, time: this.times[this.cursor] ?? 0, rate: this.pace?.medians[this.cursor] ?? null, state: this.state,
    };
  }

  apply(batch) {
    const isTaken = super.apply(batch);
    if (isTaken && batch.details) this.digest = batch.details["tree digest"];
    return isTaken;
  }

  /** `common`: new tokens that the other side has written as well; those after them are ahead. */
  draw(common) {
    const { parts, log, cursor, tokens } = this;
    const key = `${cursor}/${this.length}/${Math.min(common, tokens)}`;
    if (!log || this.drawn === key) return;
    this.drawn = key;
    const upTo = (number) => (number > 0 ? this.ends[number - 1] : 0);
    const both = upTo(Math.min(common, tokens));
    say(parts.both, this.whole.slice(0, both));
    say(parts.ahead, this.whole.slice(both, upTo(tokens)));
    const rate = this.pace.medians[cursor];
    say(parts.facts.length, cursor < 0 ? "–" : `${count(this.pace.lengths[cursor])} tokens`);
    say(parts.facts.rate, rate ? rateWords(1 / rate) : "–");
    say(parts.facts.time, seconds(this.times[cursor] ?? 0));
    say(parts.facts.kept, keptWords(cursor < 0 ? 0 : keptOf(log, cursor)));
  }
}

function build({ key, title, about, sign }) {
  const parts = {
    badge: el("span", { class: "fs-badge" }),
    prompt: el("span", { class: "fs-path-prompt" }), both: el("span", {}), ahead: el("mark", { class: "fs-ahead" }),
    facts: {},
  };
  const facts = Object.entries(FACTS).map(([name, [label, words]]) => {
    parts.facts[name] = el("dd", { "data-fact": name, text: "–" });
    return el("div", { title: words }, el("dt", { text: label }), parts.facts[name]);
  });
  parts.root = el("section", { class: "fs-card fs-lane", "data-backend": key, "aria-label": title },
    el("header", {}, el("i", { class: "fs-chip", text: sign }), el("h3", { text: title }), el("code", { class: "fs-name", text: key }), parts.badge),
    el("p", { class: "fs-lane-about", text: about }),
    el("div", { class: "fs-lane-text", tabindex: 0, role: "group", "aria-label": `Text of the ${title.toLowerCase()} run` }, el("p", {}, parts.prompt, parts.both, parts.ahead)),
    el("dl", { class: "fs-counters" }, ...facts));
  return parts;
}
