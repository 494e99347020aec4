"""Policies that count in a sketch: what they say of it is what plain Python makes of the stream."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from explorer.policies import POLICIES, CountingPolicy, Policy, Reading, Setting
from explorer.policies.race import RacePolicy
from tests.plain_sketches import Plain

LAYERS, CAPACITY, DIM = 3, 24, 8
SETTING = Setting(
    num_layers=LAYERS,
    num_heads=4,
    device=torch.device("cpu"),
    seed=5,
    sketch_width=16,
    sketch_depth=3,
)
Pass = tuple[np.ndarray, int, torch.Tensor, torch.Tensor]  # slots, serial, weights, seen


def make(name: str, **options: Any) -> Any:
    return POLICIES[name](replace(SETTING, **options))


def passes(num: int = 40, seed: int = 0) -> Iterator[Pass]:
    """A slot a layer and pass, each time another one, old ones used again; two rows of attention.

    Weights are multiples of 1/64, so that float32 sums of them are exact.
    """
    generator = torch.Generator().manual_seed(seed)
    held = torch.zeros(LAYERS, 1, CAPACITY, dtype=torch.bool)
    for serial in range(num):
        slots = np.array([(serial * step) % CAPACITY for step in (1, 5, 7)])[:, None]
        held[range(LAYERS), 0, slots[:, 0]] = True
        seen = held & (torch.rand(LAYERS, 2, CAPACITY, generator=generator) < 0.7)
        weights = torch.randint(0, 64, seen.shape, generator=generator) / 64 * seen
        yield slots, serial, weights, seen


def feed(policy: Policy, stream: Iterator[Pass]) -> list[dict[int, int]]:
    """Give the stream to a policy; the serial that each layer's slots hold in the end."""
    held: list[dict[int, int]] = [{} for _ in range(LAYERS)]
    for slots, serial, weights, seen in stream:
        policy.written(torch.from_numpy(slots), serial, np.array([serial]), CAPACITY)
        for layer in range(LAYERS):
            held[layer][int(slots[layer, 0])] = serial
            policy.observe(layer, weights[layer], seen[layer])
        policy.finish(numbers(held))
    return held


def numbers(held: Sequence[dict[int, int]]) -> np.ndarray:
    """The pool's serials `[layers, slots]`, 0 where nothing was written."""
    return np.array([[layer.get(slot, 0) for slot in range(CAPACITY)] for layer in held])


def read(policy: Policy, held: Sequence[dict[int, int]] = ({},) * LAYERS) -> Reading:
    nowhere = np.zeros((LAYERS, CAPACITY), np.int64)
    return policy.read(nowhere, numbers(held), with_cells=True)


def replay(policy: CountingPolicy, layer: int, decay: float = 1.0) -> tuple[Plain, float]:
    """The stream's layer again, in plain Python: the sketch and the sum of all weights."""
    plain, total = Plain(policy.sketch), 0.0
    serials: dict[int, int] = {}
    for slots, serial, weights, _ in passes():
        serials[int(slots[layer, 0])] = serial
        gathered = weights[layer].sum(0).tolist()
        batch = [(serials[slot], weight) for slot, weight in enumerate(gathered) if weight]
        plain.decay(decay)
        total = decay * total + sum(weight for _, weight in batch)
        plain.count(batch, policy.name, policy.setting.conservative)
    return plain, total


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("count_min", {}),
        ("count_min", {"conservative": True}),
        ("count_min", {"decay": 0.5}),
        ("count_sketch", {}),
        ("count_sketch", {"sketch_depth": 4}),
    ],
)
def test_cells_estimates_and_totals_are_those_of_the_stream_counted_in_plain_python(
    name: str, options: dict[str, Any]
) -> None:
    policy = make(name, **options)
    held = feed(policy, passes())
    found = read(policy, held)
    for layer in range(LAYERS):
        plain, total = replay(policy, layer, options.get("decay", 1.0))
        assert found.totals[layer] == pytest.approx(total)
        for slot, serial in held[layer].items():
            assert found.columns[layer, :, slot].tolist() == plain.columns(serial)
            assert found.cells[layer, :, slot] == pytest.approx(plain.cells(serial))
            signed = name == "count_sketch"
            expected = plain.signed(serial) if signed else min(plain.cells(serial))
            assert found.estimates[layer, slot] == pytest.approx(expected)


def test_the_bound_shown_is_the_formula_and_only_count_min_has_one() -> None:
    policy = make("count_min")
    held = feed(policy, passes())
    found = read(policy, held)
    weighed = sum(weights.sum((1, 2)) for _, _, weights, _ in passes())
    assert found.bounds == pytest.approx((math.e / SETTING.sketch_width * weighed).numpy())
    other = make("count_sketch")
    assert read(other, feed(other, passes())).bounds is None


