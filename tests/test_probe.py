"""The probe: which backends a model is offered, and the sentence that says why not all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from explorer import attention, probe
from explorer.cache.pool import Pool
from explorer.config import BACKENDS, InputError, RunConfig
from explorer.generate import prepare, run
from explorer.metrics import tree_digest
from explorer.models import LoadedModel
from tests import architectures

RUN: dict[str, Any] = dict(
    prompt_ids=(1, 2, 3, 4, 5), entropy_threshold=0.3, max_paths=5, max_new_tokens=6
)
WHY = {
    "bloom": "does not let its attention be replaced",
    "falcon": "does not let its attention be replaced",
    "gpt_neo": "does not run its layers through a replaceable attention",
    "stablelm": "does not let its attention be replaced",
    "gptj": "does not run its layers through a replaceable attention",
    "lfm2_conv": "has layers that the pool does not hold (conv)",
    "falcon_h1_hybrid": "has layers that the pool does not hold (hybrid)",
    "mamba": "gives other logits from its cache than from the whole text",
    "gpt1": "keeps no keys and values between its passes",
    "bert": "gives other logits from its cache than from the whole text",
}


def loaded(name: str, **changes: Any) -> LoadedModel:
    return LoadedModel(architectures.build(name, **changes), name=name)


@pytest.mark.parametrize("name", architectures.POOLED)
def test_models_that_fit_are_offered_every_backend(name: str) -> None:
    info = loaded(name).info
    assert info.backends == BACKENDS
    assert info.reason == ""


@pytest.mark.parametrize("name", architectures.REFUSED)
def test_models_that_do_not_fit_the_pool_fall_back_to_batched_with_a_sentence(name: str) -> None:
    model = loaded(name)
    assert model.info.backends == ("batched", "deepcopy", "recompute", "naive")
    assert WHY[name] in model.info.reason
    assert model.info.reason.startswith(type(model.module).__name__)
    assert model.info.reason.endswith(".")
    with pytest.raises(InputError, match=r"\. Take --backend batched, which gives the same tree"):
        prepare(model, RunConfig(**RUN, backend="cow"))
    digests = {
        tree_digest(run(model, RunConfig(**RUN, backend=backend)))
        for backend in ("batched", "deepcopy", "recompute")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("name", architectures.UNCACHED)
def test_models_without_a_cache_that_continues_are_offered_recompute_alone(name: str) -> None:
    model = loaded(name)
    assert model.info.backends == ("recompute",)
    assert WHY[name] in model.info.reason
    for backend in ("cow", "batched", "deepcopy", "naive"):
        with pytest.raises(InputError, match="Take --backend recompute"):
            prepare(model, RunConfig(**RUN, backend=backend))
    trace = run(model, RunConfig(**RUN, backend="recompute"))
    assert sum(len(step.forks) for step in trace) > 0


def test_the_probe_asks_for_the_window_that_the_config_declares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its texts are shorter than a real window: agreement alone would not show that it is lost."""
    whole = attention.pool_attention

    def forgetful(module: Any, *args: Any, sliding_window: int | None = None, **more: Any) -> Any:
        return whole(SimpleNamespace(layer_idx=module.layer_idx), *args, **more)

    for name in ("mistral_window", "gemma3_mixed"):
        assert "cow" in loaded(name, sliding_window=50).info.backends
        with monkeypatch.context() as patch:
            patch.setitem(attention.AttentionInterface._global_mapping, attention.NAME, forgetful)
            info = loaded(name, sliding_window=50).info
        assert "cow" not in info.backends
        assert "does not tell its attention the sliding window of layer 0" in info.reason


def test_the_probe_compares_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = attention.pool_attention

    def scaled(*args: Any, **more: Any) -> Any:
        out, weights = whole(*args, **more)
        return out * 1.01, weights

    monkeypatch.setitem(attention.AttentionInterface._global_mapping, attention.NAME, scaled)
    assert "gives other logits over the shared pool" in loaded("llama").info.reason


@pytest.mark.parametrize("trouble", ["tree_mask", "attention_mask", "position_bias", "indices"])
def test_a_pass_that_the_pool_cannot_mask_is_refused_not_run(trouble: str) -> None:
    """A model that loses the tree mask, brings a mask of its own, or a term nobody knows."""
    states = torch.zeros(1, 1, 1, 4)
    given: dict[str, Any] = dict(
        tree_mask=Pool(1).begin(), attention_mask=None, position_ids=torch.zeros(1), use_cache=True
    )
    assert attention.pool_attention(torch.nn.Identity(), states, states, states, **given)
    given[trouble] = None if trouble == "tree_mask" else torch.zeros(1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"tree mask|does not know what to do with"):
        attention.pool_attention(torch.nn.Identity(), states, states, states, **given)


def test_the_models_own_attention_is_back_after_the_pools_pass_even_after_an_error() -> None:
    module = architectures.build("llama")
    before = module.config._attn_implementation
    model = LoadedModel(module, name="llama")
    assert module.config._attn_implementation == before
    seen = []

    def fail() -> None:
        with attention.implementation(model.module, attention.NAME):
            seen.append(module.config._attn_implementation)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen == [attention.NAME]
    assert module.config._attn_implementation == before


@pytest.mark.parametrize(
    ("name", "nbytes"),
    [
        ("llama", 2 * 2 * 2 * 8 * 4),  # 2 layers, keys and values, 2 heads of 8, 4 bytes
        ("gpt2", 2 * 2 * 4 * 8 * 4),
        ("deepseek_v3_latent", 2 * (16 + 8) * 4),  # a latent of 16 and 8 rotary, once for all heads
    ],
)
def test_info_says_what_a_token_costs(name: str, nbytes: int) -> None:
    model = loaded(name)
    info = model.info
    assert info.kv_nbytes_per_token == nbytes
    assert (info.num_layers, info.vocab_size, info.context) == (2, architectures.VOCAB, 128)
    assert (info.device, info.dtype) == ("cpu", "float32")
    assert info.num_parameters == sum(p.numel() for p in model.module.parameters())


def test_a_module_that_is_no_language_model_is_one_sentence() -> None:
    module = architectures.build("llama")
    module.lm_head = torch.nn.Linear(7, 3)
    with pytest.raises(InputError, match=r"^broken cannot be run as a causal language model: "):
        LoadedModel(module, name="broken")


def test_the_text_half_of_a_multimodal_model_is_probed_and_runs() -> None:
    from transformers import AutoModelForCausalLM, Gemma3Config

    text = architectures.config_of("gemma3_mixed").to_dict()
    vision = dict(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    torch.manual_seed(0)
    module = AutoModelForCausalLM.from_config(
        Gemma3Config(text_config=text, vision_config=vision), dtype=torch.float32
    )
    model = LoadedModel(module, name="gemma3")
    assert model.info.backends == BACKENDS
    assert model.info.num_layers == 2
    cow, recompute = (
        tree_digest(run(model, RunConfig(**RUN, backend=name))) for name in ("cow", "recompute")
    )
    assert cow == recompute


def test_every_tolerance_is_smaller_than_a_wrong_mask_makes() -> None:
    assert max(probe.TOLERANCE.values()) < 0.1
    assert probe.TOLERANCE[torch.float32] <= 1e-4
