"""The pool's attention against loops over paths, heads and slots."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AttentionInterface

from explorer.attention import NAME, TreeMask, pool_attention
from explorer.cache.pool import Pool

HEADS, KV_HEADS, HEAD_DIM, VALUE_DIM = 4, 2, 6, 3


def loops(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sees: np.ndarray,
    slot_depth: np.ndarray,
    row_depth: np.ndarray,
    window: int | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """`[paths, tokens, heads, value_dim]`; row `path * tokens + token` of `sees` is one query."""
    paths, heads, tokens, dim = query.shape
    out = torch.zeros(paths, tokens, heads, value.shape[-1])
    for path in range(paths):
        for token in range(tokens):
            row = path * tokens + token
            for head in range(heads):
                scores, values = [], []
                kv_head = head // (heads // key.shape[1])
                for slot in range(key.shape[2]):
                    if not sees[row, slot]:
                        continue
                    if window is not None and row_depth[row] - slot_depth[slot] >= window:
                        continue
                    score = float(query[path, head, token] @ key[0, kv_head, slot])
                    score *= dim**-0.5 if scale is None else scale
                    scores.append(
                        score if softcap is None else softcap * math.tanh(score / softcap)
                    )
                    values.append(value[0, kv_head, slot])
                weights = [math.exp(s) for s in scores]
                total = sum(weights) + (0 if sinks is None else math.exp(float(sinks[head])))
                for weight, v in zip(weights, values, strict=True):
                    out[path, token, head] += weight / total * v
    return out


def states(paths: int, tokens: int, slots: int) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(paths * 100 + slots)
    return (
        torch.randn(paths, HEADS, tokens, HEAD_DIM),
        torch.randn(1, KV_HEADS, slots, HEAD_DIM),
        torch.randn(1, KV_HEADS, slots, VALUE_DIM),
    )


TERMS: list[dict[str, Any]] = [
    {},
    {"scaling": 0.7},
    {"softcap": 1.5},
    {"sliding_window": 3},
    {"s_aux": torch.tensor([0.5, -1.0, 2.0, 0.0])},
    {"softcap": 2.0, "sliding_window": 2, "scaling": 0.9},
]


@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: "+".join(terms) or "plain")
def test_every_paths_token_attends_to_its_own_slots_and_no_others(terms: dict[str, Any]) -> None:
    sees = np.array(
        [
            [1, 1, 1, 0, 1, 0, 0, 0, 1],
            [1, 1, 1, 1, 0, 0, 1, 0, 0],
            [1, 0, 1, 0, 1, 0, 0, 1, 0],
        ],
        dtype=bool,
    )
    slot_depth = np.array([0, 1, 2, 3, 3, 9, 4, 4, 4])
    row_depth = np.array([4, 4, 4])
    query, key, value = states(3, 1, 9)
    mask = TreeMask(sees[None], slot_depth, row_depth, is_causal=False)
    module = SimpleNamespace(layer_idx=0)
    out, weights = pool_attention(module, query, key, value, None, tree_mask=mask, **terms)  # type: ignore[arg-type]
    expected = loops(
        query,
        key,
        value,
        sees,
        slot_depth,
        row_depth,
        window=terms.get("sliding_window"),
        scale=terms.get("scaling"),
        softcap=terms.get("softcap"),
        sinks=terms.get("s_aux"),
    )
    assert weights is None
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: "+".join(terms) or "plain")
@pytest.mark.parametrize("start", [0, 4])
def test_prompt_tokens_attend_to_what_came_before_in_the_first_chunk_and_in_the_next(
    start: int, terms: dict[str, Any]
) -> None:
    """The first chunk goes the causal way where it can, the next through the mask."""
    pool = Pool(1)
    if start:
        pool.begin(start)
    mask = pool.begin(5)
    slots = start + 5
    query, key, value = states(1, 5, slots)
    out, _ = pool_attention(
        SimpleNamespace(layer_idx=0), query, key, value, None, tree_mask=mask, **terms
    )  # type: ignore[arg-type]
    depth = np.arange(start, slots)
    expected = loops(
        query,
        key,
        value,
        np.arange(slots)[None, :] <= depth[:, None],
        np.arange(slots),
        depth,
        window=terms.get("sliding_window"),
        scale=terms.get("scaling"),
        softcap=terms.get("softcap"),
        sinks=terms.get("s_aux"),
    )
    assert mask.is_causal == (start == 0)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_layers_of_one_window_share_a_mask_and_an_evicting_layer_has_its_own() -> None:
    like = torch.zeros(())
    one = TreeMask(np.ones((1, 2, 9), bool), np.arange(9), np.array([8, 8]), False)
    assert one.additive(0, None, 1, like) is one.additive(5, None, 1, like)
    assert one.additive(0, 99, 1, like) is one.additive(1, None, 1, like)  # cuts nothing off
    assert one.additive(0, 3, 1, like) is not one.additive(1, None, 1, like)
    visible = np.ones((2, 2, 9), bool)
    visible[1, 0, 4] = False
    two = TreeMask(visible, np.arange(9), np.array([8, 8]), False)
    assert two.additive(0, None, 2, like)[0, 0, 0, 4] == 0
    assert two.additive(1, None, 2, like)[0, 0, :, 4].tolist() == [-math.inf, -math.inf, 0, 0]


def test_a_modules_window_counts_where_the_keyword_was_left_out_and_not_where_it_is_none() -> None:
    query, key, value = states(1, 1, 9)
    slot_depth, row_depth = np.arange(9), np.array([8])

    def attend(**more: Any) -> torch.Tensor:
        mask = TreeMask(np.ones((1, 1, 9), bool), slot_depth, row_depth, False)
        module = SimpleNamespace(layer_idx=3, sliding_window=2)
        out, _ = pool_attention(module, query, key, value, None, tree_mask=mask, **more)  # type: ignore[arg-type]
        windows.append(mask.windows[3])
        return out

    windows: list[int | None] = []
    assert torch.equal(attend(), attend(sliding_window=2))
    assert not torch.allclose(attend(), attend(sliding_window=None))
    assert windows == [2, 2, 2, None]


def test_the_attention_is_registered_under_its_name() -> None:
    assert AttentionInterface()[NAME] is pool_attention
