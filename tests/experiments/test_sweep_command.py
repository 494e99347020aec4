"""`sweep` from the command line: files of axes, what is refused, and the same table again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from explorer.cli import _said_in_full, main
from explorer.experiments.trial import TIMES
from tests import schemas


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["sweep", *map(str, args)])
    assert isinstance(left.value.code, int)
    return left.value.code


def write(folder: Path, model: Path, **changes: Any) -> Path:
    recipe = {
        "config": {
            "model": str(model),
            "device": "cpu",
            "prompt": "Once",
            "limits": {"max_new_tokens": 4},
        },
        "axes": {"max_paths": [2, 3], "temperature": [0.5, 1]},
        "options": {"repeats": 1},
    }
    file = folder / "mine.json"
    file.write_text(json.dumps(recipe | changes))
    return file


def test_a_file_of_axes_is_a_sweep_with_a_row_for_every_combination(
    tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, plots = write(tmp_path, model_folder), tmp_path / "plots.html"
    options = ("--seed", 3, "--out", tmp_path / "out", "--plots", plots, "--json")
    assert run(file, *options) == 0
    document = json.loads(capfd.readouterr().out.splitlines()[-1])
    jsonschema.validate(document, schemas.SWEEP)
    assert [(row["max_paths"], row["temperature"]) for row in document["rows"]] == [
        (2, 0.5), (2, 1.0), (3, 0.5), (3, 1.0)
    ]  # fmt: skip
    assert document["failed"] == [] and document["name"] == "own"
    shared = document["conditions"]["config"]
    assert (shared["sampling"]["seed"], shared["limits"]["max_new_tokens"]) == (3, 4)
    assert set(TIMES) <= {name for name, one in document["measures"].items() if one["is_timing"]}
    page = plots.read_text()
    assert page.count("Plotly.newPlot(") == 4 and 'src="http' not in page
    head, *rows = (tmp_path / "out" / "own.csv").read_text().splitlines()
    assert head.startswith("name,max_paths,temperature,repeats,") and len(rows) == 4


def test_axes_of_a_named_sweep_are_given_as_options(
    tmp_path: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--model", model_folder, "--max-new-tokens", 3, "--repeats", 1, "--no-naive")
    axes = ("--axis", "prompt_length=4,9")
    assert run("prompt_length", *axes, *options, "--out", tmp_path / "out", "--json") == 0
    document = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert [row["prompt_tokens"] for row in document["rows"]] == [4, 9]
    assert "speedup_seconds" not in document["rows"][0]


@pytest.mark.parametrize(
    ("args", "changes", "said"),
    [
        ((), {"axis": {}}, "there is no 'axis'; choose from sweep, config, axes, options"),
        ((), {"axes": {"heat": [1]}}, "axes: there is no setting 'heat'"),
        ((), {"axes": {}}, "axes: a sweep needs at least one"),
        ((), {"axes": {"temperature": []}}, "axes: temperature has no values"),
        ((), {"axes": {"temperature": [99]}}, "axes: temperature: input should be less than or"),
        ((), {"sweep": "grid"}, "There is no sweep 'grid'; choose from prompt_length"),
        ((), {"options": {"repeats": 0}}, "repeats: give a whole number from 1, not 0"),
        (("--temperature", 1), {}, "temperature: own sets it row by row; give --axis temperature"),
        (("--passages", 2), {}, "passages: the sweep own has no such setting"),
        (("--axis", "temperature"), {}, "axis: 'temperature' names no values"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_one_line(
    args: tuple[object, ...],
    changes: dict[str, Any],
    said: str,
    tmp_path: Path,
    model_folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(write(tmp_path, model_folder, **changes), *args, "--out", tmp_path / "out") == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "out" / "rows.jsonl").exists()


def test_ray_may_be_named_without_an_address() -> None:
    assert _said_in_full(["sweep", "x", "--ray"]) == ["sweep", "x", "--ray", "local"]
    assert _said_in_full(["sweep", "--ray", "--json"]) == ["sweep", "--ray", "local", "--json"]
    assert _said_in_full(["sweep", "--ray", "head:6379"]) == ["sweep", "--ray", "head:6379"]


def test_without_ray_it_is_said_how_to_get_it(
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    file = write(tmp_path, model_folder)
    assert run(file, "--out", tmp_path / "out", "--ray") == 2
    assert "pip install 'forkscope[ray]'" in capfd.readouterr().err
