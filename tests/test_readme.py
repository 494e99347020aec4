"""The front door says what is so: its figures are the benchmark's, its example runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CASES: list[dict[str, Any]] = json.loads((ROOT / "assets/benchmarks/cpu.json").read_text())["cases"]


def test_the_space_is_told_what_the_requirements_pin() -> None:
    front = README.split("---")[1]
    pinned = dict(
        line.split("==") for line in (ROOT / "requirements.txt").read_text().split() if "==" in line
    )
    assert f"sdk_version: {pinned['gradio']}\n" in front
    for line in (
        "sdk: gradio",
        "app_file: app.py",
        'python_version: "3.11"',
        "license: apache-2.0",
    ):
        assert f"\n{line}\n" in front
    short = re.search(r"short_description: (.*)", front)
    assert short and len(short[1]) <= 60


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_every_measured_figure_stands_in_the_table_as_it_was_measured(case: dict[str, Any]) -> None:
    what = case["name"] + (f" / {case['ratio_to']}" if case["ratio_to"] else "")
    rows = [line for line in README.splitlines() if line.startswith(f"| {what} |")]
    assert len(rows) == 1
    figure = case["ratio"] if case["ratio"] is not None else case["seconds"]
    unit = "" if case["ratio"] is not None else " s"
    assert f"| {figure:.2f}{unit} |" in rows[0]
    assert f"| {case['goal'] or ''}" in rows[0]


def test_goals_that_were_missed_and_what_a_beginning_takes_are_said() -> None:
    prose = " ".join(README.split())
    missed = [case for case in CASES if case["met"] is False]
    told = prose.partition("**Not met:**")[2].partition("An update of a sketch")[0]
    assert told.count("(") == len(missed)
    assert all(f"({case['ratio']:.2f} times" in told for case in missed)
    few, many = (
        round(100 * case["busy_with_beginnings"])
        for case in CASES
        if case["name"].endswith("main thread busy with updates")
    )
    assert f"every four seconds, it is {few} and {many} %, above the goal." in prose
    assert min(few, many) > 20


GRID: dict[str, Any] = json.loads((ROOT / "assets/benchmarks/sketch_grid.json").read_text())


@pytest.mark.parametrize("question", ["window", "random", "h2o", "width", "depth", "bytes"])
def test_the_grids_answers_stand_in_it_as_they_were_computed(question: str) -> None:
    assert GRID["summary"][question]["answer"] in README


@pytest.mark.parametrize(
    ("sweep", "question"),
    [
        *(("select", name) for name in ("distinct_2", "self_bleu", "coverage")),
        ("select", "effective_samples"),
        ("prefix", "order"),
    ],
)
def test_answers_of_sweeps_stand_in_it_as_they_were_computed(sweep: str, question: str) -> None:
    document = json.loads((ROOT / f"assets/benchmarks/{sweep}.json").read_text())
    assert document["failed"] == [] and len(document["rows"]) == document["num_points"]
    assert document["summary"][question]["answer"] in README


def test_its_rows_of_the_grid_are_the_measured_ones() -> None:
    rows = {row["name"]: row for row in GRID["rows"]}
    table = README.split("## Does a sketch help?")[1].split("![")[0].splitlines()
    shown = [line.strip("| ").split(" | ") for line in table if line.startswith("| ")][2:]
    assert len(shown) == 13
    for name, difference, interval, recall, flips, nbytes in shown:
        row = rows[name.split(" (")[0]]
        assert difference == f"{row['delta_nll']:+.4f}"
        assert interval == f"{row['delta_nll_low']:+.4f} to {row['delta_nll_high']:+.4f}"
        assert recall == f"{100 * row['recall']:.0f} %"
        assert flips == f"{100 * row['flip_rate']:.1f} %"
        assert nbytes == f"{row['total_nbytes'] / 1024:.0f} KiB"


def test_its_python_example_prints_what_it_shows() -> None:
    code, shown = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.S).groups()  # type: ignore[union-attr]
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout == shown


def test_every_file_it_names_is_there() -> None:
    for link in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / link).exists(), link
