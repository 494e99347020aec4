"""Counters that share cells: CountMin, CountSketch and Race, as tensors on any device.

A sketch holds a table for each layer and knows nothing of what its keys stand for. One call takes a
whole step: all keys of all layers. Keys are int64 in [0, 2^31); weights are float32 and not
negative, except in CountSketch. Sketches of one seed hash alike in all layers and on all devices.

    keys ──mix──> x ──((a x + b) mod p) mod width, a row each──> columns [depth, n]
    table [layers, depth, width]: key i owns one cell in every row and shares it with strangers

What repeats: hashes are integer and exact everywhere. Float additions happen in a fixed order (on
CUDA by sorting, not by atomics), so a run repeats bit for bit on its device; between devices they
agree to float32 rounding. Race counts in integers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from copy import copy
from typing import Self

import torch
from torch import Tensor

PRIME = 2**31 - 1


def mix(keys: Tensor) -> Tensor:
    """Scatter keys over [0, 2^31), no two alike: splitmix's xor-shifts and multiplications.

    Keys often are positions, one after another. Unmixed, every row whose multiplier is small lets
    the same positions share a cell, and depth is useless. 31 bits, so no product leaves int64.
    """
    x = (keys + 0x1E3779B9) & PRIME
    x = ((x ^ (x >> 16)) * 0x21F0AAAD) & PRIME
    x = ((x ^ (x >> 15)) * 0x735A2D97) & PRIME
    return x ^ (x >> 15)


def _remainder(values: Tensor, divisor: int) -> Tensor:
    """`values % divisor`, of values not below 0; ten times as fast for powers of two."""
    return values % divisor if divisor & (divisor - 1) else values & (divisor - 1)


def _accumulate(table: Tensor, columns: Tensor, weights: Tensor) -> None:
    """Add `weights` into `table[layer, row, columns]`, in a fixed order on every device.

    Table `[layers, depth, width]`, columns and weights `[layers, depth, n]`.
    """
    if not table.is_cuda:
        table.scatter_add_(2, columns, weights)
        return
    layers, depth = (torch.arange(size, device=table.device) for size in table.shape[:2])
    at = (layers[:, None, None], depth[None, :, None], columns)
    table.index_put_(at, weights, accumulate=True)  # sorts, where scatter_add_ would race


def _sum_duplicates(keys: Tensor, weights: Tensor) -> Tensor:
    """Weights `[layers, n]`, each the sum over all that have the same key `[layers, n]`."""
    ordered, order = keys.sort(dim=1, stable=True)
    starts = torch.zeros_like(ordered)
    starts[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).long()
    group = torch.empty_like(order).scatter_(1, order, starts.cumsum(dim=1))
    sums = torch.zeros_like(weights)
    _accumulate(sums[:, None], group[:, None], weights[:, None])
    return sums.gather(1, group)


def _check(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: must be at least 1, not {size}.")


class _Sketch(ABC):
    """A table of shared cells for each layer, filled through one linear hash a row.

    `decay` multiplies all cells at the beginning of every `add`: one `add` is one step. Raises
    ValueError if a size is below 1 or the decay outside (0, 1].
    """

    conservative = False  # an option of count-min

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        layers: int = 1,
        decay: float = 1.0,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        _check(width=width, depth=depth, layers=layers)
        if not 0 < decay <= 1:
            raise ValueError(f"decay: must be above 0 and at most 1, not {decay}.")
        self.width, self.depth, self.layers, self.decay = width, depth, layers, decay
        self.seed, generator = seed, torch.Generator().manual_seed(seed)
        self.a = torch.randint(1, PRIME, (depth, 1), generator=generator).to(device)
        self.b = torch.randint(0, PRIME, (depth, 1), generator=generator).to(device)
        self.table = torch.zeros(layers, depth, width, device=device)
        self.total = torch.zeros(layers, device=device)

    def columns(self, keys: Tensor) -> Tensor:
        """The cell of each key in every row: keys `[n]` or `[layers, n]` to `[..., depth, n]`."""
        return _remainder(self._hash(keys), self.width)

    def cells(self, keys: Tensor) -> Tensor:
        """What those cells hold now: `[layers, depth, n]`."""
        return self.table.gather(2, self.columns(keys).expand(self.layers, -1, -1))

    @abstractmethod
    def add(self, keys: Tensor, weights: Tensor) -> None:
        """Count one step: weights `[layers, n]` of keys `[n]` or `[layers, n]`."""

    @abstractmethod
    def estimate(self, keys: Tensor) -> Tensor:
        """Estimated sum of each key's weights: `[layers, n]`."""

    def merge(self, other: Self) -> Self:
        """The sketch of both streams, step beside step. Raises ValueError if they hash apart."""
        if self._identity() != other._identity():
            raise ValueError("merge: both sketches must be of one kind, shape, decay and seed.")
        merged = copy(self)
        merged.table = self.table + other.table.to(self.table.device)
        merged.total = self.total + other.total.to(self.total.device)
        return merged

    @property
    def nbytes(self) -> int:
        """Bytes of the table, the totals and the hash's coefficients."""
        return self.table.nbytes + self.total.nbytes + self.a.nbytes + self.b.nbytes

    def _identity(self) -> tuple[object, ...]:
        return type(self), self.width, self.depth, self.layers, self.decay, self.seed

    def _hash(self, keys: Tensor) -> Tensor:
        """Keys `[..., n]` to `[..., depth, n]`: pairwise independent, uniform below 2^31 - 1."""
        products = self.a * mix(keys).unsqueeze(-2)
        return products.add_(self.b).remainder_(PRIME)  # a x + b stays below 2^62

    def _begin_step(self, weights: Tensor) -> None:
        if self.decay != 1:
            self.table *= self.decay
            self.total *= self.decay
        self.total += weights.sum(dim=1)


