"""One batch row per path, as beam search does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from transformers.cache_utils import DynamicCache

from explorer.backends.base import Backend, Forward, unshared_memory
from explorer.events import Memory

if TYPE_CHECKING:
    from explorer.config import RunConfig
    from explorer.models import LoadedModel


class BatchedBackend(Backend):
    """One batch row per path over transformers' own cache. One forward pass a step; a fork gathers
    whole rows, so every path carries its own copy of the prompt. Runs every causal model.
    """

    name = "batched"

    def __init__(
        self, model: LoadedModel, config: RunConfig | None = None, num_prompt: int = 0
    ) -> None:
        super().__init__(model, config, num_prompt)
        self.cache = model.new_cache()
        self.num_rows = 1
        self.length = 0

    def prefill(self, ids: Sequence[int]) -> Forward:
        return self._forward([list(ids)])

    def decode(self, ids: Sequence[int]) -> Forward:
        return self._forward([[token] for token in ids])

    def _forward(self, rows: list[list[int]]) -> Forward:
        logits = self.model.forward(rows, cache=self.cache)
        self.length += len(rows[0])
        return Forward(logits, len(rows) * len(rows[0]))

    def fork(self, parents: Sequence[int]) -> tuple[int, ...]:
        if list(parents) != list(range(self.num_rows)):
            rows = torch.tensor(parents, dtype=torch.long, device=self.model.device)
            self.cache.reorder_cache(rows)
            self.num_rows = len(parents)
        return ()

    def stats(self) -> Memory:
        return unshared_memory([self.cache], self.num_rows, self.length)

    def close(self) -> None:
        self.cache = DynamicCache()
        self.num_rows = self.length = 0
        super().close()
