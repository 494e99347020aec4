"""What each backend says it stores, against the storage that is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch

from explorer.backends import BACKENDS, Backend, num_open
from explorer.backends.batched import BatchedBackend
from explorer.backends.cow import CowBackend
from explorer.backends.deepcopy import DeepCopyBackend
from explorer.backends.naive import NaiveBackend
from explorer.backends.recompute import RecomputeBackend
from explorer.config import RunConfig
from explorer.events import Memory
from explorer.generate import run
from explorer.metrics import counters
from explorer.models import LoadedModel
from tests import architectures

PROMPT = tuple(range(3, 13))
ARCHITECTURES = ("llama", "gemma3_mixed")


@cache
def loaded(name: str) -> LoadedModel:
    return LoadedModel(architectures.build(name), name=name)


def tensors_of(backend: Backend) -> list[torch.Tensor]:
    """Every key and value tensor that the backend holds, found by looking."""
    if isinstance(backend, CowBackend):
        caches = [backend.pool.cache]
    elif isinstance(backend, BatchedBackend):
        caches = [backend.cache]
    elif isinstance(backend, DeepCopyBackend | NaiveBackend):
        caches = backend.caches
    else:
        return []
    layers = [layer for cache in caches for layer in cache.layers]
    return [t for layer in layers for t in (layer.keys, layer.values) if t is not None]


def branched(name: str, model: LoadedModel) -> Iterator[tuple[Backend, Memory]]:
    """The backend and its memory through a prefill, forks, prunes and decodes."""
    backend = BACKENDS[name](model)
    forks = ((0, 0, 0), (0, 1, 2), (2, 0), (0, 0, 1), (0, 1, 2)) if backend.is_tree else ((0,),) * 5
    try:
        backend.prefill(PROMPT)
        yield backend, backend.stats()
        for step, parents in enumerate(forks):
            backend.fork(parents)
            yield backend, backend.stats()
            backend.decode([step + 5 * row for row in range(len(parents))])
            yield backend, backend.stats()
    finally:
        backend.close()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", BACKENDS)
def test_bytes_are_those_of_the_distinct_storages(name: str, architecture: str) -> None:
    for backend, memory in branched(name, loaded(architecture)):
        storages = {
            t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
            for t in tensors_of(backend)
            if t.numel()
        }
        assert memory.kv_nbytes == sum(storages.values())
        assert memory.kv_live_nbytes <= memory.kv_nbytes
        assert (memory.kv_nbytes == 0) == (name == "recompute")


@pytest.mark.parametrize("name", ["cow", "batched", "deepcopy", "naive"])
def test_live_bytes_are_unique_tokens_times_bytes_per_token(name: str) -> None:
    model = loaded("llama")
    for _, memory in branched(name, model):
        each = model.info.kv_nbytes_per_token
        assert memory.kv_live_nbytes == memory.unique_kv_tokens * each
        assert memory.kv_logical_nbytes == memory.logical_kv_tokens * each
        assert memory.layers == (memory.unique_kv_tokens,) * 2
        assert memory.shared_kv_tokens + memory.private_kv_tokens == memory.unique_kv_tokens


def test_the_pool_counts_shared_private_and_logical_tokens() -> None:
    """By hand: 10 prompt tokens, then what each fork and decode adds or frees."""
    found = [
        (m.unique_kv_tokens, m.logical_kv_tokens, m.shared_kv_tokens, m.private_kv_tokens)
        for _, m in branched("cow", loaded("llama"))
    ]
    assert found == [
        (10, 10, 0, 10),  # the prompt, one path
        (10, 30, 10, 0),  # three paths see it
        (13, 33, 10, 3),  # a token each
        (13, 33, 10, 3),  # nothing forks
        (16, 36, 10, 6),
        (14, 24, 10, 4),  # path 1 is pruned: its two tokens are free
        (16, 26, 10, 6),
        (16, 39, 13, 3),  # the first of two forks: 3 tokens more are shared
        (19, 42, 13, 6),
        (19, 42, 13, 6),
        (22, 45, 13, 9),
    ]


def test_the_others_hold_every_path_whole() -> None:
    for name in ("batched", "deepcopy"):
        found = [m.unique_kv_tokens for _, m in branched(name, loaded("llama"))]
        assert found == [10, 30, 33, 33, 36, 24, 26, 39, 42, 42, 45]
        shared = [m.shared_kv_tokens for _, m in branched(name, loaded("llama"))]
        assert set(shared) == {0}


def test_sliding_window_layers_are_counted_as_they_are_stored() -> None:
    """Transformers' cache keeps the window less one; the pool keeps every slot that is seen."""
    window = architectures.WINDOW
    *_, (_, batched) = branched("batched", loaded("gemma3_mixed"))
    assert batched.layers == (3 * (window - 1), 3 * 15)
    *_, (_, cow) = branched("cow", loaded("gemma3_mixed"))
    assert cow.layers == (22, 22)


