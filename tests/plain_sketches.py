"""Count-min and count-sketch as their papers write them, for tests to hold the tensors against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from explorer.sketches import CountMin, CountSketch

P = 2**31 - 1
Batch = Sequence[tuple[int, float]]  # (key, weight)


class Plain:
    """One key at a time, with the coefficients of the sketch that it stands for."""

    def __init__(self, sketch: CountMin | CountSketch) -> None:
        self.width, self.depth = sketch.width, sketch.depth
        self.functions = list(
            zip(sketch.a.flatten().tolist(), sketch.b.flatten().tolist(), strict=True)
        )
        self.rows = [[0.0] * self.width for _ in range(self.depth)]

    @staticmethod
    def mix(key: int) -> int:
        x = (key + 0x1E3779B9) % 2**31
        x = (x ^ x // 2**16) * 0x21F0AAAD % 2**31
        x = (x ^ x // 2**15) * 0x735A2D97 % 2**31
        return x ^ x // 2**15

    def hashes(self, key: int) -> list[int]:
        return [(a * self.mix(key) + b) % P for a, b in self.functions]

    def columns(self, key: int) -> list[int]:
        return [value % self.width for value in self.hashes(key)]

    def signs(self, key: int) -> list[int]:
        return [-1 if value // self.width % 2 else 1 for value in self.hashes(key)]

    def cells(self, key: int) -> list[float]:
        return [row[at] for row, at in zip(self.rows, self.columns(key), strict=True)]

    def decay(self, by: float) -> None:
        self.rows = [[by * cell for cell in row] for row in self.rows]

    def add(self, key: int, weight: float) -> None:
        for row, at in zip(self.rows, self.columns(key), strict=True):
            row[at] += weight

    def add_signed(self, key: int, weight: float) -> None:
        for row, at, sign in zip(self.rows, self.columns(key), self.signs(key), strict=True):
            row[at] += sign * weight

    def raise_to(self, key: int, value: float) -> None:
        for row, at in zip(self.rows, self.columns(key), strict=True):
            row[at] = max(row[at], value)

    def add_conservatively(self, batch: Batch) -> None:
        sums: Counter[int] = Counter()
        for key, weight in batch:
            sums[key] += weight
        wanted = {key: min(self.cells(key)) + weight for key, weight in sums.items()}
        for key, value in wanted.items():
            self.raise_to(key, value)

    def count(self, batch: Batch, policy: str, is_conservative: bool) -> None:
        """One pass, as the policy of that name counts it."""
        if is_conservative:
            self.add_conservatively(batch)
            return
        for key, weight in batch:
            (self.add_signed if policy == "count_sketch" else self.add)(key, weight)

    def signed(self, key: int) -> float:
        return median(s * cell for s, cell in zip(self.signs(key), self.cells(key), strict=True))
