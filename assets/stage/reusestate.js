// What a prefix cache was at a moment of its record, and where its blocks stand in the picture. Pure functions.

const MANY = 240; // rows beyond which only what is there at the moment has a place
export const MOST = 1_500; // blocks that have one
const FAR = 4; // times what was held: a bound beyond has no place on the scale

/**
 * The cache at `cursor`: `{cursor, moment, time, request, held, found, fresh, gone, pending}`. `held`: block -> `{pins,
 * turn, born, used, idle, pale}`, pale from 0 to 1: idle as a share of the oldest block's age. `request`: the one whose moment
 * it is, or null; of it `found` are the blocks it took, `fresh` those it left, `pending` those that it will leave, where
 * that is known.
 */
export function stateAt(record, cursor) {
  const moment = record.moments[cursor] ?? null;
  if (!moment) return { cursor, moment, time: 0, request: null, held: new Map(), found: new Set(), fresh: new Set(), gone: [], pending: [] };
  const { time } = moment;
  const oldest = time - moment.held.reduce((first, one) => Math.min(first, one[3]), time);
  const held = new Map(moment.held.map(([id, pins, turn, born, used]) => {
    const idle = Math.max(0, time - used);
    return [id, { pins, turn, born, used, idle, pale: oldest > 0 ? Math.min(1, idle / oldest) : 0 }];
  }));
  const request = record.requests[moment.request] ?? null;
  const isUnderWay = request !== null && moment.kind !== "end";
  const chain = isUnderWay ? request.ids : [];
  const found = moment.hit.length || !isUnderWay ? moment.hit : chain.slice(0, request.hit_blocks);
  return {
    cursor, moment, time, request, held,
    found: new Set(found.filter((id) => held.has(id))),
    fresh: new Set(moment.new.filter((id) => held.has(id))),
    gone: moment.gone.filter((id) => !held.has(id)),
    pending: moment.kind === "look" ? chain.filter((id) => !held.has(id)) : [],
  };
}

/** Whether request `n` has looked by `cursor`. */
export function isReached(record, n, cursor) {
  const span = record.spans[n];
  return (span?.look ?? span?.keep ?? span?.end ?? Infinity) <= cursor;
}

/** How far `request` has come at `cursor`: "ahead", "looked", "kept" or "ended". */
export function progressOf(record, n, cursor) {
  if (!isReached(record, n, cursor)) return "ahead";
  const { keep, end } = record.spans[n];
  if (end !== null && end <= cursor) return "ended";
  return keep !== null && keep <= cursor ? "kept" : "looked";
}

/** Blocks that have left before the moment, as far as they would have been shown: none where there are very many. */
export function pastOf(record, state) {
  if (record.blocks.length > MANY) return [];
  return [...record.blocks.keys()].filter((id) => !state.held.has(id) && !state.gone.includes(id) && record.firsts.get(id) < state.cursor);
}

/** Requests up to `cursor` whose prompt `id` is part of. */
export function usersOf(record, id, cursor) {
  return (record.users.get(id) ?? []).filter((n) => isReached(record, n, cursor));
}

/** The blocks from the first one to `id`. */
export function chainOf(record, id) {
  const chain = [];
  for (let at = id; at !== null && at !== undefined; at = record.blocks[at].parent) chain.push(at);
  return chain.reverse();
}

/**
 * What prompts have behind their blocks: computed and not kept, for it fills no block or there was no room. `[{key, parent,
 * from, tokens, text, requests}]`, equal ones once; `parent`: the block before it, or null.
 */
export function tailsOf(record) {
  if (record.requests.length > MANY) return [];
  const found = new Map();
  for (const { n, ids, parts } of record.requests) {
    const { keep = null, end = null } = record.spans[n] ?? {};
    const rest = parts.slice(ids.length);
    if ((keep ?? end) === null || !rest.length) continue;
    const sum = (some) => some.reduce((total, { tokens }) => total + tokens, 0);
    const text = rest.map((part) => part.text).join("");
    const parent = ids.at(-1) ?? null;
    const key = `${parent}:${text}`;
    if (!found.has(key)) found.set(key, { key, parent, from: sum(parts.slice(0, ids.length)), tokens: sum(rest), text, requests: [] });
    found.get(key).requests.push(n);
  }
  return [...found.values()];
}

