"""Queries counted by where they point, read at the keys."""

from __future__ import annotations

import numpy as np
import torch

from explorer.policies.base import Policy, Reading, Setting, to_host
from explorer.sketches import Race


class RacePolicy(Policy):
    """Keeps the keys that lie where queries have pointed: queries are counted in cells of random
    planes, one table for each layer and KV head, and read at every slot's key (RACE, Coleman &
    Shrivastava 2020, arXiv:1912.02283). Needs no attention weights. Lengths of keys and queries do
    not count, only directions, and queries older than a key count for it too. Width is rounded
    down to a power of two; decay, and the exact score beside it, do not apply.
    """

    name = "race"
    words = "least like the queries so far"
    needs_states = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._races: dict[int, Race] = {}
        self._keys: dict[int, torch.Tensor] = {}
        self._width = 0

    def written(
        self, slots: torch.Tensor, first_serial: int, depths: np.ndarray, capacity: int
    ) -> None:
        self._width = capacity
        self._keys.clear()

    def observe_states(
        self, layer_idx: int, queries: torch.Tensor, keys: torch.Tensor, seen: torch.Tensor
    ) -> None:
        num_kv_heads = keys.shape[1]
        if layer_idx not in self._races:
            self._races[layer_idx] = Race(
                keys.shape[3],
                max(self.setting.sketch_width.bit_length() - 1, 1),
                self.setting.sketch_depth,
                layers=num_kv_heads,
                seed=self.setting.seed,
                device=keys.device,
            )
        # [paths, kv_heads * groups, tokens, d] -> [kv_heads, paths * groups * tokens, d]
        by_head = queries.unflatten(1, (num_kv_heads, -1)).transpose(0, 1).flatten(1, 3)
        self._races[layer_idx].add(by_head)
        self._keys[layer_idx] = keys[0]

    def read(self, depth: np.ndarray, serial: np.ndarray, with_cells: bool = False) -> Reading:
        scores = torch.zeros(self.setting.num_layers, self._width, device=self.setting.device)
        for layer_idx, keys in self._keys.items():
            found = self._races[layer_idx].estimate(keys).sum(0)
            scores[layer_idx, : len(found)] = found
        self._keys.clear()  # they may be a quantised layer's workspace
        return Reading(to_host({"scores": scores})["scores"].astype(np.float64))

    @property
    def nbytes(self) -> int:
        return sum(race.nbytes for race in self._races.values())
