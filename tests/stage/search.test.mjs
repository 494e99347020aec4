import assert from "node:assert/strict";
import test from "node:test";

import { Log, parseTrace } from "../../assets/stage/log.js";
import { Search } from "../../assets/stage/search.js";
import { byHand, header, recorded } from "./traces.mjs";

function found(log, query, cursor = log.length - 1) {
  return new Search(log, query).at(cursor).map((match) => match.nodes);
}

/** All matches, by writing out the text of every path and looking at each place in it. */
function bruteForce(log, query) {
  const seen = new Set();
  const prompt = log.promptText();
  for (const leaf of log.nodes.filter((node) => !node.children.length)) {
    const letters = [...prompt].map((letter) => [letter, -1]);
    for (const id of log.lineage(leaf.id)) for (const letter of log.nodes[id].text.split("")) letters.push([letter, id]);
    for (let at = 0; at + query.length <= letters.length; at++) {
      const part = letters.slice(at, at + query.length);
      if (part.map(([letter]) => letter).join("").toLowerCase() !== query.toLowerCase()) continue;
      const last = part.at(-1)[1];
      const place = letters.slice(0, at + query.length).filter(([, id]) => id === last).length;
      if (last >= 0) seen.add(`${last}+${place}: ${[...new Set(part.map(([, id]) => id).filter((id) => id >= 0))]}`);
    }
  }
  return [...seen].map((one) => one.split(": ")[1]).sort();
}

test("a match may run over several tokens, and marks them all", () => {
  const log = new Log(header);
  byHand.forEach((step) => log.append(step));
  assert.deepEqual(found(log, "B C"), [[1, 3]]);
  assert.deepEqual(found(log, "upon b"), [[1]], "what it begins with in the prompt has no node");
  assert.deepEqual(found(log, "a."), [[0, 2]]);
  assert.deepEqual(found(log, "Once"), [], "the prompt alone is no part of the tree");
  assert.deepEqual(found(log, "  "), []);
  assert.deepEqual(found(log, "b c e", 1), [], "not there yet at step 1");
});

test("recorded runs: found is what reading every path to its end finds, shared text once", () => {
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    const some = log.textOf(log.nodes.at(-1).id).slice(3, 12);
    for (const query of ["e", " the", "he ", ". ", "aa", some]) {
      assert.deepEqual(found(log, query).map(String).sort(), bruteForce(log, query), `${name} “${query}”`);
    }
    assert.ok(found(log, some).length > 0, name);
  }
});

test("a search goes on where it was while the run grows, in order of creation", () => {
  for (const [name, text] of recorded) {
    const whole = parseTrace(text, name);
    const log = new Log(whole.header);
    const search = new Search(log, "th");
    for (const step of whole.steps) {
      log.append(step);
      assert.deepEqual(search.at(step.index), new Search(log, "th").at(step.index), name);
      assert.deepEqual(search.at(step.index).map((match) => match.nodes), found(whole, "th", step.index), name);
    }
  }
});
