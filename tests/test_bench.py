"""The benchmark: its cases are those promised, its arithmetic is right, and it runs."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import jsonschema
import pytest

from explorer import experiments, metrics
from explorer.cli import main
from explorer.experiments import FULL, QUICK, page, speed
from explorer.experiments.base import Goal, Unmeasured, alternate, case, make_model
from explorer.generate import num_open
from tests import schemas


def test_the_model_is_the_promised_one() -> None:
    config = make_model(FULL, "cpu", "float32").module.config
    assert (config.num_hidden_layers, config.hidden_size) == (8, 512)
    assert (config.num_attention_heads, config.num_key_value_heads) == (8, 4)
    mlp, attention = 3 * 512 * config.intermediate_size, 2 * 512 * 512 + 2 * 512 * 256
    parameters = 8 * (mlp + attention + 2 * 512) + 512 + config.vocab_size * 512
    assert make_model(FULL, "cpu", "float32").info.num_parameters == parameters
    assert 26.5e6 < parameters < 27.5e6


def test_the_conditions_are_the_promised_ones() -> None:
    assert (FULL.prompt, FULL.max_paths, FULL.max_new_tokens) == (512, 20, 32)
    assert (FULL.long_prompt, FULL.long_max_paths) == (2048, 64)
    assert FULL.describe("cpu", "float32")["temperature"] == 1
    goals = {name: str(goal) for name, goal in speed.SHORT_GOALS.items()}
    assert goals == {"deepcopy": ">= 5", "naive": ">= 8", "batched": ">= 1.2"}
    assert str(speed.LONG_GOALS["batched"]) == ">= 5"


def test_sides_alternate() -> None:
    order: list[str] = []

    def side(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    times = alternate(lambda: side("a", 2.0), lambda: side("b", 1.0), 3)
    assert "".join(order) == "abbaab"
    assert times == ([2.0] * 3, [1.0] * 3)


def test_a_case_is_the_ratio_of_medians_with_its_spread_and_goal() -> None:
    got = case(
        "x",
        seconds=[9.0, 2.0, 4.0],
        ratio_to="y",
        ratio_to_seconds=[3.0, 1.0, 2.0],
        goal=Goal(">=", 2),
    )
    assert (got["seconds"], got["ratio_to_seconds"], got["ratio"]) == (4, 2, 2)
    assert (got["spread"], got["goal"], got["met"], got["repeats"]) == ([2, 3], ">= 2", True, 3)
    assert case("x", ratio=1.2, goal=Goal("<=", 1.15))["met"] is False
    assert case("x", seconds=[11.0, 13.0, 12.0], goal=Goal("<=", 12))["met"] is True
    assert case("x", ratio=1.2, goal=Goal("<=", 1.15), is_quick=True)["met"] is None


def test_quick_cases_are_all_there_and_read_off_real_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(experiments, "BENCHMARKS", ("explorer.experiments.speed",))
    out = tmp_path / "bench.json"
    with pytest.raises(SystemExit) as left:
        main(["bench", "--quick", "--json", "--out", str(out)])
    assert left.value.code == 0
    document = json.loads(capfd.readouterr().out.splitlines()[-1])
    jsonschema.validate(document, schemas.BENCH)
    assert json.loads(out.read_text()) == document
    cases = {case["name"]: case for case in document["cases"]}
    assert list(cases) == [
        "deepcopy, prompt 48, M 6",
        "naive, prompt 48, M 6",
        "batched, prompt 48, M 6",
        "allocated pool bytes, prompt 48, M 6",
        "batched, prompt 96, M 8",
        "allocated pool bytes, prompt 96, M 8",
        "cow, one path, prompt 48",
        "trace kept and written, prompt 48, M 6",
    ]
    assert all(case["met"] is None for case in cases.values())
    paths = {
        name: case["paths"] for name, case in cases.items() if "M 6" in name and "paths" in case
    }
    assert set(paths.values()) == {6}
    # every sample of the naive run encodes its 48 tokens again; the others do once
    assert cases["naive, prompt 48, M 6"]["forward_token_steps"] == 6 * (48 + 5)
    assert cases["deepcopy, prompt 48, M 6"]["forward_token_steps"] < 48 + 6 * 6
    assert cases["trace kept and written, prompt 48, M 6"]["trace_nbytes"] > 1000
    assert num_open() == 0


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--dtype", "int8", "dtype: choose from float32, bfloat16, float16, not 'int8'."),
        ("--device", "toaster", "device: 'toaster' cannot be used here"),
    ],
)
def test_what_torch_does_not_know_is_refused_in_one_line(
    option: str, value: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["bench", "--quick", option, value])
    assert left.value.code == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")


def test_every_step_of_the_cases_forks() -> None:
    bench = speed.Bench(QUICK, "cpu", "float32", lambda done, total, name: None)
    cow = speed.Subject(bench.model, bench.config(QUICK.prompt, QUICK.max_paths))
    assert cow() > 0
    assert all(
        decision.factor >= 2 or len(step.paths) < QUICK.max_paths
        for step in cow.trace
        for decision in step.decisions
    )
    counters = metrics.counters(cow.trace)
    peak = max(step.memory_forward.unique_kv_tokens for step in cow.trace)
    allocated = max(step.memory_forward.kv_nbytes for step in cow.trace)
    per_token = 2 * QUICK.num_layers * QUICK.num_kv_heads * (64 // QUICK.num_heads) * 4
    assert counters["forks"] > len(cow.trace)
    assert bench.slack(cow, "x")["ratio"] == pytest.approx(allocated / (peak * per_token))


def test_the_greedy_side_makes_the_same_tokens_as_the_one_path() -> None:
    bench = speed.Bench(QUICK, "cpu", "float32", lambda done, total, name: None)
    one = speed.Subject(bench.model, bench.config(QUICK.prompt, 1, temperature=0.0))
    one()
    ids = one.config.prompt_ids or ()
    (leaf,) = metrics.leaves(one.trace)
    assert speed.greedy(bench.model, ids, 6)[1] == [node.token for node in leaf.nodes]


@pytest.mark.browser
def test_the_page_is_measured_in_a_real_browser() -> None:
    cases = list(page.measure(QUICK, "cpu", "float32", lambda done, total, name: None))
    assert not [case for case in cases if isinstance(case, Unmeasured)]
    by_name = {case["name"]: case for case in cases if isinstance(case, dict)}
    assert list(by_name) == [page.LISTENING, *page.IN_BROWSER]
    updates, drawn = by_name[page.UPDATES], by_name[page.DRAWN]
    assert updates["nodes"] > page.NUM_NODES
    assert updates["repeats"] >= 0.9 * QUICK.num_updates
    assert 5 < drawn["drawn_per_second"] < 11
    assert drawn["ratio"] == pytest.approx(drawn["drawn_per_second"] / 10)


def test_without_a_browser_its_cases_are_named_as_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page, "find_chromium", lambda: None)
    monkeypatch.setattr(page, "server", lambda: nullcontext((2.5, "")))
    first, *others = page.measure(QUICK, "cpu", "float32", lambda done, total, name: None)
    assert isinstance(first, dict)
    assert (first["name"], first["seconds"]) == (page.LISTENING, 2.5)
    assert [type(case) for case in others] == [Unmeasured] * 3
