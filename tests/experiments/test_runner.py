"""The runner of sweeps: rows written once, killed and resumed, failing, in several processes."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import psutil
import pytest
import torch

from explorer import meter
from explorer.config import InputError, RunConfig
from explorer.experiments import workers
from explorer.experiments.records import Records, to_csv
from explorer.experiments.runner import OpenSweep, Plan, key_of, run_sweep
from explorer.experiments.workers import affordable
from tests import schemas
from tests.experiments import counting

ROOT = Path(__file__).parents[2]
MODULE = "tests.experiments.counting"
PATIENCE = 120.0  # seconds for something that takes moments


def plan_of(folder: Path, model: Path, **changes: Any) -> Plan:
    options = counting.OPTIONS | changes.pop("options", {})
    config = changes.pop("config", RunConfig(model=str(model)))
    return Plan(MODULE, config, options, folder, **changes)


def ran_on() -> str:
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def squares(document: dict[str, Any]) -> list[int]:
    return [row["square"] for row in document["rows"]]


def without_times(document: dict[str, Any]) -> Any:
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in document["rows"]]
    return document | {"rows": rows, "csv": Path(document["csv"]).name}


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def wait_until(is_so: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.02)


def test_every_point_is_a_row_in_the_points_order(tmp_path: Path, model_folder: Path) -> None:
    shown: list[tuple[int, int, str]] = []
    document = run_sweep(plan_of(tmp_path, model_folder), lambda *said: shown.append(said))
    jsonschema.validate(document, schemas.SWEEP)
    assert squares(document) == [number**2 for number in range(8)]
    assert document["summary"] == {"sum": 140}
    assert shown == [(number + 1, 8, f"row {number}") for number in range(8)]
    assert json.loads((tmp_path / "counting.json").read_text()) == document
    assert "_process" not in document["rows"][0]
    assert {row["ran_on"] for row in document["rows"]} == {f"{ran_on()}, float32"}


def test_the_table_as_csv_has_a_line_a_row(tmp_path: Path, model_folder: Path) -> None:
    document = run_sweep(plan_of(tmp_path, model_folder))
    with open(document["csv"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["square"] for row in rows] == [str(number**2) for number in range(8)]
    assert to_csv([{"a": 1, "b": None}, {"a": "x,y", "c": 2}]) == b'a,b,c\n1,,\n"x,y",,2\n'


def test_a_row_that_fails_is_recorded_and_the_others_go_on(
    tmp_path: Path, model_folder: Path
) -> None:
    said: list[str] = []
    plan = plan_of(tmp_path, model_folder, options={"broken": 3})
    document = run_sweep(plan, say=said.append)
    assert squares(document) == [0, 1, 4, 16, 25, 36, 49]
    (failed,) = document["failed"]
    assert (failed["name"], failed["number"]) == ("row 3", 3)
    assert failed["error"] == r"KeyError: 'no\nsuch thing'"
    assert said == [f"row 3 failed: {failed['error']}"]


def test_a_failed_row_is_tried_again_and_done_ones_are_not(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(tmp_path, model_folder, options={"broken": 3})
    run_sweep(plan)
    tried: list[str] = []
    real_sweep = counting.SWEEP

    def mended(model: Any, point: Any, options: Any) -> dict[str, Any]:
        tried.append(point.name)
        return real_sweep.measure(model, point, options | {"broken": -1})

    monkeypatch.setattr(counting, "SWEEP", replace(real_sweep, measure=mended))
    resumed = plan_of(tmp_path, model_folder, options={"broken": 3}, resume=True)
    document = run_sweep(resumed)
    assert tried == ["row 3"]
    assert squares(document) == [number**2 for number in range(8)]
    assert document["failed"] == []


def test_a_limit_takes_the_first_points_and_resuming_without_it_the_rest(
    tmp_path: Path, model_folder: Path
) -> None:
    said: list[str] = []
    assert squares(run_sweep(plan_of(tmp_path, model_folder, limit=3))) == [0, 1, 4]
    resumed = plan_of(tmp_path, model_folder, resume=True)
    assert squares(run_sweep(resumed, say=said.append)) == [number**2 for number in range(8)]
    assert said == ["3 of 8 rows are there already"]
    assert [line.get("name") for line in lines_of(tmp_path)[1:]] == [f"row {i}" for i in range(8)]


def test_two_sweeps_never_write_one_file(tmp_path: Path, model_folder: Path) -> None:
    plan = plan_of(tmp_path, model_folder, resume=True)
    with OpenSweep(plan) as sweep:
        next(iter(sweep))
        with pytest.raises(InputError, match=r"another sweep is writing .* another --out"):
            run_sweep(plan)
    assert len(squares(run_sweep(plan))) == 8
    assert len(lines_of(tmp_path)) == 1 + 8


def test_a_folder_with_rows_is_not_written_over(tmp_path: Path, model_folder: Path) -> None:
    run_sweep(plan_of(tmp_path, model_folder, limit=1))
    with pytest.raises(InputError, match="holds rows already; --resume goes on"):
        run_sweep(plan_of(tmp_path, model_folder))


def test_a_sweep_that_ended_before_its_first_row_leaves_its_folder_free(
    tmp_path: Path, model_folder: Path
) -> None:
    with OpenSweep(plan_of(tmp_path, model_folder)):
        pass
    assert len(lines_of(tmp_path)) == 1
    run_sweep(plan_of(tmp_path, model_folder, limit=1, options={"scale": 2}))
    assert len(lines_of(tmp_path)) == 1 + 1


def test_a_file_of_somebody_elses_is_not_written_over(tmp_path: Path, model_folder: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"somebody": "else"}\n')
    with pytest.raises(InputError, match="holds rows already"):
        run_sweep(plan_of(tmp_path, model_folder))
    assert file.read_text() == '{"somebody": "else"}\n'


@pytest.mark.parametrize(
    "changes",
    [{"options": {"scale": 2}}, {"config": RunConfig(model="other")}],
)
def test_rows_of_other_settings_are_never_mixed_in(
    changes: dict[str, Any], tmp_path: Path, model_folder: Path
) -> None:
    run_sweep(plan_of(tmp_path, model_folder, limit=1))
    with pytest.raises(InputError, match="holds rows of other settings"):
        run_sweep(plan_of(tmp_path, model_folder, resume=True, **changes))


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_torn_last_line_is_dropped_and_its_row_measured_again(
    cut: int, tmp_path: Path, model_folder: Path
) -> None:
    whole = run_sweep(plan_of(tmp_path, model_folder, limit=4))
    file = tmp_path / "rows.jsonl"
    file.write_bytes(file.read_bytes()[:-cut])
    torn = run_sweep(plan_of(tmp_path, model_folder, limit=4, resume=True))
    assert without_times(torn) == without_times(whole)
    names = [line["name"] for line in lines_of(tmp_path)[1:]]
    assert names == ["row 0", "row 1", "row 2", "row 3"]


def test_a_file_torn_in_its_first_line_begins_anew(tmp_path: Path, model_folder: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"sweep": "cou')
    document = run_sweep(plan_of(tmp_path, model_folder, limit=2, resume=True))
    assert squares(document) == [0, 1]
    assert lines_of(tmp_path)[0]["sweep"] == "counting"


def test_a_line_damaged_in_the_middle_is_refused(tmp_path: Path, model_folder: Path) -> None:
    run_sweep(plan_of(tmp_path, model_folder, limit=3))
    file = tmp_path / "rows.jsonl"
    header, first, *others = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(header + first[:20] + b"\n" + b"".join(others))
    with pytest.raises(InputError, match="is damaged"):
        run_sweep(plan_of(tmp_path, model_folder, resume=True))


def test_a_folder_that_cannot_be_written_is_said_in_one_sentence(
    tmp_path: Path, model_folder: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"Cannot write .*rows\.jsonl"):
        run_sweep(plan_of(tmp_path / "file" / "sub", model_folder))


def test_a_row_is_known_by_its_whole_configuration() -> None:
    points = counting.points(RunConfig(), counting.OPTIONS, {})
    others = counting.points(RunConfig(temperature=0.5), counting.OPTIONS, {})
    assert len({key_of(point) for point in (*points, *others)}) == 16
    assert key_of(points[0]) == key_of(counting.points(RunConfig(), counting.OPTIONS, {})[0])


def test_a_row_written_twice_is_an_error_of_ours(tmp_path: Path) -> None:
    records = Records(tmp_path, {}, resume=False)
    records.append({"key": "a", "name": "x", "axes": {}, "measures": {}})
    with pytest.raises(AssertionError, match="measured twice"):
        records.append({"key": "a", "name": "x", "axes": {}, "measures": {}})
    records.close()


# ---- processes -----------------------------------------------------------------------------------


def test_several_processes_give_the_same_table(tmp_path: Path, model_folder: Path) -> None:
    one = run_sweep(plan_of(tmp_path / "one", model_folder))
    options = {"milliseconds": 300}
    two = run_sweep(plan_of(tmp_path / "two", model_folder, jobs=2, options=options))
    assert squares(two) == squares(one)
    processes = {line["measures"]["_process"] for line in lines_of(tmp_path / "two")[1:]}
    assert os.getpid() not in processes
    assert 1 <= len(processes) <= 2


def test_rows_of_a_killed_process_are_run_again_and_one_that_kills_every_time_is_a_failure(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTING_MARK", str(tmp_path / "killed"))
    said: list[str] = []
    options = {"rows": 4, "mortal": 1, "fatal": 3}
    plan = plan_of(tmp_path / "two", model_folder, jobs=2, options=options)
    document = run_sweep(plan, say=said.append)
    assert (tmp_path / "killed").exists()
    assert squares(document) == [0, 1, 4]
    (failed,) = document["failed"]
    assert failed["name"] == "row 3"
    assert failed["error"].startswith("the process died of it twice")
    assert said[0].startswith("a process died; ")
    names = [line["name"] for line in lines_of(tmp_path / "two")[1:]]
    assert sorted(names) == ["row 0", "row 1", "row 2", "row 3"]


def test_rows_under_way_are_given_up_when_nobody_wants_them(
    tmp_path: Path, model_folder: Path
) -> None:
    options = {"rows": 4, "slow": 1}
    with OpenSweep(plan_of(tmp_path, model_folder, jobs=2, options=options)) as sweep:
        rows = iter(sweep)
        assert isinstance(rows, Generator)
        first = next(rows)
        helpers = [each for each in psutil.Process().children() if measures(each)]
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            rows.throw(KeyboardInterrupt)
        assert time.monotonic() - began < 60  # a slow row takes 120
    assert first["name"] != "row 1" and len(helpers) == 2
    assert psutil.wait_procs(helpers, timeout=60)[1] == []


def measures(process: psutil.Process) -> bool:
    return "spawn_main" in " ".join(process.cmdline())


def test_no_more_processes_run_than_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "peak_resident_nbytes", lambda: 0)
    gib = 2**30
    monkeypatch.setattr(
        workers.psutil,
        "Process",
        lambda: SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=int(gib / 1.25))),
    )
    said: list[str] = []
    for free, want in ((10 * gib, 4), (3 * gib, 3), (gib // 2, 1)):
        memory = SimpleNamespace(available=free)
        monkeypatch.setattr(workers.psutil, "virtual_memory", lambda memory=memory: memory)
        assert affordable(4, said.append) == want
    assert len(said) == 2
    assert said[0].endswith("do not fit into free memory; 3 run")
    monkeypatch.setattr(
        workers.psutil, "virtual_memory", lambda: SimpleNamespace(available=8 * gib)
    )
    assert affordable(4, said.append) == 4
    monkeypatch.setattr(meter, "peak_resident_nbytes", lambda: int(4 * gib / 1.25))
    assert affordable(4, said.append) == 2  # what a process has held at most counts


def test_no_more_processes_run_than_fit_onto_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gib, free = 2**30, {0: 80, 1: 5}
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 2,
        max_memory_reserved=lambda at: (0, int(2 * gib / 1.25))[at],
        mem_get_info=lambda at: (free[at] * gib, 80 * gib),
    )
    monkeypatch.setattr(torch, "cuda", cuda)
    plenty = SimpleNamespace(available=2**50)
    monkeypatch.setattr(workers.psutil, "virtual_memory", lambda: plenty)
    said: list[str] = []
    assert affordable(4, said.append) == 2
    assert said == ["4 processes of 2.0 GiB do not fit into free memory of GPU 1; 2 run"]


def start(folder: Path, model: Path, jobs: int) -> subprocess.Popen[bytes]:
    """The sweep in a process of its own, slow enough to be met on its way."""
    code = f"""
