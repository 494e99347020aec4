// Who owns which slot, since when and until when: against plain sets kept while runs were made at random.

import assert from "node:assert/strict";
import { test } from "node:test";

import { hasPool } from "../../assets/stage/caches.js";
import { fateOf, fateWords, lastStep, lastWords, pathsOf } from "../../assets/stage/fate.js";
import { bytes } from "../../assets/stage/format.js";
import { Log, parseTrace } from "../../assets/stage/log.js";
import { holdersOf, ownership } from "../../assets/stage/owner.js";
import { focusOn } from "../../assets/stage/subject.js";
import { drawn } from "./random.mjs";
import { backends, byHand, header, recorded } from "./traces.mjs";

const MODEL = { ...header.model, num_layers: 2 };

function logOf(steps) {
  const log = new Log({ ...header, model: MODEL });
  for (const one of steps) log.append(one);
  return log;
}

function about(log, cursor, subject, badge) {
  const state = log.at(cursor);
  return ownership(log, state, focusOn(log, state, subject), badge);
}

test("holders of every slot at every step are the paths whose set has it", () => {
  for (let seed = 1; seed <= 12; seed++) {
    const { steps, wanted } = drawn(seed, { finish: 0.08 });
    const log = logOf(steps);
    wanted.forEach(({ rows, holders }, cursor) => {
      const state = log.at(cursor);
      for (const slot of holders.keys()) {
        const found = holdersOf(log, state, slot).map((one) => one.path);
        assert.deepEqual(found, rows.filter((row) => row.slots.includes(slot)).map((row) => row.path), `seed ${seed}, step ${cursor}, slot ${slot}`);
      }
    });
  }
});

test("a slot is freed at the first step at which no set has its token any more, by the paths that ended there", () => {
  let freed = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const { steps, wanted } = drawn(seed, { finish: 0.08 });
    const log = logOf(steps);
    for (const node of log.nodes.filter((one) => one.written < Infinity)) {
      let step = node.written;
      while (step < wanted.length && wanted[step].holders.get(node.slot) === node.id + 1) step += 1;
      const found = fateOf(log, node.id + 1);
      if (step === wanted.length) {
        assert.deepEqual([found.step, found.isRun], [steps.length - 1, true]);
        continue;
      }
      freed += 1;
      assert.equal(found.step, step, `seed ${seed}, node ${node.id}`);
      const under = steps[step].ends.filter((end) => log.lineage(end.node).includes(node.id));
      assert.deepEqual(found.ends, under);
      assert.ok(under.length > 0);
    }
  }
  assert.ok(freed > 100, String(freed));
});

test("recorded runs: bytes of all holders add up to what one cache a path would need", () => {
  for (const [name, text] of recorded) {
    const log = parseTrace(text, name);
    for (let cursor = 0; cursor < log.length; cursor += 5) {
      const state = log.at(cursor);
      const each = log.header.model.kv_nbytes_per_token;
      const paths = state.rows.map((row) => about(log, cursor, { kind: "path", path: row.path }));
      assert.equal(paths.reduce((total, one) => total + one.nbytes, 0), state.memory.kv_logical_nbytes, `${name} at ${cursor}`);
      const held = Array.from(state.tokens.keys()).filter((slot) => state.tokens[slot]);
      const slots = held.map((slot) => about(log, cursor, { kind: "slot", slot }));
      assert.equal(slots.reduce((total, one) => total + one.nbytes, 0), state.memory.kv_live_nbytes);
      assert.equal(slots.reduce((total, one) => total + one.holders.length * each, 0), state.memory.kv_logical_nbytes);
      for (const layer of state.memory.layers.keys()) {
        assert.equal(about(log, cursor, { kind: "layer", layer }).nbytes * state.memory.layers.length, state.memory.kv_live_nbytes);
      }
    }
  }
});

test("by hand: what frees a slot is said from the cursor's time, and left open where nobody knows", () => {
  const log = logOf(byHand);
  const words = (cursor, node) => about(log, cursor, { kind: "node", id: node });
  assert.equal(words(0, 0).note, "not stored yet: the next forward pass writes it");
  assert.equal(words(1, 0).fate, "freed at step 1, when path 1 reached its end");
  assert.equal(words(1, 2).note, "never stored: its path ended before the next pass");
  assert.equal(words(1, 1).fate, "kept to the end of the run, step 2");
  assert.equal(words(2, 1).fate, "freed with the run, after step 2");
  const live = logOf(byHand.slice(0, 1));
  assert.equal(fateWords(live, -1, 0, [{ path: 1 }, { path: 2 }]), "freed when the last of paths 1 and 2 ends");
  assert.equal(fateWords(live, -1, 0, [{ path: 1 }]), "freed when path 1 ends");
  assert.equal(lastStep(live), Infinity);
  assert.equal(lastStep(log), 2);
});

