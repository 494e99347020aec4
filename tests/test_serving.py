"""What requests say they saved is measured fairly, and may be read while they run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from explorer import metrics, moments, serving
from explorer.cache.watched import WatchedCache
from explorer.config import RunConfig
from explorer.events import Step
from explorer.generate import num_open, run
from explorer.models import LoadedModel
from explorer.reuse import load_prefix, save_prefix
from explorer.workloads import own

PROMPT = "The quick brown fox jumps over the lazy dog near the river bank."
CONFIG = RunConfig(prompt=PROMPT).replace(max_new_tokens=4, max_paths=1)
SLOW = 1_000.0  # seconds


def slow_at(number: int, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Let the passes of run `number` seem to take very long; whether each run had a cache."""
    real, runs = serving.generate, list[bool]()

    def generate(model: Any, config: RunConfig, prefix: Any = None) -> Iterator[Step]:
        runs.append(prefix is not None)
        spent = SLOW if len(runs) - 1 == number else 0.0
        for step in real(model, config, prefix):
            yield replace(step, seconds=step.seconds + spent)

    monkeypatch.setattr(serving, "generate", generate)
    return runs


@pytest.mark.parametrize("how", ["on", "read", "int8"])
def test_every_hit_is_held_against_a_reading_of_its_own_whatever_is_stored(
    llama: LoadedModel, tmp_path: Path, how: str
) -> None:
    prompts = own([PROMPT, PROMPT + " Then", PROMPT])
    cache = WatchedCache()
    serving.played(llama, cache, prompts, CONFIG)
    if how == "int8":
        save_prefix(cache, tmp_path / "kept", llama, "int8")
        cache = WatchedCache()
        load_prefix(cache, tmp_path / "kept", llama)
    before = len(cache.record.requests)
    base = CONFIG.replace(prefix_use="read" if how == "read" else "on")
    serving.played(llama, cache, prompts, base)
    requests = cache.record.requests[before:]
    assert [one.num_hit for one in requests] == [3, 4, 3]  # a token a byte
    for one in requests:
        assert one.reused is not None and one.cold is not None
        assert (one.reused.cold_seconds, one.reused.cold_tokens) == (one.cold[1], one.num_tokens)
        assert one.reused.seconds_saved == one.cold[1] - one.reused.seconds
        assert (one.reused.max_abs_error is not None) == (how == "int8")
    assert len({one.reused.cold_seconds for one in requests if one.reused}) == 3


def test_what_was_read_cold_stays_beside_the_blocks_the_least_of_it(llama: LoadedModel) -> None:
    cache = WatchedCache()
    serving.played(llama, cache, own([PROMPT] * 3), CONFIG)
    read = [one.cold[1] for one in cache.record.requests if one.cold]
    first = cache.record.requests[0]
    assert first.reused is not None and len(read) == 3
    found = run(llama, CONFIG, prefix=cache)[0].reused
    assert found is not None
    assert found.cold_seconds == min(*read, first.prefill_seconds)


@pytest.mark.parametrize("number", [0, 1])
def test_a_process_s_first_pass_and_first_hit_are_held_against_nothing(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    cache, hits = WatchedCache(), list[int]()
    run(llama, CONFIG, prefix=cache)
    runs = slow_at(number, monkeypatch)
    for step in serving.play(llama, cache, own([PROMPT, PROMPT]), CONFIG):
        hits += [] if step.reused is None else [step.reused.hit_tokens]
    assert runs == [True, True, False, True, False, True]
    assert hits == [0, 48, 48, 48]
    for one in cache.record.requests:
        assert one.cold is not None and one.cold[1] < SLOW
        assert one.reused is not None and one.reused.seconds < SLOW


@pytest.mark.parametrize(
    "settings",
    [
        {"prefix_use": "off"},
        {"backend": "naive", "num_samples": 3},
        {"policy": "h2o", "budget": 90},
    ],
)
def test_nothing_is_read_cold_for_a_run_that_does_not_look(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    runs = slow_at(-1, monkeypatch)
    for _ in serving.serve(llama, WatchedCache(), CONFIG.replace(**settings), "one"):
        pass
    assert runs == [True]
    assert num_open() == 0


def test_a_cold_reading_can_be_left_between_its_passes(llama: LoadedModel) -> None:
    cache = WatchedCache()
    steps = serving.serve(llama, cache, CONFIG.replace(prefill_chunk=16), "one")
    for _ in range(3):
        next(steps)
    assert not cache.record.requests and num_open() == 1
    steps.close()
    assert not cache.record.requests and num_open() == 0


def test_a_run_that_leaves_the_cache_alone_is_no_request_of_it(llama: LoadedModel) -> None:
    cache = WatchedCache()
    traces = serving.played(llama, cache, own([PROMPT]), CONFIG.replace(prefix_use="off"))
    assert [len(trace) for trace in traces] == [4]
    assert not cache.record.requests and len(cache.record.moments) == 1


def test_watching_is_no_part_of_the_seconds_that_a_run_took(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = WatchedCache()
    run(llama, CONFIG, prefix=cache)
    take, taken = WatchedCache._take, list[str]()

    def slowly(cache: WatchedCache, kind: str, *more: Any) -> None:
        taken.append(kind)
        time.sleep(1.0 if kind == "look" else 0.0)
        take(cache, kind, *more)

    monkeypatch.setattr(WatchedCache, "_take", slowly)
    step = run(llama, CONFIG, prefix=cache)[0]
    assert step.reused is not None and step.reused.hit_tokens and taken == ["look", "keep", "end"]
    assert step.reused.seconds < 1.0


def test_a_reply_grows_for_who_asks_from_another_thread_and_only_the_run_s_reads_its_trace(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "INTERVAL", 0.0)
    readers, leaves = set[int](), metrics.leaves

    def noting(trace: Any) -> Any:
        readers.add(threading.get_ident())
        return leaves(trace)

    monkeypatch.setattr(metrics, "leaves", noting)
    cache = WatchedCache()
    told: list[dict[str, Any]] = []
    for _ in serving.serve(llama, cache, CONFIG, "one", "explore"):
        thread = threading.Thread(target=lambda: told.append(moments.Teller(cache).news()))
        thread.start()
        thread.join()
    assert readers == {threading.get_ident()}
    replies = [one["requests"][0]["reply"] for one in told]
    assert len(set(replies)) >= 3 and replies == sorted(replies, key=len)
