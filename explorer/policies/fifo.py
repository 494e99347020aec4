"""First in, first out."""

from __future__ import annotations

import numpy as np

from explorer.policies.base import Policy, Reading


class Fifo(Policy):
    """What was written first leaves first, the text's beginning included: a window without sinks,
    shown because it breaks. Costs nothing beyond the budget.
    """

    name = "fifo"
    words = "written first, as number"
    is_layerwise = False

    def read(self, depth: np.ndarray, serial: np.ndarray, with_cells: bool = False) -> Reading:
        return Reading(serial.astype(np.float64))