test("a slot of a recorded run tells its end before it comes, by whom", () => {
  const log = parseTrace(recorded.find(([name]) => name.startsWith("story"))[1], "story");
  const end = log.steps.find((step) => step.freed.length && step.ends.some((one) => one.status === "pruned") && step.index > 10);
  const slot = end.freed[0];
  const holder = log.nodes.find((node) => node.slot === slot && node.written <= end.index && fateOf(log, node.id + 1).step === end.index);
  const before = about(log, end.index - 1, { kind: "slot", slot });
  assert.match(before.fate, new RegExp(`^will be freed at step ${end.index}, when paths? .* (is|are) pruned`));
  assert.equal(before.since, holder.written);
  assert.match(about(log, end.index, { kind: "node", id: holder.id }).fate, new RegExp(`^freed at step ${end.index}, when path`));
});

test("every subject has an owner: node, prompt, slot, cell, layer, step and path", () => {
  const log = logOf(byHand);
  assert.deepEqual(about(log, 0, { kind: "node", id: -1 }).holders.map((one) => one.path), [1, 2]);
  assert.equal(about(log, 0, { kind: "slot", slot: 1 }).share, "shared by 2 paths: 32 B each");
  assert.equal(about(log, 0, { kind: "cell", layer: 1, slot: 1 }).nbytes, 32);
  assert.equal(about(log, 0, { kind: "cell", layer: 1, slot: 1 }).what, "layer 1, slot 1");
  assert.equal(about(log, 0, { kind: "layer", layer: 0 }).share, "2 live slots of 32 B");
  assert.equal(about(log, 1, { kind: "step", step: 1 }).share, "2 slots written, 1 freed");
  assert.match(about(log, 0, { kind: "path", path: 2 }).fate, /^will split at step 1 into paths 3 and 4/);
  assert.match(about(log, 1, { kind: "path", path: 3 }).fate, /^kept to the end of the run, step 2, when it reaches the length limit$/);
});

test("names of paths and their last words stay short", () => {
  assert.equal(pathsOf([4]), "path 4");
  assert.equal(pathsOf([4, 5, 6]), "paths 4, 5 and 6");
  assert.equal(pathsOf([1, 2, 3, 4, 5, 6, 7, 8]), "paths 1, 2, 3, 4, 5, 6 and 2 more");
  const log = logOf(byHand);
  assert.equal(lastWords(log, 3), "b c");
  assert.equal(lastWords(log, -1), "Once upon");
});

// ---- all backends -----------------------------------------------------------------------------------

/** What every path's cache holds after each step, by doing what the steps say to plain lists: prompt tokens below 0. */
function kept(log) {
  let rows = [{ path: 0, node: -1, tokens: [] }];
  let isNew = false;
  return log.steps.map((step) => {
    if (isNew) rows = [{ path: 0, node: -1, tokens: [] }]; // the next sample
    if (step.phase === "prefill") for (let i = 0; i < step.positions; i++) rows[0].tokens.push(-1 - rows[0].tokens.length);
    else for (const row of rows) row.tokens.push(row.node);
    const ended = step.ends.map((end) => end.path);
    isNew = step.paths.every((path) => ended.includes(path));
    if (step.paths.length) {
      const newest = (path, old) => step.nodes.find((node) => node.path === path)?.id ?? old;
      rows = step.paths.map((path, at) => ({ path, node: newest(path, rows[step.parents[at]].node), tokens: [...rows[step.parents[at]].tokens] }));
    }
    return rows.map((row) => ({ path: row.path, tokens: [...row.tokens] }));
  });
}

