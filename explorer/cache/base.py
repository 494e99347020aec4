"""How a layer of the pool stores its keys and values: the plain way, which others stand in for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers.cache_utils import CacheLayerMixin

from explorer.cache.blocks import FULL, Segment

if TYPE_CHECKING:
    from explorer.cache.pool import Pool


class PoolLayer(CacheLayerMixin):
    """Keys and values of one layer, `[1, num_kv_heads, capacity, head_dim]`.

    `update` scatters the states of a forward pass into the layer's current slots and answers with
    all slots below its high-water mark, whatever the batch of the pass was. Another way to store
    answers `update`, `fill`, `cut`, `release`, `nbytes`, `live_nbytes` and `logical_nbytes` alike,
    and may act where slots are freed (`forget`).
    """

    is_croppable = False
    is_sliding = False
    keys: torch.Tensor | None
    values: torch.Tensor | None

    def __init__(self, pool: Pool, layer_idx: int) -> None:
        super().__init__()
        self.pool = pool
        self.layer_idx = layer_idx

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        capacity = self.pool.capacity_of(self.layer_idx)
        self.keys = _empty_like(key_states, capacity)
        self.values = _empty_like(value_states, capacity)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`[rows, num_kv_heads, tokens, head_dim]` in; `[1, num_kv_heads, slots, head_dim]` out."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.cover()
        assert self.keys is not None and self.values is not None
        slots = self.pool.write_slots(self.keys.device, self.layer_idx)
        self.keys.index_copy_(2, slots, _as_slots(key_states))
        self.values.index_copy_(2, slots, _as_slots(value_states))
        high = self.pool.high_water_of(self.layer_idx)
        return self.keys[:, :, :high], self.values[:, :, :high]

    def cover(self) -> None:
        """Grow the storage to the slots that the pool counts on."""
        assert self.keys is not None and self.values is not None
        capacity = self.pool.capacity_of(self.layer_idx)
        if self.keys.shape[2] < capacity:
            self.keys = _grown(self.keys, capacity)
            self.values = _grown(self.values, capacity)

    def gather(self, slots: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of `slots`, copies, `[1, num_kv_heads, len(slots), head_dim]`."""
        assert self.keys is not None and self.values is not None
        index = torch.from_numpy(slots).to(self.keys.device)
        return self.keys.index_select(2, index), self.values.index_select(2, index)

    def replace(self, slots: np.ndarray, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Replace the keys and values of `slots`, `[1, num_kv_heads, len(slots), head_dim]`."""
        self.cover()
        assert self.keys is not None and self.values is not None
        index = torch.from_numpy(slots).to(self.keys.device)
        self.keys.index_copy_(2, index, keys.to(self.keys.dtype))
        self.values.index_copy_(2, index, values.to(self.values.dtype))

    def fill(self, slots: np.ndarray, segments: Sequence[Segment]) -> None:
        """Store `segments`, which another run has left, in `slots`: no pass writes them."""
        parts = [segment.read() for segment in segments]
        keys, values = (torch.cat(part, dim=1)[None] for part in zip(*parts, strict=True))
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        self.replace(slots, keys, values)

    def cut(self, slots: np.ndarray, size: int) -> list[list[Segment]]:
        """What is stored in `slots`, as it is stored: a list of segments for every `size` slots."""
        keys, values = self.gather(slots)
        widths = keys.shape[-1], values.shape[-1]
        return [
            [Segment(FULL, keys.dtype, widths, widths[1], states)]
            for states in zip(keys[0].split(size, 1), values[0].split(size, 1), strict=True)
        ]

    def forget(self, slots: np.ndarray) -> None:
        """No path sees `slots` any more: they are written again before they are read."""

    def get_seq_length(self) -> int:
        return self.pool.num_written

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.pool.high_water_of(self.layer_idx), 0

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

    def live_nbytes(self, seen: np.ndarray) -> int:
        """Bytes of what some of the paths `seen` `[rows, slots]` see, each slot once."""
        return int(seen.any(axis=0).sum()) * self.nbytes_per_slot

    def logical_nbytes(self, seen: np.ndarray) -> int:
        """Bytes that copies of their own would take the paths."""
        return int(seen.sum()) * self.nbytes_per_slot


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
