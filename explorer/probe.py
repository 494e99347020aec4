"""What a loaded model is, and whether the shared pool can run it, found out by trying.

The probe prefills a few tokens into a pool, forks, decodes different tokens on both paths, and
compares with the model's own forward over the whole texts. It also asks that every layer came to
our attention, with the sliding window its config declares: agreement alone could be luck where
the weights hardly attend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedConfig
from transformers.cache_utils import DynamicCache

from explorer.cache.pool import Pool
from explorer.config import BACKENDS
from explorer.events import ModelInfo

if TYPE_CHECKING:
    from explorer.attention import TreeMask
    from explorer.models import LoadedModel

PROMPT_LENGTH = 5  # tokens before the probe forks
TAIL_LENGTH = 2  # tokens on each of the two paths
TOLERANCE = {
    torch.float32: 1e-4,
    torch.bfloat16: 6e-2,
    torch.float16: 1e-2,
}  # of the logits' spread
POOL_LAYERS = {"full_attention", "sliding_attention"}


def describe(model: LoadedModel, name: str) -> ModelInfo:
    """Sizes read off the config and a short forward pass, and the backends that fit."""
    config = model.module.config
    heads = getattr(config, "num_attention_heads", 1)
    cache = DynamicCache(config=config)
    plain = model.forward([_probe_tokens(config.vocab_size, 3)], cache=cache)
    reason = probe(model)
    return ModelInfo(
        name=name,
        architecture=type(model.module).__name__,
        num_parameters=sum(p.numel() for p in model.module.parameters()),
        num_layers=len(cache.layers),
        num_kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        vocab_size=int(plain.shape[-1]),
        context=getattr(config, "max_position_embeddings", None),
        device=str(model.device),
        dtype=str(model.module.dtype).removeprefix("torch."),
        kv_nbytes_per_token=sum(_nbytes_per_token(layer) for layer in cache.layers),
        backends=tuple(b for b in BACKENDS if not reason or b != "cow"),
        reason=reason,
    )


def _nbytes_per_token(layer: Any) -> int:
    states = (getattr(layer, "keys", None), getattr(layer, "values", None))
    return sum(t.shape[1] * t.shape[3] * t.element_size() for t in states if t is not None)


def _probe_tokens(vocab_size: int, count: int) -> list[int]:
    return [(7 * i + 3) % vocab_size for i in range(count)]


def probe(model: LoadedModel) -> str:
    """Why `cow` cannot run this model, as a sentence; "" where it can."""
    config = model.module.config
    name = type(model.module).__name__
    kinds = set(getattr(config, "layer_types", None) or []) - POOL_LAYERS
    if kinds:
        return (
            f"{name} has layers that keep more than keys and values ({', '.join(sorted(kinds))})."
        )
    tokens = _probe_tokens(config.vocab_size, PROMPT_LENGTH + 2 * TAIL_LENGTH)
    prompt, tails = tokens[:PROMPT_LENGTH], (tokens[-4:-2], tokens[-2:])
    try:
        shared, mask = _through_the_pool(model, prompt, tails)
    except (TypeError, ValueError, RuntimeError, KeyError, AttributeError, IndexError) as error:
        why = " ".join(str(error).split())[:120]
        return f"{name} does not let its attention be replaced ({why})."
    if len(mask.windows) < config.num_hidden_layers:
        return f"{name} does not run its layers through a replaceable attention."
    if (layer_idx := _wrong_window(config, mask)) is not None:
        return f"{name} does not tell its attention the sliding window of layer {layer_idx}."
    plain = torch.cat([model.forward([[*prompt, *tail]]) for tail in tails])
    spread = (plain.max() - plain.min()).clamp(min=1e-6)
    off = float((shared - plain).abs().max() / spread)
    if not off <= TOLERANCE.get(shared.dtype, 6e-2):
        return f"{name} gives other logits over the shared pool (off by {off:.1e} of their spread)."
    return ""


def _through_the_pool(
    model: LoadedModel, prompt: list[int], tails: tuple[list[int], ...]
) -> tuple[torch.Tensor, TreeMask]:
    """Logits `[paths, vocab]` after `prompt` and each tail over one pool, and the last mask."""
    pool = Pool(int(model.module.config.num_hidden_layers))
    try:
        mask = pool.begin(len(prompt))
        model.forward([prompt], pool.cache, [range(len(prompt))], mask)
        pool.fork([0] * len(tails))
        for i in range(TAIL_LENGTH):
            mask = pool.begin()
            depth = [[len(prompt) + i]] * len(tails)
            logits = model.forward([[tail[i]] for tail in tails], pool.cache, depth, mask)
        return logits, mask
    finally:
        pool.close()


def _wrong_window(config: PreTrainedConfig, mask: TreeMask) -> int | None:
    """The first layer whose attention was not told the window that the config declares."""
    declared = getattr(config, "sliding_window", None)
    if not getattr(config, "use_sliding_window", True):
        declared = None
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * config.num_hidden_layers
    for layer_idx, kind in enumerate(kinds):
        if mask.windows.get(layer_idx) != (declared if kind == "sliding_attention" else None):
            return layer_idx
    return None
