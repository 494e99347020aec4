"""Entropy-adaptive branching against trees written by hand, node by node."""

from __future__ import annotations

import math
from typing import Any

import pytest

from explorer.branching import (
    budget_factor,
    entropy_width,
    normalized_entropy,
    num_children,
    prune,
)
from explorer.events import End, Fork
from explorer.path import Path
from explorer.trace import Trace
from tests.literal import LiteralModel, literal_run, logits

SURE = (0.96, 0.01, 0.01, 0.01, 0.01)  # entropy 0.14 of ln 5: goes on with token 0
WIDE = (0.1, 0.5, 0.2, 0.1, 0.1)  # entropy 0.84 of ln 5: forks into tokens 1, 2, ...


def by_hand(table: dict[tuple[int, ...], tuple[float, ...]], otherwise: tuple[float, ...]) -> Any:
    return lambda text: logits(table.get(text, otherwise))


def rows(trace: Trace) -> list[tuple[int, int, int, int]]:
    return [(n.id, n.parent, n.path, n.token) for step in trace for n in step.nodes]


def check_logprobs(trace: Trace, expected: list[float]) -> None:
    """`expected` are the products of the probabilities along each node's path."""
    found = [n.logprob for step in trace for n in step.nodes]
    assert found == pytest.approx([math.log(p) for p in expected], rel=1e-5)
    assert [n.raw_logprob for step in trace for n in step.nodes] == pytest.approx(found)


def test_the_budget_of_paths_decides_the_children_of_every_fork() -> None:
    """r = 4 >= k, then 0 < r = 2 < k, then r = 0: 3, 2 and 2 children, and the worst two pruned."""
    table = {
        (): (0.4, 0.3, 0.2, 0.1, 0.0),
        (0,): WIDE,
        (2,): WIDE,
        (0, 1): WIDE,
        (2, 1): WIDE,
    }
    trace = literal_run(
        LiteralModel(by_hand(table, SURE)),
        select="top",
        entropy_threshold=0.5,
        branch_factor=3,
        max_paths=5,
        max_new_tokens=4,
    )
    assert rows(trace) == [  # node, parent, path, token
        (0, -1, 1, 0),
        (1, -1, 2, 1),
        (2, -1, 3, 2),
        (3, 0, 4, 1),
        (4, 0, 5, 2),
        (5, 1, 2, 0),
        (6, 2, 6, 1),
        (7, 2, 7, 2),
        (8, 3, 8, 1),
        (9, 3, 9, 2),
        (10, 4, 5, 0),
        (11, 5, 2, 0),
        (12, 6, 10, 1),
        (13, 6, 11, 2),
        (14, 7, 7, 0),
        (15, 11, 2, 0),
        (16, 8, 8, 0),
        (17, 10, 5, 0),
        (18, 12, 10, 0),
        (19, 9, 9, 0),
    ]
    check_logprobs(
        trace,
        [0.4, 0.3, 0.2]
        + [0.2, 0.08, 0.288, 0.1, 0.04]
        + [0.1, 0.04, 0.0768, 0.27648, 0.05, 0.02, 0.0384]
        + [0.96 * p for p in (0.27648, 0.1, 0.0768, 0.05, 0.04)],
    )
    assert [step.paths for step in trace] == [
        (1, 2, 3),
        (4, 5, 2, 6, 7),
        (2, 8, 5, 10, 9),  # sorted by log-probability, because some were pruned
        (2, 8, 5, 10, 9),
    ]
    assert [step.parents for step in trace] == [
        (0, 0, 0),
        (0, 0, 1, 2, 2),
        (2, 0, 1, 3, 0),
        (0, 1, 2, 3, 4),
    ]
    assert [step.forks for step in trace] == [
        (Fork(0, (1, 2, 3)),),
        (Fork(1, (4, 5)), Fork(3, (6, 7))),
        (Fork(4, (8, 9)), Fork(6, (10, 11))),
        (),
    ]
    assert [step.ends for step in trace] == [
        (),
        (),
        (End(11, 13, "pruned"), End(7, 14, "pruned")),
        tuple(
            End(path, node, "length")
            for path, node in ((2, 15), (8, 16), (5, 17), (10, 18), (9, 19))
        ),
    ]
    assert [[d.factor for d in step.decisions] for step in trace] == [
        [3],
        [2, 1, 2],
        [2, 1, 1, 2, 1],
        [1, 1, 1, 1, 1],
    ]


