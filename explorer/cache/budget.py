"""Budgets of layers, which slots are protected, and who leaves: pure functions of small arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explorer.config import UNPROTECTED, Eviction, InputError

FORGET = 0.9  # share of a layer's measured loss that still counts a step later
PATIENCE = 1.05  # the adaptive controller leaves alone losses that differ by less
LATEST = np.iinfo(np.int64).max


def layer_budgets(eviction: Eviction, num_layers: int, num_prompt: int) -> np.ndarray:
    """`[layers]`: slots that a path may see in each layer.

    A share is one of the `num_prompt` tokens; a pyramid gives (1 + x) C to the first layer and
    (1 - x) C to the last, linear between, rounded so that the total stays. Raises InputError where
    the list has another length than the model has layers, or a layer's budget no room.
    """
    if eviction.layer_budgets:
        if len(eviction.layer_budgets) != num_layers:
            raise InputError(
                f"layer_budgets: give {num_layers} of them, one for each layer of this model, not "
                f"{len(eviction.layer_budgets)}."
            )
        return np.array(eviction.layer_budgets, dtype=np.int64)
    budget = eviction.budget
    assert budget is not None
    tokens = budget if isinstance(budget, int) else max(round(budget * num_prompt), 1)
    slope = np.linspace(1 + eviction.pyramid, 1 - eviction.pyramid, num_layers)
    exact = tokens * (slope if num_layers > 1 else np.ones(1))
    budgets = np.floor(exact + 1e-9).astype(np.int64)
    missing = tokens * num_layers - int(budgets.sum())
    budgets[np.argsort(budgets - exact, kind="stable")[:missing]] += 1
    try:
        eviction.check_room(int(budgets.min()), "budget")
    except ValueError as error:
        raise InputError(f"{error}.") from error
    return budgets


def num_kept(eviction: Eviction) -> tuple[int, int]:
    """Sinks and recent tokens that the policy has to leave alone."""
    is_bare = eviction.policy in UNPROTECTED
    return (0, 0) if is_bare else (eviction.sinks, eviction.recent)


def protected(slot_depth: np.ndarray, row_depth: np.ndarray, sinks: int, recent: int) -> np.ndarray:
    """`[tables, paths, slots]`: the first `sinks` and the last `recent` positions of each path.

    `slot_depth` `[tables, slots]`; `row_depth` `[paths]` counts a path's tokens so far.
    """
    depth, end = slot_depth[:, None, :], row_depth[None, :, None]
    return np.asarray((depth < sinks) | (depth >= end - recent))


@dataclass(frozen=True, slots=True)
class Victims:
    """Slots to leave, columns of one length, ordered by table, path and score. `ranks` count from
    1, the lowest score of its path and table; `kept` is the lowest score that stayed there though
    it could have gone, infinite where none could."""

    tables: np.ndarray
    rows: np.ndarray
    slots: np.ndarray
    scores: np.ndarray
    ranks: np.ndarray
    kept: np.ndarray


def choose(
    scores: np.ndarray, slot_depth: np.ndarray, evictable: np.ndarray, excess: np.ndarray
) -> Victims:
    """For each table and path the `excess` `[tables, paths]` lowest scores among its `evictable`
    `[tables, paths, slots]`; of equal scores the earliest position.

    `scores` and `slot_depth` are `[tables, slots]`, scores finite.
    """
    tables, rows = np.nonzero(excess > 0)
    need = excess[tables, rows]
    keys = np.where(evictable[tables, rows], scores[tables], np.inf)
    if need.max(initial=0) <= 1:
        low = keys.min(axis=1)
        slots = np.where(keys == low[:, None], slot_depth[tables], LATEST).argmin(axis=1)
        assert np.isfinite(low).all(), "a path has no slot that could leave"
        keys[np.arange(len(slots)), slots] = np.inf
        return Victims(tables, rows, slots, low, np.ones_like(slots), keys.min(axis=1))
    order = np.lexsort((slot_depth[tables], keys), axis=-1)
    pairs, places = np.nonzero(np.arange(keys.shape[1]) < need[:, None])
    slots = order[pairs, places]
    low = keys[pairs, slots]
    assert np.isfinite(low).all(), "a path has no slot that could leave"
    ordered = np.pad(
        np.take_along_axis(keys, order, axis=1), ((0, 0), (0, 1)), constant_values=np.inf
    )
    kept = ordered[np.arange(len(need)), need]
    return Victims(tables[pairs], rows[pairs], slots, low, places + 1, kept[pairs])


def exact_ranks(victims: Victims, exact: np.ndarray, evictable: np.ndarray) -> np.ndarray:
    """Where each victim stands by its `exact` score `[tables, slots]`: 1 is the lowest."""
    own = exact[victims.tables, victims.slots]
    lower = exact[victims.tables] < own[:, None]
    return np.asarray((lower & evictable[victims.tables, victims.rows]).sum(axis=1) + 1)


def highest(scores: np.ndarray, among: np.ndarray, k: int) -> np.ndarray:
    """`[tables, paths, slots]`: of `among`, the `k` with the highest scores `[tables, slots]`."""
    if among.shape[2] <= k:
        return among
    keys = np.where(among, scores[:, None, :], -np.inf)
    best = np.argpartition(keys, -k, axis=2)[:, :, -k:]
    chosen = np.zeros_like(among)
    np.put_along_axis(chosen, best, True, axis=2)
    return chosen & among


class Controller:
    """Moves budget to where eviction costs most: after each step that evicted, one slot goes from
    the layer that loses the least attention to the one that loses the most. The total stays, and
    no layer falls to `floor` or below. Losses fade with the steps (`FORGET`).
    """

    def __init__(self, budgets: np.ndarray, floor: int) -> None:
        self.budgets = budgets.copy()
        self.lost = np.zeros(len(budgets))
        self._floor = floor

    def step(self, lost: np.ndarray) -> None:
        """`lost` `[layers]`: mean share of a query's attention that left in this step."""
        self.lost = FORGET * self.lost + lost
        givers = np.where(self.budgets > self._floor + 1, self.lost, np.inf)
        giver, taker = int(givers.argmin()), int(self.lost.argmax())
        if np.isfinite(givers[giver]) and self.lost[taker] > PATIENCE * givers[giver]:
            self.budgets[giver] -= 1
            self.budgets[taker] += 1
