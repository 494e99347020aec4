// Where nodes stand. x is depth; y grows column by column: a column is made by one step, keeps the order
// of its parents (so edges never cross) and takes the positions nearest to them that leave a lane between
// neighbours. Where many paths ended, the gap they left closes little by little. A placed node never moves.

const WIDE = 2; // lanes between neighbours that stay as they are
const KEEP = 0.82; // of a wider gap's excess, what is left of it a token later
const DRIFT = 0.97; // of the column's distance from the prompt's lane, likewise

/** Rising values nearest to `wanted` (least squares) with at least 1 between neighbours. */
export function separate(wanted) {
  const blocks = [];
  wanted.forEach((value, at) => {
    blocks.push({ sum: value - at, count: 1 });
    while (blocks.length > 1) {
      const [left, right] = blocks.slice(-2);
      if (left.sum / left.count <= right.sum / right.count) break;
      blocks.splice(-2, 2, { sum: left.sum + right.sum, count: left.count + right.count });
    }
  });
  const flat = blocks.flatMap(({ sum, count }) => new Array(count).fill(sum / count));
  return flat.map((value, at) => value + at);
}

/** `wanted` (rising) with its wide gaps made narrower, and its middle a little nearer to 0. */
export function gather(wanted) {
  const gathered = [0];
  for (let at = 1; at < wanted.length; at++) {
    const gap = wanted[at] - wanted[at - 1];
    gathered.push(gathered[at - 1] + (gap > WIDE ? WIDE + (gap - WIDE) * KEEP : gap));
  }
  const middle = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const shift = middle(wanted) * DRIFT - middle(gathered);
  return gathered.map((value) => value + shift);
}

/** The free place nearest to `wanted` in a column that already holds `taken`. */
export function nearestFree(wanted, taken) {
  const free = (y) => taken.every((other) => Math.abs(other - y) >= 0.999);
  if (free(wanted)) return wanted;
  const places = taken.flatMap((other) => [other - 1, other + 1]).filter(free);
  places.sort((a, b) => Math.abs(a - wanted) - Math.abs(b - wanted) || b - a);
  return places[0];
}

/** Lanes (`y`, in lanes, 0 is the prompt's) of a growing log's nodes. */
export class Layout {
  constructor() {
    this.y = []; // by node id
    this.columns = []; // by depth: y of its nodes
    this.extent = [0, 0];
  }

  yOf(id) {
    return id < 0 ? 0 : this.y[id];
  }

  /** Place the nodes of `log` that have no place yet. */
  update(log) {
    while (this.y.length < log.nodes.length) {
      const first = log.nodes[this.y.length];
      const fresh = [];
      for (let id = first.id; id < log.nodes.length && log.nodes[id].step === first.step; id++) {
        fresh.push(log.nodes[id]);
      }
      this.#place(log, fresh);
    }
  }

  #place(log, fresh) {
    const wishes = fresh.map((node) => {
      const siblings = log.node(node.parent).children.filter((id) => log.nodes[id].step === node.step);
      const spread = siblings.indexOf(node.id) - (siblings.length - 1) / 2;
      return { node, parent: this.yOf(node.parent), spread };
    });
    wishes.sort((a, b) => a.parent - b.parent || a.spread - b.spread);
    const depth = fresh[0].depth;
    const column = (this.columns[depth] ??= []);
    const wanted = wishes.map(({ parent, spread }) => parent + spread);
    const placed = column.length ? wanted.map((y) => reserve(y, column)) : separate(gather(wanted));
    if (!column.length) column.push(...placed);
    wishes.forEach(({ node }, at) => {
      this.y[node.id] = placed[at];
      this.extent = [Math.min(this.extent[0], placed[at]), Math.max(this.extent[1], placed[at])];
    });
  }
}

function reserve(wanted, column) {
  const y = nearestFree(wanted, column);
  column.push(y);
  return y;
}
