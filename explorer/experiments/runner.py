"""The runner of sweeps: rows here, in several processes or on a cluster; resumable after a kill."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from explorer import __version__
from explorer.config import InputError, RunConfig
from explorer.experiments.base import Axes, Point, Show
from explorer.experiments.cluster import LOCAL, rows_on_ray
from explorer.experiments.records import Records, flat, to_csv
from explorer.experiments.workers import (
    Load,
    Row,
    Task,
    Work,
    Worker,
    affordable,
    device_of,
    find,
    rows_here,
    rows_in_processes,
)

Say = Callable[[str], None]


def silent(line: str) -> None:
    """Says nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep to be run: `module` has it, `config` is what all its rows share, `axes` stand
    in the place of the sweep's own, `ray` the cluster it runs on ("local": one that is started)."""

    module: str
    config: RunConfig
    options: Mapping[str, int]
    folder: Path
    limit: int | None = None
    jobs: int = 1
    resume: bool = False
    axes: Axes = field(default_factory=dict)
    ray: str | None = None


def key_of(point: Point) -> str:
    """What a row is known by: the digest of its name, axes and whole configuration."""
    parts = [point.name, point.axes, point.config.model_dump(mode="json")]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def tasks_of(plan: Plan) -> list[Task]:
    """Every row of a plan by its key, in order. Raises InputError where two are the same."""
    sweep = find(plan.module)
    points = sweep.points(plan.config, plan.options, plan.axes or sweep.axes)[: plan.limit]
    tasks: dict[str, Point] = {}
    for point in points:
        key = key_of(point)
        if key in tasks:
            raise InputError(f"axes: {point.name!r} stands there twice; name each value once.")
        tasks[key] = point
    return list(tasks.items())


class OpenSweep:
    """A plan under way: iterate for rows as they end, each already on disk; `document()` at any
    time; `close()` when done. Raises InputError where the folder or the settings do not fit."""

    def __init__(self, plan: Plan, say: Say = silent, load: Load | None = None) -> None:
        self.plan = plan
        self.sweep = find(plan.module)
        self.tasks = tasks_of(plan)
        self._say = say
        self._load = load
        self._records = Records(plan.folder, header_of(plan), plan.resume)

    def __enter__(self) -> OpenSweep:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._records.close()

    @property
    def waiting(self) -> list[Task]:
        """What is not measured yet; failed rows are tried again."""
        return [task for task in self.tasks if task[0] not in self._records.rows]

    @property
    def done(self) -> list[Row]:
        """The rows that are there, in the order of the points."""
        rows = self._records.rows
        return [rows[key] for key, _ in self.tasks if key in rows]

    def __iter__(self) -> Iterator[Row]:
        waiting = self.waiting
        done = len(self.tasks) - len(waiting)
        if done and waiting:
            self._say(f"{done} of {len(self.tasks)} rows are there already")
        for row in self._measured(waiting):
            self._records.append(row)
            if "error" in row:
                self._say(f"{row['name']} failed: {row['error']}")
            yield row

    def _measured(self, waiting: Sequence[Task]) -> Iterator[Row]:
        """Rows in order of their ends."""
        plan = self.plan
        work = Work(plan.module, dict(plan.options))
        if not waiting:
            return iter(())
        if plan.ray not in (None, LOCAL):
            return rows_on_ray(work, waiting, plan.ray, plan.jobs, self._say)
        worker = Worker(work, self._load)
        by_model = {device_of(point.config): point.config for _, point in waiting}
        if len(by_model) == 1:
            worker.ready(waiting[0][1].config)  # what cannot be loaded at all is no row's failure
        if plan.jobs == 1 and plan.ray is None:
            return rows_here(worker, waiting)
        for config in by_model.values() if len(by_model) > 1 else ():
            _try(worker, config)
        if plan.ray is not None:
            del worker  # it has told what an actor needs
            return rows_on_ray(work, waiting, plan.ray, plan.jobs, self._say)
        jobs = min(affordable(plan.jobs, self._say), len(waiting))
        if jobs == 1:
            return rows_here(worker, waiting)
        del worker  # it has told what a process needs
        work = Work(plan.module, dict(plan.options), max(1, (os.cpu_count() or 1) // jobs))
        return rows_in_processes(work, waiting, jobs, self._say)

    def document(self) -> dict[str, Any]:
        """The `sweep --json` document of all rows so far, in the order of the points."""
        sweep, failed, whole = self.sweep, self._records.failed, self.done
        return {
            "name": sweep.name,
            "rows": [flat(row) for row in whole],
            "failed": [flat(failed[key]) for key, _ in self.tasks if key in failed],
            "csv": None,  # not written yet
            "num_points": len(self.tasks),
            "conditions": header_of(self.plan),
            "axes": list(self.tasks[0][1].axes) if self.tasks else [],
            "x": sweep.x,
            "measures": {name: asdict(measure) for name, measure in sweep.measures.items()},
            "summary": sweep.summarize(whole) if whole else {},
        }

    def save(self) -> dict[str, Any]:
        """Write the table and the document, which names it, beside the rows. Raises InputError."""
        folder, name = self.plan.folder, self.sweep.name
        document = self.document() | {"csv": str(folder / f"{name}.csv")}
        try:
            (folder / f"{name}.csv").write_bytes(to_csv(document["rows"]))
            data = orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
            (folder / f"{name}.json").write_bytes(data)
        except OSError as error:
            raise InputError(f"Cannot write into {folder}: {error.strerror}.") from error
        return document


def _try(worker: Worker, config: RunConfig) -> None:
    """Load one of several models to see what it takes; one that cannot be is its rows' failure."""
    try:
        worker.ready(config)
    except InputError:
        return


def run_sweep(
    plan: Plan, show: Show = lambda done, total, name: None, say: Say = silent
) -> dict[str, Any]:
    """Run what is not done yet and return the `sweep --json` document of all rows so far.

    The document, its table as CSV and the rows lie in `plan.folder`. `say` gets a line for what a
    person should know. Raises InputError where the folder or the settings do not fit.
    """
    with OpenSweep(plan, say) as sweep:
        done, total = len(sweep.done), len(sweep.tasks)
        for row in sweep:
            done += 1
            show(done, total, row["name"])
        return sweep.save()


def header_of(plan: Plan) -> dict[str, Any]:
    """What rows of one file share. Axes are not among it: with others, rows that fit stay."""
    return {
        "sweep": find(plan.module).name,
        "version": __version__,
        "options": dict(plan.options),
        "config": plan.config.model_dump(mode="json"),
    }