def test_a_decision_records_entropies_and_candidates() -> None:
    trace = literal_run(
        LiteralModel(by_hand({}, WIDE)),
        select="top",
        entropy_threshold=0.9,
        top_k=2,
        num_candidates=3,
        max_new_tokens=1,
    )
    [[decision]] = [step.decisions for step in trace]
    p, q = WIDE, (5 / 7, 2 / 7)
    assert decision.entropy == pytest.approx(-sum(x * math.log(x) for x in q), rel=1e-5)
    assert decision.normalized_entropy == pytest.approx(decision.entropy / math.log(5))
    assert decision.raw_entropy == pytest.approx(-sum(x * math.log(x) for x in p), rel=1e-5)
    assert [c.token for c in decision.candidates[:2]] == [1, 2]
    assert [c.prob for c in decision.candidates] == pytest.approx([5 / 7, 2 / 7, 0.0], rel=1e-5)
    assert [c.raw_logprob for c in decision.candidates] == pytest.approx(
        [math.log(0.5), math.log(0.2), math.log(0.1)], rel=1e-5
    )
    [[node]] = [step.nodes for step in trace]
    assert (node.prob, node.raw_prob) == pytest.approx((5 / 7, 0.5), rel=1e-5)
    assert (node.logprob, node.raw_logprob) == pytest.approx(
        (math.log(5 / 7), math.log(0.5)), rel=1e-5
    )


def test_a_factor_of_one_is_a_plain_continuation() -> None:
    """k = 3, M = 2: with one path r = 1, so even the widest entropy makes no fork."""
    trace = literal_run(
        LiteralModel(by_hand({}, WIDE)),
        select="top",
        entropy_threshold=0.0,
        branch_factor=3,
        max_paths=2,
        max_new_tokens=3,
    )
    assert rows(trace) == [(0, -1, 0, 1), (1, 0, 0, 1), (2, 1, 0, 1)]
    check_logprobs(trace, [0.5, 0.25, 0.125])
    assert not any(step.forks for step in trace)
    assert trace[-1].ends == (End(0, 2, "length"),)


def test_with_no_room_at_all_every_fork_is_in_two_and_the_better_child_stays() -> None:
    """M = 1: r = 0 at every step."""
    trace = literal_run(
        LiteralModel(by_hand({}, WIDE)),
        select="top",
        entropy_threshold=0.5,
        branch_factor=4,
        max_paths=1,
        max_new_tokens=2,
    )
    assert rows(trace) == [(0, -1, 1, 1), (1, -1, 2, 2), (2, 0, 3, 1), (3, 0, 4, 2)]
    assert [step.forks for step in trace] == [(Fork(0, (1, 2)),), (Fork(1, (3, 4)),)]
    assert [step.ends for step in trace] == [
        (End(2, 1, "pruned"),),
        (End(4, 3, "pruned"), End(3, 2, "length")),
    ]


def test_of_equally_probable_paths_the_earlier_stay() -> None:
    """Two equal tokens at every step, k = 2, M = 4: 2, 4, then 8 equal paths of which 4 stay."""
    trace = literal_run(
        LiteralModel(by_hand({}, (0.0, 0.5, 0.0, 0.5))),
        select="top",
        entropy_threshold=0.4,
        branch_factor=2,
        max_paths=4,
        max_new_tokens=3,
    )
    assert [step.paths for step in trace] == [(1, 2), (3, 4, 5, 6), (7, 8, 9, 10)]
    assert trace[2].parents == (0, 0, 1, 1)
    assert [(n.parent, n.token) for n in trace[2].nodes] == [
        (2, 1),
        (2, 3),
        (3, 1),
        (3, 3),
        (4, 1),
        (4, 3),
        (5, 1),
        (5, 3),
    ]
    assert trace[2].ends[:4] == tuple(End(11 + i, 10 + i, "pruned") for i in range(4))
    assert [end.status for end in trace[2].ends[4:]] == ["length"] * 4


def test_a_path_that_draws_an_end_token_is_finished_and_makes_room() -> None:
    """Token 4 ends a text. After the fork into 1 and 4 only path 1 lives, so r is 2 again."""
    table = {(): (0.0, 0.6, 0.0, 0.0, 0.4), (1,): (0.3, 0.3, 0.2, 0.0, 0.2)}
    trace = literal_run(
        LiteralModel(by_hand(table, (0.0, 0.0, 0.0, 0.0, 1.0)), end_tokens=[4]),
        select="top",
        entropy_threshold=0.3,
        branch_factor=2,
        max_paths=3,
        max_new_tokens=9,
    )
    assert rows(trace) == [
        (0, -1, 1, 1),
        (1, -1, 2, 4),
        (2, 0, 3, 0),
        (3, 0, 4, 1),
        (4, 2, 3, 4),
        (5, 3, 4, 4),
    ]
    check_logprobs(trace, [0.6, 0.4, 0.18, 0.18, 0.18, 0.18])
    assert [step.ends for step in trace] == [
        (End(2, 1, "finished"),),
        (),
        (End(3, 4, "finished"), End(4, 5, "finished")),
    ]
    assert trace[-1].paths == ()  # nothing lives: the run stops long before 9 tokens


def test_a_finished_path_takes_no_place_from_the_live_ones() -> None:
    """M = 1: the end token is the better child, and yet the other child lives on."""
    trace = literal_run(
        LiteralModel(by_hand({}, (0.0, 0.4, 0.6)), end_tokens=[2]),
        select="top",
        entropy_threshold=0.5,
        branch_factor=2,
        max_paths=1,
        max_new_tokens=2,
    )
    assert [step.ends for step in trace] == [
        (End(1, 0, "finished"),),
        (End(3, 2, "finished"), End(4, 3, "length")),
    ]


