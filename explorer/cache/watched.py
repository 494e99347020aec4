"""A prefix cache that keeps its moments: after every change, what it holds and what was new.

    look   a run's beginning was looked up; what it hits is pinned
    keep   the run's other blocks were stored, others evicted for them
    end    the run let go of its pins

Whatever else changes the cache (`warm`, `load`, `clear`, `resize`) is one moment as well, and the
first of a record, `new`, is what was there when it began. What is known of a block is made anew
when it changes, so that a moment takes one reference a block; texts and turns are worked out by
those who show it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from explorer.cache.nodes import Lease, Node, Timed
from explorer.cache.prefix import ORDERS, PrefixCache
from explorer.cache.record import MOST_HELD, Held, Ids, Moment, Reader, Record, Request, Seen
from explorer.config import InputError

if TYPE_CHECKING:
    from explorer.cache.blocks import Block


class WatchedCache(PrefixCache):
    """A PrefixCache with a `record` of its moments. When that is full, a new one begins, with what
    is held, before the next request. `most_held`: see Record."""

    def __init__(self, *args: Any, most_held: int = MOST_HELD, **settings: Any) -> None:
        self.record = Record(most_held=most_held)
        self._new: list[int] = []
        self._gone: list[int] = []
        self._hit: list[int] = []
        self._holding: dict[int, Held] = {}  # every block in the cache, parents first
        self._open: dict[int, Request | None] = {}  # by the lease that a run holds
        self._looks: dict[int, Ids] = {}  # by lease: what was hit, and is no moment yet
        self._now: Request | None = None
        self._reader: Reader | None = None
        self._readers: dict[str, Reader] = {}  # by context
        # Who makes one moment of several changes, and of which kind: first of all the cache's own.
        self._doer: tuple[int, str] | None = (threading.get_ident(), "new")
        super().__init__(*args, **settings)
        self._doer = None
        self.begin_record()

    @property
    def locked(self) -> AbstractContextManager[object]:
        """Within it nothing changes: what several lists of the record say belongs together."""
        return self._lock

    def begin_record(self, **start: Any) -> Record:
        """Forget all moments; the first of the new record is what is held now."""
        with self._lock:
            start = start or dict(self.record.start)
            self.record = Record(began=self._clock(), start=start, most_held=self.record.most_held)
            self._new, self._gone, self._hit, self._holding, self._looks = [], [], [], {}, {}
            for node in self.nodes:
                self._see(node)
            self._new = []
            self._take("new", None)
            return self.record

    def request(self, title: str, source: str, texts: Sequence[str], read: Reader) -> Request:
        """The next run that looks for its beginning is this one, of a model whose tokens `read`
        reads."""
        with self._lock:
            if self.record.is_full and not self._open:
                self.begin_record()
            size, count = self.block_size, len(texts)
            parts = tuple("".join(texts[at : at + size]) for at in range(0, count, size))
            made = Request(len(self.record.requests), title, source, count, parts)
            self.record.requests.append(made)
            self.record.num_held += len(parts)
            self._now, self._reader = made, read
            return made

    @contextmanager
    def doing(self, kind: str, read: Reader | None = None) -> Iterator[list[str]]:
        """What this thread changes within it is one moment of this kind; the list is given its
        words."""
        words: list[str] = []
        with self._lock:
            self._doer = threading.get_ident(), kind
            self._reader = read or self._reader
        try:
            yield words
        finally:
            with self._lock:
                self._doer = None
                if words or self._new or self._gone:
                    self._take(kind, None, " ".join(words))

    def rank_by(self, order: str) -> None:
        """Who leaves first from now on, of what is here as well: the least recently used (`lru`) or
        the oldest (`fifo`). Raises InputError."""
        if order not in ORDERS:
            raise InputError(f"prefix_order: choose from {', '.join(ORDERS)}, not {order!r}.")
        with self._lock:
            self._part()
            by = (lambda node: node.used) if order == "lru" else (lambda node: node.born)
            self.order = order
            self.reorder([node.key for node in sorted(self.nodes, key=by)])
            self._take("resize", None)

    # ---- what runs and buttons do, each followed by its moment ---------------------------------

    def lease(
        self,
        context: str,
        token_ids: Sequence[int],
        min_tokens: int = 0,
        usable: Callable[[Sequence[Block]], int] = len,
    ) -> Lease:
        """As `PrefixCache.lease`; what it found is the current request's."""
        with self._lock:
            request = self._current
            if self._reader is not None:
                self._readers.setdefault(context, self._reader)
        found = super().lease(context, token_ids, min_tokens, usable)
        with self._lock:
            hit = tuple(self.record.places[node.key] for node in found.nodes)
            self._open[id(found)], self._looks[id(found)] = request, hit
            if request is not None:
                found.cold = request.cold
                request.ids = request.hit = hit
                request.num_hit = len(hit)
        return found

    def looked(self, lease: Lease) -> None:
        with self._lock:
            if (hit := self._looks.pop(id(lease), None)) is not None:
                self._hit = list(hit)
                self._moment("look", self._open.get(id(lease)))

    def extend(self, lease: Lease, make: Callable[[int, int], list[Block]]) -> tuple[int, int]:
        self.looked(lease)
        done = super().extend(lease, make)
        with self._lock:
            request = self._open.get(id(lease))
            if request is not None:
                request.ids = tuple(self.record.places[node.key] for node in lease.nodes)
            self._moment("keep", request)
        return done

    def release(self, lease: Lease) -> None:
        self.looked(lease)
        super().release(lease)
        with self._lock:
            if id(lease) in self._open:
                request = self._open.pop(id(lease))
                is_warm = request is not None and request.source == "warm"
                self._take("warm" if is_warm else "end", request)

    def count_missed(self, num_tokens: int) -> None:
        super().count_missed(num_tokens)
        with self._lock:
            self._moment("look", self._current)

    def clear(self) -> None:
        with self._lock:
            self._part()
            super().clear()
            self._take("clear", None)

    def resize(self, capacity_nbytes: int | None, capacity_blocks: int | None = None) -> int:
        with self._lock:
            self._part()
            gone = super().resize(capacity_nbytes, capacity_blocks)
            self._take("resize", None)
            return gone

    def add(
        self,
        context: str,
        parent: bytes | None,
        token_ids: Sequence[int],
        block: Block,
        cold_seconds: Timed,
        whole_seconds: Timed,
    ) -> bool:
        if self._reader is not None:
            self._readers.setdefault(context, self._reader)
        return super().add(context, parent, token_ids, block, cold_seconds, whole_seconds)

    @property
    def _current(self) -> Request | None:
        """Whose look the next one is."""
        return None if self._now is None or self._now.done else self._now

    # ---- moments -------------------------------------------------------------------------------

    def _moment(self, kind: str, request: Request | None) -> None:
        """A run's moment; those of a prompt that is warmed are one, at its end."""
        if request is None or request.source != "warm":
            self._take(kind, request)

    def _part(self) -> None:
        """What another thread has changed so far, half way, is a moment of its own: a button's is
        only what that did."""
        if (self._new or self._gone) and not self._is_doing:
            self._take("keep" if self._doer is None else self._doer[1], None)

    @property
    def _is_doing(self) -> bool:
        """Whether this thread's changes are one moment, later."""
        return self._doer is not None and self._doer[0] == threading.get_ident()

    def _take(self, kind: str, request: Request | None, words: str = "") -> None:
        with self._lock:
            if self._is_doing:
                return
            record = self.record
            held = tuple(self._holding.values())
            record.moments.append(
                Moment(
                    kind=kind,
                    request=None if request is None else request.n,
                    time=self._clock() - record.began,
                    hit=tuple(self._hit),
                    new=tuple(self._new),
                    gone=tuple(self._gone),
                    held=held,
                    stats=self.stats(),
                    capacity_nbytes=self.capacity_nbytes,
                    capacity_blocks=self.capacity_blocks,
                    order=self.order,
                    words=words,
                )
            )
            record.num_held += len(held)
            self._new, self._gone, self._hit = [], [], []

    def _note(self, node: Node) -> None:
        """What is known of a block has changed."""
        if node.is_kept:
            place, began = self.record.places[node.key], self.record.began
            born, used = node.born - began, node.used - began
            self._holding[place] = Held(place, node.pins, node.rank, born, used)

    def _hold(self, lease: Lease, chain: Sequence[Node]) -> None:
        super()._hold(lease, chain)
        for node in chain:
            self._note(node)

    def _let_go(self, lease: Lease) -> None:
        chain = lease.nodes
        super()._let_go(lease)
        for node in chain:
            self._note(node)

    def reorder(self, keys: Iterable[bytes]) -> None:
        with self._lock:
            super().reorder(keys)
            for node in self._nodes.values():
                self._note(node)

    def _put(
        self, parent: Node | None, context: str, token_ids: tuple[int, ...], block: Block
    ) -> Node | None:
        node = super()._put(parent, context, token_ids, block)
        if node is not None and node.block is block:
            self._see(node)
        return node

    def _drop(self, node: Node) -> None:
        super()._drop(node)
        place = self.record.places[node.key]
        del self._holding[place]
        if place in self._new:  # came and went between two moments
            self._new.remove(place)
        else:
            self._gone.append(place)

    def _see(self, node: Node) -> None:
        """The block is in the cache now: what comes back is the block that it was."""
        record = self.record
        place = record.places.get(node.key)
        if place is None:
            place = record.places[node.key] = len(record.seen)
            parent = None if node.parent is None else record.places[node.parent.key]
            depth = 0 if parent is None else record.seen[parent].depth + 1
            read = self._readers.get(node.context)
            tokens, nbytes = node.token_ids, node.block.nbytes
            record.seen.append(Seen(node.key, parent, depth, tokens, nbytes, read))
        self._new.append(place)
        self._note(node)
