"""Teacher forcing: a text read one token a forward pass, through one cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from explorer.attention import TreeMask
from explorer.backends.cow import CowBackend
from explorer.config import InputError, RunConfig
from explorer.eviction import Evictor, Report
from explorer.models import LoadedModel

WATCHED = 16  # tokens between two looks at the allocated bytes


@dataclass(frozen=True, slots=True)
class Said:
    """After one token: log-probabilities of the next, `[vocab]`, float32 on the CPU.

    `seen` `[layers or 1, positions]` bool: what its query could attend to; `weights` `[layers,
    positions]`: where it did, mean over heads (None unless asked for).
    """

    log_probs: torch.Tensor
    seen: np.ndarray
    weights: np.ndarray | None = None
    kv_nbytes: int = 0  # allocated, as of the last look
    score_nbytes: int = 0


def read(
    model: LoadedModel, config: RunConfig, ids: Sequence[int], weights: bool = False
) -> Iterator[Said]:
    """Read all but the last of `ids` through the cache that `config` describes, a `Said` a token.

    Every token is a pass of its own, the first one too, and the policy evicts after each. `weights`
    are to be had of a cache that evicts nothing. Raises InputError where the model's attention
    cannot be replaced or its logits are not numbers.
    """
    if CowBackend.name not in model.info.backends:
        raise InputError(
            f"{model.info.reason} So no policy can evict from its cache; take another model."
        )
    assert not weights or config.eviction.policy is None
    backend = CowBackend(model, config, len(ids))
    watch = Watch(backend, weights)
    kv_nbytes = score_nbytes = 0
    try:
        for index, token in enumerate(ids[:-1]):
            forward = backend.prefill([token]) if index == 0 else backend.decode([token])
            if index % WATCHED == 0 or index == len(ids) - 2:
                memory = backend.stats()
                kv_nbytes, score_nbytes = memory.kv_nbytes, memory.score_nbytes
            log_probs = forward.logits[0].float().log_softmax(-1).cpu()
            if not bool(torch.isfinite(log_probs.max())):
                raise InputError(
                    f"The model's logits at token {index} are not numbers (NaN or infinite): its "
                    "weights are damaged or its dtype overflows; try dtype float32 or another."
                )
            yield Said(log_probs, watch.seen(index), watch.weights(), kv_nbytes, score_nbytes)
    finally:
        backend.close()


class Watch:
    """Stands where a backend has its evictor, lets that do its work (there may be none), and keeps
    what one pass of one path could see; and, if asked, where its query attended."""

    def __init__(self, backend: CowBackend, needs_attention: bool) -> None:
        self.needs_attention, self.needs_states = needs_attention, False
        self._pool, self._inner = backend.pool, backend.evictor
        self._num_heads = _num_heads(backend.model)
        self._visible = np.zeros((1, 0), dtype=bool)
        self._depth = np.zeros((1, 0), dtype=np.int64)
        self._rows: dict[int, torch.Tensor] = {}
        backend.evictor = cast(Evictor, self)

    def begin(self, mask: TreeMask, ids: Sequence[int]) -> TreeMask:
        if self._inner is not None:
            mask = self._inner.begin(mask, ids)
        elif self.needs_attention:
            mask = mask.limited(mask.visible, None, self)
        self._visible = mask.visible[:, 0]
        self._depth = np.atleast_2d(self._pool.slot_depth)[:, : self._visible.shape[1]].copy()
        return mask

    def observe(self, layer_idx: int, weights: torch.Tensor, seen: torch.Tensor) -> None:
        self._rows[layer_idx] = weights[0] / self._num_heads

    def observe_states(
        self, layer_idx: int, queries: torch.Tensor, keys: torch.Tensor, seen: torch.Tensor
    ) -> None:
        """Never called: states are not asked for."""

    def evict(self) -> Report:
        return Report() if self._inner is None else self._inner.evict()

    def fork(self, parents: Sequence[int]) -> None:
        if self._inner is not None:
            self._inner.fork(parents)

    @property
    def nbytes(self) -> int:
        return 0 if self._inner is None else self._inner.nbytes

    def seen(self, index: int) -> np.ndarray:
        """`[layers or 1, index + 1]` bool: what the query at position `index` could attend to. A
        residual entry counts as the position that it stands at."""
        seen = np.zeros((len(self._visible), index + 1), dtype=bool)
        tables, slots = np.nonzero(self._visible)
        seen[tables, self._depth[np.minimum(tables, len(self._depth) - 1), slots]] = True
        return seen

    def weights(self) -> np.ndarray | None:
        """`[layers, positions]` of the last pass; nothing was evicted, so slots are positions."""
        if not self.needs_attention:
            return None
        rows = torch.stack([self._rows[layer_idx].cpu() for layer_idx in sorted(self._rows)])
        return rows.numpy()


def _num_heads(model: LoadedModel) -> int:
    return int(model.module.config.get_text_config(decoder=True).num_attention_heads)
