"""Attention over a shared pool: every live path in one product, masked by who sees which slot.

Registered with transformers under the name "pool". A decode forward has queries
`[paths, num_heads, 1, head_dim]` and, because the cache layer answers with the one pool, keys and
values `[1, num_kv_heads, slots, head_dim]`. Paths and query groups become query rows of a single
product `[1, num_kv_heads, paths * groups, head_dim]`, and the mask says which slots each row sees:

    slot     0 1 2 3 4 5
    path 0   x x x x . .      the prompt is slots 0-2; path 0 wrote slot 3,
    path 1   x x x . x .      path 1 wrote slot 4, path 2 wrote slot 5
    path 2   x x x . . x
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

NAME = "pool"
UNSAID = -1  # the keyword was left out; None says that this layer has no window
States = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # queries, keys, values
POSITIONS = {"position_ids", "cache_position"}  # tensors that say nothing about who sees what


class Observer(Protocol):
    """Watches the attention of a pass, layer by layer."""

    needs_attention: bool  # then the product is written out, for its weights
    needs_states: bool

    def observe(self, layer_idx: int, weights: torch.Tensor, seen: torch.Tensor) -> None:
        """Weights `[rows, slots]`, float32, summed over query heads; `seen`: who could attend."""

    def observe_states(
        self, layer_idx: int, queries: torch.Tensor, keys: torch.Tensor, seen: torch.Tensor
    ) -> None:
        """Queries `[paths, num_heads, tokens, d]` and keys `[1, num_kv_heads, slots, d]`."""


class Cross(Protocol):
    """The source of an encoder-decoder model, which all paths see."""

    def holds(self, key: torch.Tensor) -> bool:
        """Whether these are keys of the source."""

    def attend(
        self, layer_idx: int, states: States, scale: float, position_bias: torch.Tensor | None
    ) -> torch.Tensor:
        """`[paths, tokens, num_heads, value_dim]` for queries `[paths, num_heads, tokens, d]`."""


class TreeMask:
    """Who sees what in one forward pass; travels to the attention function as a keyword.

    `visible` is `[num_layers or 1, rows, slots]` (1: all layers share it), `slot_depth`
    `[num_layers or 1, slots]` and `row_depth` `[rows]` are positions in the text. Rows are the
    queries of the pass: one a path for decode, one a prompt token for prefill. `high_water`
    `[num_layers or 1]` is where each layer's slots end. `bias`, if given, is added to the logits
    of what is seen, `[num_layers or 1, slots]`. Masks are built once per distinct sliding window,
    for all layers at once, and kept for the pass.
    """

    def __init__(
        self,
        visible: np.ndarray,
        slot_depth: np.ndarray,
        row_depth: np.ndarray,
        is_causal: bool,
        high_water: np.ndarray | None = None,
        bias: np.ndarray | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._visible = visible
        self._slot_depth = np.atleast_2d(slot_depth)
        self._row_depth = row_depth
        self._high = None if high_water is None else high_water.tolist()
        self._bias = bias
        self.observer = observer
        self.is_causal = is_causal  # the rows are the whole text so far, in order
        self.windows: dict[int, int | None] = {}  # layer -> sliding window it was asked for
        self.cross: Cross | None = None  # of an encoder-decoder model
        self.position_bias: torch.Tensor | None = None  # of the layer that has it for all
        self._seen: dict[tuple[Any, ...], torch.Tensor] = {}  # of all layers
        self._built: dict[tuple[Any, ...], torch.Tensor] = {}

    def limited(
        self, attended: np.ndarray, bias: np.ndarray | None, observer: Observer | None
    ) -> TreeMask:
        """The same pass watched, with logits changed by `bias`, and every row's sight cut down to
        `attended` `[num_layers or 1, rows, slots]`."""
        is_causal = self.is_causal and bias is None and attended is self._visible
        high = None if self._high is None else np.asarray(self._high)
        return TreeMask(
            attended, self._slot_depth, self._row_depth, is_causal, high, bias, observer
        )

    @property
    def visible(self) -> np.ndarray:
        return self._visible

    def reaches_everything(self, window: int | None) -> bool:
        """Whether no row is cut off by a sliding window of `window` tokens."""
        return window is None or int(self._row_depth.max(initial=0)) < window

    def seen(self, layer_idx: int, window: int | None, device: torch.device) -> torch.Tensor:
        """`[rows, slots]` bool, on `device`."""
        table = layer_idx if len(self._visible) > 1 else 0
        return self._cut(self._seen_by_all(window, device)[table], table)

    def _cut(self, rows: torch.Tensor, table: int) -> torch.Tensor:
        """`[..., slots]` up to the end of the layer's own slots."""
        high = rows.shape[-1] if self._high is None else self._high[table]
        return rows if high == rows.shape[-1] else rows[..., :high].contiguous()

    def _seen_by_all(self, window: int | None, device: torch.device) -> torch.Tensor:
        if self.reaches_everything(window):
            window = None
        key = (window, device)
        if key not in self._seen:
            seen = self._visible
            if window is not None:
                age = self._row_depth[:, None] - self._slot_depth[:, None]
                seen = seen & (age < window)
            self._seen[key] = torch.from_numpy(seen).to(device, non_blocking=True)
        return self._seen[key]

    def additive(
        self, layer_idx: int, window: int | None, groups: int, like: torch.Tensor
    ) -> torch.Tensor:
        """`[1, 1, rows * groups, slots]`: 0 where a row sees a slot, -inf where it does not."""
        table = layer_idx if len(self._visible) > 1 else 0
        if self.reaches_everything(window):
            window = None
        key = (window, groups, like.dtype, like.device)
        if (table, *key) not in self._built:
            if key not in self._built:
                self._built[key] = self._additive(window, groups, like)
            rows = self._built[key][table]
            self._built[(table, *key)] = self._cut(rows, table)[None, None]
        return self._built[(table, *key)]

    def by_slot(
        self, module: Any, layer_idx: int, tokens: int, position_bias: torch.Tensor
    ) -> torch.Tensor:
        """The bias of T5's kind for the last `tokens` positions of every path, which are equally
        long, `[1, num_heads, tokens, slots]`: that of a slot is that of its token's distance.

        The layer that has the table of distances computes it for those that follow. Models take
        slots for positions, so it is computed anew where the paths are longer than there are slots.
        """
        length = int(self._row_depth.max()) + 1
        if getattr(module, "has_relative_attention_bias", False):
            if position_bias.shape[-1] < length:
                position_bias = module.compute_bias(
                    tokens, length, device=position_bias.device, past_seen_tokens=length - tokens
                )
            self.position_bias = position_bias
        if self.position_bias is None:
            raise ValueError("the pool's attention does not know what to do with position_bias")
        table = layer_idx if len(self._slot_depth) > 1 else 0
        depth = self._cut(torch.from_numpy(self._slot_depth[table]), table)
        return self.position_bias.index_select(-1, depth.to(self.position_bias.device))

    def _additive(self, window: int | None, groups: int, like: torch.Tensor) -> torch.Tensor:
        """`[num_layers or 1, rows * groups, slots]`."""
        mask = self._seen_by_all(window, like.device)
        mask = mask.repeat_interleave(groups, 1) if groups > 1 else mask
        bias = torch.zeros(mask.shape, dtype=like.dtype, device=like.device)
        if self._bias is not None:
            bias += torch.from_numpy(self._bias).to(like.device, like.dtype)[:, None]
        return bias.masked_fill_(~mask, float("-inf"))


