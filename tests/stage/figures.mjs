// Prints the figures of the trace files it is given, as the page computes them: a JSON object by file name.

import { readFileSync } from "node:fs";

import { digestOf, resultOf } from "../../assets/stage/counters.js";
import { parseTrace } from "../../assets/stage/log.js";

const figures = {};
for (const file of process.argv.slice(2)) {
  const log = parseTrace(readFileSync(file, "utf8"), file);
  figures[file] = { ...resultOf(log), tree_digest: await digestOf(log) };
}
process.stdout.write(JSON.stringify(figures));