def test_the_run_stops_at_max_finished_and_cancels_what_lives() -> None:
    table = {(): (0.0, 0.4, 0.3, 0.2, 0.1)}
    trace = literal_run(
        LiteralModel(by_hand(table, SURE), end_tokens=[2]),
        select="top",
        entropy_threshold=0.5,
        branch_factor=3,
        max_paths=9,
        max_finished=1,
        max_new_tokens=9,
    )
    assert len(trace) == 1
    assert trace[0].ends == (
        End(2, 1, "finished"),
        End(1, 0, "cancelled"),
        End(3, 2, "cancelled"),
    )


def test_an_end_token_at_the_length_limit_is_finished_not_length() -> None:
    trace = literal_run(
        LiteralModel(by_hand({}, (0.0, 1.0)), end_tokens=[1]), max_new_tokens=1, select="top"
    )
    assert trace[0].ends == (End(0, 0, "finished"),)


def test_there_are_never_more_children_than_tokens_with_probability() -> None:
    trace = literal_run(
        LiteralModel(by_hand({}, (0.0, 0.5, 0.0, 0.5, 0.0))),
        select="sample",
        entropy_threshold=0.2,
        branch_factor=4,
        max_paths=20,
        max_new_tokens=1,
    )
    assert sorted(n.token for n in trace[0].nodes) == [1, 3]
    assert trace[0].decisions[0].factor == 2


def test_a_filter_that_leaves_one_token_leaves_no_fork() -> None:
    """The decision is about the filtered distribution, even at a threshold of 0."""
    trace = literal_run(
        LiteralModel(by_hand({}, WIDE)), top_k=1, entropy_threshold=0.0, max_new_tokens=2
    )
    assert rows(trace) == [(0, -1, 0, 1), (1, 0, 0, 1)]
    assert [d.entropy for step in trace for d in step.decisions] == [0.0, 0.0]
    assert trace[0].decisions[0].raw_entropy > 1


def test_entropy_exactly_at_the_threshold_forks() -> None:
    uniform = (0.25, 0.25, 0.25, 0.25)  # h = 1
    config = dict(entropy_threshold=1.0, branch_factor=2, max_paths=4, max_new_tokens=1)
    assert len(literal_run(LiteralModel(by_hand({}, uniform)), **config)[0].nodes) == 2
    nearly = (0.3, 0.2, 0.25, 0.25)
    assert len(literal_run(LiteralModel(by_hand({}, nearly)), **config)[0].nodes) == 1


def test_the_factor_follows_the_remaining_budget() -> None:
    assert [budget_factor(3, r) for r in (9, 3, 2, 1, 0, -4)] == [3, 3, 2, 1, 2, 2]


def test_children_need_entropy_budget_and_tokens() -> None:
    assert num_children(h=0.19, threshold=0.2, wanted=3, remaining=9, support=9) == 1
    assert num_children(h=0.2, threshold=0.2, wanted=3, remaining=9, support=9) == 3
    assert num_children(h=0.9, threshold=0.2, wanted=3, remaining=9, support=2) == 2
    assert num_children(h=0.9, threshold=0.2, wanted=3, remaining=1, support=9) == 1
    assert num_children(h=0.9, threshold=0.2, wanted=3, remaining=0, support=9) == 2


def test_width_by_entropy_grows_from_two_to_the_branch_factor() -> None:
    assert [entropy_width(10, h, 0.2) for h in (0.2, 0.4, 0.6, 0.8, 1.0)] == [2, 4, 6, 8, 10]
    assert entropy_width(5, 1.0, 1.0) == 5
    trace = literal_run(
        LiteralModel(by_hand({(): (0.2,) * 5}, (0.69, 0.31, 0.0, 0.0, 0.0))),
        width="entropy",
        entropy_threshold=0.3,
        branch_factor=5,
        max_paths=50,
        max_new_tokens=2,
    )
    # h = 1 gives all 5 children; h = 0.385 gives 2 + round(3 * 0.12) = 2
    assert [d.factor for d in trace[0].decisions] == [5]
    assert [d.factor for d in trace[1].decisions] == [2] * 5


def test_normalised_entropy_lies_between_0_and_1() -> None:
    assert normalized_entropy(math.log(8), 8) == 1.0
    assert normalized_entropy(math.log(2), 4) == pytest.approx(0.5)
    assert normalized_entropy(math.log(8) * (1 + 1e-9), 8) == 1.0  # rounding never exceeds 1
    assert normalized_entropy(0.0, 1) == 0.0


def test_pruning_keeps_the_order_where_nothing_is_too_many() -> None:
    paths = [Path(0, logprob=-3.0), Path(1, logprob=-1.0), Path(2, logprob=-2.0)]
    assert [p.id for p in prune(paths, 3, lambda path: path.logprob)] == [0, 1, 2]
    assert [p.id for p in prune(paths, 2, lambda path: path.logprob)] == [1, 2]
