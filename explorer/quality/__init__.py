"""What a cache policy costs: a text read token by token through it and through the full cache.

Both sides read the same tokens, each of them in a forward pass of its own, so that every
prediction is made from what the policy has kept (a one-shot pass never touches an evicted cache).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from explorer.against import divergence
from explorer.config import InputError, RunConfig, explain
from explorer.models import LoadedModel
from explorer.quality.bootstrap import Interval, interval
from explorer.quality.greedy import Text, agree, continued, without
from explorer.quality.passages import Ask, Passage
from explorer.quality.reading import Said, read

CHUNK = 64  # predictions compared in one go
NEAR = math.log(1.02)  # nats: "within 2 % of the full cache"
DISTANCES = (0, 64, 128, 256, 512, 1024, 2**31)  # bins of the recall table, in tokens

Show = Callable[[int, int, str], None]  # done, total, name


@dataclass(frozen=True, slots=True)
class Scores:
    """One passage under both caches, arrays `[tokens]`: nats, and the most probable tokens."""

    full_nll: np.ndarray
    nll: np.ndarray
    kl: np.ndarray  # KL(full || policy)
    full_top: np.ndarray
    top: np.ndarray
    lost: np.ndarray  # share of the full cache's attention on slots that the policy did not see


@dataclass(slots=True)
class FullCache:
    """The full cache's side; with `keep` a passage is read once and remembered."""

    model: LoadedModel
    keep: bool = False
    kv_nbytes: int = 0
    _kept: dict[tuple[int, ...], list[Said]] = field(default_factory=dict)
    _texts: dict[tuple[int, ...], Text] = field(default_factory=dict)

    def read(self, ids: tuple[int, ...]) -> Iterator[Said]:
        """What it says after each token of `ids`, and where its queries attend."""
        if ids in self._kept:
            yield from self._kept[ids]
            return
        said = []
        for each in read(self.model, RunConfig(), ids, weights=True):
            self.kv_nbytes = max(self.kv_nbytes, each.kv_nbytes)
            if self.keep:
                said.append(each)
            yield each
        if self.keep:
            self._kept[ids] = said

    def continued(self, config: RunConfig, ids: tuple[int, ...]) -> Text:
        """Its greedy continuation of the beginning of `ids`."""
        if ids not in self._texts:
            self._texts[ids] = continued(self.model, without(config), ids)
        return self._texts[ids]


@dataclass(slots=True)
class Bytes:
    """Peaks over what was read."""

    kv_nbytes: int = 0
    score_nbytes: int = 0

    def watch(self, said: Iterator[Said]) -> Iterator[Said]:
        for each in said:
            self.kv_nbytes = max(self.kv_nbytes, each.kv_nbytes)
            self.score_nbytes = max(self.score_nbytes, each.score_nbytes)
            yield each