/** Those of `tails` that are shown at a moment: `[tail, requests]`, requests of it up to then whose blocks are there. */
export function tailsAt(record, state, tails) {
  const isDone = (n) => ["kept", "ended"].includes(progressOf(record, n, state.cursor));
  return tails.filter(({ parent }) => parent === null || state.held.has(parent)).map((tail) => [tail, tail.requests.filter(isDone)]).filter(([, requests]) => requests.length);
}

/** Block -> requests up to `cursor`, but those in `shown`, that find it as the last of theirs that is still there. */
export function endsAt(record, state, shown) {
  const ends = new Map();
  for (const { n, ids } of record.requests) {
    if (shown.has(n) || !isReached(record, n, state.cursor)) continue;
    const last = ids.findLast((id) => state.held.has(id));
    if (last === undefined) continue;
    if (!ends.has(last)) ends.set(last, []);
    ends.get(last).push(n);
  }
  return ends;
}

/**
 * Places of blocks and tails: `{at, rows, tokens, left}`, `at` a Map of a block, or of a tail's key, to `{row, from, tokens}`,
 * tokens of the text before it and its own. A parent stands in the row of its first child; every other child begins a row
 * below all that the first ones have. `left`: blocks of the moment that have no place, for they are too many.
 */
export function layoutOf(record, state, tails) {
  const parents = new Set([...record.blocks, ...tails].map(({ parent }) => parent));
  const ends = record.blocks.filter((_, id) => !parents.has(id)).length + tails.length; // each has a row
  if (ends <= MANY && record.blocks.length <= MOST) return { ...placed(record, record.blocks.keys(), tails), left: 0 };
  const all = ofMoment(state);
  return { ...placed(record, [...all].slice(0, MOST).sort((a, b) => a - b), []), left: Math.max(0, all.size - MOST) };
}

/** Blocks that are there, come or leave at a moment: what its request is about first, then some of those that leave. */
function ofMoment({ found, fresh, pending, gone, held }) {
  return new Set([...found, ...fresh, ...pending, ...gone.slice(0, MOST / 3), ...held.keys(), ...gone]);
}

function placed(record, ids, tails) {
  const at = new Map();
  const children = new Map([[null, []]]);
  for (const id of ids) {
    const { parent, tokens } = record.blocks[id];
    children.set(id, []);
    if (children.has(parent ?? null)) children.get(parent ?? null).push({ key: id, tokens });
    else children.get(null).push({ key: id, tokens, from: record.starts[id] });
  }
  for (const { key, parent, tokens } of tails) children.get(parent).push({ key, tokens });
  let rows = 0;
  let widest = 0;
  const waiting = [...children.get(null)].reverse();
  while (waiting.length) {
    const { key, from = 0, tokens, row: own } = waiting.pop();
    const row = own ?? rows++;
    at.set(key, { row, from, tokens });
    widest = Math.max(widest, from + tokens);
    const next = children.get(key) ?? [];
    for (let place = next.length - 1; place >= 0; place--) waiting.push({ ...next[place], from: from + tokens, ...(place ? {} : { row }) });
  }
  return { at, rows, tokens: widest };
}

/** What is new over time: `{bars, rates, bytes, bounds}`: a bar a request; hit rate, bytes and their bound a moment. */
export function historyOf(record) {
  const looks = record.spans.flatMap((span, n) => (span ? [{ n, at: span.look ?? span.keep ?? span.end, end: span.end ?? span.keep ?? span.look }] : []));
  return {
    bars: looks.map(({ n, at, end }) => ({ n, at, end, hit: record.requests[n].hit_tokens, miss: record.requests[n].miss_tokens })),
    rates: record.moments.map(({ stats }) => (stats.queries ? stats.hit_rate : null)),
    bytes: record.moments.map(({ stats }) => stats.nbytes),
    bounds: record.moments.map(boundOf),
  };
}

/** Bytes that the scale of a history goes to: all that was held, and bounds that are not far above it. */
export function roomOf({ bytes, bounds }) {
  const top = bytes.reduce((most, one) => Math.max(most, one), 1);
  return bounds.reduce((most, bound) => (bound !== null && bound < FAR * top ? Math.max(most, bound) : most), top);
}

/** Bytes that a moment's cache may hold, where blocks of one size make a bound in blocks one in bytes; null: no bound. */
export function boundOf({ capacity_nbytes: nbytes, capacity_blocks: blocks, stats }) {
  const each = stats.blocks ? stats.nbytes / stats.blocks : null;
  const bounds = [nbytes, blocks !== null && blocks !== undefined && each ? blocks * each : null].filter((one) => typeof one === "number");
  return bounds.length ? Math.min(...bounds) : null;
}
