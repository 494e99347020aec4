"""Copy-on-write: one pool, all live paths in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch

from explorer.backends.base import Backend, Forward
from explorer.cache.base import PoolLayer
from explorer.cache.blocks import Block
from explorer.cache.pool import Pool
from explorer.cache.quant import layer_types
from explorer.events import Memory
from explorer.eviction import Evictor, Report

if TYPE_CHECKING:
    from explorer.config import RunConfig
    from explorer.models import LoadedModel


class CowBackend(Backend):
    """One shared pool of slots; a path is a row of bits over it. Forking copies bits, never keys or
    values, and each path's next token gets a slot of its own. One forward pass a step for all
    paths, as one-token rows through a tree mask. Needs a model whose attention can be replaced.
    """

    name = "cow"
    can_evict = True
    can_quantize = True
    can_reuse = True

    def __init__(
        self, model: LoadedModel, config: RunConfig | None = None, num_prompt: int = 0
    ) -> None:
        super().__init__(model, config, num_prompt)
        self.pool = Pool(model.info.num_layers, layer_types(config))
        self.evictor: Evictor | None = None
        self._filled: np.ndarray | None = None  # slots that the next pass did not write
        if config is not None and config.eviction.policy is not None:
            num_heads = model.module.config.get_text_config(decoder=True).num_attention_heads
            try:
                self.evictor = Evictor(self.pool, config, num_prompt, num_heads, model.device)
            except BaseException:
                self.close()
                raise
            self.chunk = self.evictor.chunk

    def prefill(self, ids: Sequence[int]) -> Forward:
        forward = self._forward([list(ids)])
        if self._filled is None:
            return forward
        filled, self._filled = self._filled.tolist(), None
        return replace(
            forward,
            slots=(*filled[0], *forward.slots),
            layer_slots=tuple(
                (*own, *new) for own, new in zip(filled, forward.layer_slots, strict=False)
            ),
        )

    @torch.inference_mode()
    def fill(self, ids: Sequence[int], blocks: Sequence[Block]) -> None:
        """Begin with `ids`, whose keys and values `blocks` hold: no pass computes them. Their slots
        count to those of the pass that follows."""
        self.pool.open(len(ids))
        parts = [block.to(self.model.device).layers for block in blocks]
        for layer_idx, (layer, *own) in enumerate(zip(self.pool.layers, *parts, strict=True)):
            layer.fill(self.pool.writing(layer_idx), list(chain.from_iterable(own)))
        if self.evictor is not None:
            self.evictor.fill(ids)
        tables = range(self.pool.num_tables)
        self._filled = np.stack([self.pool.writing(table) for table in tables])

    @torch.inference_mode()
    def cut(self, start: int, stop: int, size: int) -> list[Block]:
        """Copies of what is stored for tokens `start` to `stop` of the one row's text, all of which
        it sees; `size` tokens a block."""
        parts = []
        for layer_idx, layer in enumerate(self.pool.layers):
            slots = np.flatnonzero(self.pool.seen(layer_idx)[0])
            slots = slots[np.argsort(self.pool.depth(layer_idx)[slots])]
            parts.append(layer.cut(slots[start:stop], size))
        return [Block.of(layers) for layers in zip(*parts, strict=True)]

    def decode(self, ids: Sequence[int]) -> Forward:
        return self._forward([[token] for token in ids])

    def fork(self, parents: Sequence[int]) -> tuple[int, ...]:
        if self.evictor is not None:
            self.evictor.fork(parents)
        return self.pool.fork(parents)

    @property
    def layer_freed(self) -> tuple[tuple[int, ...], ...]:
        return self.pool.layer_freed

    def _forward(self, rows: list[list[int]]) -> Forward:
        start = self.pool.row_depth.copy()
        tree_mask = self.pool.begin(len(rows[0]))
        if self.evictor is not None:
            tree_mask = self.evictor.begin(tree_mask, [token for row in rows for token in row])
        logits = self.model.forward(
            rows,
            positions=[range(s, s + len(row)) for s, row in zip(start.tolist(), rows, strict=True)],
            cache=self.pool.cache,
            tree_mask=tree_mask,
        )
        report = Report() if self.evictor is None else self.evictor.evict()
        return Forward(
            logits, len(rows) * len(rows[0]), self.pool.written, self.pool.layer_written, report
        )

    def stats(self) -> Memory:
        """Read off table and storage; token counts are those of the fullest layer."""
        pool = self.pool
        counts = pool.visible.sum(axis=1)  # [tables, slots]
        live, logical = (counts > 0).sum(axis=1).tolist(), counts.sum(axis=1).tolist()
        counts = counts[live.index(max(live))]  # the layer that holds most speaks for the tokens
        if pool.num_tables == 1:
            live, logical = live * pool.num_layers, logical * pool.num_layers
        live_nbytes = logical_nbytes = 0
        for layer_idx, layer in enumerate(pool.layers):
            if type(layer) is PoolLayer:  # all slots weigh the same: they have been counted
                live_nbytes += live[layer_idx] * layer.nbytes_per_slot
                logical_nbytes += logical[layer_idx] * layer.nbytes_per_slot
            else:
                live_nbytes += layer.live_nbytes(pool.seen(layer_idx))
                logical_nbytes += layer.logical_nbytes(pool.seen(layer_idx))
        return Memory(
            unique_kv_tokens=int((counts > 0).sum()),
            logical_kv_tokens=int(counts.sum()),
            shared_kv_tokens=int((counts >= 2).sum()),
            private_kv_tokens=int((counts == 1).sum()),
            capacity=pool.capacity,
            high_water=pool.high_water,
            kv_nbytes=sum(layer.nbytes for layer in pool.layers),
            kv_live_nbytes=live_nbytes,
            kv_logical_nbytes=logical_nbytes,
            layers=tuple(live),
            score_nbytes=0 if self.evictor is None else self.evictor.nbytes,
        )

    def close(self) -> None:
        self.pool.close()
        self.evictor = None
        super().close()
