"""What the Reuse tab is asked at the same time, or cannot do: nothing is lost, and it is said."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from explorer import ui
from explorer.cache.watched import WatchedCache
from explorer.config import InputError, RunConfig
from explorer.models import LoadedModel
from explorer.ui import caches, explore, reuse, workload
from explorer.ui.caches import LOCAL, Caches
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache
from explorer.workloads import WORKLOADS
from tests.cache.test_prefix import CONTEXT, block
from tests.ui.test_reuse_tab import messages, models, page, plan, tiny

__all__ = ["models", "tiny"]  # the fixtures


def test_a_visitor_who_comes_twice_at_once_has_one_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*args: Any, **settings: Any) -> WatchedCache:
        time.sleep(0.05)
        return WatchedCache(*args, **settings)

    monkeypatch.setattr(caches, "WatchedCache", slowly)
    shared, found = Caches(Limits()), list[WatchedCache]()
    threads = [threading.Thread(target=lambda: found.append(shared.of("ann"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and len({id(one) for one in (*found, shared.of("ann"))}) == 1


def test_a_visitor_s_record_is_shorter_than_one_s_own() -> None:
    assert Caches(Limits(prefix_record=7)).of("ann").begin_record().most_held == 7
    assert Caches(Limits()).of("ann").record.most_held < Caches(None).of(LOCAL).record.most_held


def test_a_page_that_missed_something_keeps_nobody_waiting(
    models: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is told is made beside the loop that serves everybody."""
    threads: list[int] = []
    since = reuse.since

    def noting(*args: Any) -> str:
        threads.append(threading.get_ident())
        return since(*args)

    monkeypatch.setattr(reuse, "since", noting)

    async def session() -> dict[str, str]:
        return {"session_hash": "ann"}

    async def ask() -> tuple[int, Any]:
        with gr.Blocks():
            host = reuse.board_host(page(models))
        told = await host.record_since({}, SimpleNamespace(json=session))  # type: ignore[attr-defined]
        return threading.get_ident(), json.loads(told)

    loop, told = asyncio.run(ask())
    assert told["seq"] == 0 and len(threads) == 1 and loop not in threads


def test_a_folder_that_fails_half_way_tells_first_what_it_brought(
    models: ModelCache, tiny: LoadedModel
) -> None:
    shared = page(models)

    def broken(cache: WatchedCache, folder: Path, model: Any) -> str:
        with cache.doing("load"):
            cache.add(CONTEXT, None, tuple(range(16)), block(), {}, {})
            raise InputError("The folder is damaged.")

    told = [*map(json.loads, workload.keep(shared, RunConfig, broken, "kept", "mine"))]
    assert [one["kind"] for one in told[0]["moments"]] == ["load"]
    assert told[0]["moments"][0]["new"] == [0]
    assert told[1:] == [{"alert": "The folder is damaged.", "token": "mine"}]


def test_a_run_that_leaves_the_cache_alone_is_refused_here_and_no_request_in_explore(
    models: ModelCache, tiny: LoadedModel
) -> None:
    shared = page(models)
    off = plan(["Once upon a time"], prefix_use="off")
    with pytest.raises(InputError, match=r"^prefix_use: off, so no run looks"):
        workload.checked(shared, off)
    workload.checked(shared, plan(["Once"], prefix_use="read"))
    [told] = messages(shared, plan(["Once"], prefix_use="read"), workload.warmed)
    assert told["alert"].startswith("prefix_use: read, so no prompt is put in")
    list(explore.stream(shared, lambda: (off.base.replace(prompt="Once"), None)))
    assert shared.caches.of(LOCAL).record.requests == []


def test_a_bound_that_outlives_its_workload_is_in_the_control_and_said(
    models: ModelCache, tiny: LoadedModel
) -> None:
    shared = page(models)
    last = messages(shared, workload.asked({"preset": "agents"}, LOCAL))[-1]
    assert last["status"].startswith("Done. The cache keeps at most 8 blocks, those of Explore's")
    assert shared.caches.of(LOCAL).capacity_blocks == 8

    def pressed(data: Any) -> Any:
        return reuse.preset_bounds(gr.EventData(None, data))

    assert pressed({"preset": "agents"}) == ["agents", 8, "lru"]
    assert pressed({"preset": "chat"}) == ["chat", 0, "lru"]
    assert set(WORKLOADS) > {"agents", "chat"}
    for wrong in ({}, {"preset": ["chat"]}, "chat"):
        assert pressed(wrong) == [gr.skip()] * 3
    last = messages(shared, plan(["Once upon a time"]))[-1]
    assert last["done"] and "status" not in last


def test_what_was_warmed_or_loaded_is_there_for_the_next_run() -> None:
    """The box that would empty the cache is unticked by both."""

    async def unticking(limits: Limits | None) -> set[str]:  # gradio leaves an event loop open
        built: gr.Blocks = ui.build(limits=limits)
        names = {block._id: str(block.elem_id) for block in built.blocks.values()}
        return {
            names[target]
            for one in built.config["dependencies"]
            if [names[out] for out in one["outputs"]] == ["fs-reuse-empty"]
            and one["js"] == "() => false"
            for target, _ in one["targets"]
        }

    assert asyncio.run(unticking(None)) == {"fs-reuse-warm", "fs-reuse-load"}
    assert asyncio.run(unticking(Limits())) == {"fs-reuse-warm"}
