"""The Reuse tab's prefix cache: workloads live and recorded, what is told, bounded and freed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from explorer import serving, ui
from explorer.cache.watched import WatchedCache
from explorer.config import InputError, RunConfig
from explorer.generate import num_open
from explorer.models import LoadedModel
from explorer.ui import explore, stage, workload
from explorer.ui.caches import LOCAL, Caches
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache
from explorer.ui.runs import RunStore
from explorer.ui.workload import Plan
from explorer.workloads import OWN, WORKLOADS, own

SIZE = 16


@pytest.fixture(scope="module")
def models() -> ModelCache:
    return ModelCache()


@pytest.fixture(scope="module")
def tiny(models: ModelCache) -> LoadedModel:
    return models.get("tiny", "auto", "auto")


def page(models: ModelCache, limits: Limits | None = None) -> Any:
    return SimpleNamespace(models=models, store=RunStore(), limits=limits, caches=Caches(limits))


def plan(prompts: Sequence[str], is_empty: bool = True, visitor: str = LOCAL, **more: Any) -> Plan:
    base = RunConfig(prompt="", **({"max_new_tokens": 3, "max_paths": 1} | more))
    return Plan(visitor, OWN, own(prompts), base, is_empty, None, "lru")


def messages(shared: Any, asked: Plan, act: Any = workload.live, token: Any = None) -> list[Any]:
    return [json.loads(text) for text in workload.stream(shared, lambda: asked, act, token)]


def is_free(cache: WatchedCache) -> bool:
    cache.check_integrity()
    return num_open() == 0 and cache.stats().pinned_blocks == 0


# ---- the page ----------------------------------------------------------------------------------


def test_messages_tell_everything_once_and_the_last_says_so(
    models: ModelCache, tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "INTERVAL", 0.0)
    monkeypatch.setattr(serving, "INTERVAL", 0.0)
    shared = page(models)
    asked = plan(["The sun rises in the east, and", "The sun rises in the west, and"])
    told = messages(shared, asked, token="mine")
    assert [one.get("done", False) for one in told].count(True) == 1 and told[-1]["done"]
    assert {one["token"] for one in told} == {"mine"}
    assert told[0]["seq"] == 0 and told[0]["start"]["title"] == "Own: 2 prompts"
    whole = json.loads(workload.since(shared, {}, ""))
    assert [x for one in told for x in one["moments"]] == whole["moments"]
    assert [x for one in told for x in one["blocks"]] == whole["blocks"]
    assert {x["n"]: x for one in told for x in one["requests"]} == {
        one["n"]: one for one in whole["requests"]
    }
    replies = [x["reply"] for one in told for x in one["requests"] if x["n"] == 1]
    assert len(replies) >= 3 and replies == sorted(replies, key=len)
    part = json.loads(workload.since(shared, {"id": whole["reuse"], "seq": 4}, ""))
    assert part["moments"] == whole["moments"][4:] and "start" not in part
    for wrong in ({"id": "other", "seq": 4}, {"seq": -1}, {"id": 3, "seq": "x"}, None, []):
        assert json.loads(workload.since(shared, wrong, ""))["seq"] == 0


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_workload_that_is_stopped_or_left_holds_nothing_and_keeps_what_came(
    models: ModelCache, tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch, is_stopped: bool
) -> None:
    monkeypatch.setattr(stage, "INTERVAL", 0.0)
    shared = page(models)
    asked = plan(["Once upon a time there was a girl named Mia who"] * 3, max_new_tokens=40)
    parts = workload.stream(shared, lambda: asked, workload.live, "mine")
    for text in parts:
        if json.loads(text)["now"] == 1:
            break
    assert num_open() == 1
    if is_stopped:
        shared.store.leave("mine")
        assert list(parts) == []
    else:
        parts.close()  # type: ignore[attr-defined]  # what gradio does when a tab is closed
    cache = shared.caches.of(LOCAL)
    assert is_free(cache)
    told = json.loads(workload.since(shared, {}, ""))
    assert [one["done"] for one in told["requests"]] == [True, True]
    assert [one["tree_digest"] is None for one in told["requests"]] == [False, True]
    assert told["moments"][-1]["kind"] == "end" and told["now"] is None


def test_an_error_on_the_way_is_one_sentence_and_loses_nothing(
    models: ModelCache, model_folder: Path
) -> None:
    shared = page(models)
    chat = WORKLOADS["chat"]  # in bytes: longer than the model's positions before its end
    base = RunConfig(prompt="", model=str(model_folder)).replace(**chat.settings())
    told = messages(shared, Plan(LOCAL, "chat", chat, base, True, None, "lru"))
    assert "together more than the 256 positions" in told[-1]["alert"]
    assert not any("failed" in one for one in told)
    done = [one["done"] for one in json.loads(workload.since(shared, {}, ""))["requests"]]
    assert 1 <= len(done) < len(chat.turns) and all(done)
    assert sum(len(one.get("moments", ())) for one in told) == 1 + 3 * len(done)
    assert is_free(shared.caches.of(LOCAL))


def test_a_prompt_that_cannot_be_run_is_said_before_the_page_gives_up_what_it_shows(
    models: ModelCache, tiny: LoadedModel
) -> None:
    shared = page(models)
    before = shared.caches.of(LOCAL)
    told = messages(shared, plan(["Once", "word " * 3000]))
    assert "positions of tiny" in told[-1]["alert"]
    assert shared.caches.of(LOCAL) is before


def test_a_model_with_an_encoder_has_nothing_to_keep_for_another_prompt(
    models: ModelCache, tiny: LoadedModel
) -> None:
    shared = page(models)
    before = shared.caches.of(LOCAL)
    for act in (workload.live, workload.warmed):
        told = messages(shared, plan(["a b c"], model="tiny-seq2seq"), act)
        assert "reads a prompt with its encoder" in told[-1]["alert"]
    assert shared.caches.of(LOCAL) is before and not before.record.requests


def test_runs_of_explore_are_requests_of_the_same_cache(
    models: ModelCache, tiny: LoadedModel
) -> None:
    shared = page(models)
    prompt = (
        "Once upon a time there was a girl named Mia. The water was cold and clear. Silver fish "
    )
    prompt += "jumped over the waves. Mia met a shy owl near the river."
    config = RunConfig(prompt=prompt, max_new_tokens=4)
    for _ in range(2):
        list(explore.stream(shared, lambda: (config.replace(max_paths=2), None)))
    told = json.loads(workload.since(shared, {}, ""))
    assert [(one["source"], one["hit_tokens"]) for one in told["requests"]] == [
        ("explore", 0),
        ("explore", 32),
    ]
    assert told["requests"][0]["tokens"] in range(33, 48)
    before = len(told["moments"])
    told = messages(shared, plan([f"{prompt} Then"] * 2, False))
    assert told[0]["seq"] == before and "start" not in told[0]
    assert told[-1]["done"]
    requests = json.loads(workload.since(shared, {}, ""))["requests"]
    assert [one["source"] for one in requests] == ["explore"] * 2 + ["workload"] * 2
    assert [one["hit_tokens"] for one in requests[2:]] == possible_of(requests)[2:]


def test_a_run_of_explore_that_is_left_at_once_leaves_no_request_open(
    models: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = page(models)
    monkeypatch.setattr(stage, "COMING", 0.0)  # a batch a step, however fast the machine
    monkeypatch.setattr(stage, "INTERVAL", 0.0)
    for number in range(4):
        parts = explore.stream(shared, lambda: (RunConfig(prompt="Once", max_new_tokens=9), None))
        for _ in range(number):
            next(parts)
        parts.close()  # type: ignore[attr-defined]
    told = json.loads(workload.since(shared, {}, ""))
    assert told["now"] is None and all(one["done"] for one in told["requests"])
    assert is_free(shared.caches.of(LOCAL))


def possible_of(requests: list[dict[str, Any]]) -> list[int]:
    """The same count over the texts of a page's blocks."""
    seen: set[str] = set()
    found = []
    for one in requests:
        texts = accumulate(part["text"] for part in one["parts"])
        whole = [
            text for text, part in zip(texts, one["parts"], strict=True) if part["tokens"] == SIZE
        ]
        usable = whole if one["tokens"] % SIZE else whole[:-1]
        hits = [n + 1 for n, text in enumerate(usable) if text in seen]
        found.append(SIZE * max(hits, default=0))
        seen |= set(whole)
    return found


