"""What a loaded model is, and which backends can run it, found out by trying.

The probe prefills a few tokens into a pool, forks, decodes different tokens on both paths, and
compares with the model's own forward over the whole texts. It also asks that every layer came to
our attention, with the sliding window its config declares: agreement alone could be luck where the
weights hardly attend. A model that keeps anything but keys and values, or nothing, has to show the
same over rows of transformers' own cache, or `recompute` is all that is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedConfig
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from explorer.attention import implementation
from explorer.cache.pool import Pool
from explorer.config import BACKENDS, InputError
from explorer.events import ModelInfo
from explorer.seq2seq import decoder_of, start_tokens
from explorer.work import work_of

if TYPE_CHECKING:
    from explorer.attention import TreeMask
    from explorer.models import LoadedModel

SOURCE_LENGTH = 6
PROMPT_LENGTH = 5  # tokens before the probe forks
TAIL_LENGTH = 2  # tokens on each of the two paths
TOLERANCE = {
    torch.float32: 1e-4,
    torch.bfloat16: 6e-2,
    torch.float16: 1e-2,
}  # of the logits' spread
POOL_LAYERS = {"full_attention", "sliding_attention"}
PLAIN_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)  # keys and values and nothing else
MISFITS = (
    TypeError,
    ValueError,
    RuntimeError,
    KeyError,
    AttributeError,
    IndexError,
    AssertionError,  # of models that take one token at a time
)


def describe(model: LoadedModel, name: str) -> ModelInfo:
    """Sizes read off the config and short forward passes, and the backends that fit.

    Raises InputError where the model cannot be run at all.
    """
    owner = decoder_of(model.module) if model.is_encoder_decoder else model.module
    config = owner.config.get_text_config(decoder=True)
    texts = _probe_texts(config.vocab_size)
    if model.is_encoder_decoder:
        if not start_tokens(model.module):
            raise InputError(
                f"{name} does not say what its decoder begins with; its generation_config.json "
                "needs a decoder_start_token_id."
            )
        model = model.reading(texts.source)
    try:
        plain = torch.cat([model.forward([[*texts.prompt, *tail]]) for tail in texts.tails])
    except MISFITS as error:
        raise InputError(
            f"{name} cannot be run as {_kind(model)} model: {_short(error)}."
        ) from error
    if model.source is not None and (off := _off_by(plain[:1], _whole(model, texts))):
        raise InputError(
            f"{name} cannot be run as an encoder-decoder model: it gives other logits over its "
            f"encoder's states than over the source itself ({off})."
        )
    if plain.isnan().any():
        raise InputError(
            f"{name} gives logits that are not numbers (NaN): its weights are damaged or its dtype "
            "overflows; try dtype float32 or another model."
        )
    cache = model.new_cache()
    backends: tuple[str, ...] = ("recompute",)
    reason = _why_no_rows(model, cache, texts, plain)
    if not reason:
        reason = _why_no_pool(model, config, texts, plain)
        backends = tuple(backend for backend in BACKENDS if not reason or backend != "cow")
    return ModelInfo(
        name=name,
        architecture=type(model.module).__name__,
        num_parameters=sum(p.numel() for p in model.module.parameters()),
        num_layers=(model.source and len(cache.layers)) or config.num_hidden_layers,
        num_kv_heads=_num_kv_heads(config),
        head_dim=_head_dim(config),
        vocab_size=int(plain.shape[-1]),
        context=getattr(config, "max_decoder_position_embeddings", None)
        or getattr(config, "max_position_embeddings", None),
        device=str(model.device),
        dtype=str(model.module.dtype).removeprefix("torch."),
        kv_nbytes_per_token=sum(_nbytes_per_token(layer) for layer in cache.layers),
        backends=backends,
        reason=reason,
        cross_nbytes_per_token=0 if model.source is None else model.source.nbytes_per_token,
        work=work_of(model.module, model.keeps_logits),
    )


@torch.inference_mode()
def _whole(model: LoadedModel, texts: _Texts) -> torch.Tensor:
    """Logits `[1, vocab]` after the prompt and the first tail by the whole model as it is, but
    for its decoder's attention, which is written out: with `sdpa` UMT5's is not causal before
    transformers 5.18.
    """
    source, text = (
        torch.tensor([ids], device=model.device)
        for ids in (texts.source, [*texts.prompt, *texts.tails[0]])
    )
    with implementation(decoder_of(model.module), "eager"):
        out = model.module(input_ids=source, decoder_input_ids=text, use_cache=False)
    return out.logits[:, -1]  # type: ignore[no-any-return]


def _kind(model: LoadedModel) -> str:
    return "a causal language" if model.source is None else "an encoder-decoder"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120].rstrip(".")


def _num_kv_heads(config: PreTrainedConfig) -> int:
    heads = getattr(config, "num_attention_heads", 1)
    return getattr(config, "num_key_value_heads", None) or heads


def _head_dim(config: PreTrainedConfig) -> int:
    declared = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    return declared or config.hidden_size // getattr(config, "num_attention_heads", 1)


def _nbytes_per_token(layer: Any) -> int:
    states = (getattr(layer, "keys", None), getattr(layer, "values", None))
    stored = [t for t in states if t is not None and t.dim() == 4]
    return sum(t.shape[1] * t.shape[3] * t.element_size() for t in stored)


@dataclass(frozen=True, slots=True)
class _Texts:
    """A prompt, and what each of two paths adds to it; what an encoder reads, if there is one."""

    source: list[int]
    prompt: list[int]
    tails: tuple[list[int], ...]


def _probe_texts(vocab_size: int) -> _Texts:
    tokens = [(7 * i + 3) % vocab_size for i in range(PROMPT_LENGTH + 2 * TAIL_LENGTH)]
    source = [(5 * i + 2) % vocab_size for i in range(SOURCE_LENGTH)]
    return _Texts(source, tokens[:PROMPT_LENGTH], (tokens[-4:-2], tokens[-2:]))


def _off_by(logits: torch.Tensor, plain: torch.Tensor) -> str:
    """How far `logits` are from a plain forward over the whole texts; "" within tolerance."""
    spread = (plain.max() - plain.min()).clamp(min=1e-6)
    error = float((logits - plain).abs().max() / spread)
    is_close = error <= TOLERANCE.get(logits.dtype, 6e-2)
    return "" if is_close else f"off by {error:.1e} of their spread"


def _why_no_rows(
    model: LoadedModel, cache: DynamicCache, texts: _Texts, plain: torch.Tensor
) -> str:
    """Why transformers' cache of this model cannot be continued and forked by rows; "" if it can.

    Fills `cache`. Layers of nothing but keys and values are known to fork; others are tried, and so
    are decoders, of which several rows have to see one row of cross-attention.
    """
    name = type(model.module).__name__
    try:
        model.forward([texts.prompt[:3]], cache)
        is_plain = all(type(layer) in PLAIN_LAYERS for layer in cache.layers)
        if is_plain and model.source is None:
            if cache.get_seq_length() != 3:
                return f"{name} keeps no keys and values between its passes."
            if plain.dtype != torch.float32:
                return ""  # rounding may send a token to another expert: too far off to judge
            logits = model.forward([[*texts.prompt[3:], *texts.tails[0]]], cache)
        else:
            model.forward([texts.prompt[3:]], cache)
            cache.reorder_cache(torch.zeros(2, dtype=torch.long, device=model.device))
            for column in zip(*texts.tails, strict=True):
                logits = model.forward([[token] for token in column], cache)
    except MISFITS as error:
        return f"{name} keeps a state that cannot be forked path by path ({_short(error)})."
    if off := _off_by(logits, plain[: len(logits)]):
        return f"{name} gives other logits from its cache than from the whole text ({off})."
    return ""


def _why_no_pool(
    model: LoadedModel, config: PreTrainedConfig, texts: _Texts, plain: torch.Tensor
) -> str:
    """Why `cow` cannot run this model, as a sentence; "" where it can."""
    name = type(model.module).__name__
    kinds = set(getattr(config, "layer_types", None) or []) - POOL_LAYERS
    if kinds:
        return f"{name} has layers that the pool does not hold ({', '.join(sorted(kinds))})."
    try:
        shared, mask = _through_the_pool(model, config.num_hidden_layers, texts)
    except MISFITS as error:
        return f"{name} does not let its attention be replaced ({_short(error)})."
    if len(mask.windows) < config.num_hidden_layers:
        return f"{name} does not run its layers through a replaceable attention."
    if model.source is not None and len(model.source.attended) < config.num_hidden_layers:
        return f"{name} does not run its cross-attention through a replaceable attention."
    if (layer_idx := _wrong_window(config, mask)) is not None:
        return f"{name} does not tell its attention the sliding window of layer {layer_idx}."
    if off := _off_by(shared, plain):
        return f"{name} gives other logits over the shared pool ({off})."
    return ""


def _through_the_pool(
    model: LoadedModel, num_layers: int, texts: _Texts
) -> tuple[torch.Tensor, TreeMask]:
    """Logits `[paths, vocab]` after the prompt and each tail over one pool, and the last mask."""
    pool = Pool(num_layers)
    length = len(texts.prompt)
    try:
        mask = pool.begin(length)
        model.forward([texts.prompt], pool.cache, [range(length)], mask)
        pool.fork([0] * len(texts.tails))
        for i, column in enumerate(zip(*texts.tails, strict=True)):
            mask = pool.begin()
            rows, depth = [[token] for token in column], [[length + i]] * len(column)
            logits = model.forward(rows, pool.cache, depth, mask)
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
