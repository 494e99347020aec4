"""The commands of `python -m explorer`: a file each, in the order in which help lists them."""

from __future__ import annotations

from collections.abc import Callable

from explorer.commands import app, bench, compare, export, models, quality, reuse, run, sweep, train

COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "compare": compare.compare,
    "sweep": sweep.sweep,
    "bench": bench.bench,
    "quality": quality.quality,
    "reuse": reuse.reuse,
    "export": export.export,
    "train": train.train,
    "models": models.models,
    "app": app.app,
}
