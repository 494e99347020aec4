"""Axes, and sweeps as files: every combination once, and one sentence for what is none."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.config import InputError, RunConfig
from explorer.experiments import ABOUT, SWEEPS
from explorer.experiments.axes import points, read_axes
from explorer.experiments.recipe import Recipe, options_of, parse_recipe, read_recipe
from explorer.experiments.runner import Plan, key_of, tasks_of
from explorer.experiments.workers import find

VALUES = {
    "temperature": (0.0, 0.5, 1.0, 2.5),
    "branch_factor": (2, 3, 8),
    "select": ("sample", "top"),
    "top_k": (None, 5),
    "model": ("tiny", "other"),
    "prompt_length": (4, 16),
}


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(VALUES)), st.booleans(), min_size=1).flatmap(
        lambda names: st.fixed_dictionaries(
            {
                name: st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=3, unique=True)
                for name in names
            }
        )
    )
)
def test_points_are_all_combinations_each_once(axes: dict[str, list[Any]]) -> None:
    found = points(RunConfig(prompt="x"), axes)
    want = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    assert sorted(map(repr, ({n: p.axes[n] for n in axes} for p in found))) == sorted(
        map(repr, want)
    )
    for point in found:
        flat = point.config.flat()
        assert {n: v for n, v in point.axes.items() if n != "prompt_length"} == {
            n: flat[n] for n in point.axes if n != "prompt_length"
        }
    assert len({key_of(point) for point in found}) == len(found)
    models = [point.axes["model"] for point in found if "model" in point.axes]
    assert models == sorted(models, key=axes.get("model", []).index)  # each loaded once


def test_the_last_axis_is_the_fastest() -> None:
    found = points(RunConfig(), {"temperature": (0.5, 1), "branch_factor": (2, 3)})
    assert [point.name for point in found] == [
        "temperature 0.5, branch_factor 2",
        "temperature 0.5, branch_factor 3",
        "temperature 1, branch_factor 2",
        "temperature 1, branch_factor 3",
    ]


def test_axes_are_read_from_the_command_line() -> None:
    axes = read_axes(["temperature=0.5, 1", "top_k=none,5", "forward_tokens=64"])
    assert axes == {"temperature": ("0.5", "1"), "top_k": (None, "5"), "forward_tokens": (64,)}
    found = points(RunConfig(), {name: axes[name] for name in ("temperature", "top_k")})
    assert [point.axes for point in found] == [
        {"temperature": heat, "top_k": k} for heat in (0.5, 1.0) for k in (None, 5)
    ]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["temprature=1"], "there is no setting 'temprature'; choose from"),
        (["temperature"], "names no values; write one as temperature=0.5"),
        (["temperature="], "temperature has no values; give at least one"),
        (["temperature=1", "temperature=2"], "temperature is given twice"),
        (["prompt_length=0"], "prompt_length: give a whole number from 1 to 65,536, not '0'"),
        (["order=lifo"], "order: choose from lru, fifo, not 'lifo'"),
        (["prompt_length=1.5"], "prompt_length: give a whole number"),
    ],
)
def test_an_axis_that_is_none_is_one_sentence(texts: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_axes(texts)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"temperature": [1, "hot"]}, "axes: temperature: .* not 'hot'"),
        ({"branch_factor": [1]}, "axes: branch_factor: .*greater than or equal to 2"),
        ({"temperature": []}, "axes: temperature has no values"),
        ({"temperature": 1}, "axes: temperature needs a list of values"),
        ({"temperature": "1,2"}, "axes: temperature needs a list of values"),
        ({"policy": ["window"]}, "axes: budget: the policy window needs one"),
        ({}, "axes: a sweep needs at least one"),
        ({"seed": range(10_001)}, "10,001 combinations are more than 10,000"),
    ],
)
def test_values_that_cannot_be_run_are_one_sentence(axes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        points(RunConfig(), axes)
    assert "\n" not in str(error.value)


def test_a_value_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    plan = Plan(SWEEPS["own"], RunConfig(), {}, tmp_path, axes={"temperature": (1, 1.0)})
    with pytest.raises(InputError, match="'temperature 1' stands there twice"):
        tasks_of(plan)


# ---- files ---------------------------------------------------------------------------------------


def test_a_file_gives_the_sweep_it_was_written_from(tmp_path: Path) -> None:
    recipe = Recipe("temperature", {"prompt": "Once"}, {"temperature": (0.5, 1)}, {"repeats": 2})
    (tmp_path / "mine.json").write_bytes(recipe.encode())
    assert read_recipe(tmp_path / "mine.json") == recipe
    nested = json.dumps({"config": {"sampling": {"seed": 3}, "max_paths": 2}}).encode()
    assert parse_recipe(nested, "x").config == {"seed": 3, "max_paths": 2}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "x.json is not JSON"),
        ("[]", "x.json is no sweep: give an object with sweep, config, axes, options"),
        ('{"axis": {}}', "there is no 'axis'; choose from sweep, config, axes, options"),
        ('{"axes": [1]}', r"axes must be an object, not \[1\]"),
        ('{"sweep": 3}', "sweep must be a name, not 3"),
        ('{"config": {"temprature": 1}}', "config: temprature: extra inputs are not permitted"),
        ('{"config": {"temperature": 99}}', "config: temperature: .* not 99"),
        (
            '{"config": {"sampling": 5, "temperature": 0.5}}',
            "config: sampling: input should be a valid dictionary .* not 5",
        ),
        ('{"axes": {"temprature": [1]}}', "there is no setting 'temprature'"),
        ('{"axes": {"temperature": []}}', "temperature has no values"),
    ],
)
def test_a_file_that_is_no_sweep_is_one_sentence(content: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        parse_recipe(content.encode(), "x.json")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot read .*nowhere\.json: No such file"):
        read_recipe(tmp_path / "nowhere.json")


def test_options_of_a_sweep_are_its_own_and_counts() -> None:
    sweep = find(SWEEPS["temperature"])
    assert options_of(sweep, {"repeats": 2}) == {"repeats": 2, "naive": 0}
    with pytest.raises(InputError, match="passages: the sweep temperature has no such setting"):
        options_of(sweep, {"passages": 2})
    for wrong in (0, -1, 1.5, "3", True):
        with pytest.raises(InputError, match="repeats: give a whole number from 1"):
            options_of(sweep, {"repeats": wrong})


def test_every_registered_sweep_has_points_measures_and_a_name_of_its_own(tmp_path: Path) -> None:
    for name, module in SWEEPS.items():
        sweep = find(module)
        assert sweep.name == name and ABOUT[name] and sweep.measures
        if name != "own":
            tasks = tasks_of(Plan(module, RunConfig(), sweep.options, tmp_path))
            assert len(tasks) >= 1
            assert all(
                point.config.prompt or point.config.prompt_ids or name == "sketch_grid"
                for _, point in tasks
            )
            assert set(sweep.fields) <= set(RunConfig().flat())
