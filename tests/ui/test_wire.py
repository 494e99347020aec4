"""Steps on their way to the page say what their lines in a trace say, and take less room."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.events import Candidate, Decision, Look, Node, Step
from explorer.trace import Trace
from explorer.ui.wire import packed
from tests.conftest import make_step
from tests.ui.unpacked import unpacked

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")
TRACES = sorted((ROOT / "assets" / "traces").glob("*.jsonl"))
UNPACK = """import { unpacked } from "./assets/stage/wire.js";
import { readFileSync } from "node:fs";
const steps = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(steps.map(unpacked)));"""

numbers = st.floats(-1e3, 1e3) | st.sampled_from([0.0, -0.0, 1.0, float("nan"), float("-inf")])
texts = st.text(max_size=4) | st.sampled_from(["", " a", "<", "text", "\u2028"])
few = st.integers(-1, 2)
candidates = st.builds(Candidate, few, texts, numbers, numbers)
decisions = st.builds(
    Decision, few, few, numbers, numbers, numbers, few, st.lists(candidates, max_size=3).map(tuple),
    st.none() | numbers, st.none() | few, look=st.none() | st.just(Look((0,), (0.5,))),
)  # fmt: skip
nodes = st.builds(Node, few, few, few, few, texts, texts, *[numbers] * 4, st.none() | numbers)


@given(st.lists(decisions, max_size=4), st.lists(nodes, max_size=4))
def test_every_step_is_read_as_its_line_says(made: list[Decision], grown: list[Node]) -> None:
    step = replace(make_step(0), decisions=tuple(made), nodes=tuple(grown))
    assert repr(unpacked(orjson.loads(packed(step)))) == repr(orjson.loads(orjson.dumps(step)))


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_recorded_runs_are_read_as_their_lines_say_and_take_less(path: Path) -> None:
    steps = Trace.load(path).steps
    sent, lines = [packed(step) for step in steps], [orjson.dumps(step) for step in steps]
    assert [unpacked(orjson.loads(one)) for one in sent] == [orjson.loads(line) for line in lines]
    assert sum(map(len, sent)) < 0.75 * sum(map(len, lines))


@pytest.mark.skipif(NODE is None, reason="needs node")
@settings(max_examples=5, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(decisions, max_size=2), st.lists(nodes, max_size=2)),
        min_size=4,
        max_size=6,
    )
)
def test_the_page_reads_it_so_too(parts: list[tuple[list[Decision], list[Node]]]) -> None:
    steps = [
        replace(make_step(0), decisions=tuple(made), nodes=tuple(grown)) for made, grown in parts
    ]
    assert unpacked_by_the_page(steps) == [json.loads(orjson.dumps(step)) for step in steps]


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_the_page_reads_recorded_runs_so_too() -> None:
    steps = [step for path in TRACES for step in Trace.load(path)]
    assert unpacked_by_the_page(steps) == [json.loads(orjson.dumps(step)) for step in steps]


def unpacked_by_the_page(steps: list[Step]) -> Any:
    assert NODE is not None
    command = [NODE, "--input-type=module", "-e", UNPACK]
    given = b"[" + b",".join(packed(step) for step in steps) + b"]"
    return json.loads(subprocess.run(command, cwd=ROOT, input=given, stdout=-1, check=True).stdout)
