"""Small random-weight models of every architecture the backends are held to, built from configs.

`build(name)` is the model under test, `untouched(module)` its twin for reference: the same weights,
a config of its own, transformers' eager attention, no cache. The weights are scaled so that
attention matters to the logits: with transformers' own initialisation a wrong mask goes unseen.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

VOCAB = 64
WINDOW = 6  # of the sliding-window layers: shorter than every run of the tests
SPREAD = 0.2  # standard deviation of the weights

_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
_MIXED = ["sliding_attention", "full_attention"]
_SPECIAL: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}

# Architectures that run on the shared pool: model_type and what differs from the sizes above.
POOLED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "gpt2": ("gpt2", {"n_positions": 128, "n_inner": 48}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 12}),
    "qwen3_moe": (
        "qwen3_moe",
        {
            "head_dim": 8,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
        },
    ),
    "mistral_window": ("mistral", {"sliding_window": WINDOW}),
    "gemma2_softcap": (
        "gemma2",
        {"head_dim": 8, "sliding_window": WINDOW, "attn_logit_softcapping": 2.0},
    ),
    "gemma3_mixed": (
        "gemma3_text",
        {"head_dim": 8, "sliding_window": WINDOW, "layer_types": _MIXED},
    ),
    "exaone4_mixed": ("exaone4", {"sliding_window": WINDOW, "layer_types": _MIXED}),
    "phi3": ("phi3", {}),
    "gpt_neox": ("gpt_neox", {}),
    "opt": ("opt", {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "olmo2": ("olmo2", {}),
    "smollm3": ("smollm3", {}),
    "granite": ("granite", {"attention_multiplier": 0.5, "residual_multiplier": 0.8}),
    "deepseek_v3_latent": (
        "deepseek_v3",
        {
            "num_key_value_heads": 4,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 12,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "n_group": 1,
            "topk_group": 1,
            "first_k_dense_replace": 1,
        },
    ),
    "gpt_oss_sinks": (
        "gpt_oss",
        {
            "head_dim": 8,
            "sliding_window": WINDOW,
            "layer_types": _MIXED,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 150_000.0,
                "factor": 32.0,
                "original_max_position_embeddings": 4,
                "truncate": False,
            },
        },
    ),
}

# Refused by the probe, run on `batched`: attention that the pool cannot reach, or layers that keep
# more than keys and values (hybrids with convolutions or state spaces).
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "bloom": ("bloom", {}),
    "falcon": ("falcon", {}),
    "gpt_neo": ("gpt_neo", {"attention_types": [[["global", "local"], 1]]}),
    "stablelm": ("stablelm", {}),
    "gptj": ("gptj", {"rotary_dim": 4, "n_positions": 128}),
    "lfm2_conv": ("lfm2", {"layer_types": ["conv", "full_attention"]}),
    "falcon_h1_hybrid": (
        "falcon_h1",
        {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8},
    ),
}

# No cache of theirs can be continued: only `recompute` is right. Mamba keeps a state of its
# own, GPT-1 keeps nothing, BERT attends to what comes after.
UNCACHED: dict[str, tuple[str, dict[str, Any]]] = {
    "mamba": ("mamba", {}),
    "gpt1": ("openai-gpt", {"n_positions": 128}),
    "bert": ("bert", {}),
}

ALL = POOLED | REFUSED | UNCACHED


def config_of(name: str, **changes: Any) -> PreTrainedConfig:
    """The config of an architecture, by its name in the tables above."""
    kind, settings = ALL[name]
    return AutoConfig.for_model(kind, **(_SIZES | _SPECIAL | settings | changes))


def build(name: str, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A float32 model on the CPU, in evaluation mode, every weight, bias and sink random."""
    torch.manual_seed(seed)
    module = AutoModelForCausalLM.from_config(config_of(name, **changes), dtype=torch.float32)
    with torch.no_grad():
        for parameter_name, parameter in module.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, SPREAD)
            elif parameter_name.endswith(("bias", "sinks")):
                parameter.normal_(0, 0.5)
    return module.eval()


def untouched(module: PreTrainedModel) -> PreTrainedModel:
    """The same weights behind transformers' eager attention, sharing no object with `module`."""
    config = copy.deepcopy(module.config)
    twin = AutoModelForCausalLM.from_config(
        config, dtype=torch.float32, attn_implementation="eager"
    )
    twin.load_state_dict(copy.deepcopy(module.state_dict()))
    return twin.eval()


def recompute(twin: PreTrainedModel, texts: list[list[int]]) -> torch.Tensor:
    """Logits `[texts, vocab]` at the last token of equally long texts, from nothing."""
    with torch.inference_mode():
        return twin(input_ids=torch.tensor(texts), use_cache=False).logits[:, -1]
