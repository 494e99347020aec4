// Round ticks of an axis. Pure functions.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Rising round values from 0 to the first one at or above `top`, about `wanted` of them, at least `least` apart. */
export function ticks(top, wanted = 4, least = 0) {
  if (!(top > 0)) return [0, 1];
  const rough = Math.max(least, top / wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const each = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999 && (!least || Number.isInteger(size / least)));
  const number = Math.ceil(top / each - 1e-9);
  return Array.from({ length: number + 1 }, (_, at) => Number((at * each).toPrecision(12)));
}

/** `ticks` of bytes, round in the binary unit in which `top` has at most four digits: `{unit, size, values}`. */
export function byteTicks(top, wanted = 4) {
  let power = 0;
  while (top >= 1024 ** (power + 1) && power < UNITS.length - 1) power += 1;
  const size = 1024 ** power;
  return { unit: UNITS[power], size, values: ticks(top / size, wanted).map((value) => value * size) };
}
