"""Axes over a run's settings: which values, and every combination of them as a point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from pydantic import ValidationError

from explorer.config import InputError, RunConfig, explain, iter_fields
from explorer.experiments.base import Axes, Point

MOST_POINTS = 10_000
SLOWEST = ("model", "device", "dtype")  # outermost: every model is loaded once

# What a sweep can run through beside the settings of a run: lowest and highest count, or choices.
COUNTS = {
    "prompt_length": (1, 65_536),
    "forward_tokens": (1, 10_000_000),
    "capacity_blocks": (0, 10_000_000),
}
CHOICES = {"order": ("lru", "fifo")}
FIELDS = frozenset(name for _, name, _ in iter_fields())

Change = Callable[[RunConfig, Mapping[str, Any]], RunConfig]


def values_of(name: str, given: Any) -> tuple[Any, ...]:
    """The values of an axis, as far as they can be checked alone. Raises InputError."""
    if name not in FIELDS | set(COUNTS) | set(CHOICES):
        known = ", ".join(sorted(FIELDS | set(COUNTS) | set(CHOICES)))
        raise InputError(f"axes: there is no setting {name!r}; choose from {known}.")
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InputError(f"axes: {name} needs a list of values, as in [1, 2], not {given!r}.")
    if not given:
        raise InputError(f"axes: {name} has no values; give at least one.")
    if name in CHOICES:
        return tuple(_choice(name, value) for value in given)
    return tuple(_count(name, value) if name in COUNTS else value for value in given)


def _choice(name: str, value: Any) -> Any:
    if value not in CHOICES[name]:
        raise InputError(f"{name}: choose from {', '.join(CHOICES[name])}, not {value!r}.")
    return value


def _count(name: str, value: Any) -> int:
    low, high = COUNTS[name]
    try:
        count = int(value)
    except (TypeError, ValueError):
        count = low - 1
    if not low <= count <= high or isinstance(value, bool | float):
        raise InputError(f"{name}: give a whole number from {low} to {high:,}, not {value!r}.")
    return count


def read_axes(texts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Axes from texts `name=value,value`; `none` unsets. Raises InputError."""
    axes: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, is_given, values = (part.strip() for part in text.partition("="))
        if not is_given:
            raise InputError(f"axis: {text!r} names no values; write one as temperature=0.5,0.7,1.")
        if name in axes:
            raise InputError(f"axis: {name} is given twice; name each axis once.")
        parts = [part.strip() for part in values.split(",") if part.strip()]
        axes[name] = values_of(name, [None if part == "none" else part for part in parts])
    return axes


def points(config: RunConfig, axes: Axes) -> list[Point]:
    """A point for every combination of values, the last axis fastest, models slowest.

    Every point's configuration is checked. Raises InputError, which names the axis.
    """
    if not axes:
        raise InputError("axes: a sweep needs at least one, as in temperature=0.5,0.7,1.")
    axes = {name: values_of(name, values) for name, values in axes.items()}
    count = prod(len(values) for values in axes.values())
    if count > MOST_POINTS:
        raise InputError(f"axes: {count:,} combinations are more than {MOST_POINTS:,}; leave some.")
    names = sorted(axes, key=lambda name: name not in SLOWEST)
    return [
        _point(config, dict(zip(names, values, strict=True)))
        for values in product(*(axes[name] for name in names))
    ]


def _point(config: RunConfig, given: Mapping[str, Any]) -> Point:
    changes = {name: value for name, value in given.items() if name in FIELDS}
    try:
        changed = config.replace(**changes)
    except ValidationError as error:
        raise InputError(f"axes: {explain(error).rstrip('.')}.") from error
    flat = changed.flat()
    axes = {name: flat[name] if name in FIELDS else value for name, value in given.items()}
    return Point(", ".join(f"{name} {_shown(axes[name])}" for name in given), axes, changed)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    words = " ".join(str(value).split())
    return words if len(words) <= 40 else words[:39] + "…"
