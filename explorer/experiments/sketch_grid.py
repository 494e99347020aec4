"""The 144 points of a counted eviction: how large must the sketch be, and does it pay?

Cache sizes x sketch widths x depths x what becomes of the rest, each on held-out passages of the
bundled model, beside the full cache, a window, random eviction, exact counters and integer storage.
Points that attend to more tokens than they may store are degenerate: named, kept out of averages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.config import Eviction, InputError, RunConfig
from explorer.experiments.answers import BLOCK, summarize
from explorer.experiments.base import Axes, Measure, Pace, Point, Sweep

if TYPE_CHECKING:
    from explorer.models import LoadedModel
    from explorer.quality import FullCache, Measured
    from explorer.quality.passages import Passage

SIZES = (64, 128, 256)
WIDTHS = (128, 256, 512, 1024)
DEPTHS = (2, 4, 6)
STRATEGIES: tuple[tuple[str, int | None], ...] = (
    ("topk", 32),
    ("topk", 64),
    ("topk", 128),
    ("aggregate", None),
)
PLAIN = ("evict", None)
# passages and their tokens: 4 x 1,024 predictions, and the questions among them
OPTIONS = {"passages": 4, "passage_tokens": 1024, "probes": 0}
FIELDS = ("kv_dtype", *Eviction.model_fields, "num_evidence")


def points(config: RunConfig, options: Mapping[str, int], axes: Axes) -> list[Point]:
    """The full cache and other baselines, the grid, and the full cache in integers."""
    if axes:
        raise InputError("axes: those of the sketch grid are fixed; leave them out.")
    integers = (_stored(config, "int8"), _stored(config, "int4"))
    return [_stored(config, "model"), *_baselines(config), *_grid(config), *integers]


def _grid(config: RunConfig) -> Iterator[Point]:
    for size, width, depth, kind in product(SIZES, WIDTHS, DEPTHS, STRATEGIES):
        yield _bounded(config, "count_min", size, kind, (width, depth))


def _baselines(config: RunConfig) -> Iterator[Point]:
    for size in SIZES:
        for policy in ("window", "random", "h2o"):
            yield _bounded(config, policy, size, PLAIN)
        for kind in STRATEGIES:  # exact counters do with the rest what the sketch does
            yield _bounded(config, "h2o", size, kind)


def _stored(config: RunConfig, kv_dtype: str) -> Point:
    """The whole text, in the model's number format or in integers."""
    name = "full cache" if kv_dtype == "model" else f"full cache, {kv_dtype}"
    axes = _axes(kv_dtype=kv_dtype)
    return Point(name, axes, config.replace(kv_dtype=kv_dtype, num_evidence=0))


def _bounded(
    config: RunConfig,
    policy: str,
    size: int,
    kind: tuple[str, int | None],
    sketch: tuple[int, int] | None = None,
) -> Point:
    """A policy with a budget, a strategy and, for a sketch, its width and depth."""
    strategy, topk = kind
    changes: dict[str, Any] = dict(policy=policy, budget=size, strategy=strategy, num_evidence=0)
    words = [policy, f"cache {size}", strategy + (f" {topk}" if topk else "")]
    if topk:
        changes["topk"] = topk
    if sketch:
        # nobody looks at exact counters beside the sketch here: they would only cost time
        changes |= dict(sketch_width=sketch[0], sketch_depth=sketch[1], exact=False)
        words.insert(2, f"{sketch[0]} x {sketch[1]}")
    axes = _axes(
        kind="grid" if sketch else "baseline",
        policy=policy,
        max_cache_size=size,
        strategy=strategy,
        topk=topk,
        width=sketch[0] if sketch else None,
        depth=sketch[1] if sketch else None,
        is_degenerate=bool(topk and topk >= size),
    )
    return Point(", ".join(words), axes, config.replace(**changes))


