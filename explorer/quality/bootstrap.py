"""Confidence intervals of a mean over tokens of text, by resampling blocks of neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
Z95 = 1.96  # standard errors


@dataclass(frozen=True, slots=True)
class Interval:
    """Mean and 95 % percentile interval. `block` neighbouring values were drawn together because
    `correlation`, that of neighbours, was (or, with block 1, was not) above chance."""

    mean: float
    low: float
    high: float
    block: int
    correlation: float

    @property
    def method(self) -> str:
        kind = "single tokens" if self.block == 1 else f"circular moving blocks of {self.block}"
        return f"paired percentile bootstrap over {kind}, {RESAMPLES} resamples"


def interval(parts: Sequence[np.ndarray], seed: int = 0) -> Interval:
    """The interval of the mean over all values of `parts`, one array `[tokens]` a passage.

    Blocks of `ceil(n ** (1/3))` (Hall, Horowitz and Jing 1995) where neighbours are correlated,
    single values otherwise. A block lies in one passage and goes on at its beginning where it
    meets the end, so that every value is drawn equally often (Politis and Romano 1992).
    """
    values = np.concatenate(parts)
    correlation = neighbours(parts)
    is_correlated = abs(correlation) > Z95 / math.sqrt(len(values))
    block = math.ceil(len(values) ** (1 / 3)) if is_correlated else 1
    block = min(block, *(len(part) for part in parts))
    low, high = np.percentile(resampled_means(parts, block, seed), [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high), block, correlation)


def neighbours(parts: Sequence[np.ndarray]) -> float:
    """Correlation of neighbouring values, pooled over passages; 0 where nothing varies."""
    mean = np.concatenate(parts).mean()
    spread = sum(float(((part - mean) ** 2).sum()) for part in parts)
    if spread == 0:
        return 0.0
    return sum(float(((p[1:] - mean) * (p[:-1] - mean)).sum()) for p in parts) / spread


def resampled_means(parts: Sequence[np.ndarray], block: int, seed: int) -> np.ndarray:
    """`[RESAMPLES]` means, each of `ceil(n / block)` blocks drawn with replacement."""
    sums = np.concatenate([_block_sums(part, block) for part in parts])
    draws = math.ceil(len(sums) / block)
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, len(sums), size=(RESAMPLES, draws))
    return np.asarray(sums[starts].mean(axis=1) / block)


def _block_sums(part: np.ndarray, block: int) -> np.ndarray:
    """`[tokens]`: the sum of the block that begins at each value."""
    around = np.concatenate([[0.0], np.cumsum(np.concatenate([part, part[: block - 1]]))])
    return np.asarray(around[block:] - around[: len(part)])
