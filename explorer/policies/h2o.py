"""Heavy hitters, counted exactly."""

from __future__ import annotations

from explorer.policies.base import CountingPolicy


class H2O(CountingPolicy):
    """Keeps the heavy hitters: the slots with the most attention gathered so far, divided by the
    number of queries that could see them (H2O, arXiv:2306.14048). A token whose time has yet to
    come is lost with the rest. Needs attention weights and 8 bytes a slot: sum and number.
    """

    name = "h2o"
    words = "lowest attention per query"
