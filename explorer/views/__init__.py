"""Figures of finished runs, one a file: Trace (or several, by label) -> plotly Figure."""

from explorer.views.base import DARK, LIGHT, Theme
from explorer.views.memory import memory

__all__ = ["DARK", "LIGHT", "Theme", "memory"]
