"""What only a CUDA device can show; skipped, with the reason, where there is none."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from explorer import RunConfig, metrics, run
from explorer.models import LoadedModel
from tests.architectures import build

pytestmark = pytest.mark.gpu
TREE: dict[str, Any] = dict(
    prompt_ids=tuple(range(3, 40)), entropy_threshold=0.3, max_new_tokens=16, max_paths=6
)


def on(device: str) -> LoadedModel:
    return LoadedModel(build("llama").to(device), name="llama")


@pytest.mark.parametrize("select", ["sample", "top", "gumbel"])
def test_the_device_grows_the_tree_that_the_processor_grows(select: str) -> None:
    config = RunConfig(**TREE, select=select)
    trees = {metrics.tree_digest(run(on(device), config)) for device in ("cpu", "cuda")}
    assert len(trees) == 1


@pytest.mark.parametrize("backend", ["batched", "deepcopy", "recompute"])
def test_backends_agree_on_the_device(backend: str) -> None:
    model = on("cuda")
    cow = run(model, RunConfig(**TREE))
    other = run(model, RunConfig(**TREE, backend=backend))
    assert metrics.tree_digest(cow) == metrics.tree_digest(other)


def test_time_and_peak_memory_are_those_of_the_device() -> None:
    trace = run(on("cuda"), RunConfig(**TREE))
    assert all(step.seconds > 0 for step in trace)
    held = max(step.memory.kv_nbytes for step in trace)
    assert held <= trace[-1].peak_memory_nbytes < torch.cuda.get_device_properties(0).total_memory
