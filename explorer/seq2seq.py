"""Encoder-decoder models: one encoded source, over which the decoder is a model like any other.

    source tokens -> encoder, once -> states -> keys and values of every decoder layer, one row
                                                  |
    path 0  <s> The                <--- sees ---  |   an expanded view of the same storage,
    path 1  <s> A                  <--- sees ---  |   however many paths there are
    path 2  <s> What               <--- sees ---  |

The cross-attention cache is filled by the first pass of the decoder and never grows; what the
paths write themselves goes into the self-attention cache that every other model has as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin, EncoderDecoderCache

from explorer import attention
from explorer.events import Decision, Look, Memory

if TYPE_CHECKING:
    from explorer.attention import TreeMask

MAX_LOOKS = 24  # source tokens recorded of one decision, those looked at most
DIGITS = 4  # decimals of a recorded weight


class CrossLayer(CacheLayerMixin):
    """Keys and values of the source in one decoder layer: one row, `[1, num_heads, source tokens,
    head_dim]`, of which `keys` and `values` are views for as many rows as the pass has."""

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        assert key_states.shape[0] == 1, "the source is read by one row"
        self.keys, self.values = key_states.contiguous(), value_states.contiguous()
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        return self.keys, self.values

    def expand(self, rows: int) -> None:
        """Let `rows` rows see the one that is stored."""
        if self.keys is not None and self.values is not None:
            self.keys = self.keys[:1].expand(rows, -1, -1, -1)
            self.values = self.values[:1].expand(rows, -1, -1, -1)

    def get_seq_length(self) -> int:
        return 0 if self.keys is None else self.keys.shape[-2]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length(), 0

    def get_max_length(self) -> int:
        return -1


class _Past(EncoderDecoderCache):
    """Both caches for one pass. `start` is the position of its first token where the
    self-attention cache is a pool, which counts slots."""

    def __init__(self, own: Cache, cross: Cache, start: int | None) -> None:
        super().__init__(own, cross)
        self._start = start

    def get_seq_length(self, layer_idx: int = 0) -> int:
        if self._start is not None:
            return self._start
        return int(self.self_attention_cache.get_seq_length(layer_idx))


class Source:
    """A text that the encoder reads once for a whole run, and what the decoder keeps of it.

    Without a cache (`recompute`) nothing is kept and every pass encodes it anew.
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = tuple(ids)
        self.attended: set[int] = set()  # decoder layers whose cross-attention came to the pool's
        self._cross = Cache(layer_class_to_replicate=CrossLayer)
        self._encoded: Any = None  # the encoder's output, `[1, source tokens, hidden size]`
        self._num_encoded = 0
        self._looks: list[torch.Tensor] = []  # of the passes since they were last taken
        self._weights: list[torch.Tensor] = []  # of the layers of the pass under way

    def forward(
        self,
        module: PreTrainedModel,
        ids: torch.Tensor,
        cache: Cache | None,
        start: int | None,
        tree_mask: TreeMask | None,
        **extra: Any,
    ) -> torch.Tensor:
        """Logits `[rows, tokens, vocab]` of the decoder over this source, for `ids`
        `[rows, tokens]`; `cache` holds what is before them and is extended.

        With `tree_mask` the pass runs through the pool's attention and begins at position `start`.
        """
        rows = len(ids)
        encoded = self._encode(module) if cache is None or self._encoded is None else self._encoded
        if cache is not None:
            self._encoded = encoded
            for layer in self._cross.layers:
                layer.expand(rows if tree_mask is None else 1)
            extra["past_key_values"] = _Past(cache, self._cross, start)
        if tree_mask is not None:
            tree_mask.cross = self
            extra["tree_mask"] = tree_mask
        else:
            extra["output_attentions"] = True
        self._weights = []
        name = "eager" if tree_mask is None else attention.NAME
        with attention.implementation(decoder_of(module), name):
            out = module(
                encoder_outputs=type(encoded)(
                    last_hidden_state=encoded.last_hidden_state.expand(rows, -1, -1)
                ),
                decoder_input_ids=ids,
                use_cache=cache is not None,
                **extra,
            )
        if tree_mask is None:
            self._weights = [each[:, :, -1].mean(1) for each in out.cross_attentions or ()]
        if self._weights:
            self._looks.append(torch.stack(self._weights).mean(0))
        logits: torch.Tensor = out.logits
        return logits

    def _encode(self, module: PreTrainedModel) -> Any:
        ids = torch.tensor([self.ids], dtype=torch.long, device=module.device)
        self._num_encoded += len(self.ids)
        return module.get_encoder()(input_ids=ids, attention_mask=torch.ones_like(ids))

    def holds(self, key: torch.Tensor) -> bool:
        """Whether `key` is the cross-attention cache's, by its storage."""
        address = key.untyped_storage().data_ptr()
        return any(
            layer.keys is not None and layer.keys.untyped_storage().data_ptr() == address
            for layer in self._cross.layers
        )

    def attend(
        self,
        layer_idx: int,
        states: attention.States,
        scale: float,
        position_bias: torch.Tensor | None,
    ) -> torch.Tensor:
        """Attention of `[paths, num_heads, tokens, head_dim]` queries over the one stored row:
        all paths are query rows of one product. Returns `[paths, tokens, num_heads, value_dim]`."""
        query, key, value = states
        paths, num_heads, tokens, head_dim = query.shape
        self.attended.add(layer_idx)
        rows = query.transpose(0, 1).reshape(1, num_heads, paths * tokens, head_dim)
        scores = (rows @ key.transpose(-1, -2)) * scale
        if position_bias is not None:
            scores = scores + position_bias.expand(1, -1, tokens, -1).repeat(1, 1, paths, 1)
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32)
        self._weights.append(weights.view(num_heads, paths, tokens, -1)[:, :, -1].mean(0))
        out = weights.to(query.dtype) @ value
        return out.view(num_heads, paths, tokens, -1).permute(1, 2, 0, 3)

    def took(self) -> int:
        """Positions that the encoder has computed since this was last asked."""
        taken, self._num_encoded = self._num_encoded, 0
        return taken

    def looked(self, decisions: Sequence[Decision]) -> tuple[Decision, ...]:
        """The decisions, one a row of the last passes, with what each looked at in the source."""
        looks, self._looks = self._looks, []
        if not looks or not decisions:
            return tuple(decisions)
        weights = torch.cat(looks)[-len(decisions) :]
        top = weights.topk(min(MAX_LOOKS, weights.shape[1]), dim=-1)
        values, tokens = top.values.tolist(), top.indices.tolist()
        return tuple(
            replace(decision, look=_look(*each))
            for decision, *each in zip(decisions, tokens, values, strict=True)
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the cross-attention cache: every storage that its views live in, once."""
        states = [t for layer in self._cross.layers for t in (layer.keys, layer.values)]
        storages = [t.untyped_storage() for t in states if t is not None]
        return sum({each.data_ptr(): each.nbytes() for each in storages}.values())

    @property
    def nbytes_per_token(self) -> int:
        return self.nbytes // len(self.ids)

    def measured(self, memory: Memory) -> Memory:
        """`memory` with the cross-attention cache, which is apart from what the paths write."""
        nbytes = self.nbytes
        return replace(memory, cross_tokens=len(self.ids) if nbytes else 0, cross_nbytes=nbytes)

    def close(self) -> None:
        """Drop what is kept of the source."""
        self._cross = Cache(layer_class_to_replicate=CrossLayer)
        self._encoded = None
        self._looks, self._weights = [], []


def _look(tokens: list[int], weights: list[float]) -> Look:
    """Without the weights that are 0 as they are recorded."""
    kept = [(token, round(w, DIGITS)) for token, w in zip(tokens, weights, strict=True)]
    kept = [(token, weight) for token, weight in kept if weight]
    return Look(tuple(token for token, _ in kept), tuple(weight for _, weight in kept))


def decoder_of(module: PreTrainedModel) -> PreTrainedModel:
    """The decoder; the whole model where that has no config of its own."""
    decoder: PreTrainedModel = module.get_decoder()
    return decoder if hasattr(decoder, "config") else module


def start_tokens(module: PreTrainedModel) -> tuple[int, ...]:
    """What the decoder begins with: its start token, and the first token that is forced on it.

    Empty where the model names no start token.
    """
    for name in ("decoder_start_token_id", "bos_token_id"):
        for owner in (module.generation_config, module.config):
            if isinstance(start := getattr(owner, name, None), int):
                forced = getattr(module.generation_config, "forced_bos_token_id", None)
                return (start,) if forced is None else (start, forced)
    return ()


def source_context(module: PreTrainedModel) -> int | None:
    """Tokens that the encoder's positions reach; None: not bounded by the config."""
    names = ("max_encoder_position_embeddings", "max_position_embeddings")
    bounds = (getattr(module.config, name, None) for name in names)
    return next((bound for bound in bounds if bound is not None), None)
