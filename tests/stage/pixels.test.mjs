import assert from "node:assert/strict";
import test from "node:test";

import { colorBits, fillBar } from "../../assets/stage/pixels.js";

const image = (width, height) => ({ width, height, data: new Uint8ClampedArray(4 * width * height) });

test("a colour is its bytes in the order of an image; a bar of half a pixel is half as strong", () => {
  const bytes = (color, thick) => Array.from(new Uint8Array(Uint32Array.of(colorBits({ fillStyle: color }, color, thick)).buffer));
  assert.deepEqual(bytes("#0f766e"), [0x0f, 0x76, 0x6e, 255]);
  assert.deepEqual(bytes("#ffffff", 0.5), [255, 255, 255, 128]);
});

test("bars fill whole pixels, one row at least, and nothing outside the image", () => {
  const rows = (bar) => {
    const made = image(6, 4);
    fillBar(made, ...bar, 0xff000001);
    return Array.from({ length: 4 }, (_, y) => Array.from({ length: 6 }, (_, x) => made.data[4 * (y * 6 + x)]).join(""));
  };
  assert.deepEqual(rows([1.2, 3.4, 1.5, 1]), ["000000", "011100", "000000", "000000"]);
  assert.deepEqual(rows([0, 2, 2, 2]), ["000000", "110000", "110000", "000000"]);
  assert.deepEqual(rows([-3, 9, 0.4, 0.6]), ["111111", "000000", "000000", "000000"]);
  assert.deepEqual(rows([4, 99, 9, 1]), ["000000", "000000", "000000", "000000"]);
});
