"""Rows on a Ray that is started here: the table of one process, lost workers and all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from explorer.config import InputError, RunConfig
from explorer.experiments.runner import Plan, run_sweep
from tests.experiments import counting

pytest.importorskip("ray", reason="needs the extra: pip install 'forkscope[ray]'")
# Ray leaves sockets and processes to the interpreter's end.
pytestmark = pytest.mark.filterwarnings("default")


def plan_of(folder: Path, model: Path, ray: str | None, **options: int) -> Plan:
    config = RunConfig(model=str(model))
    known: dict[str, Any] = counting.OPTIONS | options
    return Plan("tests.experiments.counting", config, known, folder, jobs=2, ray=ray)


def test_rows_are_those_of_one_process_and_a_lost_workers_row_is_run_again(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTING_MARK", str(tmp_path / "killed"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    said: list[str] = []
    document = run_sweep(plan_of(tmp_path / "out", model_folder, "local", mortal=2, rows=5),
                         say=said.append)  # fmt: skip
    assert (tmp_path / "killed").exists()
    assert [row["square"] for row in document["rows"]] == [0, 1, 4, 9, 16]
    assert document["failed"] == [] and said == ["2 workers on Ray (local)"]
    lines = (tmp_path / "out" / "rows.jsonl").read_bytes().splitlines()
    assert len(lines) == 1 + 5
    assert str(os.getpid()).encode() not in b"".join(lines)


def test_a_cluster_that_does_not_answer_is_one_sentence(tmp_path: Path, model_folder: Path) -> None:
    with pytest.raises(InputError, match="ray: no cluster answers"):
        run_sweep(plan_of(tmp_path, model_folder, "not an address"))
