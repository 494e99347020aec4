"""A trace in other programs' formats: JSON, CSV, GraphML. No torch: a saved trace is enough."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import orjson

from explorer import metrics
from explorer.config import InputError
from explorer.trace import Trace

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_json(trace: Trace) -> bytes:
    """One document: `header` and `steps` as in the trace, and `result` as `run --json` gives it."""
    document = {
        "header": trace.header,
        "steps": trace.steps,
        "result": metrics.result(trace, keep_pruned=True),
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


def to_csv(trace: Trace) -> bytes:
    """`Trace.to_frame`: a row a token. Text is quoted where it holds commas, quotes or newlines."""
    return trace.to_frame().to_csv(index=False).encode("utf-8", errors="replace")


def to_graphml(trace: Trace) -> bytes:
    """`Trace.to_graph`. Characters that XML cannot hold are written as escapes such as \\x00."""
    import networkx

    graph = trace.to_graph()
    for _, attributes in graph.nodes(data=True):
        for name, value in attributes.items():
            if isinstance(value, str):
                attributes[name] = NOT_XML.sub(lambda match: ascii(match[0])[1:-1], value)
    file = io.BytesIO()
    networkx.write_graphml(graph, file)
    return file.getvalue()


EXPORTS: dict[str, Callable[[Trace], bytes]] = {
    "json": to_json,
    "csv": to_csv,
    "graphml": to_graphml,
}


def export(trace: Trace, kind: str, out: str | os.PathLike[str]) -> int:
    """Write `trace` to `out` in format `kind`; the bytes written. Raises InputError."""
    if kind not in EXPORTS:
        raise InputError(f"There is no export to {kind!r}; choose from {', '.join(EXPORTS)}.")
    data = EXPORTS[kind](trace)
    try:
        return Path(out).write_bytes(data)
    except OSError as error:
        raise InputError(f"Cannot write {out}: {error.strerror}.") from error
