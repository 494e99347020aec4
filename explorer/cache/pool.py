"""The pool: one store of key/value slots for all paths, and the table of who sees which slot.

A path is a row of bits over the slots. Everything one may ask is read off that table:

    slot              0 1 2 3 4 5 6 7      fork(parents)    visible[parents]: no key or value moves
    visible[0]        x x x x . x . .      reference count  visible.sum(0)
    visible[1]        x x x x . . x .      shared           count >= 2   (slots 0-3)
    reference count   2 2 2 2 0 1 1 0      private          count == 1   (slots 5, 6)
                                           free             count == 0   (slots 4, 7)

The table and the slots' depths are small and live on the host, as NumPy arrays; keys and values
live on the device. Slots are handed out lowest first and attention stops at the high-water mark,
so a short run never reads an empty pool.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from explorer.attention import TreeMask

MIN_GROWTH = 16  # slots
GROWTH = 0.1  # of the capacity: fewer copies than fixed chunks, at most a tenth unused


class PoolLayer(CacheLayerMixin):
    """Keys and values of one layer, `[1, num_kv_heads, capacity, head_dim]`.

    `update` scatters the states of a forward pass into the pool's current slots and answers with
    all slots below the high-water mark, whatever the batch of the pass was.
    """

    is_croppable = False
    is_sliding = False
    keys: torch.Tensor | None
    values: torch.Tensor | None

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self.pool = pool

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys = _empty_like(key_states, self.pool.capacity)
        self.values = _empty_like(value_states, self.pool.capacity)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`[rows, num_kv_heads, tokens, head_dim]` in; `[1, num_kv_heads, slots, head_dim]` out."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        if self.keys.shape[2] < self.pool.capacity:
            self.keys = _grown(self.keys, self.pool.capacity)
            self.values = _grown(self.values, self.pool.capacity)
        slots = self.pool.write_slots(self.keys.device)
        self.keys.index_copy_(2, slots, _as_slots(key_states))
        self.values.index_copy_(2, slots, _as_slots(value_states))
        high = self.pool.high_water
        return self.keys[:, :, :high], self.values[:, :, :high]

    def get_seq_length(self) -> int:
        return self.pool.num_written

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.pool.high_water, 0

    def get_max_length(self) -> int:
        return -1

    def release(self) -> None:
        """Drop the storage."""
        self.keys = self.values = None
        self.is_initialized = False

    @property
    def nbytes_per_slot(self) -> int:
        if self.keys is None or self.values is None:
            return 0
        return sum(t.shape[1] * t.shape[3] * t.element_size() for t in (self.keys, self.values))

    @property
    def nbytes(self) -> int:
        """Bytes of storage really allocated."""
        tensors = [t for t in (self.keys, self.values) if t is not None]
        return sum({t.data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


class Pool:
    """Slots, and `visible` `[num_layers or 1, paths, capacity]`: which path sees which slot.

    All layers share one table until a layer's bit is cleared by `evict`. `begin` hands out the
    slots of the next forward pass, which then fills them through the `cache`.
    """

    def __init__(self, num_layers: int) -> None:
        self.num_layers = num_layers
        self.cache = Cache(layers=[PoolLayer(self) for _ in range(num_layers)])
        self.visible = np.zeros((1, 1, 0), dtype=bool)
        self.slot_depth = np.zeros(0, dtype=np.int64)
        self.row_depth = np.zeros(1, dtype=np.int64)  # tokens each path has seen
        self.high_water = 0
        self.num_written = 0  # tokens written over the pool's life
        self._writing = np.zeros(0, dtype=np.int64)
        self._on_device: dict[torch.device, torch.Tensor] = {}

    @property
    def capacity(self) -> int:
        return self.slot_depth.shape[0]

    @property
    def num_rows(self) -> int:
        return self.visible.shape[1]

    @property
    def layers(self) -> list[PoolLayer]:
        return [layer for layer in self.cache.layers if isinstance(layer, PoolLayer)]

    def reference_count(self, layer_idx: int = 0) -> np.ndarray:
        """`[capacity]`: how many paths see each slot in a layer."""
        return np.asarray(self.visible[layer_idx if len(self.visible) > 1 else 0].sum(0))

    def used(self) -> np.ndarray:
        """`[capacity]` bool: slots that some path sees in some layer."""
        return np.asarray(self.visible.any(axis=(0, 1)))

    def begin(self, tokens_per_row: int = 1) -> TreeMask:
        """Give every path the slots of its next `tokens_per_row` tokens; the mask of that pass.

        More than one token a row is prefill and needs a single row. Grows the table if need be;
        the layers follow when they are written.
        """
        rows = self.num_rows
        assert rows and (tokens_per_row == 1 or rows == 1)
        slots = self._take(rows * tokens_per_row)
        owner = np.arange(rows).repeat(tokens_per_row)
        depth = self.row_depth.repeat(tokens_per_row) + np.tile(np.arange(tokens_per_row), rows)
        starts_text = tokens_per_row > 1 and self.row_depth[0] == 0
        in_order = bool(starts_text and slots[-1] == tokens_per_row - 1)
        self.visible[:, owner, slots] = True
        self.slot_depth[slots] = depth
        self.row_depth += tokens_per_row
        self.num_written += len(slots)
        self.high_water = int(np.flatnonzero(self.used())[-1]) + 1
        self._writing = slots
        self._on_device.clear()
        seen = self.visible[:, owner, : self.high_water]
        slot_depth = self.slot_depth[: self.high_water]
        if tokens_per_row > 1:
            seen = seen & (slot_depth[None, None, :] <= depth[None, :, None])
        return TreeMask(seen, slot_depth, depth, is_causal=in_order)

    def fork(self, parents: Sequence[int]) -> tuple[int, ...]:
        """Row `i` continues what was row `parents[i]`. Returns the slots this freed."""
        rows = np.asarray(parents, dtype=np.int64)
        if np.array_equal(rows, np.arange(self.num_rows)):
            return ()  # every path goes on: nothing to copy, nothing to free
        before = self.used()
        self.visible = self.visible[:, rows]
        self.row_depth = self.row_depth[rows]
        return self._free(before)

    def evict(self, layer_idx: int, row: int, slots: Sequence[int]) -> tuple[int, ...]:
        """Path `row` stops seeing `slots` in one layer. Returns the slots this freed."""
        before = self.used()
        if len(self.visible) == 1 and self.num_layers > 1:
            self.visible = self.visible.repeat(self.num_layers, axis=0)
        self.visible[layer_idx, row, list(slots)] = False
        return self._free(before)

    def _free(self, before: np.ndarray) -> tuple[int, ...]:
        used = self.used()
        held = np.flatnonzero(used)
        self.high_water = int(held[-1]) + 1 if len(held) else 0
        return tuple(np.flatnonzero(before & ~used).tolist())

    def _take(self, count: int) -> np.ndarray:
        free = np.flatnonzero(~self.used())
        if len(free) < count:
            self._grow(self.capacity + count - len(free))
            free = np.flatnonzero(~self.used())
        return free[:count]

    def _grow(self, needed: int) -> None:
        extra = needed + max(MIN_GROWTH, int(needed * GROWTH)) - self.capacity
        self.visible = np.pad(self.visible, ((0, 0), (0, 0), (0, extra)))
        self.slot_depth = np.pad(self.slot_depth, (0, extra))

    def write_slots(self, device: torch.device) -> torch.Tensor:
        """Slots of the pass under way, `[rows * tokens]`, on `device`."""
        if device not in self._on_device:
            self._on_device[device] = torch.from_numpy(self._writing).to(device, non_blocking=True)
        return self._on_device[device]

    @property
    def written(self) -> tuple[int, ...]:
        """Slots handed out by the last `begin`."""
        return tuple(self._writing.tolist())

    def close(self) -> None:
        """No rows, no slots, no storage."""
        self.visible = np.zeros((1, 0, 0), dtype=bool)
        self.slot_depth = np.zeros(0, dtype=np.int64)
        self.row_depth = np.zeros(0, dtype=np.int64)
        self.high_water = 0
        for layer in self.layers:
            layer.release()

    def check_integrity(self) -> None:
        """Assert what must hold between any two operations."""
        used = self.used()
        assert self.visible.shape == (len(self.visible), len(self.row_depth), self.capacity)
        assert len(self.visible) in (1, self.num_layers)
        assert not used[self.high_water :].any(), "a path sees a slot above the high-water mark"
        assert not self.high_water or used[self.high_water - 1], "the high-water mark is too high"
        writing = self._writing.tolist()
        assert len(set(writing)) == len(writing), "two rows write one slot"
        for layer in self.layers:
            held = self.high_water if layer.keys is None else layer.keys.shape[2]
            assert held >= self.high_water, "a path sees a slot without storage"
        for seen in self.visible:
            for row, bits in enumerate(seen):
                depths = self.slot_depth[bits]
                assert len(set(depths.tolist())) == len(depths), (
                    "a path sees two slots of one depth"
                )
                assert (depths < self.row_depth[row]).all(), "a path sees a slot of its future"


def _as_slots(states: torch.Tensor) -> torch.Tensor:
    """`[rows, heads, tokens, d]` -> `[1, heads, rows * tokens, d]`, row after row."""
    if states.shape[0] == 1:
        return states
    rows, heads, tokens, dim = states.shape
    return states.permute(1, 0, 2, 3).reshape(1, heads, rows * tokens, dim)


def _empty_like(states: torch.Tensor, capacity: int) -> torch.Tensor:
    _, heads, _, dim = states.shape
    return torch.zeros((1, heads, capacity, dim), dtype=states.dtype, device=states.device)


def _grown(store: torch.Tensor, capacity: int) -> torch.Tensor:
    new = torch.zeros(
        (1, store.shape[1], capacity, store.shape[3]), dtype=store.dtype, device=store.device
    )
    new[:, :, : store.shape[2]] = store
    return new
