"""Independent samples, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from explorer.backends.base import Backend, Forward, unshared_memory
from explorer.events import Memory

if TYPE_CHECKING:
    from explorer.config import RunConfig
    from explorer.models import LoadedModel


class NaiveBackend(Backend):
    """Independent samples, one after another: each encodes the prompt anew and owns its cache, as a
    loop around `generate` would. The engine opens one such backend for every sample.
    """

    name = "naive"
    is_tree = False

    def __init__(
        self, model: LoadedModel, config: RunConfig | None = None, num_prompt: int = 0
    ) -> None:
        super().__init__(model, config, num_prompt)
        self.caches = [model.new_cache()]
        self.length = 0

    def prefill(self, ids: Sequence[int]) -> Forward:
        self.length += len(ids)
        return Forward(self.model.forward([list(ids)], cache=self.caches[0]), len(ids))

    def decode(self, ids: Sequence[int]) -> Forward:
        assert len(ids) == 1, "a sample is one path"
        return self.prefill(ids)

    def fork(self, parents: Sequence[int]) -> tuple[int, ...]:
        assert list(parents) in ([0], []), "a sample cannot fork"
        self.caches = [self.caches[row] for row in parents]
        return ()

    def stats(self) -> Memory:
        return unshared_memory(self.caches, 1, self.length)

    def close(self) -> None:
        self.caches = []
        self.length = 0
        super().close()
