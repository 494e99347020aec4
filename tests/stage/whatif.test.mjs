// Another threshold on a run that is there, counted against a walk through the whole tree.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Log, parseTrace } from "../../assets/stage/log.js";
import { noteOf, sentenceOf, show, tryThreshold, whyNot } from "../../assets/stage/whatif.js";
import { drawn } from "./random.mjs";
import { byHand, decision, header, node, recorded, step } from "./traces.mjs";

function logOf(steps, changes = {}) {
  const log = new Log({ ...header, config: { ...header.config, ...changes } });
  for (const one of steps) log.append(one);
  return log;
}

// ---- a threshold ----------------------------------------------------------------------------------

/** The same counts by walking from the prompt down, a fork that would not happen kept to its first child. */
function walked(log, cursor, tau) {
  const { branching } = log.header.config;
  const counts = { forks: 0, would: 0, gained: 0, lost: 0, cut: 0, held: 0, positions: 0 };
  const visit = (id, isThere) => {
    const at = log.node(id);
    if (at.decided > cursor) return;
    const { normalized_entropy: h, factor, entropy, candidates } = at.decision;
    const live = at.decided === 0 ? 1 : log.steps[at.decided - 1].paths.length;
    const isStuck = branching.max_paths - live === 1 || (entropy === 0 && candidates.filter((one) => one.prob).length < 2);
    counts.positions += 1;
    counts.forks += factor > 1;
    counts.cut += !isThere && factor > 1;
    let stays = at.children.length;
    if (isThere && factor > 1 && h < tau) {
      counts.lost += 1;
      stays = 1;
    }
    if (isThere && factor > 1 && h >= tau) counts.would += 1;
    if (isThere && factor === 1 && h >= tau) {
      if (h >= branching.entropy_threshold || isStuck) counts.held += 1;
      else {
        counts.gained += 1;
        counts.would += 1;
      }
    }
    at.children.forEach((child, place) => {
      if (log.node(child).step <= cursor) visit(child, isThere && place < stays);
    });
  };
  visit(-1, true);
  return counts;
}

test("the counts of a threshold are those of a walk through the tree, at every cursor and threshold", () => {
  let gained = 0;
  let cut = 0;
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    for (let cursor = -1; cursor < log.length; cursor += 3) {
      for (const tau of [0, 0.0001, 0.05, 0.15, 0.2, 0.25, 0.3, 0.4, 0.7, 1]) {
        const { at, ...found } = tryThreshold(log, cursor, tau);
        assert.deepEqual(found, walked(log, cursor, tau), `${name} at ${cursor}, ${tau}`);
        assert.equal([log.root, ...log.nodes].filter(({ id }) => at(id)).length, found.positions);
        gained += found.gained;
        cut += found.cut;
      }
    }
  }
  assert.ok(gained > 100 && cut > 10, `${gained} gained, ${cut} cut: the runs must show both`);
});

test("at its own threshold a run forks where it forked, and nothing is gained or lost", () => {
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    const found = tryThreshold(log, log.length - 1, log.header.config.branching.entropy_threshold);
    assert.deepEqual([found.would, found.gained, found.lost, found.cut], [found.forks, 0, 0, 0], name);
    assert.equal(found.forks, log.forks.length, name);
  }
});

test("by hand: a lower threshold gains, a higher one loses, and what hangs on a lost fork is cut", () => {
  const log = logOf(byHand);
  const at = (tau, cursor = 2) => sentenceOf(tryThreshold(log, cursor, tau), tau);
  assert.equal(at(0.1), "2 forks; at 0.1: 3, of which 1 not explored.");
  assert.equal(at(0.1, 0), "1 fork; at 0.1: 1.");
  const lost = tryThreshold(log, 2, 0.6); // the first fork goes, and with it path 2, where the second one was
  assert.deepEqual([lost.would, lost.lost, lost.cut], [0, 1, 1]);
  assert.equal(sentenceOf(lost, 0.6), "2 forks; at 0.6: 0; 2 forks would not happen.");
  assert.match(noteOf(lost), /4 positions.*1 of the lost forks stands on a branch that another one opened/);
  assert.deepEqual([-1, 0, 1, 2, 3, 4].map(lost.at), ["lost", "calm", "cut", null, "cut", null]);
});

test("a position with one place left, or one possible token, reaches the threshold and does not fork", () => {
  const one = { token: 3, text: "a", raw_logprob: 0, prob: 1 };
  const sure = { ...decision(1, 0, 1, 0), candidates: [one, { ...one, token: 4, raw_logprob: -30, prob: 0 }] };
  const steps = [
    step(0, { phase: "prefill", paths: [1, 2], parents: [0, 0], decisions: [decision(0, -1, 2, 0.5)],
      nodes: [node(0, -1, 1, "a"), node(1, -1, 2, "b")], forks: [{ path: 0, children: [1, 2] }] }),
    step(1, { paths: [1, 2], parents: [0, 1], decisions: [sure, decision(2, 1, 1, 0.1)],
      nodes: [node(2, 0, 1, "c"), node(3, 1, 2, "d")] }),
  ];
  const branching = (max_paths) => ({ branching: { entropy_threshold: 0.2, max_paths } });
  const counts = (log) => {
    const { gained, held } = tryThreshold(log, 1, 0);
    return [gained, held];
  };
  assert.deepEqual(counts(logOf(steps, branching(8))), [1, 1]);
  assert.deepEqual(counts(logOf(steps, branching(3))), [0, 2]);
  assert.match(noteOf(tryThreshold(logOf(steps, branching(3)), 1, 0)), /2 more reach it without room/);
});

test("runs whose paths part for another reason say so", () => {
  assert.match(whyNot(logOf([], { cache: { backend: "naive" } })), /naive/);
  assert.match(whyNot(logOf([], { branching: { select: "arithmetic" } })), /codes/i);
  assert.equal(whyNot(logOf([])), "");
  assert.deepEqual([show(0.15), show(0.2000001), show(1), show(0)], ["0.15", "0.2", "1", "0"]);
});

test("a threshold over 40,000 positions is counted as a walk counts it", () => {
  const { steps } = drawn(3, { depths: 700, width: 40, fork: 0.3, finish: 0, checked: false });
  const log = logOf(steps);
  assert.ok(log.nodes.length > 40_000, String(log.nodes.length));
  for (const tau of [0.1, 0.5]) {
    const { at, ...found } = tryThreshold(log, log.length - 1, tau);
    assert.deepEqual(found, walked(log, log.length - 1, tau));
  }
});
