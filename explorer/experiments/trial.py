"""One row of a sweep of runs: repeats with seeds of their own, means with intervals, medians.

Everything is read off traces. Times are medians of the repeats, after a warm-up, and depend on the
machine. Where independent samples are drawn beside the tree, each side leads every other time, and
a speed-up is cost per returned token against cost per returned token: prompt, pruned paths and all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer import diversity, metrics
from explorer.config import InputError, RunConfig
from explorer.experiments.base import Measure, Pace
from explorer.trace import Trace

if TYPE_CHECKING:
    from explorer.models import LoadedModel

PROMPT = "Once upon a time"  # where none is given
WARM_UP_TOKENS = 2
RESAMPLES = 2000  # of an interval
Values = dict[str, float | None]

SPEEDUPS = {
    "speedup_forward_tokens": Measure(
        "forward tokens per returned token: independent samples / tree", "×"
    ),
    "speedup_seconds": Measure(
        "seconds per returned token: independent samples / tree", "×", is_timing=True
    ),
}
COUNTED = {
    "paths": Measure("returned paths"),
    "generated_tokens": Measure("tokens of the returned paths", "tokens"),
    "forward_token_steps": Measure("positions computed, prompt and pruned work included", "tokens"),
    "forks": Measure("forks"),
    "pruned": Measure("pruned paths"),
    "sharing_peak": Measure("largest share of the paths' tokens that sharing saved"),
    "kv_nbytes_peak": Measure("peak of allocated keys and values", "B"),
    "kv_live_nbytes_peak": Measure("peak of keys and values in use", "B"),
    "kv_logical_nbytes_peak": Measure("peak of what a cache a path would hold", "B"),
}
DIVERSE = {
    "unique_texts": Measure("different texts among the returned"),
    "distinct_1": Measure("distinct tokens / tokens of the returned paths"),
    "distinct_2": Measure("distinct pairs of tokens / pairs"),
    "self_bleu": Measure("self-BLEU of the returned texts, 0 to 100; lower is more diverse"),
    "coverage": Measure("probability mass of the returned paths"),
    "effective_samples": Measure("effective sample size (Kish) of the returned paths"),
    "mean_logprob": Measure("mean log-probability of a returned token", "nats"),
}
TIMES = {
    "total_seconds": Measure("whole run", "s", is_timing=True),
    "first_token_seconds": Measure("time to first token", "s", is_timing=True),
    "decode_seconds": Measure("decode passes", "s", is_timing=True),
    "generated_per_second": Measure("returned tokens a second", "tokens/s", is_timing=True),
    "computed_per_second": Measure("computed positions a second", "tokens/s", is_timing=True),
}
FIXED = {"prompt_tokens": Measure("tokens of the prompt", "tokens")}
MEASURES: Mapping[str, Measure] = COUNTED | DIVERSE | TIMES | FIXED
OPTIONS = {"repeats": 5, "naive": 0}


def prepare(model: LoadedModel, options: Mapping[str, int]) -> Mapping[str, int]:
    """The options themselves: a run needs no more."""
    return options


def prompt_of(model: LoadedModel, config: RunConfig, length: int) -> tuple[int, ...]:
    """`length` token ids that end as the run's prompt does: its last ones, or all of them after
    held-out text that fills the rest; what a tokenizer puts before every text stays at the front.
    Raises InputError where the model has no tokenizer."""
    from explorer.quality.passages import held_out

    if model.tokenizer is None:
        raise InputError(f"{model.info.name} has no tokenizer; prompt_length needs text.")
    given = config.prompt_ids
    ids = tuple(given if given is not None else model.tokenizer.encode(config.prompt))
    if len(ids) >= length:
        return ids[-length:]
    special = set(model.tokenizer.all_special_ids)
    begin = tuple(takewhile(special.__contains__, ids))
    filler = held_out(model.tokenizer, 1, length)[0].ids[1 if begin else 0 :]  # it has a begin too
    return (*begin, *filler[: length - len(ids)], *ids[len(begin) :])


def warm_up(model: LoadedModel, config: RunConfig) -> None:
    """Run two tokens, unrecorded."""
    from explorer.generate import generate

    tokens = min(WARM_UP_TOKENS, config.limits.max_new_tokens)
    for _ in generate(model, config.replace(max_new_tokens=tokens, num_samples=1)):
        pass


def counted(trace: Trace) -> Values:
    """What a run was, apart from its times: the same on every machine up to rounding."""
    counters = metrics.counters(trace)
    returned = metrics.leaves(trace)
    ids = [[node.token for node in leaf.nodes] for leaf in returned]
    texts = [leaf.text for leaf in returned]
    raw = sum(leaf.nodes[-1].raw_logprob for leaf in returned)
    count = sum(map(len, ids))
    return {
        "paths": len(returned),
        **{name: counters[name] for name in COUNTED if name != "paths"},
        "unique_texts": diversity.unique_texts(texts),
        "distinct_1": diversity.distinct_n(ids, 1),
        "distinct_2": diversity.distinct_n(ids, 2),
        "self_bleu": diversity.self_bleu(texts),
        "coverage": diversity.coverage(trace),
        "effective_samples": diversity.effective_sample_size(diversity.weights(trace)),
        "mean_logprob": raw / count if count else None,
    }


def timed(trace: Trace) -> Values:
    """Seconds and rates of a run."""
    seconds, rates = metrics.seconds(trace), metrics.tokens_per_second(trace)
    return {
        "total_seconds": seconds["total"],
        "first_token_seconds": seconds["first_token"],
        "decode_seconds": seconds["decode"],
        "generated_per_second": rates["generated"],
        "computed_per_second": rates["computed"],
    }


def cost(pace: Pace, config: RunConfig, options: Mapping[str, int], num_prompt: int) -> float:
    """Predicted seconds of a row: every path alive from the first step to the last."""
    paths, steps = config.branching.max_paths, config.limits.max_new_tokens
    prefill = pace.prompt_token * num_prompt
    tree = prefill + steps * (pace.step + pace.path * (paths - 1))
    naive = paths * (prefill + steps * pace.step) if options.get("naive") else 0.0
    return options["repeats"] * (tree + naive)


def trial(model: LoadedModel, config: RunConfig, options: Mapping[str, int]) -> dict[str, Any]:
    """The row of `config`: `options["repeats"]` runs with seeds from its own upwards; with
    `options["naive"]` independent samples beside each."""
    from explorer.generate import run

    naive = config.replace(backend="naive", num_samples=config.branching.max_paths)
    kinds = (config, naive) if options["naive"] else (config,)
    for each in kinds:
        warm_up(model, each)
    pairs: list[list[Trace]] = []
    for repeat in range(options["repeats"]):
        seed = config.sampling.seed + repeat
        order = range(len(kinds)) if repeat % 2 == 0 else reversed(range(len(kinds)))
        traces = {at: run(model, kinds[at].replace(seed=seed)) for at in order}
        pairs.append([traces[at] for at in sorted(traces)])
    row = row_of([pair[0] for pair in pairs])
    return row | (speedups(pairs) if options["naive"] else {})


def row_of(traces: Sequence[Trace]) -> dict[str, Any]:
    """The columns of repeats: means with 95 % intervals of what was counted, medians of times."""
    each = [counted(trace) for trace in traces]
    row: dict[str, Any] = {
        "repeats": len(traces),
        "prompt_tokens": len(traces[0].header.source or traces[0].header.prompt),
    }
    for name in each[0]:
        row |= with_interval(name, [values[name] for values in each])
    times = [timed(trace) for trace in traces]
    for name in times[0]:
        row |= with_interval(name, [values[name] for values in times], np.median)
    return row


def speedups(pairs: Sequence[Sequence[Trace]]) -> dict[str, Any]:
    """How much more a returned token costs independent samples than the tree, repeat by repeat."""
    found: dict[str, Any] = {}
    costs: dict[str, Callable[[Trace], float]] = {
        "speedup_forward_tokens": lambda trace: metrics.counters(trace)["forward_token_steps"],
        "speedup_seconds": lambda trace: metrics.seconds(trace)["total"],
    }
    for name, cost in costs.items():
        ratios = [_each(naive, cost) / _each(tree, cost) for tree, naive in pairs]
        found |= with_interval(name, ratios, np.median if SPEEDUPS[name].is_timing else np.mean)
    naive = [pair[1] for pair in pairs]
    found["naive_paths"] = mean(len(metrics.leaves(trace)) for trace in naive)
    found["naive_forward_token_steps"] = mean(
        metrics.counters(trace)["forward_token_steps"] for trace in naive
    )
    found["naive_seconds"] = median(metrics.seconds(trace)["total"] for trace in naive)
    return found


def _each(trace: Trace, cost: Callable[[Trace], float]) -> float:
    return cost(trace) / metrics.generated_tokens(trace)


def with_interval(
    name: str, values: Sequence[float | None], middle: Callable[..., Any] = np.mean
) -> dict[str, float | None]:
    """A column's mean (or median) over the repeats and its 95 % interval, by resampling repeats,
    which are independent; no interval of a single one, and nothing where a repeat has no value."""
    found: Values = {name: None, f"{name}_low": None, f"{name}_high": None}
    if None in values:
        return found
    known = np.array(values, dtype=np.float64)
    if len(known) > 1:
        draws = np.random.default_rng(0).integers(0, len(known), (RESAMPLES, len(known)))
        low, high = np.percentile(middle(known[draws], axis=1), [2.5, 97.5])
        found |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return found | {name: float(middle(known))}
