"""Seeded noise: the floor that every method must beat."""

from __future__ import annotations

import numpy as np

from explorer.policies.base import Policy, Reading

WORD = np.uint64(2**64 - 1)


class Random(Policy):
    """Keeps what a draw says, one draw for each token and layer. The floor: a method that does not
    beat it has learned nothing. Draws depend on seed, token and layer alone, not on the machine.
    """

    name = "random"
    words = "lowest draw"

    def read(self, depth: np.ndarray, serial: np.ndarray, with_cells: bool = False) -> Reading:
        layers = np.arange(len(serial), dtype=np.uint64)[:, None]
        return Reading(noise(self.setting.seed, serial.astype(np.uint64), layers))


def noise(seed: int, serial: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """Uniform in [0, 1), float64: three rounds of splitmix64 over seed, layer and serial."""
    with np.errstate(over="ignore"):
        state = _mix(np.uint64(seed & int(WORD)))
        state = _mix(state ^ _mix(layer + np.uint64(1)))
        state = _mix(state ^ _mix(serial + np.uint64(0x51ED270B)))
    return np.asarray((state >> np.uint64(11)) * 2.0**-53)


def _mix(x: np.ndarray | np.uint64) -> np.ndarray:
    z = np.asarray(x, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))
