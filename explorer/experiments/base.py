"""How a case is measured: warmed up, repeated in alternating order, medians, and its goal.

And what a sweep is: its points, and what is measured of each.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from explorer.config import InputError, RunConfig

if TYPE_CHECKING:
    from explorer.models import LoadedModel

DTYPES = ("float32", "bfloat16", "float16")
BOUNDS = {">=": operator.ge, "<=": operator.le}

Show = Callable[[int, int, str], None]  # done, total, name


@dataclass(frozen=True, slots=True)
class Conditions:
    """The benchmark's model (a random Llama) and runs. Lengths in tokens."""

    num_layers: int = 8
    hidden_size: int = 512
    intermediate_size: int = 1376
    num_heads: int = 8
    num_kv_heads: int = 4
    vocab_size: int = 8000
    prompt: int = 512
    max_paths: int = 20
    long_prompt: int = 2048
    long_max_paths: int = 64
    max_new_tokens: int = 32
    num_repeats: int = 5
    num_long_repeats: int = 3  # of the cases that take minutes
    sketch_slots: tuple[int, ...] = (256, 4096, 65536)  # counted a layer, each once an update
    sketch_width: int = 512
    sketch_depth: int = 4
    num_sketched: int = 2**18  # slots counted in a repeat, at the least
    num_slots: int = 4096  # of the pools whose bytes are compared
    num_loads: int = 3  # of the page
    stage_paths: int = 20  # of the runs that are streamed to the stage
    stage_nodes: tuple[int, ...] = (600, 3000)  # with which those begin
    num_updates: int = 1000  # streamed to the stage at each size, ten a second
    run_updates: int = 40  # of them a run, before the next one begins
    burst_updates: int = 600  # streamed at sixty a second
    file_nodes: int = 20_000  # of the trace file that is opened
    num_seeks: int = 200  # of the cursor, in a finished run
    is_quick: bool = False

    def describe(self, device: str, dtype: str) -> dict[str, Any]:
        """These conditions as JSON, with what every case shares."""
        return asdict(self) | {
            "device": device,
            "dtype": dtype,
            "temperature": 1.0,
            "entropy_threshold": 0.0,
            "warm_up": "each side once before it is measured",
            "order": "alternated from repeat to repeat",
        }


FULL = Conditions()
QUICK = Conditions(
    num_layers=2,
    hidden_size=64,
    intermediate_size=128,
    num_heads=4,
    num_kv_heads=2,
    vocab_size=200,
    prompt=48,
    max_paths=6,
    long_prompt=96,
    long_max_paths=8,
    max_new_tokens=6,
    num_slots=160,
    num_repeats=2,
    num_long_repeats=1,
    sketch_slots=(16, 512),
    sketch_width=64,
    num_sketched=1024,
    num_loads=1,
    stage_nodes=(60, 120),
    num_updates=10,
    run_updates=5,
    burst_updates=10,
    file_nodes=500,
    num_seeks=4,
    is_quick=True,
)


def make_model(conditions: Conditions, device: str, dtype: str) -> LoadedModel:
    """A Llama of random weights (seed 0) that never ends a text. Raises InputError."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from explorer.models import LoadedModel

    if dtype not in DTYPES:
        raise InputError(f"dtype: choose from {', '.join(DTYPES)}, not {dtype!r}.")
    config = LlamaConfig(
        vocab_size=conditions.vocab_size,
        hidden_size=conditions.hidden_size,
        intermediate_size=conditions.intermediate_size,
        num_hidden_layers=conditions.num_layers,
        num_attention_heads=conditions.num_heads,
        num_key_value_heads=conditions.num_kv_heads,
        max_position_embeddings=conditions.long_prompt + conditions.max_new_tokens,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    try:
        module = LlamaForCausalLM(config).to(torch.device(device), getattr(torch, dtype))
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device: {device!r} cannot be used here: {error}") from error
    return LoadedModel(module, name=f"random Llama, {module.num_parameters() / 1e6:.1f} M")


@dataclass(frozen=True, slots=True)
class Point:
    """One row of a sweep before it is measured: what it is called, its axes, and its run."""

    name: str
    axes: dict[str, Any]
    config: RunConfig


Axes = Mapping[str, Sequence[Any]]  # a setting and its values


@dataclass(frozen=True, slots=True)
class Measure:
    """What a column of a sweep's table is: words for an axis, and its unit ("" where it has none).

    A `is_timing` column depends on the machine and on what else ran on it.
    """

    title: str
    unit: str = ""
    is_timing: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a model runs here, measured: seconds of a prompt token in a prefill, of a decode
    step with one path, and of each further path in it. `cost(pace, point, options, prompt tokens)`
    predicts a row's seconds from it."""

    prompt_token: float
    step: float
    path: float


