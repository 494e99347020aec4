"""Ways to choose children at equal cost: how different, how probable, how representative.

Every run may compute the same number of positions, prompt and pruned work among them, and is ended
at the first step that reaches it. `max_paths` is what makes that fair: for each way and seed it is
raised until `max_new_tokens` steps spend it all, to about the smallest number that does, so that
texts are about equally long (`path_tokens` says how long). Trying it out is not counted. Every path
forks where it may
(threshold 0), into branch_factor children, or two once there are max_paths; arithmetic sampling
(Vilnis et al. 2023, arXiv:2210.15458) has no such bound, its codes go wherever they point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from statistics import mean
from typing import TYPE_CHECKING, Any

from explorer import metrics
from explorer.config import InputError, RunConfig
from explorer.experiments import axes
from explorer.experiments.base import Axes, Measure, Pace, Point, Sweep
from explorer.experiments.trial import (
    COUNTED,
    DIVERSE,
    FIXED,
    PROMPT,
    TIMES,
    prepare,
    row_of,
    warm_up,
)
from explorer.trace import Trace

if TYPE_CHECKING:
    from explorer.models import LoadedModel

MOST_PATHS = 512  # of a run
ENOUGH = 5  # repeats: the intervals of fewer, by resampling them, are too narrow
OPTIONS = {"repeats": 5, "most_paths": MOST_PATHS}
AXES = {
    "select": ("sample", "top", "gumbel", "arithmetic"),
    "forward_tokens": (256, 512, 1024),
}
MEASURES = {
    **DIVERSE,
    **COUNTED,
    "found_paths": Measure("paths that spend the forward tokens"),
    "path_tokens": Measure("mean length of a returned path", "tokens"),
    **TIMES,
    **FIXED,
}
# What is asked of the ways, and whether more of it is better.
QUESTIONS = {
    "distinct_2": True,
    "self_bleu": False,
    "unique_texts": True,
    "coverage": True,
    "effective_samples": True,
}


def points(config: RunConfig, options: Mapping[str, int], over: Axes) -> list[Point]:
    """Every way at every number of forward tokens. Raises InputError."""
    if options["most_paths"] > MOST_PATHS:
        raise InputError(f"most_paths: a run has up to {MOST_PATHS}, not {options['most_paths']}.")
    if not config.prompt.strip() and config.prompt_ids is None:
        config = config.replace(prompt=PROMPT)
    if "forward_tokens" not in over:
        raise InputError("axes: select needs forward_tokens, as in forward_tokens=256,512.")
    return axes.points(config.replace(entropy_threshold=0.0), over)


def measure(model: LoadedModel, point: Point, options: Mapping[str, int]) -> dict[str, Any]:
    """The row of one way: as many seeds as repeats; the most probable tokens have none, once."""
    config, budget = point.config, point.axes["forward_tokens"]
    warm_up(model, config)
    count = 1 if config.branching.select == "top" else options["repeats"]
    traces: list[Trace] = []
    for repeat in range(count):
        seed = config.sampling.seed + repeat
        traces.append(spend(model, config.replace(seed=seed), budget, options["most_paths"]))
    found = [trace.header.config["branching"]["max_paths"] for trace in traces]
    lengths = [metrics.generated_tokens(each) / len(metrics.leaves(each)) for each in traces]
    more = {
        "found_paths": mean(found),
        "path_tokens": mean(lengths),
        # as many steps: the same run, which Explore would go on with past the budget
        "_run": {"max_paths": found[0], "max_new_tokens": len(traces[0])},
    }
    return row_of(traces) | more


def spend(model: LoadedModel, config: RunConfig, budget: int, most_paths: int) -> Trace:
    """A run of about the fewest paths that compute `budget` positions, ended at the step that does:
    less than one step more. Raises InputError where up to `most_paths` do not."""
    new = config.limits.max_new_tokens
    count = max(1, budget // max(new, 1) // 2)
    while count <= most_paths:
        trace = run_until(model, config.replace(max_paths=count), budget)
        missing = budget - metrics.counters(trace)["forward_token_steps"]
        if missing <= 0:
            return trace
        count += max(1, ceil(missing / new))  # a path more computes `new` positions at most
    raise InputError(
        f"forward_tokens: {most_paths} paths of {new} tokens do not compute {budget:,} positions; "
        "raise max_new_tokens or lower forward_tokens."
    )


def run_until(model: LoadedModel, config: RunConfig, budget: int) -> Trace:
    """A run up to its end, or to the step that brings its positions to `budget`."""
    from explorer.generate import generate, prepare

    trace, spent = Trace(prepare(model, config)), 0
    num_prompt = len(trace.header.source) + len(trace.header.prompt)
    if num_prompt >= budget:
        raise InputError(
            f"forward_tokens: the prompt alone has {num_prompt} tokens; give more than {budget}."
        )
    steps = generate(model, config)
    try:
        for step in steps:
            trace.append(step)
            spent += step.positions + step.encoded
            if spent >= budget:
                break
    finally:
        steps.close()  # type: ignore[attr-defined]  # a generator: this frees keys and values
    return trace


def predict(pace: Pace, point: Point, options: Mapping[str, int], num_prompt: int) -> float:
    """Seconds that a row may take, two runs of three to find the number of paths."""
    budget, new = point.axes["forward_tokens"], point.config.limits.max_new_tokens
    run = pace.prompt_token * num_prompt + new * pace.step + budget * pace.path
    return 3 * run * (1 if point.config.branching.select == "top" else options["repeats"])


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """For each question and number of forward tokens which way comes first, and how clearly."""
    return {
        name: {"answer": " ".join(_first(rows, name, is_more))}
        for name, is_more in QUESTIONS.items()
    }


def _first(rows: Sequence[dict[str, Any]], name: str, is_more: bool) -> list[str]:
    sentences = []
    for budget in sorted({row["axes"]["forward_tokens"] for row in rows}):
        own = [
            (row["axes"]["select"], row["measures"])
            for row in rows
            if row["axes"]["forward_tokens"] == budget and row["measures"].get(name) is not None
        ]
        own.sort(key=lambda pair: pair[1][name], reverse=is_more)
        if len(own) < 2:
            continue
        (best, first), (next_best, second) = own[:2]
        seeds = [row["repeats"] for way, row in own[:2] if way != "top"]
        sentences.append(
            f"At {budget:,} forward tokens {best} ({first[name]:.4g}) comes before {next_best} "
            f"({second[name]:.4g}), {_how(first, second, name, seeds)}."
        )
    return sentences


def _how(one: Mapping[str, Any], other: Mapping[str, Any], name: str, seeds: list[int]) -> str:
    """How clearly two rows differ: whether their 95 % intervals touch, where there are seeds enough
    for intervals; a row of the most probable tokens is the same for every seed, a point."""
    if min(seeds, default=ENOUGH) < ENOUGH:
        count = min(seeds)
        return f"from {count} seed{'' if count == 1 else 's'}, too few to say how clearly"
    (low, high), (low_other, high_other) = (
        (row[name], row[name]) if row["repeats"] == 1 else (row[f"{name}_low"], row[f"{name}_high"])
        for row in (one, other)
    )
    is_clear = high < low_other or high_other < low
    return "clearly" if is_clear else "within their intervals"


SWEEP = Sweep(
    "select",
    ("select", "max_paths", "entropy_threshold"),
    OPTIONS,
    points,
    prepare,
    measure,
    summarize,
    AXES,
    MEASURES,
    "forward_tokens",
    predict,
)
