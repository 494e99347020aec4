"""The sketches' cases: what an update and a table cost, against one exact counter a slot.

Exact counters are 4 bytes a slot, added to by `index_add_`. A sketch's table has one size whatever
it counts, so it is the larger of the two until there are more slots than cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import Any

import torch

from explorer.experiments.base import Conditions, Show, alternate, case
from explorer.sketches import CountMin, CountSketch, Race

EXACT = "exact counters"
NAMES = ("count_min", "count_min, conservative", "count_sketch", "race")
SIZES = ("count_min", "race")  # the others are as large as count_min


def case_names(conditions: Conditions) -> list[str]:
    """Every case of this family, in order."""
    return [
        f"sketches, {slots:,} slots: {what} of {name}"
        for slots in conditions.sketch_slots
        for what, names in (("update", NAMES), ("bytes", SIZES))
        for name in names
    ]


def measure(
    conditions: Conditions, device: str, dtype: str, show: Show
) -> Iterator[dict[str, Any]]:
    """The sketches' cases: every slot of every layer is counted once in an update."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    num_cases = len(case_names(conditions))
    for num_done, made in enumerate(_cases(conditions, torch.device(device))):
        show(num_done, num_cases, "sketches")
        yield made
    show(num_cases, num_cases, "sketches")


def _cases(conditions: Conditions, device: torch.device) -> Iterator[dict[str, Any]]:
    for slots in conditions.sketch_slots:
        stream = Stream(conditions, slots, device)
        yield from (stream.update(name) for name in NAMES)
        yield from (stream.nbytes(name) for name in SIZES)


class Stream:
    """What is counted in every update, and the counters of one size that take it.

    Weights are attention over the slots, keys their serial numbers: of every slot of every layer.
    Race takes as many vectors of a head's size.
    """

    def __init__(self, conditions: Conditions, slots: int, device: torch.device) -> None:
        c, self.slots, self.device = conditions, slots, device
        self.conditions = conditions
        generator = torch.Generator().manual_seed(0)
        self.keys = torch.arange(c.num_layers * slots).view(c.num_layers, slots).to(device)
        noise = torch.randn(c.num_layers, slots, generator=generator)
        self.weights = (2 * noise).softmax(dim=1).to(device)
        dim = c.hidden_size // c.num_heads
        self.vectors = torch.randn(c.num_layers, slots, dim, generator=generator).to(device)
        self.exact = torch.zeros(c.num_layers * slots, device=device)
        shape: tuple[int, int] = (c.sketch_width, c.sketch_depth)
        size: dict[str, Any] = dict(layers=c.num_layers, device=device)
        hashed = (
            CountMin(*shape, **size),
            CountMin(*shape, conservative=True, **size),
            CountSketch(*shape, **size),
        )
        race = Race(dim, c.sketch_width.bit_length() - 1, c.sketch_depth, **size)
        self.sizes = dict(zip(SIZES, (hashed[0].nbytes, race.nbytes), strict=True))
        adds = [partial(sketch.add, self.keys, self.weights) for sketch in hashed]
        self.counts = dict(zip(NAMES, (*adds, partial(race.add, self.vectors)), strict=True))

    def count_exactly(self) -> None:
        """One update of the exact counters."""
        self.exact.index_add_(0, self.keys.flatten(), self.weights.flatten())

    def update(self, name: str) -> dict[str, Any]:
        """Seconds of one update, against the same of the exact counters."""
        count = self.counts[name]
        count()
        self.count_exactly()
        seconds = alternate(
            lambda: self.seconds(count),
            lambda: self.seconds(self.count_exactly),
            self.conditions.num_repeats,
        )
        made = case(
            f"sketches, {self.slots:,} slots: update of {name}",
            seconds=seconds[0],
            ratio_to=EXACT,
            ratio_to_seconds=seconds[1],
            is_quick=self.conditions.is_quick,
        )
        counted = self.keys.numel()
        return made | {
            "counted": counted,
            "updates_per_second": counted / made["seconds"],
            "exact_updates_per_second": counted / made["ratio_to_seconds"],
        }

    def seconds(self, count: Callable[[], None]) -> float:
        """Seconds of one call, the mean over as many as count `num_sketched` slots."""
        num_calls = -(-self.conditions.num_sketched // self.keys.numel())
        self._synchronize()
        began = perf_counter()
        for _ in range(num_calls):
            count()
        self._synchronize()
        return (perf_counter() - began) / num_calls

    def nbytes(self, name: str) -> dict[str, Any]:
        """Bytes of a sketch of all layers, against those of the exact counters."""
        nbytes = self.sizes[name]
        return case(
            f"sketches, {self.slots:,} slots: bytes of {name}",
            ratio_to=EXACT,
            ratio=nbytes / self.exact.nbytes,
            is_quick=self.conditions.is_quick,
            nbytes=nbytes,
            exact_nbytes=self.exact.nbytes,
            smaller=EXACT if self.exact.nbytes < nbytes else name,
        )

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
