"""Cached against uncached: what keeping keys and values saves, token by token, the longer the text.

One greedy path on one prompt, once without any cache (`recompute`: every step reads the whole text
again) and once over the pool (`cow`: every step reads one token). Both must write the same text.
Either reads the prompt in one pass; a speed-up is of the steps after it, with all that is done
between two passes, and of the whole run beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer import metrics
from explorer.config import InputError, RunConfig
from explorer.experiments import axes
from explorer.experiments.base import Axes, Measure, Pace, Point, Sweep
from explorer.experiments.trial import PROMPT, prompt_of, warm_up, with_interval
from explorer.trace import Trace

if TYPE_CHECKING:
    from explorer.models import LoadedModel

NEW_TOKENS = 16
CACHED, UNCACHED = "cow", "recompute"
AXES = {"prompt_length": tuple(length - NEW_TOKENS for length in (64, 128, 256, 512, 1024, 2048))}
OPTIONS = {"repeats": 3}
GREEDY: dict[str, Any] = dict(
    temperature=0.0,
    entropy_threshold=1.0,
    max_paths=1,
    max_new_tokens=NEW_TOKENS,
    num_candidates=1,
    prefill_chunk=65_536,
    policy=None,
    budget=None,
    kv_dtype="model",
)
FIELDS = ("backend", "prefill_chunk", "kv_dtype", "policy", "budget", *GREEDY)
MEASURES = {
    "speedup_decode": Measure(
        "seconds of the steps after the prompt: uncached / cached", "×", is_timing=True
    ),
    "speedup_seconds": Measure("seconds of the whole run: uncached / cached", "×", is_timing=True),
    "cached_per_second": Measure("tokens a second after the prompt, cached", "tokens/s", True),
    "uncached_per_second": Measure("tokens a second after the prompt, uncached", "tokens/s", True),
    "kv_nbytes_peak": Measure("peak of allocated keys and values, cached (uncached: none)", "B"),
    "speedup_forward_tokens": Measure("positions computed: uncached / cached", "×"),
    "length": Measure("tokens of the text at its end", "tokens"),
}


def points(config: RunConfig, options: Mapping[str, int], over: Axes) -> list[Point]:
    """One greedy path at every length. Raises InputError."""
    if "prompt_length" not in over:
        raise InputError("axes: cached needs prompt_length; give its values.")
    if not config.prompt.strip() and config.prompt_ids is None:
        config = config.replace(prompt=PROMPT)
    return axes.points(config.replace(**GREEDY), over)


def prepare(model: LoadedModel, options: Mapping[str, int]) -> Mapping[str, int]:
    """The options themselves. Raises InputError where the model has no pool."""
    if CACHED not in model.info.backends:
        raise InputError(f"{model.info.reason} So there is no cached run to hold uncached ones to.")
    return options


def measure(model: LoadedModel, point: Point, options: Mapping[str, int]) -> dict[str, Any]:
    """The row: repeats in alternating order, medians. Raises ValueError where the texts differ."""
    from explorer.generate import run

    ids = prompt_of(model, point.config, point.axes["prompt_length"])
    config = point.config.replace(prompt_ids=ids, chat_template=False)
    sides = {name: config.replace(backend=name) for name in (CACHED, UNCACHED)}
    for each in sides.values():
        warm_up(model, each)
    pairs: list[dict[str, Trace]] = []
    for repeat in range(options["repeats"]):
        order = sides if repeat % 2 == 0 else reversed(sides)
        pairs.append({name: run(model, sides[name]) for name in order})
    digests = {metrics.tree_digest(trace) for pair in pairs for trace in pair.values()}
    if len(digests) > 1:
        raise ValueError("cached and uncached wrote different texts, so their times say nothing")
    return row_of(pairs) | {"tree_digest": digests.pop(), "_run": {"prompt_ids": list(ids)}}


def row_of(pairs: Sequence[Mapping[str, Trace]]) -> dict[str, Any]:
    """The columns of runs of both kinds, repeat by repeat."""
    trace = pairs[0][CACHED]
    count = {name: metrics.counters(each) for name, each in pairs[0].items()}
    decode = {name: [after_prompt(pair[name]) for pair in pairs] for name in (CACHED, UNCACHED)}
    whole = {name: [metrics.seconds(pair[name])["total"] for pair in pairs] for name in decode}
    steps = sum(step.phase == "decode" for step in trace)
    asked = trace.header.source or trace.header.prompt
    return {
        "repeats": len(pairs),
        "generated_tokens": count[CACHED]["generated_tokens"],
        "length": len(asked) + count[CACHED]["generated_tokens"],
        **with_interval("speedup_decode", _ratios(decode), np.median),
        **with_interval("speedup_seconds", _ratios(whole), np.median),
        "cached_per_second": steps / median(decode[CACHED]) if steps else None,
        "uncached_per_second": steps / median(decode[UNCACHED]) if steps else None,
        "kv_nbytes_peak": held(trace),
        "uncached_kv_nbytes_peak": held(pairs[0][UNCACHED]),
        "speedup_forward_tokens": count[UNCACHED]["forward_token_steps"]
        / count[CACHED]["forward_token_steps"],
    }


def held(trace: Trace) -> int:
    """Bytes of keys and values at their peak, those of an encoder's source among them."""
    memories = [memory for step in trace for memory in (step.memory_forward, step.memory)]
    return max(memory.kv_nbytes + memory.cross_nbytes for memory in memories)


