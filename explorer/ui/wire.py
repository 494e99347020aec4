"""A step on its way to the page: what a trace's line says, a third as long. `wire.js` reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import orjson

from explorer.events import Candidate, Decision, Node, Step

TEXTS = ("text", "raw")  # fields whose values are given by their places in `texts`


def packed(step: Step) -> bytes:
    """`step` as JSON, its decisions, their candidates and its nodes as tables.

    A table is `rows`, their number, and a column a field: one value where all are equal, and the
    name of an earlier column where they are the same as there. In the decisions' table the column
    `candidates` says how many of the candidates are whose. `texts` are the strings of all tables,
    each once.
    """
    texts: dict[str, int] = {}
    candidates = [one for decision in step.decisions for one in decision.candidates]
    counts = [len(decision.candidates) for decision in step.decisions]
    tables = {
        "decisions": _table(Decision, step.decisions, texts, candidates=counts),
        "candidates": _table(Candidate, candidates, texts),
        "nodes": _table(Node, step.nodes, texts),
    }
    plain = {field.name: getattr(step, field.name) for field in fields(step)}
    return orjson.dumps(plain | tables | {"texts": list(texts)})


def _table(
    kind: type, rows: Sequence[Any], texts: dict[str, int], **given: list[Any]
) -> dict[str, Any]:
    table: dict[str, Any] = {"rows": len(rows)}
    known: dict[bytes, str] = {}  # a column as JSON -> the first field that has it
    for name in (field.name for field in fields(kind)):
        values = given.get(name) or [getattr(row, name) for row in rows]
        if name in TEXTS:
            values = [texts.setdefault(value, len(texts)) for value in values]
        if len(set(map(repr, values))) < 2:
            table[name] = values[:1]
            continue
        column = orjson.dumps(values)
        first = known.setdefault(column, name)
        table[name] = orjson.Fragment(column) if first == name else first
    return table
