"""Cached against uncached: the same text by greedy argmax, costs by hand, and where they cross."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from explorer.backends.recompute import RecomputeBackend
from explorer.commands.sweep import PAGES
from explorer.config import InputError, RunConfig
from explorer.experiments import cached
from explorer.experiments.base import Pace
from explorer.experiments.runner import Plan, run_sweep
from explorer.generate import run
from explorer.models import LoadedModel
from explorer.views import cached as figures
from tests import architectures, seq2seq_models

AXES = {"prompt_length": (8, 40)}
OPTIONS = {"repeats": 2}
NEW = cached.NEW_TOKENS


def row(model: LoadedModel, length: int, **changes: Any) -> dict[str, Any]:
    [point] = cached.points(RunConfig(**changes), OPTIONS, {"prompt_length": (length,)})
    return cached.measure(model, point, OPTIONS)


def test_a_row_counts_what_either_side_computed_and_held(llama: LoadedModel) -> None:
    found = row(llama, 40)
    assert (found["generated_tokens"], found["length"], found["repeats"]) == (NEW, 40 + NEW, 2)
    uncached = sum(range(40, 40 + NEW))  # the whole text at every step
    assert found["speedup_forward_tokens"] == uncached / (40 + NEW - 1)
    stored = (40 + NEW - 1) * llama.info.kv_nbytes_per_token
    assert stored <= found["kv_nbytes_peak"] <= 1.5 * stored
    assert found["uncached_kv_nbytes_peak"] == 0
    assert found["speedup_decode_low"] <= found["speedup_decode"] <= found["speedup_decode_high"]
    assert found["cached_per_second"] > 0 < found["uncached_per_second"]


def test_a_row_of_an_encoder_decoder_counts_its_source() -> None:
    model = LoadedModel(seq2seq_models.build("bart"))
    source = tuple(range(5, 35))
    [point] = cached.points(RunConfig(prompt_ids=source), OPTIONS, {"prompt_length": (30,)})
    sides = {
        name: run(model, point.config.replace(backend=name, prompt_ids=source))
        for name in ("cow", "recompute")
    }
    found = cached.row_of([sides])
    assert (found["generated_tokens"], found["length"]) == (NEW, 30 + NEW)
    again = sum(30 + read for read in range(1, NEW + 1))  # the source and the words so far
    assert found["speedup_forward_tokens"] == again / (30 + NEW)
    # a row of the source and one of each word, of 3 layers x 4 heads x 8 x (K, V) x 4 bytes
    assert found["kv_nbytes_peak"] >= (30 + NEW) * 3 * 4 * 8 * 2 * 4
    assert found["uncached_kv_nbytes_peak"] == 0


def test_both_sides_write_what_a_plain_argmax_writes(llama: LoadedModel) -> None:
    [point] = cached.points(RunConfig(), OPTIONS, {"prompt_length": (8,)})
    ids = row(llama, 8)["_run"]["prompt_ids"]
    assert len(ids) == 8
    text = list(ids)
    with torch.inference_mode():
        for _ in range(NEW):
            text.append(int(llama.module(torch.tensor([text])).logits[0, -1].argmax()))
    for backend in ("cow", "recompute"):
        trace = run(llama, point.config.replace(prompt_ids=ids, backend=backend))
        assert [node.token for step in trace for node in step.nodes] == text[8:]


def test_different_texts_are_no_row(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = RecomputeBackend._forward

    def other(self: RecomputeBackend) -> Any:
        found = forward(self)
        return replace(found, logits=-found.logits)

    monkeypatch.setattr(RecomputeBackend, "_forward", other)
    with pytest.raises(ValueError, match="wrote different texts"):
        row(llama, 8)


def test_a_model_without_a_pool_is_refused_with_its_reason() -> None:
    model = LoadedModel(architectures.build("bloom"))
    with pytest.raises(InputError, match=r"does not let its attention be replaced.*no cached run"):
        cached.prepare(model, OPTIONS)
    with pytest.raises(InputError, match="cached needs prompt_length"):
        cached.points(RunConfig(), OPTIONS, {"temperature": (1.0,)})


def lengths(*pairs: tuple[int, float | None]) -> list[dict[str, Any]]:
    return [{"length": length, "speedup_decode": speedup} for length, speedup in pairs]


def test_the_crossing_lies_where_a_line_of_logarithms_passes_one() -> None:
    assert cached.crossing(lengths((64, 0.5), (256, 2.0))) == pytest.approx(128)
    found = cached.crossing(lengths((2048, 9.0), (64, 0.8), (128, 1.7)))
    assert found is not None
    share = math.log(found / 64) / math.log(128 / 64)
    assert math.log(0.8) + share * math.log(1.7 / 0.8) == pytest.approx(0)
    # the last one counts: from there on the cache stays faster
    several = lengths((64, 1.5), (128, 0.5), (256, 2.0), (512, 0.5), (2048, 2.0))
    assert cached.crossing(several) == pytest.approx(1024)
    assert cached.crossing(lengths((64, 1.2), (128, 2.0))) is None
    assert cached.crossing(lengths((64, 0.5), (128, 2.0), (256, 0.9))) is None
    assert cached.crossing(lengths((64, 0.25), (100, None), (256, 4.0))) == pytest.approx(128)
    assert cached.crossing([]) is None


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (((64, 0.5), (256, 2.0)), "faster from about 128 tokens on; at 256 tokens a step takes 2."),
        (((64, 1.5), (256, 2.0)), "faster at every length, from 64 tokens on"),
        (((64, 2.0), (256, 0.9)), "is not faster at 256 tokens, the longest text; at 256"),
    ],
)
def test_the_answer_says_from_where_on_a_cache_pays(pairs: Any, words: str) -> None:
    rows = [{"measures": each | {"kv_nbytes_peak": 2**21}} for each in lengths(*pairs)]
    answer = cached.summarize(rows)["crossing"]["answer"]
    assert words in answer
    assert "holds 2.0 MiB" in answer


def test_a_sweep_has_a_row_a_length_and_its_figures_draw_them(
    model_folder: Path, tmp_path: Path
) -> None:
    config = RunConfig(model=str(model_folder), device="cpu")
    plan = Plan("explorer.experiments.cached", config, OPTIONS, tmp_path, axes=AXES)
    document = run_sweep(plan)
    assert document["failed"] == []
    assert [each["length"] for each in document["rows"]] == [8 + NEW, 40 + NEW]
    assert set(cached.MEASURES) <= set(document["rows"][0])
    speed, speedup = figures.speed(document), figures.speedup(document)
    assert [list(line.x) for line in speed.data] == [[24, 56], [24, 56]]
    rows = document["rows"]
    assert list(speed.data[0].y) == [each["cached_per_second"] for each in rows]
    assert list(speed.data[1].y) == [each["uncached_per_second"] for each in rows]
    assert list(speedup.data[0].y) == [each["speedup_decode"] for each in rows]
    held = figures.memory(document)
    assert list(held.data[1].y) == [0, 0]
    assert held.data[0].y[1] > held.data[0].y[0] > 0
    assert "cdn" not in figures.page(document).split("<script", 1)[0]


def test_the_crossing_is_marked_where_there_is_one() -> None:
    rows = [
        {**each, "cached_per_second": 1.0, "uncached_per_second": 1.0}
        | {"kv_nbytes_peak": 1, "uncached_kv_nbytes_peak": 0}
        for each in lengths((64, 0.5), (256, 2.0), (100, None))
    ]
    document = {"rows": rows, "summary": {"crossing": {"length": 128.0}}}
    figure = figures.speedup(document)
    assert [shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1] == [128.0]
    assert figure.layout.annotations[0].text == "128 tokens"
    assert list(figure.data[0].x) == [64, 256]
    document["summary"]["crossing"]["length"] = None
    assert len(figures.speedup(document).layout.shapes) == 1


def test_figures_of_their_own_are_there() -> None:
    for name in PAGES.values():
        assert callable(import_module(f"explorer.views.{name}").page)


def test_the_estimate_grows_with_the_text_read_again() -> None:
    short, long = cached.points(RunConfig(), OPTIONS, {"prompt_length": (100, 200)})
    pace = Pace(prompt_token=0.001, step=0.01, path=0.0)
    costs = [cached.cost(pace, point, OPTIONS, 0) for point in (short, long)]
    assert costs[0] == pytest.approx(2 * (0.1 + NEW * 0.01 + (NEW + 1) * 0.1))
    assert costs[1] - costs[0] == pytest.approx(2 * (NEW + 2) * 0.1)
