// What the fields of a file must be, and the first one that is not: for files read with distrust. Pure.

const MOST = 2 ** 53 - 1;
export const FAR = 1e9; // for numbers that no run comes near to

/** A field for which `holds(value)`; `words`: what it must be. */
export const check = (words, holds) => Object.assign(holds, { words });

/** A spec is one of these, an object of specs by field, or `[spec]` for a list. */
export const whole = (least, most = MOST) => check(
  most === MOST ? `a whole number from ${least} on` : `a whole number from ${least} to ${most}`,
  (value) => Number.isInteger(value) && value >= least && value <= most,
);
export const number = (least = -FAR, most = FAR) => check(
  `a number from ${least} to ${most}`,
  (value) => Number.isFinite(value) && value >= least && value <= most * (1 + 1e-6), // sums of floats
);
export const text = check("a text", (value) => typeof value === "string");
export const flag = check("yes or no", (value) => typeof value === "boolean");
export const oneOf = (...values) => check(`one of ${values.join(", ")}`, (value) => values.includes(value));
export const maybe = (spec) => ({ maybe: spec }); // may be null, or missing
export const COUNT = whole(0);

/** The first field of `value` that is not as `spec` has it, in words; null: none. `where`: what it is, "the line" or so. */
export function fault(value, spec, where) {
  if (spec.maybe) return value === null || value === undefined ? null : fault(value, spec.maybe, where);
  if (value === undefined) return `${where} is missing`;
  if (typeof spec === "function") return spec(value) ? null : `${where} is not ${spec.words}`;
  if (Array.isArray(spec)) {
    if (!Array.isArray(value)) return `${where} is not a list`;
    const isPlain = typeof spec[0] === "function"; // thousands of numbers in a row: no words for those that hold
    for (let at = 0; at < value.length; at++) {
      if (isPlain && spec[0](value[at])) continue;
      const wrong = fault(value[at], spec[0], `${where}[${at}]`);
      if (wrong) return wrong;
    }
    return null;
  }
  if (!isObject(value)) return `${where} is not an object`;
  for (const name of Object.keys(spec)) {
    const wrong = fault(value[name], spec[name], where.startsWith("the ") ? name : `${where}.${name}`);
    if (wrong) return wrong;
  }
  return null;
}

export function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
