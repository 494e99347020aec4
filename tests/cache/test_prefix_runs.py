"""Reuse in whole runs: what a hit gives equals what a cold prefill computes, whatever goes on."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM

from explorer import metrics
from explorer.backends.cow import CowBackend
from explorer.cache import prefix as prefix_module
from explorer.cache.blocks import FULL, Block, Segment
from explorer.cache.prefix import PrefixCache
from explorer.config import RunConfig
from explorer.generate import generate, prepare, run, warm
from explorer.metrics import tree_digest
from explorer.models import LoadedModel
from explorer.trace import Trace
from tests import architectures
from tests.test_parity import CLEARLY_WRONG, TOLERANCE, error, models

ARCHITECTURES = ("llama", "gpt2", "gemma3_mixed", "deepseek_v3_latent", "gpt_oss_sinks", "qwen3")
SIZE = 4
PROMPT = "The quick brown fox jumps over the lazy dog, and the dog sleeps on. "


def config(prompt: str = PROMPT, **changes: Any) -> RunConfig:
    given: dict[str, Any] = {"max_new_tokens": 6, "max_paths": 4, "entropy_threshold": 0.1}
    return RunConfig(prompt=prompt, **(given | changes))


# ---- logits ------------------------------------------------------------------------------------


@given(
    name=st.sampled_from(ARCHITECTURES),
    ids=st.lists(st.integers(0, architectures.VOCAB - 1), min_size=SIZE + 1, max_size=30),
    start=st.integers(0, 4),
    data=st.data(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_logits_after_a_hit_equal_cold_ones(
    name: str, ids: list[int], start: int, data: st.DataObject
) -> None:
    model, twin = models(name)
    hit = data.draw(st.integers(1, (len(ids) - 1) // SIZE)) * SIZE
    source, reuser = CowBackend(model), CowBackend(model)
    source.prefill(ids[:hit] + [start] * 3)  # another text with this beginning
    blocks = source.cut(0, hit, SIZE)
    source.close()
    reuser.fill(ids[:hit], blocks)
    texts, logits = [list(ids)], [reuser.prefill(ids[hit:]).logits]
    expected = [architectures.recompute(twin, texts)]
    for parents in ((0, 0, 0), (2, 1), (0, 1, 1)):
        reuser.fork(parents)
        texts = [[*texts[row], (5 * i + 3) % architectures.VOCAB] for i, row in enumerate(parents)]
        logits.append(reuser.decode([text[-1] for text in texts]).logits)
        expected.append(architectures.recompute(twin, texts))
        reuser.pool.check_integrity()
    reuser.close()
    assert error(logits, expected) <= TOLERANCE


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_another_text_s_blocks_give_clearly_other_logits(name: str) -> None:
    """The control: the comparison above fails where keys and values are wrong."""
    model, twin = models(name)
    ids = [(7 * i + 1) % architectures.VOCAB for i in range(14)]
    source, reuser = CowBackend(model), CowBackend(model)
    source.prefill([(3 * i + 2) % architectures.VOCAB for i in range(14)])
    reuser.fill(ids[:12], source.cut(0, 12, SIZE))
    logits = reuser.prefill(ids[12:]).logits
    source.close()
    reuser.close()
    assert error([logits], [architectures.recompute(twin, [ids])]) > CLEARLY_WRONG


# ---- whole runs --------------------------------------------------------------------------------


def test_a_second_run_computes_the_rest_of_its_prompt_and_grows_the_same_tree(
    llama: LoadedModel,
) -> None:
    cache, cold = PrefixCache(), run(llama, config())
    first, second = (run(llama, config(), prefix=cache) for _ in range(2))
    assert tree_digest(cold) == tree_digest(first) == tree_digest(second)
    assert cold[0].reused is None
    missed, hit = first[0].reused, second[0].reused
    assert missed is not None
    assert hit is not None
    assert len(PROMPT) == 68
    assert (missed.hit_tokens, missed.miss_tokens, missed.stored_blocks) == (0, 68, 4)
    assert (hit.hit_tokens, hit.miss_tokens, hit.hit_blocks) == (64, 4, 4)
    assert (hit.stored_blocks, hit.blocks, hit.evicted_blocks) == (0, 4, 0)
    assert hit.nbytes == 64 * llama.info.kv_nbytes_per_token
    assert (cold[0].positions, second[0].positions) == (68, 4)
    assert second[0].slots == cold[0].slots == tuple(range(68))
    assert second[0].memory.kv_live_nbytes == cold[0].memory.kv_live_nbytes
    assert cache.stats().pinned_blocks == 0


def test_seconds_saved_are_those_of_the_cold_run_less_this_one_s(llama: LoadedModel) -> None:
    cache = PrefixCache()
    cold = run(llama, config(prefill_chunk=32), prefix=cache)
    warmed = run(llama, config(prefill_chunk=32), prefix=cache)
    reused = warmed[0].reused
    assert reused is not None
    assert reused.cold_tokens == 68
    assert reused.cold_seconds == pytest.approx(sum(cold[i].seconds for i in range(3)))
    assert reused.seconds > warmed[0].seconds
    assert reused.seconds_saved == reused.cold_seconds - reused.seconds
    assert cache.stats().seconds_saved == pytest.approx(reused.seconds_saved)
    other = config(PROMPT[:40] + "x" * 30, prefill_chunk=32)
    longer = metrics.reused(run(llama, other, prefix=cache))
    assert longer is not None
    assert (longer.hit_tokens, longer.cold_tokens) == (32, 32)
    assert longer.cold_seconds == pytest.approx(cold[0].seconds)  # the first pass read 32 tokens
    assert metrics.reused_words(longer).startswith("32 of 70 prompt tokens reused, about ")
    assert "about" not in metrics.reused_words(reused)


def test_a_share_of_a_longer_prompt_s_pass_is_not_a_cold_run(llama: LoadedModel) -> None:
    cache = PrefixCache()
    run(llama, config(PROMPT * 2), prefix=cache)
    reused = run(llama, config((PROMPT * 2)[:64]), prefix=cache)[0].reused
    assert reused is not None
    assert (reused.hit_tokens, reused.cold_tokens) == (48, 48)  # nobody read 64 tokens cold


def test_a_run_beside_float32_takes_nothing_that_another_kernel_computed(
    llama: LoadedModel,
) -> None:
    cache, beside = PrefixCache(), config(against_float32=True, attention_kernel="math")
    run(llama, config(), prefix=cache)
    found = [metrics.reused(run(llama, beside, prefix=cache)) for _ in range(2)]
    assert [reused and reused.hit_tokens for reused in found] == [0, 64]


@pytest.mark.parametrize("changes", [{"prefill_chunk": 16}, {"attention_kernel": "math"}])
def test_seconds_are_held_against_those_of_the_same_settings(
    llama: LoadedModel, changes: dict[str, Any]
) -> None:
    cache = PrefixCache()
    run(llama, config(), prefix=cache)
    reused = metrics.reused(run(llama, config(**changes), prefix=cache))
    assert reused is not None
    assert (reused.hit_tokens, reused.cold_seconds, reused.seconds_saved) == (64, None, None)


def test_what_a_run_says_of_reuse_survives_the_trace_s_file(
    llama: LoadedModel, tmp_path: Any
) -> None:
    cache = PrefixCache()
    for _ in range(2):
        trace = run(llama, config(), tmp_path / "run.jsonl", cache)
    assert Trace.load(tmp_path / "run.jsonl")[0].reused == trace[0].reused


def test_colliding_keys_never_give_another_text_s_keys_and_values(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [PROMPT, "".join(reversed(PROMPT))]
    cold = [tree_digest(run(llama, config(text))) for text in texts]

    def digests() -> list[str]:
        cache = PrefixCache(key=lambda parent, ids: hashlib.sha256(parent).digest())
        return [tree_digest(run(llama, config(text), prefix=cache)) for text in texts]

    assert digests() == cold
    monkeypatch.setattr(prefix_module, "_is", lambda *_: True)  # the control: tokens not compared
    assert digests()[1] != cold[1]


@pytest.mark.parametrize("capacity", [None, 6])
def test_runs_at_once_share_a_cache(llama: LoadedModel, capacity: int | None) -> None:
    texts = [PROMPT, PROMPT[:33] + "and then it rained.", "Once" + PROMPT, PROMPT[:20]]
    cold = {text: tree_digest(run(llama, config(text))) for text in texts}
    cache = PrefixCache(capacity_blocks=capacity)
    wrong: list[str] = []

    def visitor(number: int) -> None:
        for turn in range(6):
            text = texts[(number + turn) % len(texts)]
            if tree_digest(run(llama, config(text), prefix=cache)) != cold[text]:
                wrong.append(text)

    visitors = [threading.Thread(target=visitor, args=(number,)) for number in range(3)]
    for thread in visitors:
        thread.start()
    for thread in visitors:
        thread.join()
    assert wrong == []
    stats = cache.stats()
    assert stats.pinned_blocks == 0
    assert stats.hits > 0
    assert capacity is None or (stats.blocks <= capacity and stats.evicted_blocks > 0)
    cache.check_integrity()


def test_blocks_are_held_until_their_run_is_over(llama: LoadedModel) -> None:
    cache = PrefixCache()
    steps = generate(llama, config(), cache)
    next(steps)
    cache.resize(0)
    assert cache.stats().pinned_blocks == cache.stats().blocks == 4
    steps.close()  # type: ignore[attr-defined]
    assert cache.stats().blocks == 0


def test_blocks_are_let_go_also_where_the_backend_s_end_fails(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(backend: CowBackend) -> None:
        close(backend)
        raise RuntimeError("the device is gone")

    cache, close = PrefixCache(), CowBackend.close
    monkeypatch.setattr(CowBackend, "close", failing)
    with pytest.raises(RuntimeError, match="the device is gone"):
        run(llama, config(), prefix=cache)
    assert cache.stats().blocks == 4
    assert cache.stats().pinned_blocks == 0


def test_a_run_may_only_read_or_leave_the_cache_alone(llama: LoadedModel) -> None:
    cache = PrefixCache()
    run(llama, config(prefix_use="read"), prefix=cache)
    assert cache.stats().blocks == 0
    run(llama, config(prefix_min_tokens=69), prefix=cache)
    assert cache.stats().blocks == 0
    run(llama, config(), prefix=cache)
    off = run(llama, config(prefix_use="off"), prefix=cache)[0]
    assert (off.reused, off.positions) == (None, 68)
    read = run(llama, config(prefix_use="read"), prefix=cache)[0].reused
    assert read is not None
    assert read.hit_tokens == 64
    short = run(llama, config(prefix_min_tokens=65), prefix=cache)[0].reused
    assert short is not None
    assert short.hit_tokens == 0
    assert short.reason == "64 tokens are there, less than prefix_min_tokens."


def test_warmed_prompts_are_found(llama: LoadedModel) -> None:
    cache = PrefixCache()
    warm(llama, cache, [PROMPT, "Something else that is long enough."], config(kv_dtype="int8"))
    reused = run(llama, config(kv_dtype="int8"), prefix=cache)[0].reused
    assert reused is not None
    assert reused.hit_tokens == 64
    assert run(llama, config(), prefix=cache)[0].positions == 68  # stored otherwise: not the same


# ---- beside other backends, policies and storage -----------------------------------------------


@pytest.mark.parametrize("policy", ["window", "fifo", "random"])
def test_a_policy_that_needs_no_attention_reuses_a_prompt_within_its_budget(
    llama: LoadedModel, policy: str
) -> None:
    under = config(policy=policy, budget=70, max_new_tokens=12)
    cold, cache = run(llama, under), PrefixCache()
    run(llama, config(), prefix=cache)  # without a policy keys and values are the same
    reusing = run(llama, under, prefix=cache)
    assert reusing[0].reused is not None
    assert reusing[0].reused.hit_tokens == 64
    assert tree_digest(reusing) == tree_digest(cold)
    lost = [[(e.layer, e.slots, e.paths) for e in step.evictions] for step in cold]
    assert lost == [[(e.layer, e.slots, e.paths) for e in step.evictions] for step in reusing]
    assert any(lost)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backend": "batched"}, "no pool to fill; cow can reuse"),
        ({"policy": "h2o", "budget": 70}, "h2o has to see what the prompt attends to"),
        ({"policy": "lru", "budget": 70}, "lru has to see"),
        ({"policy": "race", "budget": 70}, "race has to see"),
        ({"policy": "window", "budget": 70, "adaptive": True}, "has to see"),
        ({"policy": "window", "budget": 70, "strategy": "topk", "topk": 9}, "Under topk"),
        ({"policy": "window", "budget": 40}, "longer than its budget"),
    ],
)
def test_a_prompt_that_must_be_read_is_read_and_the_reason_is_said(
    llama: LoadedModel, changes: dict[str, Any], words: str
) -> None:
    cache = PrefixCache()
    run(llama, config(), prefix=cache)
    cold, trace = run(llama, config(**changes)), run(llama, config(**changes), prefix=cache)
    [reused] = [step.reused for step in trace if step.reused is not None]
    assert words in reused.reason
    assert (reused.hit_tokens, reused.miss_tokens) == (0, 68)
    assert sum(step.positions for step in trace if step.phase == "prefill") == 68
    assert tree_digest(trace) == tree_digest(cold)


def in_full(block: Block) -> Block:
    """The same keys and values, rounded as they are, in full precision."""
    whole = []
    for segments in block.layers:
        read = [segment.read() for segment in segments]
        whole.append(
            [
                Segment(FULL, one.dtype, one.widths, one.widths[1], states)
                for one, states in zip(segments, read, strict=True)
            ]
        )
    return Block.of(whole)


@pytest.mark.parametrize("kv_dtype", ["int8", "int4", "adaptive", ("model", "int4")])
def test_quantised_blocks_go_on_through_fork_prune_and_evict_as_they_were_stored(
    llama: LoadedModel, kv_dtype: Any
) -> None:
    """The oracle holds the same rounded numbers in a pool of full precision."""
    ids = [(31 * i + 7) % 256 for i in range(75)]
    stored = RunConfig(kv_dtype=kv_dtype, kv_group=8, kv_recent=6)
    source = CowBackend(llama, stored)
    source.prefill(ids[:40])
    source.prefill(ids[40:])
    blocks = source.cut(0, 64, SIZE)
    later = RunConfig(kv_dtype=kv_dtype, kv_group=8, kv_recent=500)  # nothing more is rounded
    reuser, oracle = CowBackend(llama, later), CowBackend(llama)
    reuser.fill(ids[:64], blocks)
    oracle.fill(ids[:64], [in_full(block) for block in blocks])
    coded = sum(
        segment.bits < FULL for block in blocks for part in block.layers for segment in part
    )
    assert coded
    logits = [[each.prefill(ids[64:]).logits] for each in (reuser, oracle)]
    for step, parents in enumerate(((0, 0, 0), (0, 1, 2, 2), (3, 0), (1, 1, 0), (2,))):
        for each, seen in zip((reuser, oracle), logits, strict=True):
            each.fork(parents)
            seen.append(each.decode([(9 * step + row) % 256 for row in range(len(parents))]).logits)
            for row in range(len(parents)):
                each.pool.evict(step % 2, row, [5 * step + 2 * row, 40 + step])
            each.pool.check_integrity()
    assert error(*logits) <= TOLERANCE
    whole = oracle.stats().kv_live_nbytes
    assert reuser.stats().kv_live_nbytes < whole
    for layer in reuser.pool.layers:
        assert layer.nbytes >= layer.live_nbytes(reuser.pool.seen(layer.layer_idx))
    reuser.fork(())
    assert reuser.stats().kv_live_nbytes == 0
    for backend in (source, reuser, oracle):
        backend.close()


def test_whole_runs_over_quantised_storage_reuse_evict_and_branch(llama: LoadedModel) -> None:
    under = config(
        kv_dtype="int8", kv_group=8, kv_recent=8, policy="window", budget=70, max_new_tokens=14
    )
    cache = PrefixCache()
    first, second, third = (run(llama, under, prefix=cache) for _ in range(3))
    assert second[0].reused is not None
    assert second[0].reused.hit_tokens == 64
    assert tree_digest(second) == tree_digest(third)
    cold = run(llama, under)
    assert tree_digest(first) == tree_digest(cold)
    for trace in (first, second):
        fullest = max(max(step.memory.layers) for step in trace)
        assert fullest <= 70 * 4
        assert any(step.evictions for step in trace)
    assert second[0].memory.kv_live_nbytes == cold[0].memory.kv_live_nbytes


@pytest.mark.parametrize(
    ("kv_dtype", "hit_tokens"),
    [("int8", 32), ("int4", 32), ("adaptive", 0), (("model", "int8"), 32)],
)
def test_a_prompt_takes_nothing_in_fewer_bits_than_it_stores_itself(
    llama: LoadedModel, kv_dtype: Any, hit_tokens: int
) -> None:
    """Of 230 tokens all but the last 32 were rounded, the oldest of adaptive to 4 bits; of 70 the
    last 32 stay as they are and nothing is old."""
    ids = tuple((31 * i + 7) % 256 for i in range(230))
    under = RunConfig(prompt_ids=ids, kv_dtype=kv_dtype, max_new_tokens=2)
    cache = PrefixCache()
    run(llama, under, prefix=cache)
    cold = run(llama, under.replace(prompt_ids=ids[:70]))
    hit = run(llama, under.replace(prompt_ids=ids[:70]), prefix=cache)
    assert hit[0].reused is not None
    assert hit[0].reused.hit_tokens == hit_tokens
    assert hit[0].memory.kv_live_nbytes >= cold[0].memory.kv_live_nbytes
    assert ("in fewer bits" in hit[0].reused.reason) == (hit_tokens == 0)


# ---- rotary tables that depend on the text's length --------------------------------------------


def longrope() -> LoadedModel:
    """A tiny Phi-3 whose table is another one beyond 32 tokens."""
    torch.manual_seed(0)
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0, 8.0, 16.0, 32.0],
        "original_max_position_embeddings": 32,
        "factor": 4.0,
    }
    config = Phi3Config(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        original_max_position_embeddings=32,
        pad_token_id=0,
        eos_token_id=1,
        initializer_range=0.3,
        rope_parameters=rope,
    )
    return LoadedModel(Phi3ForCausalLM(config).eval())


@pytest.mark.parametrize(
    ("stored", "asked", "chunk", "hit_tokens"),
    [
        (50, 20, 512, 0),
        (20, 50, 512, 0),
        (20, 24, 512, 16),
        (50, 45, 512, 32),
        (60, 60, 16, 48),
        (60, 60, 24, 48),
        (60, 45, 24, 32),
    ],
)
def test_a_prompt_on_the_other_side_of_a_rotary_table_s_change_is_read_anew(
    stored: int, asked: int, chunk: int, hit_tokens: int
) -> None:
    model, cache = longrope(), PrefixCache()
    ids = tuple((31 * i + 7) % 128 for i in range(60))
    under = RunConfig(
        prompt_ids=ids, prefill_chunk=chunk, max_new_tokens=6, max_paths=4, entropy_threshold=0.1
    )
    run(model, under.replace(prompt_ids=ids[:stored]), prefix=cache)
    cold = run(model, under.replace(prompt_ids=ids[:asked]))
    hit = run(model, under.replace(prompt_ids=ids[:asked]), prefix=cache)
    reused = metrics.reused(hit)
    assert reused is not None
    assert reused.hit_tokens == hit_tokens
    assert tree_digest(hit) == tree_digest(cold)


def test_a_hit_that_would_shift_where_a_rotary_table_changes_is_not_taken() -> None:
    """In pieces of 24 tokens the table of 32 changes at 24; after a hit of 16 it would at 16."""
    model, cache = longrope(), PrefixCache()
    ids = tuple((31 * i + 7) % 128 for i in range(60))
    under = RunConfig(prompt_ids=ids, prefill_chunk=24, max_new_tokens=6)
    run(model, under, prefix=cache)
    other = under.replace(prompt_ids=ids[:16] + ids[:15:-1])
    hit = run(model, other, prefix=cache)
    reused = metrics.reused(hit)
    assert reused is not None
    assert (reused.hit_tokens, "first pass" in reused.reason) == (0, True)
    assert tree_digest(hit) == tree_digest(run(model, other))


def test_a_rotary_table_that_grows_with_the_text_is_not_reused(llama: LoadedModel) -> None:
    given = llama.module.config.to_dict()
    given["rope_parameters"] = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    model, cache = LoadedModel(LlamaForCausalLM(LlamaConfig(**given))), PrefixCache()
    ids = tuple(range(3, 43))
    for _ in range(2):
        trace = run(model, RunConfig(prompt_ids=ids, max_new_tokens=1), prefix=cache)
    reused = metrics.reused(trace)
    assert reused is not None
    assert "rotary table grows" in reused.reason
    assert cache.stats().blocks == 0
    assert cache.stats().queries == 80  # they count as missed


def test_the_prompt_s_length_and_slots_are_those_of_the_header(llama: LoadedModel) -> None:
    cache = PrefixCache()
    for changes in ({}, {"prefix_ids": (65, 66, 67)}):
        given = config(**changes)
        header, trace = prepare(llama, given), run(llama, given, prefix=cache)
        prefill = [step for step in trace if step.phase == "prefill"]
        assert sum(len(step.slots) for step in prefill) == len(header.prompt)
    assert cache.stats().pinned_blocks == 0
