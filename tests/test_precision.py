"""Kernels, compiled blocks and number formats: what ran is what is said, and how far it is off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.profiler import ProfilerActivity, profile

from explorer import kernels, metrics
from explorer.backends import Forward
from explorer.config import InputError, RunConfig
from explorer.events import Decision
from explorer.generate import generate, prepare, run
from explorer.models import LoadedModel, load_model
from explorer.precision import Float32, float32
from explorer.terminal import execution_lines
from explorer.trace import Trace
from tests import architectures, seq2seq_models
from tests.conftest import make_decision

NAMES = ["llama", "gpt2", "qwen3", "gemma3_mixed", "deepseek_v3_latent"]
RUN = RunConfig(
    prompt_ids=tuple((7 * i + 3) % 60 for i in range(9)),
    entropy_threshold=0.0,
    branch_factor=2,
    max_paths=3,
    max_new_tokens=4,
)
# What torch runs inside each kernel on the CPU, and nowhere else.
OPERATORS = {
    "aten::_scaled_dot_product_flash_attention_for_cpu": "flash",
    "aten::_scaled_dot_product_attention_math": "math",
}


def ran(model: LoadedModel, config: RunConfig) -> set[str]:
    """Kernels that a run's passes called, by torch's own record of what was executed."""
    steps = generate(model, config)
    with profile(activities=[ProfilerActivity.CPU]) as record:
        for _ in steps:
            pass
    return {OPERATORS[event.key] for event in record.key_averages() if event.key in OPERATORS}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kernel", ["auto", "math"])
@pytest.mark.parametrize("backend", ["cow", "batched"])
def test_the_header_names_the_kernels_that_run(name: str, kernel: str, backend: str) -> None:
    model = LoadedModel(architectures.build(name))
    config = RUN.replace(attention_kernel=kernel, backend=backend)
    found = prepare(model, config).execution
    assert found is not None
    said = {one for one in (found.unmasked, found.masked) if one}
    assert ran(model, config) == said
    if kernel == "math":
        assert said == {"math"}
        assert found.notes == ()


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("policy", ["window", "random", "lru", "h2o", "race"])
def test_passes_whose_attention_is_watched_are_said_to_be_written_out(
    policy: str, adaptive: bool, llama: LoadedModel
) -> None:
    config = RUN.replace(policy=policy, budget=6, sinks=1, recent=2, adaptive=adaptive)
    found = prepare(llama, config).execution
    assert found is not None
    said = {found.unmasked, found.masked}
    assert ran(llama, config) == said - {"written out"}
    if "written out" in said:
        who = "Adaptive budgets need" if policy in {"window", "random", "race"} else "The policy"
        assert found.notes[0].startswith(who)
        assert found.notes[0].endswith("attention weights, which no kernel gives.")


def called(model: LoadedModel, config: RunConfig) -> set[str]:
    """Whether a run's own attention called kernels without a mask, with one, or both."""
    kinds: set[str] = set()

    def spy(*states: torch.Tensor, **given: Any) -> torch.Tensor:
        kinds.add("unmasked" if given.get("attn_mask") is None else "masked")
        return scaled_dot_product_attention(*states, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("explorer.attention.scaled_dot_product_attention", spy)
        run(model, config)
    return kinds


@pytest.mark.parametrize("given", [(), (8, 9)])  # beside its start token
@pytest.mark.parametrize("name", ["tiny-seq2seq", "bart", "t5", "marian"])
def test_of_encoder_decoder_models_the_header_names_only_passes_that_are_made(
    name: str, given: tuple[int, ...]
) -> None:
    is_bundled = name == "tiny-seq2seq"
    model = load_model(name, "cpu") if is_bundled else LoadedModel(seq2seq_models.build(name))
    config = RUN.replace(prefix_ids=given)
    found = prepare(model, config).execution
    assert found is not None
    said = {kind for kind in ("unmasked", "masked") if getattr(found, kind)}
    assert called(model, config) == said
    assert ran(model, config) == {"flash"} == {found.masked, found.unmasked or "flash"}
    assert found.notes == (
        "Attention over the source is written out: it is recorded, and no kernel gives its "
        "weights.",
    )


@pytest.mark.parametrize("prompt", [1, 2, 9])
@pytest.mark.parametrize("changes", [{}, {"policy": "fifo", "budget": 6, "strategy": "topk"}])
def test_a_pass_over_a_whole_text_is_named_where_one_is_made(
    prompt: int, changes: dict[str, Any], llama: LoadedModel
) -> None:
    changes = changes and changes | {"topk": 3, "sinks": 1, "recent": 1}
    config = RUN.replace(prompt_ids=tuple(range(prompt)), **changes)
    found = prepare(llama, config).execution
    assert found is not None
    said = {kind for kind in ("unmasked", "masked") if getattr(found, kind)}
    assert called(llama, config) == said


@pytest.mark.parametrize(("chunk", "is_masked"), [(512, False), (8, False), (4, True)])
def test_a_later_piece_of_a_prompt_has_a_mask_on_batched(
    chunk: int, is_masked: bool, llama: LoadedModel
) -> None:
    """Transformers' own attention, whose calls are counted where it makes them."""
    config = RUN.replace(backend="batched", prefill_chunk=chunk)
    found = prepare(llama, config).execution
    assert found is not None
    masks = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def spy(*states: torch.Tensor, **given: Any) -> torch.Tensor:
        masks.append(given.get("attn_mask") is not None)
        return plain(*states, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
        run(llama, config)
    assert any(masks) == bool(found.masked) == is_masked


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


# ---- what cannot be had --------------------------------------------------------------------------


def refused(model: LoadedModel, **changes: Any) -> str:
    with pytest.raises(InputError) as error:
        prepare(model, RUN.replace(**changes))
    return str(error.value)


def test_a_kernel_that_does_not_run_here_is_refused_with_what_does(llama: LoadedModel) -> None:
    assert refused(llama, attention_kernel="efficient") == (
        "attention_kernel: efficient cannot be used here, it does not run on cpu in float32; take "
        "auto or math."
    )
    latent = LoadedModel(architectures.build("deepseek_v3_latent"))  # values of another size
    assert "flash cannot be used here" in refused(latent, attention_kernel="flash")
    softcap = LoadedModel(architectures.build("gemma2_softcap"))
    words = refused(softcap, attention_kernel="math")
    assert "has a softcap, which no kernel takes; take auto." in words
    words = refused(llama, attention_kernel="flash", policy="h2o", budget=16)
    assert "the policy h2o needs attention weights, which no kernel gives; take auto." in words


def test_on_auto_written_out_products_are_called_that() -> None:
    for name in ("gemma2_softcap", "gpt_oss_sinks"):
        found = prepare(LoadedModel(architectures.build(name)), RUN).execution
        assert found is not None
        assert (found.unmasked, found.masked) == ("written out", "written out")
        assert "which no kernel takes." in found.notes[0]


def test_a_kernel_that_takes_no_mask_leaves_masked_passes_to_the_next_and_says_so(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choice(*given: Any, **_: Any) -> int:
        kind = kernels.SDPBackend
        return int((kind.FLASH_ATTENTION if given[3] is None else kind.EFFICIENT_ATTENTION).value)

    monkeypatch.setattr(torch, "_fused_sdp_choice", choice)
    found = prepare(llama, RUN.replace(attention_kernel="flash")).execution
    assert found is not None
    assert (found.unmasked, found.masked) == ("flash", "efficient")
    assert found.notes == (
        "Flash cannot take the tree mask on cpu in float32, so passes through it ran on efficient.",
    )
    lines = list(execution_lines({"execution": vars_of(found), **NOTHING}, {}))
    assert lines[0] == "attention: flash and efficient (through the tree mask)"
    assert lines[1] == found.notes[0]


NOTHING: dict[str, Any] = {"against_float32": None, "run": {"dtype": "float32"}}


def vars_of(found: Any) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("unmasked", "masked", "compiled", "notes")}


@pytest.fixture(autouse=True)
def nothing_stays_forced() -> Iterator[None]:
    """A run leaves torch's own choice of kernels as it found it."""
    before = [torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()]
    yield
    after = [torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()]
    assert after == before
