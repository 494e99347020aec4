// What a stored token weighs, in bytes: exact where every slot weighs the same, else the measured mean. No DOM.
//
// In the model's own number format a slot of a layer takes the same bytes whatever it holds. Quantised storage keeps
// recent tokens whole and shares scales in groups: there only the sum of all slots is measured (a step's memory), and
// what is said of one slot is the mean of those that are live.

const OWN = "model"; // kv_dtype of a layer that stores in the model's number format

/** How each layer stores: kv_dtype of a run, which may be one for all of them. */
function formats({ config, model }) {
  const given = config.cache.kv_dtype ?? OWN;
  return Array.from({ length: model.num_layers }, (_, layer) => (Array.isArray(given) ? given[layer] : given));
}

/** Whether some layer stores keys and values in fewer bits than the model's. */
export function isQuantized({ config }) {
  return [config.cache.kv_dtype ?? OWN].flat().some((format) => format !== OWN);
}

/** Bytes of one slot in each layer, by the `memory` of a moment: `{each, isMean}`; while nothing is stored the mean is 0. */
export function slotNbytes(header, memory) {
  const { num_layers: layers, kv_nbytes_per_token: whole } = header.model;
  if (!isQuantized(header)) return { each: Array(layers).fill(whole / layers), isMean: false };
  const live = memory?.layers ?? [];
  const all = formats(header);
  let [cells, left] = [0, memory?.kv_live_nbytes ?? 0];
  all.forEach((format, layer) => {
    if (format === OWN) left -= (live[layer] ?? 0) * (whole / layers);
    else cells += live[layer] ?? 0;
  });
  const mean = cells ? left / cells : 0;
  return { each: all.map((format) => (format === OWN ? whole / layers : mean)), isMean: true };
}

/** Bytes of one slot in every layer: exact, or the mean of this moment. */
export function tokenNbytes(header, memory) {
  if (!isQuantized(header)) return header.model.kv_nbytes_per_token;
  return slotNbytes(header, memory).each.reduce((sum, each) => sum + each, 0);
}

const counted = new WeakMap(); // state -> {cursor, slots}: a state moves on

/** `[[layer, slot], ...]` in which `token` (node id + 1, or -(prompt index + 1)) is held, once layers hold different ones. */
export function heldIn(state, token) {
  const { cursor, capacity } = state;
  const known = counted.get(state);
  if (known?.cursor === cursor && known.capacity === capacity) return known.slots.get(token) ?? [];
  const slots = new Map();
  for (let layer = 0; layer < state.numLayers; layer++) {
    state.tokensOf(layer).forEach((held, slot) => {
      if (!held) return;
      if (!slots.has(held)) slots.set(held, []);
      slots.get(held).push([layer, slot]);
    });
  }
  counted.set(state, { cursor, capacity, slots });
  return slots.get(token) ?? [];
}

/**
 * Bytes of what is stored of node `id` at a state: `{nbytes, layers, isMean}`, `layers` those that hold it; null where
 * none does.
 */
export function nodeNbytes(log, state, { id, slot }) {
  const { header } = log;
  if (!state.isSplit) {
    if (!state.holds(slot, id + 1)) return null;
    return { nbytes: tokenNbytes(header, state.memory), layers: header.model.num_layers, isMean: isQuantized(header) };
  }
  const held = heldIn(state, id + 1);
  if (!held.length) return null;
  const { each, isMean } = slotNbytes(header, state.memory);
  return { nbytes: held.reduce((sum, [layer]) => sum + each[layer], 0), layers: new Set(held.map(([layer]) => layer)).size, isMean };
}