def test_warming_reads_prompts_in_and_a_run_finds_them(
    models: ModelCache, tiny: LoadedModel
) -> None:
    shared = page(models)
    prompts = ["The sun rises in the east, and the sun sets in the west. A week has seven days."]
    told = messages(shared, plan(prompts), workload.warmed)
    assert [one["kind"] for x in told for one in x["moments"]] == ["warm"]
    request = told[-1]["requests"][0]
    assert (request["source"], request["hit_tokens"]) == ("warm", 0)
    messages(shared, plan(prompts, False))
    later = json.loads(workload.since(shared, {}, ""))["requests"][-1]
    assert later["hit_tokens"] == request["stored_blocks"] * SIZE > 0


def test_bounds_order_and_emptying_act_at_once(models: ModelCache, tiny: LoadedModel) -> None:
    shared = page(models)
    messages(shared, workload.asked({"preset": "few_shot"}, LOCAL))
    cache = shared.caches.of(LOCAL)

    def press(change: Any) -> Any:
        return json.loads(workload.changed(shared, None, change))  # type: ignore[arg-type]

    told = press(lambda held: workload.rebound(held, workload.blocks(2), "fifo"))
    assert [one["kind"] for one in told["moments"]] == ["resize", "resize"]
    assert (told["bounds"]["order"], told["bounds"]["capacity_blocks"]) == ("fifo", 2)
    assert len(cache.nodes) == 2 and "token" not in told
    told = press(lambda held: held.clear())
    assert (told["moments"][0]["held"], cache.stats().blocks) == ([], 0)
    told = press(lambda held: workload.rebound(held, workload.blocks(-1), "fifo"))
    assert told == {"alert": "Most blocks: give a whole number from 0, not -1."}
    assert [workload.blocks(given) for given in (None, "", 0, 3.0)] == [None, None, None, 3]


