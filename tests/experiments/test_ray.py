"""Rows on a Ray that starts here or runs already: the table of one process, lost workers too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from explorer.config import InputError, RunConfig
from explorer.experiments import cluster
from explorer.experiments.base import Point
from explorer.experiments.runner import Plan, run_sweep
from explorer.experiments.workers import Work
from tests.experiments import counting

# Ray leaves sockets and processes to the interpreter's end.
pytestmark = pytest.mark.filterwarnings("default")
needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="needs the extra: pip install 'forkscope[ray]'"
)


def plan_of(folder: Path, model: Path, ray: str | None, **options: int) -> Plan:
    config = RunConfig(model=str(model))
    known: dict[str, Any] = counting.OPTIONS | options
    return Plan("tests.experiments.counting", config, known, folder, jobs=2, ray=ray)


@needs_ray
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


@pytest.fixture
def cluster_address() -> Iterator[str]:
    """A Ray that runs already, as somebody else has started it."""
    ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
    head = ["--head", "--node-ip-address=127.0.0.1", "--port=6391", "--num-cpus=2"]
    told = subprocess.run(
        [*ray, "start", *head, "--include-dashboard=false", "--disable-usage-stats"],
        env=os.environ | {"RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    yield "127.0.0.1:6391"
    subprocess.run([*ray, "stop"], capture_output=True, check=True)


@needs_ray
def test_a_running_cluster_is_joined_by_its_address(tmp_path: Path, cluster_address: str) -> None:
    axis = ["--axis", "temperature=0.5,1.0", "--max-new-tokens", "2", "--out", str(tmp_path / "o")]
    sweep = sys.executable, "-m", "explorer", "sweep"
    done = subprocess.run(
        [*sweep, "temperature", *axis, "--json", "--ray", cluster_address],
        env=os.environ | {"RAY_AUTH_MODE": "disabled"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert f"2 workers on Ray ({cluster_address})" in done.stderr
    document = json.loads(done.stdout)
    assert document["failed"] == []
    assert [row["temperature"] for row in document["rows"]] == [0.5, 1.0]


@needs_ray
def test_a_cluster_that_does_not_answer_is_one_sentence(tmp_path: Path, model_folder: Path) -> None:
    with pytest.raises(InputError, match="ray: no cluster answers"):
        run_sweep(plan_of(tmp_path, model_folder, "not an address"))


class Actor:
    """What stands for an actor of Ray's: row 1 breaks down in Ray itself, not in its worker."""

    def __init__(self, work: Work) -> None:
        self.row = SimpleNamespace(remote=lambda key, point: key)


def plain_ray(asked: list[dict[str, Any]], there: dict[str, float]) -> Any:
    class RayError(Exception):
        pass

    class RayActorError(RayError):
        pass

    def get(key: str) -> dict[str, Any]:
        if key == "1":
            raise RayError("the object store\nis full")
        return {"key": key}

    def remote(**settings: Any) -> Any:
        asked.append(settings)
        return lambda kind: SimpleNamespace(remote=Actor)

    return SimpleNamespace(
        cluster_resources=lambda: there,
        remote=remote,
        get=get,
        wait=lambda references, num_returns: (references[:1], references[1:]),
        exceptions=SimpleNamespace(RayError=RayError, RayActorError=RayActorError),
        shutdown=lambda: None,
    )


def tasks_on(device: str) -> list[tuple[str, Point]]:
    config = RunConfig(device=device)
    return [(str(at), Point(f"row {at}", {"number": at}, config)) for at in range(4)]


@pytest.mark.parametrize(
    ("device", "there", "num_gpus", "workers"),
    [
        ("auto", {"CPU": 8.0, "GPU": 2.0}, 1, 2),
        ("cuda", {"CPU": 8.0, "GPU": 8.0}, 1, 4),
        ("cpu", {"CPU": 3.0, "GPU": 2.0}, 0, 3),
        ("auto", {"CPU": 3.0}, 0, 3),
    ],
)
def test_an_actor_asks_for_the_gpu_its_rows_may_run_on_and_a_failure_of_ray_is_one_rows(
    device: str,
    there: dict[str, float],
    num_gpus: int,
    workers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, Any]] = []
    said: list[str] = []
    monkeypatch.setattr(cluster, "_connect", lambda *_: plain_ray(asked, there))
    work = Work("tests.experiments.counting", counting.OPTIONS)
    rows = list(cluster.rows_on_ray(work, tasks_on(device), "10.0.0.1:6379", 1, said.append))
    assert [settings["num_gpus"] for settings in asked] == [num_gpus]
    assert said == [f"{workers} workers on Ray (10.0.0.1:6379)"]
    assert [row["key"] for row in rows if "error" not in row] == ["0", "2", "3"]
    assert [row["error"] for row in rows if "error" in row] == ["Ray: the object store is full"]


def test_a_cluster_without_the_gpu_that_is_asked_for_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "_connect", lambda *_: plain_ray([], {"CPU": 8.0}))
    with pytest.raises(InputError, match="ray: the cluster has no GPU; take --device cpu"):
        list(cluster.rows_on_ray(Work("x", {}), tasks_on("cuda"), "local", 1, lambda _: None))


def test_actors_that_are_started_here_are_no_more_than_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(cluster, "_connect", lambda *_: plain_ray([], {"CPU": 8.0}))
    monkeypatch.setattr(cluster, "affordable", lambda jobs, say: min(jobs, 2))
    work = Work("tests.experiments.counting", counting.OPTIONS)
    rows = list(cluster.rows_on_ray(work, tasks_on("cpu"), "local", 4, said.append))
    assert said == ["2 workers on Ray (local)"] and len(rows) == 4
