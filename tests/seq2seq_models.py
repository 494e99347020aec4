"""Small random encoder-decoder models of every family the backends are held to, from configs.

`build` and `untouched` are what they are in `architectures`; `recompute` is the oracle: encoder and
decoder over the whole texts by transformers alone, a path at a time.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, PreTrainedModel

from tests.architectures import SPREAD, VOCAB

NUM_LAYERS = 3  # of the decoder; the encoder has another number
PAD = VOCAB  # the last token, which no test reads: some families give it no position
BIAS = 0.1  # their standard deviation
_SPECIAL = {"vocab_size": VOCAB + 1, "pad_token_id": PAD, "bos_token_id": None}
_SPECIAL |= {"eos_token_id": None, "decoder_start_token_id": 2}
_BART: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": NUM_LAYERS,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 128,
    "forced_eos_token_id": None,
}
_T5: dict[str, Any] = {
    "d_model": 32,
    "d_kv": 6,
    "d_ff": 48,
    "num_heads": 4,
    "num_layers": 2,
    "num_decoder_layers": NUM_LAYERS,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
}
_GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
_SPARSE = {"num_experts": 2, "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1}

# Families that run on the shared pool: model_type and its sizes.
POOLED: dict[str, tuple[str, dict[str, Any]]] = {
    "t5": ("t5", _T5),
    "t5_gated": ("t5", _T5 | _GATED),
    "mt5": ("mt5", _T5 | _GATED),
    "umt5_bias_in_every_layer": ("umt5", _T5 | _GATED),
    "switch_transformers": ("switch_transformers", _T5 | _SPARSE),
    "bart": ("bart", _BART),
    "mbart": ("mbart", _BART),
    "plbart": ("plbart", _BART),
    "marian": ("marian", _BART),
    "pegasus": ("pegasus", _BART),
    "pegasus_x": ("pegasus_x", _BART | {"num_global_tokens": 2, "block_size": 4}),
    "bigbird_pegasus": ("bigbird_pegasus", _BART | {"attention_type": "original_full"}),
    "blenderbot": ("blenderbot", _BART),
    "blenderbot_small": ("blenderbot-small", _BART),
    "m2m_100": ("m2m_100", _BART),
}

# Refused by the probe, run on `batched`: masks of their own, shapes of their own.
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "longt5": ("longt5", _T5 | {"local_radius": 4}),
    "led": (
        "led",
        _BART
        | {
            "attention_window": 4,
            "max_encoder_position_embeddings": 128,
            "max_decoder_position_embeddings": 96,
        },
    ),
}

# Whose own cache does not continue a text: `recompute` is all that is right.
UNCACHED: dict[str, tuple[str, dict[str, Any]]] = {
    "prophetnet_one_token_a_pass": (
        "prophetnet",
        {
            "hidden_size": 32,
            "num_encoder_layers": 2,
            "num_decoder_layers": NUM_LAYERS,
            "num_encoder_attention_heads": 4,
            "num_decoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "max_position_embeddings": 128,
        },
    ),
}

# Refused: their logits are others once encoder and decoder are run apart.
UNFIT: dict[str, tuple[str, dict[str, Any]]] = {
    "fsmt": (
        "fsmt",
        _BART | {"langs": ["a", "b"], "src_vocab_size": VOCAB + 1, "tgt_vocab_size": VOCAB + 1},
    ),
}

ALL = POOLED | REFUSED | UNCACHED | UNFIT


def build(name: str, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A float32 model on the CPU, in evaluation mode, every weight and bias random."""
    kind, settings = ALL[name]
    config = AutoConfig.for_model(kind, **(_SPECIAL | settings | changes))
    torch.manual_seed(seed)
    module = AutoModelForSeq2SeqLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter_name, parameter in module.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, _spread(parameter_name))
            elif parameter_name.endswith("bias"):
                parameter.normal_(0, BIAS)
    return module.eval()


def _spread(parameter_name: str) -> float:
    """Where a norm follows every block (BART), what a path has said matters beside the source only
    if self-attention's output is large and the feed-forward layers' is small."""
    if ".fc" in parameter_name:
        return SPREAD / 2
    return 3 * SPREAD if "self_attn." in parameter_name else SPREAD


def untouched(module: PreTrainedModel) -> PreTrainedModel:
    """The same weights behind transformers' eager attention, sharing no object with `module`."""
    config = copy.deepcopy(module.config)
    twin = AutoModelForSeq2SeqLM.from_config(
        config, dtype=torch.float32, attn_implementation="eager"
    )
    twin.load_state_dict(copy.deepcopy(module.state_dict()))
    return twin.eval()


def recompute(twin: PreTrainedModel, source: list[int], texts: list[list[int]]) -> torch.Tensor:
    """Logits `[texts, vocab]` at the last token of each text, encoder and decoder from nothing."""
    with torch.inference_mode():
        return torch.cat(
            [
                twin(
                    input_ids=torch.tensor([source]),
                    decoder_input_ids=torch.tensor([text]),
                    use_cache=False,
                ).logits[:, -1]
                for text in texts
            ]
        )
