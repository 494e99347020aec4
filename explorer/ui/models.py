"""Loaded models of this process: a few, the newest kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explorer.models import LoadedModel

Key = tuple[str, str, str]  # name, device, dtype


class ModelCache:
    """`get` loads a model or gives the one loaded before; torch is imported on the first call."""

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self._models: OrderedDict[Key, LoadedModel] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str, device: str, dtype: str) -> LoadedModel:
        """Raises InputError where the model cannot be loaded."""
        from explorer.models import load_model

        key = (name, device, dtype)
        with self._lock:
            if key in self._models:
                self._models.move_to_end(key)
                return self._models[key]
            while len(self._models) >= self._size:
                self._models.popitem(last=False)
            model = self._models[key] = load_model(name, device, dtype)
            return model

    def peek(self, name: str, device: str, dtype: str) -> LoadedModel | None:
        """The model if it is loaded; never waits and never loads."""
        return self._models.get((name, device, dtype))
