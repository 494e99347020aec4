"""`reuse`, and `run --prefix-cache`: what they print, what they leave, what they refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import explorer
from explorer.cache import disk
from explorer.cache.prefix import PrefixCache
from explorer.config import RunConfig
from explorer.metrics import tree_digest
from explorer.models import LoadedModel
from tests import schemas
from tests.schemas import COUNT, DIGEST, SECONDS, SHARE, TEXT, record
from tests.test_cli import SHORT, Cli, cli

PREFIX = record(
    hit_tokens=COUNT,
    miss_tokens=COUNT,
    hit_rate=SHARE,
    blocks=COUNT,
    evicted_blocks=COUNT,
    nbytes=COUNT,
)
RUN = schemas.RUN | {
    "properties": schemas.RUN["properties"] | {"prefix": PREFIX},
    "required": [*schemas.RUN["required"], "prefix"],
}
REUSE = record(
    model=TEXT,
    runs={
        "type": "array",
        "minItems": 1,
        "items": record(
            file=TEXT,
            prompt_tokens=COUNT,
            prefix=PREFIX,
            seconds=record(first_token=SECONDS),
            tree_digest=DIGEST,
        ),
    },
    prefix=record(hit_tokens=COUNT, miss_tokens=COUNT, hit_rate=SHARE, evicted_blocks=COUNT),
)
SHARED = "The quick brown fox jumps over the lazy dog, and the dog sleeps on. "

__all__ = ["cli"]  # the fixture


@pytest.fixture
def prompts(tmp_path: Path) -> list[Path]:
    """Two that begin alike, the first once more, and one of its own."""
    texts = {"a": SHARED + "It rained.", "b": SHARED + "It snowed.", "c": "Nothing shared here."}
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    return [tmp_path / f"{name}.txt" for name in "abac"]


def options(model_folder: Path, *more: object) -> tuple[object, ...]:
    return ("--model", model_folder, *SHORT, "--json", *more)


def test_prompts_one_after_another_hit_what_those_before_them_left(
    cli: Cli, model_folder: Path, prompts: list[Path], llama: LoadedModel
) -> None:
    files = [part for file in prompts for part in ("--prompt-file", file)]
    document = cli("reuse", *files, *options(model_folder)).json(REUSE)
    hits = [(run["prefix"]["hit_tokens"], run["prefix"]["miss_tokens"]) for run in document["runs"]]
    assert hits == [(0, 78), (64, 14), (64, 14), (0, 20)]
    totals = document["prefix"]
    assert (totals["hit_tokens"], totals["miss_tokens"], totals["queries"]) == (128, 126, 254)
    assert totals["hit_rate"] == pytest.approx(128 / 254)
    saved = [run["prefix"]["seconds_saved"] for run in document["runs"]]
    assert totals["seconds_saved"] == pytest.approx(sum(saved))
    for run, file in zip(document["runs"], prompts, strict=True):
        config = RunConfig(prompt=file.read_text()).replace(max_new_tokens=6, max_paths=4)
        assert run["tree_digest"] == tree_digest(explorer.run(llama, config))


def test_command_line_and_python_agree_with_and_without_reuse(
    cli: Cli, model_folder: Path, prompts: list[Path], tmp_path: Path, llama: LoadedModel
) -> None:
    args = ("run", "--prompt-file", prompts[0], *options(model_folder))
    cold = cli(*args).json(schemas.RUN)
    assert "prefix" not in cold
    folder = tmp_path / "kept"
    first = cli(*args, "--prefix-cache", folder).json(RUN)
    second = cli(*args, "--prefix-cache", folder).json(RUN)
    assert (first["prefix"]["hit_tokens"], second["prefix"]["hit_tokens"]) == (0, 64)
    assert second["prefix"]["seconds_saved"] is not None  # what a cold run took is on disk as well
    config = RunConfig(prompt=prompts[0].read_text()).replace(max_new_tokens=6, max_paths=4)
    cache = PrefixCache()
    traces = [explorer.run(llama, config, prefix=cache) for _ in range(2)]
    digests = {cold["tree_digest"], first["tree_digest"], second["tree_digest"]}
    assert digests == {tree_digest(trace) for trace in traces}


def test_a_folder_is_rewritten_only_for_what_is_new(
    cli: Cli, model_folder: Path, prompts: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    args = ("reuse", "--prompt-file", prompts[0], *options(model_folder, "--prefix-cache", folder))
    assert cli(*args).json(REUSE)["saved"]["blocks"] == 4
    before = sorted(folder.iterdir())
    assert cli(*args).json(REUSE)["saved"] is None
    assert sorted(folder.iterdir()) == before
    more = cli(*args, "--prompt-file", prompts[3], "--prefix-disk", "int8").json(REUSE)["saved"]
    assert more["blocks"] == 5
    assert more["max_abs_error"] > 0


@pytest.mark.parametrize("command", ["run", "reuse"])
def test_a_run_is_shown_also_where_it_cannot_be_saved(
    cli: Cli,
    model_folder: Path,
    prompts: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "_write", full)
    folder = ("--prefix-cache", tmp_path / "kept")
    done = cli(command, "--prompt-file", prompts[0], *options(model_folder, *folder))
    assert done.status != 0
    assert "No space left on device" in done.err
    document = json.loads(done.out.splitlines()[-1])
    [shown] = document["runs"] if command == "reuse" else [document]
    assert shown["prefix"]["stored_blocks"] == 4


@pytest.mark.parametrize("command", ["run", "reuse"])
def test_a_folder_that_cannot_be_written_is_said_before_the_run_unless_it_is_only_read(
    cli: Cli,
    model_folder: Path,
    prompts: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    folder = ("--prefix-cache", tmp_path / "kept")
    arguments = command, "--prompt-file", prompts[0], *options(model_folder, *folder)
    assert cli(*arguments).status == 0

    def refusing(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disk, "TemporaryFile", refusing)
    assert cli(*arguments, "--prefix-use", "read").status == 0
    for name in ("generate", "run"):  # none is begun
        monkeypatch.setattr(sys.modules["explorer.generate"], name, None)
    assert "Cannot write the prefix cache to" in cli(*arguments).refusal()


def test_totals_are_those_of_the_runs_also_where_nothing_is_looked_up(
    cli: Cli, model_folder: Path, prompts: list[Path]
) -> None:
    policy = ("--policy", "h2o", "--budget", 90)
    document = cli("reuse", "--prompt-file", prompts[0], *options(model_folder, *policy)).json(
        REUSE
    )
    assert document["runs"][0]["prefix"]["miss_tokens"] == 78
    assert (document["prefix"]["miss_tokens"], document["prefix"]["queries"]) == (78, 78)


def test_bounds_order_and_block_size_are_options(
    cli: Cli, model_folder: Path, prompts: list[Path], tmp_path: Path
) -> None:
    files = [part for file in prompts for part in ("--prompt-file", file)]
    bounds = ("--prefix-max-blocks", 3, "--prefix-order", "fifo", "--prefix-block-size", 8)
    folder = ("--prefix-cache", tmp_path / "kept")
    totals = cli("reuse", *files, *options(model_folder, *bounds, *folder)).json(REUSE)["prefix"]
    assert (totals["blocks"], totals["block_size"], totals["order"]) == (3, 8, "fifo")
    assert totals["evicted_blocks"] > 0
    again = cli("reuse", *files[:2], *options(model_folder, *folder)).json(REUSE)["prefix"]
    assert again["block_size"] == 8  # the folder's


def test_people_read_what_was_reused(cli: Cli, model_folder: Path, prompts: list[Path]) -> None:
    files = [part for file in prompts for part in ("--prompt-file", file)]
    shown = " ".join(cli("reuse", *files, "--model", model_folder, *SHORT).out.split())
    assert "128 of 254 prompt tokens reused (50%)" in shown
    assert "0 evicted" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("reuse",), "prompt_file: give at least one"),
        (("reuse", "--prompt", "Hi"), "prompt: reuse reads its prompts from files"),
        (("reuse", "--prompt-file", "{c}", "--prefix-order", "mru"), "prefix_order: choose from"),
        (("reuse", "--prompt-file", "{c}", "--prefix-block-size", "0"), "prefix_block_size: give"),
        (("run", "--prompt", "Hi", "--prefix-cache", "{c}"), "Cannot write the prefix cache to"),
        (("run", "--prompt", "Hi", "--prefix-cache", "{bad}"), "is damaged"),
        (
            ("run", "--prompt", "Hi", "--prefix-cache", "{new}", "--prefix-disk", "int4"),
            "prefix_disk: choose model or int8",
        ),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    cli: Cli,
    model_folder: Path,
    prompts: list[Path],
    tmp_path: Path,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "index.json").write_text("{")
    names = {"c": prompts[-1], "bad": tmp_path / "bad", "new": tmp_path / "new"}
    given = [argument.format(**names) for argument in arguments]
    assert words in cli(*given, "--model", model_folder, *SHORT).refusal()
