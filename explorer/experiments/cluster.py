"""A sweep's rows on a Ray cluster; needs the package's extra `ray`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from explorer.config import InputError
from explorer.experiments.workers import Row, Task, Work, Worker, affordable, died

LOCAL = "local"  # a Ray that is started here and ends with the sweep
RETRIES = 2  # of a row whose worker was lost


def rows_on_ray(
    work: Work, tasks: Sequence[Task], address: str, jobs: int, say: Callable[[str], None]
) -> Iterator[Row]:
    """Rows in order of their ends, on as many actors as `jobs`, or as the cluster has CPUs; each
    has a GPU of its own where rows may run on one and the cluster has any. Those that are started
    here are no more than fit beside this process, which has loaded and prepared.

    An actor that is lost is started again, and its row run again, `RETRIES` times; then the row is
    a failure. `address` is a cluster's, or "local". Raises InputError where there is none.
    """
    ray = _connect(address, jobs)
    try:
        there = ray.cluster_resources()
        num_gpus = gpus_for(tasks, int(there.get("GPU", 0)))
        count = jobs if jobs > 1 else int(there.get("CPU", 1))
        count = max(1, min(count, len(tasks), int(there["GPU"]) if num_gpus else count))
        if address == LOCAL:
            count = affordable(count, say)
        say(f"{count} workers on Ray ({address})")
        yield from _shared_out(ray, work, tasks, count, num_gpus)
    finally:
        ray.shutdown()


def gpus_for(tasks: Sequence[Task], there: int) -> int:
    """GPUs of an actor, which sees none that it does not ask for: 1 where a row may run on one and
    the cluster has any. Raises InputError where a row must and there is none."""
    asked = {point.config.device.partition(":")[0] for _, point in tasks}
    if "cuda" in asked and not there:
        raise InputError("ray: the cluster has no GPU; take --device cpu, or auto.")
    return int(there > 0 and not asked.isdisjoint({"auto", "cuda"}))


def _connect(address: str, jobs: int) -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "ray: it is not installed; pip install 'forkscope[ray]' (ray==2.60.0), or use --jobs."
        ) from error
    settings: dict[str, Any] = dict(
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        configure_logging=True,
    )
    if address == LOCAL:
        return _started(ray, num_cpus=max(jobs, os.cpu_count() or 1), **settings)
    return _started(ray, address=address, log_to_driver=False, logging_level="ERROR")


def _started(ray: Any, **settings: Any) -> Any:
    try:
        ray.init(**settings)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"ray: no cluster answers ({' '.join(str(error).split())[:200]}); check the address, "
            "or leave it out to start one here."
        ) from error
    return ray


def _shared_out(
    ray: Any, work: Work, tasks: Sequence[Task], count: int, num_gpus: int
) -> Iterator[Row]:
    """A row at a time for each of `count` actors; whoever is done gets the next."""
    settings = dict(max_restarts=-1, max_task_retries=RETRIES, num_cpus=1, num_gpus=num_gpus)
    remote = ray.remote(**settings)(Worker)
    left = iter(tasks)
    under_way: dict[Any, tuple[Any, Task]] = {}

    def give(actor: Any) -> None:
        task = next(left, None)
        if task is not None:
            under_way[actor.row.remote(*task)] = actor, task

    for _ in range(count):
        give(remote.remote(work))
    while under_way:
        ended, _ = ray.wait(list(under_way), num_returns=1)
        for reference in ended:
            actor, task = under_way.pop(reference)
            try:
                row = ray.get(reference)
            except ray.exceptions.RayActorError:
                row = died(*task, f"its worker was lost {RETRIES + 1} times")
            except ray.exceptions.RayError as error:
                row = died(*task, f"Ray: {' '.join(str(error).split())[:200]}")
            give(actor)
            yield row
