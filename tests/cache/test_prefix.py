"""The prefix cache by itself, against a plain dictionary of everything that was ever read."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from explorer.cache.blocks import Block
from explorer.cache.nodes import Lease, Leaves, block_key
from explorer.cache.prefix import PrefixCache
from explorer.config import InputError

SIZE, NBYTES = 2, 10
CONTEXT = "a model"


def block(nbytes: int = NBYTES) -> Block:
    """Stands for keys and values: the cache only counts their bytes."""
    return cast(Block, SimpleNamespace(nbytes=nbytes))


def blocks(first: int, end: int) -> list[Block]:
    return [block() for _ in range(first, end)]


def read(cache: PrefixCache, ids: Sequence[int], context: str = CONTEXT) -> Lease:
    """What a run does with its prompt; the caller ends the run."""
    lease = cache.lease(context, ids)
    cache.extend(lease, blocks)
    return lease


def kept(cache: PrefixCache) -> set[tuple[int, ...]]:
    """The beginnings that are there, each as the tokens from the first one on."""
    whole: dict[bytes, tuple[int, ...]] = {}
    for node in cache.nodes:
        before = whole[node.parent.key] if node.parent else ()
        whole[node.key] = before + node.token_ids
    return set(whole.values())


# ---- against a plain model ---------------------------------------------------------------------


@dataclass
class Known:
    born: int
    used: int
    pins: int = 0


class Plain:
    """The same rules over a dictionary by whole beginnings: no hashes, no tree, no heap."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.known: dict[tuple[int, ...], Known] = {}
        self.capacity: int | None = None
        self.now = count()
        self.evicted: list[tuple[int, ...]] = []

    def beginnings(self, ids: Sequence[int], most: int) -> list[tuple[int, ...]]:
        return [tuple(ids[:end]) for end in range(SIZE, most + 1, SIZE)]

    def hold(self, beginning: tuple[int, ...]) -> None:
        self.known[beginning].pins += 1
        self.known[beginning].used = next(self.now)

    def lease(self, ids: Sequence[int]) -> list[tuple[int, ...]]:
        held = []
        for beginning in self.beginnings(ids, len(ids) - 1):
            if beginning not in self.known:
                break
            held.append(beginning)
        for beginning in held:
            self.hold(beginning)
        return held

    def extend(self, ids: Sequence[int], held: list[tuple[int, ...]]) -> None:
        for beginning in self.beginnings(ids, len(ids))[len(held) :]:
            if beginning not in self.known:
                if not self.shrink(1):
                    return
                self.known[beginning] = Known(next(self.now), 0)
            self.hold(beginning)
            held.append(beginning)

    def leaves(self) -> list[tuple[int, ...]]:
        return [
            one
            for one, about in self.known.items()
            if not about.pins
            and not any(len(other) > len(one) and other[: len(one)] == one for other in self.known)
        ]

    def shrink(self, more: int = 0) -> bool:
        pinned = sum(about.pins > 0 for about in self.known.values())
        if more and self.capacity is not None and pinned + more > self.capacity:
            return False  # and nothing leaves for it
        while self.capacity is not None and len(self.known) + more > self.capacity:
            leaves = self.leaves()
            if not leaves:
                return False
            what = "used" if self.order == "lru" else "born"
            first = min(leaves, key=lambda one: getattr(self.known[one], what))
            del self.known[first]
            self.evicted.append(first)
        return True

    def release(self, held: list[tuple[int, ...]]) -> None:
        for beginning in held:
            self.known[beginning].pins -= 1
        self.shrink()


class Machine(RuleBasedStateMachine):
    """Runs come and go, bounds change; cache and plain model must hold the same."""

    order = "lru"
    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.cache = PrefixCache(SIZE, capacity_nbytes=None, order=self.order)
        self.plain = Plain(self.order)
        self.queries = self.hits = 0

    @rule(target=runs, ids=st.lists(st.integers(0, 1), min_size=1, max_size=9))
    def begin(self, ids: list[int]) -> Any:
        lease, held = self.cache.lease(CONTEXT, ids), self.plain.lease(ids)
        assert lease.num_hit == len(held)
        self.queries += len(ids)
        self.hits += len(held) * SIZE
        self.cache.extend(lease, blocks)
        self.plain.extend(ids, held)
        assert len(lease.nodes) == len(held)
        return lease, held

    @rule(run=consumes(runs))
    def end(self, run: Any) -> None:
        lease, held = run
        self.cache.release(lease)
        self.cache.release(lease)  # twice does no harm
        self.plain.release(held)

    @rule(capacity=st.none() | st.integers(0, 8), in_bytes=st.booleans())
    def resize(self, capacity: int | None, in_bytes: bool) -> None:
        if in_bytes:
            self.cache.resize(None if capacity is None else capacity * NBYTES)
        else:
            self.cache.resize(None, capacity)
        self.plain.capacity = capacity
        self.plain.shrink()

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        while leaves := self.plain.leaves():
            for one in leaves:
                del self.plain.known[one]

    @invariant()
    def both_hold_the_same(self) -> None:
        self.cache.check_integrity()
        stats = self.cache.stats()
        assert kept(self.cache) == set(self.plain.known)
        assert stats.evicted_blocks == len(self.plain.evicted)
        assert stats.pinned_blocks == sum(about.pins > 0 for about in self.plain.known.values())
        assert stats.nbytes == NBYTES * len(self.plain.known)
        assert (stats.queries, stats.hits) == (self.queries, self.hits)


