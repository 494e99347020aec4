"""Greedy text under a cache policy against the full cache's: BLEU, and tokens that agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sacrebleu

from explorer import metrics
from explorer.config import Eviction, RunConfig
from explorer.generate import run
from explorer.models import LoadedModel

PROMPT_TOKENS, NEW_TOKENS = 512, 64

Text = tuple[list[int], str]  # generated token ids, and what they read


def without(config: RunConfig) -> RunConfig:
    """The same run with the full cache, in the model's own number format."""
    return config.replace(**Eviction().model_dump(), kv_dtype="model")


def continued(model: LoadedModel, config: RunConfig, ids: Sequence[int]) -> Text:
    """The greedy continuation of the beginning of `ids`: token ids, and their text.

    The prompt is prefilled in chunks and evicted between them where it exceeds the budget.
    """
    trace = run(
        model,
        config.replace(
            prompt="",
            prompt_ids=tuple(ids[: min(PROMPT_TOKENS, len(ids) // 2)]),
            prefix_ids=(),
            chat_template=False,
            temperature=0.0,
            entropy_threshold=1.0,
            max_paths=1,
            backend="cow",
            max_new_tokens=NEW_TOKENS,
            max_finished=None,
            num_evidence=0,
        ),
    )
    (leaf,) = metrics.leaves(trace)
    return [node.token for node in leaf.nodes], leaf.text


def bleu(texts: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU, 0 to 100, by sacrebleu (Papineni et al. 2002; Post 2018, arXiv:1804.08771)."""
    found = sacrebleu.corpus_bleu(list(texts), [list(references)])
    return min(100.0, float(found.score))  # identity comes out a rounding above 100


def agree(pairs: Sequence[tuple[Text, Text]]) -> dict[str, Any]:
    """The full cache's texts and the policy's: BLEU, and the share of places with the same token.

    Places that only one of two texts has count as different.
    """
    same = sum(a == b for full, policy in pairs for a, b in zip(full[0], policy[0], strict=False))
    tokens = sum(max(len(full[0]), len(policy[0])) for full, policy in pairs)
    return {
        "bleu": bleu([policy[1] for _, policy in pairs], [full[1] for full, _ in pairs]),
        "token_agreement": same / tokens,
        "tokens": tokens,
        "texts": len(pairs),
    }
