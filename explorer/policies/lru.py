"""Least recently used."""

from __future__ import annotations

import numpy as np
import torch

from explorer.policies.base import Gathered, Policy, Reading, Setting, padded, to_host


class LRU(Policy):
    """Keeps what was attended to last: the slot whose attention weight (mean over heads) has not
    exceeded an even share, 1 / visible, for the longest time leaves. A token that is needed seldom
    is lost between two uses. Needs attention weights and 4 bytes a slot.
    """

    name = "lru"
    words = "last attended to at position"
    needs_attention = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.last = torch.zeros(setting.num_layers, 0, dtype=torch.int32, device=setting.device)
        self._depths = torch.zeros(0, dtype=torch.int32, device=setting.device)
        self._gathered = Gathered(setting.device)

    def written(
        self, slots: torch.Tensor, first_serial: int, depths: np.ndarray, capacity: int
    ) -> None:
        if self.last.shape[1] < capacity:
            self.last = padded(self.last, capacity)
        self._depths = torch.from_numpy(depths.astype(np.int32)).to(slots.device)
        self.last.scatter_(1, slots, self._depths.expand(slots.shape))

    def observe(self, layer_idx: int, weights: torch.Tensor, seen: torch.Tensor) -> None:
        used = weights * seen.sum(1, keepdim=True) > self.setting.num_heads
        depths = self._depths.to(weights.device)[:, None]
        self._gathered.add(layer_idx, torch.where(used, depths, -1).amax(0))

    def finish(self, serial: np.ndarray) -> None:
        [used] = self._gathered.take()
        last = self.last[:, : used.shape[1]]
        last.copy_(torch.maximum(last, used))

    def read(self, depth: np.ndarray, serial: np.ndarray, with_cells: bool = False) -> Reading:
        return Reading(to_host({"last": self.last})["last"].astype(np.float64))

    @property
    def nbytes(self) -> int:
        return self.last.nbytes
