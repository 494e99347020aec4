"""Eviction's cases: what a step costs under a policy, and what bytes it saves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from explorer.backends.cow import CowBackend
from explorer.config import RunConfig
from explorer.experiments.base import QUICK, Conditions, Goal, Show, case, make_model

if TYPE_CHECKING:
    from explorer.models import LoadedModel

STEP_GOALS = {"window": Goal("<=", 1.1), "h2o": Goal("<=", 1.5), "count_min": Goal("<=", 1.6)}
SKETCH_GOAL = Goal("<=", 1)  # count_min at least as fast as exact counters
BYTES_GOAL = Goal("<=", 1 / 12)
FLAT_GOAL = Goal("<=", 1)
SMALL_BUDGET = 16  # of the long text this part: 256 of 4,096 tokens
LONG_RUN = {False: 10_000, True: 400}  # decoded tokens, by whether the conditions are quick
NUM_CASES = 6


def policy_config(policy: str | None, budget: int) -> RunConfig:
    """A policy as it runs where nobody watches: no exact counters beside a sketch, no evidence."""
    if policy is None:
        return RunConfig()
    return RunConfig().replace(policy=policy, budget=budget, exact=False, num_evidence=0)


def small_budget(conditions: Conditions) -> int:
    """A sixteenth of the long text, but more than what is protected."""
    return max(2 * conditions.long_prompt // SMALL_BUDGET, 16)


class Decoder:
    """One path of one backend that reads tokens without end; `ids` are the prompt."""

    def __init__(self, model: LoadedModel, config: RunConfig, ids: list[int]) -> None:
        self.model = model
        self.backend = CowBackend(model, config, len(ids))
        self.kv_nbytes = 0  # peak
        self._position = len(ids)
        chunk = min(config.cache.prefill_chunk, self.backend.chunk or config.cache.prefill_chunk)
        for start in range(0, len(ids), chunk):
            self.backend.prefill(ids[start : start + chunk])
            self.kv_nbytes = max(self.kv_nbytes, self.backend.stats().kv_nbytes)

    def step(self) -> float:
        """Seconds of the next token's pass, eviction included."""
        token = token_at(self._position, self.model.info.vocab_size)
        self._position += 1
        self._wait()
        began = perf_counter()
        self.backend.decode([token])
        self._wait()
        return perf_counter() - began

    def _wait(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)

    def close(self) -> None:
        self.backend.close()


def token_at(position: int, vocab_size: int) -> int:
    """The token of a position in the benchmark's text."""
    return (31 * position + 7) % vocab_size


def interleaved(decoders: Mapping[str, Decoder], num_steps: int) -> dict[str, list[float]]:
    """Seconds of `num_steps` steps of each, taking turns step by step, each leading in turn.

    What else the machine does falls on all of them alike. Two steps each warm up.
    """
    names = list(decoders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for index in range(-2, num_steps):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            spent = decoders[name].step()
            if index >= 0:
                seconds[name].append(spent)
    return seconds


class Bench:
    """The cases one after another."""

    def __init__(self, conditions: Conditions, device: str, dtype: str, show: Show) -> None:
        self.conditions, self.show = conditions, show
        self.device, self.dtype = device, dtype
        self.model = make_model(conditions, device, dtype)
        self.num_done = 0

    def _decoder(self, policy: str | None, num_tokens: int, budget: int) -> Decoder:
        ids = [token_at(at, self.conditions.vocab_size) for at in range(num_tokens)]
        return Decoder(self.model, policy_config(policy, budget), ids)

    def _tell(self, name: str) -> None:
        self.show(self.num_done, NUM_CASES, name)
        self.num_done += 1

    def steps(self) -> Iterator[dict[str, Any]]:
        """Steps of one path under each policy over those without, all over as many slots: the
        budget is the prompt, so that every step evicts one slot a layer."""
        c = self.conditions
        self._tell(f"steps with and without a policy, {c.prompt} slots")
        decoders = {
            name or "none": self._decoder(name, c.prompt, c.prompt) for name in (None, *STEP_GOALS)
        }
        seconds = interleaved(decoders, c.max_new_tokens * c.num_repeats)
        for policy, goal in STEP_GOALS.items():
            yield case(
                f"decode step with {policy}, {c.prompt} slots",
                seconds=seconds[policy],
                ratio_to="without a policy",
                ratio_to_seconds=seconds["none"],
                goal=goal,
                is_quick=c.is_quick,
                score_nbytes=decoders[policy].backend.stats().score_nbytes,
            )
            self.num_done += 1
        for decoder in decoders.values():
            decoder.close()

    def long(self) -> Iterator[dict[str, Any]]:
        """The sketch against exact counters where there are many slots, and bytes at a sixteenth
        of a long text."""
        c = self.conditions
        slots = 2 * c.long_prompt
        self._tell(f"count_min / h2o, {slots:,} slots")
        sides = {name: self._decoder(name, slots, slots) for name in ("count_min", "h2o")}
        seconds = interleaved(sides, c.max_new_tokens)
        yield case(
            f"decode step with count_min, {slots:,} slots",
            seconds=seconds["count_min"],
            ratio_to="with h2o",
            ratio_to_seconds=seconds["h2o"],
            goal=SKETCH_GOAL,
            is_quick=c.is_quick,
            **{f"score_nbytes_{n}": side.backend.stats().score_nbytes for n, side in sides.items()},
        )
        for side in sides.values():
            side.close()
        budget = small_budget(c)
        self._tell(f"KV bytes, budget {budget} of {slots:,}")
        bounded, full = (self._decoder(name, slots, budget) for name in ("h2o", None))
        yield case(
            f"peak KV bytes, budget {budget} of {slots:,} tokens",
            ratio_to="the full cache",
            ratio=bounded.kv_nbytes / full.kv_nbytes,
            goal=BYTES_GOAL,
            is_quick=c.is_quick,
            kv_nbytes=bounded.kv_nbytes,
            full_kv_nbytes=full.kv_nbytes,
        )
        bounded.close()
        full.close()

    def flat(self) -> dict[str, Any]:
        """Allocated bytes of a long run: the most of its later tokens over those of its first."""
        tokens = LONG_RUN[self.conditions.is_quick]
        budget = small_budget(self.conditions)
        self._tell(f"{tokens:,} tokens at budget {budget}")
        model = make_model(QUICK, self.device, self.dtype)  # what is measured is the pool
        decoder = Decoder(model, policy_config("h2o", budget), [1])
        seen = []
        for _ in range(tokens):
            decoder.step()
            seen.append(decoder.backend.stats().kv_nbytes)
        decoder.close()
        settled = seen[budget]
        return case(
            f"allocated KV bytes over {tokens:,} decoded tokens at budget {budget}",
            ratio_to=f"after {budget + 1} tokens",
            ratio=max(seen[budget:]) / settled,
            goal=FLAT_GOAL,
            is_quick=self.conditions.is_quick,
            kv_nbytes_last=seen[-1],
            kv_nbytes_settled=settled,
        )


def measure(
    conditions: Conditions, device: str, dtype: str, show: Show
) -> Iterator[dict[str, Any]]:
    """Eviction's cases, in the order of the README's table."""
    bench = Bench(conditions, device, dtype, show)
    yield from bench.steps()
    yield from bench.long()
    yield bench.flat()
    show(NUM_CASES, NUM_CASES, "eviction")
