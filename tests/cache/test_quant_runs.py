"""Whole runs over quantised storage: logits, bytes, refusals, and policies that evict from it."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from explorer import experiments
from explorer.backends import num_open
from explorer.backends.cow import CowBackend
from explorer.cache import codes, tables
from explorer.cache.base import PoolLayer
from explorer.cache.pool import Pool
from explorer.cache.quant import layer_types
from explorer.cli import main
from explorer.config import InputError, RunConfig
from explorer.experiments import QUICK
from explorer.experiments import quant as bench
from explorer.generate import run
from explorer.metrics import counters, tree_digest
from explorer.models import LoadedModel
from tests import architectures
from tests.test_parity import BY_HAND, Schedule, error, logits_of, models, reference_of

KINDS = ("int8", "int4", "adaptive")


def pool_of(kv_dtype: str | tuple[str, ...], group: int, recent: int, sinks: int) -> Pool:
    """Of a model with two layers."""
    settings = {"kv_dtype": kv_dtype, "kv_group": group, "kv_recent": recent, "sinks": sinks}
    return Pool(2, layer_types(RunConfig(**settings)))


LONG = Schedule(
    seed=11, chunks=(13, 9), parents=((0, 0, 0), (0, 1, 2), (0, 0, 2), (1, 2), (0, 1), (0, 0, 1))
)


def off(model: LoadedModel, kv_dtype: str, schedule: Schedule, recent: int = 2) -> float:
    """How far logits over quantised storage are from recomputation, in units of their spread."""
    name = model.info.name
    backend = CowBackend(model)
    backend.pool = pool_of(kv_dtype, 4, recent, 1)
    return error(logits_of(backend, schedule), reference_of(models(name)[1], schedule))


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_mixed", "qwen3", "phi3"])
@pytest.mark.parametrize("schedule", [BY_HAND, LONG], ids=["by hand", "long"])
def test_logits_lie_near_full_precision_and_nearer_with_more_bits(
    name: str, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = models(name)
    eight, four, adaptive = (off(model, kind, schedule) for kind in ("int8", "int4", "adaptive"))
    assert 1e-5 < eight < 1e-2  # it was rounded, and little
    assert 2 * eight < four
    assert 1e-5 < adaptive < four * 1.1
    fine = codes.quantize

    def two_bits(numbers: torch.Tensor, bits: int, dim: int) -> codes.Quantized:
        return fine(numbers, 2, dim)

    for module in (codes, tables):
        monkeypatch.setattr(module, "quantize", two_bits)
    assert off(model, "int8", schedule) > 10 * eight
    assert off(model, "int4", schedule) > 1.5 * four


@pytest.mark.parametrize("kv_dtype", KINDS)
def test_a_model_that_attends_to_recent_tokens_only_gives_exact_logits(kv_dtype: str) -> None:
    model, _ = models("mistral_window")
    window = architectures.WINDOW
    assert off(model, kv_dtype, LONG, recent=window) < 1e-5
    assert off(model, kv_dtype, LONG, recent=0) > 1e-4


def test_each_layer_may_store_in_its_own_way() -> None:
    model, _ = models("llama")
    backend = CowBackend(model)
    backend.pool = pool_of(("model", "int4"), 4, 2, 0)
    backend.prefill(list(range(20)))
    plain, packed = backend.pool.layers
    assert type(plain) is PoolLayer
    assert plain.nbytes == backend.pool.capacity * plain.nbytes_per_slot
    assert (packed.slot_bits[:16] == 4).all()
    assert plain.live_nbytes(backend.pool.seen(0)) == 20 * plain.nbytes_per_slot
    backend.close()


def test_a_closed_pool_keeps_no_tensor_alive() -> None:
    backend = CowBackend(models("llama")[0])
    backend.pool = pool_of("adaptive", 4, 2, 0)
    backend.prefill(list(range(30)))
    tensors = [
        weakref.ref(t)
        for layer in backend.pool.layers
        for table in layer.tables
        for t in table.tensors
    ]
    assert len(tensors) == 2 * (2 + 2 * 6)
    backend.close()
    gc.collect()
    assert [ref() for ref in tensors] == [None] * len(tensors)
    assert num_open() == 0
    assert not any(layer.tables for layer in backend.pool.layers)


PROMPT = tuple((7 * i + 3) % 250 for i in range(120))
SHORT = {"prompt_ids": PROMPT, "max_paths": 3, "max_new_tokens": 12, "kv_group": 8, "kv_recent": 4}


@pytest.mark.parametrize("kv_dtype", ["model", ("model", "model")])
def test_without_quantisation_storage_and_tree_are_those_of_the_plain_pool(
    llama: LoadedModel, kv_dtype: str | tuple[str, ...]
) -> None:
    config = RunConfig(**SHORT, kv_dtype=kv_dtype)
    backend = CowBackend(llama, config)
    assert {type(layer) for layer in backend.pool.layers} == {PoolLayer}
    backend.close()
    trace = run(llama, config)
    assert tree_digest(trace) == tree_digest(run(llama, config.replace(backend="batched")))


@pytest.mark.parametrize("kv_dtype", ["int8", "int4", "adaptive", ("int8", "model")])
def test_a_run_in_few_bits_takes_fewer_bytes_live_and_logical_as_well(
    llama: LoadedModel, kv_dtype: str | tuple[str, ...]
) -> None:
    plain = counters(run(llama, RunConfig(**SHORT)))
    packed = counters(run(llama, RunConfig(**SHORT, kv_dtype=kv_dtype)))
    share = 0.75 if isinstance(kv_dtype, tuple) else 0.55
    for name in ("kv_nbytes_peak", "kv_live_nbytes_peak", "kv_logical_nbytes_peak"):
        assert 0 < packed[name] < share * plain[name], name
    assert packed["kv_live_nbytes_peak"] <= packed["kv_nbytes_peak"]
    assert num_open() == 0


@pytest.mark.parametrize("kv_dtype", KINDS)
@pytest.mark.parametrize("policy", ["window", "h2o", "count_min", "race"])
@pytest.mark.parametrize("strategy", ["evict", "topk", "aggregate"])
def test_policies_evict_from_quantised_layers_and_stay_within_the_budget(
    llama: LoadedModel, kv_dtype: str, policy: str, strategy: str
) -> None:
    bounded = {"policy": policy, "budget": 40, "strategy": strategy, "topk": 12}
    trace = run(llama, RunConfig(**SHORT, **bounded, kv_dtype=kv_dtype))
    ends = [step for step in trace if step.phase == "decode"]
    assert len(ends) == 11
    assert counters(trace)["evictions"] > 80
    a_full_slot = llama.info.kv_nbytes_per_token
    plain = run(llama, RunConfig(**SHORT, **bounded))
    assert counters(trace)["kv_nbytes_peak"] < counters(plain)["kv_nbytes_peak"]
    for step in trace:
        held = step.memory.kv_nbytes
        assert step.memory.kv_live_nbytes <= held
        assert held < max(step.memory.layers) * a_full_slot + 4 * 8 * a_full_slot
    assert num_open() == 0


def test_a_budget_as_long_as_the_text_changes_nothing_of_a_quantised_run(
    llama: LoadedModel,
) -> None:
    alone = run(llama, RunConfig(**SHORT, kv_dtype="int8", prefill_chunk=32))
    roomy = run(
        llama, RunConfig(**SHORT, kv_dtype="int8", policy="h2o", budget=140, prefill_chunk=32)
    )
    assert tree_digest(alone) == tree_digest(roomy)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backend": "batched"}, "The batched backend stores .* take --backend cow or --kv-dtype"),
        ({"backend": "naive"}, "The naive backend stores .* take --backend cow or --kv-dtype"),
        ({"kv_dtype": ("int8", "int4", "int4")}, "kv_dtype: give one format, or 2 .* not 3"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_a_sentence(
    llama: LoadedModel, settings: dict[str, Any], said: str
) -> None:
    config = RunConfig(**({"prompt_ids": PROMPT, "kv_dtype": "int8"} | settings))
    with pytest.raises(InputError, match=said):
        run(llama, config)
    assert num_open() == 0


def test_a_model_that_fails_the_probe_is_refused_with_its_reason() -> None:
    model, _ = models("bloom")
    with pytest.raises(InputError, match="take --kv-dtype model or another model") as caught:
        run(model, RunConfig(prompt_ids=(1, 2), kv_dtype="int4"))
    assert model.info.reason in str(caught.value)


def test_the_command_line_stores_in_few_bits(
    model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    peaks = []
    for kv_dtype in ("model", "int8", "int4"):
        options = ["--model", str(model_folder), "--prompt", "Once upon a time " * 10]
        options += ["--max-paths", "2", "--max-new-tokens", "4", "--kv-recent", "8"]
        with pytest.raises(SystemExit) as left:
            main(["run", *options, "--kv-dtype", kv_dtype, "--json"])
        assert left.value.code == 0
        document = json.loads(capfd.readouterr().out.splitlines()[-1])
        peaks.append(document["counters"]["kv_nbytes_peak"])
    assert peaks[0] > 1.7 * peaks[1] > 1.7 * peaks[2]


def test_the_benchmark_measures_bytes_off_real_storage() -> None:
    cases = list(bench.measure(QUICK, "cpu", "float32", lambda done, total, name: None))
    assert [case["name"] for case in cases] == bench.case_names(QUICK)
    by_name = {case["name"]: case for case in cases}
    found = by_name["storage, 160 slots: bytes in int8"]
    # 2 heads of 16; 128 slots in 4 groups, 32 recent: codes, a value's scale, a group's scales
    assert found["nbytes"] == 128 * 2 * (32 + 4) + 4 * 2 * 16 * 4 + 32 * 2 * 32 * 2
    assert found["float16_nbytes"] == (160 + 16) * 2 * 32 * 2
    assert found["ratio"] == found["nbytes"] / found["float16_nbytes"]
    assert all(case["met"] is None for case in cases)
    assert all(case["seconds"] > 0 for case in cases if "decode" in case["name"])
    assert {name: str(goal) for name, goal in bench.GOALS.items() if goal} == {
        "int8": "<= 0.56",
        "int4": "<= 0.33",
    }
    assert experiments.FULL.num_slots == 4096
    assert num_open() == 0
