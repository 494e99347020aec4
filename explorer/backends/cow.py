"""Copy-on-write: one pool, all live paths in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from explorer.backends.base import Backend, Forward
from explorer.cache.pool import Pool
from explorer.events import Memory

if TYPE_CHECKING:
    from explorer.models import LoadedModel


class CowBackend(Backend):
    """One shared pool of slots; a path is a row of bits over it. Forking copies bits, never keys or
    values, and each path's next token gets a slot of its own. One forward pass a step for all
    paths, as one-token rows through a tree mask. Needs a model whose attention can be replaced.
    """

    name = "cow"

    def __init__(self, model: LoadedModel) -> None:
        super().__init__(model)
        self.pool = Pool(model.info.num_layers)

    def prefill(self, ids: Sequence[int]) -> Forward:
        return self._forward([list(ids)])

    def decode(self, ids: Sequence[int]) -> Forward:
        return self._forward([[token] for token in ids])

    def fork(self, parents: Sequence[int]) -> tuple[int, ...]:
        return self.pool.fork(parents)

    def _forward(self, rows: list[list[int]]) -> Forward:
        start = self.pool.row_depth.copy()
        tree_mask = self.pool.begin(len(rows[0]))
        logits = self.model.forward(
            rows,
            positions=[range(s, s + len(row)) for s, row in zip(start.tolist(), rows, strict=True)],
            cache=self.pool.cache,
            tree_mask=tree_mask,
        )
        return Forward(logits, len(rows) * len(rows[0]), self.pool.written)

    def stats(self) -> Memory:
        pool = self.pool
        tables = [pool.reference_count(i) for i in range(len(pool.visible))]
        counts = tables[0] if len(tables) == 1 else pool.visible.any(0).sum(0)
        live = [int((table > 0).sum()) for table in tables]
        logical = [int(table.sum()) for table in tables]
        if len(tables) == 1:  # no layer has evicted: all share one table
            live, logical = live * pool.num_layers, logical * pool.num_layers
        nbytes = [layer.nbytes_per_slot for layer in pool.layers]
        return Memory(
            unique_kv_tokens=int((counts > 0).sum()),
            logical_kv_tokens=int(counts.sum()),
            shared_kv_tokens=int((counts >= 2).sum()),
            private_kv_tokens=int((counts == 1).sum()),
            capacity=pool.capacity,
            high_water=pool.high_water,
            kv_nbytes=sum(layer.nbytes for layer in pool.layers),
            kv_live_nbytes=sum(n * each for n, each in zip(live, nbytes, strict=True)),
            kv_logical_nbytes=sum(n * each for n, each in zip(logical, nbytes, strict=True)),
            layers=tuple(live),
        )

    def close(self) -> None:
        self.pool.close()
        super().close()
