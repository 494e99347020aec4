"""The strategy "aggregate": numbers folded by hand, and paths that must not feel each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from explorer.cache.budget import Victims
from explorer.cache.pool import Pool
from explorer.eviction.residual import Residuals


def victims(tables: list[int], rows: list[int], slots: list[int], ranks: list[int]) -> Victims:
    columns = [np.array(column) for column in (tables, rows, slots)]
    return Victims(*columns, np.zeros(len(slots)), np.array(ranks), np.zeros(len(slots)))


def prepared(num_rows: int) -> tuple[Pool, Residuals]:
    """Two layers; slots 0 to 5 are the prompt's, key = slot (+ 100 in layer 1), value = -key."""
    pool = Pool(2)
    pool.split()
    residuals = Residuals(pool, num_entries=2)
    pool.begin(6)
    residuals.begin(np.stack([pool.writing(i) for i in range(2)]))
    states = torch.arange(6.0).view(1, 1, 6, 1).expand(1, 1, 6, 2)
    for layer_idx, layer in enumerate(pool.layers):
        layer.update(states + 100 * layer_idx, -states)
    pool.fork([0] * num_rows)
    residuals.fork([0] * num_rows)
    return pool, residuals


def key(pool: Pool, layer_idx: int, slot: int) -> float:
    return float(pool.layers[layer_idx].keys[0, 0, slot, 1])


def test_the_first_losers_become_entries_and_later_ones_are_folded_into_their_mean() -> None:
    pool, residuals = prepared(1)
    scores = np.array([[9, 1, 2, 3, 0, 8.0], [9, 8, 7, 6, 5, 4.0]])
    evictable = np.ones((2, 1, pool.capacity), dtype=bool)
    evictable[:, :, 6:] = False
    padded = np.pad(scores, ((0, 0), (0, pool.capacity - 6)))
    residuals.promote(padded, evictable, excess=np.array([[1], [0]]))
    assert np.argwhere(residuals.entry).tolist() == [[0, 0, 1], [0, 0, 4]]
    assert not evictable[0, 0, [1, 4]].any() and evictable[1, 0, :6].all()
    # slot 2, then 3: into entry 1, the earlier of two that stand for one token, then into entry 4
    assert residuals.fold(victims([0, 0], [0, 0], [2, 3], [1, 2])) == {0: []}
    pool.clear(np.zeros(2, int), np.zeros(2, int), np.array([2, 3]))
    assert residuals.count[0, :6].tolist() == [1, 2, 1, 1, 2, 1]
    assert key(pool, 0, 1) == pytest.approx((1 + 2) / 2)
    assert key(pool, 0, 4) == pytest.approx((4 + 3) / 2)
    assert key(pool, 1, 1) == 101
    assert residuals.fold(victims([0], [0], [5], [1])) == {0: []}
    assert residuals.count[0, 1] == 3
    assert key(pool, 0, 1) == pytest.approx((1 + 2 + 5) / 3)
    assert float(pool.layers[0].values[0, 0, 1, 0]) == pytest.approx(-(1 + 2 + 5) / 3)
    pool.clear(np.zeros(1, int), np.zeros(1, int), np.array([5]))
    pool.begin()
    bias = residuals.begin(np.stack([pool.writing(i) for i in range(2)]))
    np.testing.assert_allclose(bias[0, [1, 4]], [math.log(3), math.log(2)], rtol=1e-6)
    assert bias.sum() == pytest.approx(math.log(6))


def test_an_entry_that_several_paths_see_is_copied_before_it_changes() -> None:
    pool, residuals = prepared(3)
    for row in range(3):
        residuals.covering(pool.capacity)[0, row, [1, 4]] = True
    copied = residuals.fold(victims([0, 0], [0, 2], [2, 3], [1, 1]))
    assert copied == {0: [(0, 1, 6), (2, 1, 7)]}
    pool.clear(np.zeros(2, int), np.array([0, 2]), np.array([2, 3]))
    pool.check_integrity()
    assert key(pool, 0, 1) == 1  # path 1 sees what it saw
    assert key(pool, 0, 6) == pytest.approx((1 + 2) / 2)
    assert key(pool, 0, 7) == pytest.approx((1 + 3) / 2)
    seen = [np.flatnonzero(bits).tolist() for bits in pool.seen(0)]
    assert seen == [[0, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5], [0, 2, 4, 5, 7]]
    entries = [np.flatnonzero(bits).tolist() for bits in residuals.entry[0]]
    assert entries == [[4, 6], [1, 4], [4, 7]]
    assert residuals.count[0, [1, 6, 7]].tolist() == [1, 2, 2]
    # a copy that one path alone sees is changed where it is
    assert residuals.fold(victims([0], [0], [5], [2])) == {0: []}
    assert key(pool, 0, 6) == pytest.approx((1 + 2 + 5) / 3)


def test_a_mean_of_equal_tokens_attends_as_those_tokens_would() -> None:
    """Five tokens with one key and one value weigh as much folded into one entry as apart."""
    torch.manual_seed(0)
    query, shared, other = torch.randn(3, 4).unbind()
    values = torch.randn(2, 4)
    apart = torch.stack([shared] * 5 + [other]) @ query
    folded = torch.stack([shared, other]) @ query + torch.tensor([math.log(5), 0.0])
    expected = apart.softmax(0) @ torch.stack([values[0]] * 5 + [values[1]])
    torch.testing.assert_close(folded.softmax(0) @ values, expected)
