// Where the tree's view goes by itself: after the newest tokens, out to the whole tree, to a token that was asked for.

import { isStill } from "./dom.js";
import { DX, DY } from "./foldmark.js";
import { front } from "./looks.js";
import { holderOf } from "./sight.js";

const TALL = 16; // pixels of a lane that the whole tree is drawn with at most
const EDGE = 36; // pixels that the newest tokens keep from the rim when followed
const LEFT = 74; // pixels that the prompt keeps from the left rim
const SIDES = [58, 20]; // pixels of the world left and right of the whole tree: the prompt's word, the last dots,
const RIMS = [16, 26]; // ... and of the screen: far out marks are larger than the world
const DRIFT = 40; // pixels that the newest tokens may be off the middle where they fill the card
const LEAD = 7; // columns by which the view goes ahead where steps come fast: it moves once in as many,
const AHEAD = 0.45; // ... but never by more of the card
const FAR = 1.5; // widths of the card between the newest tokens and what is in sight, above which it does not either
const SMOOTH = 250; // marks in sight up to which the view glides
const FADE = { duration: 240, easing: "ease-out" }; // milliseconds

export class Guide {
  /** `tree`: the Tree whose camera it moves. */
  constructor(tree) {
    this.tree = tree;
  }

  /** Keep the newest column in sight, as large as the column allows. `isFast`: keep up, and do not glide; `isMoving`: nor far. */
  follow(state, { isMoving = false, isFast = false, at_once = false }) {
    const { camera, box, log, layout } = this.tree;
    if (!box) return;
    const { column, lanes } = front(log, layout, state);
    const top = Math.min(...lanes);
    const bottom = Math.max(...lanes);
    const scale = Math.max(0.66, Math.min(1.1, (box.height - 48) / ((bottom - top + 1.4) * DY)));
    const x = Math.min(LEFT, box.width - (column + 1.6) * DX * scale);
    const y = box.height / 2 - ((top + bottom) / 2) * DY * scale;
    const place = column * DX * camera.scale + camera.x; // pixels from the left rim
    const isFar = place < -FAR * box.width || place > (1 + FAR) * box.width;
    if (at_once || (isMoving && isFar)) {
      camera.jump(x, y, scale);
      return;
    }
    this.#catchUp(box, column, top, bottom, isFast);
    if (!isFast) camera.glide(x, y, scale);
    else if (Math.abs(scale / camera.scale - 1) < 0.25) camera.stop();
    else camera.jump(x, y, scale);
  }

  /** The whole tree in sight: as wide as the card, and as high where its lanes allow. */
  fit(at_once) {
    const { tree } = this;
    const { box, layout } = tree;
    const [low, high] = layout.extent;
    const width = layout.columns.length * DX;
    const lane = (box.height - 12) / (high - low + 1.6); // pixels
    const scale = Math.min(1.2, (box.width - RIMS[0] - RIMS[1]) / (width + SIDES[0] + SIDES[1]), lane / DY);
    tree.laneFloor = Math.min(TALL, lane);
    const lopsided = RIMS[0] - RIMS[1] + (SIDES[0] - SIDES[1]) * scale;
    this.#go((box.width - width * scale + lopsided) / 2, box.height / 2 - ((low + high) / 2) * tree.lanePixels(scale), scale, at_once);
  }

  /** Move the view so that a column and a lane are in its middle. */
  centre(column, lane, scale, at_once) {
    const { box } = this.tree;
    this.#go(box.width / 2 - column * DX * scale, box.height / 2 - lane * this.tree.lanePixels(scale), scale, at_once);
  }

  /** Bring a node in sight, near enough to be drawn for itself. */
  reveal(id) {
    const { box, camera, log, layout, scene, level } = this.tree;
    if (!box) return;
    const { x, y } = this.tree.placeOf(id);
    const [px, py] = [x * camera.scale + camera.x, y * camera.scale + camera.y];
    const isOut = px < 50 || py < 30 || px > box.width - 50 || py > box.height - 30;
    const isFolded = scene && holderOf(log, layout, level, id) !== id;
    if (isOut || isFolded) this.tree.centre(layout.columnOf(log, id), layout.yOf(id), isFolded ? Math.max(0.6, camera.scale) : camera.scale);
  }

  /** A glide; where there are so many marks that it would stutter, a cut that fades in. */
  #go(x, y, scale, at_once) {
    const { camera, present, root } = this.tree;
    if (!at_once && present.length <= SMOOTH) {
      camera.glide(x, y, scale);
      return;
    }
    camera.jump(x, y, scale);
    if (!at_once && !isStill()) root.animate({ opacity: [0.15, 1] }, FADE);
  }

  /** The newest tokens are never out of sight, however fast they come: as little as needed, at once. */
  #catchUp(box, column, top, bottom, isFast) {
    const { camera } = this.tree;
    const right = column * DX * camera.scale + camera.x;
    const [high, low] = [top, bottom].map((lane) => lane * this.tree.lanePixels(camera.scale) + camera.y);
    const over = Math.min(0, box.width - EDGE - right);
    const lead = over && isFast ? Math.min(LEAD * DX * camera.scale, AHEAD * box.width) : 0;
    const dx = over - lead + Math.max(0, Math.min(EDGE, LEFT) - right);
    const isOut = high < EDGE / 2 || low > box.height - EDGE / 2; // always, where they are higher than the card
    const middle = box.height / 2 - (high + low) / 2;
    const fits = low - high <= box.height - EDGE;
    const dy = isOut && (over || fits || Math.abs(middle) > DRIFT) ? middle : 0;
    if (dx || dy) camera.set(camera.x + dx, camera.y + dy, camera.scale);
  }
}
