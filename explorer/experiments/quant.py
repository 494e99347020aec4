"""The cases of quantised storage: bytes of a filled pool, and what a decode step costs over it."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import torch

from explorer.backends.cow import CowBackend
from explorer.cache.pool import Pool
from explorer.cache.quant import layer_types
from explorer.config import RunConfig
from explorer.experiments.base import Conditions, Goal, Show, alternate, case, make_model
from explorer.models import LoadedModel

GOALS = {"int8": Goal("<=", 0.56), "int4": Goal("<=", 0.33), "adaptive": None}


def case_names(conditions: Conditions) -> list[str]:
    """Every case of this family, in order."""
    c = conditions
    return [
        *(f"storage, {c.num_slots:,} slots: bytes in {name}" for name in GOALS),
        *(f"storage, {c.long_prompt:,} slots: decode step in {name}" for name in GOALS),
    ]


def measure(
    conditions: Conditions, device: str, dtype: str, show: Show
) -> Iterator[dict[str, Any]]:
    """Bytes of each format against float16's, whatever `dtype` is; then the seconds of a step."""
    c, names = conditions, case_names(conditions)
    whole = filled("model", c)
    for num_done, kv_dtype in enumerate(GOALS):
        show(num_done, len(names), "storage")
        nbytes = filled(kv_dtype, c)
        yield case(
            names[num_done],
            ratio_to="float16",
            ratio=nbytes / whole,
            goal=GOALS[kv_dtype],
            is_quick=c.is_quick,
            nbytes=nbytes,
            float16_nbytes=whole,
        )
    model = make_model(c, device, dtype)
    for num_done, kv_dtype in enumerate(GOALS, len(GOALS)):
        show(num_done, len(names), "storage")
        yield decoded(names[num_done], kv_dtype, model, c)
    show(len(names), len(names), "storage")


def filled(kv_dtype: str, conditions: Conditions) -> int:
    """Bytes allocated for `num_slots` tokens of one layer, states in float16; scales included. The
    pool has next to no slack, as where a policy bounds it: slack would flatter what has none."""
    c = conditions
    pool = Pool(1, layer_types(RunConfig().replace(kv_dtype=kv_dtype)))
    pool.growth = 0.0
    pool.begin(c.num_slots)
    shape = 1, c.num_kv_heads, c.num_slots, c.hidden_size // c.num_heads
    states = torch.randn(shape, generator=torch.Generator().manual_seed(0)).half()
    pool.layers[0].update(states, -states)
    return int(pool.layers[0].nbytes)


def decoded(name: str, kv_dtype: str, model: LoadedModel, conditions: Conditions) -> dict[str, Any]:
    """Seconds of a decode step of one path after the long prompt, against unquantised storage."""
    c = conditions
    sides = [Step(model, kv_dtype, c), Step(model, "model", c)]
    try:
        seconds = alternate(sides[0], sides[1], c.num_repeats)
    finally:
        for side in sides:
            side.backend.close()
    return case(
        name,
        seconds=seconds[0],
        ratio_to="unquantised",
        ratio_to_seconds=seconds[1],
        is_quick=c.is_quick,
    )


class Step:
    """A backend that has read the long prompt and taken a step; calling it times further ones."""

    def __init__(self, model: LoadedModel, kv_dtype: str, conditions: Conditions) -> None:
        c = conditions
        self.backend = CowBackend(model, RunConfig().replace(kv_dtype=kv_dtype))
        self._num_steps = max((c.max_new_tokens - 1) // c.num_repeats, 1)
        ids = [(31 * i + 7) % c.vocab_size for i in range(c.long_prompt)]
        for start in range(0, len(ids), 512):
            self.backend.prefill(ids[start : start + 512])
        self.backend.decode([1])

    def __call__(self) -> float:
        """Seconds of a step, the mean of a few."""
        began = perf_counter()
        for _ in range(self._num_steps):
            logits = self.backend.decode([1]).logits
        logits.argmax().item()  # waits for the device
        return (perf_counter() - began) / self._num_steps
