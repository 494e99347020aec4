"""Comparing backends: what runs, in which order, and ratios against numbers written by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from explorer import metrics
from explorer.config import InputError, RunConfig
from explorer.events import Header, Step
from explorer.experiments import compare
from explorer.generate import num_open
from explorer.models import LoadedModel
from explorer.trace import Trace
from tests import schemas
from tests.conftest import make_header, make_memory, make_trace

CONFIG = RunConfig(prompt="Once").replace(max_new_tokens=5, max_paths=4, branch_factor=2)


def compared(model: LoadedModel, *backends: str) -> dict[str, Trace]:
    """The traces of a comparison of `CONFIG`."""
    *_, traces = compare.collect(compare.stream(model, CONFIG, backends))
    assert num_open() == 0
    return traces


def test_each_backend_gives_its_header_and_then_its_steps_naive_last(llama: LoadedModel) -> None:
    parts = list(compare.stream(llama, CONFIG, ("naive", "batched", "cow")))
    names = [name for name, _ in parts]
    assert list(dict.fromkeys(names)) == ["batched", "cow", "naive"]
    assert names == sorted(names)
    for name in ("batched", "cow", "naive"):
        header, *steps = [part for at, part in parts if at == name]
        assert isinstance(header, Header)
        assert header.config["cache"]["backend"] == name
        assert [step.index for step in steps if isinstance(step, Step)] == list(range(len(steps)))


def test_trees_are_the_same_and_naive_draws_as_many_samples_as_they_have_leaves(
    llama: LoadedModel,
) -> None:
    traces = compared(llama, *compare.DEFAULT)
    leaves = {name: len(metrics.leaves(trace)) for name, trace in traces.items()}
    assert set(leaves) == set(compare.DEFAULT)
    assert len(set(leaves.values())) == 1
    assert leaves["cow"] > 1
    tree = [node for step in traces["recompute"] for node in step.nodes]
    for name in ("deepcopy", "batched", "cow"):
        got = [node for step in traces[name] for node in step.nodes]
        assert [(n.id, n.parent, n.token, n.path) for n in got] == [
            (n.id, n.parent, n.token, n.path) for n in tree
        ]
    summary = compare.summarize(traces)
    jsonschema.validate(summary, schemas.COMPARE)
    assert summary["same_tree"] == {name: name != "naive" for name in traces}
    assert summary["equal"]["samples"] == leaves["cow"]
    assert summary["different"] == {}


def test_naive_draws_no_more_samples_than_it_may(llama: LoadedModel) -> None:
    *_, traces = compare.collect(compare.stream(llama, CONFIG, ("cow", "naive"), max_samples=2))
    assert len(metrics.leaves(traces["cow"])) > 2 == len(metrics.leaves(traces["naive"]))
    assert compare.summarize(traces)["different"]["samples"] == {
        name: len(metrics.leaves(trace)) for name, trace in traces.items()
    }


def test_naive_alone_draws_what_the_configuration_says(llama: LoadedModel) -> None:
    (trace,) = compared(llama, "naive").values()
    assert len(metrics.leaves(trace)) == CONFIG.branching.max_paths


def test_each_run_is_warmed_up_with_two_tokens(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    forward = llama.forward

    def counted(rows: list[list[int]], **more: object) -> object:
        passes.append(len(rows))
        return forward(rows, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(llama, "forward", counted)
    (trace,) = compared(llama, "cow").values()
    assert len(passes) == len(trace) + 2


def test_closing_in_the_middle_frees_keys_and_values(llama: LoadedModel) -> None:
    parts = compare.stream(llama, CONFIG, ("cow", "batched"))
    for _ in range(3):
        next(parts)
    assert num_open() == 1
    parts.close()  # type: ignore[attr-defined]
    assert num_open() == 0


def test_what_the_model_cannot_run_is_refused_before_anything_runs(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_cow = replace(llama.info, backends=("batched", "naive"), reason="No pool here.")
    monkeypatch.setattr(llama, "info", without_cow)
    with pytest.raises(InputError, match="No pool here"):
        next(compare.stream(llama, CONFIG, ("batched", "cow")))
    with pytest.raises(InputError, match="there is no 'fast'"):
        next(compare.stream(llama, CONFIG, ("fast",)))
    with pytest.raises(InputError, match="at least one"):
        next(compare.stream(llama, CONFIG, ()))


def by_hand(backend: str, seconds: float, kv_nbytes: int, token: int = 3) -> Trace:
    """The trace by hand as if `backend` had made it: `seconds` in all, `kv_nbytes` at its peak."""
    trace = Trace(make_header(backend=backend))
    for step in make_trace():
        memory = replace(make_memory(4, 6), kv_nbytes=kv_nbytes if step.index == 1 else 1)
        nodes = tuple(replace(n, token=token) if n.id == 0 else n for n in step.nodes)
        trace.append(
            replace(
                step,
                nodes=nodes,
                seconds=seconds / 3,
                overhead_seconds=0.0,
                memory_forward=memory,
                memory=memory,
            )
        )
    return trace


def test_ratios_are_the_other_run_over_this_one() -> None:
    summary = compare.summarize(
        {
            "deepcopy": by_hand("deepcopy", 6.0, 800),
            "cow": by_hand("cow", 1.5, 200),
            "recompute": by_hand("recompute", 12.0, 0),
            "naive": by_hand("naive", 9.0, 100, token=7),
        }
    )
    assert summary["same_tree"] == {
        "deepcopy": True,
        "cow": True,
        "recompute": True,
        "naive": False,
    }
    wall, peak = summary["ratios"]["wall_vs_naive"], summary["ratios"]["kv_peak_vs_deepcopy"]
    assert wall == pytest.approx({"deepcopy": 1.5, "cow": 6, "recompute": 0.75, "naive": 1})
    assert (peak["deepcopy"], peak["cow"], peak["naive"]) == (1, 4, 8)
    assert summary["order"] == ["deepcopy", "cow", "recompute", "naive"]


def test_the_tree_others_are_held_against_can_be_chosen() -> None:
    traces = {"cow": by_hand("cow", 1, 1), "batched": by_hand("batched", 1, 1, token=5)}
    assert compare.summarize(traces, "batched")["same_tree"] == {"cow": False, "batched": True}
    assert compare.summarize(traces, "naive")["reference"] == "cow"


def test_what_was_not_equal_is_said_by_backend() -> None:
    traces = {"cow": by_hand("cow", 1, 1), "batched": Trace(make_header(seed=4))}
    summary = compare.summarize(traces)
    assert summary["different"]["sampling"]["batched"]["seed"] == 4
    assert summary["different"]["samples"] == {"cow": 2, "batched": 0}
    assert summary["equal"]["model"] == "by-hand"
    assert "sampling" not in summary["equal"]


def test_collecting_records_a_file_a_backend(llama: LoadedModel, tmp_path: Path) -> None:
    parts = compare.stream(llama, CONFIG, ("cow", "naive"))
    *_, traces = compare.collect(parts, tmp_path / "run.jsonl")
    for name, trace in traces.items():
        assert Trace.load(tmp_path / f"run.{name}.jsonl").steps == trace.steps
