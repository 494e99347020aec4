"""What the Compare tab sends: every step of every backend once, figures as Python gives them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from explorer import metrics
from explorer.config import BACKENDS, RunConfig
from explorer.experiments import compare as experiment
from explorer.generate import num_open
from explorer.trace import Trace
from explorer.ui import compare, stage
from explorer.ui.models import ModelCache
from explorer.ui.runs import Left, RunStore
from tests.ui.unpacked import unpacked

ORDER = ("deepcopy", "cow", "naive")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(model_folder: Path) -> RunConfig:
    settings = dict(max_new_tokens=5, max_paths=4, branch_factor=2, device="cpu")
    return RunConfig(prompt="Once", model=str(model_folder), **settings)


def messages(config: RunConfig, store: RunStore) -> list[dict[str, Any]]:
    return [json.loads(text) for text in compare.live(config, ORDER, ModelCache(), store)]


def test_every_backends_steps_come_once_in_order_and_figures_are_pythons(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "INTERVAL", 0.0)
    monkeypatch.setattr(stage, "COMING", 0.0)
    sent = messages(config, RunStore())
    news = [message for message in sent if "compare" in message]
    assert len({message["compare"] for message in news}) == 1
    *_, traces = experiment.collect(
        experiment.stream(ModelCache().get(config.model, "cpu", "auto"), config, ORDER)
    )
    for name in ORDER:
        batches = [
            message["batch"] for message in news if message["now"] == name and "batch" in message
        ]
        steps = [unpacked(step) for batch in batches for step in batch["steps"]]
        assert [step["nodes"] for step in steps] == [
            json.loads(json.dumps([_plain(node) for node in step.nodes])) for step in traces[name]
        ]
        assert batches[0]["header"]["config"]["cache"]["backend"] == name
        assert batches[-1]["done"] is True
    last = sent[-1]
    assert (last["done"], last["summary"]["order"]) == (True, list(ORDER))
    expected = compare.summary(traces)
    for name, run in last["summary"]["runs"].items():
        assert run["tree_digest"] == expected["runs"][name]["tree_digest"]
        for field in ("forward_token_steps", "unique_kv_tokens_peak", "generated_tokens"):
            assert run["counters"][field] == expected["runs"][name]["counters"][field]
    assert last["summary"]["same_tree"] == expected["same_tree"]
    assert num_open() == 0


def _plain(node: object) -> dict[str, Any]:
    return {name: getattr(node, name) for name in node.__slots__}  # type: ignore[attr-defined]


def test_a_summary_follows_each_backend(config: RunConfig) -> None:
    sent = messages(config, RunStore())
    ended = [list(message["summary"]["runs"]) for message in sent if "summary" in message]
    assert ended == [["deepcopy"], ["deepcopy", "cow"], ["deepcopy", "cow", "naive"]]


def test_a_page_that_missed_messages_can_ask_for_each_run(config: RunConfig) -> None:
    store = RunStore()
    last = messages(config, store)[-1]
    for told in last["runs"].values():
        batch = json.loads(store.events_since(told["run"], 0))
        assert (len(batch["steps"]), batch["done"]) == (told["length"], told["done"])


def test_closing_in_the_middle_frees_keys_and_values(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "COMING", 0.0)
    stream = compare.live(config, ORDER, ModelCache(), RunStore())
    while not json.loads(next(stream)).get("batch", {}).get("steps"):
        pass
    assert num_open() == 1
    stream.close()  # type: ignore[attr-defined]
    assert num_open() == 0


def test_a_comparison_that_is_left_frees_keys_and_values_and_names_its_request(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "COMING", 0.0)
    store = RunStore()
    stream = compare.live(config, ORDER, ModelCache(), store, token="mine")
    while not (message := json.loads(next(stream))).get("batch", {}).get("steps"):
        assert message["token"] == "mine"
    assert num_open() == 1
    store.leave("mine")
    with pytest.raises(Left):
        list(stream)
    assert num_open() == 0


def test_every_backend_can_be_chosen_and_says_what_it_is() -> None:
    assert set(compare.TITLES) == set(BACKENDS)
    for name in BACKENDS:
        words = compare.about(name)
        assert 20 < len(words) <= compare.MOST + 20
        assert words.endswith(".")
        assert ".." not in words


def figures_of_the_page(*files: Path) -> dict[str, Any]:
    """What the page's own counters say of trace files, by path."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    command = [node, str(ROOT / "tests" / "stage" / "figures.mjs"), *map(str, files)]
    out = subprocess.run(command, capture_output=True, check=True, text=True)
    told: dict[str, Any] = json.loads(out.stdout)
    return told


def assert_equal_figures(told: dict[str, Any], trace: Trace) -> None:
    expected = metrics.result(trace)
    assert told["paths"] == len(expected["paths"])
    assert told["run"] == expected["run"]
    assert told["tree_digest"] == expected["tree_digest"]
    for name, value in told["counters"].items():
        assert value == pytest.approx(expected["counters"][name], rel=1e-12), name
    for group in ("seconds", "tokens_per_second"):
        assert told[group] == pytest.approx(expected[group], rel=1e-9), group


def test_the_page_counts_every_recorded_run_as_python_does() -> None:
    files = sorted((ROOT / "assets" / "traces").glob("*.jsonl"))
    assert len(files) >= 4
    for file, told in figures_of_the_page(*files).items():
        assert_equal_figures(told, Trace.load(file))


def test_the_page_counts_every_backends_run_and_one_that_was_cut_off_as_python_does(
    config: RunConfig, tmp_path: Path
) -> None:
    model = ModelCache().get(config.model, "cpu", "auto")
    parts = experiment.stream(model, config.replace(entropy_threshold=0.0), BACKENDS)
    *_, traces = experiment.collect(parts, tmp_path / "run.jsonl")
    traces["cut"] = traces["cow"].until(2)
    traces["cut"].save(tmp_path / "run.cut.jsonl")
    files = {name: tmp_path / f"run.{name}.jsonl" for name in traces}
    told = figures_of_the_page(*files.values())
    for name, file in files.items():
        assert_equal_figures(told[str(file)], traces[name])
    assert told[str(files["cow"])]["counters"]["pruned"] > 0
