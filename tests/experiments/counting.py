"""A sweep of nothing but numbers, for the runner's tests: row `i` measures `i * i`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.config import RunConfig
from explorer.experiments.base import Point, Sweep

if TYPE_CHECKING:
    from explorer.models import LoadedModel

OPTIONS = {"rows": 8, "broken": -1, "milliseconds": 0, "scale": 1}


def points(config: RunConfig, options: Mapping[str, int]) -> list[Point]:
    return [
        Point(f"row {i}", {"number": i}, config.replace(seed=i)) for i in range(options["rows"])
    ]


def prepare(model: LoadedModel, options: Mapping[str, int]) -> Mapping[str, int]:
    return options


def measure(model: LoadedModel, point: Point, options: Mapping[str, int]) -> dict[str, Any]:
    time.sleep(options["milliseconds"] / 1000)
    number = point.config.sampling.seed
    if number == options["broken"]:
        raise KeyError("no\nsuch thing")
    return {"square": number * number * options["scale"], "_process": os.getpid()}


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"sum": sum(row["measures"]["square"] for row in rows)}


SWEEP = Sweep("counting", ("seed",), OPTIONS, points, prepare, measure, summarize)
