"""What a trace tells of a sketch: a replay of the attention in plain Python gives the same."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from explorer import RunConfig, run
from explorer.models import LoadedModel
from explorer.policies import CountingPolicy
from explorer.trace import Trace
from tests.plain_sketches import Plain

RUN: dict[str, Any] = dict(
    prompt_ids=tuple(range(3, 43)),
    budget=24,
    sketch_width=16,
    sketch_depth=3,
    entropy_threshold=0.5,
    max_paths=3,
    max_new_tokens=12,
)


@pytest.mark.parametrize(
    "options",
    [
        dict(policy="count_min"),
        dict(policy="count_min", conservative=True),
        dict(policy="count_min", strategy="topk", topk=8),
        dict(policy="count_min", strategy="aggregate"),
        dict(policy="count_sketch"),
    ],
    ids=str,
)
def test_evidence_in_a_trace_is_what_a_replay_of_the_attention_gives(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Slots are keyed by the order in which a layer's were written, over all paths; a residual
    entry that becomes a copy of its path's own goes on with the key and sum of the original."""
    attention: list[torch.Tensor] = []
    policies: list[Any] = []
    observe = CountingPolicy.observe

    def watched(self: Any, layer_idx: int, weights: torch.Tensor, seen: torch.Tensor) -> None:
        attention.append(weights.sum(0))
        policies.append(self)
        observe(self, layer_idx, weights, seen)

    monkeypatch.setattr(CountingPolicy, "observe", watched)
    trace, name = run(llama, RunConfig(**RUN, **options)), options["policy"]
    num_layers = llama.info.num_layers
    assert len(attention) == num_layers * len(trace)
    assert sum(len(step.evictions) for step in trace) > 10
    assert max(len(step.paths) for step in trace) > 1
    plains = [Plain(policies[0].sketch) for _ in range(num_layers)]
    serials: list[dict[int, int]] = [{} for _ in range(num_layers)]
    sums: list[dict[int, float]] = [{} for _ in range(num_layers)]
    totals, written, copied = [0.0] * num_layers, 0, 0
    for step in trace:
        for layer, slots in enumerate(step.layer_slots):
            serials[layer] |= {slot: written + at for at, slot in enumerate(slots)}
            weights = attention[num_layers * step.index + layer].tolist()
            sums[layer] |= dict.fromkeys(slots, 0.0)
            for slot in sums[layer].keys() & set(range(len(weights))):
                sums[layer][slot] += weights[slot]
            batch = [
                (serials[layer][slot], weight) for slot, weight in enumerate(weights) if weight
            ]
            plains[layer].count(batch, name, options.get("conservative", False))
            totals[layer] += sum(weights)
        written += len(step.slots)
        assert [found.layer for found in step.evidence] == list(range(num_layers))
        for found, plain, total, held in zip(step.evidence, plains, totals, serials, strict=True):
            keys = [held[slot] for slot in found.slots]
            assert list(zip(*found.columns, strict=True)) == [tuple(plain.columns(k)) for k in keys]
            near = [pytest.approx(plain.cells(key), rel=1e-4, abs=1e-5) for key in keys]
            assert [list(cells) for cells in zip(*found.cells, strict=True)] == near
            assert found.total == pytest.approx(total, rel=1e-5)
            gathered = [sums[found.layer][slot] for slot in found.slots]
            assert list(found.exact) == pytest.approx(gathered, rel=1e-4, abs=1e-5)
            if name == "count_min":
                lowest = [min(plain.cells(key)) for key in keys]
                assert list(found.estimates) == pytest.approx(lowest, rel=1e-4, abs=1e-5)
                assert found.error_bound == pytest.approx(math.e / 16 * total, rel=1e-5)
            else:
                middle = [plain.signed(key) for key in keys]
                assert list(found.estimates) == pytest.approx(middle, rel=1e-4, abs=1e-4)
                assert found.error_bound is None
        for record in step.evictions:
            for table in (serials[record.layer], sums[record.layer]):
                table |= {copy: table[slot] for _, slot, copy in record.copied}
            copied += len(record.copied)
    assert (copied > 0) == (options.get("strategy") == "aggregate")


def left(trace: Trace) -> list[Any]:
    return [(step.index, one.layer, one.positions) for step in trace for one in step.evictions]


@pytest.mark.parametrize("policy", ["count_min", "count_sketch", "race"])
def test_a_run_repeats_with_its_seed(llama: LoadedModel, policy: str) -> None:
    first, again = (run(llama, RunConfig(**RUN, policy=policy)) for _ in range(2))
    assert left(first) == left(again) != []
    assert [step.evidence for step in first] == [step.evidence for step in again]


@pytest.mark.parametrize("policy", ["count_min", "count_sketch", "race"])
def test_the_trace_charges_the_sketchs_storage(llama: LoadedModel, policy: str) -> None:
    """A table of 3 x 16 counters of 4 bytes and a total a layer, and hashes; for RACE a table for
    each of 2 KV heads and planes of 8 numbers. The others add 4 bytes a slot: who could see it."""
    trace = run(llama, RunConfig(**RUN, policy=policy))
    for step in trace:
        for memory in (step.memory_forward, step.memory):
            if policy == "race":
                expected = 2 * (2 * 3 * 16 * 4 + 2 * 8 + 8 * 3 * 4 * 4)
            else:
                expected = 2 * (3 * 16 * 4 + 4) + 2 * 3 * 8 + 2 * 4 * memory.capacity
            assert memory.score_nbytes == expected
