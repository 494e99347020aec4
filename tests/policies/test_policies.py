"""Every policy's score against a case worked out by hand. One layer or two, a few slots."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from explorer.config import Eviction, RunConfig
from explorer.policies import POLICIES, CountingPolicy, Policy, Setting
from explorer.policies.random import noise

CPU = torch.device("cpu")
DEPTH = np.array([[0, 1, 2, 5, 4]])
SERIAL = np.array([[0, 1, 2, 9, 4]])
WRITTEN = np.array([[0, 3, 2, 0]])  # after three_passes


def make(name: str, num_layers: int = 1, **options: object) -> Policy:
    return POLICIES[name](Setting(num_layers, num_heads=2, device=CPU, **options))  # type: ignore[arg-type]


def watch(
    policy: Policy,
    slots: list[int],
    weights: list[list[float]],
    seen: list[list[int]],
    depths: list[int],
    serial: list[int],
) -> None:
    """One pass of one layer that writes `slots`; `serial` are all slots' then."""
    policy.written(torch.tensor([slots]), serial[slots[0]], np.array(depths), capacity=4)
    policy.observe(0, torch.tensor(weights), torch.tensor(seen, dtype=torch.bool))
    policy.finish(np.array([serial]))


def three_passes(policy: Policy) -> None:
    """Two heads: the weights of a row sum to 2. Slots 0 and 1 are prefilled, then slot 2 is
    written; then slot 1 is free and written anew, while the path no longer sees it."""
    watch(policy, [0, 1], [[2.0, 0.0], [0.5, 1.5]], [[1, 0], [1, 1]], [0, 1], [0, 1, 0, 0])
    watch(policy, [2], [[0.5, 0.25, 1.25]], [[1, 1, 1]], [2], [0, 1, 2, 0])
    watch(policy, [1], [[0.25, 0.75, 1.0]], [[1, 1, 1]], [3], WRITTEN[0].tolist())


def test_the_registry_holds_the_policies_that_a_run_may_name() -> None:
    names = Eviction.model_fields["policy"].annotation.__args__[0].__args__  # type: ignore[union-attr]
    assert tuple(POLICIES) == names
    for name, policy in POLICIES.items():
        assert policy.name == name
        assert policy.words
        assert policy.__doc__ and len(policy.__doc__) > 80
        RunConfig(policy=name, budget=64)


def test_window_scores_by_position_and_fifo_by_time_of_writing() -> None:
    assert make("window").read(DEPTH, SERIAL).scores.tolist() == [[0, 1, 2, 5, 4]]
    assert make("fifo").read(DEPTH, SERIAL).scores.tolist() == [[0, 1, 2, 9, 4]]
    assert make("window").nbytes == make("fifo").nbytes == make("random").nbytes == 0


def test_random_depends_on_seed_token_and_layer_alone() -> None:
    serial = np.tile(np.arange(2000), (3, 1))
    draws = make("random", 3, seed=5).read(serial, serial).scores
    assert np.array_equal(draws, make("random", 3, seed=5).read(serial * 0, serial).scores)
    moved = make("random", 3, seed=5).read(serial, serial[:, ::-1].copy()).scores
    assert np.array_equal(moved[:, ::-1], draws)
    other = make("random", 3, seed=6).read(serial, serial).scores
    assert len(np.unique(np.concatenate([draws, other]))) == 12_000
    assert abs(np.corrcoef(draws[0], draws[1])[0, 1]) < 0.07
    assert abs(draws.mean() - 0.5) < 0.02 and draws.min() >= 0 and draws.max() < 1
    # splitmix64 by hand, in Python's own integers
    word = 2**64 - 1

    def mixed(x: int) -> int:
        x = (x + 0x9E3779B97F4A7C15) & word
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & word
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & word
        return x ^ (x >> 31)

    by_hand = mixed(mixed(mixed(5) ^ mixed(2 + 1)) ^ mixed(77 + 0x51ED270B)) >> 11
    assert noise(5, np.array([77], np.uint64), np.array([2], np.uint64))[0] == by_hand / 2**53


def test_h2o_divides_what_a_slot_gathered_by_the_queries_that_could_see_it() -> None:
    policy = make("h2o")
    three_passes(policy)
    reading = policy.read(DEPTH[:, :4], WRITTEN)
    # slot 0: 2 + 0.5 + 0.5 + 0.25 of 4; slot 1: anew, 0.75 of 1; slot 2: 1.25 + 1 of 2
    np.testing.assert_allclose(reading.scores, [[3.25 / 4, 0.75, 2.25 / 2, 0]])
    np.testing.assert_allclose(reading.exact, [[3.25, 0.75, 2.25, 0]])
    assert reading.exact_scores is None
    assert policy.nbytes == 2 * 4 * 4  # sum and number, float32, four slots


