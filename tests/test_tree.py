"""The engine against a second, slow reading of the method: plain lists, plain Python floats."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path as FilePath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.config import RunConfig
from explorer.trace import Trace
from tests.literal import LiteralModel, literal_run, logits

VOCAB = 7
END = 6


def random_logits(seed: int, sharpness: float) -> LiteralModel:
    """Logits that depend on the whole text, some of them sharp, some flat."""

    def logits_of(text: tuple[int, ...]) -> list[float]:
        rng = np.random.default_rng([seed, *text])
        return (rng.normal(size=VOCAB) * rng.choice([0.3, sharpness])).tolist()

    return LiteralModel(logits_of, end_tokens=[END])


# ---- the method, written a second time --------------------------------------------------------


@dataclass
class SlowPath:
    id: int
    node: int = -1
    text: tuple[int, ...] = ()
    logprob: float = 0.0


@dataclass
class SlowRun:
    nodes: list[tuple[int, int, int]] = field(default_factory=list)  # parent, path, token
    logprobs: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    live: list[list[int]] = field(default_factory=list)  # path ids after every step
    ends: set[tuple[int, int, str]] = field(default_factory=set)


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    weights = [math.exp(v - top) for v in values]
    return [w / sum(weights) for w in weights]


def slow_distribution(values: list[float], config: RunConfig) -> list[float]:
    sampling = config.sampling
    if sampling.temperature == 0:
        return [float(i == values.index(max(values))) for i in range(len(values))]
    scaled = [v / sampling.temperature for v in values]
    order = sorted(range(len(scaled)), key=lambda i: (-scaled[i], i))
    if sampling.top_k is not None:
        cut = scaled[order[min(sampling.top_k, len(order)) - 1]]
        scaled = [v if v >= cut else -math.inf for v in scaled]
    if sampling.top_p is not None:
        probs, kept, mass = softmax(scaled), set(), 0.0
        for i in order:
            kept.add(i)
            mass += probs[i]
            if mass > sampling.top_p:
                break
        scaled = [v if i in kept else -math.inf for i, v in enumerate(scaled)]
    return softmax(scaled)


def slow_uniforms(seed: int, path: int, depth: int) -> list[float]:
    generator = np.random.Generator(np.random.Philox(key=[seed, path], counter=[0, depth, 0, 0]))
    return generator.random(8).tolist()


def slow_draws(q: list[float], count: int, uniforms: list[float], select: str) -> list[int]:
    left, drawn = list(q), []
    for u in uniforms[:count]:
        if select == "top":
            token = max(range(len(left)), key=lambda i: (left[i], -i))
        else:
            target, mass, token = u * sum(left), 0.0, -1
            for i, p in enumerate(left):
                mass += p
                if target < mass:
                    token = i
                    break
        drawn.append(token)
        left[token] = 0.0
    return drawn


def slow_run(model: LiteralModel, config: RunConfig) -> SlowRun:
    branching, out, num_paths = config.branching, SlowRun(), 1
    live, num_finished = [SlowPath(0)], 0
    for depth in range(config.limits.max_new_tokens):
        grown: list[SlowPath] = []
        n = len(live)
        for path in live:
            q = slow_distribution(list(model._logits_of(path.text)), config)
            entropy = -sum(p * math.log(p) for p in q if p > 0)
            out.entropies.append(entropy)
            factor = 1
            if min(entropy / math.log(VOCAB), 1.0) >= branching.entropy_threshold:
                r, k = branching.max_paths - n, branching.branch_factor
                factor = k if r >= k else r if r > 0 else 2
                factor = min(factor, sum(p > 0 for p in q))
            uniforms = slow_uniforms(config.sampling.seed, path.id, depth)
            for token in slow_draws(q, factor, uniforms, branching.select):
                child = path.id
                if factor > 1:
                    child, num_paths = num_paths, num_paths + 1
                out.nodes.append((path.node, child, token))
                logprob = path.logprob + math.log(q[token])
                out.logprobs.append(logprob)
                grown.append(SlowPath(child, len(out.nodes) - 1, (*path.text, token), logprob))
        out.ends |= {(p.id, p.node, "finished") for p in grown if p.text[-1] == END}
        num_finished += sum(p.text[-1] == END for p in grown)
        live = [p for p in grown if p.text[-1] != END]
        if len(live) > branching.max_paths:
            live.sort(key=lambda p: p.logprob, reverse=True)
            out.ends |= {(p.id, p.node, "pruned") for p in live[branching.max_paths :]}
            live = live[: branching.max_paths]
        out.live.append([p.id for p in live])
        enough = config.limits.max_finished
        if enough is not None and num_finished >= enough:
            out.ends |= {(p.id, p.node, "cancelled") for p in live}
            return out
        if not live:
            return out
    out.ends |= {(p.id, p.node, "length") for p in live}
    return out


configs = st.builds(
    dict,
    seed=st.integers(0, 2**40),
    temperature=st.sampled_from([0, 0.25, 0.7, 1, 1.8]),
    top_k=st.sampled_from([None, None, 1, 3, 6, 50]),
    top_p=st.sampled_from([None, None, 0.3, 0.8, 0.99]),
    entropy_threshold=st.sampled_from([0, 0.3, 0.6, 0.9]),
    branch_factor=st.integers(2, 6),
    max_paths=st.integers(1, 12),
    max_finished=st.sampled_from([None, None, 2]),
    max_new_tokens=st.integers(1, 7),
    select=st.sampled_from(["sample", "sample", "top"]),
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(flat=configs, seed=st.integers(0, 10**6), sharpness=st.sampled_from([1.0, 3.0]))
def test_the_engine_grows_the_tree_that_the_method_describes(
    flat: dict[str, object], seed: int, sharpness: float
) -> None:
    model = random_logits(seed, sharpness)
    expected = slow_run(model, RunConfig(**flat))
    trace = literal_run(model, **flat)
    nodes = [node for step in trace for node in step.nodes]
    assert [(node.parent, node.path, node.token) for node in nodes] == expected.nodes
    assert [node.logprob for node in nodes] == pytest.approx(expected.logprobs, abs=1e-5)
    assert [d.entropy for step in trace for d in step.decisions] == pytest.approx(
        expected.entropies, abs=1e-5
    )
    assert {(end.path, end.node, end.status) for step in trace for end in step.ends} == (
        expected.ends
    )
    alive = [list(step.paths) for step in trace]
    assert alive == expected.live


# ---- what holds of every run ------------------------------------------------------------------


@pytest.fixture(scope="module")
def forking() -> Trace:
    return literal_run(
        random_logits(3, 1.0), entropy_threshold=0.5, max_paths=9, max_new_tokens=8, seed=5
    )


def test_node_ids_count_up_and_every_parent_came_before(forking: Trace) -> None:
    nodes = [node for step in forking for node in step.nodes]
    assert [node.id for node in nodes] == list(range(len(nodes)))
    assert all(node.parent < node.id for node in nodes)
    assert sum(len(step.forks) for step in forking) > 3


def test_children_of_a_fork_have_distinct_tokens_in_the_order_of_their_ids(
    forking: Trace,
) -> None:
    for step in forking:
        for fork in step.forks:
            made = [node for node in step.nodes if node.path in fork.children]
            assert [node.path for node in made] == list(fork.children)
            assert len({node.token for node in made}) == len(made) > 1


def test_every_path_ends_exactly_once_or_forks(forking: Trace) -> None:
    paths = {node.path for step in forking for node in step.nodes}
    forked = [fork.path for step in forking for fork in step.forks]
    ended = [end.path for step in forking for end in step.ends]
    assert sorted([*forked, *ended]) == sorted(paths | {0})


def test_tokens_of_no_probability_are_no_candidates_and_the_trace_can_be_read_again(
    tmp_path: FilePath,
) -> None:
    """Padded vocabularies have logits of -inf, and JSON has no number for it."""
    model = LiteralModel(lambda text: logits((0.0, 0.5, 0.0, 0.5)))
    trace = literal_run(model, num_candidates=4, max_new_tokens=2)
    for step in trace:
        for decision in step.decisions:
            assert [c.token for c in decision.candidates] == [1, 3]
    trace.save(tmp_path / "trace.jsonl")
    assert Trace.load(tmp_path / "trace.jsonl").steps == trace.steps
