"""Which of a layer's tokens are stored in how many bits. Knows nothing of slots and tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explorer.cache.blocks import FULL

OLD = 4  # times `recent`: from that age on "adaptive" stores 4 bits


@dataclass(frozen=True, slots=True)
class Storage:
    """How a layer stores: `kv_dtype` int8, int4 or adaptive, and what goes with it, in tokens.

    adaptive: the first `sinks` tokens and the last `recent` in full precision, what is older than
    `OLD` x `recent` tokens in 4 bits, the middle in 8.
    """

    kv_dtype: str
    group: int = 32
    recent: int = 32
    sinks: int = 4

    def bits(self, depth: np.ndarray, age: np.ndarray) -> np.ndarray:
        """Bits that slots at `depth` should have, `age` tokens from the end of the shortest path
        that sees them (0: its last token)."""
        if self.kv_dtype == "adaptive":
            middle = np.where(age < OLD * self.recent, 8, 4)
            return np.where((age < self.recent) | (depth < self.sinks), FULL, middle)
        [bits] = self.precisions
        return np.where(age < self.recent, FULL, bits)

    @property
    def precisions(self) -> tuple[int, ...]:
        """Bits that slots may come to be stored in."""
        return {"int8": (8,), "int4": (4,), "adaptive": (8, 4)}[self.kv_dtype]

    def value_group(self, bits: int, width: int) -> int:
        """Channels of a value that share a scale: `group`, but in 8 bits the whole head, whose
        scales would else put it above 0.56 of half precision."""
        return width if bits == 8 else min(self.group, width)
