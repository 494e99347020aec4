"""A watched cache while several threads deal with it: what is told belongs together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest

from explorer import moments
from explorer.cache.prefix import PrefixCache
from explorer.cache.watched import WatchedCache
from tests.cache.test_prefix import CONTEXT, SIZE, block, read
from tests.cache.test_watched import ask, letters


def beside(act: Callable[[], object], seconds: float | None = None) -> threading.Thread:
    """Do it in another thread; wait for its end, at most so long."""
    thread = threading.Thread(target=act)
    thread.start()
    thread.join(seconds)
    return thread


def test_a_record_that_begins_anew_is_never_told_half(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = WatchedCache(SIZE)
    cache.release(read(cache, [1, 2, 3, 4, 5]))
    told: list[Any] = []
    threads: list[threading.Thread] = []
    see = WatchedCache._see

    def meanwhile(self: WatchedCache, node: Any) -> None:
        if not threads:
            threads.append(beside(lambda: told.append(moments.Teller(cache).news()), 0.2))
        see(self, node)

    monkeypatch.setattr(WatchedCache, "_see", meanwhile)
    record = cache.begin_record()
    threads[0].join()
    assert [(one["reuse"], len(one["blocks"]), len(one["moments"])) for one in told] == [
        (record.id, 2, 1)
    ]


def test_what_a_page_has_so_far_is_told_again_by_nobody_and_is_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = WatchedCache(SIZE)
    ask(cache, [1, 2, 3]).done = True
    cache.release(read(cache, [1, 2, 3]))
    ask(cache, [1, 2, 4])
    with monkeypatch.context() as patch:
        for name in ("shown_block", "shown_moment", "shown_request"):
            patch.setattr(moments, name, None)
        teller = moments.Teller.from_now(cache)
    cache.clear()
    news = teller.news()
    assert (news["seq"], news["first_block"], news["blocks"]) == (4, 1, [])
    assert [one["kind"] for one in news["moments"]] == ["clear"]
    assert [one["n"] for one in news["requests"]] == [1]  # the other one has ended
    cache.record.requests[1].done = True
    assert [one["done"] for one in teller.news()["requests"]] == [True]
    monkeypatch.setattr(moments, "shown_request", None)
    assert teller.news()["requests"] == []


def test_emptying_while_a_folder_is_written_is_a_moment_of_its_own() -> None:
    cache = WatchedCache(SIZE)
    cache.release(read(cache, [1, 2, 3, 4, 5]))
    with cache.doing("save") as words:
        beside(cache.clear)
        words.append("2 blocks written.")
    told = [(one.kind, one.gone, len(one.held), one.words) for one in cache.record.moments[-2:]]
    assert told == [("clear", (1, 0), 0, ""), ("save", (), 0, "2 blocks written.")]


def test_other_bounds_while_a_folder_is_read_part_its_moment_in_two() -> None:
    cache = WatchedCache(SIZE)
    with cache.doing("load", letters) as words:
        cache.add(CONTEXT, None, (1, 2), block(), {}, {})
        beside(lambda: cache.resize(None, 0))
        cache.resize(None, 5)  # of the load itself
        cache.add(CONTEXT, None, (3, 4), block(), {}, {})
        words.append("Read.")
    told = [(one.kind, one.new, one.gone, one.words) for one in cache.record.moments[1:]]
    assert told == [
        ("load", (0,), (), ""),
        ("resize", (), (0,), ""),
        ("load", (1,), (), "Read."),
    ]


def test_emptying_while_a_prompt_is_stored_takes_nothing_of_it_upon_itself() -> None:
    cache = WatchedCache(SIZE)
    lease = cache.lease(CONTEXT, [1, 2, 3, 4, 5])

    def one_by_one(first: int, end: int) -> Any:
        yield block()
        beside(cache.clear)
        yield block()

    cache.extend(lease, one_by_one)
    cache.release(lease)
    told = [(one.kind, one.new, one.gone) for one in cache.record.moments[1:]]
    assert told == [
        ("look", (), ()),
        ("keep", (0,), ()),
        ("clear", (), ()),
        ("keep", (1,), ()),
        ("end", (), ()),
    ]


def test_a_record_is_full_of_prompts_as_well() -> None:
    cache = WatchedCache(SIZE, most_held=4)
    first = cache.record
    for _ in range(3):
        ask(cache, [1, 2, 3])  # two parts each
    assert cache.record.id != first.id and len(first.requests) == 2
    assert cache.record.most_held == 4
    assert [one["tokens"] for one in moments.Teller(cache).news()["requests"][0]["parts"]] == [2, 1]


def test_medians_are_those_of_every_block_that_has_left_however_often_they_are_asked() -> None:
    now = 0.0
    cache = PrefixCache(SIZE, None, 1, clock=lambda: now)
    assert cache.stats().block_lifetime_seconds is None
    lives = []
    for seconds in (1.0, 5.0, 30.0, 2.0):
        cache.release(read(cache, [int(seconds), 0, 0]))
        now += seconds
        lives.append(seconds)
        asked = cache.stats(), cache.stats()
        known = median(lives[:-1]) if lives[:-1] else None
        assert [one.block_lifetime_seconds for one in asked] == [known] * 2
        assert [one.block_idle_before_evict_seconds for one in asked] == [known] * 2
