"""What a run will take at worst, before it runs: predicted, and said to be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from explorer.config import RunConfig
from explorer.hub import BUNDLED
from explorer.ui.models import ModelCache

_ELEMENT_NBYTES = {"auto": 4, "float32": 4, "bfloat16": 2, "float16": 2}
MIN_GROWTH, GROWTH = 16, 0.1  # the pool's; a test holds them equal, importing them loads torch
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class Size:
    """KV bytes of one token, and the prompt's tokens (`is_exact`: known, none of it guessed)."""

    kv_nbytes_per_token: int
    num_prompt: int
    is_exact: bool
    context: int | None = None  # positions the model reaches; None: not known, or no bound


def folder_of(name: str) -> Path | None:
    """Where the model's files lie on this machine, if it is the bundled one or a folder."""
    try:
        folder = BUNDLED.get(name) or Path(name).expanduser()
        return folder if (folder / "config.json").is_file() else None
    except (OSError, RuntimeError):  # a name too long for a path, a home nobody has
        return None


@lru_cache(maxsize=8)
def _read_config(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "config.json").read_text())
    heads = config["num_attention_heads"]
    return {
        "layers": config["num_hidden_layers"],
        "kv_heads": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
        "context": config.get("max_position_embeddings"),
    }


@lru_cache(maxsize=8)
def _tokenizer(folder: Path):  # type: ignore[no-untyped-def]  # tokenizers has no types
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def size_of(config: RunConfig, models: ModelCache) -> Size | None:
    """What is known of the model without loading it; None: nothing yet."""
    loaded = models.peek(config.model, config.device, config.dtype)
    if loaded is not None and loaded.tokenizer is not None:
        num_prompt = len(loaded.tokenizer.encode(config.prompt))
        is_exact = not config.chat_template
        return Size(loaded.info.kv_nbytes_per_token, num_prompt, is_exact, loaded.info.context)
    folder = folder_of(config.model)
    if folder is None:
        return None
    try:
        shape = _read_config(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    per_token = 2 * shape["layers"] * shape["kv_heads"] * shape["head_dim"]
    per_token *= _ELEMENT_NBYTES[config.dtype]
    try:
        num_prompt = len(_tokenizer(folder).encode(config.prompt).ids)
    except Exception:  # all that tokenizers raises; Run says what is wrong with the file
        return Size(per_token, max(1, len(config.prompt) // 4), False, shape["context"])
    is_known = config.dtype != "auto" or config.device == "cpu" or config.model in BUNDLED
    is_exact = is_known and not config.chat_template
    return Size(per_token, num_prompt, is_exact, shape["context"])


def worst_tokens(config: RunConfig, num_prompt: int) -> int:
    """Most KV tokens at one time, if every path lives to the end and shares only the prompt."""
    paths, new = config.branching.max_paths, config.limits.max_new_tokens
    return {
        "cow": num_prompt + paths * new,
        "batched": paths * (num_prompt + new),
        "deepcopy": paths * (num_prompt + new),
        "naive": num_prompt + new,
        "recompute": 0,
    }[config.cache.backend]


def sentence(config: RunConfig, models: ModelCache) -> str:
    """The budget of a run in one or two sentences."""
    size = size_of(config, models)
    if size is None:
        return f"Memory: unknown until {config.model} has been loaded."
    tokens = worst_tokens(config, size.num_prompt)
    about = "" if size.is_exact else "about "
    paths, new = config.branching.max_paths, config.limits.max_new_tokens
    if size.context is not None and size.num_prompt + new > size.context:
        return (
            f"Too long: {about}{plural(size.num_prompt, 'prompt token')} and {new:,} new ones are "
            f"more than the {size.context:,} positions of {config.model}, so Run would refuse; "
            "shorten the prompt or lower max new tokens."
        )
    spare = max(MIN_GROWTH, int(tokens * GROWTH)) if config.cache.backend == "cow" else 0
    allocated = f", allocated with up to {spare:,} to spare" if spare else ""
    text = (
        f"Predicted at worst: {tokens:,} KV tokens × {show_nbytes(size.kv_nbytes_per_token)} = "
        f"{about}{show_nbytes(tokens * size.kv_nbytes_per_token)}{allocated} "
        f"({plural(size.num_prompt, 'prompt token')}, {plural(paths, 'path')}, "
        f"{plural(new, 'token')} each)."
    )
    if config.cache.backend == "recompute":
        text = "Predicted: no KV cache at all; every step computes every path anew."
    return text


def plural(value: int, noun: str) -> str:
    """`value` things: "1 path", "2 paths"."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def show_nbytes(value: float) -> str:
    """Bytes with a binary unit."""
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"
