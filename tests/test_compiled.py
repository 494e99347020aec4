"""torch.compile as an option: the same tree, and a sentence where it cannot be had."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch

from explorer import compiled
from explorer.config import RunConfig
from explorer.generate import prepare, run
from explorer.metrics import tree_digest
from explorer.models import LoadedModel
from tests import architectures, seq2seq_models

RUN = RunConfig(
    prompt_ids=tuple((7 * i + 3) % 60 for i in range(9)),
    entropy_threshold=0.0,
    branch_factor=2,
    max_paths=3,
    max_new_tokens=4,
)
Graph = Callable[..., Any]


class Compiler:
    """Runs graphs as they are, or `spoiled`, and counts how often."""

    def __init__(self, spoil: float = 0.0) -> None:
        self.calls, self.spoil = 0, spoil

    def __call__(self, graph: Graph, inputs: list[Any]) -> Graph:
        def forward(*args: Any) -> Any:
            self.calls += 1
            return tuple(out + self.spoil for out in graph(*args))

        return forward


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3", "gemma3_mixed"])
def test_compiled_blocks_run_and_give_the_same_tree(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = Compiler()
    monkeypatch.setattr(compiled, "COMPILER", compiler)
    model = LoadedModel(architectures.build(name))
    plain = run(model, RUN)
    found = prepare(model, RUN.replace(compile=True)).execution
    assert found is not None
    assert (found.compiled, found.notes) == (2, ())
    tried = compiler.calls
    trace = run(model, RUN.replace(compile=True))
    assert compiler.calls == tried + 2 * len(trace)  # two blocks in every pass
    assert tree_digest(trace) == tree_digest(plain)
    for step, other in zip(trace, plain, strict=True):
        for node, wanted in zip(step.nodes, other.nodes, strict=True):
            assert node.raw_logprob == pytest.approx(wanted.raw_logprob, abs=1e-4)
    before = compiler.calls
    run(model, RUN)
    assert compiler.calls == before  # the next run is a plain one


def test_blocks_that_come_out_wrong_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "COMPILER", Compiler(spoil=0.5))
    model = LoadedModel(architectures.build("llama"))
    config = RUN.replace(compile=True)
    found = prepare(model, config).execution
    assert found is not None
    assert found.compiled == 0
    [note] = found.notes
    assert note.startswith("Compiled blocks of LlamaForCausalLM are off by ")
    assert tree_digest(run(model, config)) == tree_digest(run(model, RUN))


def test_a_compiler_that_fails_is_named_and_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(graph: Graph, inputs: list[Any]) -> Graph:
        raise RuntimeError("no C++ compiler was found")

    monkeypatch.setattr(compiled, "COMPILER", broken)
    model = LoadedModel(architectures.build("gpt2"))
    trace = run(model, RUN.replace(compile=True))
    assert trace.header.execution is not None
    [note] = trace.header.execution.notes
    assert note.startswith("torch.compile does not work here (")
    assert "no C++ compiler was found" in note
    assert note.endswith("so the blocks run as they are.")
    assert tree_digest(trace) == tree_digest(run(model, RUN))


def test_a_model_without_blocks_of_their_own_says_so() -> None:
    found = prepare(LoadedModel(architectures.build("opt")), RUN.replace(compile=True)).execution
    assert found is not None
    assert found.compiled == 0
    assert found.notes == (
        "OPTForCausalLM has no feed-forward blocks of their own, so nothing was compiled.",
    )


@pytest.mark.parametrize("name", ["t5", "t5_gated", "umt5_bias_in_every_layer"])
def test_blocks_of_t5_are_compiled_in_encoder_and_decoder(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = Compiler()
    monkeypatch.setattr(compiled, "COMPILER", compiler)
    model = LoadedModel(seq2seq_models.build(name))
    found = prepare(model, RUN.replace(compile=True)).execution
    assert found is not None
    assert found.compiled == 2 + seq2seq_models.NUM_LAYERS
    assert not any("feed-forward" in note for note in found.notes)
    tried = compiler.calls
    trace = run(model, RUN.replace(compile=True))
    assert compiler.calls == tried + 2 + seq2seq_models.NUM_LAYERS * len(trace)
    assert tree_digest(trace) == tree_digest(run(model, RUN))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of parts of torch
def test_the_real_compiler_gives_the_same_tree() -> None:
    model = LoadedModel(architectures.build("llama"))
    trace = run(model, RUN.replace(compile=True))
    assert trace.header.execution is not None
    assert trace.header.execution.notes == ()
    assert trace.header.execution.compiled == 2
    assert tree_digest(trace) == tree_digest(run(model, RUN))
    torch._dynamo.reset()
