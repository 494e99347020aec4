"""Diversity and coverage against numbers counted by hand and plain definitions."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer import diversity
from explorer.config import RunConfig
from explorer.generate import run
from explorer.metrics import leaves
from explorer.models import LoadedModel
from explorer.trace import Trace


def test_distinct_n_counts_different_n_grams_within_sequences() -> None:
    assert diversity.distinct_n([[1, 2, 1], [1, 2]], 1) == 2 / 5
    assert diversity.distinct_n([[1, 2, 1], [1, 2]], 2) == 2 / 3  # 12, 21, 12
    assert diversity.distinct_n([[1]], 2) is None
    assert diversity.distinct_n([], 1) is None


@given(st.lists(st.lists(st.integers(0, 3), max_size=8), max_size=5), st.integers(1, 3))
def test_distinct_n_is_what_a_counter_says(sequences: list[list[int]], n: int) -> None:
    grams = Counter(
        " ".join(map(str, ids[at : at + n]))
        for ids in sequences
        for at in range(len(ids))
        if at + n <= len(ids)
    )
    want = len(grams) / grams.total() if grams else None
    assert diversity.distinct_n(sequences, n) == want


def test_self_bleu_is_100_for_equal_texts_0_for_foreign_ones_and_unknown_for_one() -> None:
    same = "the quick brown fox jumps over it"
    assert diversity.self_bleu([same, same, same]) == pytest.approx(100)
    other = "a b c d e f g"
    assert diversity.self_bleu([same, other]) == pytest.approx(0)
    assert diversity.self_bleu([same]) is None
    assert diversity.self_bleu([same, "  "]) is None


def test_self_bleu_holds_each_text_against_all_others() -> None:
    first, second = "one two three four", "one two three five"
    # 1-grams 3/4, 2-grams 2/3, 3-grams 1/2, and 4-grams smoothed: 1 / (2 * 1)
    want = 100 * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25
    assert diversity.self_bleu([first, second]) == pytest.approx(want)
    assert diversity.self_bleu([first, second, first]) == pytest.approx((100 + 100 + want) / 3)


def test_coverage_is_the_mass_of_the_returned_leaves(hand_trace: Trace) -> None:
    assert diversity.coverage(hand_trace) == pytest.approx(math.exp(-1.0) + math.exp(-1.5))


def test_the_whole_tree_covers_everything_and_a_greedy_path_its_own(llama: LoadedModel) -> None:
    every = RunConfig(
        prompt="ab", max_new_tokens=1, max_paths=257, branch_factor=64, select="arithmetic"
    )
    trace = run(llama, every)
    want = sum(node.prob for step in trace for node in step.nodes)
    assert diversity.coverage(trace) == pytest.approx(want)
    assert 0 < want <= 1 + 1e-9
    greedy = run(llama, RunConfig(prompt="ab", temperature=0, max_new_tokens=3))
    assert diversity.coverage(greedy) == pytest.approx(1)


def test_what_was_drawn_twice_covers_once(llama: LoadedModel) -> None:
    config = RunConfig(
        prompt="ab", backend="naive", num_samples=40, max_new_tokens=1, top_k=3, seed=1
    )
    trace = run(llama, config)
    drawn = {leaf.nodes[0].token: leaf.nodes[0].prob for leaf in leaves(trace)}
    assert len(drawn) <= 3 < len(leaves(trace))
    assert diversity.coverage(trace) == pytest.approx(sum(drawn.values()))


def test_the_effective_sample_size_is_kishs() -> None:
    assert diversity.effective_sample_size([2.0, 2.0, 2.0]) == pytest.approx(3)
    assert diversity.effective_sample_size([3.0, 1.0]) == pytest.approx(16 / 10)
    assert diversity.effective_sample_size([0.0, 5.0]) == pytest.approx(1)
    assert diversity.effective_sample_size(None) is None
    assert diversity.effective_sample_size([0.0]) is None


def test_weights_are_known_only_where_the_chance_of_being_returned_is(llama: LoadedModel) -> None:
    def of(**changes: object) -> list[float] | None:
        config = RunConfig(prompt="ab", max_new_tokens=3, max_paths=6, **changes)
        return diversity.weights(run(llama, config))

    assert of(select="sample") is None
    assert of(select="top") is None
    assert of(backend="naive", num_samples=4) == [1.0] * 4
    assert of(backend="naive", num_samples=2, select="top") is None
    gumbel = of(select="gumbel", entropy_threshold=0)
    assert gumbel is not None and len(gumbel) >= 6


def test_arithmetic_weights_estimate_a_mean_without_bias(llama: LoadedModel) -> None:
    """Mean of ln p over all first tokens, estimated from 5 codes, against the distribution's."""
    exact: float | None = None
    estimates = []
    for seed in range(60):
        config = RunConfig(
            prompt="ab", select="arithmetic", max_paths=5, max_new_tokens=1, seed=seed, top_k=20
        )
        trace = run(llama, config)
        weights = diversity.weights(trace)
        assert weights is not None
        ends = [leaf.nodes[-1] for leaf in leaves(trace)]
        estimates.append(sum(w * n.logprob for w, n in zip(weights, ends, strict=True)))
        candidates = trace[0].decisions[0]
        exact = -candidates.entropy
    assert exact is not None
    assert sum(estimates) / len(estimates) == pytest.approx(exact, rel=0.05)