@dataclass(frozen=True)
class Sweep:
    """A list of runs and what is measured of each, as the runner takes it.

    `points(config, options, axes)` makes the rows out of a run's settings. `prepare(model,
    options)` is called once in every process and for every model; what it returns goes into
    `measure(model, point, prepared)`, whose answer (JSON, flat) is the row's measures; names that
    begin with `_` stay in the rows' file, `_run` among them: what to change in the point's settings
    to run the row's first run again. `summarize(rows)` answers the sweep's questions from
    whole rows. `fields` are the settings of a run that the points set themselves, `options` the
    sweep's own with their defaults: rows measured under other ones are never mixed. `axes` are the
    values that are run through where no others are given. `measures` says what the columns are, in
    the order in which they are offered; `x` is the axis of its plots, `cost` what a row takes.
    """

    name: str
    fields: tuple[str, ...]
    options: Mapping[str, int]
    points: Callable[[RunConfig, Mapping[str, int], Axes], list[Point]]
    prepare: Callable[[LoadedModel, Mapping[str, int]], Any]
    measure: Callable[[LoadedModel, Point, Any], dict[str, Any]]
    summarize: Callable[[list[dict[str, Any]]], dict[str, Any]]
    axes: Axes = field(default_factory=dict)
    measures: Mapping[str, Measure] = field(default_factory=dict)
    x: str | None = None
    cost: Callable[[Pace, Point, Mapping[str, int], int], float] | None = None  # see Pace


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A case that this machine cannot measure, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound a figure must keep, as in `>= 5`."""

    relation: str
    bound: float

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:g}"

    def is_met(self, figure: float) -> bool:
        return bool(BOUNDS[self.relation](figure, self.bound))


def alternate(
    first: Callable[[], float], second: Callable[[], float], num_repeats: int
) -> tuple[list[float], list[float]]:
    """Seconds of both, `num_repeats` times, each leading every other time."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for repeat in range(num_repeats):
        order = ((0, first), (1, second))
        for side, run in order if repeat % 2 == 0 else reversed(order):
            seconds[side].append(run())
    return seconds


def case(
    name: str,
    *,
    seconds: list[float] | None = None,
    ratio_to: str | None = None,
    ratio_to_seconds: list[float] | None = None,
    ratio: float | None = None,
    goal: Goal | None = None,
    is_quick: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """A case as JSON: medians, their ratio, the spread of the ratios pair by pair, the goal.

    The goal is held against the ratio, or the seconds where there is none. A quick run meets and
    misses nothing: its conditions are not the goal's.
    """
    spread = None
    if seconds and ratio_to_seconds:
        ratio = median(seconds) / median(ratio_to_seconds)
        pairs = [a / b for a, b in zip(seconds, ratio_to_seconds, strict=True)]
        spread = [min(pairs), max(pairs)]
    figure = ratio if ratio is not None else (median(seconds) if seconds else None)
    judged = goal is not None and figure is not None and not is_quick
    return {
        "name": name,
        "seconds": median(seconds) if seconds else None,
        "ratio_to": ratio_to,
        "ratio": ratio,
        "spread": spread,
        "ratio_to_seconds": median(ratio_to_seconds) if ratio_to_seconds else None,
        "repeats": len(seconds) if seconds else 1,
        "goal": str(goal) if goal else None,
        "met": goal.is_met(figure) if judged and goal and figure is not None else None,
        **more,
    }
