// What the page asked for, what answers it, and what it missed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { CatchUp } from "../../assets/stage/catchup.js";
import { Requests } from "../../assets/stage/requests.js";

test("a message is taken while its request is open, and never after", () => {
  const requests = new Requests();
  const first = requests.ask("explore");
  assert.match(first, /^[0-9a-f]{32}$/);
  assert.ok(requests.isOpen("explore"));
  assert.ok(requests.takes("explore", { token: first }));
  assert.equal(requests.close("explore"), first);
  assert.ok(!requests.takes("explore", { token: first }), "stopped: what is on its way is nobody's");
  const second = requests.ask("explore");
  assert.notEqual(second, first);
  assert.ok(!requests.takes("explore", { token: first }), "the first batch of the one before is not of this one");
  assert.ok(requests.takes("explore", { token: second }));
  assert.equal(requests.close("nobody"), null);
});

test("each stage has its own request", () => {
  const requests = new Requests();
  const run = requests.ask("explore");
  const comparison = requests.ask("compare");
  assert.ok(!requests.takes("compare", { token: run }));
  requests.close("explore");
  assert.ok(requests.isAny, "the comparison still waits");
  assert.ok(requests.takes("compare", { token: comparison }));
  requests.close("compare");
  assert.ok(!requests.isAny);
});

test("a message that answers no request is taken as it comes", () => {
  assert.ok(new Requests().takes("flood", { run: "r" }));
  assert.ok(new Requests().takes("flood", { token: null }));
});

test("every opening and closing is told, and closing nothing is not", () => {
  let told = 0;
  const requests = new Requests(() => (told += 1));
  requests.ask("explore");
  requests.close("explore");
  requests.close("explore");
  assert.equal(told, 2);
});

/** A server that answers when told to. */
function server() {
  const asked = [];
  return { asked, heal: (run, seq) => new Promise((resolve, reject) => asked.push({ run, seq, resolve, reject })) };
}
const settled = () => new Promise((resolve) => setTimeout(resolve));

test("what came while an answer was on its way is taken after it: it may be the last", async () => {
  const { asked, heal } = server();
  const taken = [];
  const catchUp = new CatchUp(heal, (batch) => taken.push(batch));
  catchUp.ask({ run: "r", seq: 5 }, 3);
  catchUp.ask({ run: "r", seq: 6, done: true }, 3);
  assert.deepEqual(asked.map(({ run, seq }) => [run, seq]), [["r", 3]]);
  asked[0].resolve({ run: "r", seq: 3 });
  await settled();
  assert.deepEqual(taken, [{ run: "r", seq: 3 }, { run: "r", seq: 6, done: true }]);
});

test("an answer to what was stopped is not taken, and one that failed is asked for again", async () => {
  const { asked, heal } = server();
  const taken = [];
  const catchUp = new CatchUp(heal, (batch) => taken.push(batch));
  catchUp.ask({ run: "r", seq: 5 }, 3);
  catchUp.forget();
  asked[0].resolve({ run: "r", seq: 3 });
  await settled();
  assert.deepEqual(taken, []);
  catchUp.ask({ run: "s", seq: 2 }, 0);
  asked[1].reject(new Error("gone"));
  await settled();
  catchUp.ask({ run: "s", seq: 3 }, 0);
  asked[2].resolve({ run: "s", seq: 0 });
  await settled();
  assert.deepEqual(taken, [{ run: "s", seq: 0 }]);
});
