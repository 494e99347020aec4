"""What runs beside a run, with the same tokens and forks: the full cache, nothing evicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch

from explorer.backends import Forward
from explorer.backends.cow import CowBackend
from explorer.config import InputError
from explorer.events import Decision
from explorer.models import LoadedModel


class Follower(Protocol):
    """Takes the steps of a run, its forks too, and says how far the run's predictions are off."""

    def prefill(self, ids: Sequence[int]) -> None: ...
    def decode(self, ids: Sequence[int]) -> None: ...
    def compare(self, forward: Forward, decisions: Sequence[Decision]) -> tuple[Decision, ...]: ...
    def fork(self, parents: Sequence[int]) -> None: ...
    def close(self) -> None: ...


class FullCache:
    """Follows a run token by token through a pool that keeps everything, and says how far the
    run's predictions are from its own. Costs a second forward pass a step, and the full memory."""

    def __init__(self, model: LoadedModel, chunk: int) -> None:
        if CowBackend.name not in model.info.backends:
            raise InputError(
                f"{model.info.reason} So there is no full cache to hold the run against; switch "
                "against_full off."
            )
        self._backend = CowBackend(model)
        self._chunk = chunk
        self._logits: torch.Tensor | None = None

    def prefill(self, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), self._chunk):
            self._logits = self._backend.prefill(ids[start : start + self._chunk]).logits

    def decode(self, ids: Sequence[int]) -> None:
        self._logits = self._backend.decode(ids).logits

    def compare(self, forward: Forward, decisions: Sequence[Decision]) -> tuple[Decision, ...]:
        """The decisions, one a row of the pass, with `kl`, `full_top` and `top`."""
        assert self._logits is not None
        if (source := self._backend.model.source) is not None:
            source.looked(())  # nobody asks what this one looked at
        kl = divergence(self._logits, forward.logits)
        tops = [logits.argmax(dim=-1).to(kl.dtype) for logits in (self._logits, forward.logits)]
        table = torch.stack([kl, *tops]).cpu().tolist()
        return tuple(
            replace(decision, kl=each, full_top=int(wanted), top=int(top))
            for decision, each, wanted, top in zip(decisions, *table, strict=True)
        )

    def fork(self, parents: Sequence[int]) -> None:
        self._backend.fork(parents)

    def close(self) -> None:
        self._backend.close()


def divergence(full: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """KL(full || other) of two sets of logits `[rows, vocab]`, in nats, `[rows]`: float64, but
    float32 on MPS, which has no wider numbers."""
    wide = torch.float32 if full.device.type == "mps" else torch.float64
    p, q = (logits.to(wide).log_softmax(dim=-1) for logits in (full, other))
    terms = torch.where(p > -torch.inf, p.exp() * (p - q), 0.0)
    return terms.sum(dim=-1).clamp(min=0)


class Both:
    """Two that follow the same run."""

    def __init__(self, first: Follower, second: Follower) -> None:
        self._all = (first, second)

    def prefill(self, ids: Sequence[int]) -> None:
        for each in self._all:
            each.prefill(ids)

    def decode(self, ids: Sequence[int]) -> None:
        for each in self._all:
            each.decode(ids)

    def compare(self, forward: Forward, decisions: Sequence[Decision]) -> tuple[Decision, ...]:
        for each in self._all:
            decisions = each.compare(forward, decisions)
        return tuple(decisions)

    def fork(self, parents: Sequence[int]) -> None:
        for each in self._all:
            each.fork(parents)

    def close(self) -> None:
        for each in self._all:
            each.close()
