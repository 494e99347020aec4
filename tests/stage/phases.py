"""What `phases.json` holds: the figures of both phases of real traces, at several steps, by Python.

`phases.test.mjs` holds the page's own arithmetic against them. Made anew by
`python -m tests.stage.phases`.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson

from explorer.events import Rates, Work
from explorer.phases import phases
from explorer.trace import Trace

HERE = Path(__file__).parent
STORED = ("int8", "h2o", "aggregate", "mixed")
FILE = HERE / "phases.json"
# Of the bundled model, roughly; weights and rates at which steps are bound by either.
WORK = Work(
    flops_per_position=1_324_800,
    flops_per_logits=535_680,
    flops_per_pair=2_560,
    weight_nbytes=4_794_880,
    active_nbytes=3_000_000,
    expert_nbytes=2_400_000,
)
RATES = Rates(flops_per_second=5e9, nbytes_per_second=4e9, conditions="set by hand")


def traces() -> dict[str, Path]:
    """The runs of every backend, and two that evict or store in integers."""
    found = {file.stem: file for file in sorted((HERE / "backends").glob("*.jsonl"))}
    return found | {name: HERE / "stored" / f"{name}.jsonl" for name in STORED}


def document() -> dict[str, Any]:
    """`{work, rates, runs: {name: [[cursor, figures], ...]}}`."""
    runs = {}
    for name, file in traces().items():
        trace = Trace.load(file)
        model = replace(trace.header.model, work=WORK)
        trace.header = replace(trace.header, model=model, rates=RATES)
        cursors = sorted({-1, 0, 1, len(trace) // 2, len(trace) - 1})
        runs[name] = [[cursor, _figures(trace.until(cursor))] for cursor in cursors]
    return {"work": asdict(WORK), "rates": asdict(RATES), "runs": runs}


def _figures(trace: Trace) -> dict[str, Any]:
    found = phases(trace)
    del found["formulas"]
    return found


if __name__ == "__main__":
    FILE.write_bytes(orjson.dumps(document()) + b"\n")