def pool_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    sliding_window: int | None = UNSAID,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    tree_mask: TreeMask | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of `[paths, num_heads, tokens, head_dim]` queries over one pool of slots.

    Returns `[paths, tokens, num_heads, value_dim]` and no weights: an observer has had them.
    Honours what models pass as keywords: `scaling`, `softcap` (Gemma 2), `sliding_window`, `s_aux`
    (gpt-oss sinks) and `position_bias` (T5). Cross-attention goes to `tree_mask.cross`.
    Raises ValueError where the pass came without `tree_mask`, or with a tensor it cannot place (a
    bias by position, chosen blocks): the capability probe turns that into a fallback.
    """
    if tree_mask is None or attention_mask is not None:
        raise ValueError("this model does not hand the tree mask through to its attention")
    _refuse_unknown(more)
    paths, num_heads, tokens, head_dim = query.shape
    num_kv_heads = key.shape[1]
    groups = num_heads // num_kv_heads
    scale = head_dim**-0.5 if scaling is None else scaling
    layer_idx = int(getattr(module, "layer_idx", 0) or 0)
    if (cross := tree_mask.cross) is not None and cross.holds(key):
        if softcap is not None or s_aux is not None:
            raise ValueError("the pool's cross-attention takes no softcap and no sinks")
        return cross.attend(layer_idx, (query, key, value), scale, position_bias), None
    is_unsaid = sliding_window == UNSAID
    window = getattr(module, "sliding_window", None) if is_unsaid else sliding_window
    tree_mask.windows[layer_idx] = window
    observer = tree_mask.observer
    if observer is not None and observer.needs_states:
        seen = tree_mask.seen(layer_idx, window, query.device)
        observer.observe_states(layer_idx, query, key, seen)
    is_watched = observer is not None and observer.needs_attention
    is_plain = softcap is None and s_aux is None and not is_watched
    is_simple = is_plain and position_bias is None and tree_mask.is_causal

    if is_simple and tree_mask.reaches_everything(window):
        out = scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scale, enable_gqa=groups > 1
        )
        return out.transpose(1, 2).contiguous(), None

    rows = _fold(query, num_kv_heads)
    bias = tree_mask.additive(layer_idx, window, groups, query)
    if position_bias is not None:
        if groups > 1:
            raise ValueError("position_bias takes as many key heads as query heads")
        by_slot = tree_mask.by_slot(module, layer_idx, tokens, position_bias)
        bias = bias + by_slot.repeat(1, 1, paths, 1)
    if is_plain:
        out = scaled_dot_product_attention(rows, key, value, attn_mask=bias, scale=scale)
    else:
        out, weights = _explicit(rows, key, value, bias, scale, softcap, s_aux)
        if is_watched:
            assert observer is not None
            summed = weights.sum(1).view(paths * tokens, groups, -1).sum(1)
            observer.observe(layer_idx, summed, tree_mask.seen(layer_idx, window, query.device))
    return _unfold(out, paths, tokens, groups), None


def _refuse_unknown(terms: Mapping[str, Any]) -> None:
    for name, term in terms.items():
        if isinstance(term, torch.Tensor) and name not in POSITIONS:
            raise ValueError(f"the pool's attention does not know what to do with {name}")


def _fold(query: torch.Tensor, num_kv_heads: int) -> torch.Tensor:
    """`[paths, num_heads, tokens, d]` -> `[1, num_kv_heads, paths * tokens * groups, d]`."""
    paths, num_heads, tokens, head_dim = query.shape
    rows = query.view(paths, num_kv_heads, num_heads // num_kv_heads, tokens, head_dim)
    return rows.permute(1, 0, 3, 2, 4).reshape(1, num_kv_heads, -1, head_dim)


def _unfold(rows: torch.Tensor, paths: int, tokens: int, groups: int) -> torch.Tensor:
    """`[1, num_kv_heads, paths * tokens * groups, d]` -> `[paths, tokens, num_heads, d]`."""
    num_kv_heads = rows.shape[1]
    out = rows.view(num_kv_heads, paths, tokens, groups, -1).permute(1, 2, 0, 3, 4)
    return out.reshape(paths, tokens, num_kv_heads * groups, -1)


def _explicit(
    rows: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor,
    scale: float,
    softcap: float | None,
    s_aux: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same product written out, for two terms that fused kernels do not take and for its
    weights, float32 `[1, num_kv_heads, rows, slots]`: less than 1 in all where there are sinks."""
    scores = (rows @ key.transpose(-1, -2)) * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores + bias
    if s_aux is not None:
        num_kv_heads, num_rows = scores.shape[1:3]
        sinks = s_aux.to(scores.dtype).view(1, num_kv_heads, 1, -1)
        sinks = sinks.expand(-1, -1, num_rows // sinks.shape[-1], -1).reshape(
            1, num_kv_heads, num_rows, 1
        )
        scores = torch.cat([scores, sinks], dim=-1)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32)[..., : key.shape[2]]
    return weights.to(rows.dtype) @ value, weights


@contextmanager
def implementation(module: PreTrainedModel, name: str) -> Iterator[None]:
    """Run `module` with the attention implementation `name`, and put its own back after."""
    config = module.config
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before


AttentionInterface.register(NAME, pool_attention)