def test_every_layers_occupancy_really_fills() -> None:
    """A hook that misses a layer leaves its storage empty: look at the numbers themselves."""
    for backend, memory in branched("cow", loaded("llama")):
        assert isinstance(backend, CowBackend)
        used = backend.pool.used()
        for layer, live in zip(backend.pool.layers, memory.layers, strict=True):
            assert layer.keys is not None
            written = (layer.keys[0].abs().sum(dim=(0, 2)) > 0).numpy()
            assert written[used].all()
            assert live == used.sum()


def test_what_the_parent_wrote_keeps_its_hash_after_its_children_wrote() -> None:
    backend = CowBackend(loaded("llama"))

    def hashes(slots: np.ndarray) -> list[str]:
        index = torch.from_numpy(slots)
        return [
            hashlib.sha256(t.index_select(2, index).numpy().tobytes()).hexdigest()
            for t in tensors_of(backend)
        ]

    backend.prefill(PROMPT)
    backend.decode([1])
    parents_slots = np.flatnonzero(backend.pool.visible[0, 0])
    before = hashes(parents_slots)
    assert len(set(before)) == 4
    addresses = [t.data_ptr() for t in tensors_of(backend)]
    backend.fork([0, 0, 0])
    assert [t.data_ptr() for t in tensors_of(backend)] == addresses
    for step in range(4):
        backend.decode([step, 10 + step, 20 + step])
    assert hashes(parents_slots) == before
    assert len(set(map(tuple, backend.pool.visible[0]))) == 3
    backend.close()


def test_a_deep_copy_leaves_the_first_child_its_parents_cache_and_copies_for_the_others() -> None:
    backend = DeepCopyBackend(loaded("llama"))
    backend.prefill(PROMPT)
    [parent] = backend.caches
    backend.fork([0, 0])
    assert backend.caches[0] is parent
    addresses = {t.data_ptr() for t in tensors_of(backend)}
    assert len(addresses) == 2 * 2 * 2  # caches, layers, keys and values
    backend.close()


@pytest.mark.parametrize("name", BACKENDS)
def test_a_closed_backend_holds_nothing_and_may_be_closed_again(name: str) -> None:
    backend = BACKENDS[name](loaded("llama"))
    backend.prefill(PROMPT)
    assert num_open() == 1
    backend.close()
    backend.close()
    assert num_open() == 0
    memory = backend.stats()
    assert memory.kv_nbytes == memory.kv_live_nbytes == memory.unique_kv_tokens == 0
    assert sum(t.numel() for t in tensors_of(backend)) == 0


def test_a_long_run_allocates_at_most_15_percent_more_than_it_ever_uses() -> None:
    module = architectures.build("llama", max_position_embeddings=256)
    model = LoadedModel(module, name="llama")
    config = RunConfig(
        prompt_ids=tuple(i % 60 for i in range(100)),
        select="arithmetic",  # prunes nothing: 24 paths of 60 tokens
        max_paths=24,
        max_new_tokens=60,
    )
    trace = run(model, config)
    count = counters(trace)
    used = count["unique_kv_tokens_peak"] * model.info.kv_nbytes_per_token
    assert count["unique_kv_tokens_peak"] > 1000
    assert count["kv_nbytes_peak"] / used <= 1.15
    assert used == count["kv_live_nbytes_peak"]


def test_recompute_counts_every_position_again() -> None:
    backend = RecomputeBackend(loaded("llama"))
    assert backend.prefill(PROMPT).positions == 10
    backend.fork([0, 0])
    assert backend.decode([1, 2]).positions == 22
    backend.close()


def test_a_slot_evicted_in_one_layer_is_missing_in_that_layers_counts_alone() -> None:
    backend = CowBackend(loaded("llama"))
    backend.prefill(PROMPT)
    backend.fork([0, 0])
    each = backend.model.info.kv_nbytes_per_token // 2  # of one layer
    assert backend.pool.evict(1, 0, [4]) == ()  # path 1 sees it still
    assert backend.pool.evict(1, 1, [4, 5]) == (4,)  # of that layer alone
    memory = backend.stats()
    assert memory.layers == (10, 9)
    assert memory.kv_live_nbytes == 19 * each
    assert memory.kv_logical_nbytes == (20 + 17) * each
    assert (memory.unique_kv_tokens, memory.logical_kv_tokens) == (10, 20)
    assert (memory.shared_kv_tokens, memory.private_kv_tokens) == (10, 0)
    assert backend.pool.evict(0, 0, [4]) == ()
    assert backend.stats().private_kv_tokens == 1  # of the layer that holds most
    assert backend.pool.evict(0, 1, [4]) == (4,)
    assert backend.stats().unique_kv_tokens == 9
    assert backend.stats().layers == (9, 9)
    backend.close()
