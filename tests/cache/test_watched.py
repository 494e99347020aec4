"""A prefix cache's moments: replayed, they are what a plain dictionary says it went through."""

from __future__ import annotations

import copy
import json
import threading
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import consumes, invariant, rule

from explorer import moments
from explorer.cache import record as kept
from explorer.cache.nodes import turns
from explorer.cache.record import Moment, Record, Request
from explorer.cache.watched import WatchedCache
from explorer.config import InputError, RunConfig
from explorer.generate import run
from explorer.models import LoadedModel
from explorer.reuse import load_prefix, save_prefix
from explorer.serving import reader
from tests.cache.test_prefix import SIZE, Machine, Plain, read

Text = tuple[int, ...]


def letters(tokens: Any) -> list[str]:
    return [f"<{token}>" for token in tokens]


def ask(cache: WatchedCache, ids: list[int], source: str = "workload") -> Request:
    return cache.request(f"{len(ids)} tokens", source, letters(ids), letters)


def beginning(record: Record, place: int) -> Text:
    """The whole text up to a block's end, from the blocks' own tokens."""
    block = record.seen[place]
    before = () if block.parent is None else beginning(record, block.parent)
    return before + block.tokens


def order_of_leaving(plain: Plain) -> dict[Text, int]:
    """The eviction played to its end over the plain dictionary."""
    rest = copy.deepcopy(plain)
    what = "used" if plain.order == "lru" else "born"
    found: dict[Text, int] = {}
    while leaves := rest.leaves():
        first = min(leaves, key=lambda one: getattr(rest.known[one], what))
        found[first] = len(found)
        del rest.known[first]
    return found


