"""A prefix cache under load: how much of the prompts it hits, by capacity and by who leaves first.

The workload: every request is the same preamble, one of some documents, and a question of its own,
as in retrieval. Documents are asked for by Zipf's law: the r-th most wanted with a probability in
proportion to `1 / r ** s`. Their tokens are random: what they say does not matter to what is
reused. Every request is a run, its cache real keys and values; hits are read off its trace.

A question shorter than a block is not stored. One that fills a block makes the orders alike: leaves
go first, and a document whose newest question stands on it is as young as its last use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer import metrics
from explorer.config import InputError, RunConfig
from explorer.experiments import axes
from explorer.experiments.base import Axes, Measure, Pace, Point, Sweep
from explorer.experiments.trial import with_interval

if TYPE_CHECKING:
    from explorer.models import LoadedModel

AXES = {"order": ("lru", "fifo"), "capacity_blocks": (8, 16, 32, 64, 128)}
OPTIONS = {
    "repeats": 3,
    "requests": 60,
    "documents": 20,
    "document_tokens": 96,
    "preamble_tokens": 32,
    "question_tokens": 8,
    "block_size": 16,
    "zipf_percent": 100,  # 100 s
}
MEASURES = {
    "hit_rate": Measure("prompt tokens that were found in the cache"),
    "possible_hit_rate": Measure("the same in a cache without a bound"),
    "hit_tokens": Measure("prompt tokens found", "tokens"),
    "miss_tokens": Measure("prompt tokens computed", "tokens"),
    "evicted_blocks": Measure("evicted blocks"),
    "nbytes_peak": Measure("largest size of the cache", "B"),
    "prefill_seconds": Measure("prefill passes of all requests", "s", is_timing=True),
    "first_token_seconds": Measure("mean time to first token", "s", is_timing=True),
}


def points(config: RunConfig, options: Mapping[str, int], over: Axes) -> list[Point]:
    """Every order at every capacity. Raises InputError."""
    for name in AXES:
        if name not in over:
            raise InputError(f"axes: prefix needs {name}; give its values.")
    plain = config.replace(
        prompt_ids=(0,), prefix_ids=(), chat_template=False, max_new_tokens=1, max_paths=1
    )
    return axes.points(plain, over)


def prepare(model: LoadedModel, options: Mapping[str, int]) -> Mapping[str, int]:
    """The options themselves. Raises InputError where a request is longer than the model reads."""
    names = ("preamble_tokens", "document_tokens", "question_tokens")
    length = sum(options[name] for name in names) + 1
    if model.info.context is not None and length > model.info.context:
        raise InputError(
            f"document_tokens: a request of {length} tokens is more than the "
            f"{model.info.context} positions of {model.info.name}."
        )
    return options


def workload(vocab_size: int, options: Mapping[str, int], seed: int) -> list[tuple[int, ...]]:
    """The prompts of all requests, in order, as token ids."""
    rng = np.random.default_rng(seed)

    def words(count: int) -> tuple[int, ...]:
        return tuple(rng.integers(0, vocab_size, count).tolist())

    preamble = words(options["preamble_tokens"])
    documents = [words(options["document_tokens"]) for _ in range(options["documents"])]
    weights = np.arange(1, len(documents) + 1) ** -(options["zipf_percent"] / 100)
    wanted = rng.choice(len(documents), options["requests"], p=weights / weights.sum())
    return [(*preamble, *documents[one], *words(options["question_tokens"])) for one in wanted]


def possible(prompts: Sequence[tuple[int, ...]], block_size: int) -> float:
    """The share of tokens that lie in whole blocks whose beginnings were there before; a prompt's
    last token is never among them."""
    seen: set[tuple[int, ...]] = set()
    hits = 0
    for ids in prompts:
        ends = range(block_size, len(ids) + 1, block_size)
        hits += max((end for end in ends if end < len(ids) and ids[:end] in seen), default=0)
        seen |= {ids[:end] for end in ends}
    return hits / sum(map(len, prompts))


def measure(model: LoadedModel, point: Point, options: Mapping[str, int]) -> dict[str, Any]:
    """The row: the workload of every seed through a cache of its own, empty at first."""
    each = [
        _served(model, point, options, point.config.sampling.seed + repeat)
        for repeat in range(options["repeats"])
    ]
    row: dict[str, Any] = {"repeats": len(each)}
    for name, about in MEASURES.items():
        middle = np.median if about.is_timing else np.mean
        row |= with_interval(name, [values[name] for values in each], middle)
    vocab, seed = model.info.vocab_size, point.config.sampling.seed
    return row | {"_run": {"prompt_ids": list(workload(vocab, options, seed)[0])}}


def _served(
    model: LoadedModel, point: Point, options: Mapping[str, int], seed: int
) -> dict[str, float]:
    from explorer.cache.prefix import PrefixCache
    from explorer.generate import run

    cache = PrefixCache(
        options["block_size"], None, point.axes["capacity_blocks"], point.axes["order"]
    )
    prompts = workload(model.info.vocab_size, options, seed)
    found: dict[str, list[float]] = {"hit": [], "nbytes": [], "prefill": [], "first": []}
    for ids in prompts:
        trace = run(model, point.config.replace(prompt_ids=ids), prefix=cache)
        reused, seconds = metrics.reused(trace), metrics.seconds(trace)
        assert reused is not None
        found["hit"].append(reused.hit_tokens)
        found["nbytes"].append(reused.nbytes)
        found["prefill"].append(seconds["prefill"])
        found["first"].append(seconds["first_token"])
    tokens, hits = sum(map(len, prompts)), sum(found["hit"])
    return {
        "hit_rate": hits / tokens,
        "possible_hit_rate": possible(prompts, options["block_size"]),
        "hit_tokens": hits,
        "miss_tokens": tokens - hits,
        "evicted_blocks": cache.stats().evicted_blocks,
        "nbytes_peak": max(found["nbytes"]),
        "prefill_seconds": sum(found["prefill"]),
        "first_token_seconds": float(np.mean(found["first"])),
    }


def predict(pace: Pace, point: Point, options: Mapping[str, int], num_prompt: int) -> float:
    """Seconds that a row may take, nothing being found."""
    names = ("preamble_tokens", "document_tokens", "question_tokens")
    request = pace.prompt_token * sum(options[name] for name in names) + pace.step
    return options["repeats"] * options["requests"] * request


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """At which capacities which order hits more, and whether clearly."""
    rates: dict[int, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        axis = row["axes"]
        rates.setdefault(axis["capacity_blocks"], {})[axis["order"]] = row["measures"]
    sentences = [
        _held(capacity, own["lru"], own["fifo"])
        for capacity, own in sorted(rates.items())
        if {"lru", "fifo"} <= set(own)
    ]
    return {"order": {"answer": " ".join(sentences)}}


def _held(capacity: int, lru: Mapping[str, Any], fifo: Mapping[str, Any]) -> str:
    ends = [row[f"hit_rate_{end}"] for row in (lru, fifo) for end in ("low", "high")]
    is_clear = None not in ends and (ends[0] > ends[3] or ends[2] > ends[1])
    return (
        f"With {capacity} blocks lru hits {lru['hit_rate']:.1%} and fifo {fifo['hit_rate']:.1%}"
        f"{'' if is_clear else ', within their intervals'}."
    )


SWEEP = Sweep(
    "prefix",
    ("prompt", "prompt_ids", "prefix_ids", "max_new_tokens", "max_paths"),
    OPTIONS,
    points,
    prepare,
    measure,
    summarize,
    AXES,
    MEASURES,
    "capacity_blocks",
    predict,
)
