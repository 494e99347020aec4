"""A beginning that is given: the run with those tokens in its prompt, and its origin kept."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from pydantic import ValidationError

from explorer.config import InputError, RunConfig, explain
from explorer.events import Origin, Step
from explorer.generate import prepare, run
from explorer.metrics import leaves, tree_digest
from explorer.models import LoadedModel
from explorer.text import HALF
from explorer.trace import Trace
from explorer.ui.explore import LONGEST, asked
from explorer.ui.limits import Limits
from tests import architectures
from tests.conftest import make_header

PROMPT = tuple(range(3, 16))
SETTINGS: dict[str, Any] = dict(
    entropy_threshold=0.5, max_paths=6, max_new_tokens=8, prefill_chunk=5, seed=4
)
SHORT = ("--max-new-tokens", "6", "--max-paths", "4", "--seed", "3", "--device", "cpu")
TEMPLATE = (
    "{% for m in messages %}[{{ m.content }}]{% endfor %}{% if add_generation_prompt %}>{% endif %}"
)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return LoadedModel(architectures.build("llama"), name="llama")


def measured(trace: Trace) -> list[Step]:
    """The steps without what a clock or the operating system said."""
    still = dict(seconds=0.0, overhead_seconds=0.0, beside_seconds=0.0, peak_memory_nbytes=0)
    return [replace(step, **still) for step in trace]


@pytest.mark.parametrize("select", ["sample", "top", "gumbel", "arithmetic"])
@pytest.mark.parametrize("backend", ["cow", "batched", "deepcopy", "recompute", "naive"])
@pytest.mark.parametrize("given", [(5,), (9, 9, 60, 1)])
def test_a_given_beginning_is_the_run_with_these_tokens_in_the_prompt(
    model: LoadedModel, backend: str, select: str, given: tuple[int, ...]
) -> None:
    settings = SETTINGS | dict(backend=backend, select=select, num_samples=3)
    forced = run(model, RunConfig(prompt_ids=PROMPT, prefix_ids=given, **settings))
    whole = run(model, RunConfig(prompt_ids=PROMPT + given, **settings))
    assert forced.header.prompt == whole.header.prompt
    assert measured(forced) == measured(whole)
    assert tree_digest(forced) == tree_digest(whole)


def test_the_first_decision_after_a_given_beginning_is_the_models_own(model: LoadedModel) -> None:
    given = (9, 60)
    trace = run(model, RunConfig(prompt_ids=PROMPT, prefix_ids=given, **SETTINGS))
    ids = torch.tensor([PROMPT + given])
    with torch.no_grad():
        logits = model.module(input_ids=ids).logits[0, -1].float()
    wanted = torch.log_softmax(logits, dim=-1)
    first = next(step for step in trace if step.decisions).decisions[0]
    for one in first.candidates:
        assert one.raw_logprob == pytest.approx(float(wanted[one.token]), abs=1e-5)


def test_forcing_what_was_drawn_meets_the_same_distribution(model: LoadedModel) -> None:
    """The decision at a node, and the one of a run that was given the way to it, are one."""
    config = RunConfig(prompt_ids=PROMPT, **SETTINGS)
    trace = run(model, config)
    decided = {d.node: d for step in trace for d in step.decisions}
    for leaf in leaves(trace, keep_pruned=True)[:4]:
        way = leaf.nodes[:-1]
        again = run(model, config.replace(prefix_ids=tuple(node.token for node in way)))
        first = next(step for step in again if step.decisions).decisions[0]
        assert first.entropy == pytest.approx(decided[way[-1].id].entropy, abs=1e-4)
        assert [one.token for one in first.candidates] == [
            one.token for one in decided[way[-1].id].candidates
        ]


def test_text_and_ids_give_one_run_and_the_text_is_exact(llama: LoadedModel) -> None:
    """Bytes of one character on both sides of the border between prompt and given tokens."""
    snow = list("❄ ü".encode())
    prompt, given = [*b"a ", snow[0]], tuple(snow[1:])
    by_ids = run(llama, RunConfig(prompt_ids=tuple(prompt), prefix_ids=given, **SETTINGS))
    assert [token.text for token in by_ids.header.prompt] == [
        "a", " ", "", "", "❄", " ", "", "ü",
    ]  # fmt: skip
    by_text = run(llama, RunConfig(prompt="Once", prefix_ids=given[2:], **SETTINGS))
    whole = run(llama, RunConfig(prompt="Once ü", **SETTINGS))
    assert "".join(token.text for token in by_text.header.prompt) == "Once ü"
    assert measured(by_text) == measured(whole)
    texts = "".join(node.text for step in by_text for node in step.nodes)
    assert texts == "".join(node.text for step in whole for node in step.nodes)
    half = run(llama, RunConfig(prompt="a", prefix_ids=(snow[0],), **SETTINGS))
    assert HALF not in "".join(token.text for token in half.header.prompt)


def test_a_chat_template_stands_before_the_given_beginning(llama: LoadedModel) -> None:
    assert llama.tokenizer is not None
    before = llama.tokenizer.chat_template
    try:
        llama.tokenizer.chat_template = TEMPLATE
        config = RunConfig(prompt="Hi", chat_template=True, prefix_ids=(*b"Yes",))
        header = prepare(llama, config)
    finally:
        llama.tokenizer.chat_template = before
    assert "".join(token.text for token in header.prompt) == "[Hi]>Yes"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (dict(prompt_ids=(), prefix_ids=(5,)), "The prompt is empty"),
        (dict(prompt="  ", prefix_ids=(5,)), "The prompt is empty"),
        (dict(prompt_ids=(1,), prefix_ids=(5, 64)), "prefix_ids must lie in 0..63"),
        (dict(prompt_ids=(1,), prefix_ids=(-1,)), "prefix_ids must lie in 0..63"),
        (
            dict(prompt_ids=(1,), prefix_ids=(5,) * 120, max_new_tokens=8),
            "has 121 tokens, 120 of them given after it, and max_new_tokens is 8",
        ),
    ],
)
def test_a_beginning_that_cannot_be_run_is_refused_in_a_sentence(
    model: LoadedModel, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        prepare(model, RunConfig(**settings))


@pytest.mark.parametrize("bad", [(5, "x"), (1.5,), (0,) * 65_537, "ab"])
def test_ids_that_are_none_are_named_in_one_sentence(bad: object) -> None:
    with pytest.raises(ValidationError) as caught:
        RunConfig(prompt="a", prefix_ids=bad)
    assert explain(caught.value).startswith("prefix_ids: ")
    assert "\n" not in explain(caught.value)


def explorer(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "explorer", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_line_gives_the_same_digest_as_python(
    llama: LoadedModel, model_folder: Path, tmp_path: Path
) -> None:
    prompt, words = tmp_path / "prompt.txt", "Once upon"
    prompt.write_text(words)
    config = RunConfig(
        prompt=words, prefix_ids=(32, 97), max_new_tokens=6, max_paths=4, seed=3, device="cpu"
    )
    digest = tree_digest(run(llama, config))
    ids = ",".join(str(byte) for byte in words.encode())
    for given in (("--prompt", words), ("--prompt-file", prompt), ("--prompt-ids", ids)):
        trace = tmp_path / "run.jsonl"
        options = ("--model", model_folder, *given, "--prefix-ids", "32,97", *SHORT)
        done = explorer("run", *options, "--trace", trace, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["tree_digest"] == digest
        assert Trace.load(trace).header.config["prefix_ids"] == [32, 97]


def test_the_command_line_refuses_ids_that_are_none_in_one_line(model_folder: Path) -> None:
    for ids, said in (("1,a", "prefix_ids: give token ids"), ("999", "prefix_ids must lie in 0..")):
        done = explorer("run", "--model", model_folder, "--prompt", "a", "--prefix-ids", ids)
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_help_says_what_a_given_beginning_is() -> None:
    said = " ".join(explorer("run", "--help").stdout.replace("│", " ").split())
    assert "--prefix-ids" in said
    assert "a beginning that is given, not generated" in said


def test_the_origin_of_a_run_is_kept_in_its_file(model: LoadedModel, tmp_path: Path) -> None:
    origin = Origin("2026-01-01T00:00:00+00:00", "forced", node=4, depth=5, text=" dragon")
    header = prepare(model, RunConfig(prompt_ids=PROMPT, prefix_ids=(5,)), origin)
    Trace(header).save(tmp_path / "a.jsonl")
    assert Trace.load(tmp_path / "a.jsonl").header == header
    written = orjson.loads((tmp_path / "a.jsonl").read_bytes())
    assert written["origin"] == asdict(origin)


def test_a_trace_from_before_there_were_origins_loads(tmp_path: Path) -> None:
    line = orjson.loads(orjson.dumps(make_header()))
    del line["origin"], line["config"]["prefix_ids"]
    (tmp_path / "old.jsonl").write_bytes(orjson.dumps(line) + b"\n")
    header = Trace.load(tmp_path / "old.jsonl").header
    assert header.origin is None
    assert RunConfig(**header.config).prefix_ids == ()


def test_an_origin_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    line = orjson.loads(orjson.dumps(make_header()))
    line["origin"] = {"created": "x", "kind": "stolen"}
    (tmp_path / "odd.jsonl").write_bytes(orjson.dumps(line) + b"\n")
    with pytest.raises(InputError, match="damaged header"):
        Trace.load(tmp_path / "odd.jsonl")


# ---- what a stage asks for ---------------------------------------------------------------------

SHOWN = RunConfig(prompt="Once", prefix_ids=(7,), temperature=0.5).model_dump(mode="json")
FORCED = {"created": "2026-01-01T00:00:00+00:00", "kind": "forced", "node": 4, "text": " dragon"}


def test_a_stage_asks_for_the_run_it_shows_with_a_token_forced() -> None:
    config, origin = asked({"config": SHOWN, "prefix_ids": [7, 8, 9], "origin": FORCED})
    assert config == RunConfig(prompt="Once", prefix_ids=(7, 8, 9), temperature=0.5)
    assert origin == Origin(**FORCED)  # type: ignore[arg-type]


def test_another_threshold_keeps_what_was_given_before() -> None:
    config, origin = asked({"config": SHOWN, "changes": {"entropy_threshold": 0.4}})
    assert config == RunConfig(
        prompt="Once", prefix_ids=(7,), temperature=0.5, entropy_threshold=0.4
    )
    assert origin is None


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (None, "did not say which run"),
        ({"config": 3}, "did not say which run"),
        ({"config": SHOWN, "changes": [1]}, "did not say which run"),
        ({"config": SHOWN | {"no_such_setting": 1}}, "no_such_setting: "),
        ({"config": SHOWN, "changes": {"entropy_threshold": 7}}, "entropy_threshold: "),
        ({"config": SHOWN, "prefix_ids": "ab"}, "prefix_ids: "),
        ({"config": SHOWN, "prefix_ids": [1.5]}, "prefix_ids: "),
        ({"config": SHOWN, "origin": {"created": "x", "kind": "stolen"}}, "kind: "),
    ],
)
def test_a_request_that_is_none_is_one_sentence(request_: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        asked(request_)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prefix_ids": [1] * 2001}, "prefix_ids: this public page takes up to 2,000"),
        ({"prompt_ids": [1] * 8001}, "prompt_ids: this public page takes up to 8,000"),
        ({"model": "somebody/large"}, "This public page runs tiny"),
        ({"max_paths": 500}, "max_paths is 500"),
    ],
)
def test_a_public_page_bounds_what_a_stage_may_ask_for(
    changes: dict[str, object], words: str
) -> None:
    request = {"config": SHOWN, "changes": changes}
    asked(request)
    with pytest.raises(InputError, match=words):
        asked(request, Limits())


def test_what_an_origin_says_is_bounded() -> None:
    _, origin = asked({"config": SHOWN, "origin": FORCED | {"text": "x" * 9000}})
    assert origin is not None
    assert len(origin.text) == LONGEST