def score(full: Iterator[Said], policy: Iterator[Said], ids: Sequence[int]) -> Scores:
    """Hold both sides against each other and against the text, `CHUNK` predictions at a time."""
    columns: list[tuple[np.ndarray, ...]] = []
    targets = torch.tensor(ids[1:])
    for start in range(0, len(targets), CHUNK):
        want = targets[start : start + CHUNK]
        rows = [(next(full), next(policy)) for _ in want]
        p = torch.stack([said.log_probs for said, _ in rows]).double()
        q = torch.stack([said.log_probs for _, said in rows]).double()
        lost = [lost_mass(said.weights, other.seen) for said, other in rows]
        columns.append((*compare(p, q, want), np.array(lost)))
    for side in (full, policy):
        next(side, None)  # let it end: it has something to close
    return Scores(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def compare(
    p: torch.Tensor, q: torch.Tensor, want: torch.Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Full and policy log-probabilities `[tokens, vocab]` against the tokens that came.

    Negative log-likelihoods of both, `KL(p || q)`, and both most probable tokens.
    """
    at = want[:, None]
    nlls = (-p.gather(1, at)[:, 0], -q.gather(1, at)[:, 0])
    found = (*nlls, divergence(p, q), p.argmax(1), q.argmax(1))
    first, second, kl, top, other = (column.numpy() for column in found)
    return first, second, kl, top, other


def lost_mass(weights: np.ndarray | None, seen: np.ndarray | None) -> float:
    """Mean over layers of the attention on positions not `seen`; both `[layers, positions]`."""
    assert weights is not None and seen is not None
    return float(np.where(seen, 0.0, weights).sum(1).mean())


@dataclass(frozen=True, slots=True)
class Measured:
    """A policy on passages: `scores` has one entry a passage, then one a probe."""

    config: RunConfig
    passages: Sequence[Passage]
    probes: Sequence[Passage]
    scores: Sequence[Scores]
    held: Bytes
    full_kv_nbytes: int
    texts: Sequence[tuple[Text, Text]]

    @property
    def scored(self) -> Sequence[Scores]:
        """Those of the passages."""
        return self.scores[: len(self.passages)]

    def difference(self) -> Interval:
        """Policy's minus full cache's negative log-likelihood, token by token."""
        return interval([each.nll - each.full_nll for each in self.scored])

    def document(self) -> dict[str, Any]:
        """The `quality --json` document. nats per token; `nbytes` are peaks over the passages."""
        found = self.difference()
        return {
            "tokens": sum(len(each.nll) for each in self.scored),
            "full": perplexity([each.full_nll for each in self.scored])
            | {"kv_nbytes": self.full_kv_nbytes},
            "policy": _policy(self.config, self.scored, self.held),
            "delta_nll": {
                "mean": found.mean,
                "ci95": [found.low, found.high],
                "method": found.method,
                "neighbour_correlation": found.correlation,
            },
            "verdict": verdict(found),
            "recall": recall((*self.passages, *self.probes), self.scores),
            "greedy": agree(self.texts),
            "passages": [{"name": p.name, "tokens": p.num_predicted} for p in self.passages],
        }


def measure(
    model: LoadedModel,
    config: RunConfig,
    passages: Sequence[Passage],
    probes: Sequence[Passage] = (),
    full: FullCache | None = None,
    show: Show = lambda done, total, name: None,
) -> Measured:
    """Read everything under the policy and under the full cache, and let both write.

    `probes` count as questions only, `passages` as both.
    """
    full = full or FullCache(model)
    held, found = Bytes(), []
    every = (*passages, *probes)
    settings = [settled(config, passage.num_predicted) for passage in every]
    for done, (passage, each) in enumerate(zip(every, settings, strict=True)):
        show(done, len(every) + 1, passage.name)
        policy = read(model, each, passage.ids)
        counted = held.watch(policy) if done < len(passages) else policy
        found.append(score(full.read(passage.ids), counted, passage.ids))
    show(len(every), len(every) + 1, "greedy text")
    texts = [
        (full.continued(each, passage.ids), continued(model, each, passage.ids))
        for passage, each in zip(passages, settings, strict=False)
    ]
    show(len(every) + 1, len(every) + 1, "done")
    return Measured(config, passages, probes, found, held, full.kv_nbytes, texts)


def settled(config: RunConfig, num_tokens: int) -> RunConfig:
    """`config` with a budget that is a share of the text turned into tokens of this text."""
    budget = config.eviction.budget
    if budget is None or budget >= 1:
        return config
    try:
        return config.replace(budget=max(1, round(budget * num_tokens)))
    except ValidationError as error:
        raise InputError(explain(error)) from error


def perplexity(nll: Sequence[np.ndarray]) -> dict[str, float]:
    """Mean over all tokens, and its exponential."""
    mean = float(np.concatenate(nll).mean())
    return {"nll": mean, "perplexity": math.exp(min(mean, 700.0))}


def _policy(config: RunConfig, scored: Sequence[Scores], held: Bytes) -> dict[str, Any]:
    kl, lost = (np.concatenate([getattr(s, name) for s in scored]) for name in ("kl", "lost"))
    flips = np.concatenate([each.top != each.full_top for each in scored])
    eviction = config.eviction
    return {
        "name": eviction.policy or "none",
        "budget": eviction.budget,
        "strategy": eviction.strategy if eviction.policy else None,
        "kv_dtype": config.cache.kv_dtype,
        **perplexity([each.nll for each in scored]),
        "kl": float(kl.mean()),
        "flip_rate": float(flips.mean()),
        "attention_mass_lost": float(lost.mean()),
        "kv_nbytes": held.kv_nbytes,
        "score_nbytes": held.score_nbytes,
    }


def verdict(found: Interval) -> str:
    """Whether the perplexity is within 2 % of the full cache's, as far as the interval says."""
    ends = (found.low, found.mean, found.high)
    low, mean, high = (round(100 * math.expm1(min(x, 50)), 2) + 0.0 for x in ends)  # no -0.00
    figures = f"perplexity {mean:+.2f} %, 95 % interval {low:+.2f} % to {high:+.2f} %"
    if found.high <= NEAR:
        near = "Within 2 % of" if found.low >= -NEAR else "No worse than 2 % above"
        return f"{near} the full cache: {figures}."
    if found.low > NEAR:
        return f"Not within 2 % of the full cache: {figures}."
    return f"Not shown to be within 2 % of the full cache, nor to miss it: {figures}."


def recall(passages: Sequence[Passage], found: Sequence[Scores]) -> dict[str, Any]:
    """Share of facts told again right under both caches, in all and by distance in tokens.

    Right: every token of the answer is the most probable one, given those before it. Both shares
    are None where nothing was asked.
    """
    answers = [
        (
            ask.distance,
            _is_right(scores.full_top, passage, ask),
            _is_right(scores.top, passage, ask),
        )
        for passage, scores in zip(passages, found, strict=True)
        for ask in passage.asks
    ]
    bins = []
    for low, high in pairwise(DISTANCES):
        inside = [answer for answer in answers if low <= answer[0] < high]
        if inside:
            last = max(distance for distance, _, _ in inside)
            bins.append({"from": low, "to": min(high - 1, last), **_shares(inside)})
    return {**_shares(answers), "by_distance": bins}


def _is_right(top: np.ndarray, passage: Passage, ask: Ask) -> bool:
    return list(top[ask.index - 1 : ask.end - 1]) == list(passage.ids[ask.index : ask.end])


def _shares(answers: Sequence[tuple[int, bool, bool]]) -> dict[str, Any]:
    count = len(answers)
    return {
        "full": sum(full for _, full, _ in answers) / count if count else None,
        "policy": sum(policy for _, _, policy in answers) / count if count else None,
        "probes": count,
    }
