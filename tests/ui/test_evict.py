"""The Evict tab's Python side: which runs, what is sent, and that captions say what happened."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from explorer import metrics
from explorer.config import UNPROTECTED, Eviction, InputError, RunConfig, iter_fields
from explorer.generate import num_open
from explorer.policies import POLICIES
from explorer.trace import Trace
from explorer.ui import applies, estimate, evict, explore, presets, stage
from explorer.ui.forms import Form
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache
from explorer.ui.runs import Left, RunStore

SMALL: dict[str, Any] = dict(budget=8, sinks=2, recent=2, max_new_tokens=6, max_paths=2)


def recorded(name: str) -> list[Trace]:
    board = next(one for one in evict.recorded() if one["name"] == name)
    return [Trace.load(run["path"]) for run in board["runs"]]


def quality(trace: Trace) -> tuple[str, int]:
    held = [one for step in trace for one in step.decisions if one.kl is not None]
    flips = sum(one.is_flip for one in held)
    return f"{sum(one.kl or 0.0 for one in held) / len(held):.3f}", flips


def holders(trace: Trace, text: str) -> int:
    """Layers that still hold the first prompt token of that text when the first token is drawn."""
    position = next(at for at, one in enumerate(trace.header.prompt) if one.text == text)
    first = next(step.index for step in trace if step.decisions)
    lost = {
        one.layer
        for step in trace
        if step.index <= first
        for one in step.evictions
        if position in one.positions
    }
    return trace.header.model.num_layers - len(lost)


def test_every_policy_is_offered_and_a_variant_is_the_sidebars_run_with_its_own_settings() -> None:
    assert set(evict.TITLES) == {evict.FULL, *POLICIES}
    config = RunConfig(prompt="Once", **SMALL, against_full=True)
    runs = dict(evict.variants_of(config, ["full", "window sinks=0", "count_min sketch_width=16"]))
    full, window, sketch = runs.values()
    assert list(runs) == ["Full cache", "Window, sinks 0", "Count-min sketch, sketch width 16"]
    assert full == config.replace(policy=None, against_full=False)
    assert window == config.replace(policy="window", sinks=0)
    assert sketch == config.replace(policy="count_min", sketch_width=16)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Name 1 to 8"),
        (["window"] * 9, "Name 1 to 8"),
        (["magic"], "choose from full, window"),
        (["window colour=red"], "is no setting"),
        (["window sinks"], "is no setting"),
        (["window sinks=7"], "give at least 10, or lower sinks or recent"),
        (["count_min sketch_width=0"], "sketch width 0: Sketch width: input should be"),
    ],
)
def test_what_cannot_be_run_names_the_field_and_the_remedy(words: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        evict.variants_of(RunConfig(prompt="Once", **SMALL), words)


def test_the_first_press_runs_a_run_keeps_its_own_budget_and_the_full_cache_runs_beside() -> None:
    async def build() -> Form:  # gradio leaves an event loop open where none is running
        with gr.Blocks():
            form = Form(["tiny"], RunConfig())
            form.place_groups()
        return form

    form = asyncio.run(build())
    values = form.fill(RunConfig(prompt="Once", policy="h2o", budget=30))
    values[list(form.inputs).index("budget")] = ""  # the form's policy has none of its own
    config = evict.base(form, values, evict.BUDGET, True)
    words = [
        "full",
        "window",
        "h2o budget=20",
        "lru layer_budgets=14,15",
        "race against_full=false",
    ]
    told = [run.eviction for _, run in evict.variants_of(config, words)]
    assert [one.policy for one in told] == [None, "window", "h2o", "lru", "race"]
    assert [one.budget for one in told[1:]] == [24, 20, None, 24]
    assert told[3].layer_budgets == (14, 15)
    assert [one.against_full for one in told] == [False, True, True, True, False]


def test_a_run_of_explore_says_its_policy_and_budget() -> None:
    bounded = RunConfig(prompt="Once", policy="h2o", budget=24)
    assert explore._note(bounded) == f"{explore._note(RunConfig(prompt='Once'))}; h2o, budget 24"
    layers = RunConfig(prompt="Once", policy="window", layer_budgets=(14, 15))
    assert explore._note(layers).endswith("; window, budget 14, 15")


def test_a_boards_settings_are_that_board_and_not_greedy() -> None:
    for board in presets.BOARDS.values():
        config = board.form_config()
        assert presets.current(config) == board.title
        assert (
            config.eviction.policy == next(word for word in board.runs if word != "full").split()[0]
        )


def test_a_share_that_is_no_budget_of_this_prompt_is_refused_before_anything_is_sent() -> None:
    config = RunConfig(prompt="Once upon a time", max_new_tokens=4, device="cpu")
    runs = evict.variants_of(config, ["full", "window budget=0.25"])
    models, sent = ModelCache(), list[str]()
    with pytest.raises(InputError, match=r"^Window, budget 0\.25: budget: 1 token in the smallest"):
        sent.extend(evict.live(runs, models, RunStore()))
    assert [one for one in map(json.loads, sent) if "evict" in one] == []
    assert num_open() == 0
    preview = estimate.sentence(runs[1][1], models)
    assert preview.startswith("Run would refuse: budget: 1 token in the smallest layer")
    assert estimate.sentence(runs[0][1], models).startswith("Predicted")


def test_a_policy_without_a_budget_is_refused_with_what_to_give() -> None:
    with pytest.raises(InputError, match=r"budget: the policy h2o needs one; give budget"):
        evict.variants_of(RunConfig(prompt="Once"), ["h2o"])


def test_runs_come_one_after_another_every_step_once_and_nothing_is_left_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "INTERVAL", 0.0)
    monkeypatch.setattr(stage, "COMING", 0.0)
    config = RunConfig(prompt="Once upon a time there was", **SMALL, device="cpu")
    runs = evict.variants_of(config, ["full", "window", "h2o"])
    told = [json.loads(text) for text in evict.live(runs, ModelCache(), RunStore(), more={"x": 1})]
    news = [one for one in told if "evict" in one]
    assert {one["evict"] for one in news} == {news[0]["evict"]}
    assert news[0]["titles"] == ["Full cache", "Window", "Exact attention (H2O)"]
    for key, (_, own) in zip("abc", runs, strict=True):
        batches = [one["batch"] for one in news if one["now"] == key and "batch" in one]
        indices = [step["index"] for batch in batches for step in batch["steps"]]
        assert indices == list(range(len(indices))) and len(indices) >= 6
        assert batches[0]["header"]["config"]["eviction"]["policy"] == own.eviction.policy
        assert batches[-1]["done"] is True
    assert [one.get("done", False) for one in news].count(True) == 1
    assert news[-1]["done"] is True
    assert num_open() == 0


def test_a_page_that_left_ends_the_board_and_frees_the_pool() -> None:
    store = RunStore()
    config = RunConfig(prompt="Once upon a time", **SMALL, device="cpu")
    runs = evict.variants_of(config, ["window", "h2o"])
    parts = evict.live(runs, ModelCache(), store, token="mine")
    for message in parts:
        if "batch" in message:
            break
    store.leave("mine")
    with pytest.raises(Left):
        list(parts)
    assert num_open() == 0


def test_the_page_may_ask_for_a_board_by_name_and_for_nothing_else() -> None:
    title, runs = evict.asked({"preset": "narrow"})
    assert title == "Sketch too narrow"
    assert [config.eviction.sketch_width for _, config in runs[1:]] == [64, 16, 4]
    for wrong in ({}, {"preset": "other"}, {"preset": ["narrow"]}):
        with pytest.raises(InputError, match="which board"):
            evict.asked(wrong)


def test_boards_are_valid_on_public_pages_and_recorded_as_they_are_now() -> None:
    boards = evict.recorded()
    assert [one["name"] for one in boards] == list(presets.BOARDS)
    for told in boards:
        board = presets.BOARDS[told["name"]]
        assert (told["title"], told["caption"]) == (board.title, board.caption)
        runs = evict.variants_of(board.config(), board.runs)
        assert [run["title"] for run in told["runs"]] == [title for title, _ in runs]
        for (_, config), run in zip(runs, told["runs"], strict=True):
            Limits().check(config)
            trace = Trace.load(run["path"])
            assert RunConfig(**trace.header.config) == config
            assert metrics.tree_digest(trace) == run["digest"]
            assert Path(run["path"]).stat().st_size < 300_000
            assert bool(trace.header.config["eviction"]["policy"]) == any(
                step.evictions for step in trace
            )


def test_captions_say_what_the_recorded_runs_show() -> None:
    captions = {name: board.caption for name, board in presets.BOARDS.items()}
    _, none, one, four = recorded("windows")
    assert [quality(trace) for trace in (none, one, four)] == [
        ("0.364", 8), ("0.323", 7), ("0.118", 5),
    ]  # fmt: skip
    for words in ("0.364 nats a token, with 8", "0.323 and 7", "0.118 and 5"):
        assert words in captions["windows"]
    texts = [metrics.leaves(trace)[0].text for trace in (none, four)]
    assert ("asked the dog" in texts[0], "Lily" in texts[0]) == (True, False)
    assert "asked Lily" in texts[1]
    needle = recorded("needle")
    said = [metrics.leaves(trace)[0].text.split(".")[0] for trace in needle]
    assert said == [" fox", " Ben", " Ben", " fox"]
    assert [holders(trace, " fox") for trace in needle] == [5, 0, 0, 1]
    assert len(needle[0].header.prompt) == 93
    narrow, errors, wrong = recorded("narrow"), [], []
    for trace in narrow[1:]:
        rows = [zip(one.estimates, one.exact, strict=True) for one in trace[-1].evidence]
        errors.append(f"{max(guess - exact for row in rows for guess, exact in row):.3f}")
        gone = [one for step in trace for one in step.evictions]
        assert all(len(one.ranks) == 1 for one in gone)  # one a step: right is the lowest
        wrong.append(f"{sum(one.ranks != (1,) for one in gone)} of {len(gone)}")
    assert errors == ["9.653", "20.935", "77.362"]
    assert wrong == ["63 of 110", "94 of 110", "98 of 110"]
    far = [quality(trace)[0] for trace in narrow]
    assert far == sorted(far) == ["0.029", "0.084", "0.085", "0.089"]
    assert all(figure in captions["narrow"] for figure in (*errors, *far, "63, 94 and 98", "110"))
    texts = [metrics.leaves(trace)[0].text for trace in narrow]
    assert ["said the dog" in text for text in texts] == [True, False, False, False]
    assert ["said the cat" in text for text in texts] == [False, True, True, True]
    eight = dict(zip(presets.BOARDS["eight"].runs, map(quality, recorded("eight")), strict=True))
    order = sorted(eight, key=lambda name: float(eight[name][0]))
    assert (order[:3], order[-1]) == (["count_sketch", "fifo", "h2o"], "random")
    assert all(f"({eight[name][0]}" in captions["eight"] for name in (*order[:3], "random"))


def test_settings_without_effect_are_off_with_the_reason_and_the_others_are_on() -> None:
    form = Form(["tiny"], RunConfig())

    def on(policy: str, strategy: str = "evict", kv_dtype: str = "model") -> dict[str, bool]:
        states = form.standing(policy, strategy, kv_dtype)
        return {
            name: bool(state["interactive"])
            for name, state in zip(applies.FIELDS, states, strict=True)
        }

    assert not any(on("").values())
    assert {name for name, is_on in on("window").items() if is_on} == {
        "budget", "layer_budgets", "pyramid", "adaptive", "sinks", "recent", "strategy",
        "against_full",
    }  # fmt: skip
    assert on("count_min")["conservative"] and not on("race")["conservative"]
    assert on("window", "topk")["topk"] and not on("window", "aggregate")["topk"]
    assert on("window", "aggregate")["residual_entries"]
    assert on("", kv_dtype="int8")["kv_group"]
    assert not any(on(policy)["sinks"] for policy in UNPROTECTED)
    fields = {name: field for _, name, field in iter_fields()}
    for name, state in zip(applies.FIELDS, form.standing("fifo", "evict", "model"), strict=True):
        assert str(state["info"]).startswith(str(fields[name].description))
        assert state["interactive"] or "only with" in state["info"] or "protects" in state["info"]
    assert set(applies.FIELDS) >= set(Eviction.model_fields) - {"policy"}
