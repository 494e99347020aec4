"""The prefix caches of a page: locally one for everybody, on a public page one a visitor.

What a run reuses tells that its beginning was read before, so visitors do not share one. A visitor
is a session of the page; those who came longest ago lose theirs first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import gradio as gr

from explorer.cache.prefix import BLOCK_SIZE, CAPACITY_NBYTES
from explorer.cache.record import MOST_HELD
from explorer.cache.watched import WatchedCache
from explorer.ui.limits import Limits

LOCAL = "local"  # who asks where the page is for its own machine only


class Caches:
    """`of` gives a visitor's cache, made when it is first asked for."""

    def __init__(self, limits: Limits | None) -> None:
        self._limits = limits
        self._caches: OrderedDict[str, WatchedCache] = OrderedDict()
        self._lock = threading.RLock()

    def visitor(self, request: gr.Request | None) -> str:
        """Whose cache an event is about."""
        if self._limits is None:
            return LOCAL
        return str(request.session_hash) if request is not None else ""

    @property
    def most_nbytes(self) -> int:
        """Of one visitor's cache."""
        return CAPACITY_NBYTES if self._limits is None else self._limits.prefix_nbytes

    def of(self, visitor: str) -> WatchedCache:
        with self._lock:
            cache = self._caches.get(visitor)
            if cache is not None:
                self._caches.move_to_end(visitor)
                return cache
            return self.renew(visitor)

    def peek(self, visitor: str) -> WatchedCache | None:
        """The visitor's cache if there is one; nobody else loses theirs for it."""
        with self._lock:
            return self._caches.get(visitor)

    def renew(
        self,
        visitor: str,
        block_size: int = BLOCK_SIZE,
        capacity_blocks: int | None = None,
        order: str = "lru",
        **start: Any,
    ) -> WatchedCache:
        """An empty cache in the place of the visitor's; runs that hold blocks of the old one keep
        them to their end."""
        held = MOST_HELD if self._limits is None else self._limits.prefix_record
        bounds = self.most_nbytes, capacity_blocks, order
        cache = WatchedCache(block_size, *bounds, most_held=held)
        cache.begin_record(**start)
        with self._lock:
            self._caches[visitor] = cache
            self._caches.move_to_end(visitor)
            most = 1 if self._limits is None else self._limits.prefix_caches
            while len(self._caches) > most:
                self._caches.popitem(last=False)
        return cache

    def leave(self, visitor: str) -> None:
        """The visitor is gone; a page for its own machine keeps its cache."""
        with self._lock:
            if self._limits is not None:
                self._caches.pop(visitor, None)

    def __len__(self) -> int:
        return len(self._caches)
