// What a first visit is told of a run: the sentences, and where they stop it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Log, parseTrace } from "../../assets/stage/log.js";
import { Watch, beats, readingTime } from "../../assets/stage/watch.js";
import { byHand, header, recorded } from "./traces.mjs";

function logOf(steps, head = header) {
  const log = new Log(head);
  for (const step of steps) log.append(step);
  return log;
}

test("a run by hand is told in five sentences, each at its step", () => {
  const head = structuredClone(header);
  head.config.branching.max_paths = 2;
  assert.deepEqual(beats(logOf(byHand, head)), [
    { step: 0, words: "The model has read the prompt, 2 tokens. Their keys and values fill the first 2 slots of the KV pool." },
    { step: 0, words: "Here it is unsure (entropy 0.50, threshold 0.2): the path forks into 2, “·a”, “·b”. They share the slots of all that came before: nothing is copied." },
    { step: 1, words: "More than 2 paths: the least probable one is pruned. 1 slot that nobody else saw is free again." },
    { step: 1, words: "A path has reached its end: it is kept, and the others go on." },
    { step: 2, words: "The run is over: 2 texts from one prompt. At its fullest, 2 slots did the work of 4." },
  ]);
});

test("a copy is called a copy", () => {
  const head = structuredClone(header);
  head.config.cache.backend = "deepcopy";
  head.config.branching.max_paths = 2;
  assert.match(beats(logOf(byHand, head))[1].words, /Each gets a copy of the whole cache\.$/);
});

test("an empty run is told in no words, one without a fork in two", () => {
  assert.deepEqual(beats(logOf([])), []);
  const { forks, nodes, ...first } = byHand[0];
  const calm = { ...first, forks: [], nodes: [nodes[0]], paths: [1], parents: [0] };
  assert.deepEqual(beats(logOf([calm])).map((beat) => beat.step), [0, 0]);
});

for (const [name, text] of recorded) {
  test(`${name} is told from its prompt to its end, in order, with what its trace holds`, () => {
    const log = parseTrace(text);
    const told = beats(log);
    const steps = told.map((beat) => beat.step);
    assert.deepEqual(steps, [...steps].sort((a, b) => a - b));
    assert.equal(steps[0], 0);
    assert.equal(steps.at(-1), log.length - 1);
    assert.ok(told[0].words.includes(`${(log.source.length ? log.source : log.prompt).length} tokens`));
    const firstFork = log.steps.findIndex((step) => step.forks.length);
    assert.equal(told.find((beat) => beat.words.startsWith("Here it is unsure"))?.step ?? -1, firstFork);
    const returned = log.steps.flatMap((step) => step.ends).filter((end) => end.status !== "pruned").length;
    assert.ok(told.at(-1).words.includes(`${returned} text`));
    for (const beat of told) assert.ok(!/undefined|null|NaN/.test(beat.words), beat.words);
  });
}

test("a longer sentence is given more time", () => {
  assert.ok(readingTime("x".repeat(100)) > readingTime("x".repeat(20)));
  assert.ok(readingTime("") >= 1000);
});

test("of independent samples the first prompt is read first, and the end is told of samples", () => {
  const head = structuredClone(header);
  head.config.cache.backend = "naive";
  const phases = ["prefill", "decode", "prefill", "decode"]; // two samples of two steps
  const steps = phases.map((phase, index) => ({ phase, index, memory: byHand[0].memory }));
  const ends = [{ status: "length", step: 1 }, { status: "length", step: 3 }];
  const told = beats({ header: head, steps, ends, forks: [], length: 4, prompt: [{}, {}], source: [], at: () => ({ numPrompt: 0 }) });
  assert.equal(told[0].step, 0);
  assert.match(told[0].words, /^The model has read the prompt/);
  assert.match(told.at(-1).words, /^The run is over: 2 samples, one after another, each with a cache of its own\.$/);
  assert.doesNotMatch(told.at(-1).words, /did the work of/);
});

test("a prompt that is read in several steps is read at the last of them", () => {
  const [first, ...others] = byHand;
  const more = [{ ...first, nodes: [], forks: [], ends: [] }, { ...first, index: 1 }];
  const log = { ...logOf([...more, ...others.map((step, at) => ({ ...step, index: at + 2 }))]) };
  assert.equal(beats(Object.assign(logOf(more), log)).find((beat) => beat.words.startsWith("The model has read")).step, 1);
});

test("where there is no step there is nothing to watch, and that is said", (context) => {
  globalThis.cancelAnimationFrame = () => {};
  context.after(() => delete globalThis.cancelAnimationFrame);
  for (const log of [logOf([]), null]) {
    const told = [];
    const stage = { log, player: {}, say: (words) => told.push(words) };
    new Watch(stage, { say: () => assert.fail("no beat"), over: (isWhole) => told.push(isWhole) });
    assert.deepEqual(told, ["There is no step to watch.", false]);
  }
});
