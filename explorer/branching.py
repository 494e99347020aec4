"""Entropy, threshold and budget -> forks. Pure functions of numbers.

Entropy-adaptive branching: a path forks where the normalised entropy of its next token reaches a
threshold, into as many children as the budget of live paths still allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from explorer.path import Path


def normalized_entropy(entropy: float, vocab_size: int) -> float:
    """`min(entropy / ln(vocab_size), 1)`: 0 is certain, 1 is uniform over the vocabulary."""
    return min(entropy / math.log(vocab_size), 1.0) if vocab_size > 1 else 0.0


def budget_factor(branch_factor: int, remaining: int) -> int:
    """Children a fork may have with room for `remaining` more paths.

    `remaining >= k -> k`, `0 < remaining < k -> remaining`, `remaining <= 0 -> 2` (the worst paths
    are pruned after). A factor of 1 is a plain continuation.
    """
    if remaining >= branch_factor:
        return branch_factor
    return remaining if remaining > 0 else 2


def fixed_width(branch_factor: int, h: float, threshold: float) -> int:
    """The branch factor, whatever the entropy."""
    return branch_factor


def entropy_width(branch_factor: int, h: float, threshold: float) -> int:
    """2 children at the threshold, growing in proportion to the branch factor at h = 1."""
    share = (h - threshold) / (1 - threshold) if threshold < 1 else 1.0
    return 2 + round((branch_factor - 2) * share)


WIDTHS: dict[str, Callable[[int, float, float], int]] = {
    "threshold": fixed_width,
    "entropy": entropy_width,
}


def num_children(h: float, threshold: float, wanted: int, remaining: int, support: int) -> int:
    """Children of one path: 1 below the threshold, else what budget and distribution allow.

    `support` is the number of tokens with non-zero probability.
    """
    if h < threshold:
        return 1
    return max(1, min(budget_factor(wanted, remaining), support))


def prune(paths: Sequence[Path], max_paths: int, score: Callable[[Path], float]) -> list[Path]:
    """At most `max_paths` paths: all, in their order, or the best, highest score first (stable)."""
    if len(paths) <= max_paths:
        return list(paths)
    return sorted(paths, key=score, reverse=True)[:max_paths]


def by_logprob(path: Path) -> float:
    """What decides which paths stay. They are equally long, so the mean would order them alike."""
    return path.logprob


def by_perturbed(path: Path) -> float:
    """The score of stochastic beam search: the Gumbel-perturbed log-probability."""
    assert path.perturbed is not None
    return path.perturbed
