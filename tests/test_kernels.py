"""Which kernels run: what the header says is what torch executed, and what cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.profiler import ProfilerActivity, profile

from explorer import kernels, metrics
from explorer.cache.prefix import PrefixCache
from explorer.config import InputError, RunConfig
from explorer.generate import generate, prepare, run
from explorer.models import LoadedModel, load_model
from explorer.phases import execution
from explorer.terminal import execution_lines
from explorer.trace import Trace
from tests import architectures, seq2seq_models

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
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as record:
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
    assert ran(llama, config) == said - {"written out", ""}
    if "written out" in said:
        who = "Adaptive budgets need" if policy in {"window", "random", "race"} else "The policy"
        assert found.notes[0].startswith(who)
        assert found.notes[0].endswith("attention weights, which no kernel gives.")


def called(
    model: LoadedModel, config: RunConfig, prefix: PrefixCache | None = None
) -> tuple[set[str], Trace]:
    """Whether a run's own attention called kernels without a mask, with one, or both; the run."""
    kinds: set[str] = set()

    def spy(*states: torch.Tensor, **given: Any) -> torch.Tensor:
        kinds.add("unmasked" if given.get("attn_mask") is None else "masked")
        return scaled_dot_product_attention(*states, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("explorer.attention.scaled_dot_product_attention", spy)
        trace = run(model, config, prefix=prefix)
    return kinds, trace


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
    assert called(model, config)[0] == said
    assert ran(model, config) == {"flash"} == {found.masked, found.unmasked or "flash"}
    assert found.notes == (
        "Attention over the source is written out: it is recorded, and no kernel gives its "
        "weights.",
    )


@pytest.mark.parametrize("prompt", [1, 2, 9])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prefill_chunk": 1},
        {"policy": "fifo", "budget": 6},  # longer prompts come token by token
        {"policy": "fifo", "budget": 8},
        {"policy": "fifo", "budget": 6, "strategy": "topk", "topk": 3},
    ],
)
def test_a_pass_over_a_whole_text_is_named_where_one_is_made(
    prompt: int, changes: dict[str, Any], llama: LoadedModel
) -> None:
    kept = {"sinks": 1, "recent": 1} if changes.get("policy") else {}
    config = RUN.replace(prompt_ids=tuple(range(prompt)), **changes, **kept)
    found = prepare(llama, config).execution
    assert found is not None
    said = {kind for kind in ("unmasked", "masked") if getattr(found, kind)}
    assert called(llama, config)[0] == said


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


def flash_without_masks(*given: Any, **_: Any) -> int:
    """As on CUDA, where flash takes no mask."""
    kind = kernels.SDPBackend
    return int((kind.FLASH_ATTENTION if given[3] is None else kind.EFFICIENT_ATTENTION).value)


def test_a_kernel_that_takes_no_mask_leaves_masked_passes_to_the_next_and_says_so(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "_fused_sdp_choice", flash_without_masks)
    found = prepare(llama, RUN.replace(attention_kernel="flash")).execution
    assert found is not None
    assert (found.unmasked, found.masked) == ("flash", "efficient")
    assert found.notes == (
        "Flash cannot take the tree mask on cpu in float32, so passes through it ran on efficient.",
    )
    lines = list(execution_lines({"execution": vars_of(found), **NOTHING}, {}))
    assert lines[0] == "attention: flash and efficient (through the tree mask)"
    assert lines[1] == found.notes[0]


def test_masks_beside_the_trees_are_called_by_their_names(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "_fused_sdp_choice", flash_without_masks)
    pieces = RUN.replace(attention_kernel="flash", backend="batched", prefill_chunk=4)
    found = prepare(llama, pieces).execution
    assert found is not None
    assert (found.unmasked, found.masked) == ("flash", "efficient")
    assert found.notes[0].startswith("Flash cannot take the mask of a later piece on cpu")
    words = refused(llama, attention_kernel="flash", prompt_ids=(5,))
    assert words == (
        "attention_kernel: flash cannot be used here, every pass of this run goes through a mask, "
        "which it cannot take; take auto or efficient."
    )
    t5 = LoadedModel(seq2seq_models.build("t5"))
    assert "every pass of this run goes through a mask" in refused(t5, attention_kernel="flash")


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


def test_after_a_prefix_hit_only_the_passes_that_were_made_are_told_of(llama: LoadedModel) -> None:
    config = RUN.replace(prompt="The quick brown fox jumps over it", prompt_ids=None)
    cache = PrefixCache()
    for expected in ({"unmasked", "masked"}, {"masked"}):
        kinds, trace = called(llama, config, cache)
        found = execution(trace)
        assert found is not None
        assert kinds == expected == {k for k in ("unmasked", "masked") if getattr(found, k)}
        assert metrics.result(trace)["execution"]["unmasked"] == found.unmasked
