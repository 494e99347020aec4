"""Distributions against a brute-force loop; draws against NumPy's Philox, and by frequency."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.config import RunConfig, Sampling
from explorer.generate import run
from explorer.metrics import importance_weights, leaves, tree_digest
from explorer.models import LoadedModel
from explorer.path import Path
from explorer.sampling import (
    Observed,
    code_plan,
    decode_codes,
    draw_without_replacement,
    entropy,
    first_codes,
    log_distributions,
    most_probable,
    observe,
    plan,
    uniforms,
)
from explorer.text import TextStream
from explorer.trace import Trace
from explorer.tree import Tree
from tests import architectures
from tests.literal import PROMPT, LiteralModel, literal_run, logits

# 99.99th percentiles of chi-square: a correct sampler fails one fixed seed in ten thousand.
CHI_SQUARE = {2: 18.42, 4: 23.51, 5: 25.74, 7: 29.88, 11: 37.37, 19: 50.80}


def chi_square(counts: Sequence[int], probs: Sequence[float]) -> float:
    total = sum(counts)
    return sum((c - total * p) ** 2 / (total * p) for c, p in zip(counts, probs, strict=True))


# ---- the sampling distribution ---------------------------------------------------------------


def slow_q(
    values: np.ndarray, temperature: float, top_k: int | None, top_p: float | None
) -> np.ndarray:
    """`[vocab]` by loops over sorted tokens, in float64."""
    if temperature == 0:
        return np.eye(len(values))[int(np.argmax(values))]
    scaled = values.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    if top_k is not None and top_k < len(values):
        smallest = sorted(scaled, reverse=True)[top_k - 1]
        weights = np.where(scaled >= smallest, weights, 0)
    weights /= weights.sum()
    if top_p is not None:
        mass, kept = 0.0, np.zeros(len(values))
        for token in sorted(range(len(values)), key=lambda i: (-weights[i], i)):
            kept[token] = weights[token]
            mass += weights[token]
            if mass > top_p:
                break
        weights = kept / kept.sum()
    return weights


few_values = st.sampled_from([-3.0, -1.0, 0.0, 0.5, 0.5, 2.0, 4.0])  # many ties


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    values=st.lists(few_values, min_size=2, max_size=9),
    temperature=st.sampled_from([0, 0.3, 1, 1, 2.5]),
    top_k=st.sampled_from([None, 1, 2, 5, 100]),
    top_p=st.sampled_from([None, 0.05, 0.43, 0.91, 1]),
)
def test_temperature_then_top_k_then_top_p_equal_a_loop_over_sorted_tokens(
    values: list[float], temperature: float, top_k: int | None, top_p: float | None
) -> None:
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    row = np.array(values, dtype=np.float32)
    logq, logp = log_distributions(torch.from_numpy(row)[None], sampling)
    expected = slow_q(row, temperature, top_k, top_p)
    np.testing.assert_allclose(logq.exp()[0].numpy(), expected, atol=1e-6)
    assert torch.equal(logq.exp()[0] > 0, torch.from_numpy(expected > 0))
    np.testing.assert_allclose(logp.exp()[0].numpy(), slow_q(row, 1, None, None), atol=1e-6)


def test_top_p_keeps_the_token_that_carries_the_mass_over_p() -> None:
    row = torch.tensor([logits((0.5, 0.25, 0.125, 0.125))])
    for top_p, kept in ((0.3, 1), (0.6, 2), (0.76, 3), (0.9, 4)):
        assert int((log_distributions(row, Sampling(top_p=top_p))[0] > -99).sum()) == kept


def test_tokens_that_equal_the_kth_stay() -> None:
    row = torch.tensor([[1.0, 2.0, 1.0, 0.0]])
    q = log_distributions(row, Sampling(top_k=2))[0].exp()
    assert (q[0] > 0).tolist() == [True, True, True, False]


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-39])
def test_temperature_zero_takes_the_first_of_the_most_probable_tokens(temperature: float) -> None:
    row = torch.tensor([[0.0, 3.0, -math.inf, 3.0, 1.0]])
    logq, _ = log_distributions(row, Sampling(temperature=temperature, top_k=4, top_p=0.5))
    assert logq.exp().tolist() == [[0.0, 1.0, 0.0, 0.0, 0.0]]
    assert entropy(logq).tolist() == [0.0]


def test_entropy_counts_nothing_for_tokens_of_no_probability() -> None:
    rows = torch.tensor([logits((0.5, 0.0, 0.25, 0.25)), logits((1.0, 0.0, 0.0, 0.0))])
    assert entropy(torch.log_softmax(rows, -1)).tolist() == pytest.approx([1.5 * math.log(2), 0])


# ---- draws ------------------------------------------------------------------------------------


def test_uniforms_are_numpys_philox_keyed_by_seed_path_and_depth() -> None:
    assert uniforms(0, 0, 0, 4).tolist() == [
        0.011546754286331562,
        0.24154919656271812,
        0.11142585551493822,
        0.5644146216071337,
    ]
    assert uniforms(42, 7, 3, 2).tolist() == [0.27544046753672, 0.1707500178111544]
    for key in ((0, 0, 0), (2**63 - 1, 5, 1000), (3, 10**6, 9)):
        seed, path, depth = key
        philox = np.random.Philox(
            key=np.array([seed, path], dtype=np.uint64),
            counter=np.array([0, depth, 0, 0], dtype=np.uint64),
        )
        assert uniforms(*key, 9).tolist() == np.random.Generator(philox).random(9).tolist()


def test_a_draws_uniform_does_not_depend_on_how_many_are_drawn() -> None:
    assert uniforms(1, 2, 3, 64)[:5].tolist() == uniforms(1, 2, 3, 5).tolist()
    keys = [(s, p, d) for s in (0, 1) for p in (0, 1) for d in (0, 1)]
    assert len({uniforms(*key, 1)[0] for key in keys}) == 8


def test_a_token_is_the_inverse_of_the_cumulative_distribution_in_token_order() -> None:
    q = torch.tensor([[0.25, 0.0, 0.5, 0.25]] * 6, dtype=torch.float64)
    u = torch.tensor([[0.0], [0.2499], [0.25], [0.7499], [0.75], [1 - 2**-53]]).double()
    assert draw_without_replacement(q, u)[:, 0].tolist() == [0, 0, 2, 2, 3, 3]
    assert decode_codes(q, u)[:, 0].tolist() == [0, 0, 2, 2, 3, 3]


def test_what_was_drawn_is_taken_out_and_the_rest_drawn_from_anew() -> None:
    q = torch.tensor([[0.5, 0.25, 0.0, 0.25]], dtype=torch.float64)
    u = torch.tensor([[0.4, 0.49, 0.99]], dtype=torch.float64)
    assert draw_without_replacement(q, u).tolist() == [[0, 1, 3]]
    assert draw_without_replacement(q, u.flip(1)).tolist() == [[3, 0, 1]]


def test_draws_never_meet_a_token_of_no_probability_even_at_the_ends() -> None:
    q = torch.tensor([[0.0, 1e-30, 0.0, 1.0, 1e-30, 0.0]] * 2, dtype=torch.float64)
    u = torch.tensor([[0.0, 0.0, 0.0], [1 - 2**-53] * 3], dtype=torch.float64)
    drawn = draw_without_replacement(q, u)
    assert [sorted(row) for row in drawn.tolist()] == [[1, 3, 4], [1, 3, 4]]


def test_ordered_draws_come_as_often_as_drawing_without_replacement_says() -> None:
    q = [0.4, 0.3, 0.2, 0.1]
    u = np.stack([uniforms(seed, 3, 4, 2) for seed in range(4000)])
    drawn = draw_without_replacement(torch.tensor([q] * 4000).double(), torch.from_numpy(u))
    counts = Counter(map(tuple, drawn.tolist()))
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    probs = [q[a] * q[b] / (1 - q[a]) for a, b in pairs]
    assert sum(counts.values()) == sum(counts[pair] for pair in pairs)
    assert chi_square([counts[pair] for pair in pairs], probs) < CHI_SQUARE[11]


def test_the_most_probable_come_in_order_and_equal_ones_by_their_id() -> None:
    q = torch.tensor([[0.1, 0.3, 0.3, 0.2, 0.1], [0.2] * 5], dtype=torch.float64)
    assert most_probable(q, torch.zeros(2, 4)).tolist() == [[1, 2, 3, 0], [0, 1, 2, 3]]


# ---- the whole step on the device --------------------------------------------------------------


def observed(rows: torch.Tensor, paths: Sequence[int], select: str = "sample") -> Observed:
    live = [Path(i, codes=first_codes(0, 3)) for i in paths]
    draws = code_plan(live, 11, 3) if select == "arithmetic" else plan(select, live, 11, 3)
    return observe(rows, Sampling(temperature=0.9), select, draws, 4)


@pytest.mark.parametrize("select", ["sample", "top", "gumbel", "arithmetic"])
def test_a_rows_numbers_do_not_depend_on_its_place_or_its_neighbours(select: str) -> None:
    torch.manual_seed(0)
    rows = torch.randn(5, 50) * 3
    whole = observed(rows, range(5), select)
    order = [3, 1, 4]
    part = observed(rows[order], order, select)
    for name in Observed.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[order], name)


def test_observed_numbers_are_the_distributions_own() -> None:
    rows = torch.tensor([logits((0.1, 0.2, 0.3, 0.4)), logits((0.7, 0.1, 0.1, 0.1))])
    live = [Path(0), Path(1)]
    seen = observe(rows, Sampling(top_k=3), "sample", plan("sample", live, 0, 2), 2)
    q = np.array([[0, 2, 3, 4], [7, 1, 1, 1]]) / [[9], [10]]  # three equal ones all stay
    assert seen.support.tolist() == [3, 4]
    np.testing.assert_allclose(seen.entropy, -(q * np.log(np.where(q, q, 1))).sum(1), rtol=1e-5)
    for row in range(2):
        np.testing.assert_allclose(seen.logprobs[row], np.log(q[row, seen.tokens[row]]), rtol=1e-5)
        np.testing.assert_allclose(seen.mass[row], q[row, seen.tokens[row]], rtol=1e-5)
    np.testing.assert_allclose(np.exp(seen.candidate_raw_logprobs[0]), [0.4, 0.3], rtol=1e-5)
    np.testing.assert_allclose(seen.candidate_probs[0], [4 / 9, 3 / 9], rtol=1e-5)
    assert seen.candidates[0].tolist() == [3, 2]
    assert seen.is_finite


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_numbers_are_seen_as_such(bad: float) -> None:
    rows = torch.zeros(3, 5)
    rows[1, 2] = bad
    assert not observed(rows, range(3)).is_finite


# ---- select = gumbel ---------------------------------------------------------------------------

END = 2
NUM_RUNS = 1200


def next_probs(text: tuple[int, ...], num_tokens: int) -> list[float]:
    return np.random.default_rng([11, *text]).dirichlet([1.0] * num_tokens).tolist()


def all_texts(num_tokens: int, depth: int) -> dict[tuple[int, ...], float]:
    """Every whole text and its probability; token `END` ends one early."""
    texts = {(): 1.0}
    for _ in range(depth):
        grown: dict[tuple[int, ...], float] = {}
        for text, p in texts.items():
            if text and text[-1] == END:
                grown[text] = p
                continue
            for token, q in enumerate(next_probs(text, num_tokens)):
                grown[(*text, token)] = p * q
        texts = grown
    return texts


def gumbel_runs(num_tokens: int, max_paths: int, num_runs: int = NUM_RUNS) -> list[Trace]:
    """Every fork takes all tokens, so that the runs are stochastic beam search to the letter."""
    model = LiteralModel(lambda text: logits(next_probs(text, num_tokens)), end_tokens=[END])
    settings = dict(select="gumbel", entropy_threshold=0, branch_factor=num_tokens)
    return [
        literal_run(model, **settings, max_paths=max_paths, max_new_tokens=3, seed=seed)
        for seed in range(num_runs)
    ]


@pytest.fixture(scope="module")
def two_tokens() -> list[Trace]:
    return gumbel_runs(2, max_paths=4)


@pytest.fixture(scope="module")
def three_tokens() -> list[Trace]:
    return gumbel_runs(3, max_paths=7)


def ranked(trace: Trace) -> list[tuple[int, ...]]:
    """Texts of the returned paths, highest perturbed log-probability first."""
    found = leaves(trace)
    assert all(leaf.nodes[-1].perturbed is not None for leaf in found)
    found.sort(key=lambda leaf: leaf.nodes[-1].perturbed or 0.0, reverse=True)
    return [tuple(node.token for node in leaf.nodes) for leaf in found]


def test_gumbel_keeps_four_of_eight_texts_the_first_of_them_a_fair_sample(
    two_tokens: list[Trace],
) -> None:
    texts = all_texts(2, 3)
    order = [ranked(trace) for trace in two_tokens]
    assert {len(set(row)) for row in order} == {4}
    first = Counter(row[0] for row in order)
    assert chi_square([first[t] for t in texts], list(texts.values())) < CHI_SQUARE[7]


def test_the_second_gumbel_text_is_a_sample_of_what_the_first_left(
    two_tokens: list[Trace],
) -> None:
    texts = all_texts(2, 3)
    second = Counter(ranked(trace)[1] for trace in two_tokens)
    probs = [
        sum(p * texts[text] / (1 - p) for first, p in texts.items() if first != text)
        for text in texts
    ]
    assert chi_square([second[t] for t in texts], probs) < CHI_SQUARE[7]


@pytest.mark.parametrize("runs", ["two_tokens", "three_tokens"])
def test_importance_weights_are_unbiased_also_where_texts_end_early(
    runs: str, request: pytest.FixtureRequest
) -> None:
    traces = request.getfixturevalue(runs)
    texts = all_texts({"two_tokens": 2, "three_tokens": 3}[runs], 3)
    weights = np.zeros((len(traces), len(texts)))
    for row, trace in enumerate(traces):
        weight = importance_weights(trace)
        for leaf in leaves(trace):
            text = tuple(node.token for node in leaf.nodes)
            weights[row, list(texts).index(text)] = weight[leaf.id]
    spread = weights.std(0) / math.sqrt(len(traces))
    off = np.abs(weights.mean(0) - list(texts.values()))
    assert (off < 4 * spread + 1e-3 * np.array(list(texts.values()))).all()


def test_a_child_stands_no_higher_than_its_parent_and_the_first_as_high() -> None:
    [trace] = gumbel_runs(2, max_paths=8, num_runs=1)
    perturbed = {node.id: node.perturbed for step in trace for node in step.nodes}
    children: dict[int, list[float]] = {}
    for step in trace:
        for node in step.nodes:
            assert node.perturbed is not None
            children.setdefault(node.parent, []).append(node.perturbed)
    for parent, values in children.items():
        assert values == sorted(values, reverse=True)
        assert parent == -1 or values[0] == perturbed[parent]


# ---- select = arithmetic -----------------------------------------------------------------------


def test_codes_are_evenly_spaced_with_one_random_shift() -> None:
    codes = first_codes(5, 8)
    assert list(codes) == sorted(codes)
    assert np.diff(codes) == pytest.approx(np.full(7, 1 / 8))
    assert codes != first_codes(6, 8)


def codes_by_text(num_codes: int, seed: int) -> dict[tuple[int, ...], int]:
    """How many of a run's codes each text holds at its end."""
    config = RunConfig(
        select="arithmetic", max_paths=num_codes, max_new_tokens=3, seed=seed, num_candidates=1
    )
    tree = Tree(config, 2, frozenset(), TextStream(None), PROMPT)
    tree.start_path()
    while not tree.is_done:
        rows = torch.tensor([logits(next_probs(path.tokens, 2)) for path in tree.live])
        growth = tree.grow(observe(rows, config.sampling, "arithmetic", tree.plan(), 1))
        assert not any(end.status == "pruned" for end in growth.ends)
    return {path.tokens: len(path.codes) for path in tree.live}


