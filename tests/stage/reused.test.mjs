import assert from "node:assert/strict";
import test from "node:test";

import { narrate } from "../../assets/stage/format.js";
import { Log, parseTrace } from "../../assets/stage/log.js";
import { reusedWords } from "../../assets/stage/reused.js";
import { TreeTokens } from "../../assets/stage/shapes.js";
import { backends, byHand } from "./traces.mjs";

const REUSED = {
  hit_tokens: 487, miss_tokens: 25, hit_blocks: 30, stored_blocks: 0, evicted_blocks: 0, blocks: 31, nbytes: 4096,
  seconds: 0.02, cold_seconds: 0.33, cold_tokens: 512, seconds_saved: 0.31, max_abs_error: null, reason: "",
};
const words = (changes) => reusedWords({ steps: [{ reused: null }, { reused: { ...REUSED, ...changes } }, {}] });

test("what was reused is a line", () => {
  assert.equal(words({}), "487 of 512 prompt tokens reused, 0.31 s saved");
  assert.equal(words({ seconds_saved: 0.0042 }), "487 of 512 prompt tokens reused, 4.2 ms saved");
  assert.equal(words({ seconds_saved: -0.0042 }), "487 of 512 prompt tokens reused, 4.2 ms lost");
  assert.equal(words({ cold_tokens: 480 }), "487 of 512 prompt tokens reused, about 0.31 s saved");
  assert.equal(words({ seconds_saved: null }), "487 of 512 prompt tokens reused");
  assert.equal(words({ seconds_saved: null, max_abs_error: 0.01234 }), "487 of 512 prompt tokens reused; they lay in 8 bits, off by at most 0.012");
  assert.equal(words({ hit_tokens: 0, miss_tokens: 1512 }), "0 of 1,512 prompt tokens reused: none was in the prefix cache");
  assert.equal(words({ hit_tokens: 0, miss_tokens: 9, reason: "h2o has to see it." }), "0 of 9 prompt tokens reused: h2o has to see it");
  assert.equal(reusedWords({ steps: byHand }), "");
});

/** The recorded run of `cow`, its first step changed. */
function changed(changes) {
  const [head, first, ...rest] = backends.get("cow").trimEnd().split("\n");
  return [head, JSON.stringify({ ...JSON.parse(first), ...changes }), ...rest, ""].join("\n");
}

function logOf(text) {
  const { header, steps } = parseTrace(text);
  const log = new Log(header);
  steps.forEach((step) => log.append(step));
  return log;
}

test("slots that no pass wrote are the prompt's, and counted with it", () => {
  const [cold, reusing] = [{}, { positions: 1, reused: { ...REUSED, hit_tokens: 3 } }].map((one) => logOf(changed(one)));
  assert.deepEqual(new TreeTokens(reusing).grow().forward, new TreeTokens(cold).grow().forward);
  assert.equal(reusing.at(0).numPrompt, 4);
  assert.equal(narrate(cold, 0), "Step 0: the model read 4 prompt tokens; 1 path live.");
  assert.equal(narrate(reusing, 0), "Step 0: 3 prompt tokens came from the prefix cache and the model read 1 prompt token; 1 path live.");
});

test("a damaged record of reuse is refused", () => {
  assert.throws(() => parseTrace(changed({ reused: { ...REUSED, hit_tokens: -1 } })), /reused\.hit_tokens/);
});
