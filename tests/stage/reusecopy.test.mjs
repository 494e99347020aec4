// A page's copy of its cache's record, where messages are lost, wait for each other, or come late.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { Copy } from "../../assets/stage/reusecopy.js";
import { numbers as random } from "./random.mjs";

const { start, blocks, requests, moments } = JSON.parse(readFileSync(new URL("../../assets/traces/reuse/rag.json", import.meta.url), "utf8"));

/** What a server that has made `end` moments says from `seq` on; requests that have not ended by then are not done. */
function message(seq, end, more = {}) {
  const made = moments.slice(0, end);
  const known = Math.max(0, ...made.flatMap((one) => [...one.new, ...one.held.map(([id]) => id)]).map((id) => id + 1));
  const before = Math.max(0, ...moments.slice(0, seq).flatMap((one) => one.new).map((id) => id + 1));
  const isDone = (n) => made.some(({ kind, request }) => kind === "end" && request === n);
  const asked = requests.filter(({ n }) => made.some(({ request }) => request === n)).map((one) => (isDone(one.n) ? one : { ...one, done: false, seconds: null, reply: "" }));
  return { reuse: "r", seq, first_block: before, blocks: blocks.slice(before, known), requests: asked, moments: moments.slice(seq, end), ...(seq ? {} : { start }), ...more };
}

/** A copy, what happened to it, and its questions: `answer(said)` answers the oldest one. */
function following(isWanted = () => true) {
  const happened = [];
  const questions = [];
  const copy = new Copy({
    since: (id, seq) => new Promise((answer, fail) => questions.push({ id, seq, answer, fail })),
    isWanted, told: ({ name }) => happened.push(`told ${name}`), lost: ({ name }) => happened.push(`lost ${name}`), grown: () => happened.push("grown"),
  });
  return { copy, happened, questions };
}

const settled = () => new Promise((go) => setTimeout(go));

/** That it is the record up to `end`, request by request and moment by moment. */
function whole(copy, end = moments.length) {
  assert.deepEqual(copy.record.moments, moments.slice(0, end));
  assert.deepEqual(copy.record.requests, message(0, end).requests);
  assert.deepEqual(copy.record.blocks, message(0, end).blocks);
}

test("messages that come while a gap is asked for are taken after it, the last one too, though the answer is older", async () => {
  const { copy, happened, questions } = following();
  copy.take(message(0, 4, { name: "a" }));
  copy.take(message(8, 10, { name: "b" })); // 4 to 8 never came
  copy.take(message(10, moments.length, { name: "c" }));
  await settled();
  assert.deepEqual(questions.map(({ id, seq }) => [id, seq]), [["r", 4]]);
  questions[0].answer(message(4, 8));
  await settled();
  assert.deepEqual(happened, ["told a", "grown", "told b", "told c"]);
  whole(copy);
});

test("an answer that is of a time before the gap's end is asked for again", async () => {
  const { copy, happened, questions } = following();
  copy.take(message(0, 4, { name: "a" }));
  copy.take(message(8, 10, { name: "b" }));
  questions[0].answer(message(4, 6));
  await settled();
  assert.deepEqual(happened, ["told a", "grown"]);
  questions[1].answer(message(6, 9));
  await settled();
  assert.deepEqual(happened, ["told a", "grown", "grown", "told b"]);
  whole(copy, 10);
});

test("what was stopped, or followed by another request, within a gap is taken and not told", async () => {
  let token = 1;
  const { copy, happened, questions } = following((one) => one.token === undefined || one.token === token);
  copy.take(message(0, 4, { token: 1, name: "a" }));
  copy.take(message(8, 10, { token: 1, done: true, name: "b" }));
  token = 2;
  questions[0].answer(message(4, 8));
  await settled();
  assert.deepEqual(happened, ["told a", "grown", "grown"]);
  whole(copy, 10);
  copy.take(message(10, 12, { token: 2, name: "c" }));
  copy.take(message(12, 13, { name: "d" }));
  assert.deepEqual(happened.slice(3), ["told c", "told d"]);
});

test("where no answer comes the message is lost, which is said once where it is waited for, and the next one asks again", async () => {
  let isWanted = true;
  const { copy, happened, questions } = following(() => isWanted);
  copy.take(message(0, 4, { name: "a" }));
  copy.take(message(8, 10, { name: "b" }));
  questions[0].fail(new Error("gone"));
  await settled();
  questions[1].fail(new Error("gone"));
  await settled();
  assert.deepEqual(happened, ["told a", "lost b"]);
  whole(copy, 4);
  isWanted = false;
  copy.take(message(9, 10, { name: "c" }));
  for (const at of [2, 3]) {
    questions[at].answer({});
    await settled();
  }
  assert.deepEqual(happened, ["told a", "lost b"]);
  isWanted = true;
  copy.take(message(10, moments.length, { name: "d" }));
  questions[4].answer(message(4, 10));
  await settled();
  assert.deepEqual(happened, ["told a", "lost b", "grown", "told d"]);
  whole(copy);
});

test("an older answer takes nothing back: neither a record that has replaced its own, nor a request that is done", async () => {
  const { copy, happened, questions } = following();
  copy.take(message(0, 4, { reuse: "old", name: "a" }));
  const asked = copy.catchUp();
  copy.take(message(0, 6, { name: "b" }));
  questions[0].answer(message(0, 9, { reuse: "old" }));
  assert.equal(await asked, true);
  assert.equal(copy.record.id, "r");
  whole(copy, 6);
  const again = copy.catchUp();
  copy.take(message(6, moments.length, { name: "c" }));
  questions[1].answer(message(6, 8));
  await again;
  assert.deepEqual(happened, ["told a", "told b", "told c", "grown"]);
  assert.ok(requests.every(({ done }) => done));
  whole(copy);
});

test("whatever is lost or late, at the end the copy is the record, and what is told of is told in order", async () => {
  for (let seed = 0; seed < 60; seed++) {
    const draw = random(seed);
    const { copy, happened, questions } = following();
    const names = [];
    for (let end = 0, answered = 0; end < moments.length;) {
      const seq = end;
      end = Math.min(moments.length, seq + 1 + Math.floor(draw() * 4));
      if (draw() < 0.7 || end === moments.length) {
        names.push(end);
        copy.take(message(seq, end, { name: end }));
      }
      if (draw() < 0.3) copy.catchUp();
      for (const question of questions.slice(answered)) question.has ??= end; // answered with what there was when it was asked
      while (answered < questions.length && draw() < 0.4) answer(questions[answered++]);
      await settled();
      if (end === moments.length) for (; answered < questions.length; await settled()) answer(questions[answered++], end);
    }
    whole(copy);
    const told = happened.filter((one) => one !== "grown" && one.startsWith("told")).map((one) => Number(one.slice(5)));
    assert.deepEqual(told, [...told].sort((a, b) => a - b), `seed ${seed}`);
    assert.equal(told.at(-1), moments.length);
    assert.ok(told.every((one) => names.includes(one)));
  }
});

function answer({ id, seq, has, answer: say }, now = 0) {
  say(message(id === "r" ? seq : 0, Math.max(has ?? 0, now, seq)));
}
