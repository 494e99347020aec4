"""Reuse: what a run takes from a prefix cache before its prefill, and leaves in it after.

    lookup   the longest beginning of the prompt that is there, pinned
    fill     its keys and values into slots: the pass that follows sees them like its own
    store    the prompt's other blocks, copied out of the pool
    report   tokens hit and missed, and seconds saved

A prefix hit is slots filled before prefill; nothing else of a run changes.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
import uuid
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from explorer.backends import BACKENDS, Backend
from explorer.cache import disk
from explorer.cache.disk import Stored
from explorer.cache.nodes import Lease, Owner, Timed
from explorer.cache.quant import storage_of
from explorer.config import InputError, RunConfig
from explorer.events import Reused, Step

if TYPE_CHECKING:
    from explorer.cache.blocks import Block
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
        self._context = "" if is_off or self.reason else context(model, config, len(ids))
        length, chunk = rope_length(model), config.cache.prefill_chunk
        self._is_long = length < len(ids)
        self._changes = int(length) // chunk * chunk if self._is_long else 0  # the rotary table
        self._storages = [storage_of(config, layer) for layer in range(model.info.num_layers)]
        self._lease: Lease | None = None
        self._where = conditions(model, config)
        self._seconds = 0.0  # of look-up and copying
        self._passes: list[tuple[int, float]] = []  # positions, seconds
        self._stored = (0, 0)

    def fill(self) -> int:
        """Take what is there. Returns how many tokens need no pass."""
        cache = self._cache
        if cache is None:
            return 0
        if self.reason:
            cache.count_missed(len(self._ids))
            return 0
        began = perf_counter()
        least = self._config.cache.prefix_min_tokens
        self._lease = cache.lease(self._context, self._ids, least, self._usable)
        num_tokens = self._lease.num_hit * cache.block_size
        if num_tokens:
            for node in self._lease.nodes:
                try:
                    _ = node.block.buffer
                except InputError:
                    cache.forget(node)  # so that the next run computes it
                    raise
            self._backend.fill(self._ids[:num_tokens], self._lease.blocks)
            if self._backend.model.device.type == "cuda":
                torch.cuda.synchronize(self._backend.model.device)
        self._seconds = perf_counter() - began
        cache.looked(self._lease)
        return num_tokens

    def _usable(self, blocks: Sequence[Block]) -> int:
        """How many of `blocks`, the prompt's first, a cold run may have in their place: none in
        fewer bits than it stores, and none that would shift the pieces in which it reads a text
        whose rotary table changes on the way."""
        assert self._cache is not None
        size, usable = self._cache.block_size, 0
        for number, block in enumerate(blocks):
            depth = np.arange(number * size, (number + 1) * size)
            age = len(self._ids) - 1 - depth
            if any(
                storage is not None and (bits < storage.bits(depth, age)).any()
                for storage, bits in zip(self._storages, block.bits, strict=True)
            ):
                break
            usable = number + 1
        while usable * size < self._changes and usable * size % self._config.cache.prefill_chunk:
            usable -= 1
        if blocks and not usable:
            self.reason = "What is there lies in fewer bits than this run stores it in."
            if self._is_long:
                self.reason = "What is there ends within the first pass of a cold run."
        elif 0 < usable * size < self._config.cache.prefix_min_tokens:
            self.reason = f"{usable * size:,} tokens are there, less than prefix_min_tokens."
        return usable

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
        """By how much the keys and values that were hit are off at most from those that a run had
        stored; None: they are those. Of integer storage these are themselves rounded: later tokens
        of the prompt read them so, where a cold pass had read the numbers before rounding."""
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
        total, last = len(self._ids), self._lease.nodes[-1]
        of_all = last.whole_seconds.get(self._where, {}).get(total)
        if self._lease.cold is not None and self._lease.cold[0] == self._where:
            of_all = self._lease.cold[1]
            if len(self._lease.nodes) == total // self._cache.block_size:
                self._note(last.whole_seconds, total, of_all)
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
            self._note(nodes[number].cold_seconds, end, float(np.interp(end, ends, at)))
        if start == 0:
            self._note(nodes[-1].whole_seconds, len(self._ids), at[-1])

    def _note(self, seconds_of: Timed, num_tokens: int, seconds: float) -> None:
        """The least that was measured: the first pass of a process takes longer than it must."""
        known = seconds_of.setdefault(self._where, {})
        known[num_tokens] = min(known.get(num_tokens, seconds), seconds)

    def close(self) -> None:
        """The run is over. May be called twice."""
        if self._cache is not None and self._lease is not None:
            self._cache.release(self._lease)


@lru_cache
def machine() -> str:
    """Stands for this machine and no other: seconds measured elsewhere say nothing here."""
    return hashlib.sha256(f"{uuid.getnode()} {platform.processor()}".encode()).hexdigest()[:16]


def conditions(model: LoadedModel, config: RunConfig) -> str:
    """What seconds depend on beside the text: those measured otherwise say nothing of this run."""
    device = model.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    kernel = f"{config.attention_kernel}{' compiled' * config.compile}"
    pieces = f"{config.cache.prefill_chunk} tokens a pass"
    return f"{machine()} {name}, {torch.get_num_threads()} threads, {kernel}, {pieces}"


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
    if any(kind == "dynamic" for kind, _ in ropes(model)):
        return "The model's rotary table grows with the text, so equal beginnings have other keys."
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


def ropes(model: LoadedModel) -> Iterator[tuple[Any, float]]:
    """Kind of every rotary table of the model, and up to how many tokens its first form holds."""
    config = model.module.config.get_text_config(decoder=True)
    found = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    parts = [part for part in found.values() if isinstance(part, dict)] or [found]
    for part in parts:  # one for every kind of layer where these differ
        names = "original_max_position_embeddings", "max_position_embeddings"
        lengths = [part.get(names[0]), *(getattr(config, name, None) for name in names)]
        length = next((float(length) for length in lengths if length is not None), math.inf)
        yield part.get("rope_type", part.get("type", "default")), length


def rope_length(model: LoadedModel) -> float:
    """From more tokens on the whole text's rotary table is another one (longrope)."""
    return min((length for kind, length in ropes(model) if kind == "longrope"), default=math.inf)


def context(model: LoadedModel, config: RunConfig, num_tokens: int) -> str:
    """What keys and values depend on beside the tokens: the model, its number format, for quantised
    storage the format and in which pieces the prompt is read, and, where the prompt's `num_tokens`
    are beyond the first form of the rotary table, that they are."""
    cache = config.cache
    storage = "model"
    if cache.kv_dtype != "model":
        of = cache.kv_dtype, cache.kv_group, cache.kv_recent, cache.prefill_chunk
        storage = f"{of}, {config.eviction.sinks} sinks"
    if num_tokens > rope_length(model):
        storage += f", long, {cache.prefill_chunk} tokens a pass"
    if config.against_float32:  # what rounding did is this kernel's own
        storage += f", {config.attention_kernel}{' compiled' * config.compile}"
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