def test_decay_fades_sum_and_number_alike() -> None:
    policy = make("h2o", decay=0.5)
    three_passes(policy)
    reading = policy.read(DEPTH[:, :4], WRITTEN)
    sums = 2.5 / 4 + 0.5 / 2 + 0.25, 0.75, 1.25 / 2 + 1.0
    numbers = 2 / 4 + 1 / 2 + 1, 1, 1 / 2 + 1
    expected = [[*(a / b for a, b in zip(sums, numbers, strict=True)), 0]]
    np.testing.assert_allclose(reading.scores, expected)


def test_lru_remembers_the_last_query_that_gave_more_than_an_even_share() -> None:
    policy = make("lru")
    three_passes(policy)
    # query 1 sees two slots, an even share is 1 of 2: slot 1 with 1.5. Query 2: 2/3: slot 2.
    # Query 3: 2/3: slots 1 (written then, at 3) and 2. Slot 0: query 0, which sees it alone, gives
    # it exactly its share and not more, so that only its own position, 0, remains.
    assert policy.read(DEPTH[:, :4], WRITTEN).scores.tolist() == [[0, 3, 3, 0]]
    assert policy.nbytes == 4 * 4


@pytest.mark.parametrize("name", ["count_min", "count_sketch"])
def test_sketches_count_by_serial_and_keep_the_exact_sum_beside_it_uncharged(name: str) -> None:
    policy = make(name, sketch_width=4096, sketch_depth=3)
    three_passes(policy)
    reading = policy.read(DEPTH[:, :4], WRITTEN, with_cells=True)
    np.testing.assert_allclose(reading.estimates[0, :3], [3.25, 0.75, 2.25])  # type: ignore[index]
    np.testing.assert_allclose(reading.scores[0, :3], [3.25 / 4, 0.75, 2.25 / 2])
    np.testing.assert_allclose(reading.exact_scores[0, :3], [3.25 / 4, 0.75, 2.25 / 2])  # type: ignore[index]
    assert isinstance(policy, CountingPolicy)
    # what was counted for the first owner of slot 1, serial 1, is in the sketch still
    np.testing.assert_allclose(policy.sketch.estimate(torch.tensor([1])), [[1.75]])
    assert reading.totals is not None and reading.totals.tolist() == [8.0]  # 4 queries, 2 heads
    bare = make(name, sketch_width=4096, sketch_depth=3, exact=False)
    three_passes(bare)
    found = bare.read(DEPTH[:, :4], WRITTEN)
    assert found.exact is None and found.exact_scores is None
    assert np.array_equal(found.scores, reading.scores)
    assert bare.nbytes == policy.nbytes == policy.sketch.nbytes + 4 * 4


def test_race_ranks_keys_by_how_many_queries_point_their_way() -> None:
    policy = make("race", sketch_width=16, sketch_depth=32)
    torch.manual_seed(0)
    towards = torch.randn(1, 1, 1, 8)
    queries = towards + 0.1 * torch.randn(6, 2, 5, 8)  # 6 paths, 2 heads over one KV head
    other = torch.randn(1, 1, 1, 8)
    keys = torch.cat([3 * towards, -towards, other, 0.2 * towards], dim=2)
    policy.written(torch.tensor([[0]]), 0, np.array([0]), capacity=6)
    policy.observe_states(0, queries, keys, torch.ones(30, 4, dtype=torch.bool))
    [scores] = policy.read(DEPTH, SERIAL).scores
    assert scores[0] == scores[3]  # lengths do not count
    assert scores[1] < scores[2] < scores[0] <= 60
    # the kernel is (1 - angle / pi)^bits, 4 bits for a width of 16
    flat = queries.reshape(-1, 8)
    for slot in (0, 2):
        cosine = torch.cosine_similarity(flat, keys[0, 0, slot][None], dim=1)
        expected = float(((1 - torch.acos(cosine) / math.pi) ** 4).sum())
        assert scores[slot] == pytest.approx(expected, rel=0.35)
    assert scores[4:].tolist() == [0, 0]
    assert policy.nbytes > 0
