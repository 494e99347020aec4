"""Sweeps of one setting of a run, and of any settings a file names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from explorer.config import InputError, RunConfig
from explorer.experiments import axes
from explorer.experiments.base import Axes, Measure, Pace, Point, Sweep
from explorer.experiments.trial import (
    MEASURES,
    OPTIONS,
    PROMPT,
    SPEEDUPS,
    cost,
    prepare,
    prompt_of,
    trial,
)

if TYPE_CHECKING:
    from explorer.models import LoadedModel

DIVERGENCE = {
    "kl": Measure("KL divergence from the model's own number format", "nats/token"),
    "flip_rate": Measure("first choices that differ from it"),
}


def points(config: RunConfig, options: Mapping[str, int], over: Axes) -> list[Point]:
    """Every combination, on the run's own prompt or on `PROMPT`. Raises InputError."""
    given = "prompt" in over or "prompt_ids" in over
    if not given and not config.prompt.strip() and config.prompt_ids is None:
        config = config.replace(prompt=PROMPT)
    found = axes.points(config, over)
    if options.get("naive") and not all(map(_can_be_sampled_alone, found)):
        raise InputError(
            "naive: independent samples keep every token in the model's number format, so none are "
            "drawn beside a policy or a kv_dtype; give naive=0 (--no-naive)."
        )
    return found


def _can_be_sampled_alone(point: Point) -> bool:
    formats = point.config.cache.kv_dtype
    given = {formats} if isinstance(formats, str) else set(formats)
    return point.config.eviction.policy is None and given == {"model"}


def measure(model: LoadedModel, point: Point, options: Mapping[str, int]) -> dict[str, Any]:
    """The row of a run; of a prompt of `prompt_length` tokens where that is an axis."""
    length = point.axes.get("prompt_length")
    if length is None:
        return trial(model, point.config, options)
    ids = prompt_of(model, point.config, length)
    changed = point.config.replace(prompt_ids=ids, chat_template=False)
    return trial(model, changed, options) | {"_run": {"prompt_ids": list(ids)}}


def measure_stored(model: LoadedModel, point: Point, options: Mapping[str, int]) -> dict[str, Any]:
    """`measure`, and how far the same run parts from one whose cache is not rounded: in a pass of
    its own, so that nothing else is timed."""
    from explorer.generate import run

    row = measure(model, point, options)
    trace = run(model, point.config.replace(against_full=True, **row.get("_run", {})))
    held = [each for step in trace for each in step.decisions if each.kl is not None]
    flips = sum(each.is_flip for each in held)
    return row | {
        "kl": sum(each.kl or 0.0 for each in held) / len(held) if held else None,
        "flip_rate": flips / len(held) if held else None,
    }


def predict(pace: Pace, point: Point, options: Mapping[str, int], num_prompt: int) -> float:
    """Seconds that a row may take."""
    length = point.axes.get("prompt_length", num_prompt)
    return cost(pace, point.config, options, length)


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many rows, and over how many runs each."""
    repeats = sorted({row["measures"]["repeats"] for row in rows})
    return {"points": {"rows": len(rows), "repeats": repeats}}


def _sweep(
    name: str,
    over: Axes,
    x: str | None,
    *shown: str,
    naive: int = 0,
    **more: Any,
) -> Sweep:
    """A sweep whose plots offer `shown` first."""
    measures = {**MEASURES, **SPEEDUPS, **more.pop("measures", {})}
    order = {**{column: measures[column] for column in shown}, **measures}
    fields = tuple(axis for axis in over if axis in axes.FIELDS)
    return Sweep(
        name,
        fields,
        OPTIONS | {"naive": naive},
        points,
        prepare,
        more.pop("measure", measure),
        summarize,
        over,
        order,
        x,
        predict,
    )


FASTER = ("speedup_seconds", "speedup_forward_tokens")
SWEEPS = {
    sweep.name: sweep
    for sweep in (
        _sweep(
            "prompt_length",
            {"prompt_length": (16, 64, 256, 1024)},
            "prompt_length",
            *FASTER,
            "kv_nbytes_peak",
            naive=1,
        ),
        _sweep(
            "branch_factor",
            {"branch_factor": (2, 3, 4, 6, 8)},
            "branch_factor",
            *FASTER,
            "distinct_2",
            naive=1,
        ),
        _sweep(
            "max_paths",
            {"max_paths": (1, 2, 4, 8, 16, 32)},
            "max_paths",
            *FASTER,
            "kv_nbytes_peak",
            naive=1,
        ),
        _sweep(
            "temperature",
            {"temperature": (0.0, 0.5, 0.8, 1.0, 1.2, 1.5)},
            "temperature",
            "distinct_2",
            "self_bleu",
            "coverage",
        ),
        _sweep(
            "threshold",
            {"entropy_threshold": (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)},
            "entropy_threshold",
            "forks",
            "distinct_2",
            "forward_token_steps",
        ),
        _sweep(
            "model",
            {"model": ("tiny",)},
            "model",
            "generated_per_second",
            "kv_nbytes_peak",
            "distinct_2",
        ),
        _sweep(
            "kv_dtype",
            {"prompt_length": (512,), "kv_dtype": ("model", "int8", "int4", "adaptive")},
            "kv_dtype",
            "kv_nbytes_peak",
            "kl",
            "decode_seconds",
            measure=measure_stored,
            measures=DIVERGENCE,
        ),
        _sweep(
            "own",
            {},
            None,
            "distinct_2",
            "forward_token_steps",
            "total_seconds",
        ),
    )
}
