"""One cache per path, copied at each fork."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from explorer.backends.base import Backend, Forward, unshared_memory
from explorer.events import Memory

if TYPE_CHECKING:
    from explorer.config import RunConfig
    from explorer.models import LoadedModel


class DeepCopyBackend(Backend):
    """One cache per path. A fork copies the parent's whole cache for every child but the first,
    which keeps it; paths run one after another. What branching costs without sharing.
    """

    name = "deepcopy"

    def __init__(
        self, model: LoadedModel, config: RunConfig | None = None, num_prompt: int = 0
    ) -> None:
        super().__init__(model, config, num_prompt)
        self.caches = [model.new_cache()]
        self.length = 0

    def prefill(self, ids: Sequence[int]) -> Forward:
        logits = self.model.forward([list(ids)], cache=self.caches[0])
        self.length += len(ids)
        return Forward(logits, len(ids))

    def decode(self, ids: Sequence[int]) -> Forward:
        logits = [
            self.model.forward([[token]], cache=cache)
            for token, cache in zip(ids, self.caches, strict=True)
        ]
        self.length += 1
        return Forward(torch.cat(logits), len(ids))

    def fork(self, parents: Sequence[int]) -> tuple[int, ...]:
        first: set[int] = set()
        caches = []
        for row in parents:
            caches.append(copy.deepcopy(self.caches[row]) if row in first else self.caches[row])
            first.add(row)
        self.caches = caches
        return ()

    def stats(self) -> Memory:
        return unshared_memory(self.caches, 1, self.length)

    def close(self) -> None:
        self.caches = []
        self.length = 0
        super().close()
