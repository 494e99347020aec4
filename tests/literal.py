"""A language model given as numbers: the next-token distribution of every text, written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from transformers import LlamaConfig
from transformers.cache_utils import DynamicCache

from explorer.config import RunConfig
from explorer.events import ModelInfo
from explorer.generate import run
from explorer.trace import Trace

PROMPT = (0,)


class LiteralModel:
    """Stands where a LoadedModel stands; `logits_of(generated tokens)` are the next token's logits.

    Without attention there is nothing to cache: it runs on the `recompute` and `naive` backends.
    """

    tokenizer = None
    device = torch.device("cpu")
    module = SimpleNamespace(config=LlamaConfig(num_hidden_layers=1, attn_implementation="eager"))
    is_encoder_decoder = False
    source = None

    def __init__(
        self,
        logits_of: Callable[[tuple[int, ...]], Sequence[float]],
        end_tokens: Sequence[int] = (),
    ) -> None:
        self._logits_of = logits_of
        self._end_tokens = frozenset(end_tokens)
        self.info = ModelInfo(
            name="literal",
            architecture="Literal",
            num_parameters=0,
            num_layers=1,
            num_kv_heads=1,
            head_dim=1,
            vocab_size=len(logits_of(())),
            context=None,
            device="cpu",
            dtype="float32",
            kv_nbytes_per_token=8,
            backends=("recompute", "naive"),
        )

    def forward(self, rows: Sequence[Sequence[int]], **_: Any) -> torch.Tensor:
        texts = [tuple(row[len(PROMPT) :]) for row in rows]
        return torch.tensor([list(self._logits_of(text)) for text in texts], dtype=torch.float32)

    def tuned(self, kernel: str, is_compiled: bool) -> LiteralModel:
        """There is no attention whose kernel could be chosen, and nothing to compile."""
        return self

    def new_cache(self) -> DynamicCache:
        """One that stays empty."""
        return DynamicCache(config=self.module.config)

    def end_tokens(self) -> frozenset[int]:
        return self._end_tokens


def literal_run(model: LiteralModel, **settings: Any) -> Trace:
    """A whole run on literal numbers; `settings` by flat name."""
    config = RunConfig(**({"prompt_ids": PROMPT, "backend": "recompute"} | settings))
    return run(model, config)  # type: ignore[arg-type]


def logits(probs: Sequence[float]) -> list[float]:
    """Logits of a distribution: ln p, and -inf where p is 0."""
    return torch.tensor(list(probs), dtype=torch.float64).log().tolist()
