"""Rows of sweeps against runs made one by one, and equal forward tokens that are equal."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest

from explorer import metrics
from explorer.config import InputError, RunConfig
from explorer.experiments import select, settings
from explorer.experiments.base import Point
from explorer.experiments.runner import Plan, run_sweep
from explorer.experiments.trial import counted, prompt_of, row_of, trial, with_interval
from explorer.generate import num_open, run
from explorer.models import LoadedModel, load_model
from tests import seq2seq_models

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = dict(prompt="Once upon", max_new_tokens=5, max_paths=4, device="cpu")


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    return load_model("tiny", device="cpu")


@pytest.fixture(scope="module")
def encoder_decoder() -> LoadedModel:
    return LoadedModel(seq2seq_models.build("bart"))


def positions(trace: Any) -> int:
    return sum(step.positions for step in trace)


def test_a_row_is_the_mean_of_its_seeds_runs(llama: LoadedModel) -> None:
    config = RunConfig(**SMALL, seed=3, entropy_threshold=0.1)
    row = trial(llama, config, {"repeats": 3, "naive": 0})
    traces = [run(llama, config.replace(seed=seed)) for seed in (3, 4, 5)]
    paths = [[step.ends for step in trace] for trace in traces]
    returned = [sum(end.status != "pruned" for ends in each for end in ends) for each in paths]
    assert row["paths"] == mean(returned)
    assert row["forward_token_steps"] == mean(positions(trace) for trace in traces)
    assert row["kv_nbytes_peak"] == mean(
        max(max(s.memory.kv_nbytes, s.memory_forward.kv_nbytes) for s in trace) for trace in traces
    )
    assert row["prompt_tokens"] == len("Once upon") and row["repeats"] == 3
    low, high = row["forward_token_steps_low"], row["forward_token_steps_high"]
    assert min(map(positions, traces)) <= low <= row["forward_token_steps"] <= high
    assert row["total_seconds"] > 0 and "speedup_seconds" not in row
    assert num_open() == 0


def test_a_speed_up_counts_the_prompt_and_what_was_pruned_on_both_sides(
    llama: LoadedModel,
) -> None:
    config = RunConfig(**SMALL, branch_factor=2, entropy_threshold=0.0)
    row = trial(llama, config, {"repeats": 1, "naive": 1})
    tree = run(llama, config)
    naive = run(llama, config.replace(backend="naive", num_samples=4))
    lengths = [len(leaf.nodes) for leaf in metrics.leaves(naive)]
    prompt = len(naive.header.prompt)
    assert positions(naive) == sum(prompt + length - 1 for length in lengths)
    tokens = sum(len(leaf.nodes) for leaf in metrics.leaves(tree))
    pruned = sum(end.status == "pruned" for step in tree for end in step.ends)
    assert pruned > 0
    want = (positions(naive) / sum(lengths)) / (positions(tree) / tokens)
    assert row["speedup_forward_tokens"] == pytest.approx(want)
    assert row["speedup_forward_tokens_low"] is None  # one repeat has no interval
    assert row["naive_forward_token_steps"] == positions(naive)
    assert row["speedup_seconds"] > 0


def test_intervals_are_those_of_resampled_repeats() -> None:
    values = [1.0, 2.0, 4.0, 9.0]
    found = with_interval("x", values)
    rng = np.random.default_rng(5)
    means = [np.mean(rng.choice(values, 4)) for _ in range(4000)]
    assert found["x"] == 4.0
    assert found["x_low"] == pytest.approx(np.percentile(means, 2.5), abs=0.3)
    assert found["x_high"] == pytest.approx(np.percentile(means, 97.5), abs=0.3)
    assert with_interval("x", values, np.median)["x"] == 3.0
    assert with_interval("x", [7.0]) == {"x": 7.0, "x_low": None, "x_high": None}
    assert with_interval("x", [7.0, None]) == {"x": None, "x_low": None, "x_high": None}


def test_what_was_counted_does_not_depend_on_the_machine(llama: LoadedModel) -> None:
    config = RunConfig(**SMALL)
    assert counted(run(llama, config)) == counted(run(llama, config))


@pytest.mark.parametrize("length", [3, 9, 40])
def test_a_prompt_of_some_length_has_it_and_ends_as_the_runs_own(
    length: int, llama: LoadedModel
) -> None:
    config = RunConfig(**SMALL)
    point = Point("p", {"prompt_length": length}, config)
    row = settings.measure(llama, point, {"repeats": 1, "naive": 0})
    assert row["prompt_tokens"] == length == len(row["_run"]["prompt_ids"])
    own = [ord(letter) for letter in "Once upon"]
    end = min(length, len(own))
    assert row["_run"]["prompt_ids"][-end:] == own[-end:]


def test_what_begins_every_text_stays_before_the_filler(tiny: LoadedModel) -> None:
    begin, *words = tiny.tokenizer.encode("Once upon a time")  # type: ignore[union-attr]
    ids = prompt_of(tiny, RunConfig(prompt="Once upon a time"), 64)
    assert len(ids) == 64 and ids[0] == begin and list(ids[-len(words) :]) == words
    assert ids[-len(words) - 1] != begin != ids[1]


def test_independent_samples_beside_what_they_cannot_keep_are_refused_at_once() -> None:
    options = {"repeats": 1, "naive": 1}
    for changes in ({"policy": "h2o", "budget": 64}, {"kv_dtype": "int8"}):
        config = RunConfig(**changes)
        with pytest.raises(InputError, match=r"naive: .* give naive=0"):
            settings.points(config, options, {"max_paths": (2, 4)})
        assert len(settings.points(config, options | {"naive": 0}, {"max_paths": (2, 4)})) == 2
    with pytest.raises(InputError, match="give naive=0"):
        settings.points(RunConfig(), options, {"kv_dtype": ("model", "int4")})


def test_kv_in_fewer_bits_is_held_against_the_same_run_unrounded(llama: LoadedModel) -> None:
    config = RunConfig(**SMALL, kv_recent=0, kv_group=4)
    rows = {}
    for name in ("model", "int4"):
        point = Point(name, {"kv_dtype": name}, config.replace(kv_dtype=name))
        rows[name] = settings.measure_stored(llama, point, {"repeats": 1, "naive": 0})
    assert rows["model"]["kl"] == pytest.approx(0, abs=1e-6)
    assert rows["model"]["flip_rate"] == 0
    assert rows["int4"]["kl"] > rows["model"]["kl"]


# ---- equal forward tokens ------------------------------------------------------------------------


@pytest.mark.parametrize("way", select.AXES["select"])
@pytest.mark.parametrize("budget", [30, 77])
def test_every_way_computes_as_many_positions_within_one_step(
    way: str, budget: int, llama: LoadedModel
) -> None:
    config = RunConfig(prompt="Once", select=way, entropy_threshold=0, max_new_tokens=8)
    for seed in range(3):
        trace = select.spend(llama, config.replace(seed=seed), budget, 512)
        last = trace[-1].positions
        assert positions(trace) - last < budget <= positions(trace)
        count = trace.header.config["branching"]["max_paths"]
        assert last <= count
        fewer = run(llama, config.replace(seed=seed, max_paths=max(1, count - 1)))
        assert way != "top" or count == 1 or positions(fewer) < budget
    assert num_open() == 0


def test_more_than_any_number_of_paths_computes_is_one_sentence(
    llama: LoadedModel,
) -> None:
    config = RunConfig(prompt="Once", max_new_tokens=2)
    with pytest.raises(InputError, match="3 paths of 2 tokens do not compute 50 positions"):
        select.spend(llama, config, 50, 3)
    with pytest.raises(InputError, match="the prompt alone has 4 tokens; give more than 4"):
        select.spend(llama, config, 4, 3)
    with pytest.raises(InputError, match="most_paths: a run has up to 512, not 513"):
        select.points(config, {"repeats": 1, "most_paths": 513}, select.AXES)


def test_an_encoders_positions_are_spent_too(encoder_decoder: LoadedModel) -> None:
    config = RunConfig(prompt_ids=tuple(range(5, 17)), entropy_threshold=0, max_new_tokens=6)
    trace = select.spend(encoder_decoder, config, 40, 64)
    last = trace[-1].positions + trace[-1].encoded
    spent = metrics.counters(trace)["forward_token_steps"]
    assert trace[0].encoded == 12 and spent == positions(trace) + 12
    assert spent - last < 40 <= spent
    with pytest.raises(InputError, match="the prompt alone has 13 tokens; give more than 13"):
        select.spend(encoder_decoder, config, 13, 64)
    row = row_of([trace])
    assert row["prompt_tokens"] == 12


def test_the_ways_are_ranked_by_their_intervals() -> None:
    def row(way: str, value: float, low: float | None, high: float | None) -> dict[str, Any]:
        measures = {"coverage": value, "coverage_low": low, "coverage_high": high}
        measures |= {"repeats": 1 if low is None else 5}
        return {"axes": {"select": way, "forward_tokens": 64}, "measures": measures}

    rows = [row("top", 0.5, None, None), row("sample", 0.2, 0.1, 0.4), row("gumbel", 0.4, 0.3, 0.6)]
    answer = select.summarize(rows)["coverage"]["answer"]
    assert answer == (
        "At 64 forward tokens top (0.5) comes before gumbel (0.4), within their intervals."
    )
    rows[2]["measures"]["coverage_high"] = 0.45
    assert select.summarize(rows)["coverage"]["answer"].endswith("gumbel (0.4), clearly.")
    rows[2]["measures"]["repeats"] = 4
    answer = select.summarize(rows)["coverage"]["answer"]
    assert answer.endswith("gumbel (0.4), from 4 seeds, too few to say how clearly.")
    rows[2] = row("gumbel", 0.4, None, None)
    answer = select.summarize(rows)["coverage"]["answer"]
    assert answer.endswith("gumbel (0.4), from 1 seed, too few to say how clearly.")


def test_the_committed_answers_are_those_of_the_committed_rows() -> None:
    document = json.loads((ROOT / "assets/benchmarks/select.json").read_text())
    rows = [
        {"axes": {name: row[name] for name in document["axes"]}, "measures": row}
        for row in document["rows"]
    ]
    assert select.summarize(rows) == document["summary"]


def test_the_select_sweep_gives_a_row_for_each_way_and_number(
    tmp_path: Path, model_folder: Path
) -> None:
    config = RunConfig(prompt="Once", max_new_tokens=6, model=str(model_folder))
    axes = {"select": ("top", "arithmetic"), "forward_tokens": (24, 40)}
    options = {"repeats": 2, "most_paths": 512}
    plan = Plan("explorer.experiments.select", config, options, tmp_path, axes=axes)
    document = run_sweep(plan)
    assert document["failed"] == []
    rows = {(row["select"], row["forward_tokens"]): row for row in document["rows"]}
    assert list(rows) == [("top", 24), ("top", 40), ("arithmetic", 24), ("arithmetic", 40)]
    for (way, budget), row in rows.items():
        assert budget <= row["forward_token_steps"] < budget + row["found_paths"]
        assert row["repeats"] == (1 if way == "top" else 2)
        assert (row["effective_samples"] is None) == (way == "top")


def test_two_processes_give_the_table_of_one_apart_from_times(
    tmp_path: Path, model_folder: Path
) -> None:
    config = RunConfig(**SMALL | {"max_new_tokens": 3}, model=str(model_folder))
    axes = {"temperature": (0.5, 1.0), "max_paths": (2, 3)}
    options = {"repeats": 2, "naive": 1}
    tables = []
    for jobs in (1, 2):
        folder = tmp_path / str(jobs)
        plan = Plan(
            "explorer.experiments.settings:own", config, options, folder, jobs=jobs, axes=axes
        )
        document = run_sweep(plan)
        timed = {name for name, one in document["measures"].items() if one["is_timing"]}
        assert document["failed"] == [] and "total_seconds" in timed
        tables.append(
            [
                {
                    name: value
                    for name, value in row.items()
                    if name.removesuffix("_low").removesuffix("_high") not in timed
                    and name not in ("seconds", "naive_seconds")
                }
                for row in document["rows"]
            ]
        )
    assert tables[0] == tables[1] and len(tables[0]) == 4
    assert tables[0][0]["speedup_forward_tokens"] > 0


def test_a_model_that_cannot_be_loaded_is_its_rows_failure_alone(
    tmp_path: Path, model_folder: Path
) -> None:
    config = RunConfig(**SMALL | {"max_new_tokens": 2})
    axes = {"model": (str(tmp_path / "missing"), str(model_folder)), "temperature": (0.5, 1.0)}
    module = "explorer.experiments.settings:model"
    plan = Plan(module, config, {"repeats": 1, "naive": 0}, tmp_path / "out", axes=axes)
    document = run_sweep(plan)
    assert [row["model"] for row in document["rows"]] == [str(model_folder)] * 2
    assert [row["temperature"] for row in document["failed"]] == [0.5, 1.0]
    assert all("missing" in row["error"] for row in document["failed"])
    plan = Plan(module, config, plan.options, tmp_path / "none", axes={"model": axes["model"][:1]})
    with pytest.raises(InputError, match="missing"):
        run_sweep(plan)
