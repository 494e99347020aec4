"""Cached against uncached on the page: one greedy text twice; recorded races are such runs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from explorer import metrics
from explorer.config import InputError, RunConfig
from explorer.experiments.cached import CACHED, UNCACHED
from explorer.generate import num_open, run
from explorer.trace import Trace
from explorer.ui import cached, compare
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache
from explorer.ui.runs import Left, RunStore


def raced(config: RunConfig) -> list[dict[str, object]]:
    parts = compare.live(config, cached.ORDER, ModelCache(), RunStore(), kind=cached.NAME)
    return [json.loads(text) for text in parts]


def test_both_sides_write_the_text_of_a_run_on_its_own(model_folder: Path) -> None:
    forking = RunConfig(
        prompt="Once", model=str(model_folder), device="cpu", policy="h2o", budget=20
    )
    config = cached.greedy(forking, 6.0)
    news = [one for one in raced(config) if cached.NAME in one]
    assert news[0]["order"] == [CACHED, UNCACHED]
    summary = news[-1]["summary"]
    assert isinstance(summary, dict)
    model = ModelCache().get(config.model, "cpu", "auto")
    alone = metrics.tree_digest(run(model, config))
    assert {one["tree_digest"] for one in summary["runs"].values()} == {alone}
    held = {name: one["counters"]["kv_nbytes_peak"] for name, one in summary["runs"].items()}
    assert held[CACHED] > held[UNCACHED] == 0
    assert num_open() == 0


def test_whatever_the_form_says_a_race_is_one_greedy_path_that_keeps_all() -> None:
    form = RunConfig(
        prompt="Once", policy="window", budget=20, against_full=True, kv_dtype="int8", max_paths=9
    )
    config = cached.greedy(form, 12)
    assert (config.branching.max_paths, config.sampling.temperature) == (1, 0.0)
    assert (config.eviction.policy, config.eviction.against_full) == (None, False)
    assert (config.cache.kv_dtype, config.limits.max_new_tokens) == ("model", 12)
    assert config.prompt == "Once"


@pytest.mark.parametrize("wrong", [0, -3, None, "many", 2.5])
def test_a_wrong_number_of_tokens_is_one_sentence_that_names_it(wrong: object) -> None:
    with pytest.raises(InputError, match=r"max_new_tokens|New tokens") as caught:
        cached.greedy(RunConfig(prompt="Once"), wrong)
    assert str(caught.value).count(". ") == 0


def test_a_page_that_left_ends_the_race_and_frees_the_cache(model_folder: Path) -> None:
    config = cached.greedy(RunConfig(prompt="Once", model=str(model_folder), device="cpu"), 8)
    store = RunStore()
    parts = compare.live(config, cached.ORDER, ModelCache(), store, token="mine", kind="cached")
    for message in parts:
        if "batch" in message:
            break
    store.leave("mine")
    with pytest.raises(Left):
        list(parts)
    assert num_open() == 0


def test_the_page_may_ask_for_a_race_by_name_and_for_nothing_else() -> None:
    assert cached.asked({"preset": "short"}) == cached.RACES["short"].config()
    for wrong in ({}, {"preset": "other"}, {"preset": ["long"]}):
        with pytest.raises(InputError, match="which race"):
            cached.asked(wrong)
    Limits().check(cached.greedy(RunConfig(prompt="Once"), cached.NEW_TOKENS))


def test_a_public_page_runs_a_recorded_race_for_as_long_as_it_allows() -> None:
    for name, race in cached.RACES.items():
        config = cached.asked({"preset": name}, Limits())
        Limits().check(config)
        assert config == race.config().replace(max_new_tokens=256)


def test_recorded_races_are_small_and_wrote_the_same_text_as_their_settings_ask() -> None:
    told = cached.recorded(cached.RECORDED)
    assert [one["name"] for one in told] == list(cached.RACES)
    size = 0
    for one in told:
        race = cached.RACES[one["name"]]
        assert (one["title"], one["caption"]) == (race.title, race.caption)
        assert [run["title"] for run in one["runs"]] == list(cached.ORDER)
        for each in one["runs"]:
            data = Path(each["path"]).read_bytes()
            size += len(data)
            trace = Trace.parse(gzip.decompress(data))
            assert RunConfig(**trace.header.config) == race.config().replace(backend=each["title"])
            assert metrics.tree_digest(trace) == each["digest"] == one["runs"][0]["digest"]
    assert size < 400 * 2**10
    assert len(trace.header.prompt) > 0
