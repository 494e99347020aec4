"""What the sketch grid answers, computed from its rows and never typed in.

Rows are held against each other on the same tokens: differences of blocks of negative
log-likelihood, with a bootstrap 95 % interval of their mean. A row is better (worse) than another
where the whole interval is below (above) 0, and reaches it where the interval's upper end allows at
most 2 % more perplexity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import mean, median
from typing import Any

import numpy as np

from explorer.quality.bootstrap import Interval, interval

BLOCK = 16  # tokens
NEAR = math.log(1.02)  # nats: 2 % more perplexity

Row = Mapping[str, Any]


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Every answer as figures and a sentence. Degenerate points are named and left out of all."""
    grid = [row for row in rows if row["axes"]["kind"] == "grid"]
    usable = [row for row in grid if not row["axes"]["is_degenerate"]]
    base = {_identity(row): row for row in rows if row["axes"]["kind"] == "baseline"}
    found: dict[str, Any] = {
        "points": {"rows": len(rows), "grid": len(grid), "compared": len(usable)},
        "degenerate": [row["name"] for row in grid if row["axes"]["is_degenerate"]],
    }
    if not usable:
        return found
    return found | {
        "window": _against(usable, base, "window", "evict"),
        "random": _against(usable, base, "random", "evict"),
        "h2o": _against(usable, base, "h2o", None),
        "width": from_width(usable, base),
        "depth": by_depth(usable),
        "bytes": charged(usable, rows, base),
        "averages": averages(usable),
    }


def _identity(row: Row) -> tuple[Any, ...]:
    axes = row["axes"]
    return tuple(
        axes[name] for name in ("policy", "max_cache_size", "strategy", "topk", "kv_dtype")
    )


def _partner(row: Row, base: Mapping[Any, Row], policy: str, strategy: str | None) -> Row | None:
    """The baseline of the same cache size; with the point's own strategy where none is named."""
    axes = row["axes"]
    kind = (axes["strategy"], axes["topk"]) if strategy is None else (strategy, None)
    return base.get((policy, axes["max_cache_size"], *kind, "model"))


def difference(pairs: Iterable[tuple[Row, Row]]) -> Interval:
    """Mean of `first - second` over all pairs, nats per token, resampling blocks of the text."""
    sums, tokens = None, 0
    for count, (first, second) in enumerate(pairs, 1):
        blocks = [np.subtract(a, b) for a, b in zip(_blocks(first), _blocks(second), strict=True)]
        sums = blocks if sums is None else [a + b for a, b in zip(sums, blocks, strict=True)]
        tokens = first["measures"]["tokens"] * count
    assert sums is not None
    found = interval(sums)
    scale = sum(map(len, sums)) / tokens
    return Interval(
        found.mean * scale, found.low * scale, found.high * scale, found.block, found.correlation
    )


def _blocks(row: Row) -> Sequence[Sequence[float]]:
    blocks: Sequence[Sequence[float]] = row["measures"]["_blocks"]
    return blocks


def _percent(nats: float) -> str:
    return f"{100 * math.expm1(nats):+.1f} %"


def _against(
    usable: Sequence[Row], base: Mapping[Any, Row], policy: str, strategy: str | None
) -> dict[str, Any]:
    """How many points are better, worse, within 2 %, or neither shown, than one baseline."""
    pairs = [(row, other) for row in usable if (other := _partner(row, base, policy, strategy))]
    if not pairs:
        return {"compared": 0, "answer": f"No point has a {policy} row to be held against."}
    found = [difference([pair]) for pair in pairs]
    counts = {
        "compared": len(found),
        "better": sum(each.high < 0 for each in found),
        "worse": sum(each.low > 0 for each in found),
        "reached": sum(each.high <= NEAR for each in found),
    }
    together = difference(pairs)
    sizes = {}
    for size in sorted({row["axes"]["max_cache_size"] for row, _ in pairs}):
        of_size = [pair for pair in pairs if pair[0]["axes"]["max_cache_size"] == size]
        sizes[size] = _percent(difference(of_size).mean)
    what = f"{policy} of the same cache size" + ("" if strategy else " and strategy")
    each = ", ".join(f"{text} at {size}" for size, text in sizes.items())
    return {
        **counts,
        "mean_difference": together.mean,
        "ci95": [together.low, together.high],
        "by_cache_size": {str(size): text for size, text in sizes.items()},
        "answer": f"{_yes(counts['better'], counts['worse'], len(found))} Against {what}, "
        f"{counts['better']} of {len(found)} points have a lower perplexity, {counts['worse']} a "
        f"higher one (95 % intervals clear of 0), and {counts['reached']} reach it (at most 2 % "
        f"more, by the interval). Mean difference {_percent(together.mean)}: {each}.",
    }


def _yes(better: int, worse: int, count: int) -> str:
    if better == count:
        return "Yes, always."
    if worse == count:
        return "No, never."
    if better > worse:
        return "More often than not." if better > count / 2 else "Sometimes."
    return "No, mostly the reverse." if worse > count / 2 else "Not as a rule."


# ---- width and depth -----------------------------------------------------------------------------


