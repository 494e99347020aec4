// Steps of a live run come in columns (see explorer/ui/wire.py): here they become what a line of the trace says. Pure.

const TEXTS = new Set(["text", "raw"]); // columns whose values stand in `texts`

/** The step that was packed; any other as it is. */
export function unpacked(step) {
  if (!step.texts) return step;
  const { texts, candidates, ...plain } = step;
  const given = rowsOf(candidates, texts);
  let at = 0;
  for (const decision of (plain.decisions = rowsOf(plain.decisions, texts))) {
    decision.candidates = given.slice(at, (at += decision.candidates));
  }
  plain.nodes = rowsOf(plain.nodes, texts);
  return plain;
}

/** A table's rows: a column of one value has it in every row, and one may be another's by name. */
function rowsOf({ rows, ...columns }, texts) {
  const names = Object.keys(columns);
  const values = names.map((name) => valuesOf(columns, name, rows, texts));
  return Array.from({ length: rows }, (_, row) => {
    const made = {};
    for (let at = 0; at < names.length; at++) made[names[at]] = values[at][row];
    return made;
  });
}

function valuesOf(columns, name, rows, texts) {
  let column = columns[name];
  if (typeof column === "string") column = columns[column];
  const all = column.length === rows ? column : Array(rows).fill(column[0]);
  return TEXTS.has(name) ? all.map((at) => texts[at]) : all;
}