def test_a_cache_is_saved_and_loaded_and_a_bad_folder_is_one_sentence(
    models: ModelCache, tiny: LoadedModel, tmp_path: Path
) -> None:
    shared = page(models)
    messages(shared, workload.asked({"preset": "few_shot"}, LOCAL))

    def keep(act: Any, folder: str) -> Iterator[Any]:
        yield from map(json.loads, workload.keep(shared, RunConfig, act, folder, "mine"))

    [told] = keep(workload.saved, str(tmp_path / "kept"))
    assert told["status"].startswith("5 blocks, 200 KiB, written to ") and told["done"]
    assert told["moments"][0]["kind"] == "save"
    shared.caches.renew(LOCAL)
    [told] = keep(workload.filled, str(tmp_path / "kept"))
    assert len(told["moments"][0]["new"]) == 5
    assert told["blocks"][0]["text"].startswith("Q: What is the capital of Italy?")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "index.json").write_text("{")
    for folder, words in (("", "Folder: name one"), (str(tmp_path / "bad"), "is damaged")):
        [told] = keep(workload.filled, folder)
        assert words in told["alert"] and told["alert"].count(". ") == 0
    assert len(shared.caches.of(LOCAL).nodes) == 5


def test_what_the_page_cannot_ask_for_is_named() -> None:
    assert workload.workload_of(OWN, "a\n\n  b \n").known()[1].text == "  b "
    for name, typed in ((OWN, " \n"), ("poem", "")):
        with pytest.raises(InputError, match=r"^(Prompts: type|Workload: choose)"):
            workload.workload_of(name, typed)
    for wrong in ({}, {"preset": "poem"}, {"preset": ["chat"]}):
        with pytest.raises(InputError, match="which workload"):
            workload.asked(wrong, LOCAL)


# ---- public pages ------------------------------------------------------------------------------


def test_visitors_of_a_public_page_never_find_each_others_prompts(
    models: ModelCache, tiny: LoadedModel
) -> None:
    shared = page(models, Limits())
    prompts = ["The sun rises in the east, and the sun sets in the west. A week has seven days."]
    for visitor in ("ann", "ben", "ann"):
        messages(shared, plan(prompts, False, visitor))
    ann, ben = (shared.caches.of(visitor) for visitor in ("ann", "ben"))
    assert [one.num_hit for one in ann.record.requests] == [0, 1]
    assert [one.num_hit for one in ben.record.requests] == [0]
    assert (
        json.loads(workload.since(shared, {"id": ann.record.id}, "ben"))["reuse"] == ben.record.id
    )
    assert json.loads(workload.since(shared, {"id": ann.record.id}, "eve")) == {}
    assert (ann.capacity_nbytes, len(shared.caches)) == (Limits().prefix_nbytes, 2)


def test_a_public_page_bounds_workloads_and_has_no_folders(models: ModelCache) -> None:
    shared = page(models, Limits(prompts=2, prompt_characters=40))
    for prompts, words in ((["a"] * 3, "up to 2 prompts"), (["a" * 41], "up to 40 characters")):
        with pytest.raises(InputError, match=words):
            workload.checked(shared, plan(prompts))
    with pytest.raises(InputError, match="max_new_tokens is 999"):
        workload.checked(shared, plan(["a"], max_new_tokens=999))
    for chosen in WORKLOADS.values():
        texts = [turn.text for turn in chosen.turns]
        Limits().check_prompts(texts)

    async def ids(limits: Limits | None) -> set[str]:  # gradio leaves an event loop open
        built: gr.Blocks = ui.build(limits=limits)
        return {str(block.elem_id) for block in built.blocks.values() if block.elem_id}

    folders = {"fs-reuse-folder", "fs-reuse-save", "fs-reuse-load"}
    assert folders <= asyncio.run(ids(None))
    public = asyncio.run(ids(Limits()))
    assert not folders & public
    assert {"fs-reuse-prefix", "fs-reuse-cached", "fs-reuse-cross", "fs-reuse-views"} <= public