def _axes(**given: Any) -> dict[str, Any]:
    """Every axis, so that all rows have the same columns."""
    unset: dict[str, Any] = dict(
        kind="baseline",
        policy=None,
        max_cache_size=None,
        width=None,
        depth=None,
        strategy=None,
        topk=None,
        kv_dtype="model",
        is_degenerate=False,
    )
    return unset | given


# ---- one row -------------------------------------------------------------------------------------


class Prepared:
    """Passages, and the full cache's side of them, read once a process."""

    def __init__(self, passages: list[Passage], probes: list[Passage], full: FullCache) -> None:
        self.passages, self.probes, self.full = passages, probes, full


def prepare(model: LoadedModel, options: Mapping[str, int]) -> Prepared:
    """The texts of this model. Raises InputError where it has none to be measured on."""
    from explorer.quality import FullCache
    from explorer.quality.passages import held_out, probes

    if model.tokenizer is None:
        raise InputError(f"{model.info.name} has no tokenizer; a sweep reads text.")
    context = model.info.context
    tokens = options["passage_tokens"]
    if context is not None and tokens > context:
        raise InputError(f"passage_tokens: {tokens} is more than this model's {context} positions.")
    return Prepared(
        held_out(model.tokenizer, options["passages"], tokens),
        probes(model.tokenizer, options["probes"], context),
        FullCache(model, keep=True),
    )


def measure(model: LoadedModel, point: Point, prepared: Prepared) -> dict[str, Any]:
    """The row's measures; `_blocks` are sums of nats over blocks of tokens, for pairing rows."""
    from explorer import quality

    found = quality.measure(model, point.config, prepared.passages, prepared.probes, prepared.full)
    row = row_of(found)
    is_smaller = row["kv_nbytes"] < row["full_kv_nbytes"]
    if point.config.cache.kv_dtype != "model" and not is_smaller:
        raise ValueError("nothing was stored in integers: the bytes are the full cache's")
    return row


def predict(pace: Pace, point: Point, options: Mapping[str, int], num_prompt: int) -> float:
    """Seconds that a row may take: token by token, beside the full cache."""
    return 2 * pace.step * options["passages"] * options["passage_tokens"]


def row_of(found: Measured) -> dict[str, Any]:
    """A quality document as the columns of a table."""
    document = found.document()
    policy, delta, recall = (document[name] for name in ("policy", "delta_nll", "recall"))
    names = ("nll", "perplexity", "kl", "flip_rate", "attention_mass_lost")
    return {
        "tokens": document["tokens"],
        **{name: policy[name] for name in names},
        "delta_nll": delta["mean"],
        "delta_nll_low": delta["ci95"][0],
        "delta_nll_high": delta["ci95"][1],
        "recall": recall["policy"],
        "recall_full": recall["full"],
        "probes": recall["probes"],
        "bleu": document["greedy"]["bleu"],
        "token_agreement": document["greedy"]["token_agreement"],
        "kv_nbytes": policy["kv_nbytes"],
        "score_nbytes": policy["score_nbytes"],
        "total_nbytes": policy["kv_nbytes"] + policy["score_nbytes"],
        "full_kv_nbytes": document["full"]["kv_nbytes"],
        "verdict": document["verdict"].split(":")[0],
        "_blocks": [_sums(each.nll) for each in found.scored],
    }


def _sums(nll: np.ndarray) -> list[float]:
    starts = np.arange(0, len(nll), BLOCK)
    return [round(float(total), 6) for total in np.add.reduceat(nll, starts)]


MEASURES = {
    "delta_nll": Measure("negative log-likelihood above the full cache's", "nats/token"),
    "kl": Measure("KL divergence from the full cache", "nats/token"),
    "flip_rate": Measure("first choices that differ from the full cache's"),
    "recall": Measure("recall questions answered"),
    "total_nbytes": Measure("peak of keys, values and counters", "B"),
}
SWEEP = Sweep(
    "sketch_grid",
    FIELDS,
    OPTIONS,
    points,
    prepare,
    measure,
    summarize,
    measures=MEASURES,
    x="total_nbytes",
    cost=predict,
)
