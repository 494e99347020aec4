"""The pool: one store of key/value slots for all paths, and the table of who sees which slot.

A path is a row of bits over the slots. Everything one may ask is read off that table:

    slot              0 1 2 3 4 5 6 7      fork(parents)    visible[parents]: no key or value moves
    visible[0]        x x x x . x . .      reference count  visible.sum(0)
    visible[1]        x x x x . . x .      shared           count >= 2   (slots 0-3)
    reference count   2 2 2 2 0 1 1 0      private          count == 1   (slots 5, 6)
                                           free             count == 0   (slots 4, 7)

All layers share one table until one of them loses a slot that the others keep. From then on each
has a table, slots and free slots of its own: a budget of C slots a layer takes C slots a layer,
whatever the layers disagree on.

The tables are small and live on the host, as NumPy arrays; keys and values live on the device.
Slots are handed out lowest first and attention stops at the high-water mark, so a short run never
reads an empty pool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache

from explorer.attention import TreeMask
from explorer.cache.base import PoolLayer

MIN_GROWTH = 16  # slots
GROWTH = 0.1  # of the capacity: fewer copies than fixed chunks, at most a tenth unused


class Pool:
    """Slots, and `visible` `[tables, paths, capacity]`: which path sees which slot.

    `tables` is 1 while all layers agree, then `num_layers`. Of the same shape without paths:
    `slot_depth`, the position in the text, and `slot_serial`, the place in the order of writing
    over the pool's life (a token's is the same in all layers). `begin` hands out the slots of the
    next forward pass, which then fills them through the `cache`. `layer_type(pool, layer_idx)`
    makes a layer's storage.
    """

    def __init__(self, num_layers: int, layer_type: Callable[[Pool, int], Any] = PoolLayer) -> None:
        self.num_layers = num_layers
        self.cache = Cache(layers=[layer_type(self, i) for i in range(num_layers)])
        self.visible = np.zeros((1, 1, 0), dtype=bool)
        self.slot_depth = np.zeros((1, 0), dtype=np.int64)
        self.slot_serial = np.zeros((1, 0), dtype=np.int64)
        self.row_depth = np.zeros(1, dtype=np.int64)  # tokens each path has seen
        self.num_written = 0  # tokens written over the pool's life
        self.growth = GROWTH
        self._capacity = np.zeros(1, dtype=np.int64)  # slots with storage, of each table
        self._high = np.zeros(1, dtype=np.int64)
        self._writing = np.zeros((1, 0), dtype=np.int64)
        self._freed: list[np.ndarray] = []
        self._on_device: dict[torch.device, torch.Tensor] = {}

    @property
    def num_tables(self) -> int:
        return len(self.visible)

    @property
    def capacity(self) -> int:
        """Slots of the longest table."""
        return self.visible.shape[2]

    @property
    def high_water(self) -> int:
        """Attention of every layer stops below this slot, of some at it."""
        return int(self._high.max(initial=0))

    @property
    def num_rows(self) -> int:
        return self.visible.shape[1]

    @property
    def layers(self) -> list[Any]:
        return list(self.cache.layers)

    def table_of(self, layer_idx: int) -> int:
        return layer_idx if self.num_tables > 1 else 0

    def capacity_of(self, layer_idx: int) -> int:
        """Slots that a layer needs storage for."""
        return int(self._capacity[self.table_of(layer_idx)])

    def high_water_of(self, layer_idx: int) -> int:
        """Attention of a layer reads the slots below."""
        return int(self._high[self.table_of(layer_idx)])

    def seen(self, layer_idx: int) -> np.ndarray:
        """`[paths, capacity]` bool: who sees which slot of a layer."""
        return np.asarray(self.visible[self.table_of(layer_idx)])

    def depth(self, layer_idx: int) -> np.ndarray:
        """`[capacity]`: positions in the text of a layer's slots."""
        return np.asarray(self.slot_depth[self.table_of(layer_idx)])

    def writing(self, layer_idx: int) -> np.ndarray:
        """`[rows * tokens]`: slots of a layer that the pass under way writes."""
        return np.asarray(self._writing[self.table_of(layer_idx)])

    def reference_count(self, layer_idx: int = 0) -> np.ndarray:
        """`[capacity]`: how many paths see each slot of a layer."""
        return np.asarray(self.seen(layer_idx).sum(0))

    def used(self, layer_idx: int = 0) -> np.ndarray:
        """`[capacity]` bool: slots of a layer that some path sees."""
        return np.asarray(self.seen(layer_idx).any(axis=0))

    def _used(self) -> np.ndarray:
        """`[tables, capacity]` bool."""
        return np.asarray(self.visible.any(axis=1))

    def begin(self, tokens_per_row: int = 1) -> TreeMask:
        """Give every path the slots of its next `tokens_per_row` tokens; the mask of that pass.

        More than one token a row is prefill and needs a single row. Grows the tables if need be;
        the layers follow when they are written.
        """
        owner, depth = self.open(tokens_per_row)
        slots = self._writing
        starts_text = tokens_per_row > 1 and depth[0] == 0
        in_order = bool(starts_text and slots[0, -1] == tokens_per_row - 1)
        high = self.high_water
        seen = self.visible[:, owner, :high]
        slot_depth = self.slot_depth[:, :high]
        if tokens_per_row > 1:
            seen = seen & (slot_depth[:, None] <= depth[:, None])
        return TreeMask(seen, slot_depth, depth, is_causal=in_order, high_water=self._high)

    def open(self, tokens_per_row: int) -> tuple[np.ndarray, np.ndarray]:
        """Hand out the slots of every path's next tokens: `_writing`. Returns whose each is, and
        its position."""
        rows = self.num_rows
        assert rows and (tokens_per_row == 1 or rows == 1)
        count = rows * tokens_per_row
        slots = self._take(count)
        owner = np.arange(rows).repeat(tokens_per_row)
        depth = self.row_depth.repeat(tokens_per_row) + np.tile(np.arange(tokens_per_row), rows)
        table = np.arange(self.num_tables)[:, None]
        self.visible[table, owner, slots] = True
        self.slot_depth[table, slots] = depth
        self.slot_serial[table, slots] = self.num_written + np.arange(count)
        self.row_depth += tokens_per_row
        self.num_written += count
        self._high = np.maximum(self._high, slots.max(axis=1) + 1)
        self._writing = slots
        self._on_device.clear()
        return owner, depth

    def fork(self, parents: Sequence[int]) -> tuple[int, ...]:
        """Row `i` continues what was row `parents[i]`. Returns the slots this freed, of layer 0 if
        layers differ: `layer_freed` has all."""
        rows = np.asarray(parents, dtype=np.int64)
        self._freed = []
        if np.array_equal(rows, np.arange(self.num_rows)):
            return ()  # every path goes on: nothing to copy, nothing to free
        before = self._used()
        self.visible = self.visible[:, rows]
        self.row_depth = self.row_depth[rows]
        self._free(before)
        return tuple(self._freed[0].tolist())

    @property
    def layer_freed(self) -> tuple[tuple[int, ...], ...]:
        """Slots of each layer that the last fork or clear freed; () while layers share a table."""
        if self.num_tables == 1:
            return ()
        freed = self._freed or [np.zeros(0, dtype=np.int64)] * self.num_tables
        return tuple(tuple(slots.tolist()) for slots in freed)

    def split(self) -> None:
        """A table of its own for every layer, from now on."""
        if self.num_tables < self.num_layers:
            times = self.num_layers
            self.visible = self.visible.repeat(times, axis=0)
            self.slot_depth = self.slot_depth.repeat(times, axis=0)
            self.slot_serial = self.slot_serial.repeat(times, axis=0)
            self._capacity, self._high = self._capacity.repeat(times), self._high.repeat(times)
            self._writing = self._writing.repeat(times, axis=0)
            self._on_device.clear()

    def clear(self, tables: np.ndarray, rows: np.ndarray, slots: np.ndarray) -> None:
        """Path `rows[i]` stops seeing slot `slots[i]` of table `tables[i]`."""
        before = self._used()
        self.visible[tables, rows, slots] = False
        self._free(before)

    def evict(self, layer_idx: int, row: int, slots: Sequence[int]) -> tuple[int, ...]:
        """Path `row` stops seeing `slots` of one layer. Returns the slots this freed there."""
        self.split()
        index = np.asarray(slots, dtype=np.int64)
        table = self.table_of(layer_idx)
        self.clear(np.full_like(index, table), np.full_like(index, row), index)
        return tuple(self._freed[table].tolist())

    def add(self, layer_idx: int, rows: np.ndarray, like: np.ndarray) -> np.ndarray:
        """A new slot of one layer for each of `rows`, at the depth and serial of slots `like`."""
        table = self.table_of(layer_idx)
        free = self._take_from(table, len(rows))
        self.visible[table, rows, free] = True
        self.slot_depth[table, free] = self.slot_depth[table, like]
        self.slot_serial[table, free] = self.slot_serial[table, like]
        self._high[table] = max(self._high[table], free.max(initial=-1) + 1)
        return free

    def _free(self, before: np.ndarray) -> None:
        used = self._used()
        positions = np.arange(1, self.capacity + 1)
        self._high = (used * positions).max(axis=1, initial=0)
        gone = before & ~used
        self._freed = [np.flatnonzero(bits) for bits in gone]
        for layer_idx, layer in enumerate(self.layers):
            freed = self._freed[self.table_of(layer_idx)]
            if len(freed):
                layer.forget(freed)

    def _take(self, count: int) -> np.ndarray:
        """`[tables, count]`: the lowest free slots, with room made where there are too few."""
        return np.stack([self._take_from(table, count) for table in range(self.num_tables)])

    def _take_from(self, table: int, count: int) -> np.ndarray:
        used = self.visible[table].any(axis=0)
        if self._capacity[table] - used.sum() < count:
            self._grow(table, int(used.sum()) + count)
            used = self.visible[table].any(axis=0)
        return np.flatnonzero(~used)[:count]

    def _grow(self, table: int, needed: int) -> None:
        """Room for `needed` slots in one table, and a little more."""
        self._capacity[table] = needed + max(MIN_GROWTH, int(needed * self.growth))
        missing = int(self._capacity[table]) - self.capacity
        if missing > 0:
            self.visible = np.pad(self.visible, ((0, 0), (0, 0), (0, missing)))
            self.slot_depth = np.pad(self.slot_depth, ((0, 0), (0, missing)))
            self.slot_serial = np.pad(self.slot_serial, ((0, 0), (0, missing)))

    def write_slots(self, device: torch.device, layer_idx: int = 0) -> torch.Tensor:
        """Slots of a layer in the pass under way, `[rows * tokens]`, on `device`."""
        return self.all_write_slots(device)[self.table_of(layer_idx)]

    def all_write_slots(self, device: torch.device) -> torch.Tensor:
        """`[tables, rows * tokens]`: the same of all layers."""
        if device not in self._on_device:
            self._on_device[device] = torch.from_numpy(self._writing).to(device, non_blocking=True)
        return self._on_device[device]

    @property
    def written(self) -> tuple[int, ...]:
        """Slots handed out by the last `begin`, of layer 0 if layers differ."""
        return tuple(self._writing[0].tolist())

    @property
    def layer_written(self) -> tuple[tuple[int, ...], ...]:
        """The same of each layer; () while all share a table."""
        return tuple(map(tuple, self._writing.tolist())) if self.num_tables > 1 else ()

    def close(self) -> None:
        """No rows, no slots, no storage."""
        self.visible = np.zeros((1, 0, 0), dtype=bool)
        self.slot_depth = self.slot_serial = np.zeros((1, 0), dtype=np.int64)
        self.row_depth = np.zeros(0, dtype=np.int64)
        self._capacity = self._high = np.zeros(1, dtype=np.int64)
        for layer in self.layers:
            layer.release()

    def check_integrity(self) -> None:
        """Assert what must hold between any two operations."""
        tables, rows, capacity = self.visible.shape
        assert rows == len(self.row_depth)
        assert self.slot_depth.shape == self.slot_serial.shape == (tables, capacity)
        assert tables in (1, self.num_layers)
        assert capacity == self._capacity.max(initial=0), "a table longer than every layer"
        for layer_idx in range(self.num_layers):
            self._check_layer(layer_idx)

    def _check_layer(self, layer_idx: int) -> None:
        used, high = self.used(layer_idx), self.high_water_of(layer_idx)
        depth, serial = self.depth(layer_idx), self.slot_serial[self.table_of(layer_idx)]
        assert not used[high:].any(), "a path sees a slot above the high-water mark"
        assert not high or used[high - 1], "the high-water mark is too high"
        assert high <= self.capacity_of(layer_idx), "a path sees a slot without storage"
        writing = self.writing(layer_idx).tolist()
        assert len(set(writing)) == len(writing), "two rows write one slot"
        for row, bits in enumerate(self.seen(layer_idx)):
            for name, values in (("depth", depth[bits]), ("serial", serial[bits])):
                assert len(set(values.tolist())) == len(values), (
                    f"a path sees two slots of one {name}"
                )
            assert (depth[bits] < self.row_depth[row]).all(), "a path sees a slot of its future"
