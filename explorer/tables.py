"""Tables: tensors whose places are handed out, given back and handed out again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


class Table:
    """Tensors `[num_kv_heads, places, width]`, one for each width, as long as they need to be: a
    multiple of `unit` places. Who has which place is the caller's to know."""

    def __init__(
        self,
        widths: Sequence[int],
        dtypes: Sequence[torch.dtype],
        like: torch.Tensor,
        unit: int = 1,
    ) -> None:
        self._unit = unit
        self.tensors = [
            torch.zeros((like.shape[1], 0, width), dtype=dtype, device=like.device)
            for width, dtype in zip(widths, dtypes, strict=True)
        ]

    @property
    def num_places(self) -> int:
        return self.tensors[0].shape[1]

    @property
    def nbytes_per_place(self) -> int:
        return sum(t.shape[0] * t.shape[2] * t.element_size() for t in self.tensors)

    def take(self, count: int, held: np.ndarray) -> np.ndarray:
        """The `count` lowest places that are not among `held`; grows if there are fewer."""
        is_held = self._marked(held)
        needed = self._rounded(int(is_held.sum()) + count)
        if needed > self.num_places:
            self._repack(np.arange(self.num_places), needed)
            is_held = self._marked(held)
        return np.flatnonzero(~is_held)[:count]

    def fit(self, held: np.ndarray) -> np.ndarray:
        """Give back what `held` does not need. Returns where each of `held` is now."""
        is_held = self._marked(held)
        needed = self._rounded(int(is_held.sum()))
        if needed == self.num_places:
            return held
        self._repack(np.flatnonzero(is_held), needed)
        return np.asarray((np.cumsum(is_held) - 1)[held])

    def put(self, places: np.ndarray, *states: torch.Tensor) -> None:
        """Write `[num_kv_heads, len(places), width]` each."""
        index = device_index(places, self.tensors[0])
        for table, rows in zip(self.tensors, states, strict=True):
            table.index_copy_(1, index, rows)

    def get(self, places: np.ndarray) -> list[torch.Tensor]:
        index = device_index(places, self.tensors[0])
        return [table.index_select(1, index) for table in self.tensors]

    def _marked(self, held: np.ndarray) -> np.ndarray:
        marks = np.zeros(self.num_places, dtype=bool)
        marks[held] = True
        return marks

    def _rounded(self, count: int) -> int:
        return -(-count // self._unit) * self._unit

    def _repack(self, kept: np.ndarray, num_places: int) -> None:
        """What lay at the places `kept` moves to the first ones of `num_places`."""
        index = device_index(kept, self.tensors[0])
        for i, old in enumerate(self.tensors):
            new = old.new_zeros((old.shape[0], num_places, old.shape[2]))
            new[:, : len(kept)] = old.index_select(1, index)
            self.tensors[i] = new


def device_index(numbers: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """`numbers` where `like` is, to select or copy by."""
    return torch.from_numpy(numbers).to(like.device, non_blocking=True)
