"""What a prefix cache is made of: blocks in a forest, what a run holds of it, what may be told."""

from __future__ import annotations

import hashlib
import heapq
from array import array
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from explorer.cache.blocks import Block


@dataclass(frozen=True, slots=True)
class Owner:
    """The model whose keys and values a block holds; `name` is what people call it."""

    name: str
    fingerprint: str
    dtype: str

    def context(self, storage: str) -> str:
        """What keys and values depend on beside the tokens; `storage`: how a run keeps them."""
        return f"{self.fingerprint} {self.dtype} {storage}"

    def owns(self, context: str) -> bool:
        return context.startswith(self.context(""))


def block_key(parent: bytes, token_ids: Sequence[int]) -> bytes:
    """SHA-256 of the parent's key and the block's token ids, as 64-bit integers."""
    return hashlib.sha256(parent + array("q", token_ids).tobytes()).digest()


def context_key(context: str) -> bytes:
    """What stands in the place of a first block's parent."""
    return hashlib.sha256(context.encode()).digest()


Key = TypeVar("Key", bound=Hashable)
Timed = dict[str, dict[int, float]]  # seconds by the conditions they were measured under, by tokens


@dataclass(slots=True, eq=False)
class Node:
    """A block in the forest. `cold_seconds`: what computing the text up to this block's end took a
    run that found none of it, its share of a pass where none ended there. `whole_seconds`: the same
    of whole prompts whose last whole block this is, always measured."""

    key: bytes
    parent: Node | None
    context: str
    token_ids: tuple[int, ...]
    block: Block
    born: float
    used: float
    rank: int  # the lowest leaves first
    num_children: int = 0
    pins: int = 0
    is_kept: bool = True
    cold_seconds: Timed = field(default_factory=dict)
    whole_seconds: Timed = field(default_factory=dict)

    @property
    def is_loose(self) -> bool:
        """Whether it may be evicted."""
        return self.is_kept and not self.num_children and not self.pins


class Leaves:
    """The blocks that may be evicted, the lowest rank first. A heap whose entries may be out of
    date: those are passed over."""

    SPARE = 64  # entries out of date that are not worth sorting out

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Node]] = []
        self._numbers = count()
        self._most = self.SPARE  # entries, before those out of date are sorted out

    def push(self, node: Node) -> None:
        """It may be evicted from now on, if nothing holds it."""
        if not node.is_loose:
            return
        heapq.heappush(self._heap, (node.rank, next(self._numbers), node))
        if len(self._heap) > self._most:
            self._heap = [(node.rank, next(self._numbers), node) for node in self.current()]
            heapq.heapify(self._heap)
            self._most = self.SPARE + 2 * len(self._heap)

    def pop(self) -> Node | None:
        """The one that leaves first; None: all are held."""
        while self._heap:
            rank, _, node = heapq.heappop(self._heap)
            if node.is_loose and node.rank == rank:
                return node
        return None

    def current(self) -> set[Node]:
        """All of them."""
        return {node for rank, _, node in self._heap if node.is_loose and node.rank == rank}


@dataclass(slots=True)
class Lease:
    """What a run holds of the cache until it is released: a chain of pinned blocks, of which
    `num_hit` were there when it began. `cold`: what reading all of it without the cache has just
    taken, after the conditions, where somebody has measured it."""

    context: str
    token_ids: tuple[int, ...]
    nodes: list[Node]
    num_hit: int = 0
    cold: tuple[str, float] | None = None

    @property
    def blocks(self) -> list[Block]:
        return [node.block for node in self.nodes]

    @property
    def last(self) -> Node | None:
        return self.nodes[-1] if self.nodes else None


@dataclass(frozen=True, slots=True)
class PrefixStats:
    """What the cache holds and has done. `queries` and `hits` are tokens; the last two are medians
    over the blocks evicted last, None before there is one."""

    blocks: int
    pinned_blocks: int
    nbytes: int
    queries: int
    hits: int
    hit_rate: float
    evicted_blocks: int
    seconds_saved: float
    block_lifetime_seconds: float | None
    block_idle_before_evict_seconds: float | None


@dataclass(frozen=True, slots=True)
class BlockView:
    """A block as it may be shown. `age` and `idle` in seconds; `turn`: how many blocks leave before
    it, None where it or one that goes on from it is pinned. `num_children`: blocks right after."""

    key: str
    parent: str | None
    token_ids: tuple[int, ...]
    depth: int
    pins: int
    nbytes: int
    age: float
    idle: float
    turn: int | None
    num_children: int


def turns(blocks: Iterable[tuple[Key, Key | None, int, int]]) -> dict[Key, int]:
    """How many leave before each of the blocks `(key, parent's key, rank, pins)`: the eviction
    played to its end, a parent joining the leaves once its last child has left."""
    known = {key: (parent, rank, pins) for key, parent, rank, pins in blocks}
    left = Counter(parent for parent, _, _ in known.values())
    numbers = count()
    loose = [
        (rank, next(numbers), key)
        for key, (_, rank, pins) in known.items()
        if not left[key] and not pins
    ]
    heapq.heapify(loose)
    found: dict[Key, int] = {}
    while loose:
        _, _, key = heapq.heappop(loose)
        found[key] = len(found)
        parent = known[key][0]
        if parent is not None:
            left[parent] -= 1
            _, rank, pins = known[parent]
            if not left[parent] and not pins:
                heapq.heappush(loose, (rank, next(numbers), parent))
    return found


def views(nodes: Sequence[Node], now: float) -> list[BlockView]:
    """`nodes`, parents before their children, as they may be shown."""
    left_before = turns(
        (node.key, None if node.parent is None else node.parent.key, node.rank, node.pins)
        for node in nodes
    )
    depths: dict[bytes, int] = {}
    found = []
    for node in nodes:
        parent = node.parent
        depths[node.key] = 0 if parent is None else depths[parent.key] + 1
        found.append(
            BlockView(
                key=node.key.hex(),
                parent=None if parent is None else parent.key.hex(),
                token_ids=node.token_ids,
                depth=depths[node.key],
                pins=node.pins,
                nbytes=node.block.nbytes,
                age=now - node.born,
                idle=now - node.used,
                turn=left_before.get(node.key),
                num_children=node.num_children,
            )
        )
    return found
