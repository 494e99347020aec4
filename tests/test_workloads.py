"""Workloads hit what their prompts share, as recorded, on the page and on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from explorer import metrics, serving
from explorer.cache.watched import WatchedCache
from explorer.config import RunConfig
from explorer.models import LoadedModel
from explorer.trace import Trace
from explorer.ui import reuse, workload
from explorer.ui.caches import LOCAL
from explorer.ui.models import ModelCache
from explorer.workloads import SHUFFLED, WORKLOADS
from tests.test_cli import Cli, cli
from tests.ui.test_reuse_tab import SIZE, is_free, messages, models, page, tiny

__all__ = ["cli", "models", "tiny"]  # the fixtures


def recorded() -> dict[str, Any]:
    return {one["name"]: json.loads(Path(one["path"]).read_text()) for one in reuse.recorded()}


def possible(traces: Sequence[Trace]) -> list[int]:
    """Tokens of each prompt in whole blocks with which an earlier prompt began as well; the last
    token never counts."""
    seen: set[tuple[int, ...]] = set()
    found = []
    for trace in traces:
        ids = tuple(token.token for token in trace.header.prompt)
        ends = range(SIZE, len(ids) + 1, SIZE)
        found.append(max((end for end in ends if end < len(ids) and ids[:end] in seen), default=0))
        seen |= {ids[:end] for end in ends}
    return found


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_hits_what_its_prompts_have_in_common_and_is_as_recorded(
    name: str, tiny: LoadedModel
) -> None:
    chosen = WORKLOADS[name]
    base = RunConfig().replace(**chosen.settings())
    cache = WatchedCache()
    traces = serving.played(tiny, cache, chosen, base)
    hits = [one.num_hit * SIZE for one in cache.record.requests]
    assert hits == possible(traces)
    assert sum(hits) > 0.3 * sum(len(trace.header.prompt) for trace in traces)
    told = recorded()[name]["requests"]
    assert [one["tree_digest"] for one in told] == [metrics.tree_digest(one) for one in traces]
    assert [one["reply"] for one in told] == [serving.reply(one) for one in traces]
    texts = ["".join(part["text"] for part in one["parts"]) for one in told]
    assert texts == ["".join(token.text for token in one.header.prompt) for one in traces]


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_recorded_workload_is_what_a_live_one_is_but_for_its_seconds(
    name: str, models: ModelCache
) -> None:
    shared = page(models)
    messages(shared, workload.asked({"preset": name}, LOCAL))
    live = json.loads(workload.since(shared, {}, ""))
    file = recorded()[name]
    assert (file["format"], file["version"]) == ("forkscope-reuse", 1)
    for part in ("blocks", "requests", "moments"):
        assert [timeless(one) for one in live[part]] == [timeless(one) for one in file[part]]
    assert is_free(shared.caches.of(LOCAL))


def timeless(part: dict[str, Any]) -> dict[str, Any]:
    """Without what a clock says."""
    kept = {name: value for name, value in part.items() if "second" not in name and name != "time"}
    if "held" in kept:
        kept["held"] = [one[:3] for one in kept["held"]]
        kept["stats"] = timeless(kept["stats"])
    return kept


def test_captions_say_what_the_recorded_workloads_show() -> None:
    captions = {one["name"]: one["caption"] for one in reuse.recorded()}
    records = recorded()
    assert list(records) == list(WORKLOADS)
    for name, record in records.items():
        requests, gone = record["requests"], [x for one in record["moments"] for x in one["gone"]]
        hit, total = (sum(one[each] for one in requests) for each in ("hit_tokens", "tokens"))
        assert f"{hit:,} of {total:,} prompt tokens" in captions[name]
        assert record["start"]["caption"] == captions[name]
        assert bool(gone) == (name in ("rag", "agents"))
        if gone:
            assert f"{len(gone)} " in captions[name]
    chat = ["".join(part["text"] for part in one["parts"]) for one in records["chat"]["requests"]]
    assert all(later.startswith(text) for text, later in pairwise(chat))
    assert [one["stored_blocks"] > 0 for one in records["few_shot"]["requests"]] == [True] + 5 * [
        False
    ]
    rag = records["rag"]["requests"]
    shuffled = rag[: len(SHUFFLED)]
    assert f"find {sum(one['hit_tokens'] for one in shuffled)} tokens" in captions["rag"]
    assert rag[len(SHUFFLED)]["hit_tokens"] == 0
    assert all(one["hit_tokens"] > 150 for one in rag[len(SHUFFLED) + 1 :])
    only_shuffled = {x for one in shuffled for x in one["ids"]}
    assert {x for one in records["rag"]["moments"] for x in one["gone"]} <= only_shuffled
    agents = records["agents"]
    trunk = set.intersection(*(set(one["ids"]) for one in agents["requests"]))
    assert len(trunk) == 3
    assert not trunk & {x for one in agents["moments"] for x in one["gone"]}
    assert f"room for {agents['start']['capacity_blocks']} blocks" in captions["agents"]


def test_what_a_workload_saved_is_measured_against_a_cold_reading_of_the_same_prompt(
    tiny: LoadedModel,
) -> None:
    chosen = WORKLOADS["few_shot"]
    cache = WatchedCache()
    serving.played(tiny, cache, chosen, RunConfig().replace(**chosen.settings()))
    for one in cache.record.requests[1:]:
        found = one.reused
        assert found is not None and found.cold_tokens == one.num_tokens
        assert one.cold is not None and found.cold_seconds == one.cold[1] > 0
        assert found.seconds_saved == pytest.approx(one.cold[1] - found.seconds)


def test_command_line_page_and_python_agree(
    cli: Cli, tiny: LoadedModel, models: ModelCache, tmp_path: Path
) -> None:
    file = tmp_path / "record.json"
    asked = ("reuse", "--workload", "agents", "--record", file, "--json")
    document = json.loads(cli(*asked).out.splitlines()[-1])
    shared = page(models)
    messages(shared, workload.asked({"preset": "agents"}, LOCAL))
    told = json.loads(workload.since(shared, {}, ""))["requests"]
    chosen = WORKLOADS["agents"]
    cache = WatchedCache(capacity_blocks=chosen.capacity_blocks)
    traces = serving.played(tiny, cache, chosen, RunConfig().replace(**chosen.settings()))
    digests = [metrics.tree_digest(trace) for trace in traces]
    found = [metrics.reused(trace) for trace in traces]
    hits = [one.hit_tokens for one in found if one is not None]
    assert [one["tree_digest"] for one in document["runs"]] == digests
    assert [one["prefix"]["hit_tokens"] for one in document["runs"]] == hits
    assert [one["tree_digest"] for one in told] == digests
    assert [one["hit_tokens"] for one in told] == hits
    written = json.loads(file.read_text())
    assert [timeless(one) for one in written["moments"]] == [
        timeless(one) for one in recorded()["agents"]["moments"]
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--workload", "poem"), "workload: choose from chat, few_shot, rag, agents, not 'poem'"),
        (("--workload", "chat", "--prompt-file", "x"), "leave --prompt-file out"),
    ],
)
def test_a_workload_that_cannot_be_is_said_in_one_line(
    cli: Cli, arguments: tuple[str, ...], words: str
) -> None:
    assert words in cli("reuse", *arguments).refusal()
