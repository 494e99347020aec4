"""The case of encoder-decoder models: what the source takes, however many paths see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from explorer.config import RunConfig
from explorer.experiments.base import Conditions, Goal, Show, case
from explorer.generate import run
from explorer.models import LoadedModel, load_model

MODEL = "tiny-seq2seq"
PROMPT = "shuffle: fox key river red bread lamp cave"  # every order is right: all steps fork
NUM_PATHS = 8
MOST = Goal("<=", 1)
BACKENDS = ("cow", "batched")


def case_names() -> list[str]:
    """Every case of this family, in order."""
    return [f"encoder-decoder, {NUM_PATHS} paths: cross-attention bytes, {b}" for b in BACKENDS]


def measure(
    conditions: Conditions, device: str, dtype: str, show: Show
) -> Iterator[dict[str, Any]]:
    """Bytes of the cross-attention cache at 8 live paths over those at one, off real storage."""
    model, names = load_model(MODEL, device, dtype), case_names()
    for num_done, (name, backend) in enumerate(zip(names, BACKENDS, strict=True)):
        show(num_done, len(names), "encoder-decoder")
        one, many = (crossed(model, backend, paths) for paths in (1, NUM_PATHS))
        yield case(
            name,
            ratio_to="1 path",
            ratio=many["cross_nbytes"] / one["cross_nbytes"],
            goal=MOST,
            is_quick=conditions.is_quick,
            **many,
        )
    show(len(names), len(names), "encoder-decoder")


def crossed(model: LoadedModel, backend: str, max_paths: int) -> dict[str, Any]:
    """Paths alive at the fullest step of a run, and bytes of both caches there."""
    settings: dict[str, Any] = {"entropy_threshold": 0.0, "max_paths": max_paths, "top_k": 8}
    settings |= {"prompt": PROMPT, "backend": backend, "max_new_tokens": 5}
    steps = run(model, RunConfig(**settings)).steps
    rows = [1, *(len(step.paths) for step in steps)]
    fullest = max(range(len(steps)), key=lambda index: rows[index])
    memory = steps[fullest].memory_forward
    return {
        "paths": rows[fullest],
        "cross_tokens": memory.cross_tokens,
        "cross_nbytes": memory.cross_nbytes,
        "kv_nbytes": memory.kv_nbytes,
    }
