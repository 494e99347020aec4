"""torch.compile for the feed-forward blocks: the part of a pass that is tensors in, tensors out.

Attention over the pool stays as it is: its shapes grow with every token and its cache is our own,
so that compiling it would begin anew at every step. Blocks are compiled once for any number of rows
and tried against the plain ones before a run; what fails is said, and the run goes on without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

COMPILER = "inductor"
BLOCKS = ("mlp", "feed_forward", "ffn", "DenseReluDense")
ROWS = (1, 2, 5)  # a compiled block is tried with as many
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}  # of the outputs' size

Compiled = dict[nn.Module, Callable[..., torch.Tensor]]


def compile_blocks(module: nn.Module) -> tuple[Compiled, str]:
    """Compiled forward passes of `module`'s blocks, and why there are none, a sentence or ""."""
    blocks = [
        block
        for name, block in module.named_modules()
        if name.rpartition(".")[2] in BLOCKS and "." in name
    ]
    name = type(module).__name__
    if not blocks:
        return {}, f"{name} has no feed-forward blocks of their own, so nothing was compiled."
    found: Compiled = {}
    try:
        for block in blocks:
            found[block] = torch.compile(block.forward, dynamic=True, backend=COMPILER)
            if off := _differs(block, found[block]):
                return {}, f"Compiled blocks of {name} {off}, so they run as they are."
    except Exception as error:  # a compiler that is missing or fails has many names for it
        why = " ".join(str(error).split())[:160].rstrip(".")
        return {}, f"torch.compile does not work here ({why}), so the blocks run as they are."
    return found, ""


def _differs(block: nn.Module, compiled: Callable[..., torch.Tensor]) -> str:
    """How a compiled block fails to do what the block does; "" where it does."""
    weight = next(each for each in block.parameters() if each.dim() > 1)
    size = _width(block, weight)
    for rows in ROWS:
        values = torch.linspace(-1, 1, rows * size, dtype=torch.float32, device=weight.device)
        states = values.sin().view(rows, 1, size).to(weight.dtype)
        with torch.inference_mode():
            plain, other = block(states), compiled(states)
        scale = plain.float().abs().max().clamp(min=1e-6)
        error = float((plain.float() - other.float()).abs().max() / scale)
        if not error <= TOLERANCE.get(weight.dtype, 3e-2):
            return f"are off by {error:.1e} of their outputs"
    return ""


def _width(block: nn.Module, weight: torch.Tensor) -> int:
    """Features that go into a block: of its first layer."""
    first: Any = next(each for each in block.modules() if hasattr(each, "weight"))
    return int(getattr(first, "in_features", getattr(first, "nx", weight.shape[-1])))


@contextmanager
def swapped(compiled: Compiled | None) -> Iterator[None]:
    """Blocks run compiled inside."""
    for block, forward in (compiled or {}).items():
        block.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        for block in compiled or {}:
            del block.forward
