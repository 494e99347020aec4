"""Intervals of a mean: against a loop, against the normal law, and blocks where tokens cling."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from explorer.quality import bootstrap
from explorer.quality.bootstrap import interval, neighbours, resampled_means


def by_loop(parts: list[list[float]], block: int, seed: int) -> list[float]:
    """The same means, value by value: every block walks on around the end of its own passage."""
    places = [(part, at) for part in parts for at in range(len(part))]
    rng = np.random.default_rng(seed)
    draws = -(-len(places) // block)
    starts = rng.integers(0, len(places), size=(bootstrap.RESAMPLES, draws)).tolist()
    means = []
    for row in starts:
        drawn = []
        for start in row:
            part, at = places[start]
            drawn += [part[(at + step) % len(part)] for step in range(block)]
        means.append(sum(drawn) / len(drawn))
    return means


@pytest.mark.parametrize("block", [1, 3, 5])
def test_resampled_means_are_those_of_a_loop(block: int) -> None:
    rng = random.Random(3)
    parts = [[rng.gauss(0, 1) for _ in range(length)] for length in (5, 11, 8)]
    got = resampled_means([np.array(part) for part in parts], block, seed=7)
    assert got.tolist() == pytest.approx(by_loop(parts, block, 7))


def test_the_interval_of_independent_values_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(0).normal(0.5, 2.0, 4000)
    found = interval([values[:1000], values[1000:]])
    half = 1.96 * values.std() / math.sqrt(4000)
    assert found.block == 1
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=half / 8)
    assert found.high == pytest.approx(values.mean() + half, abs=half / 8)


def test_clinging_values_are_drawn_in_blocks_and_their_interval_is_wider() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, 4000)
    clinging = np.array([noise[max(0, at - 5) : at + 1].sum() for at in range(4000)])
    found = interval([clinging])
    shuffled = interval([rng.permutation(clinging)])
    assert (found.block, shuffled.block) == (math.ceil(4000 ** (1 / 3)), 1)
    assert found.correlation == pytest.approx(5 / 6, abs=0.03)
    assert found.high - found.low > 1.8 * (shuffled.high - shuffled.low)
    assert "blocks of 16" in found.method
    assert "single tokens" in shuffled.method


def test_neighbours_do_not_reach_over_the_end_of_a_passage() -> None:
    first, second = [1.0, 2.0, 4.0], [3.0, 5.0]
    mean = 3.0
    spread = 4 + 1 + 1 + 0 + 4
    products = (1 - mean) * (2 - mean) + (2 - mean) * (4 - mean) + (3 - mean) * (5 - mean)
    assert neighbours([np.array(first), np.array(second)]) == pytest.approx(products / spread)


def test_equal_values_have_an_interval_of_one_point() -> None:
    found = interval([np.full(20, 0.25)])
    assert (found.low, found.mean, found.high, found.correlation) == (0.25, 0.25, 0.25, 0.0)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [np.random.default_rng(2).normal(size=300)]
    assert interval(values, seed=4) == interval(values, seed=4)
    assert interval(values, seed=4) != interval(values, seed=5)
