"""Self and cross on the page: one run of an encoder-decoder model; others are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from explorer import metrics
from explorer.config import InputError, RunConfig
from explorer.generate import num_open, run
from explorer.models import load_model
from explorer.trace import Trace
from explorer.ui import crossed, stage
from explorer.ui.cached import recorded
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache
from explorer.ui.runs import Left, RunStore


def test_every_step_comes_once_and_the_digest_is_that_of_the_run_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "INTERVAL", 0.0)
    monkeypatch.setattr(stage, "COMING", 0.0)
    config = crossed.EXAMPLES["shuffle"].config().replace(device="cpu")
    told = [json.loads(text) for text in crossed.live(config, ModelCache(), RunStore())]
    batches = [one["batch"] for one in told if "batch" in one]
    steps = [step for batch in batches for step in batch["steps"]]
    assert [step["index"] for step in steps] == list(range(len(steps))) and len(steps) > 3
    assert batches[0]["header"]["source"]
    alone = run(load_model(config.model, device="cpu"), config)
    assert batches[-1]["details"]["tree digest"] == metrics.tree_digest(alone)
    assert [one.get("done", False) for one in told].count(True) == 1 and told[-1]["done"]
    assert num_open() == 0


def test_a_model_without_an_encoder_is_refused_in_one_sentence(model_folder: Path) -> None:
    config = RunConfig(prompt="Once", model=str(model_folder), device="cpu")
    with pytest.raises(InputError, match=r"^model: .* a decoder alone.*choose tiny-seq2seq"):
        list(crossed.live(config, ModelCache(), RunStore()))


def test_a_page_that_left_ends_the_run_and_frees_its_caches() -> None:
    config, store = crossed.EXAMPLES["rephrase"].config(), RunStore()
    parts = crossed.live(config, ModelCache(), store, token="mine")
    for message in parts:
        if "batch" in message:
            break
    store.leave("mine")
    with pytest.raises(Left):
        list(parts)
    assert num_open() == 0


def test_the_page_may_ask_for_an_example_by_name_and_for_nothing_else() -> None:
    assert crossed.asked({"preset": "reverse"}) == crossed.EXAMPLES["reverse"].config()
    for wrong in ({}, {"preset": "other"}, {"preset": ["reverse"]}):
        with pytest.raises(InputError, match="which example"):
            crossed.asked(wrong)


def test_examples_are_recorded_as_they_are_now_and_show_what_they_say() -> None:
    told = recorded(crossed.RECORDED)
    assert [one["name"] for one in told] == list(crossed.EXAMPLES)
    texts = {}
    for one in told:
        example = crossed.EXAMPLES[one["name"]]
        assert (one["title"], one["caption"]) == (example.title, example.caption)
        Limits().check(example.config())
        [only] = one["runs"]
        trace = Trace.load(only["path"])
        assert RunConfig(**trace.header.config) == example.config()
        assert metrics.tree_digest(trace) == only["digest"]
        assert len({step.memory_forward.cross_nbytes for step in trace}) == 1, "filled once"
        texts[one["name"]] = [leaf.text for leaf in metrics.leaves(trace)]
    assert len(texts["rephrase"]) == 7 and len({text.split()[0] for text in texts["rephrase"]}) == 4
    assert len(set(texts["shuffle"])) == 12
    assert {" ".join(sorted(text.split())) for text in texts["shuffle"]} == {
        "bread cave fox key red"
    }
    assert texts["reverse"] == ["coin owl bread cave key red fox"]
