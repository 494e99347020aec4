"""A sweep as a file: JSON that names a sweep, the settings all rows share, and its axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from explorer.config import GROUPS, InputError, RunConfig, explain
from explorer.experiments.axes import values_of
from explorer.experiments.base import Axes, Sweep

KEYS = ("sweep", "config", "axes", "options")
MOST = 1_000_000  # options are counts


@dataclass(frozen=True, slots=True)
class Recipe:
    """What such a file says. `config` are settings of RunConfig; in the file also in groups."""

    sweep: str = "own"
    config: Mapping[str, Any] = field(default_factory=dict)
    axes: Axes = field(default_factory=dict)
    options: Mapping[str, int] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The file."""
        parts = {name: getattr(self, name) for name in KEYS}
        return orjson.dumps(parts, option=orjson.OPT_INDENT_2) + b"\n"


def read_recipe(path: Path) -> Recipe:
    """Raises InputError, one sentence, for what is no such file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    return parse_recipe(data, str(path))


def parse_recipe(data: bytes, name: str) -> Recipe:
    """`read_recipe` for bytes already read; `name` is used in error messages."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{name} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise InputError(f"{name} is no sweep: give an object with {', '.join(KEYS)}.")
    for key, value in found.items():
        if key not in KEYS:
            raise InputError(f"{name}: there is no {key!r}; choose from {', '.join(KEYS)}.")
        if not isinstance(value, str if key == "sweep" else dict):
            raise InputError(
                f"{name}: {key} must be {'a name' if key == 'sweep' else 'an object'}, "
                f"not {value!r}."
            )
    recipe = Recipe(**found)
    try:
        given = RunConfig(**recipe.config).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise InputError(f"{name}: config: {explain(error).rstrip('.')}.") from error
    axes = {axis: values_of(axis, values) for axis, values in recipe.axes.items()}
    for group in GROUPS:
        given |= given.pop(group, {})
    return Recipe(recipe.sweep, given, axes, recipe.options)


def options_of(sweep: Sweep, given: Mapping[str, Any]) -> dict[str, int]:
    """A sweep's own settings, with those that were given. Raises InputError for foreign ones."""
    options = dict(sweep.options)
    for name, value in given.items():
        if name not in options:
            known = ", ".join(options)
            raise InputError(f"{name}: the sweep {sweep.name} has no such setting; it has {known}.")
        least = 1 if options[name] > 0 and name != "naive" else 0
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST:
            raise InputError(f"{name}: give a whole number from {least}, not {value!r}.")
        options[name] = value
    return options
