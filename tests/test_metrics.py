"""Numbers of a run, from a trace of three steps written by hand (`make_trace` of conftest)."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import pytest

from explorer.events import End
from explorer.metrics import (
    counters,
    importance_weights,
    leaves,
    result,
    seconds,
    sharing,
    tokens_per_second,
    tree_digest,
)
from explorer.trace import Trace
from tests.conftest import make_header, make_memory, make_node, make_step


def test_leaves_are_the_returned_paths_with_their_whole_text(hand_trace: Trace) -> None:
    first, second = leaves(hand_trace)
    assert (first.id, first.parent, first.status, first.text) == (1, 0, "finished", " a.")
    assert (second.id, second.parent, second.status, second.text) == (3, 2, "length", " b c e")
    assert first.fork_depths == [0]
    assert second.fork_depths == [0, 1]
    assert [node.id for node in second.nodes] == [1, 3, 5]


def test_pruned_paths_are_leaves_only_when_asked_for(hand_trace: Trace) -> None:
    found = leaves(hand_trace, keep_pruned=True)
    assert [(leaf.id, leaf.status) for leaf in found] == [
        (1, "finished"),
        (3, "length"),
        (4, "pruned"),
    ]


def test_paths_alive_where_a_trace_breaks_off_count_as_cancelled(hand_trace: Trace) -> None:
    found = leaves(hand_trace.until(0))
    assert [(leaf.id, leaf.status, leaf.text) for leaf in found] == [
        (1, "cancelled", " a"),
        (2, "cancelled", " b"),
    ]
    assert leaves(hand_trace.until(-1)) == []


def test_counters_are_counted_by_hand(hand_trace: Trace) -> None:
    assert counters(hand_trace) == {
        "steps": 3,
        "forks": 2,
        "pruned": 1,
        "generated_tokens": 5,  # paths 1 and 3, each whole; the pruned path's own token is not
        "forward_token_steps": 5,
        "sharing_peak": 0.5,
        "unique_kv_tokens_peak": 4,
        "logical_kv_tokens_peak": 6,
        "kv_nbytes_peak": 512,
        "kv_live_nbytes_peak": 256,
        "kv_logical_nbytes_peak": 384,
        "peak_memory_nbytes": 1024,
        "evictions": 0,
    }


def test_peaks_are_read_after_the_pass_too_where_they_are() -> None:
    trace = Trace(make_header())
    trace.append(make_step(0, memory_forward=make_memory(7, 8), memory=make_memory(1, 1)))
    assert counters(trace)["unique_kv_tokens_peak"] == 7


def test_sharing_is_what_paths_do_not_have_to_store() -> None:
    assert sharing(make_memory(3, 12)) == 0.75
    assert sharing(make_memory(3, 3)) == 0.0
    assert sharing(make_memory(0, 0)) == 0.0


def test_seconds_are_split_by_phase_and_the_first_token_includes_the_prompt(
    hand_trace: Trace,
) -> None:
    assert seconds(hand_trace) == {
        "prefill": 0.25,
        "decode": 0.5,
        "overhead": 0.375,
        "total": 1.125,
        "first_token": 0.375,
    }
    assert tokens_per_second(hand_trace) == {"generated": 5 / 1.125, "computed": 5 / 1.125}


def test_a_trace_without_steps_has_numbers_too() -> None:
    empty = Trace(make_header())
    assert counters(empty)["generated_tokens"] == 0
    assert seconds(empty)["total"] == 0
    assert tokens_per_second(empty) == {"generated": 0.0, "computed": 0.0}
    assert result(empty)["paths"] == []


def test_the_digest_is_sha256_over_parents_tokens_and_ends(hand_trace: Trace) -> None:
    text = b'[[[-1,3],[-1,4],[0,5],[1,6],[1,7],[3,8]],[[2,"finished"],[4,"pruned"],[5,"length"]]]'
    assert tree_digest(hand_trace) == hashlib.sha256(text).hexdigest()


def test_the_digest_tells_trees_apart_and_nothing_else(hand_trace: Trace) -> None:
    digest = tree_digest(hand_trace)
    other = Trace(make_header(seed=5))
    for step in hand_trace:
        other.append(make_step(step.index, nodes=step.nodes, ends=step.ends, seconds=9.0))
    assert tree_digest(other) == digest
    other.steps[2] = make_step(2, nodes=step.nodes, ends=(End(3, 5, "finished"),))
    assert tree_digest(other) != digest
    assert tree_digest(hand_trace.until(1)) != digest


def test_the_result_is_the_contract_of_the_command_line(hand_trace: Trace) -> None:
    whole = result(hand_trace)
    assert whole["run"] == {
        "backend": "cow",
        "model": "by-hand",
        "device": "cpu",
        "dtype": "float32",
        "seed": 0,
        "version": "0.1.0",
    }
    assert whole["paths"][1] == {
        "id": 3,
        "parent": 2,
        "token_ids": [4, 6, 8],
        "text": " b c e",
        "logprob": -1.5,
        "raw_logprob": -2.5,
        "status": "length",
        "fork_depths": [0, 1],
    }
    assert len(result(hand_trace, keep_pruned=True)["paths"]) == 3
    assert whole["tree_digest"] == tree_digest(hand_trace)
    assert whole["counters"] == counters(hand_trace)


def gumbel_trace(kept: float, pruned: float | None, logprob: float) -> Trace:
    """One path that stays, with its perturbed log-probability, and perhaps one that was pruned."""
    from dataclasses import replace

    nodes = [replace(make_node(0, -1, 1, "a", logprob), perturbed=kept)]
    ends = [End(1, 0, "length")]
    if pruned is not None:
        nodes.append(replace(make_node(1, -1, 2, "b", -1.0), perturbed=pruned))
        ends.append(End(2, 1, "pruned"))
    trace = Trace(make_header(select="gumbel"))
    trace.append(make_step(0, paths=(1,), nodes=tuple(nodes), ends=tuple(ends)))
    return trace


def test_an_importance_weight_is_the_probability_over_that_of_being_kept() -> None:
    [weight] = importance_weights(gumbel_trace(kept=0.5, pruned=-0.5, logprob=-1.0)).values()
    assert weight == pytest.approx(math.exp(-1) / (1 - math.exp(-math.exp(-0.5))))
    [weight] = importance_weights(gumbel_trace(kept=0.5, pruned=None, logprob=-1.0)).values()
    assert weight == pytest.approx(math.exp(-1))  # all were kept: inclusion is certain
    [weight] = importance_weights(gumbel_trace(kept=-0.7, pruned=-0.5, logprob=-1.0)).values()
    assert weight == 0  # below the pruned: it finished before it was compared


def test_importance_weights_of_very_long_texts_neither_overflow_nor_divide_by_zero() -> None:
    [weight] = importance_weights(gumbel_trace(kept=-1.0, pruned=-3.0, logprob=-2000)).values()
    assert weight == pytest.approx(math.exp(-3))
    [weight] = importance_weights(gumbel_trace(kept=-1.0, pruned=-3000.0, logprob=-3)).values()
    assert weight == pytest.approx(math.exp(-3))


@pytest.mark.parametrize(
    ("given", "named"), [("model", None), ("int8", "int8"), (("model", "int4"), ["model", "int4"])]
)
def test_the_document_names_the_storage_where_it_is_not_the_models_own(
    given: Any, named: Any
) -> None:
    trace = Trace(make_header(kv_dtype=given))
    assert result(trace)["run"].get("kv_dtype") == named
    del trace.header.config["cache"]["kv_dtype"]  # as of a file from before there was a choice
    assert "kv_dtype" not in result(trace)["run"]
