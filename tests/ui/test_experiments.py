"""The Experiments tab's Python side: what is sent, stopped, gone on with, opened and exported."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from explorer.config import InputError, RunConfig
from explorer.experiments import SWEEPS
from explorer.experiments.recipe import parse_recipe
from explorer.experiments.runner import Plan, run_sweep, tasks_of
from explorer.experiments.trial import TIMES, counted
from explorer.experiments.workers import find
from explorer.generate import num_open, run
from explorer.ui import experiments, sweeps
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache
from explorer.ui.runs import RunStore
from explorer.ui.sweeps import Kept, SweepStore

AXES = "temperature = 0.5, 1\nbranch_factor = 2, 3"


@pytest.fixture(scope="module")
def models() -> ModelCache:
    return ModelCache()


@pytest.fixture
def config(model_folder: Path) -> RunConfig:
    return RunConfig(
        prompt="Once", model=str(model_folder), max_new_tokens=4, max_paths=3, device="cpu"
    )


def shared(models: ModelCache, limits: Limits | None = None) -> Any:
    return SimpleNamespace(models=models, store=RunStore(), limits=limits)


def ask(config: RunConfig, store: SweepStore, axes: str = AXES, options: str = "repeats=1") -> Kept:
    return store.add(*sweeps.read("own", config, axes, options))


def messages(page: Any, kept: Kept, **more: Any) -> Iterator[dict[str, Any]]:
    for text in experiments.stream(page, {}, lambda: kept, **more):
        yield json.loads(text)


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    timed = {f"{name}{end}" for name in TIMES for end in ("", "_low", "_high")}
    return {name: value for name, value in row.items() if name not in {*timed, "seconds", "key"}}


def test_every_message_tells_all_rows_so_far_and_they_are_the_runners(
    models: ModelCache, config: RunConfig, tmp_path: Path
) -> None:
    kept = ask(config, SweepStore())
    told = [one for one in messages(shared(models), kept) if "sweep" in one]
    assert [len(one["rows"]) for one in told] == [0, 1, 2, 3, 4, 4]
    assert [one.get("done", False) for one in told] == [False] * 5 + [True]
    plan = Plan(SWEEPS["own"], config, {"repeats": 1, "naive": 0}, tmp_path, axes=kept.plan.axes)
    document = run_sweep(plan)
    assert [without_times(row) for row in told[-1]["rows"]] == [
        without_times(row) for row in document["rows"]
    ]
    assert told[-1]["axes"] == ["temperature", "branch_factor"]
    assert told[-1]["measures"]["kv_nbytes_peak"]["unit"] == "B"
    assert all(one["left"] >= 0 for one in told[1:5])
    assert num_open() == 0


def test_an_estimate_runs_nothing_and_is_said_to_be_predicted(
    models: ModelCache, config: RunConfig
) -> None:
    kept = ask(config, SweepStore())
    paces: dict[Any, Any] = {}
    page = shared(models)
    told = [json.loads(one) for one in experiments.stream(page, paces, lambda: kept, None, False)]
    last = told[-1]
    assert last["isEstimate"] and last["done"] and last["rows"] == []
    assert last["predicted"]["seconds"] > 0
    assert sum(last["predicted"]["by"].values()) == pytest.approx(last["predicted"]["seconds"])
    # 4 prompt tokens and 3 paths of 4: 16 tokens of 2 layers x 2 heads x 8 x (K, V) x 4 bytes
    assert last["predicted"]["nbytes"] == 16 * 2 * 2 * 8 * 2 * 4
    assert list(paces) == [(str(config.model), "cpu", "auto")]
    assert kept.rows == {} and num_open() == 0


def test_stopped_between_rows_and_gone_on_with_no_row_is_measured_twice(
    models: ModelCache, config: RunConfig
) -> None:
    store, page = SweepStore(), shared(models)
    kept = ask(config, store)
    for message in messages(page, kept, token="first"):
        if len(message.get("rows", ())) == 2:
            page.store.leave("first")
    before = dict(kept.rows)
    assert len(before) == 2
    told = list(messages(page, store.find(kept.id), token="second"))
    assert [len(one["rows"]) for one in told] == [2, 3, 4, 4]
    assert {key: kept.rows[key] for key in before} == before
    lines = (kept.plan.folder / "rows.jsonl").read_bytes().splitlines()
    assert len(lines) == 1 + 4


def test_stopped_in_the_middle_of_a_row_it_frees_the_pool_and_records_nothing(
    models: ModelCache, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = shared(models)
    kept = ask(config, SweepStore())
    parts = messages(page, kept, token="mine")
    assert next(parts)["rows"] == []  # the estimate is made
    passes = 0
    check = page.store.check

    def counting(token: str | None) -> None:
        nonlocal passes
        passes += 1
        if passes == 4:
            page.store.leave("mine")
        check(token)

    monkeypatch.setattr(page.store, "check", counting)
    assert list(parts) == []
    assert passes >= 4 and kept.rows == {} and num_open() == 0
    model = models.get(config.model, "cpu", "auto")
    assert not model.module._forward_pre_hooks


def test_a_row_that_fails_is_told_and_the_others_go_on(
    models: ModelCache, config: RunConfig
) -> None:
    kept = ask(config, SweepStore(), "prompt_length = 4, 4000")
    last = list(messages(shared(models), kept))[-1]
    ok, failed = last["rows"]
    assert ok["prompt_tokens"] == 4 and "error" not in ok
    assert "together more than the 256 positions" in failed["error"]
    assert last["done"]


@pytest.mark.parametrize(
    ("axes", "options", "said"),
    [
        ("temprature = 1", "repeats=1", "there is no setting 'temprature'"),
        ("temperature =", "repeats=1", "temperature has no values"),
        ("temperature = 1", "repeats=0", "repeats: give a whole number from 1"),
        ("temperature = 1", "repeat=2", "repeat: the sweep own has no such setting"),
        ("temperature = 1, 1", "repeats=1", "stands there twice"),
        ("", "repeats=1", "a sweep needs at least one"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(
    axes: str, options: str, said: str, models: ModelCache
) -> None:
    def read() -> Kept:
        return ask(RunConfig(prompt="x"), SweepStore(), axes, options)

    (told,) = [json.loads(one) for one in experiments.stream(shared(models), {}, read)]
    assert said in told["alert"] and "\n" not in told["alert"]


@pytest.mark.parametrize(
    ("axes", "options", "said"),
    [
        ("seed = " + ",".join(map(str, range(49))), "repeats=1", "49 rows, .* allows 48"),
        ("temperature = 1", "repeats=6", "6 repeats, .* allows 5"),
        ("temperature = 1", "naive=2", "2 naive, .* allows 1"),
        ("max_paths = 2, 400", "repeats=1", "max_paths is 400"),
        ("prompt_length = 9000", "repeats=1", "prompt_length is 9,000"),
        ("model = gpt2", "repeats=1", "This public page runs tiny"),
    ],
)
def test_a_public_page_bounds_what_a_sweep_may_ask_for(axes: str, options: str, said: str) -> None:
    kept = ask(RunConfig(prompt="x"), SweepStore(), axes, options)
    with pytest.raises(InputError, match=said):
        sweeps.check(kept.tasks, kept.plan.options, Limits())


@pytest.mark.parametrize("name", SWEEPS)
def test_a_public_page_bounds_every_option_of_every_sweep(name: str) -> None:
    sweep, limits = find(SWEEPS[name]), Limits(sweep_rows=1000)
    shown = options_of_text(experiments.options_text(name))
    axes = {"temperature": (1.0,)} if name == "own" else {}
    store, config = SweepStore(), RunConfig(prompt="x")
    kept = store.add(name, config, sweep.options | shown, axes, limits)  # what the tab begins with
    for option in sweep.options:
        asked = sweep.options | shown | {option: limits.sweep_options[option] + 1}
        with pytest.raises(InputError, match=rf"{option}(, and this public page allows|: )"):
            store.add(name, config, asked, axes, limits)
        with pytest.raises(InputError):
            store.add(name, config, asked | {option: 1_000_000}, axes, limits)
    for _ in range(2 * sweeps.KEPT):
        with pytest.raises(InputError, match="rows"):
            store.add(name, config, sweep.options | shown, axes, Limits(sweep_rows=0))
    assert store.find(kept.id) is kept  # what is refused pushes nothing out


def options_of_text(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in (part.split("=") for part in text.split(", "))}


def test_a_public_page_stops_a_sweep_after_its_time_and_the_rows_stay(
    models: ModelCache, config: RunConfig
) -> None:
    page = shared(models, Limits(seconds=0.0, models=(config.model,)))
    kept = ask(config, SweepStore())
    told = list(messages(page, kept))
    assert "This public page stops a sweep after 0 seconds" in told[-1]["alert"]
    assert len(kept.rows) < 4 and num_open() == 0


def test_a_row_opens_as_the_run_it_was_measured_on(models: ModelCache, config: RunConfig) -> None:
    for name, axes in (("own", AXES), ("select", "select = arithmetic\nforward_tokens = 15")):
        kept = SweepStore().add(*sweeps.read(name, config, axes, "repeats=1"))
        list(messages(shared(models), kept))
        model = models.get(config.model, "cpu", "auto")
        for key, row in kept.rows.items():
            trace = run(model, kept.config_of(key))
            found = counted(trace)
            assert {name: row["measures"][name] for name in found} == found
            if name == "select":
                max_paths = trace.header.config["branching"]["max_paths"]
                assert row["measures"]["found_paths"] == max_paths
    with pytest.raises(InputError, match="is not there any more"):
        kept.config_of("nothing")


def test_exports_are_the_table_the_document_and_a_file_that_gives_the_same_sweep(
    models: ModelCache, config: RunConfig, tmp_path: Path
) -> None:
    store = SweepStore()
    kept = ask(config, store)
    list(messages(shared(models), kept))

    def export(kind: str) -> str:
        request = {"sweep": kept.id, "of": kind}
        answer = experiments.answer(store, request, lambda found, what: found.export(what))
        return str(json.loads(answer)["found"])

    rows = list(csv.DictReader(StringIO(export("csv"))))
    assert [row["temperature"] for row in rows] == ["0.5", "0.5", "1.0", "1.0"]
    exported = json.loads(export("json"))
    assert exported["rows"] == json.loads(json.dumps(kept.document["rows"]))
    assert exported["csv"] is None and str(kept.plan.folder) not in export("json")
    recipe = parse_recipe(export("config").encode(), "x")
    again = Plan(SWEEPS[recipe.sweep], RunConfig(**recipe.config), {}, tmp_path, axes=recipe.axes)
    assert [key for key, _ in tasks_of(again)] == [key for key, _ in kept.tasks]
    gone = experiments.answer(store, {"sweep": "?", "of": "csv"}, lambda found, what: "")
    assert "not kept any more" in json.loads(gone)["alert"]


def test_only_the_newest_sweeps_are_kept(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "KEPT", 2)
    store = SweepStore()
    first, *others = [ask(config, store) for _ in range(3)]
    with pytest.raises(InputError, match="run it again"):
        store.find(first.id)
    assert [store.find(kept.id) for kept in others] == others


def test_axes_are_shown_as_they_are_read() -> None:
    values = {"temperature": (0.0, 0.5), "top_k": (None, 5), "kv_dtype": ("model", "int8")}
    text = sweeps.axes_text(values)
    assert text == "temperature = 0, 0.5\ntop_k = none, 5\nkv_dtype = model, int8"
    _, _, _, axes = sweeps.read("own", RunConfig(), text, "")
    kept = SweepStore().add("own", RunConfig(prompt="x"), {"repeats": 1, "naive": 0}, axes)
    assert kept.tasks[-1][1].axes == {"temperature": 0.5, "top_k": 5, "kv_dtype": "int8"}