@pytest.mark.parametrize("num_codes", [1, 16])
def test_arithmetic_sampling_keeps_every_code_and_each_ones_text_is_a_fair_sample(
    num_codes: int,
) -> None:
    texts, num_runs = all_texts(2, 3), 400
    share = np.zeros((num_runs, len(texts)))
    for seed in range(num_runs):
        codes = codes_by_text(num_codes, seed)
        assert sum(codes.values()) == num_codes
        share[seed] = [codes.get(text, 0) / num_codes for text in texts]
    p = np.array(list(texts.values()))
    spread = share.std(0) / math.sqrt(num_runs)
    assert (np.abs(share.mean(0) - p) < 4 * spread + 1e-3).all()
    # Spread evenly: never a whole code more or less than expected, where samples scatter by two.
    assert (np.abs(share - p) * num_codes < 1).all()


def test_arithmetic_paths_fork_where_their_codes_part() -> None:
    model = LiteralModel(lambda text: logits((0.5, 0.5)))
    trace = literal_run(model, select="arithmetic", max_paths=4, max_new_tokens=4)
    assert [len(step.paths) for step in trace] == [2, 4, 4, 4]  # a quarter of [0, 1) for each


# ---- the same draws everywhere -----------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return LoadedModel(architectures.build("llama"), name="llama")


