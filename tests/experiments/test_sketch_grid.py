"""The grid of 144 sketches: its points counted by hand, its rows real, its answers known."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest

from explorer.cli import main
from explorer.config import InputError, RunConfig
from explorer.experiments import answers
from explorer.experiments.answers import BLOCK, difference, from_width, summarize
from explorer.experiments.runner import key_of
from explorer.experiments.sketch_grid import OPTIONS, SWEEP, points, prepare
from explorer.models import LoadedModel
from tests import schemas
from tests.conftest import random_llama

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0
SMALL = ("--passages", "1", "--passage-tokens", "96")


@pytest.fixture(scope="module")
def grid() -> list[Any]:
    return points(RunConfig(), OPTIONS, {})


# ---- points --------------------------------------------------------------------------------------


def test_the_grid_has_every_combination_once(grid: list[Any]) -> None:
    found = [point for point in grid if point.axes["kind"] == "grid"]
    assert len(found) == 144 == 3 * 4 * 3 * 4
    names = ("max_cache_size", "width", "depth", "strategy", "topk")
    wanted = {
        (size, width, depth, *kind)
        for size, width, depth, kind in product(
            (64, 128, 256),
            (128, 256, 512, 1024),
            (2, 4, 6),
            (("topk", 32), ("topk", 64), ("topk", 128), ("aggregate", None)),
        )
    }
    assert {tuple(point.axes[name] for name in names) for point in found} == wanted
    assert (
        len({key_of(point) for point in grid}) == len({point.name for point in grid}) == len(grid)
    )


def test_degenerate_points_are_those_counted_by_hand(grid: list[Any]) -> None:
    found = [p for p in grid if p.axes["kind"] == "grid" and p.axes["is_degenerate"]]
    pairs = [(point.axes["max_cache_size"], point.axes["topk"]) for point in found]
    # 12 sketches each: 64 of 64, 128 of 64 and 128 of 128 leave nothing to choose
    assert {pair: pairs.count(pair) for pair in pairs} == {
        (64, 64): 12,
        (64, 128): 12,
        (128, 128): 12,
    }


def test_the_baselines_are_the_promised_ones(grid: list[Any]) -> None:
    names = [point.name for point in grid if point.axes["kind"] == "baseline"]
    for size in (64, 128, 256):
        assert f"window, cache {size}, evict" in names
        assert f"random, cache {size}, evict" in names
        assert f"h2o, cache {size}, evict" in names
    assert [names[0], *names[-2:]] == ["full cache", "full cache, int8", "full cache, int4"]
    kinds = [point.axes["kind"] for point in grid]
    assert kinds == ["baseline"] * (len(names) - 2) + ["grid"] * 144 + ["baseline"] * 2


def test_a_points_run_is_what_its_axes_say(grid: list[Any]) -> None:
    for point in grid:
        axes, eviction = point.axes, point.config.eviction
        assert (eviction.policy, eviction.budget) == (axes["policy"], axes["max_cache_size"])
        assert point.config.cache.kv_dtype == axes["kv_dtype"]
        if axes["policy"]:
            assert (eviction.strategy, eviction.sinks) == (axes["strategy"], 4)
        if axes["topk"]:
            assert eviction.topk == axes["topk"]
        if axes["kind"] == "grid":
            sketch = (eviction.sketch_width, eviction.sketch_depth)
            assert sketch == (axes["width"], axes["depth"])
            assert not eviction.exact  # counters beside the sketch would be charged to it


def test_a_model_without_room_or_text_is_refused() -> None:
    small = random_llama(max_position_embeddings=128)
    with pytest.raises(InputError, match=r"passage_tokens: 1024 is more than this model's 128"):
        prepare(small, OPTIONS)
    silent = LoadedModel(small.module, None, "silent")
    with pytest.raises(InputError, match="has no tokenizer"):
        prepare(silent, OPTIONS)


# ---- answers -------------------------------------------------------------------------------------


def row(per_token: float, nbytes: int = 1000, **axes: Any) -> dict[str, Any]:
    """A row whose every token costs `per_token` nats, a little more and less by turns."""
    tokens = 20 * BLOCK
    wave = [0.01 * BLOCK * (-1) ** block for block in range(20)]
    unset = {"kind": "grid", "policy": "count_min", "kv_dtype": "model", "is_degenerate": False}
    return {
        "name": str(axes),
        "axes": unset | {"max_cache_size": 64, "strategy": "topk", "topk": 32} | axes,
        "measures": {
            "tokens": tokens,
            "nll": per_token,
            "delta_nll": per_token - 1,
            "kl": 0.0,
            "flip_rate": 0.0,
            "attention_mass_lost": 0.0,
            "total_nbytes": nbytes,
            "_blocks": [[per_token * BLOCK + each for each in wave]],
        },
    }


def table(cost: dict[int, float], depth_gain: float = 0.0, **more: Any) -> list[dict[str, Any]]:
    """The full cache (1 nat), window (1.5), exact counters (1.2), and sketches `cost` by width."""
    none = {"kind": "baseline", "width": None, "depth": None, "topk": None}
    found = [
        row(1.0, 4000, **none | {"policy": None, "max_cache_size": None, "strategy": None}),
        row(1.5, 800, **none | {"policy": "window", "strategy": "evict"}),
        row(1.2, 900, **none | {"policy": "h2o", "topk": 32}),
    ]
    for width, per_token in cost.items():
        for depth in (2, 4, 6):
            nll = per_token - depth_gain * (depth - 2)
            found.append(row(nll, 800 + width * depth, width=width, depth=depth, **more))
    return found


def test_differences_are_paired_by_token() -> None:
    first, second = row(1.25), row(1.0)
    found = difference([(first, second)])
    # both wave alike: nothing is left but the difference itself
    assert (found.low, found.mean, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert difference([(first, second), (row(1.5), second)]).mean == pytest.approx(0.375)


def test_a_sketch_between_window_and_exact_counters_beats_the_one_and_misses_the_other() -> None:
    found = summarize(table({128: 1.4, 256: 1.3}))
    assert [found["window"][name] for name in ("compared", "better", "worse")] == [6, 6, 0]
    assert [found["h2o"][name] for name in ("compared", "better", "worse")] == [6, 0, 6]
    assert found["window"]["answer"].startswith("Yes, always.")
    assert found["h2o"]["answer"].startswith("No, never.")
    assert found["window"]["mean_difference"] == pytest.approx(-0.15)
    assert f"{100 * math.expm1(-0.15):+.1f} %" in found["window"]["answer"]
    assert "No point has a random row" in found["random"]["answer"]


def test_the_width_from_which_on_exact_counters_are_reached() -> None:
    near = math.log(1.02) - 1e-6
    found = summarize(table({128: 1.4, 256: 1.2 + near, 512: 1.1, 1024: 1.2}))
    assert found["width"]["overall"] == 256
    assert found["width"]["answer"].startswith("From width 256 on every point")
    # a wider one that misses again: only what lies beyond it counts
    again = summarize(table({128: 1.2, 256: 1.2, 512: 1.4, 1024: 1.2}))
    assert again["width"]["overall"] == 1024
    never = summarize(table({128: 1.2, 256: 1.2, 512: 1.2, 1024: 1.4}))
    assert never["width"]["overall"] is None
    assert never["width"]["answer"].startswith("From no width of the grid on")
    assert found["width"]["by_family"] == [
        {"max_cache_size": 64, "strategy": "topk", "topk": 32, "width": 256}
    ]


def test_depth_is_judged_at_equal_width_and_at_equal_size() -> None:
    found = summarize(table({128: 1.4, 256: 1.3}, depth_gain=0.01))["depth"]
    wide, deeper, equal = found["steps"]
    assert (wide["shallow"], wide["deep"], wide["pairs"]) == (2, 4, 2)
    assert wide["mean_difference"] == pytest.approx(-0.02)
    assert (deeper["shallow"], deeper["deep"]) == (4, 6)
    # 4 x 128 against 2 x 256: what depth gains, width would have gained more
    assert (equal["pairs"], equal["held_equal"]) == (1, "of as many counters")
    assert equal["mean_difference"] == pytest.approx(1.4 - 0.02 - 1.3)
    assert "is worth it" in wide["answer"]
    assert "of as many counters costs" in equal["answer"]
    flat = summarize(table({128: 1.4}))["depth"]["steps"][0]["answer"]
    assert "shows no difference" in flat


def test_a_sketchs_own_bytes_are_charged_to_it() -> None:
    found = summarize(table({128: 1.4, 1024: 1.3}))["bytes"]
    totals = [800 + width * depth for width in (128, 1024) for depth in (2, 4, 6)]
    assert found["full_nbytes"] == 4000
    assert found["points_that_save"] == sum(total < 4000 for total in totals) == 4
    assert found["share_of_full"]["max"] == max(totals) / 4000
    assert found["larger_than_exact"] == 6
    # exact counters: 900 bytes and 1.2 nats, so nothing of this table is worth its bytes
    assert found["dominated"] == 6


def test_degenerate_points_are_named_and_in_no_average() -> None:
    rows = table({128: 1.4})
    rows += [row(9.0, 1, width=128, depth=2, topk=64, is_degenerate=True)]
    found = summarize(rows)
    assert found["degenerate"] == [rows[-1]["name"]]
    assert found["points"] == {"rows": 7, "grid": 4, "compared": 3}
    assert found["window"]["compared"] == 3
    assert {entry["points"] for entry in found["averages"]} == {1, 3}
    assert max(entry["delta_nll"] for entry in found["averages"]) == pytest.approx(0.4)


def test_a_table_without_sketches_answers_nothing() -> None:
    assert summarize(table({})) == {
        "points": {"rows": 3, "grid": 0, "compared": 0},
        "degenerate": [],
    }


def test_width_ignores_rows_without_a_partner() -> None:
    assert from_width(table({128: 1.2})[3:], {})["by_family"] == []


# ---- the command ---------------------------------------------------------------------------------


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["sweep", *args])
    assert isinstance(left.value.code, int)
    return left.value.code


def test_the_command_gives_the_promised_document(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "grid"
    assert run("sketch_grid", "--limit", "4", *SMALL, "--out", str(out), "--json") == 0
    document = json.loads(capfd.readouterr().out.splitlines()[-1])
    jsonschema.validate(document, schemas.SWEEP)
    assert document["failed"] == []
    full, *_, window = document["rows"]
    assert (full["name"], full["delta_nll"]) == ("full cache", pytest.approx(0, abs=1e-5))
    assert window["attention_mass_lost"] > 0.005
    assert window["kv_nbytes"] < full["kv_nbytes"]
    assert window["total_nbytes"] == window["kv_nbytes"] + window["score_nbytes"]
    assert window["tokens"] == 96
    kept = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()[1:]]
    for line in kept:
        (blocks,) = line["measures"]["_blocks"]
        assert sum(blocks) / 96 == pytest.approx(line["measures"]["nll"], abs=1e-5)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("grid",), "There is no sweep 'grid'; choose from prompt_length,"),
        (
            ("sketch_grid", "--budget", "64"),
            "budget: sketch_grid sets it row by row; leave it out.",
        ),
        (("sketch_grid", "--limit", "0"), "Invalid value for '--limit'"),
        (("sketch_grid", "--passage-tokens", "4096"), "passage_tokens: 4096 is more than this"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_one_line(
    args: tuple[str, ...], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(*args, "--out", str(tmp_path / "x")) == 2
    *_, line = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")


def rows_of(out: Path) -> Iterator[dict[str, Any]]:
    for each in json.loads((out / "sketch_grid.json").read_text())["rows"]:
        yield {name: value for name, value in each.items() if name != "seconds"}


def test_killed_at_some_row_and_resumed_the_grid_is_the_same(
    model_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("sketch_grid", "--model", str(model_folder), "--limit", "4", *SMALL)
    out, file = tmp_path / "killed", tmp_path / "killed" / "rows.jsonl"
    command = [sys.executable, "-m", "explorer", "sweep", *options, "--out", str(out)]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    began = time.monotonic()
    while not file.exists() or file.read_bytes().count(b"\n") < 3:
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.01)
    psutil.Process(process.pid).suspend()  # it cannot finish before it is killed
    os.kill(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
    before = file.read_bytes()
    assert before.count(b"\n") < 5
    assert run(*options, "--out", str(out), "--resume") == 0
    assert run(*options, "--out", str(tmp_path / "whole")) == 0
    assert list(rows_of(out)) == list(rows_of(tmp_path / "whole"))
    assert file.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert file.read_bytes().count(b"\n") == 5
    capfd.readouterr()


def test_the_sweep_says_which_settings_are_its_own() -> None:
    assert {"policy", "budget", "sketch_width", "kv_dtype"} <= set(SWEEP.fields)
    assert set(SWEEP.fields) <= set(RunConfig().flat())
    assert pytest.approx(0.0198, abs=1e-4) == answers.NEAR