def from_width(usable: Sequence[Row], base: Mapping[Any, Row]) -> dict[str, Any]:
    """The smallest width from which on every depth reaches exact counters, by size and strategy."""
    reached: dict[tuple[Any, ...], dict[int, bool]] = {}
    for row in usable:
        if other := _partner(row, base, "h2o", None):
            axes = row["axes"]
            family = reached.setdefault(
                (axes["max_cache_size"], axes["strategy"], axes["topk"]), {}
            )
            is_near = difference([(row, other)]).high <= NEAR
            family[axes["width"]] = family.get(axes["width"], True) and is_near
    by_family = [
        {"max_cache_size": size, "strategy": strategy, "topk": topk, "width": _first(widths)}
        for (size, strategy, topk), widths in reached.items()
    ]
    every: dict[int, bool] = {}
    for widths in reached.values():
        for width, is_near in widths.items():
            every[width] = every.get(width, True) and is_near
    overall = _first(every)
    settled = sum(entry["width"] is not None for entry in by_family)
    where = f"for {settled} of {len(by_family)} pairs of cache size and strategy some width does"
    if overall is None:
        answer = f"From no width of the grid on do all points reach exact counters; {where}."
    else:
        answer = f"From width {overall} on every point reaches exact counters; {where}."
    return {"overall": overall, "by_family": by_family, "answer": answer}


def _first(reached: Mapping[int, bool]) -> int | None:
    """The smallest key from which on all values are true."""
    found = None
    for width in sorted(reached, reverse=True):
        if not reached[width]:
            break
        found = width
    return found


def by_depth(usable: Sequence[Row]) -> dict[str, Any]:
    """Deeper sketches against shallower ones: of the same width, and of as many counters."""
    at = {_place(row): row for row in usable}
    depths = sorted({row["axes"]["depth"] for row in usable})
    steps = [
        _step(at, shallow, deep, lambda width: width, "of the same width")
        for shallow, deep in pairwise(depths)
    ]
    if 2 in depths and 4 in depths:  # 2 x 2w counters against 4 x w
        steps.append(_step(at, 2, 4, lambda width: 2 * width, "of as many counters"))
    steps = [step for step in steps if step["pairs"]]
    return {"steps": steps, "answer": " ".join(step["answer"] for step in steps)}


def _place(row: Row) -> tuple[Any, ...]:
    axes = row["axes"]
    names = ("max_cache_size", "strategy", "topk", "width", "depth")
    return tuple(axes[name] for name in names)


def _step(
    at: Mapping[tuple[Any, ...], Row],
    shallow: int,
    deep: int,
    width_of: Callable[[int], int],
    words: str,
) -> dict[str, Any]:
    pairs = [
        (row, other)
        for (*family, width, depth), row in at.items()
        if depth == deep and (other := at.get((*family, width_of(width), shallow)))
    ]
    if not pairs:
        return {"pairs": 0}
    found = difference(pairs)
    helps = "is worth it" if found.high < 0 else "costs" if found.low > 0 else "shows no difference"
    return {
        "shallow": shallow,
        "deep": deep,
        "held_equal": words,
        "pairs": len(pairs),
        "mean_difference": found.mean,
        "ci95": [found.low, found.high],
        "answer": f"Depth {deep} instead of {shallow} {words} {helps}: {_percent(found.mean)} "
        f"perplexity (95 % interval {_percent(found.low)} to {_percent(found.high)}, "
        f"{len(pairs)} pairs).",
    }


# ---- bytes ---------------------------------------------------------------------------------------


def charged(usable: Sequence[Row], rows: Sequence[Row], base: Mapping[Any, Row]) -> dict[str, Any]:
    """Keys, values and counters together, against the full cache and what else they would buy."""
    full = base.get((None, None, None, None, "model"))
    if full is None or not usable:
        return {"answer": "Without the full cache's row nothing can be said of bytes."}
    whole = full["measures"]["total_nbytes"]
    shares = [row["measures"]["total_nbytes"] / whole for row in usable]
    smaller = sum(share < 1 for share in shares)
    exact = [(row, other) for row in usable if (other := _partner(row, base, "h2o", None))]
    dearer = sum(_total(row) > _total(other) for row, other in exact)
    others = [row for row in rows if row["axes"]["kind"] == "baseline" and row is not full]
    dominated = sum(any(_dominates(other, row) for other in others) for row in usable)
    answer = (
        f"With its own bytes charged the sketch needs {min(shares):.0%} to {max(shares):.0%} of "
        f"the full cache's (median {median(shares):.0%}); {smaller} of {len(usable)} points save "
        f"anything. {dearer} of {len(exact)} are larger than exact counters, and for {dominated} "
        f"of {len(usable)} a baseline needs no more bytes and has no higher perplexity."
    )
    return {
        "full_nbytes": whole,
        "share_of_full": {"min": min(shares), "median": median(shares), "max": max(shares)},
        "points_that_save": smaller,
        "larger_than_exact": dearer,
        "held_against_exact": len(exact),
        "dominated": dominated,
        "answer": answer,
    }


def _total(row: Row) -> int:
    return int(row["measures"]["total_nbytes"])


def _dominates(other: Row, row: Row) -> bool:
    no_worse = other["measures"]["nll"] <= row["measures"]["nll"]
    return bool(no_worse and _total(other) <= _total(row))


def averages(usable: Sequence[Row]) -> list[dict[str, Any]]:
    """Mean measures of the points that are not degenerate, by each value of each axis."""
    found = []
    for name in ("max_cache_size", "width", "depth", "strategy"):
        for value in sorted({row["axes"][name] for row in usable}):
            inside = [row["measures"] for row in usable if row["axes"][name] == value]
            entry: dict[str, Any] = {"axis": name, "value": value, "points": len(inside)}
            for measure in ("delta_nll", "kl", "flip_rate", "attention_mass_lost", "total_nbytes"):
                entry[measure] = mean(each[measure] for each in inside)
            found.append(entry)
    return found
