"""tiny-seq2seq through the product: command line, bench, eviction, storage formats, refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from explorer.cli import app
from explorer.config import InputError, RunConfig
from explorer.events import Step
from explorer.experiments import seq2seq
from explorer.experiments.base import QUICK
from explorer.generate import prepare, run
from explorer.metrics import leaves, result, tree_digest
from explorer.models import LoadedModel, load_model
from explorer.seq2seq import Source
from explorer.tiny.pairs import phrases
from explorer.trace import Trace
from explorer.ui import presets

PROMPT = "rephrase: The shy fox hid a red key in the cave."
FACTS = ["shy", "fox", "hid", "red", "key", "cave"]
RUN = presets.EXAMPLES["rephrase"].settings | {"prompt": PROMPT}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("tiny-seq2seq", device="cpu")


def invoke(*args: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*args, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def test_run_prints_the_cross_attention_cache_apart_from_the_paths() -> None:
    document = invoke("run", "--model", "tiny-seq2seq", "--prompt", PROMPT, "--max-paths", "4")
    source = 14  # rephrase : The shy fox hid a red key in the cave . </s>
    layer = 2 * source * 96 * 4  # keys and values of the model's 96 numbers, float32
    assert document["cross"] == {"tokens": source, "nbytes": 2 * layer}
    assert document["run"]["model"] == "tiny-seq2seq"
    assert document["counters"]["forward_token_steps"] > source


def test_what_follows_a_run_gathers_nothing_of_what_it_looked_at(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered: dict[Source, int] = {}
    forward = Source.forward

    def spy(self: Source, *given: Any, **more: Any) -> torch.Tensor:
        logits = forward(self, *given, **more)
        gathered[self] = max(gathered.get(self, 0), len(self._looks))
        return logits

    monkeypatch.setattr(Source, "forward", spy)
    beside = dict(against_full=True, against_float32=True, max_new_tokens=6)
    trace = run(model, RunConfig(**(RUN | beside)))
    assert len(trace) == 6
    assert list(gathered.values()) == [1, 1, 1]
    assert all(each.look for step in trace for each in step.decisions)


def test_runs_of_decoder_only_models_have_no_cross_attention_cache() -> None:
    document = invoke("run", "--prompt", "Once upon a time", "--max-new-tokens", "3")
    assert "cross" not in document


def test_compare_finds_one_tree_on_every_backend() -> None:
    document = invoke(
        *("compare", "--model", "tiny-seq2seq", "--prompt", PROMPT, "--max-paths", "4"),
        *("--max-new-tokens", "8", "--backends", "cow,batched,deepcopy,recompute"),
    )
    assert set(document["same_tree"].values()) == {True}
    held = {name: one["cross"]["nbytes"] for name, one in document["runs"].items()}
    assert held.pop("recompute") == 0
    assert len(set(held.values())) == 1


def test_models_lists_it_with_every_backend() -> None:
    document = invoke("models")
    [entry] = [each for each in document["models"] if each["name"] == "tiny-seq2seq"]
    assert entry["backends"] == ["cow", "batched", "deepcopy", "recompute", "naive"]
    assert entry["cross_nbytes_per_token"] == entry["kv_nbytes_per_token"] == 2 * 2 * 96 * 4


def test_its_branches_are_right_answers(model: LoadedModel) -> None:
    trace = run(model, RunConfig(**RUN))
    texts = {leaf.text for leaf in leaves(trace) if leaf.status == "finished"}
    assert texts <= set(phrases(FACTS))
    assert len(texts) >= 6
    assert result(trace)["cross"]["tokens"] == len(trace.header.source)


def test_every_decision_has_a_look_whose_weights_are_a_share_of_one(model: LoadedModel) -> None:
    trace = run(model, RunConfig(**RUN))
    num_source = len(trace.header.source)
    for step in trace:
        for decision in step.decisions:
            assert decision.look is not None
            assert len(set(decision.look.tokens)) == len(decision.look.tokens) <= num_source
            assert sum(decision.look.weights) == pytest.approx(1, abs=1e-3)
            assert list(decision.look.weights) == sorted(decision.look.weights, reverse=True)


def test_it_looks_at_the_word_that_it_says_next(model: LoadedModel) -> None:
    """Not asked of random weights: the trained model's map has to mean something."""
    trace = run(model, RunConfig(prompt="copy: fox key red", temperature=0, entropy_threshold=1))
    words = [token.text.strip() for token in trace.header.source]
    decisions = [decision for step in trace for decision in step.decisions]
    assert leaves(trace)[0].text == "fox key red"
    for decision, word in zip(decisions, ("fox", "key", "red"), strict=False):
        assert decision.look is not None
        nearest = decision.look.tokens[:3]
        assert words.index(word) in nearest