class FifoMachine(Machine):
    order = "fifo"


LIMITS = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLru = Machine.TestCase
TestLru.settings = LIMITS
TestFifo = FifoMachine.TestCase
TestFifo.settings = LIMITS


@pytest.mark.parametrize("order", ["lru", "fifo"])
def test_a_long_workload_leaves_in_the_order_of_a_brute_force_list(order: str) -> None:
    draw, plain = random.Random(3), Plain(order)
    cache, plain.capacity = PrefixCache(SIZE, None, 12, order), 12
    for _ in range(400):
        ids = [draw.randrange(3) for _ in range(draw.randrange(1, 10))]
        lease, held = cache.lease(CONTEXT, ids), plain.lease(ids)
        cache.extend(lease, blocks)
        plain.extend(ids, held)
        cache.release(lease)
        plain.release(held)
        assert kept(cache) == set(plain.known)
    assert len(plain.evicted) > 300


# ---- what is promised in words -----------------------------------------------------------------


def test_the_last_token_is_never_among_the_hits() -> None:
    cache = PrefixCache(SIZE)
    cache.release(read(cache, [1, 2, 3, 4]))
    assert cache.lease(CONTEXT, [1, 2, 3, 4]).num_hit == 1
    assert cache.lease(CONTEXT, [1, 2, 3, 4, 5]).num_hit == 2


def test_another_model_or_number_format_finds_nothing() -> None:
    cache = PrefixCache(SIZE)
    cache.release(read(cache, [1, 2, 3]))
    assert cache.lease("another model", [1, 2, 3]).num_hit == 0
    assert cache.lease(CONTEXT, [1, 2, 3]).num_hit == 1


def test_a_key_is_the_hash_of_its_parent_and_its_tokens() -> None:
    tokens = (7).to_bytes(8, "little") + (2**40).to_bytes(8, "little")
    assert block_key(b"parent", (7, 2**40)) == hashlib.sha256(b"parent" + tokens).digest()


def test_texts_whose_keys_collide_are_told_apart_by_their_tokens() -> None:
    cache = PrefixCache(SIZE, key=lambda parent, ids: hashlib.sha256(parent).digest())
    cache.release(read(cache, [1, 2, 3, 4, 5]))
    other = read(cache, [1, 2, 9, 9, 5])  # its second block has the key of the first text's
    assert (other.num_hit, len(other.nodes)) == (1, 1)
    assert read(cache, [9, 9, 9]).nodes == []
    cache.check_integrity()
    assert kept(cache) == {(1, 2), (1, 2, 3, 4)}


def test_a_block_that_a_run_holds_stays_however_small_the_cache_becomes() -> None:
    cache = PrefixCache(SIZE)
    lease = read(cache, [1, 2, 3, 4, 5])
    assert cache.resize(0) == 0
    assert kept(cache) == {(1, 2), (1, 2, 3, 4)}
    cache.release(lease)
    assert kept(cache) == set()
    assert cache.stats().evicted_blocks == 2


def test_a_prompt_larger_than_the_cache_keeps_its_beginning() -> None:
    cache = PrefixCache(SIZE, capacity_nbytes=None, capacity_blocks=2)
    cache.release(read(cache, [5, 5, 5]))
    lease = cache.lease(CONTEXT, range(9))
    assert cache.extend(lease, blocks) == (2, 1)
    cache.release(lease)
    assert kept(cache) == {(0, 1), (0, 1, 2, 3)}


def test_nothing_leaves_for_a_block_that_will_not_fit() -> None:
    cache = PrefixCache(SIZE, capacity_nbytes=100)
    held = cache.lease(CONTEXT, [1, 1, 1])
    cache.extend(held, lambda first, end: [block(60)])
    for number in range(4):
        cache.release(read(cache, [9 + number] * 3))
    lease = cache.lease(CONTEXT, [5, 5, 5])
    assert cache.extend(lease, lambda first, end: [block(50)]) == (0, 0)
    assert cache.stats().blocks == 5
    cache.release(held)
    assert cache.extend(lease, lambda first, end: [block(50)]) == (1, 1)


def test_only_what_left_for_a_prompt_is_counted_as_evicted_by_it() -> None:
    cache = PrefixCache(SIZE, capacity_nbytes=None, capacity_blocks=4)
    for number in range(4):
        cache.release(read(cache, [number] * 3))

    def slowly(first: int, end: int) -> list[Block]:
        cache.release(read(cache, [7] * 5))  # another run, meanwhile
        return blocks(first, end)

    assert cache.extend(cache.lease(CONTEXT, [8] * 3), slowly) == (1, 1)
    assert cache.stats().evicted_blocks == 3


