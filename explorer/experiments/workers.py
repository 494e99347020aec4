"""Who measures a sweep's rows: this process, or several, of which one may die without harm."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import connection
from time import perf_counter
from typing import TYPE_CHECKING, Any

import psutil

from explorer.config import RunConfig
from explorer.experiments.base import Point, Sweep

if TYPE_CHECKING:
    from explorer.models import LoadedModel

HEADROOM = 1.25  # of a process that has loaded and prepared: what its rows need beside
Task = tuple[str, Point]  # a row's key and its point
Row = dict[str, Any]
Load = Callable[[str, str, str], "LoadedModel"]


class Stopped(BaseException):
    """Nobody wants the row under way any more. No failure of the row: it is not recorded."""


def find(module: str) -> Sweep:
    """The sweep of a module, `package.module`, or one of its `SWEEPS`, `package.module:name`."""
    path, _, name = module.partition(":")
    found = import_module(path)
    sweep = found.SWEEPS[name] if name else found.SWEEP
    assert isinstance(sweep, Sweep)
    return sweep


def device_of(config: RunConfig) -> tuple[str, str, str]:
    """Which model a run needs, where, and in which number format."""
    return config.model, config.device, config.dtype


@dataclass(frozen=True, slots=True)
class Work:
    """What a process must know to measure rows."""

    module: str
    options: Mapping[str, int]
    threads: int | None = None  # of torch; None: its own choice


class Worker:
    """A process's model and what the sweep prepares once for it; measures row after row."""

    def __init__(self, work: Work, load: Load | None = None) -> None:
        from explorer.models import load_model

        self.work = work
        self.sweep = find(work.module)
        self._load: Load = load or load_model
        self._key: tuple[str, str, str] | None = None
        self._ready: tuple[LoadedModel, Any] | None = None

    def ready(self, config: RunConfig) -> tuple[LoadedModel, Any]:
        """The model of a run, and what the sweep prepared for it. Raises InputError."""
        if self._ready is None or self._key != device_of(config):
            self._ready = None  # the memory of the last one goes first
            model = self._load(*device_of(config))
            self._ready = model, self.sweep.prepare(model, self.work.options)
            self._key = device_of(config)
        return self._ready

    def row(self, key: str, point: Point) -> Row:
        """The row, or the failure in its place: the others go on."""
        began = perf_counter()
        row: Row = {"key": key, "name": point.name, "axes": point.axes}
        try:
            model, prepared = self.ready(point.config)
            row["ran_on"] = f"{model.info.device}, {model.info.dtype}"
            row["measures"] = self.sweep.measure(model, point, prepared)
        except Exception as error:  # whatever it is, it is this row's: it goes on record
            row["error"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
        row["seconds"] = round(perf_counter() - began, 3)
        return row


def rows_here(worker: Worker, tasks: Sequence[Task]) -> Iterator[Row]:
    """One row after another in this process."""
    for key, point in tasks:
        yield worker.row(key, point)


def affordable(jobs: int, say: Callable[[str], None]) -> int:
    """As many processes as `jobs`, or as fit into free memory beside this one, at least 1.

    Each is expected to need the most that this process, which has loaded and prepared, has held:
    of the machine's memory, and of each GPU that it used.
    """
    from explorer.meter import peak_resident_nbytes

    used = psutil.Process().memory_info().rss
    needs = [(max(used, peak_resident_nbytes()), psutil.virtual_memory().available, "memory")]
    needs += [need for need in _gpu_needs() if need[0]]
    for held, free, where in needs:
        each = int(held * HEADROOM)
        fit = max(1, int(free // each))
        if fit < jobs:
            size = f"{each / 2**30:.1f} GiB"
            say(f"{jobs} processes of {size} do not fit into free {where}; {fit} run")
            jobs = fit
    return jobs


def _gpu_needs() -> list[tuple[int, int, str]]:
    """Of each GPU: bytes that this process has held there at most, bytes that are free."""
    import torch

    if not torch.cuda.is_initialized():
        return []
    return [
        (torch.cuda.max_memory_reserved(at), torch.cuda.mem_get_info(at)[0], f"memory of GPU {at}")
        for at in range(torch.cuda.device_count())
    ]


# ---- several processes ---------------------------------------------------------------------------


def rows_in_processes(
    work: Work, tasks: Sequence[Task], jobs: int, say: Callable[[str], None]
) -> Iterator[Row]:
    """Rows in order of their ends, `jobs` at a time.

    Where a process dies, killed or out of memory, every row that was under way is run again, each
    alone, so that it is known which one it dies of: that one is recorded as a failure.
    """
    left = deque(tasks)
    while left:
        lost = deque((yield from _in_pool(work, left, jobs, 2 * jobs)))
        if lost:
            say(f"a process died; {len(lost)} rows under way are run again, one at a time")
        while lost:
            for task in (yield from _in_pool(work, lost, 1, 1)):
                yield died(*task, "the process died of it twice (killed, or out of memory)")


def died(key: str, point: Point, how: str) -> Row:
    """The failure of a row that took its process with it."""
    return {"key": key, "name": point.name, "axes": point.axes, "error": how, "seconds": None}


def _in_pool(
    work: Work, left: deque[Task], jobs: int, ahead: int
) -> Generator[Row, None, list[Task]]:
    """Rows of `left`, at most `ahead` given out at a time, until it is empty or a process dies;
    then the tasks that were out."""
    with ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), _start_worker, (work,)
    ) as pool:
        pending: dict[Future[Row], Task] = {}
        try:
            while left or pending:
                while left and len(pending) < ahead:
                    pending[pool.submit(_measure_row, *left[0])] = left[0]
                    left.popleft()
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    row = future.result()
                    del pending[future]
                    yield row
        except BrokenProcessPool:
            return list(pending.values())
        except BaseException:  # Ctrl-C, or nobody asks for more: what is under way is given up
            for process in list(pool._processes.values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    return []


_worker: list[Worker] = []  # of a worker process: its one worker


def _start_worker(work: Work) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    if work.threads is not None:
        torch.set_num_threads(work.threads)
    _worker.append(Worker(work))


def _leave_with_parent() -> None:
    """A killed parent tells nobody: without it this process would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _measure_row(key: str, point: Point) -> Row:
    return _worker[0].row(key, point)
