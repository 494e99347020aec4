"""Sweeps that pages have asked for: what they are, their rows on disk, what is told of them."""

from __future__ import annotations

import shutil
import tempfile
import threading
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from explorer.config import GROUPS, InputError, RunConfig
from explorer.experiments import SWEEPS, axes
from explorer.experiments.base import Axes, Point, Sweep
from explorer.experiments.recipe import Recipe, options_of
from explorer.experiments.records import flat, to_csv
from explorer.experiments.runner import Plan, tasks_of
from explorer.experiments.workers import find

if TYPE_CHECKING:
    from explorer.models import LoadedModel
    from explorer.ui.limits import Limits

KEPT = 16  # sweeps whose rows stay on disk


@dataclass
class Kept:
    """A sweep that was asked for; its rows lie in `plan.folder`."""

    plan: Plan
    sweep: Sweep
    tasks: list[tuple[str, Point]]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    document: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)  # by key, as measured

    def config_of(self, key: str) -> RunConfig:
        """The first run of a row. Raises InputError for a row that is not there."""
        point = dict(self.tasks).get(key)
        if point is None or key not in self.rows:
            raise InputError("This row is not there any more; run the sweep again.")
        return point.config.replace(**self.rows[key].get("measures", {}).get("_run", {}))

    def recipe(self) -> Recipe:
        """The same sweep for the command line."""
        config = self.plan.config.model_dump(mode="json", exclude_defaults=True)
        for name in GROUPS:
            config |= config.pop(name, {})
        axes = self.plan.axes or self.sweep.axes
        return Recipe(self.sweep.name, config, axes, self.plan.options)

    def shown(self) -> list[dict[str, Any]]:
        """Every row so far as the page shows it, in the order of the points."""
        rows = ((key, self.rows[key]) for key, _ in self.tasks if key in self.rows)
        return [{"key": key, **flat(row)} for key, row in rows]

    def export(self, kind: str) -> str:
        """The table as CSV, the document as JSON, or the file for the command line."""
        if kind == "csv":
            return to_csv(self.document.get("rows", [])).decode()
        if kind == "json":
            return orjson.dumps(self.document, option=orjson.OPT_INDENT_2).decode()
        return self.recipe().encode().decode()


class SweepStore:
    """The newest sweeps of this process, under ids that cannot be guessed; older ones are deleted,
    rows and all, and everything when the process ends."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="forkscope-sweeps-")
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._sweeps: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def add(
        self,
        name: str,
        config: RunConfig,
        options: Mapping[str, int],
        given: Axes,
        limits: Limits | None = None,
    ) -> Kept:
        """A sweep that is about to begin. Raises InputError, and keeps the others, where it cannot
        be run or a public page does not allow it."""
        module = SWEEPS[name]
        folder = Path(self._folder, uuid.uuid4().hex)
        plan = Plan(module, config, options, folder, resume=True, axes=given)
        kept = Kept(plan, find(module), tasks_of(plan))
        if limits is not None:
            check(kept.tasks, options, limits)
        with self._lock:
            self._sweeps[kept.id] = kept
            while len(self._sweeps) > KEPT:
                _, old = self._sweeps.popitem(last=False)
                shutil.rmtree(old.plan.folder, ignore_errors=True)
        return kept

    def find(self, sweep_id: Any) -> Kept:
        """Raises InputError where it is gone."""
        with self._lock:
            kept = self._sweeps.get(str(sweep_id))
        if kept is None:
            raise InputError("The rows of this sweep are not kept any more; run it again.")
        return kept


def read(
    name: str, config: RunConfig, axes_text: str, options_text: str
) -> tuple[str, RunConfig, dict[str, int], dict[str, tuple[Any, ...]]]:
    """What the tab's inputs describe. Raises InputError, one sentence."""
    if name not in SWEEPS:
        raise InputError(f"There is no sweep {name!r}; choose from {', '.join(SWEEPS)}.")
    sweep = find(SWEEPS[name])
    given = axes.read_axes([line for line in axes_text.splitlines() if line.strip()])
    options: dict[str, Any] = {}
    for part in options_text.replace("\n", ",").split(","):
        option, is_given, value = (words.strip() for words in part.partition("="))
        if option or is_given:
            options[option] = int(value) if value.isdecimal() else value
    return name, config, options_of(sweep, options), given


def axes_text(values: Axes) -> str:
    """Axes as the tab's input holds them: one a line."""
    return "\n".join(f"{name} = {', '.join(map(_word, each))}" for name, each in values.items())


def _word(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def check(tasks: Sequence[tuple[str, Point]], options: Mapping[str, int], limits: Limits) -> None:
    """Raises InputError where a public page does not allow a sweep."""
    bounds = {"rows": limits.sweep_rows, **limits.sweep_options}
    for name, asked in {"rows": len(tasks), **options}.items():
        most = bounds[name]
        if asked > most:
            raise InputError(f"This sweep has {asked} {name}, and this public page allows {most}.")
    for _, point in tasks:
        limits.check(point.config)
        length = point.axes.get("prompt_length", 0)
        if length > limits.prompt_ids:
            raise InputError(
                f"prompt_length is {length:,}, and this public page allows up to "
                f"{limits.prompt_ids:,}."
            )


@contextmanager
def asked_at_every_pass(model: LoadedModel, ask: Callable[[], None]) -> Iterator[None]:
    """`ask()` before every forward pass of the model, so that a row can be stopped on its way."""
    handle = model.module.register_forward_pre_hook(lambda *_: ask())
    try:
        yield
    finally:
        handle.remove()
