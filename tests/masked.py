"""The oracle of eviction: a plain eager model that is told, by a 4-D mask a layer, what each query
may see. Shares nothing with the product: lists of sets in, logits out."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedModel


@dataclass
class Line:
    """A path: its tokens, and for every layer and query the positions that it could see."""

    num_layers: int
    tokens: list[int] = field(default_factory=list)
    seen: list[list[set[int]]] = field(default_factory=list)  # [layer][query]
    held: list[set[int]] = field(default_factory=list)  # [layer]: what it sees now

    def __post_init__(self) -> None:
        self.seen = self.seen or [[] for _ in range(self.num_layers)]
        self.held = self.held or [set() for _ in range(self.num_layers)]

    def copy(self) -> Line:
        return copy.deepcopy(self)

    def append(self, tokens: Sequence[int]) -> None:
        """One pass: each token sees what is held, what came with it before it, and itself."""
        for token in tokens:
            position = len(self.tokens)
            self.tokens.append(token)
            for layer_idx, held in enumerate(self.held):
                held.add(position)
                self.seen[layer_idx].append(set(held))

    def hidden(self, layer_idx: int) -> torch.Tensor:
        """`[tokens, tokens]` bool: True where the query must not see the key."""
        length = len(self.tokens)
        hidden = torch.ones(length, length, dtype=torch.bool)
        for query, positions in enumerate(self.seen[layer_idx]):
            hidden[query, sorted(positions)] = False
        return hidden


@contextmanager
def told(twin: PreTrainedModel, line: Line) -> Iterator[list[int]]:
    """Every layer's attention gets, on top of transformers' own mask, what the line may not see.
    Gives the layers that were told, in the order in which they ran."""
    assert twin.config._attn_implementation == "eager"
    told_layers: list[int] = []
    handles = []

    def tell(module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        layer_idx = int(module.layer_idx)  # type: ignore[arg-type]
        told_layers.append(layer_idx)
        mask = kwargs["attention_mask"]
        assert mask.dim() == 4 and mask.shape[-2:] == (len(line.tokens),) * 2
        least = torch.finfo(mask.dtype).min
        return args, kwargs | {"attention_mask": mask.masked_fill(line.hidden(layer_idx), least)}

    for name, module in twin.named_modules():
        if name.split(".")[-1] in ("self_attn", "attn", "attention") and hasattr(
            module, "layer_idx"
        ):
            handles.append(module.register_forward_pre_hook(tell, with_kwargs=True))
    try:
        yield told_layers
    finally:
        for handle in handles:
            handle.remove()


def logits_of(twin: PreTrainedModel, line: Line) -> torch.Tensor:
    """`[vocab]` after the line's last token."""
    with told(twin, line) as layers, torch.inference_mode():
        logits = twin(input_ids=torch.tensor([line.tokens]), use_cache=False).logits[0, -1]
    assert layers == list(range(line.num_layers))
    return logits
