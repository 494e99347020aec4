"""Eviction in the benchmark: its goals are those promised, its cases read off real passes."""

from __future__ import annotations

from typing import Any

import pytest

from explorer.experiments import BENCHMARKS, eviction
from explorer.experiments.base import FULL, QUICK, make_model
from explorer.experiments.eviction import Decoder, interleaved, measure, policy_config, small_budget
from explorer.generate import num_open


@pytest.fixture(scope="module")
def cases() -> dict[str, dict[str, Any]]:
    shown: list[tuple[int, int, str]] = []
    found = list(measure(QUICK, "cpu", "float32", lambda *said: shown.append(said)))
    assert num_open() == 0
    assert shown[-1][0] == shown[-1][1] == eviction.NUM_CASES
    assert max(done for done, _, _ in shown) == eviction.NUM_CASES
    return {case["name"]: case for case in found}


def test_the_goals_and_conditions_are_the_promised_ones() -> None:
    assert {name: str(goal) for name, goal in eviction.STEP_GOALS.items()} == {
        "window": "<= 1.1",
        "h2o": "<= 1.5",
        "count_min": "<= 1.6",
    }
    assert eviction.BYTES_GOAL.bound == 1 / 12
    assert (2 * FULL.long_prompt, small_budget(FULL)) == (4096, 256)
    assert eviction.LONG_RUN[FULL.is_quick] == 10_000
    assert str(eviction.SKETCH_GOAL) == str(eviction.FLAT_GOAL) == "<= 1"
    assert "explorer.experiments.eviction" in BENCHMARKS


def test_every_case_is_there(cases: dict[str, dict[str, Any]]) -> None:
    assert list(cases) == [
        "decode step with window, 48 slots",
        "decode step with h2o, 48 slots",
        "decode step with count_min, 48 slots",
        "decode step with count_min, 192 slots",
        "peak KV bytes, budget 16 of 192 tokens",
        "allocated KV bytes over 400 decoded tokens at budget 16",
    ]
    assert all(case["met"] is None and case["ratio"] > 0 for case in cases.values())
    assert cases["decode step with window, 48 slots"]["score_nbytes"] == 0
    assert cases["decode step with h2o, 48 slots"]["score_nbytes"] > 0


def test_bytes_are_those_of_the_slots(cases: dict[str, dict[str, Any]]) -> None:
    bytes_of_a_token = 2 * QUICK.num_layers * QUICK.num_kv_heads * 16 * 4
    case = cases["peak KV bytes, budget 16 of 192 tokens"]
    assert case["kv_nbytes"] / bytes_of_a_token <= 16 + 16 // 4  # a chunk beside the budget
    assert case["full_kv_nbytes"] / bytes_of_a_token >= 192
    assert case["ratio"] == case["kv_nbytes"] / case["full_kv_nbytes"]


def test_a_long_run_keeps_to_its_first_allocation(cases: dict[str, dict[str, Any]]) -> None:
    case = cases["allocated KV bytes over 400 decoded tokens at budget 16"]
    assert case["ratio"] == 1.0
    assert case["kv_nbytes_last"] == case["kv_nbytes_settled"] > 0


def test_sides_take_turns_step_by_step() -> None:
    order: list[str] = []

    class Side:
        def __init__(self, name: str) -> None:
            self.name = name

        def step(self) -> float:
            order.append(self.name)
            return float(len(order))

    seconds = interleaved({name: Side(name) for name in "abc"}, 4)  # type: ignore[misc]
    assert "".join(order) == "bcacababcbcacababc"
    assert [len(each) for each in seconds.values()] == [4, 4, 4]
    assert seconds["a"] == [7.0, 12.0, 14.0, 16.0]


def test_every_measured_step_of_a_policy_evicts() -> None:
    model = make_model(QUICK, "cpu", "float32")
    ids = [eviction.token_at(at, QUICK.vocab_size) for at in range(48)]
    decoder = Decoder(model, policy_config("h2o", 48), ids)
    for _ in range(3):
        assert decoder.step() > 0
        assert decoder.backend.pool.visible.sum(axis=2).tolist() == [[48]] * QUICK.num_layers
    decoder.close()
    full = Decoder(model, policy_config(None, 48), ids)
    full.step()
    assert full.backend.pool.visible.sum() == 49
    full.close()