from pathlib import Path
from explorer.config import RunConfig
from explorer.experiments.runner import Plan, run_sweep
from tests.experiments import counting
if __name__ == "__main__":
    options = counting.OPTIONS | {{"milliseconds": 400}}
    config = RunConfig(model={str(model)!r})
    run_sweep(Plan({MODULE!r}, config, options, Path({str(folder)!r}), jobs={jobs}))
"""
    file = folder.parent / f"start{jobs}.py"
    file.write_text(code)
    return subprocess.Popen(
        [sys.executable, str(file)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_at_some_row_and_resumed_it_gives_the_same_table(
    jobs: int, tmp_path: Path, model_folder: Path
) -> None:
    options = {"milliseconds": 400}
    folder = tmp_path / "killed"
    process = start(folder, model_folder, jobs)
    rows = folder / "rows.jsonl"
    wait_until(lambda: rows.exists() and rows.read_bytes().count(b"\n") >= 4)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL
    before = lines_of(folder)
    assert 3 <= len(before) - 1 < 8
    wait_until(lambda: not any(is_alive(worker) for worker in workers))
    resumed = run_sweep(plan_of(folder, model_folder, resume=True, options=options))
    whole = run_sweep(plan_of(tmp_path / "whole", model_folder, options=options))
    assert without_times(resumed) == without_times(whole)
    after = lines_of(folder)
    assert after[: len(before)] == before
    assert len({line["key"] for line in after[1:]}) == len(after) - 1 == 8


def is_alive(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def test_the_names_of_the_runners_files_are_those_of_the_sweep(
    tmp_path: Path, model_folder: Path
) -> None:
    run_sweep(plan_of(tmp_path, model_folder, limit=1))
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["counting.csv", "counting.json", "rows.jsonl"]
    assert re.fullmatch(r"[0-9a-f]{16}", lines_of(tmp_path)[1]["key"])
