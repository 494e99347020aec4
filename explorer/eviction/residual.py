"""The strategy "aggregate": what is evicted is folded into a few residual entries.

An entry is an ordinary slot that stands for several tokens: the mean of their keys and values,
with `ln(count)` added to its logit, so that it weighs as much as all of them. Each path has its
own entries in each layer; those that several paths see are copied before one of them changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from explorer.cache.budget import Victims, choose
from explorer.cache.pool import Pool


class Residuals:
    """Which slots are entries, `entry` `[layers, paths, slots]`, and for how many tokens each
    stands, `count` `[layers, slots]`. The first `num_entries` losers of a path become its entries;
    later ones are folded into the entry that stands for the fewest tokens, of equals the earliest.
    """

    def __init__(self, pool: Pool, num_entries: int) -> None:
        self._pool = pool
        self._num_entries = num_entries
        self.entry = np.zeros((pool.num_layers, pool.num_rows, 0), dtype=bool)
        self.count = np.ones((pool.num_layers, 0), dtype=np.int64)

    def covering(self, capacity: int) -> np.ndarray:
        """`entry`, as wide as the pool."""
        missing = capacity - self.count.shape[1]
        if missing > 0:
            self.entry = np.pad(self.entry, ((0, 0), (0, 0), (0, missing)))
            self.count = np.pad(self.count, ((0, 0), (0, missing)), constant_values=1)
        return self.entry

    def begin(self, writing: np.ndarray) -> np.ndarray:
        """Slots `[layers, tokens]` are written anew. Returns `ln(count)` `[layers, slots]` below
        the high-water mark, to be added to the logits."""
        self.covering(self._pool.capacity)
        layer = np.arange(len(writing))[:, None]
        self.count[layer, writing] = 1
        self.entry[layer, :, writing] = False
        return np.log(self.count[:, : self._pool.high_water]).astype(np.float32)

    def fork(self, parents: Sequence[int]) -> None:
        self.entry = self.entry[:, list(parents)]

    def promote(self, scores: np.ndarray, evictable: np.ndarray, excess: np.ndarray) -> None:
        """Where a path must lose slots and lacks entries, its lowest slots become entries and are
        no longer `evictable` (changed in place)."""
        missing = self._num_entries - self.entry.sum(axis=2)
        lacking = np.where(excess > 0, missing, 0)
        if (lacking > 0).any():
            made = choose(scores, self._pool.slot_depth, evictable, lacking)
            self.entry[made.tables, made.rows, made.slots] = True
            evictable[made.tables, made.rows, made.slots] = False

    def fold(self, victims: Victims) -> dict[int, list[tuple[int, int, int]]]:
        """Fold the victims' keys and values into entries of their paths, which still see them.
        Returns what was copied to be changed, for each layer: (path, slot, its copy)."""
        targets = self._targets(victims)
        copied = {}
        for layer_idx in np.unique(victims.tables).tolist():
            mine = victims.tables == layer_idx
            copied[layer_idx] = self._fold_layer(
                layer_idx, victims.rows[mine], victims.slots[mine], targets[mine]
            )
        return copied

    def _targets(self, victims: Victims) -> np.ndarray:
        """The entry's slot for each victim: in turn, beginning with the smallest count."""
        order = np.lexsort(
            (
                np.broadcast_to(self._pool.slot_depth[:, None], self.entry.shape),
                np.broadcast_to(self.count[:, None], self.entry.shape),
                ~self.entry,
            ),
            axis=-1,
        )
        turn = (victims.ranks - 1) % self._num_entries
        return np.asarray(order[victims.tables, victims.rows, turn])

    def _fold_layer(
        self,
        layer_idx: int,
        rows: np.ndarray,
        slots: np.ndarray,
        targets: np.ndarray,
    ) -> list[tuple[int, int, int]]:
        pool, layer = self._pool, self._pool.layers[layer_idx]
        # one fold for each (path, entry): where it comes from, where it goes, what is added
        folds, group = np.unique(np.stack([rows, targets]), axis=1, return_inverse=True)
        group = group.reshape(-1)
        owners, sources = folds
        added = np.bincount(group, minlength=len(owners))
        counts = self.count[layer_idx, sources]
        keys, values = layer.gather(np.concatenate([sources, slots]))
        is_shared = pool.reference_count(layer_idx)[sources] > 1
        written = sources.copy()
        if is_shared.any():
            copied = pool.add(layer_idx, owners[is_shared], sources[is_shared])
            written[is_shared] = copied
            self.covering(pool.capacity)
            self.entry[layer_idx, :, copied] = False
            self.entry[layer_idx, owners[is_shared], sources[is_shared]] = False
            self.entry[layer_idx, owners[is_shared], copied] = True
            index = np.full(len(copied), layer_idx)
            pool.clear(index, owners[is_shared], sources[is_shared])
        self.count[layer_idx, written] = counts + added
        states = [_means(part, counts, group, added) for part in (keys, values)]
        layer.replace(written, *states)
        moves = np.stack([owners, sources, written], axis=1)[is_shared]
        return [(row, slot, copy) for row, slot, copy in moves.tolist()]


def _means(
    states: torch.Tensor, counts: np.ndarray, group: np.ndarray, added: np.ndarray
) -> torch.Tensor:
    """`[1, heads, folds, d]`: means over `counts[i]` tokens of entry `i`, the first of `states`
    `[1, heads, folds + victims, d]`, and the victims of its `group`."""
    num, device = len(counts), states.device
    weight = torch.from_numpy(counts).to(device)[:, None]
    total = states[:, :, :num].float() * weight
    total.index_add_(2, torch.from_numpy(group).to(device), states[:, :, num:].float())
    return total / (weight + torch.from_numpy(added).to(device)[:, None])