def after_prompt(trace: Trace) -> float:
    """Seconds of all steps after the prompt, between their passes too."""
    return sum(step.seconds + step.overhead_seconds for step in trace if step.phase == "decode")


def _ratios(seconds: Mapping[str, Sequence[float]]) -> list[float | None]:
    pairs = zip(seconds[UNCACHED], seconds[CACHED], strict=True)
    return [uncached / cached if cached else None for uncached, cached in pairs]


def crossing(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The length from which on the cache is faster at every longer one that was measured, between
    two rows on a straight line of logarithms; None where no row is slower with a cache, or the last
    one is."""
    known = sorted(
        (row["length"], row["speedup_decode"]) for row in rows if row.get("speedup_decode")
    )
    for (short, slower), (long, faster) in reversed(list(pairwise(known))):
        if faster < 1:
            return None
        if slower < 1:
            share = -math.log(slower) / (math.log(faster) - math.log(slower))
            return float(math.exp(math.log(short) + share * (math.log(long) - math.log(short))))
    return None


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """From which length on a cache pays, and by how much at the longest."""
    measures = [row["measures"] for row in rows if row["measures"]["speedup_decode"] is not None]
    if not measures:
        return {"crossing": {"length": None, "answer": "No run had a step after its prompt."}}
    measures.sort(key=lambda row: row["length"])
    found, first, last = crossing(measures), measures[0], measures[-1]
    if found is not None:
        where = f"The cache is faster from about {found:,.0f} tokens on"
    elif last["speedup_decode"] < 1:
        where = f"The cache is not faster at {last['length']:,} tokens, the longest text"
    else:
        where = f"The cache is faster at every length, from {first['length']:,} tokens on"
    at_last = f"at {last['length']:,} tokens a step takes {last['speedup_decode']:.2f} x as long"
    return {
        "crossing": {
            "length": found,
            "answer": f"{where}; {at_last} without it, and it holds "
            f"{last['kv_nbytes_peak'] / 2**20:.1f} MiB.",
        }
    }


def cost(pace: Pace, point: Point, options: Mapping[str, int], num_prompt: int) -> float:
    """Predicted seconds of a row: uncached steps read the text again and again."""
    length = point.axes["prompt_length"]
    cached = length * pace.prompt_token + NEW_TOKENS * pace.step
    uncached = (NEW_TOKENS + 1) * length * pace.prompt_token
    return options["repeats"] * (cached + uncached)


SWEEP = Sweep(
    "cached",
    tuple(dict.fromkeys(FIELDS)),
    OPTIONS,
    points,
    prepare,
    measure,
    summarize,
    AXES,
    MEASURES,
    "prompt_length",
    cost,
)
