"""What one visitor of a public page may ask of a machine that many share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from explorer.config import InputError, RunConfig
from explorer.hub import BUNDLED

# Of every option that a sweep has; those of the prefix sweep bound its prompts and their cache.
MOST = {
    "repeats": 5,
    "naive": 1,
    "most_paths": 64,
    "passages": 4,
    "passage_tokens": 1024,
    "probes": 16,
    "requests": 100,
    "documents": 100,
    "document_tokens": 256,
    "preamble_tokens": 128,
    "question_tokens": 64,
    "block_size": 128,
    "zipf_percent": 1000,
}

# Settings that take more of a machine than a visitor's share, and how.
COSTLY = {
    "compile": "compiles before the first step, when nobody can stop it",
    "against_float32": "runs every pass twice and may need the model a second time",
}


def _offered() -> tuple[str, ...]:
    more = os.environ.get("FORKSCOPE_MODELS", "")
    return (*BUNDLED, *(name.strip() for name in more.split(",") if name.strip()))


@dataclass(frozen=True)
class Limits:
    """Bounds of a public page; FORKSCOPE_MODELS names further models, separated by commas."""

    max_paths: int = 64
    max_new_tokens: int = 256
    num_samples: int = 64
    prompt_characters: int = 8_000
    prompt_ids: int = 8_000
    prefix_ids: int = 2_000
    prompts: int = 16  # of a workload, one after another
    prefix_nbytes: int = 32 * 2**20  # of a visitor's prefix cache
    prefix_caches: int = 32  # visitors who have one
    prefix_record: int = 50_000  # blocks that the moments of one speak of, before they begin anew
    sweep_rows: int = 48
    sweep_options: Mapping[str, int] = field(default_factory=lambda: MOST)
    seconds: float = 120.0  # of one run or sweep, so that a line of visitors moves
    models: tuple[str, ...] = field(default_factory=_offered)

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Raises InputError where a workload is longer than a visitor's may be."""
        if len(prompts) > self.prompts:
            raise InputError(
                f"This public page runs up to {self.prompts} prompts one after another, "
                f"not {len(prompts)}."
            )
        for prompt in prompts:
            self._check_length(prompt)

    def _check_length(self, prompt: str) -> None:
        if len(prompt) > self.prompt_characters:
            raise InputError(
                f"This public page takes prompts of up to {self.prompt_characters:,} characters."
            )

    def check(self, config: RunConfig) -> None:
        """Raises InputError, one sentence, where `config` asks for more."""
        if config.model not in self.models:
            raise InputError(
                f"This public page runs {', '.join(self.models)}; "
                "start Forkscope on your own machine for other models."
            )
        self._check_length(config.prompt)
        for name in ("prompt_ids", "prefix_ids"):
            most = getattr(self, name)
            if len(getattr(config, name) or ()) > most:
                raise InputError(f"{name}: this public page takes up to {most:,} token ids.")
        asked = config.flat()
        for name, cost in COSTLY.items():
            if asked[name]:
                raise InputError(
                    f"{name}: this public page leaves it out, for it {cost}; "
                    "start Forkscope on your own machine for it."
                )
        for name in ("max_paths", "max_new_tokens", "num_samples"):
            most = getattr(self, name)
            if (asked[name] or 0) > most:
                raise InputError(
                    f"{name} is {asked[name]}, and this public page allows up to {most}."
                )
