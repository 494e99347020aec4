"""What a backend is: how the live paths are run. Rows are paths, in the engine's order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from transformers.cache_utils import Cache

from explorer.cache.blocks import Block
from explorer.config import RunConfig
from explorer.events import Memory
from explorer.eviction import Report

if TYPE_CHECKING:
    from explorer.models import LoadedModel

NOTHING = Report()
_open: set[int] = set()


def num_open() -> int:
    """Backends of this process that hold keys and values: 0 when no run is under way."""
    return len(_open)


@dataclass(frozen=True, slots=True)
class Forward:
    """What one engine step computed: `logits` `[rows, vocab]` at each row's last token."""

    logits: torch.Tensor
    positions: int  # token positions computed
    slots: tuple[int, ...] = ()  # pool slots written, in row (or prompt) order
    layer_slots: tuple[tuple[int, ...], ...] = ()  # of each layer, once layers differ
    report: Report = NOTHING  # what a cache policy evicted, and why


class Backend(ABC):
    """Runs the live paths of one prompt. `fork` is the only structural operation:
    branching repeats a parent, pruning omits it, continuing is the identity.

    `is_chunked` says whether `prefill` may be called with the prompt in pieces, `is_tree` whether
    one run holds many paths, `can_evict` whether a cache policy may bound them, `can_quantize`
    whether it stores in other formats than the model's, `can_reuse` whether `fill` and `cut` work.
    `close` frees keys and values and may be called twice.
    """

    name: ClassVar[str]
    is_chunked: ClassVar[bool] = True
    is_tree: ClassVar[bool] = True
    can_evict: ClassVar[bool] = False
    can_quantize: ClassVar[bool] = False
    can_reuse: ClassVar[bool] = False

    def __init__(
        self, model: LoadedModel, config: RunConfig | None = None, num_prompt: int = 0
    ) -> None:
        """`config` and the number of prompt tokens say how a pool stores and whom it evicts."""
        self.model = model
        self.chunk: int | None = None  # prompt tokens of one prefill at most; None: any number
        _open.add(id(self))

    @abstractmethod
    def prefill(self, ids: Sequence[int]) -> Forward:
        """Append prompt tokens to the single row; logits `[1, vocab]`."""

    @abstractmethod
    def fork(self, parents: Sequence[int]) -> tuple[int, ...]:
        """Row `i` continues what was row `parents[i]`. Returns the pool slots this freed."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> Forward:
        """Append token `ids[i]` to row `i`; logits `[rows, vocab]`."""

    def fill(self, ids: Sequence[int], blocks: Sequence[Block]) -> None:
        """Begin with `ids`, whose keys and values `blocks` hold: no pass computes them."""
        raise NotImplementedError

    def cut(self, start: int, stop: int, size: int) -> list[Block]:
        """Copies of what is stored for the prompt's tokens `start` to `stop`, `size` a block."""
        raise NotImplementedError

    @property
    def layer_freed(self) -> tuple[tuple[int, ...], ...]:
        """What the last fork freed in each layer, once layers differ."""
        return ()

    @abstractmethod
    def stats(self) -> Memory:
        """What is stored now, read off real storage."""

    def close(self) -> None:
        _open.discard(id(self))


def _states(layer: Any) -> Iterator[torch.Tensor]:
    """Keys and values, and whatever other state a layer keeps of the text so far."""
    for name in ("keys", "values"):
        if (tensor := getattr(layer, name, None)) is not None:
            yield tensor
    for name in ("conv_states", "recurrent_states"):
        yield from (t for t in getattr(layer, name, {}).values() if t is not None)


def cache_storages(caches: Sequence[Cache]) -> dict[int, int]:
    """`{address: bytes}` of every distinct storage that the caches' states live in."""
    return {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for cache in caches
        for layer in cache.layers
        for tensor in _states(layer)
        if tensor.numel()
    }


def unshared_memory(caches: Sequence[Cache], rows_per_cache: int, length: int) -> Memory:
    """Memory of caches in which no two paths share anything: each row holds all it sees.

    `length` is the number of tokens of each row's text. Sliding-window layers hold fewer; their
    tokens are counted as stored.
    """
    rows = len(caches) * rows_per_cache if length else 0
    layers = []
    for layer in caches[0].layers if caches else ():
        keys = getattr(layer, "keys", None)
        layers.append(rows * (keys.shape[-2] if keys is not None and keys.dim() == 4 else 0))
    states = (t for cache in caches for layer in cache.layers for t in _states(layer))
    live = sum(tensor.numel() * tensor.element_size() for tensor in states)
    return Memory(
        unique_kv_tokens=rows * length,
        logical_kv_tokens=rows * length,
        shared_kv_tokens=0,
        private_kv_tokens=rows * length,
        capacity=rows * length,
        high_water=rows * length,
        kv_nbytes=sum(cache_storages(caches).values()),
        kv_live_nbytes=live,
        kv_logical_nbytes=live,
        layers=tuple(layers),
    )