for (const [name, text] of backends) {
  const log = parseTrace(text, name);
  const isPooled = name === "cow";
  const each = name === "recompute" ? 0 : log.header.model.kv_nbytes_per_token;
  const caches = kept(log);

  test(`${name}: bytes of tokens, prompt, paths and layers are those that lists of tokens hold, at every step`, () => {
    assert.equal(hasPool(log), isPooled);
    caches.forEach((rows, cursor) => {
      const where = `${name} at ${cursor}`;
      const state = log.at(cursor);
      for (let id = 0; id < state.numNodes; id++) {
        const copies = rows.filter((row) => row.tokens.includes(id)).map((row) => row.path);
        const found = about(log, cursor, { kind: "node", id });
        assert.equal(found.nbytes, each * (isPooled ? Math.min(1, copies.length) : copies.length), `${where}, node ${id}`);
        if (each && copies.length) assert.deepEqual(found.holders.map((one) => one.path), copies, `${where}, node ${id}`);
        const first = caches.findIndex((all) => all.some((row) => row.tokens.includes(id)));
        assert.equal(found.since, each && first >= 0 && first <= cursor ? first : null, `${where}, node ${id}`);
      }
      const read = rows.map((row) => row.tokens.filter((token) => token < 0).length);
      assert.equal(about(log, cursor, { kind: "node", id: -1 }).nbytes, each * (isPooled ? read[0] : read.reduce((sum, one) => sum + one)), where);
      for (const row of rows) assert.equal(about(log, cursor, { kind: "path", path: row.path }).nbytes, each * row.tokens.length, `${where}, path ${row.path}`);
      if (!isPooled) {
        const all = rows.reduce((sum, row) => sum + row.tokens.length, 0);
        const { num_layers: layers } = log.header.model;
        for (let layer = 0; layer < layers; layer++) assert.equal(about(log, cursor, { kind: "layer", layer }).nbytes * layers, each * all, where);
      }
      const before = cursor ? caches[cursor - 1] : [];
      const isFirst = log.steps[cursor].phase === "prefill";
      assert.equal(about(log, cursor, { kind: "step", step: cursor }).nbytes, each * (isFirst ? log.steps[cursor].positions : before.length), where);
    });
  });

  test(`${name}: a path is there since the first step that names it`, () => {
    const paths = new Set(log.steps.flatMap((step) => [...step.paths, ...step.nodes.map((node) => node.path)]));
    for (const path of paths) {
      const first = log.steps.find((step) => step.paths.includes(path) || step.nodes.some((node) => node.path === path)).index;
      assert.equal(about(log, first, { kind: "path", path }).since, first, `path ${path}`);
    }
  });

  test(`${name}: slots are spoken of only where there are any`, () => {
    const said = [];
    for (let cursor = 0; cursor < log.length; cursor++) {
      const { rows, numNodes } = log.at(cursor);
      for (let id = -1; id < numNodes; id++) said.push(about(log, cursor, { kind: "node", id }));
      for (const { path } of rows) said.push(about(log, cursor, { kind: "path", path }));
      said.push(about(log, cursor, { kind: "layer", layer: 0 }), about(log, cursor, { kind: "step", step: cursor }));
    }
    assert.equal(said.some((one) => /slot/.test(JSON.stringify({ ...one, holders: [] }))), isPooled);
  });
}

test("a token that was just drawn is not stored yet with any backend, and the prompt grows chunk by chunk", () => {
  for (const [name, text] of backends) {
    const log = parseTrace(text, name);
    const each = log.header.model.kv_nbytes_per_token;
    const wanted = name === "recompute" ? "nothing is kept: every step computes its keys and values anew" : "not stored yet: the next forward pass writes it";
    const step = log.steps.find((one) => one.nodes.length && one.paths.length && !one.ends.length);
    const { id } = step.nodes[0];
    assert.equal(about(log, step.index, { kind: "node", id }).note, wanted, name);
    if (name === "recompute") continue;
    const chunk = about(log, 0, { kind: "node", id: -1 });
    assert.deepEqual([chunk.nbytes, chunk.note], [4 * each, `${log.prompt.length - 4} tokens not read yet`], name);
  }
});

test("a path that ended with all the others kept what it had to the end; one that was pruned did not", () => {
  const log = parseTrace(recorded.find(([name]) => name.startsWith("story"))[1], "story");
  const fate = (status, ahead) => {
    const end = log.ends.findLast((one) => one.status === status);
    return about(log, end.step - ahead, { kind: "path", path: end.path }).fate.replaceAll(String(end.step), "N");
  };
  assert.equal(fate("length", 0), "reached the length limit at step N: its own slots were freed with the run");
  assert.equal(fate("length", 1), "kept to the end of the run, step N, when it reaches the length limit");
  assert.equal(fate("pruned", 0), "was pruned at step N: its own slots were freed then");
  const naive = parseTrace(backends.get("naive"), "naive");
  const [end] = naive.ends;
  assert.equal(about(naive, end.step, { kind: "path", path: end.path }).fate, `reached the length limit at step ${end.step}: its cache was freed with its sample`);
});

test("a run that was stopped promises nothing any more", () => {
  const [, text] = recorded.find(([name]) => name.startsWith("story"));
  const whole = parseTrace(text, "story");
  for (const log of [whole, ...[...backends].map(([name, one]) => parseTrace(one, name))]) {
    const part = new Log(log.header);
    const stop = log.steps.findIndex((step) => step.paths.length > 1 || (step.index > 3 && !step.ends.length)) + 1;
    for (const step of log.steps.slice(0, stop + 1)) part.append(step);
    const at = part.length - 1;
    const { rows, numNodes } = part.at(at);
    const subjects = [{ kind: "node", id: -1 }, { kind: "path", path: rows[0].path }, ...Array.from({ length: numNodes }, (_, id) => ({ kind: "node", id }))];
    for (const subject of subjects) {
      for (const badge of ["stopped", "failed"]) {
        const { fate, note } = about(part, at, subject, badge);
        assert.doesNotMatch(`${fate} ${note}`, /when .* ends|next forward pass|will be/, `${log.header.config.cache.backend} ${JSON.stringify(subject)}`);
      }
    }
    if (log.header.config.cache.backend === "recompute") continue;
    assert.equal(about(part, at, subjects[0], "stopped").fate, "the run was stopped: freed");
    assert.equal(about(part, at, subjects[0], "failed").fate, "the run broke off: freed");
    assert.equal(about(part, at, subjects[1], "stopped").fate, "the run was stopped: freed");
    assert.match(about(part, at, subjects[0], "live").fate, /ends$/);
  }
});
