"""The prefix cache's sweep: its workload, and hits counted a second time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from explorer.config import InputError, RunConfig
from explorer.experiments import prefix
from explorer.experiments.base import Point
from explorer.generate import num_open
from explorer.models import LoadedModel

SMALL = prefix.OPTIONS | {
    "repeats": 2,
    "requests": 12,
    "documents": 4,
    "document_tokens": 8,
    "preamble_tokens": 8,
    "question_tokens": 3,
    "block_size": 4,
}


def row(model: LoadedModel, order: str, capacity: int, **options: int) -> dict[str, Any]:
    axes = {"order": (order,), "capacity_blocks": (capacity,)}
    (point,) = prefix.points(RunConfig(device="cpu"), SMALL, axes)
    return prefix.measure(model, point, SMALL | options)


def test_requests_share_the_preamble_and_follow_zipfs_law() -> None:
    options = SMALL | {"requests": 4000, "documents": 5}
    prompts = prefix.workload(1000, options, seed=1)
    assert {len(ids) for ids in prompts} == {19}
    assert len({ids[:8] for ids in prompts}) == 1
    wanted = sorted(Counter(ids[8:16] for ids in prompts).values(), reverse=True)
    whole = sum(1 / rank for rank in range(1, 6))
    assert [count / 4000 for count in wanted] == pytest.approx(
        [1 / rank / whole for rank in range(1, 6)], abs=0.03
    )
    assert len({ids[16:] for ids in prompts}) > 3900
    assert prompts == prefix.workload(1000, options, seed=1) != prefix.workload(1000, options, 2)


def test_the_possible_hit_rate_of_a_literal_workload() -> None:
    prompts = [(1, 2, 3, 4, 5), (1, 2, 3, 4, 6), (1, 2, 9, 9, 9), (1, 2, 3, 4)]
    # blocks of 2: nothing; 4; 2; and 2, for a prompt's last token is always computed
    assert prefix.possible(prompts, 2) == (4 + 2 + 2) / 19


@pytest.mark.parametrize("order", ["lru", "fifo"])
def test_without_a_bound_everything_that_can_be_hit_is(order: str, llama: LoadedModel) -> None:
    found = row(llama, order, 10_000)
    assert found["hit_rate"] == pytest.approx(found["possible_hit_rate"]) and found["hit_rate"] > 0
    assert found["evicted_blocks"] == 0
    assert found["hit_tokens"] + found["miss_tokens"] == 12 * 19
    assert found["hit_rate_low"] <= found["hit_rate"] <= found["hit_rate_high"]
    assert num_open() == 0


def test_a_cache_of_no_blocks_hits_nothing_and_one_of_few_in_between(llama: LoadedModel) -> None:
    assert row(llama, "lru", 0)["hit_tokens"] == 0
    some = row(llama, "lru", 6)
    assert 0 < some["hit_rate"] < some["possible_hit_rate"]
    assert some["evicted_blocks"] > 0


def brute_force(prompts: list[tuple[int, ...]], order: str, capacity: int, size: int) -> int:
    """Hit tokens of a cache as a plain list of beginnings, the next to leave first."""
    kept: list[tuple[int, ...]] = []
    hits = 0
    for ids in prompts:
        blocks = [ids[:end] for end in range(size, len(ids) + 1, size)]
        found = [one for one in blocks if one in kept and len(one) < len(ids)]
        hits += max(map(len, found), default=0)
        for one in blocks:
            if one in kept:
                if order == "lru":
                    kept.append(kept.pop(kept.index(one)))
                continue
            while len(kept) >= capacity:
                stems = {other[:end] for other in kept for end in range(size, len(other), size)}
                leaves = [old for old in kept if old not in blocks and old not in stems]
                if not leaves:
                    break
                kept.remove(leaves[0])
            if len(kept) >= capacity:
                break
            kept.append(one)
    return hits


@pytest.mark.parametrize("order", ["lru", "fifo"])
@pytest.mark.parametrize("capacity", [3, 5, 7])
def test_hits_are_those_of_a_plain_list(order: str, capacity: int, llama: LoadedModel) -> None:
    found = row(llama, order, capacity, repeats=1, requests=24)
    prompts = prefix.workload(257, SMALL | {"requests": 24}, seed=0)
    assert found["hit_tokens"] == brute_force(prompts, order, capacity, 4)


def test_the_orders_differ_unless_questions_fill_blocks() -> None:
    def hits(order: str, question: int) -> int:
        options = prefix.OPTIONS | {"question_tokens": question, "requests": 120}
        return brute_force(prefix.workload(999, options, 0), order, 32, 16)

    assert hits("lru", 8) > hits("fifo", 8)
    assert hits("lru", 16) == hits("fifo", 16)


def test_a_request_that_the_model_cannot_read_is_one_sentence(llama: LoadedModel) -> None:
    with pytest.raises(InputError, match="a request of 5012 tokens is more than the 256"):
        prefix.prepare(llama, SMALL | {"document_tokens": 5000})


def test_orders_are_held_against_each_other_by_their_intervals() -> None:
    def one(order: str, rate: float, low: float, high: float) -> dict[str, Any]:
        measures = {"hit_rate": rate, "hit_rate_low": low, "hit_rate_high": high}
        return {"axes": {"order": order, "capacity_blocks": 8}, "measures": measures}

    rows = [one("lru", 0.5, 0.4, 0.6), one("fifo", 0.3, 0.2, 0.35)]
    said = prefix.summarize(rows)["order"]["answer"]
    assert said == "With 8 blocks lru hits 50.0% and fifo 30.0%."
    rows[1]["measures"]["hit_rate_high"] = 0.45
    assert prefix.summarize(rows)["order"]["answer"].endswith("30.0%, within their intervals.")


def test_points_are_orders_by_capacities() -> None:
    found = prefix.points(RunConfig(), SMALL, prefix.AXES)
    assert len(found) == 10 and isinstance(found[0], Point)
    with pytest.raises(InputError, match="prefix needs capacity_blocks"):
        prefix.points(RunConfig(), SMALL, {"order": ("lru",)})
