"""Quantised storage of a pool's layer: which slots are kept whole, which as small integers.

KIVI (Liu et al. 2024, arXiv:2402.02750): keys are quantised per channel, because a few channels
are large in every token, and values per token; the most recent tokens stay in full precision.

    slot        0 1 2 3 4 5 6 7 8 9          places      slots    0 1 2 3 | 4 5 7 8 | 6 9
    stored as   i i i i i i f i i f          8 bits      codes    a a a a   b b b b
    group       a a a a b b . b b .          full        states                       x x
                                             scales      keys     a b

A slot has a place in one of the layer's tables: states in full precision, 8-bit codes or two
4-bit codes to a byte. New tokens come into the first; once `group` of them are older than
`recent` tokens for every path that sees them, they become a group of codes with one scale and
zero point for each key channel. What leaves gives its place back: tables are as long as they
need to be, in steps of `group` places, and a group none of whose slots is seen gives back its
scales. A group with an eighth of its slots or fewer goes back to full precision, so that scales
never outweigh what they scale; its slots read as before, and join a later group.

Nothing here knows of paths: fork, prune and evict copy and clear bits of the pool's table, and a
layer keeps what some bit still asks for. On short texts `recent` and the incomplete group are most
of what there is; four bits are off by up to a thirtieth of a group's range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from explorer.cache.base import PoolLayer
from explorer.cache.blocks import FULL, Segment
from explorer.cache.storage import Storage
from explorer.cache.tables import CodeTable, Table, device_index

if TYPE_CHECKING:
    from explorer.cache.pool import Pool
    from explorer.config import RunConfig

NOWHERE = 0  # bits of a slot that holds nothing
HOLLOW = 8  # a group with a share of 1 / HOLLOW of its slots or less is given up
NEVER = np.iinfo(np.int64).max


class QuantLayer(PoolLayer):
    """Keys and values of one layer in mixed precision, as the module's drawing has it."""

    def __init__(self, pool: Pool, layer_idx: int, storage: Storage) -> None:
        super().__init__(pool, layer_idx)
        self.storage = storage
        self.release()

    def release(self) -> None:
        """Drop the storage."""
        self.full: Table | None = None
        self.codes: dict[int, CodeTable] = {}
        self.slot_bits = np.zeros(0, dtype=np.int64)  # NOWHERE, 4, 8 or FULL
        self._place = np.zeros(0, dtype=np.int64)  # in the table of its bits
        self._scales = np.zeros(0, dtype=np.int64)  # place of its group's scales
        self.is_initialized = False

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        states = key_states, value_states
        widths, dtypes = [t.shape[-1] for t in states], [t.dtype for t in states]
        group = self.storage.group
        self.full = Table(widths, dtypes, key_states, group)
        self.codes = {
            bits: CodeTable(bits, group, self.storage.value_group(bits, widths[1]), *states)
            for bits in self.storage.precisions
        }
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`[rows, num_kv_heads, tokens, head_dim]` in; `[1, num_kv_heads, slots, head_dim]` out.

        What comes out is a workspace: dequantised for this pass, gone after it, and not counted as
        storage. The tokens of the pass are in it as they came, however they are stored after it.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.cover()
        slots = self.pool.writing(self.layer_idx)
        keys, values = self.gather(np.arange(self.pool.high_water_of(self.layer_idx)))
        index = device_index(slots, keys)
        keys[0].index_copy_(1, index, key_states.transpose(0, 1).flatten(1, 2))
        values[0].index_copy_(1, index, value_states.transpose(0, 1).flatten(1, 2))
        self._store(slots, keys[0], values[0])
        return keys, values

    def cover(self) -> None:
        """Know of all the slots that the pool counts on."""
        missing = (0, max(self.pool.capacity - len(self.slot_bits), 0))
        self.slot_bits = np.pad(self.slot_bits, missing)
        self._place, self._scales = np.pad(self._place, missing), np.pad(self._scales, missing)

    def gather(self, slots: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of `slots` `[1, num_kv_heads, len(slots), head_dim]`, dequantised; 0
        where nothing is stored."""
        assert self.full is not None
        work = [t.new_zeros((1, t.shape[0], len(slots), t.shape[2])) for t in self.full.tensors]
        for bits in (FULL, *self.codes):
            at = np.flatnonzero(self.slot_bits[slots] == bits)
            if len(at) == 0:
                continue
            index, places = device_index(at, work[0]), self._place[slots[at]]
            if bits == FULL:
                keys, values = self.full.get(places)
            else:
                keys, values = self.codes[bits].read(places, self._scales[slots[at]])
            for out, part in zip(work, (keys, values), strict=True):
                out[0].index_copy_(1, index, part.to(out.dtype))
        return work[0], work[1]

    def replace(self, slots: np.ndarray, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Replace the keys and values of `slots`, `[1, num_kv_heads, len(slots), head_dim]`; they
        are in full precision until they join a group again."""
        self.cover()
        self._keep(slots, keys[0], values[0])
        self._fit()

    def fill(self, slots: np.ndarray, segments: Sequence[Segment]) -> None:
        """Store `segments` in `slots` as they are: codes as codes, beside the scales they came
        with. What is in bits that this layer does not use is in full precision from now on."""
        if not self.is_initialized:
            self.lazy_initialization(*(states[None] for states in segments[0].read()))
        self.cover()
        ends = np.cumsum([segment.num_tokens for segment in segments])
        pieces = list(zip(np.split(slots, ends[:-1]), segments, strict=True))
        for bits, codes in self.codes.items():
            own = [(at, segment) for at, segment in pieces if segment.bits == bits]
            if own:
                places, held = np.concatenate([at for at, _ in own]), self.slot_bits == bits
                taken = self._place[held], self._scales[held]
                self._place[places], self._scales[places] = codes.add([s for _, s in own], *taken)
                self.slot_bits[places] = bits
        whole = [(at, segment.read()) for at, segment in pieces if segment.bits not in self.codes]
        if whole:
            keys, values = (torch.cat(part, 1) for part in zip(*(s for _, s in whole), strict=True))
            self._keep(np.concatenate([at for at, _ in whole]), keys, values)
        self._fit()

    def cut(self, slots: np.ndarray, size: int) -> list[list[Segment]]:
        """What is stored in `slots`, as it is stored: segments for every `size` slots, each of
        codes that share the scales of their keys, or in full precision."""
        bits = self.slot_bits[slots]
        group = np.where(bits == FULL, -1, self._scales[slots])
        starts = np.arange(len(slots)) % size == 0
        starts[1:] |= (np.diff(bits) != 0) | (np.diff(group) != 0)
        blocks: list[list[Segment]] = [[] for _ in range(-(-len(slots) // size))]
        edges = [*np.flatnonzero(starts).tolist(), len(slots)]
        for start, stop in pairwise(edges):
            blocks[start // size].append(self._segment(slots[start:stop]))
        return blocks

    def _segment(self, slots: np.ndarray) -> Segment:
        """Slots that are stored alike."""
        assert self.full is not None
        (key, value), dtype = self.full.widths, self.full.tensors[0].dtype
        widths = key, value
        bits, places = int(self.slot_bits[slots[0]]), self._place[slots]
        if bits == FULL:
            return Segment(FULL, dtype, widths, widths[1], (*self.full.get(places),))
        codes = self.codes[bits]
        tensors = *codes.rows.get(places), *codes.scales.get(self._scales[slots[:1]])
        return Segment(bits, dtype, widths, codes.value_group, tensors)

    def forget(self, slots: np.ndarray) -> None:
        """No path sees `slots` in this layer any more: give their places back."""
        self.slot_bits[slots[slots < len(self.slot_bits)]] = NOWHERE
        self._fit()

    def _store(self, new: np.ndarray, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Decide how every slot is stored from now on; `keys` and `values` hold all of them."""
        homeless = np.concatenate([new, *(self._hollow(bits) for bits in self.codes)])
        self.slot_bits[homeless] = FULL
        slots, wanted = self._wanted()
        for bits in self.codes:
            chosen = slots[(wanted == bits) & (self.slot_bits[slots] > bits)]
            group = self.storage.group
            self._encode(bits, chosen[: len(chosen) // group * group], keys, values)
        stay = homeless[self.slot_bits[homeless] == FULL]
        index = device_index(stay, keys)
        self._keep(stay, keys.index_select(1, index), values.index_select(1, index))
        self._fit()

    def _keep(self, slots: np.ndarray, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Store `slots` in full precision, wherever they were; `[num_kv_heads, len(slots), d]`."""
        assert self.full is not None
        is_held = self.slot_bits == FULL
        is_held[slots] = False
        self.slot_bits[slots] = FULL
        self._place[slots] = self.full.take(len(slots), self._place[is_held])
        self.full.put(self._place[slots], keys, values)

    def _wanted(self) -> tuple[np.ndarray, np.ndarray]:
        """The slots that could be stored in fewer bits, in the order of the text, and in how many
        each should be."""
        slots = np.flatnonzero(self.slot_bits > min(self.codes))
        depth = self.pool.depth(self.layer_idx)[slots]
        slots, depth = (part[np.lexsort((slots, depth))] for part in (slots, depth))
        seen = self.pool.seen(self.layer_idx)[:, slots]
        shortest = np.where(seen, self.pool.row_depth[:, None], NEVER).min(axis=0, initial=NEVER)
        return slots, self.storage.bits(depth, shortest - 1 - depth)

    def _hollow(self, bits: int) -> np.ndarray:
        """Slots of the groups that have lost nearly all of theirs."""
        slots = np.flatnonzero(self.slot_bits == bits)
        scales = self._scales[slots]
        left = np.bincount(scales, minlength=1)
        return slots[left[scales] <= self.storage.group // HOLLOW]

    def _encode(
        self, bits: int, slots: np.ndarray, keys: torch.Tensor, values: torch.Tensor
    ) -> None:
        """Store `slots` as groups, a multiple of `group` neighbours."""
        if len(slots) == 0:
            return
        codes, held, index = self.codes[bits], self.slot_bits == bits, device_index(slots, keys)
        places = codes.rows.take(len(slots), self._place[held])
        scales = codes.scales.take(len(slots) // self.storage.group, self._scales[held])
        codes.write(places, scales, keys.index_select(1, index), values.index_select(1, index))
        self.slot_bits[slots], self._place[slots] = bits, places
        self._scales[slots] = scales.repeat(self.storage.group)

    def _fit(self) -> None:
        """Tables as short as what is left of them."""
        if self.full is None:
            return
        slots = np.flatnonzero(self.slot_bits == FULL)
        self._place[slots] = self.full.fit(self._place[slots])
        for bits, codes in self.codes.items():
            slots = np.flatnonzero(self.slot_bits == bits)
            self._place[slots] = codes.rows.fit(self._place[slots])
            self._scales[slots] = codes.scales.fit(self._scales[slots])

    @property
    def tables(self) -> list[Table]:
        """All that is stored: full-precision states, codes, scales and zero points."""
        coded = [table for codes in self.codes.values() for table in (codes.rows, codes.scales)]
        return coded if self.full is None else [self.full, *coded]

    @property
    def nbytes(self) -> int:
        """Bytes of storage really allocated."""
        return sum(t.untyped_storage().nbytes() for table in self.tables for t in table.tensors)

    def live_nbytes(self, seen: np.ndarray) -> int:
        """Bytes of what some of the paths `seen` `[rows, slots]` see, each slot and scale once."""
        return self.logical_nbytes(np.any(seen, axis=0, keepdims=True))

    def logical_nbytes(self, seen: np.ndarray) -> int:
        """Bytes that copies of their own would take the paths, stored as they are here."""
        if self.full is None:
            return 0
        bits = self.slot_bits[: seen.shape[1]]
        total = int(seen[:, bits == FULL].sum()) * self.full.nbytes_per_place
        for precision, codes in self.codes.items():
            slots = np.flatnonzero(bits == precision)
            slots = slots[np.argsort(self._scales[slots], kind="stable")]
            total += int(seen[:, slots].sum()) * codes.rows.nbytes_per_place
            if len(slots):
                starts = np.flatnonzero(np.diff(self._scales[slots], prepend=-1))
                groups = np.logical_or.reduceat(seen[:, slots], starts, axis=1)
                total += int(groups.sum()) * codes.scales.nbytes_per_place
        return total


def layer_types(config: RunConfig | None) -> Callable[[Pool, int], PoolLayer]:
    """How the pool of a run makes its layers; without a run, in the model's own number format."""

    def make(pool: Pool, layer_idx: int) -> PoolLayer:
        storage = None if config is None else storage_of(config, layer_idx)
        if storage is None:
            return PoolLayer(pool, layer_idx)
        return QuantLayer(pool, layer_idx, storage)

    return make


def storage_of(config: RunConfig, layer_idx: int) -> Storage | None:
    """How a run stores a layer; None: in the model's own number format."""
    cache, given = config.cache, config.cache.kv_dtype
    name = given if isinstance(given, str) else given[layer_idx]
    if name == "model":
        return None
    return Storage(name, cache.kv_group, cache.kv_recent, config.eviction.sinks)
