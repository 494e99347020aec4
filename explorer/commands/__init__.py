"""The commands of `python -m explorer`: a file each, in the order in which help lists them."""

from __future__ import annotations

from collections.abc import Callable

from explorer.commands import app, bench, compare, export, models, run, train

COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "compare": compare.compare,
    "bench": bench.bench,
    "export": export.export,
    "train": train.train,
    "models": models.models,
    "app": app.app,
}
