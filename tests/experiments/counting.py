"""A sweep of nothing but numbers, for the runner's tests: row `i` measures `i * i`.

Row `slow` takes two minutes.
Row `fatal` kills the process that measures it, every time; row `mortal` only where the file that
COUNTING_MARK names is not there yet.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.config import RunConfig
from explorer.experiments.base import Axes, Point, Sweep

if TYPE_CHECKING:
    from explorer.models import LoadedModel

OPTIONS = {
    "rows": 8,
    "broken": -1,
    "fatal": -1,
    "mortal": -1,
    "milliseconds": 0,
    "slow": -1,
    "scale": 1,
}


def points(config: RunConfig, options: Mapping[str, int], axes: Axes) -> list[Point]:
    return [
        Point(f"row {i}", {"number": i}, config.replace(seed=i)) for i in range(options["rows"])
    ]


def prepare(model: LoadedModel, options: Mapping[str, int]) -> Mapping[str, int]:
    return options


def measure(model: LoadedModel, point: Point, options: Mapping[str, int]) -> dict[str, Any]:
    time.sleep(options["milliseconds"] / 1000)
    number = point.config.sampling.seed
    if number == options["slow"]:
        time.sleep(120)
    if number == options["broken"]:
        raise KeyError("no\nsuch thing")
    mark = Path(os.environ.get("COUNTING_MARK", ""))
    if number == options["fatal"] or (number == options["mortal"] and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"square": number * number * options["scale"], "_process": os.getpid()}


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"sum": sum(row["measures"]["square"] for row in rows)}


SWEEP = Sweep("counting", ("seed",), OPTIONS, points, prepare, measure, summarize)
