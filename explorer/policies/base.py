"""What an eviction policy is: a score for every slot, by which the lowest leaves first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Setting:
    """What a policy is made for: the model's sizes, and the options of the run."""

    num_layers: int
    num_heads: int
    device: torch.device
    seed: int = 0
    sketch_width: int = 512
    sketch_depth: int = 4
    conservative: bool = False
    decay: float = 1.0
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """A policy's numbers at one moment, on the host. Arrays are `[tables, slots]` where nothing
    else is said; `tables` is the number of layers, or 1 for a policy that treats all alike."""

    scores: np.ndarray  # higher stays
    exact_scores: np.ndarray | None = None  # without a sketch's error
    estimates: np.ndarray | None = None  # of the attention that a slot has gathered
    exact: np.ndarray | None = None  # that attention itself
    columns: np.ndarray | None = None  # `[layers, depth, slots]`: cell of each slot
    cells: np.ndarray | None = None  # `[layers, depth, slots]`: value of that cell
    totals: np.ndarray | None = None  # `[layers]`: all that was counted
    bounds: np.ndarray | None = None  # `[layers]`: error that an estimate seldom exceeds


class Policy(ABC):
    """Scores slots; the lowest leave first. The docstring of a member is what people read of it.

    Statistics belong to slots: paths that share a slot share its evidence. In a pass, `written`
    comes first, then `observe` or `observe_states` once a layer if it needs them, then `finish`.
    """

    name: ClassVar[str]
    words: ClassVar[str]  # what is lowest about the slot that leaves
    needs_attention: bool = False
    needs_states: bool = False
    is_layerwise: ClassVar[bool] = True  # False: all layers score alike and may share a table

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def written(  # noqa: B027 - what a policy has no use for it leaves as it is
        self, slots: torch.Tensor, first_serial: int, depths: np.ndarray, capacity: int
    ) -> None:
        """The pass writes `slots` `[layers, tokens]`, on the setting's device: forget what was
        known of them. Serials count up from `first_serial`; `depths` `[tokens]` are positions."""

    def copied(  # noqa: B027
        self, layer_idx: int, slots: np.ndarray, copies: np.ndarray, capacity: int
    ) -> None:
        """Slots of a layer have `copies` for the same tokens: the same is known of them."""

    def observe(  # noqa: B027
        self, layer_idx: int, weights: torch.Tensor, seen: torch.Tensor
    ) -> None:
        """Attention of a pass, `[rows, slots]`, summed over query heads; `seen`: who could."""

    def observe_states(  # noqa: B027
        self, layer_idx: int, queries: torch.Tensor, keys: torch.Tensor, seen: torch.Tensor
    ) -> None:
        """Queries `[paths, heads, tokens, d]` and the layer's keys `[1, kv_heads, slots, d]`."""

    def finish(self, serial: np.ndarray) -> None:  # noqa: B027
        """Every layer of the pass has been observed: count it. `serial` `[tables, slots]` is the
        pool's own number of every slot, in the order of writing."""

    @abstractmethod
    def read(self, depth: np.ndarray, serial: np.ndarray, with_cells: bool = False) -> Reading:
        """Scores of all slots, at positions `depth` and written as number `serial`
        (`[tables, slots]`). At most one transfer from the device."""

    @property
    def nbytes(self) -> int:
        """Bytes of its counters, all layers: part of what the policy costs."""
        return 0


