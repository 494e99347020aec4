"""Number formats and kernels beside float32: how far a run is off, and what float32 is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from explorer import metrics
from explorer.backends import Forward
from explorer.config import RunConfig
from explorer.events import Decision
from explorer.generate import run
from explorer.models import LoadedModel, load_model
from explorer.precision import Float32, float32
from explorer.terminal import execution_lines
from explorer.trace import Trace
from tests import architectures
from tests.conftest import make_decision

RUN = RunConfig(
    prompt_ids=tuple((7 * i + 3) % 60 for i in range(9)),
    entropy_threshold=0.0,
    branch_factor=2,
    max_paths=3,
    max_new_tokens=4,
)


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3", "gemma3_mixed"])
@pytest.mark.parametrize("kernel", ["flash", "math"])
def test_every_kernel_gives_the_logits_of_the_plain_model(name: str, kernel: str) -> None:
    module = architectures.build(name)
    twin = architectures.untouched(module)
    found = captured(LoadedModel(module), RUN.replace(attention_kernel=kernel))
    assert len(found) > 6
    for text, logits, _ in found:
        expected = architectures.recompute(twin, [text])[0]
        assert (logits - expected).abs().max() < 1e-4 * expected.abs().max()


def captured(
    model: LoadedModel, config: RunConfig
) -> list[tuple[list[int], torch.Tensor, Decision]]:
    """Every decision of a run against float32: the text before it and the run's own logits."""
    seen: list[torch.Tensor] = []
    compare = Float32.compare

    def spy(self: Float32, forward: Forward, decisions: Sequence[Decision]) -> Any:
        seen.extend(forward.logits.float())
        return compare(self, forward, decisions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Float32, "compare", spy)
        trace = run(model, config.replace(against_float32=True))
    nodes = {node.id: node for step in trace for node in step.nodes}
    prompt = [token.token for token in trace.header.prompt]
    decisions = [each for step in trace for each in step.decisions]
    found = []
    for decision, logits in zip(decisions, seen, strict=True):
        line, at = [], decision.node
        while at != -1:
            line.append(nodes[at].token)
            at = nodes[at].parent
        found.append(([*prompt, *line[::-1]], logits, decision))
    return found


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3", "gemma3_mixed", "olmo2"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_distance_from_float32_is_that_of_the_plain_model_in_float32(
    name: str, dtype: torch.dtype
) -> None:
    module = architectures.build(name).to(dtype)
    twin = architectures.untouched(module)  # float32, eager, no cache
    found = captured(LoadedModel(module), RUN.replace(max_new_tokens=6))
    flips = 0
    for text, logits, decision in found:
        expected = architectures.recompute(twin, [text])[0]
        error = float((logits - expected).abs().max())
        assert decision.float32_error == pytest.approx(error, rel=1e-3, abs=1e-4)
        assert decision.float32_error > 0
        assert expected[decision.float32_top] > expected.max() - 1e-4
        assert decision.top == int(logits.argmax())
        flips += decision.top != decision.float32_top
    assert len(found) > 10


def test_the_result_counts_flips_and_the_largest_distance() -> None:
    model = LoadedModel(architectures.build("llama").bfloat16())
    config = RUN.replace(against_float32=True, max_paths=8, max_new_tokens=12)
    trace = run(model, config)
    decisions = [each for step in trace for each in step.decisions]
    found = metrics.result(trace)["against_float32"]
    assert found["decisions"] == len(decisions) > 60
    assert found["flips"] == sum(each.top != each.float32_top for each in decisions) > 0
    assert found["flip_rate"] == found["flips"] / len(decisions)
    assert found["max_logit_difference"] == max(each.float32_error for each in decisions)
    again = Trace.parse(b"".join(trace.lines()))
    assert metrics.against_float32(again) == found
    lines = list(execution_lines(metrics.result(trace), trace.header.config))
    assert f"{found['flips']} of {found['decisions']} most probable tokens" in lines[-1]


def test_what_was_not_compared_is_not_called_equal() -> None:
    model = LoadedModel(architectures.build("llama").bfloat16())
    trace = run(model, RUN)
    result = metrics.result(trace)
    assert result["against_float32"] is None
    lines = list(execution_lines(result, trace.header.config))
    assert lines[-1] == "against float32: not measured; --against-float32 does"
    plain = run(LoadedModel(architectures.build("llama")), RUN)
    assert len(list(execution_lines(metrics.result(plain), plain.header.config))) == 1


def test_float32_is_read_from_the_files_and_not_from_rounded_weights(
    llama: LoadedModel, model_folder: Path
) -> None:
    rounded = load_model(str(model_folder), "cpu", "bfloat16")
    twin = float32(rounded)
    weights = dict(twin.module.named_parameters())
    for name, weight in llama.module.named_parameters():
        assert torch.equal(weights[name], weight)
    assert any(
        not torch.equal(w, w.bfloat16().float()) for w in llama.module.parameters()
    )  # so that rounding would be seen
    assert float32(rounded).module is twin.module  # made once
    assert (rounded.kernel, twin.kernel) == ("auto", "math")


def test_float32_needs_no_wider_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """MPS has none."""

    def refuse(*_: object) -> None:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    model = LoadedModel(architectures.build("llama").bfloat16())
    float32 = Float32(model, 512)
    float32.prefill(RUN.prompt_ids or ())
    monkeypatch.setattr(torch.Tensor, "double", refuse)
    own = torch.linspace(-1, 1, 64)[None]
    [found] = float32.compare(Forward(own, 1), [make_decision(0, -1, 1)])
    assert found.float32_error == pytest.approx(float((own - float32._logits).abs().max()))
    float32.close()


def test_both_may_run_beside_a_run() -> None:
    model = LoadedModel(architectures.build("llama").bfloat16())
    config = RUN.replace(policy="window", budget=6, sinks=1, recent=2, against_full=True)
    trace = run(model, config.replace(against_float32=True))
    for step in trace:
        for decision in step.decisions:
            assert decision.kl is not None
            assert decision.float32_error is not None
    alone = run(model, config)
    assert [d.kl for s in alone for d in s.decisions] == [d.kl for s in trace for d in s.decisions]


@pytest.mark.parametrize("name", ["bloom", "falcon", "mamba"])
def test_models_without_a_pool_are_compared_as_well(name: str) -> None:
    model = LoadedModel(architectures.build(name))
    config = RUN.replace(backend=model.info.backends[0], against_float32=True)
    found = metrics.against_float32(run(model, config))
    assert found is not None
    assert found["max_logit_difference"] < 1e-3
