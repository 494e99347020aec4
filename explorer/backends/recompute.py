"""No cache at all: the oracle, and the lesson what a cache is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from explorer.backends.base import Backend, Forward
from explorer.events import Memory

if TYPE_CHECKING:
    from explorer.config import RunConfig
    from explorer.models import LoadedModel


class RecomputeBackend(Backend):
    """Keeps no keys and values: every step computes every path's whole text again, one path after
    another. Slow, simple, and therefore what the other backends are held against.
    """

    name = "recompute"
    is_chunked = False

    def __init__(
        self, model: LoadedModel, config: RunConfig | None = None, num_prompt: int = 0
    ) -> None:
        super().__init__(model, config, num_prompt)
        self.texts: list[tuple[int, ...]] = [()]

    def prefill(self, ids: Sequence[int]) -> Forward:
        self.texts = [tuple(ids)]
        return self._forward()

    def decode(self, ids: Sequence[int]) -> Forward:
        self.texts = [(*text, token) for text, token in zip(self.texts, ids, strict=True)]
        return self._forward()

    def _forward(self) -> Forward:
        logits = torch.cat([self.model.forward([list(text)]) for text in self.texts])
        return Forward(logits, sum(len(text) for text in self.texts))

    def fork(self, parents: Sequence[int]) -> tuple[int, ...]:
        self.texts = [self.texts[row] for row in parents]
        return ()

    def stats(self) -> Memory:
        nothing = (0,) * self.model.info.num_layers
        return Memory(0, 0, 0, 0, 0, 0, 0, 0, 0, nothing)

    def close(self) -> None:
        self.texts = []
        super().close()