RUN = dict(
    prompt_ids=tuple(range(3, 16)), entropy_threshold=0.5, max_paths=6, max_new_tokens=10, seed=3
)


@pytest.mark.parametrize("select", ["sample", "top", "gumbel", "arithmetic"])
def test_one_seed_gives_one_tree_on_every_backend_and_in_every_chunk_size(
    model: LoadedModel, select: str
) -> None:
    digests = {
        tree_digest(run(model, RunConfig(**RUN, select=select, backend=name, prefill_chunk=chunk)))
        for name in ("cow", "batched", "deepcopy", "recompute")
        for chunk in ((1, 5, 512) if name != "recompute" else (512,))
    }
    assert len(digests) == 1
    other = run(model, RunConfig(**(RUN | {"seed": 4}), select=select))
    assert (tree_digest(other) in digests) == (select == "top")


def test_pruning_some_paths_changes_no_other() -> None:
    """Three forks make 8 paths. With M = 8 all go on, with M = 6 two are pruned and the others
    change places: each survivor's further tokens are the same."""

    def probs(text: tuple[int, ...]) -> tuple[float, ...]:
        return (0.4, 0.3, 0.2, 0.1) if len(text) < 3 else (0.05, 0.8, 0.05, 0.1)

    settings = dict(entropy_threshold=0.8, branch_factor=2, max_new_tokens=12, seed=8)
    model = LiteralModel(lambda text: logits(probs(text)))
    all_go_on, some_pruned = (literal_run(model, **settings, max_paths=m) for m in (8, 6))
    found = {leaf.id: [n.token for n in leaf.nodes] for leaf in leaves(all_go_on)}
    kept = {leaf.id: [n.token for n in leaf.nodes] for leaf in leaves(some_pruned)}
    assert len(found) == 8
    assert len(kept) == 6
    assert all_go_on[2].paths[:6] != some_pruned[2].paths
    assert {path: found[path] for path in kept} == kept
    assert len({tuple(tokens[3:]) for tokens in kept.values()}) > 1
