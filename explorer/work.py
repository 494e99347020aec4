"""What a model's passes compute and read, counted off its weights: the base of every prediction.

A weight that a position is multiplied by is one multiplication and one addition, 2 FLOPs (Kaplan et
al. 2020, arXiv:2001.08361). A query and a key that it sees take 2 FLOPs for each number of the key
and 2 for each of the value, in every head and layer (PaLM, arXiv:2204.02311, appendix B).
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from explorer.events import Work

ATTENTION = {"full_attention", "sliding_attention"}
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


def work_of(module: PreTrainedModel, last_logits_only: bool) -> Work | None:
    """Count `module`; None for kinds whose passes are made of more than attention and products.

    `last_logits_only`: the output layer is applied to the last token of each row alone.
    """
    config = module.config.get_text_config(decoder=True)
    heads = getattr(config, "num_attention_heads", None)
    kinds = set(getattr(config, "layer_types", None) or ATTENTION)
    head = module.get_output_embeddings()
    if heads is None or head is None or kinds - ATTENTION or module.config.is_encoder_decoder:
        return None
    tables = {id(each.weight) for each in module.modules() if isinstance(each, nn.Embedding)}
    multiplied = active_nbytes = weight_nbytes = expert_nbytes = 0.0
    for name, weight in module.named_parameters():
        if id(weight) in tables or weight is head.weight:
            continue
        is_expert = ".experts." in name
        share = _share_of_experts(config) if is_expert else 1.0
        weight_nbytes += weight.nbytes
        expert_nbytes += is_expert * weight.nbytes
        active_nbytes += share * weight.nbytes
        multiplied += share * weight.numel() * (weight.dim() > 1)
    head_flops = 2 * head.weight.numel()
    return Work(
        flops_per_position=round(2 * multiplied) + (0 if last_logits_only else head_flops),
        flops_per_logits=head_flops if last_logits_only else 0,
        flops_per_pair=2 * config.num_hidden_layers * heads * sum(head_sizes(config, heads)),
        weight_nbytes=int(weight_nbytes) + head.weight.nbytes,
        active_nbytes=round(active_nbytes) + head.weight.nbytes,
        expert_nbytes=int(expert_nbytes),
    )


def head_sizes(config: Any, heads: int) -> tuple[int, int]:
    """Numbers in a key and in a value of one query head."""
    plain = getattr(config, "head_dim", None) or config.hidden_size // heads
    return getattr(config, "qk_head_dim", None) or plain, getattr(config, "v_head_dim", 0) or plain


def _share_of_experts(config: Any) -> float:
    """How many of the experts one position goes to, as a share."""
    number = next((found for name in EXPERTS if (found := getattr(config, name, None))), 1)
    return min(1.0, (getattr(config, "num_experts_per_tok", None) or number) / number)
