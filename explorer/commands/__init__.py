"""The commands of `python -m explorer`: a file each, in the order in which help lists them."""

from __future__ import annotations

from collections.abc import Callable

from explorer.commands import app, bench, compare, export, models, quality, run, sweep, train

COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "compare": compare.compare,
    "sweep": sweep.sweep,
    "bench": bench.bench,
    "quality": quality.quality,
    "export": export.export,
    "train": train.train,
    "models": models.models,
    "app": app.app,
}
