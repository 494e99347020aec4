"""Budgets, protection and the choice of victims against numbers worked out by hand and loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.cache.budget import (
    FORGET,
    Controller,
    choose,
    exact_ranks,
    highest,
    layer_budgets,
    protected,
)
from explorer.config import Eviction, InputError


def settings(**changes: object) -> Eviction:
    return Eviction(**({"policy": "h2o", "sinks": 1, "recent": 1} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "budgets"),
    [
        ({"budget": 10}, [10, 10, 10, 10]),
        ({"budget": 0.25}, [15, 15, 15, 15]),  # of 60 prompt tokens
        ({"budget": 0.125}, [8, 8, 8, 8]),  # 7.5, rounded to even
        ({"budget": 10, "pyramid": 0.6}, [16, 12, 8, 4]),
        ({"budget": 10, "pyramid": 0.5}, [15, 12, 8, 5]),  # 11.67 and 8.33: the first gets the one
        ({"layer_budgets": (9, 3, 5, 7)}, [9, 3, 5, 7]),
    ],
)
def test_budgets_of_layers(changes: dict[str, object], budgets: list[int]) -> None:
    found = layer_budgets(settings(**changes), 4, num_prompt=60)
    assert found.tolist() == budgets


@given(budget=st.integers(8, 500), pyramid=st.floats(0, 0.6), layers=st.integers(1, 40))
def test_a_pyramid_keeps_the_total_and_falls(budget: int, pyramid: float, layers: int) -> None:
    found = layer_budgets(settings(budget=budget, pyramid=pyramid), layers, 0)
    assert found.sum() == budget * layers
    assert (np.diff(found) <= 0).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer_budgets": (9, 9)}, "layer_budgets: give 4 of them, one for each layer"),
        ({"budget": 0.02}, "budget: 1 token in the smallest layer must be more than"),
        ({"budget": 0.1, "pyramid": 0.8}, "lower sinks or recent or pyramid"),
    ],
)
def test_budgets_that_do_not_fit_model_or_prompt_are_refused(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        layer_budgets(settings(**changes), 4, num_prompt=60)


def test_the_first_and_the_last_positions_of_each_path_are_protected() -> None:
    #              slot  0  1  2  3  4  5  6
    depth = np.array([[0, 1, 2, 3, 4, 5, 4]])
    found = protected(depth, np.array([6, 5]), sinks=2, recent=2)
    assert found[0].astype(int).tolist() == [[1, 1, 0, 0, 1, 1, 1], [1, 1, 0, 1, 1, 1, 1]]
    assert not protected(depth, np.array([6]), 0, 0).any()


def test_the_lowest_score_leaves_and_of_equals_the_earliest_position() -> None:
    scores = np.array([[0.5, 0.1, 0.3, 0.1, 0.9]])
    depth = np.array([[0, 3, 2, 1, 4]])
    evictable = np.array([[[0, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]], dtype=bool)
    one = choose(scores, depth, evictable, np.array([[1, 1, 0]]))
    assert (one.tables.tolist(), one.rows.tolist(), one.slots.tolist()) == ([0, 0], [0, 1], [3, 0])
    assert one.scores.tolist() == [0.1, 0.5]
    assert one.kept.tolist() == [0.1, 0.9]
    assert one.ranks.tolist() == [1, 1]
    more = choose(scores, depth, evictable, np.array([[3, 2, 0]]))
    assert more.rows.tolist() == [0, 0, 0, 1, 1]
    assert more.slots.tolist() == [3, 1, 2, 0, 4]
    assert more.ranks.tolist() == [1, 2, 3, 1, 2]
    assert more.kept.tolist() == [0.9, 0.9, 0.9, np.inf, np.inf]
    exact = np.array([[0.0, 0.4, 0.2, 0.3, 0.1]])
    assert exact_ranks(more, exact, evictable).tolist() == [3, 4, 2, 1, 2]


@st.composite
def crowds(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    tables, paths, slots = (draw(st.integers(1, n)) for n in (3, 4, 9))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    scores = rng.integers(0, 4, (tables, slots)).astype(float)  # many are equal
    depth = np.stack([rng.permutation(slots) for _ in range(tables)])
    evictable = rng.random((tables, paths, slots)) < 0.7
    excess = rng.integers(-2, 4, (tables, paths)).clip(max=evictable.sum(2))
    return scores, depth, evictable, excess


@given(crowds())
def test_victims_are_those_that_sorting_each_path_by_itself_finds(
    crowd: tuple[np.ndarray, ...],
) -> None:
    scores, depth, evictable, excess = crowd
    victims = choose(*crowd)
    expected = []
    for table, row in np.ndindex(*excess.shape):
        slots = np.flatnonzero(evictable[table, row]).tolist()
        slots.sort(key=lambda slot: (scores[table, slot], depth[table, slot]))
        need = max(int(excess[table, row]), 0)
        kept = scores[table, slots[need]] if need < len(slots) else np.inf
        for rank, slot in enumerate(slots[:need], 1):
            expected.append((table, row, slot, scores[table, slot], rank, kept))
    found = zip(
        *(
            getattr(victims, name).tolist()
            for name in ("tables", "rows", "slots", "scores", "ranks", "kept")
        ),
        strict=True,
    )
    assert list(found) == expected


@given(crowds(), st.integers(1, 9))
def test_the_highest_are_as_many_as_asked_and_none_left_out_is_higher(
    crowd: tuple[np.ndarray, ...], k: int
) -> None:
    scores, _, among, _ = crowd
    chosen = highest(scores, among, k)
    assert not (chosen & ~among).any()
    for table, row in np.ndindex(*among.shape[:2]):
        inside, outside = chosen[table, row], among[table, row] & ~chosen[table, row]
        assert inside.sum() == min(k, among[table, row].sum())
        if outside.any() and inside.any():
            assert scores[table, outside].max() <= scores[table, inside].min()


def test_the_controller_moves_a_slot_to_where_most_is_lost_and_no_further_than_the_floor() -> None:
    controller = Controller(np.array([8, 8, 8]), floor=6)
    controller.step(np.array([0.3, 0.0, 0.1]))
    assert controller.budgets.tolist() == [9, 7, 8]
    controller.step(np.array([0.0, 0.0, 0.5]))  # layer 1 is at the floor: layer 0 gives
    np.testing.assert_allclose(controller.lost, [FORGET * 0.3, 0, FORGET * 0.1 + 0.5])
    assert controller.budgets.tolist() == [8, 7, 9]
    for _ in range(50):
        controller.step(np.array([0.0, 0.0, 0.5]))
    assert controller.budgets.tolist() == [7, 7, 10]
    even = Controller(np.array([8, 8, 8]), floor=6)
    even.step(np.array([0.2, 0.2, 0.2]))
    assert even.budgets.tolist() == [8, 8, 8]


def test_the_controller_evens_out_what_layers_lose() -> None:
    """Layers lose 1 / budget of their weight: equal losses mean budgets in its proportion."""
    weight = np.array([6.0, 3.0, 1.0])
    controller = Controller(np.array([40, 40, 40]), floor=2)
    for _ in range(300):
        controller.step(weight / controller.budgets)
    assert controller.budgets.sum() == 120
    np.testing.assert_allclose(controller.budgets, 120 * weight / 10, atol=6)