def to_host(parts: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The same tensors as float32 arrays, in one transfer. Integers up to 2^24 stay exact."""
    flat = torch.cat([part.reshape(-1).float() for part in parts.values()]).cpu().numpy()
    ends = np.cumsum([part.numel() for part in parts.values()])
    pieces = np.split(flat, ends[:-1])
    return {
        name: piece.reshape(part.shape)
        for (name, part), piece in zip(parts.items(), pieces, strict=True)
    }


def padded(table: torch.Tensor, width: int) -> torch.Tensor:
    """`[layers, slots]` with columns of 0 up to `width`."""
    return torch.nn.functional.pad(table, (0, width - table.shape[1]))


class Gathered:
    """Sums of a pass over its rows, one a layer, stacked once all layers have come."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._parts: dict[int, tuple[torch.Tensor, ...]] = {}

    def add(self, layer_idx: int, *parts: torch.Tensor) -> None:
        """`[slots]` each; layers may have different numbers of slots."""
        self._parts[layer_idx] = tuple(part.to(self._device) for part in parts)

    def take(self) -> list[torch.Tensor]:
        """Each of the parts as `[layers, slots]`, and nothing is gathered any more."""
        layers = [self._parts[layer_idx] for layer_idx in sorted(self._parts)]
        self._parts = {}
        stack = torch.nn.utils.rnn.pad_sequence
        return [stack(list(part), batch_first=True) for part in zip(*layers, strict=True)]


class CountingPolicy(Policy):
    """Attention that every slot has gathered, divided by the number of queries that could see it.

    `make_sketch` may count the gathered attention in a sketch, keyed by the slots' serials; then
    exact sums are kept beside it only for comparison, and are not charged. The number of queries
    is exact in any case, 4 bytes a slot.
    """

    needs_attention = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        empty = torch.zeros(setting.num_layers, 0, device=setting.device)
        self.sketch = self.make_sketch(setting)
        self.counts = empty
        self.sums = empty if self.sketch is None or setting.exact else None
        self._gathered = Gathered(setting.device)

    def make_sketch(self, setting: Setting) -> Any:
        """A sketch of all layers, or None: exact sums are the counters."""
        return None

    def written(
        self, slots: torch.Tensor, first_serial: int, depths: np.ndarray, capacity: int
    ) -> None:
        self._cover(capacity)
        self.counts.scatter_(1, slots, 0.0)
        if self.sums is not None:
            self.sums.scatter_(1, slots, 0.0)

    def copied(self, layer_idx: int, slots: np.ndarray, copies: np.ndarray, capacity: int) -> None:
        self._cover(capacity)
        source, target = (torch.from_numpy(x).to(self.counts.device) for x in (slots, copies))
        for table in (self.counts, self.sums):
            if table is not None:
                table[layer_idx].index_copy_(0, target, table[layer_idx].index_select(0, source))

    def _cover(self, capacity: int) -> None:
        """Grow the tables to `capacity` slots."""
        if self.counts.shape[1] < capacity:
            self.counts = padded(self.counts, capacity)
            self.sums = None if self.sums is None else padded(self.sums, capacity)

    def observe(self, layer_idx: int, weights: torch.Tensor, seen: torch.Tensor) -> None:
        self._gathered.add(layer_idx, weights.sum(0), seen.sum(0, dtype=torch.float32))

    def finish(self, serial: np.ndarray) -> None:
        weights, seen = self._gathered.take()
        width, decay = weights.shape[1], self.setting.decay
        if decay != 1:
            self.counts *= decay
        self.counts[:, :width] += seen
        if self.sums is not None:
            if decay != 1:
                self.sums *= decay
            self.sums[:, :width] += weights
        if self.sketch is not None:
            self.sketch.add(self._keys(serial)[:, :width], weights)

    def read(self, depth: np.ndarray, serial: np.ndarray, with_cells: bool = False) -> Reading:
        parts = {"counts": self.counts}
        if self.sums is not None:
            parts["exact"] = self.sums
        if self.sketch is not None:
            keys = self._keys(serial)
            parts["estimates"] = self.sketch.estimate(keys)
            if with_cells:
                parts |= self._cells(keys)
        host = to_host(parts)
        counts = np.maximum(host["counts"], np.float32(1e-12))
        exact = host.get("exact")
        estimates = host.get("estimates", exact)
        assert estimates is not None
        is_sketch = self.sketch is not None
        return Reading(
            scores=estimates / counts,
            exact_scores=exact / counts if is_sketch and exact is not None else None,
            estimates=estimates,
            exact=exact,
            columns=host.get("columns"),
            cells=host.get("cells"),
            totals=host.get("totals"),
            bounds=host.get("bounds"),
        )

    def _keys(self, serial: np.ndarray) -> torch.Tensor:
        """The sketch's key of every slot, `[layers, slots]`: the pool's number of it."""
        keys = torch.from_numpy(serial).to(self.counts.device, non_blocking=True)
        return keys[:, : self.counts.shape[1]].expand(len(self.counts), -1)

    def _cells(self, keys: torch.Tensor) -> dict[str, torch.Tensor]:
        assert self.sketch is not None
        parts = {
            "columns": self.sketch.columns(keys),
            "cells": self.sketch.cells(keys),
            "totals": self.sketch.total,
        }
        if hasattr(self.sketch, "error_bound"):
            parts["bounds"] = self.sketch.error_bound()
        return parts

    @property
    def nbytes(self) -> int:
        counters = self.sums if self.sketch is None else self.sketch
        assert counters is not None
        return int(counters.nbytes) + self.counts.nbytes
