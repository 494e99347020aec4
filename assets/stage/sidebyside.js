// Runs that have ended, as the panels of a board. Pure functions of their logs.

import { isTree } from "./counters.js";
import { conditions, showSetting } from "./settings.js";

const LETTERS = ["A", "B", "C", "D"];
const MOST_NAMED = 6; // settings that differ, named in one line
const SAID = new Set(["KV bytes of a token", "parameters", "layers", "kv heads", "head dim", "vocab size", "architecture"]); // with the model

export const MOST_RUNS = LETTERS.length;

/** `{kinds, heading, note}` of `[{title, note, log}]`: what a panel is made of, and what is said of all. */
export function sideBySide(runs) {
  const { different } = conditions(runs.map(({ log }) => log.header));
  const names = Object.keys(different);
  const told = names.filter((name) => !SAID.has(name));
  const about = (at) => told.slice(0, MOST_NAMED).map((name) => `${name} ${showSetting(different[name][at])}`).join(" · ");
  return {
    kinds: runs.map((run, at) => ({
      key: LETTERS[at].toLowerCase(), title: run.title, word: LETTERS[at], sign: LETTERS[at],
      data: { "data-run": LETTERS[at].toLowerCase() }, isTree: isTree(run.log), about: about(at) || run.note || "",
    })),
    heading: runs.map(({ title }, at) => `${LETTERS[at]}: ${title}`).join(" · "),
    note: names.length
      ? `What differs: ${names.slice(0, MOST_NAMED).join(", ")}${names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : ""}.`
      : "Every setting is equal.",
  };
}
