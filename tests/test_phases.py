"""Prefill and decode apart: by hand, against the formulas, and on runs of every backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import sleep
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from explorer import machine, metrics
from explorer.attention import TreeMask
from explorer.cache.prefix import PrefixCache
from explorer.config import RunConfig
from explorer.events import Rates, Work
from explorer.eviction import Evictor
from explorer.generate import run
from explorer.models import LoadedModel
from explorer.phases import passes, phases, quantile
from explorer.terminal import phase_lines
from explorer.trace import Trace
from tests.conftest import make_header, make_memory, make_node, make_step
from tests.stage import phases as stage

WORK = Work(
    flops_per_position=1000,
    flops_per_logits=100,
    flops_per_pair=10,
    weight_nbytes=500,
    active_nbytes=300,
    expert_nbytes=400,  # two of four, as it were: any two positions may need all
)
RATES = Rates(flops_per_second=1000.0, nbytes_per_second=500.0, conditions="by hand")


def hand(work: Work | None = WORK, rates: Rates | None = RATES, **config: Any) -> Trace:
    """A prompt of 5 in chunks of 3 and 2, then a step of two paths. 64 bytes a token."""
    header = make_header(prompt=("a", "b", "c", "d", "e"), **config)
    trace = Trace(replace(header, model=replace(header.model, work=work), rates=rates))
    prefill: dict[str, Any] = dict(phase="prefill", seconds=2.0, overhead_seconds=0.5)
    trace.append(make_step(0, positions=3, memory_forward=make_memory(3, 3), paths=(0,), **prefill))
    made = (make_node(0, -1, 1, "x", -1.0), make_node(1, -1, 2, "y", -1.0))
    memory = make_memory(5, 5)
    trace.append(
        make_step(1, positions=2, memory_forward=memory, paths=(1, 2), nodes=made, **prefill)
    )
    memory = make_memory(7, 12, shared=5)
    trace.append(
        make_step(2, positions=2, memory_forward=memory, seconds=4.0, overhead_seconds=1.0)
    )
    return trace


def test_prefill_is_counted_chunk_by_chunk() -> None:
    found = phases(hand())["prefill"]
    assert (found["steps"], found["tokens"], found["positions"]) == (2, 5, 5)
    assert found["seconds"] == 4.0
    assert found["tokens_per_second"] == 5 / 4
    assert found["weight_nbytes"] == 500 + 500  # once a pass
    assert found["kv_read_nbytes"] == 3 * 64 + 5 * 64
    assert found["kv_written_nbytes"] == 5 * 64
    assert found["nbytes"] == 1000 + 8 * 64 + 5 * 64
    pairs = 1 + 2 + 3 + 4 + 5  # every token sees those before it and itself
    assert found["flops"] == 5 * 1000 + 2 * 100 + pairs * 10
    assert found["intensity"] == pytest.approx(found["flops"] / found["nbytes"])


def test_decode_reads_shared_slots_once_and_computes_what_every_path_sees() -> None:
    found = phases(hand())["decode"]
    assert (found["steps"], found["tokens"]) == (1, 2)
    assert found["kv_read_nbytes"] == 7 * 64
    assert found["kv_written_nbytes"] == 2 * 64
    assert found["flops"] == 2 * 1000 + 2 * 100 + 12 * 10
    assert found["flops_per_second"] == found["flops"] / 4.0
    assert found["nbytes_per_second"] == (500 + 9 * 64) / 4.0


def test_the_roofline_takes_the_longer_of_computing_and_reading_step_by_step() -> None:
    found = phases(hand())
    first = 3 * 1000 + 100 + 6 * 10, 500 + 6 * 64
    second = 2 * 1000 + 100 + 9 * 10, 500 + 7 * 64
    expected = sum(max(flops / 1000, nbytes / 500) for flops, nbytes in (first, second))
    predicted = found["prefill"]["predicted"]
    assert predicted["seconds"] == pytest.approx(expected)
    assert predicted["tokens_per_second"] == pytest.approx(5 / expected)
    assert predicted["reached"] == pytest.approx(expected / 4)
    assert predicted["bound"] == "compute"
    assert predicted["ridge"] == 2.0
    slow_memory = replace(RATES, nbytes_per_second=1.0)
    assert phases(hand(rates=slow_memory))["decode"]["predicted"]["bound"] == "memory"
    assert found["machine"]["conditions"] == "by hand"


def test_latencies_count_what_is_done_between_passes() -> None:
    found = phases(hand())
    assert found["first_token_seconds"] == 5.0
    assert found["inter_token_seconds"] == {"p50": 5.0, "p95": 5.0, "steps": 1}


def test_what_is_not_known_is_none() -> None:
    found = phases(hand(work=None))
    for name in ("weight_nbytes", "nbytes", "flops", "intensity", "predicted"):
        assert found["decode"][name] is None
    assert found["decode"]["kv_read_nbytes"] == 7 * 64
    assert phases(hand(rates=None))["decode"]["predicted"] is None
    empty = phases(Trace(hand().header))
    assert empty["first_token_seconds"] is None
    assert empty["inter_token_seconds"] == {"p50": None, "p95": None, "steps": 0}
    assert empty["decode"]["tokens_per_second"] is None
    assert empty["decode"]["predicted"] is None


def test_backends_that_run_path_by_path_read_the_weights_once_a_path() -> None:
    assert phases(hand(backend="deepcopy"))["decode"]["weight_nbytes"] == 2 * 300  # one position
    assert phases(hand(backend="cow"))["decode"]["weight_nbytes"] == 500


def test_of_many_experts_a_pass_reads_what_its_positions_may_have_chosen() -> None:
    experts = 64 * 5  # 2 of 64 a position; the rest is dense
    work = replace(WORK, weight_nbytes=180 + experts, active_nbytes=190, expert_nbytes=experts)
    found = phases(hand(work))
    assert found["prefill"]["weight_nbytes"] == (180 + 3 * 10) + (180 + 2 * 10)
    assert found["decode"]["weight_nbytes"] == 180 + 2 * 10
    alone = phases(hand(work, backend="deepcopy"))["decode"]
    assert alone["weight_nbytes"] == 2 * (180 + 10)
    few = replace(WORK, weight_nbytes=180 + 25, active_nbytes=190, expert_nbytes=25)
    assert phases(hand(few))["prefill"]["weight_nbytes"] == (180 + 25) + (180 + 20)


def test_a_model_whose_experts_were_not_recorded_is_read_whole() -> None:
    dense = replace(WORK, active_nbytes=500, expert_nbytes=0)
    assert phases(hand(dense))["decode"]["weight_nbytes"] == 500


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.floats(0, 1))
def test_quantiles_are_numpys(values: list[float], share: float) -> None:
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)))


def test_people_read_both_phases_and_the_latencies() -> None:
    assert list(phase_lines(phases(hand()))) == [
        "prefill: 5 tokens, 1.25 tokens/s, 1.8 KiB moved, 2.9 FLOP/B; predicted at best "
        "0.935 tokens/s (compute bound)",
        "decode: 2 tokens, 0.5 tokens/s, 1.1 KiB moved, 2.2 FLOP/B; predicted at best "
        "0.862 tokens/s (compute bound)",
        "first token after 5 s, then 5 s a token (p50), 5 s (p95)",
    ]
    assert list(phase_lines(phases(hand(work=None))))[1] == "decode: 2 tokens, 0.5 tokens/s"
    assert list(phase_lines(phases(Trace(hand().header)))) == []


# ---- real runs -----------------------------------------------------------------------------------

RUN = RunConfig(
    prompt_ids=tuple(range(40, 53)),
    max_new_tokens=5,
    max_paths=4,
    entropy_threshold=0.0,
    branch_factor=2,
    prefill_chunk=4,
)


@pytest.mark.parametrize("backend", ["cow", "batched", "deepcopy"])
def test_pairs_are_those_that_a_walk_over_the_tree_finds(llama: LoadedModel, backend: str) -> None:
    trace = run(llama, RUN.replace(backend=backend))
    work = llama.info.work
    assert work is not None
    done, rows = 0, 1
    for step, one in passes(trace):
        if step.phase == "prefill":
            lengths = range(done + 1, done + step.positions + 1)
            seen, logits = sum(lengths), 1
            done += step.positions
        else:
            done += 1
            seen, logits = rows * done, rows
        rows = len(step.paths)
        expected = step.positions * work.flops_per_position + logits * work.flops_per_logits
        assert one.flops == expected + seen * work.flops_per_pair


@pytest.mark.parametrize(
    "changes",
    [
        dict(policy="window", budget=16),
        dict(policy="h2o", budget=16),
        dict(policy="h2o", budget=8, pyramid=0.5),
        dict(policy="fifo", layer_budgets=(6, 14)),
        dict(policy="random", budget=8, adaptive=True),
        dict(policy="h2o", budget=9, strategy="aggregate", residual_entries=2),
        dict(policy="window", budget=40),  # no token leaves before the prompt is read
        dict(policy="window", budget=20, prefill_chunk=512),
    ],
)
def test_pairs_under_a_policy_are_those_of_the_masks_that_passes_ran_with(
    changes: dict[str, Any], llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    masked: list[float] = []
    begin = Evictor.begin

    def spy(self: Evictor, mask: TreeMask, ids: Sequence[int]) -> TreeMask:
        masked.append(mask.visible.sum() / len(mask.visible))
        return begin(self, mask, ids)

    monkeypatch.setattr(Evictor, "begin", spy)
    options = dict(sinks=1, recent=2, max_new_tokens=12, max_finished=1, prompt_ids=range(24))
    config = RUN.replace(**(options | changes))
    prefix = PrefixCache(block_size=4)
    work = llama.info.work
    assert work is not None
    for _ in range(2):  # once more with what of the prompt may be reused
        masked.clear()
        rows = 1
        trace = run(llama, config, prefix=prefix)
        for (step, one), pairs in zip(passes(trace), masked, strict=True):
            expected = step.positions * work.flops_per_position
            expected += (rows if step.phase == "decode" else 1) * work.flops_per_logits
            assert one.flops == expected + pairs * work.flops_per_pair
            rows = len(step.paths)
    budget = changes.get("budget")
    found, was_evicted = metrics.reused(trace), any(step.evictions for step in trace)
    assert found is not None
    assert (found.hit_tokens > 0, was_evicted) == (budget == 40, budget != 40)


def test_recomputing_computes_every_text_whole_and_keeps_nothing(llama: LoadedModel) -> None:
    trace = run(llama, RUN.replace(backend="recompute"))
    work = llama.info.work
    assert work is not None
    found = phases(trace)
    assert found["decode"]["kv_read_nbytes"] == found["decode"]["kv_written_nbytes"] == 0
    rows, flops, weights = 1, 0, 0
    for at, step in enumerate(trace):
        length = 13 + at
        if step.phase == "decode":
            pairs = length * (length + 1) // 2
            flops += rows * (length * work.flops_per_position + work.flops_per_logits)
            flops += rows * pairs * work.flops_per_pair
            weights += rows * work.weight_nbytes
        rows = len(step.paths)
    assert found["decode"]["flops"] == flops
    assert found["decode"]["weight_nbytes"] == weights


def test_every_chunk_of_the_prompt_is_a_step_and_together_they_write_it_once(
    llama: LoadedModel,
) -> None:
    trace = run(llama, RUN)
    chunks = [step for step in trace if step.phase == "prefill"]
    assert [step.positions for step in chunks] == [4, 4, 4, 1]
    found = phases(trace)["prefill"]
    assert found["steps"] == 4
    assert found["tokens"] == 13
    assert found["kv_written_nbytes"] == 13 * llama.info.kv_nbytes_per_token
    whole = phases(run(llama, RUN.replace(prefill_chunk=512)))["prefill"]
    assert whole["weight_nbytes"] * 4 == found["weight_nbytes"]
    logits = llama.info.work.flops_per_logits if llama.info.work else 0
    assert found["flops"] - whole["flops"] == 3 * logits  # each chunk asks for its last token's


def test_bytes_written_into_integers_are_those_that_are_stored(llama: LoadedModel) -> None:
    full = phases(run(llama, RUN))["decode"]["kv_written_nbytes"]
    stored = phases(run(llama, RUN.replace(kv_dtype="int8", kv_group=8, kv_recent=0)))["decode"]
    assert 0.25 * full < stored["kv_written_nbytes"] < 0.6 * full


def test_the_trace_says_what_the_machine_was_measured_to_do(llama: LoadedModel) -> None:
    trace = run(llama, RUN)
    rates = trace.header.rates
    assert rates is not None
    assert rates.flops_per_second > 1e7
    assert rates.nbytes_per_second > 1e7
    assert "float32" in rates.conditions
    again = Trace.parse(b"".join(trace.lines()))
    assert again.header.rates == rates
    assert phases(again) == phases(trace)


@pytest.mark.parametrize(("seconds", "size"), [(0.5, 128), (1e-4, 1024)])
def test_rates_are_those_of_a_product_that_takes_a_while_and_of_a_read(
    seconds: float, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []

    def fastest(work: Callable[[], object], device: object) -> float:
        ran.append(work())
        return seconds

    monkeypatch.setattr(machine, "_fastest", fastest)
    found = machine._measured.__wrapped__("cpu", "float32", 1)
    assert ran[-2].shape == (size, size)
    assert found.flops_per_second == 2 * size**3 / seconds
    assert found.nbytes_per_second == 4 * float(ran[-1]) / seconds  # as many ones as were added up
    assert f"{size} x {size} matrix products in float32" in found.conditions


def test_the_fastest_of_several_tries_counts_and_the_first_is_not_one() -> None:
    naps = iter([0.0, 0.03, 0.01, 0.03, 0.03])
    spent = machine._fastest(lambda: sleep(next(naps)), torch.device("cpu"))
    assert 0.01 <= spent < 0.03
    assert next(naps, None) is None


def test_the_machine_is_measured_once() -> None:
    threads = torch.get_num_threads()
    found = machine.rates("cpu", "float32", threads)
    assert found is machine.rates("cpu", "float32", threads)
    assert found is not None
    assert found.flops_per_second > 1e7 < found.nbytes_per_second


def test_a_machine_without_room_to_measure_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    threads = 1_000  # that no other test measures
    with monkeypatch.context() as patch:
        patch.setattr(torch, "ones", full)
        assert machine.rates("cpu", "float32", threads) is None
    assert machine.rates("cpu", "float32", threads) is not None  # and tried again when there is


def test_what_the_page_is_held_against_is_what_python_says() -> None:
    assert orjson.loads(stage.FILE.read_bytes()) == orjson.loads(orjson.dumps(stage.document()))


def test_what_a_prefix_cache_gave_is_read_and_not_computed(llama: LoadedModel) -> None:
    prefix = PrefixCache(block_size=4)
    config = RUN.replace(prefill_chunk=512)
    cold, hit = (phases(run(llama, config, prefix=prefix))["prefill"] for _ in range(2))
    work, each = llama.info.work, llama.info.kv_nbytes_per_token
    assert work is not None
    assert (cold["tokens"], hit["tokens"]) == (13, 1)
    assert (
        hit["flops"] == work.flops_per_position + work.flops_per_logits + 13 * work.flops_per_pair
    )
    assert (hit["kv_read_nbytes"], hit["kv_written_nbytes"]) == (13 * each, each)
