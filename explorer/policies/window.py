"""Sinks and the most recent tokens."""

from __future__ import annotations

import numpy as np

from explorer.policies.base import Policy, Reading


class Window(Policy):
    """Keeps the first few tokens and the most recent ones (StreamingLLM, arXiv:2309.17453). The
    first tokens soak up attention that has nowhere else to go: without them the text breaks down.
    What was said in the middle is lost, however important. Costs nothing beyond the budget.
    """

    name = "window"
    words = "earliest position"
    is_layerwise = False

    def read(self, depth: np.ndarray, serial: np.ndarray, with_cells: bool = False) -> Reading:
        return Reading(depth.astype(np.float64))
