"""The runner of sweeps: rows one after another or in several processes, resumable after a kill."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import connection
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import orjson
import psutil

from explorer import __version__
from explorer.config import InputError, RunConfig
from explorer.experiments.base import Point, Show, Sweep
from explorer.experiments.records import Records, flat, to_csv

if TYPE_CHECKING:
    from explorer.models import LoadedModel

HEADROOM = 1.25  # of a process that has loaded and prepared: what its rows need beside


def find(module: str) -> Sweep:
    """The sweep of a module."""
    sweep = import_module(module).SWEEP
    assert isinstance(sweep, Sweep)
    return sweep


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep to be run: `module` has it, `config` is what all its rows share."""

    module: str
    config: RunConfig
    options: Mapping[str, int]
    folder: Path
    limit: int | None = None
    jobs: int = 1
    resume: bool = False


def key_of(point: Point) -> str:
    """What a row is known by: the digest of its name, axes and whole configuration."""
    parts = [point.name, point.axes, point.config.model_dump(mode="json")]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def run_sweep(
    plan: Plan,
    show: Show = lambda done, total, name: None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Run what is not done yet and return the `sweep --json` document of all rows so far.

    The document, its table as CSV and the rows lie in `plan.folder`. `say` gets a line for what a
    person should know. Raises InputError where the folder or the settings do not fit.
    """
    sweep = find(plan.module)
    points = sweep.points(plan.config, plan.options)[: plan.limit]
    keys = [key_of(point) for point in points]
    assert len(set(keys)) == len(keys), "two points of a sweep are the same"
    with closing(Records(plan.folder, header_of(sweep, plan), plan.resume)) as records:
        waiting = [
            (key, point) for key, point in zip(keys, points, strict=True) if key not in records.rows
        ]
        done = len(points) - len(waiting)
        if done and waiting:
            say(f"{done} of {len(points)} rows are there already")
        for row in _measured(plan, sweep, waiting, say):
            records.append(row)
            done += 1
            show(done, len(points), row["name"])
            if "error" in row:
                say(f"{row['name']} failed: {row['error']}")
        return _finish(sweep, plan, records, keys)


def header_of(sweep: Sweep, plan: Plan) -> dict[str, Any]:
    """What rows of one file share."""
    return {
        "sweep": sweep.name,
        "version": __version__,
        "options": dict(plan.options),
        "config": plan.config.model_dump(mode="json"),
    }


def _finish(sweep: Sweep, plan: Plan, records: Records, keys: Sequence[str]) -> dict[str, Any]:
    """Write the table and the document; rows in the order of the points."""
    whole = [records.rows[key] for key in keys if key in records.rows]
    table = plan.folder / f"{sweep.name}.csv"
    document: dict[str, Any] = {
        "name": sweep.name,
        "rows": [flat(row) for row in whole],
        "failed": [flat(records.failed[key]) for key in keys if key in records.failed],
        "csv": str(table),
        "num_points": len(keys),
        "conditions": header_of(sweep, plan),
        "summary": sweep.summarize(whole) if whole else {},
    }
    try:
        table.write_bytes(to_csv(document["rows"]))
        data = orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
        (plan.folder / f"{sweep.name}.json").write_bytes(data)
    except OSError as error:
        raise InputError(f"Cannot write into {plan.folder}: {error.strerror}.") from error
    return document


# ---- rows ----------------------------------------------------------------------------------------


class Worker:
    """A process's model and what the sweep prepares once; measures row after row."""

    def __init__(self, module: str, config: RunConfig, options: Mapping[str, int]) -> None:
        from explorer.models import load_model

        self.sweep = find(module)
        self.model: LoadedModel = load_model(config.model, config.device, config.dtype)
        self.prepared = self.sweep.prepare(self.model, options)

    def row(self, key: str, point: Point) -> dict[str, Any]:
        """The row, or the failure in its place: the others go on."""
        began = perf_counter()
        row: dict[str, Any] = {"key": key, "name": point.name, "axes": point.axes}
        try:
            row["measures"] = self.sweep.measure(self.model, point, self.prepared)
        except Exception as error:  # whatever it is, it is this row's: it goes on record
            row["error"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
        row["seconds"] = round(perf_counter() - began, 3)
        return row


def _measured(
    plan: Plan, sweep: Sweep, waiting: Sequence[tuple[str, Point]], say: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Rows in order of their ends."""
    if not waiting:
        return
    worker = Worker(plan.module, plan.config, plan.options)
    jobs = min(affordable(plan.jobs, say), len(waiting))
    if jobs == 1:
        for key, point in waiting:
            yield worker.row(key, point)
        return
    del worker  # it has told what a process needs
    yield from _in_processes(plan, waiting, jobs)


def affordable(jobs: int, say: Callable[[str], None]) -> int:
    """As many processes as `jobs`, or as fit into free memory beside this one, at least 1.

    Each is expected to need what this process, which has loaded and prepared, holds now.
    """
    each = int(psutil.Process().memory_info().rss * HEADROOM)
    fit = max(1, psutil.virtual_memory().available // each)
    if fit < jobs:
        say(f"{jobs} processes of {each / 2**30:.1f} GiB do not fit into free memory; {fit} run")
    return int(min(jobs, fit))


def _in_processes(
    plan: Plan, waiting: Sequence[tuple[str, Point]], jobs: int
) -> Iterator[dict[str, Any]]:
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(
        jobs,
        multiprocessing.get_context("spawn"),
        _start_worker,
        (plan.module, plan.config, dict(plan.options), threads),
    ) as pool:
        left = iter(waiting)
        pending: set[Future[dict[str, Any]]] = set()
        try:
            while True:
                while len(pending) < 2 * jobs and (work := next(left, None)):
                    pending.add(pool.submit(_measure_row, *work))
                if not pending:
                    return
                ended, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
        finally:
            pool.shutdown(cancel_futures=True)


_worker: list[Worker] = []  # of a worker process: its one worker


def _start_worker(module: str, config: RunConfig, options: Mapping[str, int], threads: int) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    _worker.append(Worker(module, config, options))


def _leave_with_parent() -> None:
    """A killed parent tells nobody: without it this process would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _measure_row(key: str, point: Point) -> dict[str, Any]:
    return _worker[0].row(key, point)