class WatchedMachine(Machine):
    """The same rules as the cache's own test; after each the moments tell what the dictionary
    says."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: WatchedCache = WatchedCache(SIZE, capacity_nbytes=None, order=self.order)
        self.at = 0
        self.replayed: set[int] = set()
        self.gone: list[Text] = []

    @rule(target=Machine.runs, ids=st.lists(st.integers(0, 1), min_size=1, max_size=9))
    def begin(self, ids: list[int]) -> Any:
        ask(self.cache, ids)
        before = len(self.cache.record.moments)
        lease, held = super().begin(ids)
        record = self.cache.record
        look, keep = record.moments[before:]
        request = record.requests[-1]
        assert (look.kind, keep.kind) == ("look", "keep")
        assert [beginning(record, place) for place in look.hit] == held[: lease.num_hit]
        assert [beginning(record, place) for place in request.ids] == held
        assert look.request == keep.request == request.n
        return lease, held

    @rule(run=consumes(Machine.runs))
    def end(self, run: Any) -> None:
        before = len(self.cache.record.moments)
        super().end(run)
        assert [one.kind for one in self.cache.record.moments[before:]] == ["end"]

    @invariant()
    def replayed_moments_are_what_the_dictionary_holds(self) -> None:
        record = self.cache.record
        for moment in record.moments[self.at :]:
            gone, new = set(moment.gone), set(moment.new)
            assert gone <= self.replayed and not new & (self.replayed - gone)
            self.replayed = (self.replayed - gone) | new
            assert {one.id for one in moment.held} == self.replayed
            if moment.kind != "clear":
                self.gone += [beginning(record, place) for place in moment.gone]
        self.at = len(record.moments)
        assert self.gone == self.plain.evicted
        last = record.moments[-1]
        before: set[int | None] = {None}
        for one in last.held:  # parents before their children
            assert record.seen[one.id].parent in before
            before.add(one.id)
        told = {beginning(record, one.id): one.pins for one in last.held}
        assert told == {one: about.pins for one, about in self.plain.known.items()}
        assert len({one.key for one in record.seen}) == len(record.seen)
        assert left_before(record, last) == order_of_leaving(self.plain)
        assert (last.stats.queries, last.stats.hits) == (self.queries, self.hits)


class FifoWatched(WatchedMachine):
    order = "fifo"


def left_before(record: Record, moment: Moment) -> dict[Text, int]:
    """What the page is told of whose turn it is to leave."""
    shown = moments.shown_moment(moment, record.seen, record.requests)
    return {beginning(record, held[0]): held[2] for held in shown["held"] if held[2] is not None}


LIMITS = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestLru = WatchedMachine.TestCase
TestLru.settings = LIMITS
TestFifo = FifoWatched.TestCase
TestFifo.settings = LIMITS


def test_a_block_that_comes_back_is_the_block_that_it_was() -> None:
    cache = WatchedCache(SIZE, capacity_nbytes=None, capacity_blocks=1)
    for ids in ([1, 2, 3], [4, 5, 6], [1, 2, 3]):
        ask(cache, ids)
        cache.release(read(cache, ids))
    record = cache.record
    assert [one.tokens for one in record.seen] == [(1, 2), (4, 5)]
    moved = [one for one in record.moments if one.kind == "keep"]
    assert [(one.new, one.gone) for one in moved] == [((0,), ()), ((1,), (0,)), ((0,), (1,))]


def test_a_prompt_that_is_warmed_is_one_moment() -> None:
    cache = WatchedCache(SIZE)
    ask(cache, [1, 2, 3], "warm")
    cache.release(read(cache, [1, 2, 3]))
    assert [one.kind for one in cache.record.moments] == ["new", "warm"]
    assert cache.record.moments[-1].new == (0,)


def test_other_bounds_another_order_and_emptying_are_moments_of_their_own() -> None:
    cache = WatchedCache(SIZE)
    for ids in ([1, 2, 3], [4, 5, 6], [1, 2, 9]):
        cache.release(read(cache, ids))
    assert [one.turn for one in cache.views()] == [1, 0]  # the first was used last
    cache.rank_by("fifo")
    assert [one.turn for one in cache.views()] == [0, 1]
    cache.resize(None, 1)
    cache.clear()
    with pytest.raises(InputError, match="prefix_order: choose from lru, fifo"):
        cache.rank_by("mru")
    told = cache.record.moments[-3:]
    assert [(one.kind, one.gone, one.order) for one in told] == [
        ("resize", (), "fifo"),
        ("resize", (0,), "fifo"),
        ("clear", (1,), "fifo"),
    ]
    words = [moments.words(one, cache.record.seen, ()) for one in told]
    assert words[1] == (
        "The cache keeps at most 1 block; the oldest leaf leaves first; 1 block left to make room."
    )


def test_a_full_record_begins_anew_with_what_is_held_before_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept, "MOST_MOMENTS", 4)
    cache = WatchedCache(SIZE)
    first = cache.record
    ask(cache, [1, 2, 3])
    cache.release(read(cache, [1, 2, 3]))
    teller = moments.Teller.from_now(cache)
    ask(cache, [1, 2, 4])
    second = cache.record
    assert second.id != first.id
    assert [one.kind for one in second.moments] == ["new"]
    assert [one.tokens for one in second.seen] == [(1, 2)]
    news = teller.news()
    assert (news["reuse"], news["seq"], news["start"]["block_size"]) == (second.id, 0, SIZE)
    assert [block["text"] for block in news["blocks"]] == ["<1><2>"]


def test_the_order_of_leaving_of_a_literal_forest() -> None:
    """The trunk 0 - 1 with leaves 2 and 3, of which 3 is held; 4 stands alone."""
    forest = [(0, None, 5, 0), (1, 0, 6, 0), (2, 1, 1, 0), (3, 1, 0, 1), (4, None, 2, 0)]
    assert turns(forest) == {2: 0, 4: 1}
    free = [(key, parent, rank, 0) for key, parent, rank, _ in forest]
    assert turns(free) == {3: 0, 2: 1, 4: 2, 1: 3, 0: 4}


def test_a_page_is_told_everything_once_and_a_file_holds_the_same() -> None:
    cache = WatchedCache(SIZE, capacity_nbytes=None, capacity_blocks=3)
    teller, whole = moments.Teller(cache), moments.Teller(cache)
    told: dict[str, list[Any]] = {"blocks": [], "moments": []}
    requests: dict[int, Any] = {}
    for ids in ([1, 2, 3, 4, 5], [1, 2, 6, 7, 8], [1, 2, 3, 4, 9], [5, 5, 5]):
        request = ask(cache, ids)
        lease = read(cache, ids)
        for end in (False, True):
            news = teller.news()
            assert news["seq"] == len(told["moments"])
            assert news["first_block"] == len(told["blocks"])
            assert news["now"] == (None if end else request.n)
            told["blocks"] += news["blocks"]
            told["moments"] += news["moments"]
            requests |= {one["n"]: one for one in news["requests"]}
            cache.release(lease)
            request.done = True
    news = teller.news()
    told["moments"] += news["moments"]
    requests |= {one["n"]: one for one in news["requests"]}
    document = json.loads(json.dumps(moments.document(cache)))
    assert (document["format"], document["version"]) == ("forkscope-reuse", 1)
    assert document["blocks"] == told["blocks"] == whole.news()["blocks"]
    assert document["moments"] == told["moments"]
    assert document["requests"] == [requests[n] for n in sorted(requests)]
    assert document["requests"][2]["hit_tokens"] == 4
    assert moments.Teller(cache, cache.record.id, 3).news()["moments"] == told["moments"][3:]


def test_runs_at_the_same_time_are_told_apart_and_every_change_is_in_some_moment() -> None:
    cache = WatchedCache(SIZE, capacity_nbytes=None, capacity_blocks=12)

    def many(seed: int) -> None:
        for at in range(30):
            cache.release(read(cache, [seed, at % 5, at % 3, seed, at, 1]))

    threads = [threading.Thread(target=many, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held: set[int] = set()
    for moment in cache.record.moments:
        held = (held - set(moment.gone)) | set(moment.new)
        assert held == {one.id for one in moment.held}
    kinds = [one.kind for one in cache.record.moments]
    assert [kinds.count(kind) for kind in ("look", "keep", "end")] == [120] * 3
    cache.check_integrity()


def test_what_is_read_from_a_folder_is_one_moment_with_the_texts_of_its_blocks(
    llama: LoadedModel, tmp_path: Path
) -> None:
    first = WatchedCache()
    prompt = "The quick brown fox jumps over the lazy dog."
    run(llama, RunConfig(prompt=prompt).replace(max_new_tokens=2, max_paths=1), prefix=first)
    save_prefix(first, tmp_path / "kept", llama)
    cache = WatchedCache()
    with cache.doing("load", reader(llama)) as words:
        words.append(f"{load_prefix(cache, tmp_path / 'kept', llama).blocks} blocks read.")
    assert [one.kind for one in cache.record.moments] == ["new", "load"]
    document = moments.document(cache)
    assert document["moments"][-1]["words"] == "2 blocks read."
    assert document["moments"][-1]["new"] == [0, 1]
    assert "".join(block["text"] for block in document["blocks"]) == prompt[:32]
    with pytest.raises(InputError), cache.doing("load", reader(llama)):
        load_prefix(cache, tmp_path / "none", llama)
    assert len(cache.record.moments) == 2  # nothing changed