def test_scores_are_estimates_over_the_queries_that_could_see_the_slot() -> None:
    policy = make("count_min")
    held = feed(policy, passes())
    found = read(policy, held)
    for layer in range(LAYERS):
        seen, sums = np.zeros(CAPACITY), np.zeros(CAPACITY)
        for slots, _, weights, visible in passes():
            seen[slots[layer, 0]] = sums[slots[layer, 0]] = 0  # written anew
            seen += visible[layer].sum(0).numpy()
            sums += weights[layer].sum(0).numpy()
        for slot in held[layer]:
            estimate = found.estimates[layer, slot]
            assert found.exact[layer, slot] == pytest.approx(sums[slot])
            if seen[slot]:
                assert found.scores[layer, slot] == pytest.approx(estimate / seen[slot])
                assert found.exact_scores[layer, slot] == pytest.approx(sums[slot] / seen[slot])


def test_count_min_is_never_below_the_exact_sums_and_a_narrow_one_is_above_some() -> None:
    policy = make("count_min")
    held = feed(policy, passes())
    found = read(policy, held)
    over = [
        found.estimates[layer, slot] - found.exact[layer, slot]
        for layer in range(LAYERS)
        for slot in held[layer]
    ]
    assert min(over) >= 0 < max(over)


@pytest.mark.parametrize("name", ["count_min", "count_sketch"])
def test_one_seed_makes_one_sketch_and_another_seed_another(name: str) -> None:
    read_with = {}
    for label, seed in (("one", 5), ("again", 5), ("another", 6)):
        policy = make(name, seed=seed)
        read_with[label] = read(policy, feed(policy, passes()))
    one, again, another = (read_with[label] for label in ("one", "again", "another"))
    assert one.scores.tolist() == again.scores.tolist()
    assert one.cells.tolist() == again.cells.tolist()
    assert one.columns.tolist() != another.columns.tolist()
    assert one.scores.tolist() != another.scores.tolist()


@pytest.mark.parametrize("name", ["count_min", "count_sketch"])
def test_without_exact_counters_nothing_but_the_comparison_is_lost(name: str) -> None:
    both, alone = (
        read(policy, feed(policy, passes())) for policy in (make(name), make(name, exact=False))
    )
    assert both.scores.tolist() == alone.scores.tolist()
    assert alone.exact is alone.exact_scores is None


@pytest.mark.parametrize("name", ["count_min", "count_sketch"])
@pytest.mark.parametrize("exact", [True, False])
def test_what_is_charged_is_what_the_sketch_and_the_numbers_of_queries_store(
    name: str, exact: bool
) -> None:
    policy = make(name, exact=exact)
    feed(policy, passes())
    table, total, hashes = LAYERS * 3 * 16 * 4, LAYERS * 4, 2 * 3 * 8
    tensors = [part for part in vars(policy.sketch).values() if isinstance(part, torch.Tensor)]
    stored = sum(part.untyped_storage().nbytes() for part in tensors)
    assert stored == table + total + hashes
    assert policy.nbytes == stored + LAYERS * CAPACITY * 4


# ---- race --------------------------------------------------------------------------------------


def vectors(num: int, seed: int) -> torch.Tensor:
    return torch.randn(num, generator=torch.Generator().manual_seed(seed))


def pointed(**options: Any) -> tuple[RacePolicy, torch.Tensor, torch.Tensor]:
    """A race policy after three passes of 2 paths; queries `[layers, 6, heads, d]` and keys."""
    policy = make("race", **options)
    queries = vectors(LAYERS * 6 * 4 * DIM, 1).view(LAYERS, 6, 4, DIM)
    keys = vectors(LAYERS * 2 * CAPACITY * DIM, 2).view(LAYERS, 2, CAPACITY, DIM)
    seen = torch.ones(2, CAPACITY, dtype=torch.bool)
    for at in range(3):
        policy.written(torch.full((LAYERS, 1), at), at, np.array([at]), CAPACITY)
        for layer in range(LAYERS):
            now = queries[layer, 2 * at : 2 * at + 2, :, None]  # [paths, heads, tokens, d]
            policy.observe_states(layer, now, keys[layer][None], seen)
        policy.finish(np.zeros((LAYERS, CAPACITY), np.int64))
    return policy, queries, keys


def test_race_scores_approach_the_kernel_sum_of_each_heads_own_queries() -> None:
    """Heads 0 and 1 share the first KV head, 2 and 3 the second; 16 cells are 4 planes."""
    policy, queries, keys = pointed(sketch_depth=3000)
    exact = np.zeros((LAYERS, CAPACITY))
    for layer in range(LAYERS):
        for head in range(4):
            for query in queries[layer, :, head].double():
                for slot, key in enumerate(keys[layer, head // 2].double()):
                    cosine = float(query @ key / query.norm() / key.norm())
                    exact[layer, slot] += (1 - math.acos(cosine) / math.pi) ** 4
    assert read(policy).scores == pytest.approx(exact, abs=0.15)
    assert np.ptp(exact) > 1


def test_race_is_the_same_with_one_seed_and_another_with_another() -> None:
    one, again, another = (read(pointed(seed=seed)[0]).scores for seed in (5, 5, 6))
    assert one.tolist() == again.tolist()
    assert one.tolist() != another.tolist()


def test_race_is_charged_its_counters_planes_and_totals() -> None:
    policy, _, _ = pointed()
    tables, totals = 2 * 3 * 16 * 4, 2 * 8
    planes = DIM * 3 * 4 * 4
    assert policy.nbytes == LAYERS * (tables + totals + planes)
