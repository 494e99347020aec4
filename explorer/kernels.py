"""Which attention kernel computes: torch's scaled dot product has several, and not all take a mask.

A kernel that was asked for goes first; what it cannot take goes to the next in `ORDER`, and the
trace's header says so. Torch itself is asked which one it takes, with tensors like the run's.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from explorer.config import InputError, RunConfig
from explorer.events import Execution
from explorer.eviction import counters
from explorer.work import head_sizes

if TYPE_CHECKING:
    from explorer.models import LoadedModel

NAMES = {
    SDPBackend.FLASH_ATTENTION: "flash",
    SDPBackend.EFFICIENT_ATTENTION: "efficient",
    SDPBackend.MATH: "math",
    SDPBackend.CUDNN_ATTENTION: "cudnn",
}
ORDER: dict[str, Sequence[SDPBackend]] = {
    "flash": (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH),
    "efficient": (SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH),
    "math": (SDPBackend.MATH,),
}
WRITTEN_OUT = "written out"
CROSS = "attention over the source is written out: it is recorded, and no kernel gives its weights"
SLOTS = 8  # of the tensors that torch is asked with


def forced(kernel: str) -> AbstractContextManager[Any]:
    """Passes inside take `kernel`, and what it cannot take the next in `ORDER`; auto: torch's."""
    if kernel == "auto":
        return nullcontext()
    return sdpa_kernel(list(ORDER[kernel]), set_priority=True)


def execution(model: LoadedModel, config: RunConfig, pieces: Sequence[int]) -> Execution:
    """The kernels that the run's passes take; `pieces` are the lengths of those that read the
    prompt. Raises InputError where none is the one asked for."""
    asked, is_pooled = config.attention_kernel, config.cache.backend == "cow"
    unmasked, masked, notes = _of_the_model(model, config, pieces)
    watching = [policy for policy in counters(config.eviction) if policy.needs_attention]
    if watching:
        who = "adaptive budgets need"
        if watching[0].name == config.eviction.policy:
            who = f"the policy {config.eviction.policy} needs"
        unmasked = masked = WRITTEN_OUT
        notes = [f"{who} attention weights, which no kernel gives"]
    ran = [kernel for kernel in (unmasked, masked) if kernel]
    if asked != "auto" and asked not in ran:
        why = f"it does not run on {model.info.device} in {model.info.dtype}"
        if not unmasked:
            why = "every pass of this run goes through a mask, which it cannot take"
        why = notes[0] if notes else why
        raise InputError(
            f"attention_kernel: {asked} cannot be used here, {why}; take auto or {ran[0]}."
            if ran[0] in ORDER
            else f"attention_kernel: {asked} cannot be used here, {why}; take auto."
        )
    if asked != "auto" and masked and masked != asked:
        notes.append(
            f"{asked} cannot take {'the tree mask' if is_pooled else 'the mask of a later piece'} "
            f"on {model.info.device} in {model.info.dtype}, so passes through it ran on {masked}"
        )
    elif asked != "auto" and unmasked and unmasked != asked:
        notes.append(f"{asked} takes no whole texts here, so those ran on {unmasked}")
    if model.is_encoder_decoder and WRITTEN_OUT not in ran:
        notes.append(CROSS)
    blocks, why = model.compile() if config.compile else ({}, "")
    sentences = [f"{note[0].upper()}{note[1:]}." for note in notes] + [why] * bool(why)
    return Execution(unmasked, masked, compiled=len(blocks), notes=tuple(sentences))


def _of_the_model(
    model: LoadedModel, run: RunConfig, pieces: Sequence[int]
) -> tuple[str, str, list[str]]:
    """Kernels of passes without and with a mask, and what keeps all of them out."""
    config = model.module.config.get_text_config(decoder=True)
    asked, is_pooled = run.attention_kernel, run.cache.backend == "cow"
    if is_pooled:
        special = _special(config)
        if special:
            note = f"this model's attention has {special}, which no kernel takes"
            return WRITTEN_OUT, WRITTEN_OUT, [note]
    elif model.is_encoder_decoder:
        return WRITTEN_OUT, "", [CROSS]
    elif config._attn_implementation != "sdpa":
        note = f"this model runs {config._attn_implementation} attention of its own"
        return WRITTEN_OUT, "", [note]
    query, key, value = _like(model, config)
    unmasked = _chosen(asked, query, key, value, is_causal=True)
    if not is_pooled:
        if all(length == 1 for length in pieces[1:]):
            return unmasked, "", []
        mask = torch.zeros(1, 1, SLOTS, SLOTS, dtype=query.dtype, device=query.device)
        return unmasked, _chosen(asked, query, key, value, mask=mask), []
    if pieces[0] == 1 or run.eviction.strategy != "evict" or _has_bias(model):
        unmasked = ""  # not even the first pass is a plain text
    groups = query.shape[1] // key.shape[1]
    rows = query[:, :, :1].reshape(1, key.shape[1], groups, -1)
    mask = torch.zeros(1, 1, groups, SLOTS, dtype=query.dtype, device=query.device)
    return unmasked, _chosen(asked, rows, key, value, mask=mask), []


def _special(config: Any) -> str:
    """What a model adds to its attention that kernels do not know; "" for nothing."""
    if getattr(config, "attn_logit_softcapping", None):
        return "a softcap"
    return "sinks" if config.model_type == "gpt_oss" else ""


def _has_bias(model: LoadedModel) -> bool:
    """Whether positions are a term of the logits (T5), which goes where a mask does."""
    modules = model.module.modules()
    return any(getattr(each, "has_relative_attention_bias", False) for each in modules)


def _like(model: LoadedModel, config: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values as the run has them, of a few tokens."""
    heads = config.num_attention_heads
    key_size, value_size = head_sizes(config, heads)
    options: dict[str, Any] = dict(dtype=model.module.dtype, device=model.device)
    num_kv_heads = model.info.num_kv_heads
    return (
        torch.zeros(1, heads, SLOTS, key_size, **options),
        torch.zeros(1, num_kv_heads, SLOTS, key_size, **options),
        torch.zeros(1, num_kv_heads, SLOTS, value_size, **options),
    )


def _chosen(
    asked: str,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None = None,
    is_causal: bool = False,
) -> str:
    """The kernel that torch dispatches to for such tensors."""
    with forced(asked):
        number = torch._fused_sdp_choice(
            query, key, value, mask, 0.0, is_causal, enable_gqa=query.shape[1] != key.shape[1]
        )
    return NAMES.get(SDPBackend(number), SDPBackend(number).name.lower())