class CountMin(_Sketch):
    """Count-min: every row adds; the smallest cell of a key is its estimate, never below the truth.

    Cormode & Muthukrishnan 2005, doi:10.1016/j.jalgor.2003.12.001. `conservative` raises a key's
    cells only as far as its own new estimate needs (Estan & Varghese 2002): closer, still never
    below the truth, but no longer mergeable. All up to float32 rounding. Fails where many keys of
    like weight crowd few cells: all then look alike.

    A conservative batch arrives at once: weights of equal keys are summed, every key reads the
    table as it was, and a cell takes the highest value asked of it. So the order within a batch
    does not matter, and estimates lie between the truth and what key after key would give.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        layers: int = 1,
        conservative: bool = False,
        decay: float = 1.0,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(width, depth, layers=layers, decay=decay, seed=seed, device=device)
        self.conservative = conservative

    def add(self, keys: Tensor, weights: Tensor) -> None:
        """Count one step: weights `[layers, n]`, not negative, of keys `[n]` or `[layers, n]`."""
        self._begin_step(weights)
        columns = self.columns(keys).expand(self.layers, -1, -1)
        if self.conservative:
            sums = _sum_duplicates(keys.expand_as(weights), weights)
            wanted = self.table.gather(2, columns).amin(dim=1) + sums
            self.table.scatter_reduce_(2, columns, wanted[:, None].expand_as(columns), "amax")
        else:
            _accumulate(self.table, columns, weights[:, None].expand_as(columns))

    def estimate(self, keys: Tensor) -> Tensor:
        """Estimated sum of each key's weights, at least the true one: `[layers, n]`."""
        return self.cells(keys).amin(dim=1)

    def error_bound(self) -> Tensor:
        """`(e / width) N` for a stream of total N, `[layers]`: with probability `confidence` over
        seeds, a key's estimate exceeds its truth by no more."""
        return self.total * (math.e / self.width)

    @property
    def confidence(self) -> float:
        """Probability `1 - e^-depth` with which the error bound holds for a key."""
        return 1 - math.exp(-self.depth)

    def merge(self, other: Self) -> Self:
        """The sketch of both streams. Raises ValueError also for conservative ones."""
        if self.conservative or other.conservative:
            raise ValueError("merge: conservative sketches do not add up; use conservative=False.")
        return super().merge(other)


