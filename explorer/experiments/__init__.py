"""Runs held against each other: comparisons of backends, and the benchmark's measured cases."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from explorer.experiments.base import FULL, QUICK, Conditions, Unmeasured

# Families of measured cases: a module with `measure(conditions, device, dtype, show)` that yields
# cases as dicts and, for what this machine cannot measure, `Unmeasured`.
BENCHMARKS = tuple(
    f"explorer.experiments.{name}"
    for name in ("speed", "sketches", "quant", "eviction", "reuse", "seq2seq", "page", "stage")
)

# Sweeps: a module with `SWEEP`, or the name of one of its `SWEEPS`.
SETTINGS = "explorer.experiments.settings"
SWEEPS = {
    "prompt_length": f"{SETTINGS}:prompt_length",
    "branch_factor": f"{SETTINGS}:branch_factor",
    "max_paths": f"{SETTINGS}:max_paths",
    "temperature": f"{SETTINGS}:temperature",
    "threshold": f"{SETTINGS}:threshold",
    "model": f"{SETTINGS}:model",
    "kv_dtype": f"{SETTINGS}:kv_dtype",
    "select": "explorer.experiments.select",
    "prefix": "explorer.experiments.prefix",
    "cached": "explorer.experiments.cached",
    "sketch_grid": "explorer.experiments.sketch_grid",
    "own": f"{SETTINGS}:own",
}

ABOUT = {
    "prompt_length": "What sharing the prompt saves, the longer it is.",
    "branch_factor": "Children of a fork: how many texts, how alike, at what cost.",
    "max_paths": "Paths alive at a time: what each further one costs.",
    "temperature": "Surer or bolder: forks, diversity and probability.",
    "threshold": "How unsure the model must be before a path forks.",
    "model": "The same run on several models.",
    "kv_dtype": "Keys and values in fewer bits: bytes, speed, and how far the run parts.",
    "select": "Sample, top, Gumbel or arithmetic, each at the same number of forward tokens.",
    "prefix": "How much of its prompts a prefix cache hits, by its size and by who leaves first.",
    "cached": "What keeping keys and values saves, the longer the text: the same greedy words.",
    "sketch_grid": "How large must a sketch of the attention be, and does it pay?",
    "own": "Any settings of a run against each other.",
}

__all__ = ["ABOUT", "BENCHMARKS", "FULL", "QUICK", "SWEEPS", "Conditions", "benchmark"]


def benchmark(
    conditions: Conditions,
    device: str,
    dtype: str,
    show: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> dict[str, Any]:
    """The `bench --json` document. `show(done, total, name)` is told before each run."""
    from explorer.machine import describe

    cases: list[dict[str, Any]] = []
    not_measured: dict[str, str] = {}
    for name in BENCHMARKS:
        for case in import_module(name).measure(conditions, device, dtype, show):
            if isinstance(case, Unmeasured):
                not_measured[case.name] = case.why
            else:
                cases.append(case)
    return {
        "machine": describe(device),
        "conditions": conditions.describe(device, dtype),
        "cases": cases,
        "not_measured": not_measured,
    }
