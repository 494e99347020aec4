"""Reuse: what a run takes from a prefix cache before its prefill, and leaves in it after.

    lookup   the longest beginning of the prompt that is there, pinned
    fill     its keys and values into slots: the pass that follows sees them like its own
    store    the prompt's other blocks, copied out of the pool
    report   tokens hit and missed, and seconds saved

A prefix hit is slots filled before prefill; nothing else of a run changes.
"""

from __future__ import annotations

import hashlib
import os
import platform
import uuid
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import torch

from explorer.backends import BACKENDS, Backend
from explorer.cache import disk
from explorer.cache.disk import Stored
from explorer.cache.nodes import Lease, Node, Owner
from explorer.config import RunConfig
from explorer.events import Reused, Step

if TYPE_CHECKING:
    from explorer.cache.prefix import PrefixCache
    from explorer.models import LoadedModel


class Reuse:
    """One run's dealings with the cache. Does nothing without a cache, or with `prefix_use` off.

    Under a policy the prompt is read anew where the policy has to see its attention (h2o, lru,
    count_min, count_sketch, race, an adaptive budget): what it has not observed it would evict
    first. The same where evictions or `topk` change what the prompt's own tokens attend to: a
    prompt beyond its budget, and the strategies topk and aggregate. So window, fifo and random
    reuse any prompt within their budget. `reason` says which it was.
    """

    def __init__(
        self,
        prefix: PrefixCache | None,
        model: LoadedModel,
        config: RunConfig,
        backend: Backend,
        ids: tuple[int, ...],
    ) -> None:
        is_off = prefix is None or config.cache.prefix_use == "off"
        self._cache = None if is_off else prefix
        self._config, self._backend, self._ids = config, backend, ids
        self.reason = "" if is_off else why_not(model, config, backend)
        self._context = "" if is_off or self.reason else context(model, config)
        self._lease: Lease | None = None
        self._where = f"{machine()} {model.device.type}"
        self._seconds = 0.0  # of look-up and copying
        self._passes: list[tuple[int, float]] = []  # positions, seconds
        self._stored = (0, 0)

    def fill(self) -> int:
        """Take what is there. Returns how many tokens need no pass."""
        cache = self._cache
        if cache is None or self.reason:
            return 0
        began = perf_counter()
        self._lease = cache.lease(self._context, self._ids, self._config.cache.prefix_min_tokens)
        num_tokens = self._lease.num_hit * cache.block_size
        if num_tokens:
            self._backend.fill(self._ids[:num_tokens], self._lease.blocks)
            if self._backend.model.device.type == "cuda":
                torch.cuda.synchronize(self._backend.model.device)
        self._seconds = perf_counter() - began
        return num_tokens

    def passed(self, step: Step) -> None:
        """A pass of the prefill is over."""
        self._passes.append((step.positions, step.seconds))

    def store(self) -> None:
        """The prompt has been read: leave what is new of it."""
        cache, settings = self._cache, self._config.cache
        if cache is None or self._lease is None or settings.prefix_use == "read":
            return
        if self._error():
            return  # what was computed over rounded keys and values is nobody else's
        if len(self._ids) >= settings.prefix_min_tokens:
            size, cut = cache.block_size, self._backend.cut
            self._stored = cache.extend(
                self._lease, lambda first, end: cut(first * size, end * size, size)
            )

    def report(self) -> Reused | None:
        """What came of it, once the last pass of the prefill is over; None without a cache."""
        cache = self._cache
        if cache is None:
            return None
        hit = 0 if self._lease is None else self._lease.num_hit * cache.block_size
        seconds, cold_seconds, cold_tokens = self._compared(hit)
        saved = 0.0 if not hit else None if cold_seconds is None else cold_seconds - seconds
        cache.count_saved(saved or 0.0)
        stats = cache.stats()
        return Reused(
            hit_tokens=hit,
            miss_tokens=len(self._ids) - hit,
            hit_blocks=hit // cache.block_size,
            stored_blocks=self._stored[0],
            evicted_blocks=self._stored[1],
            blocks=stats.blocks,
            nbytes=stats.nbytes,
            seconds=seconds,
            cold_seconds=cold_seconds,
            cold_tokens=cold_tokens,
            seconds_saved=saved,
            max_abs_error=self._error(),
            reason=self.reason,
        )

    def _error(self) -> float | None:
        """By how much the keys and values that were hit are off at most; None: they are exact."""
        blocks = self._lease.blocks[: self._lease.num_hit] if self._lease is not None else []
        return max((block.max_abs_error for block in blocks), default=0.0) or None

    def _compared(self, hit: int) -> tuple[float, float | None, int]:
        """Seconds this run took, seconds a cold one took, and for how many tokens. What this run
        computed is remembered beside its blocks first."""
        if self._lease is None or self._cache is None or not self._lease.nodes:
            return self._seconds, None, 0
        last_hit = self._lease.nodes[max(hit // self._cache.block_size - 1, 0)]
        of_hit = last_hit.cold_seconds.get(self._where, {}).get(hit) if hit else 0.0
        if of_hit is not None:
            self._remember(hit, of_hit)
        total = len(self._ids)
        of_all = self._lease.nodes[-1].cold_seconds.get(self._where, {}).get(total)
        if hit and of_all is not None:
            return self._seconds + sum(spent for _, spent in self._passes), of_all, total
        return self._seconds, of_hit if hit else None, hit

    def _remember(self, start: int, seconds: float) -> None:
        """The passes computed the tokens from `start` on, those before had taken `seconds`: what a
        cold prefill takes up to the end of each block, a pass's seconds shared evenly among its
        tokens; and, if this was one, up to the end of the prompt."""
        assert self._lease is not None and self._cache is not None
        ends, at = [float(start)], [seconds]
        for positions, spent in self._passes:
            ends.append(ends[-1] + positions)
            at.append(at[-1] + spent)
        size, nodes = self._cache.block_size, self._lease.nodes
        for number in range(start // size, len(nodes)):
            end = (number + 1) * size
            self._note(nodes[number], end, float(np.interp(end, ends, at)))
        if start == 0:
            self._note(nodes[-1], len(self._ids), at[-1])

    def _note(self, node: Node, num_tokens: int, seconds: float) -> None:
        """The least that was measured: the first pass of a process takes longer than it must."""
        known = node.cold_seconds.setdefault(self._where, {})
        known[num_tokens] = min(known.get(num_tokens, seconds), seconds)

    def close(self) -> None:
        """The run is over. May be called twice."""
        if self._cache is not None and self._lease is not None:
            self._cache.release(self._lease)


@lru_cache
def machine() -> str:
    """Stands for this machine and no other: seconds measured elsewhere say nothing here."""
    return hashlib.sha256(f"{uuid.getnode()} {platform.processor()}".encode()).hexdigest()[:16]


def why_not(model: LoadedModel, config: RunConfig, backend: Backend) -> str:
    """Why the run reads its prompt anew whatever the cache holds, a sentence; "" if it need not."""
    name, eviction = config.cache.backend, config.eviction
    if not backend.can_reuse:
        able = [other for other, kind in BACKENDS.items() if kind.can_reuse]
        return f"The {name} backend has no pool to fill; {' and '.join(able)} can reuse a prompt."
    if getattr(model.module.config, "is_encoder_decoder", False):
        return "What the decoder read depends on the encoder's text as well."
    if len(set(getattr(model.module, "hf_device_map", {}).values())) > 1:
        return "The model's layers lie on several devices."
    evictor = getattr(backend, "evictor", None)
    if evictor is None:
        return ""
    if evictor.needs_attention or evictor.needs_states:
        return f"{eviction.policy} has to see what the prompt attends to, so it is read anew."
    if eviction.strategy != "evict":
        return f"Under {eviction.strategy} the prompt's tokens attend to less than all before them."
    if evictor.chunk is not None:
        return "The prompt is longer than its budget: tokens leave while it is read."
    return ""


def context(model: LoadedModel, config: RunConfig) -> str:
    """What keys and values depend on beside the tokens: the model, its number format, and, for
    quantised storage, the format and in which pieces the prompt is read."""
    cache = config.cache
    storage = "model"
    if cache.kv_dtype != "model":
        of = cache.kv_dtype, cache.kv_group, cache.kv_recent, cache.prefill_chunk
        storage = f"{of}, {config.eviction.sinks} sinks"
    return owner(model).context(storage)


def save_prefix(
    cache: PrefixCache,
    folder: str | os.PathLike[str],
    model: LoadedModel,
    kv_dtype: str = "model",
) -> Stored:
    """Write the blocks of `model` to a folder, in one move; `kv_dtype` int8: rounded, and by how
    much is said. Raises InputError where that cannot be."""
    return disk.save(cache, Path(folder), owner(model), kv_dtype)


def load_prefix(cache: PrefixCache, folder: str | os.PathLike[str], model: LoadedModel) -> Stored:
    """Put a folder's blocks into `cache`, mapped: read when they are hit. Raises InputError for a
    folder of another model, number format, block size or version, or a damaged one."""
    return disk.load(cache, Path(folder), owner(model))


def owner(model: LoadedModel) -> Owner:
    """Whose keys and values these are."""
    return Owner(model.info.name, model.fingerprint, model.info.dtype)