class CountSketch(_Sketch):
    """Count-sketch: rows add weights under a random sign; the median of a key's signed cells.

    Charikar, Chen & Farach-Colton 2002, doi:10.1007/3-540-45465-9_59. Strangers cancel on average,
    so estimates err to both sides and may be negative; an even depth takes the mean of the middle
    two. Fails where one heavy stranger shares most of a key's cells.
    """

    def add(self, keys: Tensor, weights: Tensor) -> None:
        """Count one step: weights `[layers, n]` of keys `[n]` or `[layers, n]`."""
        self._begin_step(weights)
        columns, signs = self._places(keys)
        _accumulate(self.table, columns, signs * weights[:, None])

    def estimate(self, keys: Tensor) -> Tensor:
        """Estimated sum of each key's weights: `[layers, n]`."""
        columns, signs = self._places(keys)
        rows = _sorted_rows(self.table.gather(2, columns) * signs)
        return (rows[:, (self.depth - 1) // 2] + rows[:, self.depth // 2]) / 2

    def _places(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        places = _remainder(self._hash(keys), 2 * self.width).expand(self.layers, -1, -1)
        above = places >= self.width
        return places - self.width * above, 1.0 - 2.0 * above


def _sorted_rows(rows: Tensor) -> Tensor:
    """`[layers, depth, n]` sorted along depth by exchanging neighbours: few rows, many columns."""
    rows, depth = rows.clone(), rows.shape[1]
    for turn in range(depth):
        first, second = slice(turn % 2, depth - 1, 2), slice(turn % 2 + 1, depth, 2)
        low, high = rows[:, first], rows[:, second]
        rows[:, first], rows[:, second] = torch.minimum(low, high), torch.maximum(low, high)
    return rows


class Race:
    """RACE: counts which vectors fell on a point's side of random planes; a kernel density.

    Coleman & Shrivastava 2020, arXiv:1912.02283. Each of `depth` rows cuts the space by `bits`
    random planes through the origin into 2^bits cells; the mean of the counters in a vector's
    cells estimates `sum (1 - angle / pi)^bits` over all that was added. Counters are int32: exact
    and alike on all devices, unless a vector lies within float32 rounding of a plane. Only
    directions count, not lengths; with many bits only near twins of a vector are seen. A layer may
    be any group of vectors, say of a KV head.
    """

    def __init__(
        self,
        dim: int,
        bits: int,
        depth: int,
        *,
        layers: int = 1,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        _check(dim=dim, bits=bits, depth=depth, layers=layers)
        if bits > 24:
            raise ValueError(f"bits: must be at most 24, not {bits}.")
        self.dim, self.bits, self.depth, self.layers = dim, bits, depth, layers
        generator = torch.Generator().manual_seed(seed)
        self.planes = torch.randn(dim, depth * bits, generator=generator).to(device)
        self.table = torch.zeros(layers, depth, 2**bits, dtype=torch.int32, device=device)
        self.total = torch.zeros(layers, dtype=torch.int64, device=device)

    def columns(self, vectors: Tensor) -> Tensor:
        """The cell of each vector `[layers, n, dim]` in every row: `[layers, depth, n]`."""
        sides = (vectors.float() @ self.planes > 0).unflatten(-1, (self.depth, self.bits))
        powers = 2.0 ** torch.arange(self.bits, device=self.planes.device)
        return (sides.float() @ powers).long().transpose(-1, -2)  # exact up to 24 bits

    def cells(self, vectors: Tensor) -> Tensor:
        """What those cells hold now: `[layers, depth, n]`, int32."""
        return self.table.gather(2, self.columns(vectors))

    def add(self, vectors: Tensor, counts: Tensor | None = None) -> None:
        """Count vectors `[layers, n, dim]`, each once or `counts` `[layers, n]` times (0: not)."""
        columns = self.columns(vectors)
        if counts is None:
            counts = torch.ones_like(columns[:, 0])
        self.total += counts.sum(dim=1)
        self.table.scatter_add_(2, columns, counts[:, None].expand_as(columns).to(torch.int32))

    def estimate(self, vectors: Tensor) -> Tensor:
        """Estimated kernel sum at each vector `[layers, n, dim]`: float32 `[layers, n]`."""
        return self.cells(vectors).float().mean(dim=1)

    @property
    def nbytes(self) -> int:
        """Bytes of the counters, the totals and the planes."""
        return self.table.nbytes + self.total.nbytes + self.planes.nbytes
