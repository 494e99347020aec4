"""Loaded models of this process: a few, the newest kept."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Generator
from typing import TYPE_CHECKING

from explorer.config import InputError, RunConfig
from explorer.ui.runs import RunStore, told

if TYPE_CHECKING:
    from explorer.models import LoadedModel

LOG = logging.getLogger("forkscope")
Key = tuple[str, str, str]  # name, device, dtype


class ModelCache:
    """`get` loads a model or gives the one loaded before; torch is imported on the first call."""

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self._models: OrderedDict[Key, LoadedModel] = OrderedDict()
        self._lock = threading.Lock()
        self._is_warming = False

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

    def warm(self, name: str, device: str, dtype: str, seconds: float = 4.0) -> None:
        """Load, once and in the background, the model that is probably wanted first.

        `seconds` later, so that an opening page has the machine to itself; then Run starts at once.
        """
        if self._is_warming:
            return
        self._is_warming = True
        timer = threading.Timer(seconds, self._load_quietly, (name, device, dtype))
        timer.daemon = True
        timer.start()

    def _load_quietly(self, name: str, device: str, dtype: str) -> None:
        try:
            self.get(name, device, dtype)
        except InputError as error:
            LOG.info("not loaded ahead: %s", error)  # Run says it again, to whoever asks


def loading(
    models: ModelCache, store: RunStore, config: RunConfig, token: str | None
) -> Generator[str, None, LoadedModel]:
    """The model of a run; a message to the page first where it has to be loaded.

    Raises InputError where it cannot be loaded, Left where the page that asked for it under
    `token` has left it meanwhile.
    """
    key = config.model, config.device, config.dtype
    if models.peek(*key) is None:
        yield told({"status": f"Loading {config.model} …"}, token)
    model = models.get(*key)
    store.check(token)
    return model