def test_leaves_are_sorted_out_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, sorted_out, current = PrefixCache(SIZE, None, 1000), [], Leaves.current
    monkeypatch.setattr(Leaves, "current", lambda self: sorted_out.append(1) or current(self))
    for number in range(3000):
        cache.release(read(cache, [number] * 3))
    assert 0 < len(sorted_out) < 20
    cache.check_integrity()


def test_a_beginning_shorter_than_the_least_worth_reusing_is_no_hit() -> None:
    cache = PrefixCache(SIZE)
    cache.release(read(cache, [1, 2, 3, 4, 5]))
    assert cache.lease(CONTEXT, [1, 2, 3, 4, 5], min_tokens=5).num_hit == 0
    assert cache.lease(CONTEXT, [1, 2, 3, 4, 5], min_tokens=4).num_hit == 2
    assert cache.stats().hits == 4


def test_lifetime_and_idle_time_end_with_the_eviction() -> None:
    now = [100.0]
    cache = PrefixCache(SIZE, clock=lambda: now[0])
    cache.release(read(cache, [1, 2, 3]))
    now[0] = 107.0
    cache.release(read(cache, [1, 2, 3]))
    now[0] = 110.0
    assert cache.stats().block_lifetime_seconds is None
    assert [(view.age, view.idle, view.turn) for view in cache.views()] == [(10.0, 3.0, 0)]
    cache.resize(0)
    stats = cache.stats()
    assert stats.block_lifetime_seconds == 10.0
    assert stats.block_idle_before_evict_seconds == 3.0


def test_what_leaves_next_is_said_in_order() -> None:
    cache = PrefixCache(SIZE)
    for ids in ([1, 2, 3, 4, 5], [1, 2, 7, 7, 5], [8, 8, 8]):
        cache.release(read(cache, ids))
    held = cache.lease(CONTEXT, [8, 8, 8])
    views = {view.token_ids: view for view in cache.views()}
    turns = {ids: (view.turn, view.depth, view.pins) for ids, view in views.items()}
    assert turns == {
        (1, 2): (2, 0, 0),
        (3, 4): (0, 1, 0),
        (7, 7): (1, 1, 0),
        (8, 8): (None, 0, 1),
    }
    assert views[(3, 4)].parent == views[(1, 2)].key
    cache.release(held)


@pytest.mark.parametrize("order", ["lru", "fifo"])
@pytest.mark.parametrize("held_ids", [None, [1, 2, 0], [7, 8, 0]])
def test_blocks_leave_in_the_order_that_was_said(order: str, held_ids: list[int] | None) -> None:
    cache = PrefixCache(SIZE, order=order)
    for ids in ([1, 2, 3, 4, 5], [7, 8, 9], [1, 2, 5, 6, 6, 6, 9]):
        cache.release(read(cache, ids))
    if held_ids is not None:
        cache.lease(CONTEXT, held_ids)
    said = {view.token_ids: view.turn for view in cache.views() if view.turn is not None}
    left = []
    for size in reversed(range(len(cache.nodes))):
        before = {node.token_ids for node in cache.nodes}
        cache.resize(None, size)
        left += before - {node.token_ids for node in cache.nodes}
    assert sorted(said, key=said.__getitem__) == left
    assert len(left) == len(said) >= 3


def test_a_parent_leaves_before_a_leaf_that_was_used_after_it() -> None:
    cache = PrefixCache(SIZE)
    for ids in ([1, 2, 3, 4, 5], [7, 8, 9]):
        cache.release(read(cache, ids))
    turns = {view.token_ids: view.turn for view in cache.views()}
    assert turns == {(3, 4): 0, (1, 2): 1, (7, 8): 2}


def test_what_is_forgotten_leaves_with_all_that_goes_on_from_it_whoever_holds_it() -> None:
    cache = PrefixCache(SIZE)
    held = read(cache, [1, 2, 3, 4, 5, 6, 7])
    cache.release(read(cache, [1, 2, 8, 8, 7]))
    cache.forget(held.nodes[1])
    cache.check_integrity()
    assert kept(cache) == {(1, 2), (1, 2, 8, 8)}
    assert cache.extend(held, blocks) == (0, 0)
    cache.release(held)
    cache.release(read(cache, [1, 2, 3, 4, 5]))
    cache.check_integrity()
    assert kept(cache) == {(1, 2), (1, 2, 8, 8), (1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"block_size": 0}, "prefix_block_size: .* from 1, not 0"),
        ({"order": "lfu"}, "prefix_order: choose from lru, fifo, not 'lfu'"),
        ({"capacity_nbytes": -1}, "prefix_max_nbytes: .* from 0, not -1"),
        ({"capacity_blocks": -2}, "prefix_max_blocks: .* from 0, not -2"),
    ],
)
def test_bounds_that_are_none_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        PrefixCache(**given)
