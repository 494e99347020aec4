"""A run against float32: the same tokens through the same weights, not rounded, no fused kernel."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from explorer.backends import BACKENDS, Forward
from explorer.events import Decision

if TYPE_CHECKING:
    from explorer.models import LoadedModel

REFERENCE = "math"  # the kernel of plain products


class Float32:
    """Follows a run token by token in float32, and says how far the run's logits are from it and
    where its most probable token is another. Costs a second pass a step, and twice the weights
    where the run's own are not float32."""

    def __init__(self, model: LoadedModel, chunk: int) -> None:
        twin = float32(model)
        backend = BACKENDS[twin.info.backends[0]]
        self._backend = backend(twin)
        self._chunk: int | None = chunk if backend.is_chunked else None
        self._logits: torch.Tensor | None = None

    def prefill(self, ids: Sequence[int]) -> None:
        chunk = self._chunk or len(ids)
        for start in range(0, len(ids), chunk):
            self._logits = self._backend.prefill(ids[start : start + chunk]).logits

    def decode(self, ids: Sequence[int]) -> None:
        self._logits = self._backend.decode(ids).logits

    def compare(self, forward: Forward, decisions: Sequence[Decision]) -> tuple[Decision, ...]:
        """The decisions, one a row of the pass, with `top`, `float32_top` and `float32_error`."""
        assert self._logits is not None
        if (source := self._backend.model.source) is not None:
            source.looked(())  # nobody asks what this one looked at
        own = forward.logits.float()
        apart = torch.where(own == self._logits, 0.0, (own - self._logits).abs())  # -inf is -inf
        columns = [own.argmax(-1).float(), self._logits.argmax(-1).float()]  # exact below 2**24
        table = torch.stack([*columns, apart.amax(-1)]).cpu().tolist()
        return tuple(
            replace(decision, top=int(top), float32_top=int(wanted), float32_error=error)
            for decision, top, wanted, error in zip(decisions, *table, strict=True)
        )

    def fork(self, parents: Sequence[int]) -> None:
        self._backend.fork(parents)

    def close(self) -> None:
        self._backend.close()


def float32(model: LoadedModel) -> LoadedModel:
    """`model` in float32 on the reference kernel: read anew from where it came from, so that no
    weight has been rounded; otherwise from its own weights. Made once a model.

    Raises InputError where there is no memory for it.
    """
    if model.module.dtype != torch.float32 and "float32" not in model.kept:
        model.kept["float32"] = _read(model)
    twin = model.kept["float32"] if model.module.dtype != torch.float32 else model
    twin = copy.copy(twin)
    twin.kernel, twin.compiled = REFERENCE, None
    return twin if model.source is None else twin.reading(model.source.ids)


def _read(model: LoadedModel) -> LoadedModel:
    from explorer.models import LoadedModel, load_model

    if model.is_from_files:
        return load_model(model.info.name, model.info.device, "float32")
    module = model.module
    config = copy.deepcopy(module.config)
    fresh = type(module)._from_config(config, dtype=torch.float32)  # tables of angles not rounded
    fresh.load_state_dict({name: each.float() for name, each in module.state_dict().items()})
    return LoadedModel(fresh.to(model.device), model.tokenizer, model.info.name)
