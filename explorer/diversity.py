"""How different a run's texts are, and how much of the model's distribution they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from explorer.metrics import importance_weights, leaves
from explorer.trace import Trace

MOST_TEXTS = 32  # that are held against each other: BLEU grows with their square


def unique_texts(texts: Iterable[str]) -> int:
    """How many different ones there are."""
    return len(set(texts))


def distinct_n(sequences: Iterable[Sequence[int]], n: int) -> float | None:
    """Different n-grams of tokens over all n-grams of all sequences, 0 to 1 (Li et al. 2016,
    arXiv:1510.03055); None where no sequence has `n` tokens. It falls with length: compare texts of
    about the same."""
    grams = [tuple(ids[at : at + n]) for ids in sequences for at in range(len(ids) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None


def self_bleu(texts: Sequence[str]) -> float | None:
    """Mean BLEU, 0 to 100, of each text against all others: lower is more diverse (Zhu et al. 2018,
    arXiv:1802.01886; sacrebleu, short texts by effective order). The first `MOST_TEXTS` texts;
    None below two."""
    from sacrebleu.metrics.bleu import BLEU

    texts = [text for text in texts if text.strip()][:MOST_TEXTS]
    if len(texts) < 2:
        return None
    bleu = BLEU(effective_order=True)
    scores = [
        bleu.sentence_score(text, [*texts[:at], *texts[at + 1 :]]).score
        for at, text in enumerate(texts)
    ]
    return sum(scores) / len(scores)


def coverage(trace: Trace) -> float:
    """Probability mass of the returned leaves under the sampling distribution, 0 to 1; what was
    drawn twice counts once."""
    mass = {
        tuple(node.token for node in leaf.nodes): math.exp(leaf.nodes[-1].logprob)
        for leaf in leaves(trace)
    }
    return sum(mass.values())


def weights(trace: Trace) -> list[float] | None:
    """What each returned path stands for when means over the model's texts are estimated: its
    probability over that of being returned (Horvitz and Thompson 1952). None where that
    probability is not known: after pruning by log-probability, and for the most probable ones.

    gumbel: `metrics.importance_weights`. arithmetic: N evenly spaced codes return a path of
    probability p with probability `min(1, N p)`. naive: independent draws, all alike.
    """
    config = trace.header.config
    select = config["branching"]["select"]
    if config["cache"]["backend"] == "naive":
        return None if select == "top" else [1.0 for _ in leaves(trace)]
    if select == "gumbel":
        return list(importance_weights(trace).values())
    if select == "arithmetic":
        codes = config["branching"]["max_paths"]
        return [max(math.exp(leaf.nodes[-1].logprob), 1 / codes) for leaf in leaves(trace)]
    return None


def effective_sample_size(weights: Sequence[float] | None) -> float | None:
    """`(sum w)^2 / sum w^2` (Kish 1965): as many equally weighted draws say as much. None without
    weights."""
    squares = sum(weight * weight for weight in weights or ())
    return sum(weights or ()) ** 2 / squares if squares else None
