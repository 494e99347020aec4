"""Predicted bytes of a tree in other models: by hand, and against what the engine measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from explorer.cli import main
from explorer.config import InputError
from explorer.events import PROMPT_NODE
from explorer.shapes import SHAPES, Shape, TreeTokens, project, read_shape
from explorer.trace import Trace
from tests import schemas

ROOT = Path(__file__).parents[1]
TRACES = sorted((ROOT / "assets" / "traces").glob("*.jsonl"))
SHORT = ("--max-new-tokens", "6", "--max-paths", "4", "--backend")


@pytest.mark.parametrize(
    ("name", "nbytes"),
    [
        ("gpt2", 73_728),  # 2 x 12 x 12 x 64 x 4
        ("qwen2.5-7b", 57_344),  # 2 x 28 x 4 x 128 x 2
        ("llama-3.1-8b", 131_072),  # 2 x 32 x 8 x 128 x 2
        ("qwen3-8b", 147_456),  # 2 x 36 x 8 x 128 x 2
        ("qwen3-32b", 262_144),  # 2 x 64 x 8 x 128 x 2
        ("llama-3.1-70b", 327_680),  # 2 x 80 x 8 x 128 x 2
        ("mistral-7b-v0.1", 131_072),  # as Llama 3.1 8B, within its window
        ("gpt-oss-20b", 49_152),  # 2 x 24 x 8 x 64 x 2
        ("gemma-3-27b-it", 507_904),  # 2 x 62 x 16 x 128 x 2
        ("deepseek-v3", 70_272),  # 61 x (512 + 64) x 2
    ],
)
def test_bytes_per_token_of_the_list_are_those_worked_out_by_hand(name: str, nbytes: int) -> None:
    assert SHAPES[name].nbytes_per_token == nbytes
    assert SHAPES[name].source.startswith("config.json of ")


def test_every_model_of_the_list_is_in_that_test() -> None:
    assert len(SHAPES) == 10


def test_layers_that_slide_keep_their_window_and_the_others_all() -> None:
    oss = SHAPES["gpt-oss-20b"]
    assert oss.nbytes(1000, 128) == 12 * 2048 * 1000 + 12 * 2048 * 128
    assert SHAPES["mistral-7b-v0.1"].nbytes(9000, 4096) == 131_072 * 4096
    assert SHAPES["gemma-3-27b-it"].nbytes(5000, 1024) == 8192 * (10 * 5000 + 52 * 1024)


def test_a_shape_is_read_from_numbers_too() -> None:
    assert read_shape("32x8x128").nbytes_per_token == 131_072
    assert read_shape("32x8x128:float32").nbytes_per_token == 262_144
    assert read_shape("llama-3.1-8b") is SHAPES["llama-3.1-8b"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("llama", "give one of gpt2, "),
        ("32x8", "as in 32x8x128, not '32x8'"),
        ("0x8x128", "layers must be from 1 to 1000, not 0"),
        ("32x8x9999", "head dim must be from 1 to 4096, not 9999"),
        ("32x8x128:int3", "give a number format of float32, "),
    ],
)
def test_another_text_is_refused_in_one_sentence(text: str, why: str) -> None:
    with pytest.raises(InputError, match=r"^project: ") as refusal:
        read_shape(text)
    assert why in str(refusal.value)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_tokens_counted_off_the_tree_are_those_the_engine_measured(path: Path) -> None:
    counts = TreeTokens()
    for step in Trace.load(path):
        counts.forward(step)
        measured = step.memory_forward
        assert counts.unique == measured.unique_kv_tokens
        assert counts.logical == measured.logical_kv_tokens
        counts.decide(step)
        if step.paths:
            assert counts.unique == step.memory.unique_kv_tokens
            assert counts.logical == step.memory.logical_kv_tokens


def walked(trace: Trace, window: int) -> Iterator[tuple[int, int]]:
    """After each step: tokens in the last `window` positions, by a walk along every path."""
    parents: dict[int, int] = {}
    for step in trace:
        parents |= {node.id: node.parent for node in step.nodes}
        last = {node.path: node.id for node in step.nodes}
        lines = []
        for path in step.paths:
            line, at = [], parents[last[path]]
            while at != PROMPT_NODE:
                line.append(at)
                at = parents[at]
            prompt = [-1 - at for at in range(len(trace.header.prompt))]
            lines.append((prompt + line[::-1])[-window:])
        yield len({token for line in lines for token in line}), sum(map(len, lines))


@pytest.mark.parametrize("window", [1, 5, 17, 4096])
@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_window_counts_the_last_positions_of_every_path(path: Path, window: int) -> None:
    trace = Trace.load(path)
    counts = TreeTokens(window)
    for step, expected in zip(trace, walked(trace, window), strict=True):
        counts.forward(step)
        counts.decide(step)
        if step.paths:
            assert (counts.unique, counts.logical) == expected


def test_the_run_itself_is_predicted_as_it_was_measured() -> None:
    trace = Trace.load(ROOT / "assets" / "traces" / "story.jsonl")
    model = trace.header.model
    shape = Shape(
        "own",
        "own",
        model.num_layers,
        model.num_kv_heads,
        model.head_dim,
        model.dtype,
        source="the trace",
    )
    predicted = project(trace, shape)
    both = [memory for step in trace for memory in (step.memory_forward, step.memory)]
    assert predicted["sharing_nbytes_peak"] == max(memory.kv_live_nbytes for memory in both)
    assert predicted["copies_nbytes_peak"] == max(memory.kv_logical_nbytes for memory in both)
    shared, copied = predicted["sharing_nbytes_peak"], predicted["copies_nbytes_peak"]
    assert predicted["saving"] == pytest.approx((copied - shared) / copied)


def run_cli(capfd: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    capfd.readouterr()
    with pytest.raises(SystemExit) as left:
        main(list(args))
    out, err = capfd.readouterr()
    return int(left.value.code or 0), out, err


@pytest.mark.parametrize("backend", ["cow", "deepcopy", "naive"])
def test_run_project_says_the_bytes_and_adds_them_to_the_json(
    capfd: pytest.CaptureFixture[str], backend: str
) -> None:
    command = ("run", "--prompt", "Once upon a time", "--entropy-threshold", "0", *SHORT, backend)
    status, out, err = run_cli(capfd, *command, "--project", "llama-3.1-8b", "--json")
    assert status == 0, err
    document = json.loads(out.splitlines()[-1])
    jsonschema.validate(document, schemas.RUN)
    projected = document["projected"]
    counters = document["counters"]
    assert projected["is_predicted"] is True
    assert projected["copies_nbytes_peak"] == counters["logical_kv_tokens_peak"] * 131_072
    if backend == "cow":
        assert projected["sharing_nbytes_peak"] == counters["unique_kv_tokens_peak"] * 131_072
    if backend == "naive":  # one sample after another: nothing to share
        assert projected["sharing_nbytes_peak"] == projected["copies_nbytes_peak"]
    assert "predicted for Llama 3.1 8B (bfloat16, 128.0 KiB a token): " in " ".join(err.split())


def test_another_models_name_is_refused_before_anything_runs(
    capfd: pytest.CaptureFixture[str],
) -> None:
    status, out, err = run_cli(capfd, "run", "--prompt", "Once", "--project", "my-model")
    assert (status, out) == (2, "")
    assert err.startswith("error: project: give one of gpt2, ")
