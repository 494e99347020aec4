"""Teacher forcing: a text read one token a forward pass, through one cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import DynamicCache

from explorer import attention
from explorer.backends.cow import CowBackend
from explorer.config import InputError, RunConfig
from explorer.models import LoadedModel

WATCHED = 16  # tokens between two looks at the allocated bytes


@dataclass(frozen=True, slots=True)
class Said:
    """After one token: the next one's log-probabilities `[vocab]`, float32, on the CPU, and
    which positions of the text the query could see, `[layers, positions]` bool."""

    log_probs: torch.Tensor
    seen: np.ndarray | None = None
    weights: np.ndarray | None = None  # the query's attention, mean over heads; same shape
    kv_nbytes: int = 0  # allocated, as of the last look
    score_nbytes: int = 0


def read_policy(model: LoadedModel, config: RunConfig, ids: Sequence[int]) -> Iterator[Said]:
    """Read all but the last of `ids` under the cache that `config` describes, a `Said` a token."""
    backend = CowBackend(model)
    kv_nbytes = score_nbytes = 0
    try:
        for index, token in enumerate(ids[:-1]):
            seen = visible(backend, index)
            forward = backend.prefill([token]) if index == 0 else backend.decode([token])
            if index % WATCHED == 0 or index == len(ids) - 2:
                memory = backend.stats()
                kv_nbytes, score_nbytes = memory.kv_nbytes, memory.score_nbytes
            log_probs = forward.logits[0].float().log_softmax(-1).cpu()
            check(log_probs, index)
            yield Said(log_probs, seen, None, kv_nbytes, score_nbytes)
    finally:
        backend.close()


def visible(backend: CowBackend, index: int) -> np.ndarray:
    """`[layers, index + 1]` bool: positions that the query at `index` will see, itself among them.

    One path: a slot's depth is its position.
    """
    pool = backend.pool
    seen = np.zeros((len(pool.visible), index + 1), dtype=bool)
    depths = np.atleast_2d(pool.slot_depth)
    for layer, bits in enumerate(pool.visible[:, 0]):
        seen[layer, depths[layer if len(depths) > 1 else 0][bits]] = True
    seen[:, index] = True
    return seen


def read_full(model: LoadedModel, ids: Sequence[int]) -> Iterator[Said]:
    """The same with the full cache, the model's own, and where its queries attend."""
    cache = DynamicCache(config=model.module.config)
    for index, token in enumerate(ids[:-1]):
        with model._lock, torch.inference_mode():
            with attention.implementation(model.module, "eager"):
                out = model.module(
                    input_ids=torch.tensor([[token]], device=model.device),
                    past_key_values=cache,
                    use_cache=True,
                    output_attentions=True,
                )
        log_probs = out.logits[0, -1].float().log_softmax(-1).cpu()
        check(log_probs, index)
        rows = [weights[0, :, -1].float().mean(0).cpu().numpy() for weights in out.attentions]
        # a layer with a sliding window holds the last positions only
        spread = [np.pad(row, (index + 1 - len(row), 0)) for row in rows]
        yield Said(log_probs, weights=np.stack(spread), kv_nbytes=_nbytes(cache))


def _nbytes(cache: DynamicCache) -> int:
    return sum(
        tensor.untyped_storage().nbytes()
        for layer in cache.layers
        for tensor in (layer.keys, layer.values)
    )


def check(log_probs: torch.Tensor, index: int) -> None:
    """Raise InputError where the logits are not numbers."""
    if not bool(torch.isfinite(log_probs.max())):
        raise InputError(
            f"The model's logits at token {index} are not numbers (NaN or infinite): its weights "
            "are damaged or its dtype overflows; try dtype float32 or another model."
        )
