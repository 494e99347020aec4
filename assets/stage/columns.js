// What the table of tokens says: its columns, the rows of a moment, and their order. No DOM.

import { bytes, count, plural, probability, visibleToken } from "./format.js";
import { isWithin } from "./icicle.js";
import { PROMPT } from "./log.js";
import { pruned } from "./shape.js";
import { isQuantized, nodeNbytes } from "./weight.js";

const NONE = "–";
export const STATUS = {
  live: "goes on", passed: "passed", dead: "all pruned", pruned: "pruned", finished: "finished", length: "length limit",
  cancelled: "stopped",
};

/** What became of a token by the cursor: its path's end, the newest of a live path, or passed on the way. */
export function statusOf(node, { state, dead }, live) {
  if (node.ended <= state.cursor) return node.status;
  if (live.has(node.id)) return "live";
  return dead[node.id] === 1 ? "dead" : "passed";
}

/**
 * The columns: `value(node, scene)` sorts (null: unknown or none, always last), `text` is what is written.
 * `scene` is the stage's, with `live` (newest tokens of live paths) and `children` (count by node id) beside it.
 */
export const COLUMNS = [
  column("id", "id", "Number of the token, in order of creation", (node) => node.id, count),
  column("step", "step", "The step that made it", (node) => node.step, count),
  column("depth", "depth", "Its place after the prompt; 0 is the first token made", (node) => node.depth, count),
  column("token", "token", "Its text; · is a space, ⏎ a newline", (node) => visibleToken(node.text, node.raw), (text) => text, false),
  column("prob", "p", "Probability in the distribution that was sampled", (node) => node.prob, probability),
  column("raw", "model p", "Probability by the model itself: temperature 1, no filter", (node) => node.raw_prob, probability),
  column("entropy", "entropy", "Normalised entropy of the next token: 0 sure, 1 as unsure as can be",
    (node, { state }) => (node.decided <= state.cursor ? node.decision.normalized_entropy : null), probability),
  column("children", "children", "Tokens that follow it at this step", (node, { children }) => children[node.id], count),
  column("path", "path", "The path that made it", (node) => node.path, count),
  column("status", "status", "What became of it", (node, scene) => STATUS[statusOf(node, scene, scene.live)], (text) => text, false),
  column("slot", "slot", "The pool slot that holds its keys and values now", (node, { state }) => slotOf(node, state), count),
  column("refs", "refs", "Reference count: live paths that see the slot",
    (node, { state }) => (slotOf(node, state) === null ? null : state.refs[node.slot]), count),
  column("bytes", "KV bytes", "Bytes of its keys and values in the pool, over the layers that hold it; quantised: the measured mean",
    (node, { state, log }) => nodeNbytes(log, state, node)?.nbytes ?? null, bytes),
];

function column(key, title, help, value, write, isNumber = true) {
  return { key, title, help, value, isNumber, text: (node, scene) => written(value(node, scene), write) };
}

function written(value, write) {
  return value === null || value === undefined ? NONE : write(value);
}

function slotOf(node, state) {
  return state.holds(node.slot, node.id + 1) ? node.slot : null;
}

/** How many tokens follow each at the cursor. */
export function childrenAt(log, numNodes) {
  const children = new Int32Array(log.nodes.length);
  for (let id = 0; id < numNodes; id++) if (log.nodes[id].parent !== PROMPT) children[log.nodes[id].parent] += 1;
  return children;
}

/** Ids of the tokens that the table lists: made up to the cursor, of what is hoisted, without hidden ones. */
export function listed(log, state, shape) {
  const gone = shape.hidesPruned ? pruned(log) : null;
  const ids = [];
  for (let id = 0; id < state.numNodes; id++) {
    if (gone?.[id]) continue;
    if (shape.hoisted === PROMPT || isWithin(log, id, shape.hoisted)) ids.push(id);
  }
  return ids;
}

/** `ids` by one column, up (1) or down (-1); what is unknown comes last either way, equal ones by id. */
export function ordered(log, ids, { key, way }, scene) {
  const { value, isNumber } = COLUMNS.find((one) => one.key === key);
  if (key === "id") return way > 0 ? ids : [...ids].reverse();
  const values = new Map(ids.map((id) => [id, value(log.nodes[id], scene)]));
  const compare = isNumber ? (a, b) => a - b : (a, b) => (a < b ? -1 : Number(a > b));
  return [...ids].sort((a, b) => {
    const [one, other] = [values.get(a), values.get(b)];
    if (one === null || other === null) return Number(one === null) - Number(other === null) || a - b;
    return way * compare(one, other) || a - b;
  });
}

/** What is listed, in a sentence. */
export function captionOf(ids, log, state, shape, { key, way }) {
  const parts = [`${plural(ids.length, "token")} made up to step ${Math.max(0, state.cursor)}`];
  if (shape.hoisted !== PROMPT) parts.push("of what is hoisted");
  if (shape.hidesPruned) parts.push("without those that are pruned in the end");
  const { title, isNumber } = COLUMNS.find((one) => one.key === key);
  const order = isNumber ? (way > 0 ? "smallest first" : "largest first") : (way > 0 ? "A to Z" : "Z to A");
  const pool = log.head.numPrompt || !log.length ? "" : " This backend keeps no shared pool: no slots, reference counts or bytes.";
  const mean = isQuantized(log.header) ? " KV bytes are the measured mean: quantised storage." : "";
  const split = state.isSplit ? " Slots and reference counts are those of layer 0." : "";
  return `${parts.join(", ")}; by ${title}, ${order}.${pool}${mean}${split}`;
}