def test_a_saved_trace_is_the_trace(model: LoadedModel) -> None:
    trace = run(model, RunConfig(**RUN))
    again = Trace.parse(b"".join(trace.lines()))
    assert again.header == trace.header and again.steps == trace.steps
    old = json.loads(next(iter(trace.lines())))
    del old["source"]
    assert Trace.parse(json.dumps(old).encode() + b"\n").header.source == ()


def steps_of(model: LoadedModel, **changes: Any) -> list[Step]:
    return run(model, RunConfig(**RUN | changes)).steps


@pytest.mark.parametrize("policy", ["window", "h2o", "race", "count_min"])
def test_policies_evict_from_self_attention_and_never_from_the_source(
    model: LoadedModel, policy: str
) -> None:
    steps = steps_of(model, policy=policy, budget=6, sinks=1, recent=2)
    assert sum(len(step.evictions) for step in steps) > 0
    held = {step.memory_forward.cross_nbytes for step in steps}
    assert held == {model.info.cross_nbytes_per_token * 14}
    for step in steps:
        assert max(step.memory.layers) <= 6 * max(1, len(step.paths))


def test_a_budget_nobody_exceeds_changes_nothing(model: LoadedModel) -> None:
    plain, bounded = (
        run(model, RunConfig(**RUN, **more))
        for more in ({}, {"policy": "h2o", "budget": 40, "sinks": 1, "recent": 2})
    )
    assert tree_digest(plain) == tree_digest(bounded)


def test_against_the_full_cache_and_quantised_storage(model: LoadedModel) -> None:
    steps = steps_of(model, policy="window", budget=5, sinks=1, recent=2, against_full=True)
    parted = [d.kl for step in steps for d in step.decisions if d.kl is not None]
    assert parted[0] == pytest.approx(0, abs=1e-9) and max(parted) > 0
    int8 = steps_of(model, kv_dtype="int8", kv_recent=1)
    assert {step.memory.cross_nbytes for step in int8} == {model.info.cross_nbytes_per_token * 14}


def test_a_beginning_that_is_given_goes_to_the_decoder(model: LoadedModel) -> None:
    assert model.tokenizer is not None
    given = tuple(model.tokenizer.encode("What the", add_special_tokens=False))
    trace = run(model, RunConfig(**RUN, prefix_ids=given))
    assert [token.token for token in trace.header.prompt[1:]] == list(given)
    assert all(leaf.text.startswith(" shy fox") for leaf in leaves(trace))


def test_quality_refuses_it_in_one_sentence() -> None:
    asked = ["quality", "--model", "tiny-seq2seq", "--text-file", __file__]
    done = CliRunner().invoke(app, [*asked, "--policy", "window", "--budget", "64"])
    assert isinstance(done.exception, InputError)
    assert str(done.exception).startswith("model: quality reads a text to its end")


def test_an_empty_source_is_refused(model: LoadedModel) -> None:
    with pytest.raises(InputError, match="The prompt is empty"):
        prepare(model, RunConfig(prompt="  "))


def test_the_bench_case_holds_one_paths_bytes_at_eight_paths() -> None:
    cases = list(seq2seq.measure(QUICK, "cpu", "float32", lambda *_: None))
    assert [case["name"] for case in cases] == seq2seq.case_names()
    for case in cases:
        assert case["paths"] == seq2seq.NUM_PATHS
        assert case["ratio"] == 1
        assert case["cross_nbytes"] == case["cross_tokens"] * 2 * 2 * 96 * 4
