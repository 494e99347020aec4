// The order of a board's panels: moved, pinned first, hidden. Pure functions; every one gives a new arrangement.

/** All panels, as they come: `{order: [key], hidden: [key], pinned: key|null}`. */
export function arrangement(keys) {
  return { order: [...keys], hidden: [], pinned: null };
}

/** The keys that are shown, the pinned one first. */
export function shownOf({ order, hidden, pinned }) {
  const shown = order.filter((key) => !hidden.includes(key));
  return pinned === null ? shown : [pinned, ...shown.filter((key) => key !== pinned)];
}

/** `key` changes places with its neighbour `by` places on (1 right, -1 left); the pinned one stays first. */
export function moved(all, key, by) {
  const free = shownOf(all).filter((one) => one !== all.pinned);
  const other = free[free.indexOf(key) + by];
  if (key === all.pinned || !free.includes(key) || other === undefined) return all;
  return { ...all, order: all.order.map((one) => (one === key ? other : one === other ? key : one)) };
}

/** `key` is put where `target` stands, the others close ranks; the pinned one stays first. */
export function movedTo(all, key, target) {
  if (key === target || key === all.pinned || target === all.pinned) return all;
  const from = all.order.indexOf(key);
  const to = all.order.indexOf(target);
  const order = all.order.filter((one) => one !== key);
  order.splice(order.indexOf(target) + Number(from < to), 0, key);
  return { ...all, order };
}

/** `key` is what the others are held against, and stands first; again: no longer. */
export function pinnedTo(all, key) {
  return { ...all, pinned: all.pinned === key ? null : key };
}

/** `key` is taken off the board; the last one stays. */
export function hiddenTo(all, key) {
  if (all.hidden.includes(key) || shownOf(all).length < 2) return all;
  return { ...all, hidden: [...all.hidden, key], pinned: all.pinned === key ? null : all.pinned };
}

/** `key` is back, where it was. */
export function shownAgain(all, key) {
  return { ...all, hidden: all.hidden.filter((one) => one !== key) };
}
