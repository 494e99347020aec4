"""The prefix cache: keys and values of prompts, kept from run to run.

A text is cut into blocks of `block_size` tokens. A block's key is the SHA-256 of its parent's key
and its own token ids; in the place of the first parent stands the run's context: model, number
format, storage. So equal keys mean equal beginnings, and the blocks of all prompts are a forest:

    "You are helpful. Name a colour." = 0 1 2      context -- 0 -- 1 -- 2
    "You are helpful. Name a river."  = 0 1 3                      `--- 3

What a run uses is pinned. When room is needed leaves go first, the least recently used (`lru`) or
the oldest (`fifo`). The words are those of vLLM's metrics: queries and hits in tokens, a block's
lifetime from its making to its eviction, and how long it had lain idle then.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from statistics import median
from typing import TYPE_CHECKING

from explorer.cache.nodes import (
    BlockView,
    Lease,
    Leaves,
    Node,
    PrefixStats,
    Timed,
    block_key,
    context_key,
    views,
)
from explorer.config import InputError

if TYPE_CHECKING:
    from explorer.cache.blocks import Block

BLOCK_SIZE = 16  # tokens
CAPACITY_NBYTES = 256 * 2**20
ORDERS = ("lru", "fifo")
KEPT_AGES = 4096  # evicted blocks whose lifetimes are remembered


class PrefixCache:
    """Blocks by key, bounded in bytes, in blocks, or both; None: not bounded. Thread-safe.

    `key` and `clock` stand in for SHA-256 and the time in tests. Raises InputError for a block
    size, an order or bounds that are none.
    """

    def __init__(
        self,
        block_size: int = BLOCK_SIZE,
        capacity_nbytes: int | None = CAPACITY_NBYTES,
        capacity_blocks: int | None = None,
        order: str = "lru",
        key: Callable[[bytes, Sequence[int]], bytes] = block_key,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if block_size < 1:
            raise InputError(
                f"prefix_block_size: give a number of tokens from 1, not {block_size}."
            )
        if order not in ORDERS:
            raise InputError(f"prefix_order: choose from {', '.join(ORDERS)}, not {order!r}.")
        self.block_size = block_size
        self.order = order
        self.nbytes = 0
        self._held = (0, 0)  # bytes and blocks that are pinned
        self._key, self._clock = key, clock
        self._lock = threading.RLock()
        self._nodes: dict[bytes, Node] = {}
        self._leaves = Leaves()
        self._ranks = count()
        self._queries = self._hits = self._evicted = 0
        self._saved = 0.0
        self._ages: deque[tuple[float, float]] = deque(maxlen=KEPT_AGES)  # lifetime, idle
        self._medians: tuple[float, float] | None = None  # of those; None: to be worked out
        self.resize(capacity_nbytes, capacity_blocks)

    def resize(self, capacity_nbytes: int | None, capacity_blocks: int | None = None) -> int:
        """New bounds from now on. Returns how many blocks this evicted; pinned ones stay, and go
        when they are released."""
        for name, given in (("nbytes", capacity_nbytes), ("blocks", capacity_blocks)):
            if given is not None and given < 0:
                raise InputError(f"prefix_max_{name}: give a number from 0, not {given}.")
        with self._lock:
            self.capacity_nbytes, self.capacity_blocks = capacity_nbytes, capacity_blocks
            before = self._evicted
            self._shrink()
            return self._evicted - before

    def lease(
        self,
        context: str,
        token_ids: Sequence[int],
        min_tokens: int = 0,
        usable: Callable[[Sequence[Block]], int] = len,
    ) -> Lease:
        """The longest beginning of `token_ids` that is here in whole blocks, pinned: as many of
        them as `usable` says, none shorter than `min_tokens`. The last token is never among it:
        somebody wants its logits."""
        found = Lease(context, tuple(token_ids), [])
        keys = self._keys(found, (len(token_ids) - 1) // self.block_size)
        with self._lock:
            chain = list(self._walk(found, keys))
            chain = chain[: usable([node.block for node in chain])]
            if len(chain) * self.block_size >= min_tokens:
                self._hold(found, chain)
            found.num_hit = len(found.nodes)
            self._queries += len(token_ids)
            self._hits += found.num_hit * self.block_size
        return found

    def looked(self, lease: Lease) -> None:
        """The run has taken what it found, and that has been timed: a cache that is watched notes
        its look now."""

    def extend(self, lease: Lease, make: Callable[[int, int], list[Block]]) -> tuple[int, int]:
        """Keep the whole blocks of the lease's tokens that are not here yet, as far as there is
        room; `make(first, end)` gives blocks by number. Returns those stored and those evicted.

        Blocks are made outside the lock: where another run was faster, its block is taken.
        """
        keys = self._keys(lease, len(lease.token_ids) // self.block_size)
        with self._lock:
            chain = list(self._walk(lease, keys))
            self._hold(lease, chain)
        keys, start = keys[len(chain) :], len(lease.nodes)
        if not keys:
            return 0, 0
        stored = evicted = 0
        for number, block in enumerate(make(start, start + len(keys)), start):
            with self._lock:
                before = self._evicted
                node = self._put(lease.last, lease.context, self._ids(lease, number), block)
                evicted += self._evicted - before
                if node is None:
                    break
                stored += node.block is block
                self._hold(lease, [node])
        return stored, evicted

    def add(
        self,
        context: str,
        parent: bytes | None,
        token_ids: Sequence[int],
        block: Block,
        cold_seconds: Timed,
        whole_seconds: Timed,
    ) -> bool:
        """Put a block after the one whose key is `parent`, where nothing must leave for it. Returns
        whether it is here now."""
        with self._lock:
            before = None if parent is None else self._nodes.get(parent)
            if before is None and parent is not None:
                return False
            key = self._key(parent or context_key(context), token_ids)
            if key not in self._nodes and self._is_over(block.nbytes, 1):
                return False
            lease = Lease(context, (), [])
            self._hold(lease, [] if before is None else [before])
            node = self._put(before, context, tuple(token_ids), block)
            if node is not None:
                node.cold_seconds.update(cold_seconds)
                node.whole_seconds.update(whole_seconds)
                self._leaves.push(node)
            self._let_go(lease)
            return node is not None

    def reorder(self, keys: Iterable[bytes]) -> None:
        """The blocks of these keys are the last to leave now, the first of them before the next."""
        with self._lock:
            for key in keys:
                if (node := self._nodes.get(key)) is not None:
                    node.rank = next(self._ranks)
                    self._leaves.push(node)

    def forget(self, node: Node) -> None:
        """Let a block go that cannot be read, with all that goes on from it, whoever holds them."""
        with self._lock:
            gone = {node}
            for other in self._nodes.values():  # parents before their children
                if other.parent in gone:
                    gone.add(other)
            for each in [other for other in self._nodes.values() if other in gone][::-1]:
                self._drop(each)

    def release(self, lease: Lease) -> None:
        """The run is over: its blocks may go. May be called twice."""
        with self._lock:
            self._let_go(lease)
            self._shrink()

    def count_missed(self, num_tokens: int) -> None:
        """A run read this many tokens of its prompt without a look."""
        with self._lock:
            self._queries += num_tokens

    def count_saved(self, seconds: float) -> None:
        """A run was faster by this much."""
        with self._lock:
            self._saved += seconds

    def clear(self) -> None:
        """Let everything go that no run holds; no eviction is counted."""
        with self._lock:
            while (node := self._leaves.pop()) is not None:
                self._drop(node)

    @property
    def nodes(self) -> list[Node]:
        """Every block, parents before their children."""
        with self._lock:
            return list(self._nodes.values())

    def views(self) -> list[BlockView]:
        """Every block as it may be shown, parents before their children."""
        with self._lock:
            return views(self.nodes, self._clock())

    def stats(self) -> PrefixStats:
        """The figures since the cache was made, as of now; medians of blocks that have left."""
        with self._lock:
            if self._ages and self._medians is None:
                lifetimes, idles = zip(*self._ages, strict=True)
                self._medians = median(lifetimes), median(idles)
            lifetime, idle = self._medians or (None, None)
            return PrefixStats(
                blocks=len(self._nodes),
                pinned_blocks=self._held[1],
                nbytes=self.nbytes,
                queries=self._queries,
                hits=self._hits,
                hit_rate=self._hits / self._queries if self._queries else 0.0,
                evicted_blocks=self._evicted,
                seconds_saved=self._saved,
                block_lifetime_seconds=lifetime,
                block_idle_before_evict_seconds=idle,
            )

    def check_integrity(self) -> None:
        """Assert what must hold between any two operations."""
        with self._lock:
            kept = list(self._nodes.values())
            seen: set[bytes] = set()
            for node in kept:
                assert node.parent is None or node.parent.key in seen, "a child before its parent"
                assert node.parent is None or node.parent.pins >= 0
                assert node.num_children == sum(other.parent is node for other in kept)
                seen.add(node.key)
            pinned = [node.block.nbytes for node in kept if node.pins]
            assert self._held == (sum(pinned), len(pinned))
            assert self.nbytes == sum(node.block.nbytes for node in kept)
            assert {node for node in kept if node.is_loose} <= self._leaves.current(), "a lost leaf"
            assert not self._is_over() or not any(node.is_loose for node in kept), "too much kept"

    def _ids(self, lease: Lease, number: int) -> tuple[int, ...]:
        return lease.token_ids[number * self.block_size : (number + 1) * self.block_size]

    def _keys(self, lease: Lease, end: int) -> list[bytes]:
        """Keys of the blocks after the lease's, up to number `end`."""
        key = lease.last.key if lease.last else context_key(lease.context)
        found = []
        for number in range(len(lease.nodes), end):
            key = self._key(key, self._ids(lease, number))
            found.append(key)
        return found

    def _walk(self, lease: Lease, keys: Sequence[bytes]) -> Iterator[Node]:
        """The blocks that are here after the lease's, one by one."""
        parent = lease.last
        for number, key in enumerate(keys, len(lease.nodes)):
            node = self._nodes.get(key)
            if node is None or not _is(node, parent, lease.context, self._ids(lease, number)):
                return
            yield node
            parent = node

    def _put(
        self, parent: Node | None, context: str, token_ids: tuple[int, ...], block: Block
    ) -> Node | None:
        """The block's node, which may be an equal one that is here already; None without room, or
        where another text has this key."""
        if parent is not None and not parent.is_kept:
            return None
        key = self._key(parent.key if parent else context_key(context), token_ids)
        if (node := self._nodes.get(key)) is not None:
            return node if _is(node, parent, context, token_ids) else None
        if not self._make_room(block.nbytes):
            return None
        now = self._clock()
        node = Node(key, parent, context, token_ids, block, now, now, next(self._ranks))
        self._nodes[key] = node
        self.nbytes += block.nbytes
        if parent is not None:
            parent.num_children += 1
        return node

    def _hold(self, lease: Lease, chain: Sequence[Node]) -> None:
        """Pin `chain`, which follows what the lease has, and count it as used."""
        for node in chain:
            if not node.pins and node.is_kept:
                self._count_held(node, 1)
            node.pins += 1
            node.used = self._clock()
            if self.order == "lru":
                node.rank = next(self._ranks)
        lease.nodes.extend(chain)

    def _let_go(self, lease: Lease) -> None:
        chain, lease.nodes = lease.nodes, []
        for node in chain:
            node.pins -= 1
            if not node.pins and node.is_kept:
                self._count_held(node, -1)
            self._leaves.push(node)

    def _is_over(self, nbytes: int = 0, blocks: int = 0) -> bool:
        """Whether this much more would be too much."""
        over_nbytes = self.capacity_nbytes is not None and (
            self.nbytes + nbytes > self.capacity_nbytes
        )
        return over_nbytes or (
            self.capacity_blocks is not None and len(self._nodes) + blocks > self.capacity_blocks
        )

    def _make_room(self, nbytes: int) -> bool:
        """Evict until a block of `nbytes` fits; False, and nothing leaves, where it never will."""
        held_nbytes, held_blocks = self._held
        if self.capacity_nbytes is not None and held_nbytes + nbytes > self.capacity_nbytes:
            return False
        if self.capacity_blocks is not None and held_blocks + 1 > self.capacity_blocks:
            return False
        return self._shrink(nbytes, 1)

    def _shrink(self, nbytes: int = 0, blocks: int = 0) -> bool:
        """Evict until there is room for this much more; False where what is left is held."""
        while self._is_over(nbytes, blocks):
            node = self._leaves.pop()
            if node is None:
                return False
            now = self._clock()
            self._ages.append((now - node.born, now - node.used))
            self._medians = None
            self._evicted += 1
            self._drop(node)
        return True

    def _count_held(self, node: Node, sign: int) -> None:
        nbytes, blocks = self._held
        self._held = nbytes + sign * node.block.nbytes, blocks + sign

    def _drop(self, node: Node) -> None:
        if node.pins:
            self._count_held(node, -1)
        del self._nodes[node.key]
        node.is_kept = False
        self.nbytes -= node.block.nbytes
        if node.parent is not None:
            node.parent.num_children -= 1
            self._leaves.push(node.parent)


def _is(node: Node, parent: Node | None, context: str, token_ids: tuple[int, ...]) -> bool:
    """Whether `node` is this text's block, and not another's with the same key."""
    return node.parent is parent and node.context == context and node.token_ids == token_ids
