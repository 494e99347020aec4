"""What a run will take at worst, before it runs: predicted, and said to be."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from explorer.config import RunConfig
from explorer.hub import BUNDLED
from explorer.ui.models import ModelCache

_ELEMENT_NBYTES = {"auto": 4, "float32": 4, "bfloat16": 2, "float16": 2}
MIN_GROWTH, GROWTH = 16, 0.1  # the pool's; a test holds them equal, importing them loads torch
HOLLOW, SCALE_NBYTES = 8, 4  # quantised storage's: see cache/quant.py and codes.py
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class Size:
    """KV bytes of one token in the model's number format, over `layers` layers of `kv_heads` heads
    of `head_dim`, and the prompt's tokens (`is_exact`: known, none of it guessed)."""

    kv_nbytes_per_token: int
    layers: int
    kv_heads: int
    head_dim: int
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
        info = loaded.info
        num_prompt = len(loaded.tokenizer.encode(config.prompt))
        if info.cross_nbytes_per_token:
            from explorer.seq2seq import start_tokens

            num_prompt = len(start_tokens(loaded.module))  # the prompt is in the other cache
        is_exact = not config.chat_template
        heads = info.num_layers, info.num_kv_heads, info.head_dim
        return Size(info.kv_nbytes_per_token, *heads, num_prompt, is_exact, info.context)
    folder = folder_of(config.model)
    if folder is None:
        return None
    try:
        shape = _read_config(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    heads = shape["layers"], shape["kv_heads"], shape["head_dim"]
    per_token = 2 * math.prod(heads) * _ELEMENT_NBYTES[config.dtype]
    try:
        num_prompt = len(_tokenizer(folder).encode(config.prompt).ids)
    except Exception:  # all that tokenizers raises; Run says what is wrong with the file
        return Size(per_token, *heads, max(1, len(config.prompt) // 4), False, shape["context"])
    is_known = config.dtype != "auto" or config.device == "cpu" or config.model in BUNDLED
    is_exact = is_known and not config.chat_template
    return Size(per_token, *heads, num_prompt, is_exact, shape["context"])


def path_budget(config: RunConfig, num_prompt: int) -> float | None:
    """Most tokens that a path sees in a layer, the mean of the layers; None: nothing leaves."""
    eviction = config.eviction
    if eviction.policy is None or eviction.strategy == "topk":
        return None
    if eviction.layer_budgets:
        return sum(eviction.layer_budgets) / len(eviction.layer_budgets)
    budget = eviction.budget
    assert budget is not None
    return budget if isinstance(budget, int) else max(round(budget * num_prompt), 1)


def worst_tokens(config: RunConfig, num_prompt: int) -> int:
    """Most KV tokens of a layer at one time, if every path lives to the end and shares only the
    prompt; under a policy no more than its budget for every path."""
    paths, new = config.branching.max_paths, config.limits.max_new_tokens
    shared = num_prompt + paths * new
    budget = path_budget(config, num_prompt)
    return {
        "cow": shared if budget is None else min(shared, math.ceil(paths * budget)),
        "batched": paths * (num_prompt + new),
        "deepcopy": paths * (num_prompt + new),
        "naive": num_prompt + new,
        "recompute": 0,
    }[config.cache.backend]


def worst_nbytes(config: RunConfig, size: Size) -> float:
    """Bytes of `worst_tokens`, in the storage of each layer."""
    tokens, given = worst_tokens(config, size.num_prompt), config.cache.kv_dtype
    formats = (given,) * size.layers if isinstance(given, str) else given
    return sum(_layer_nbytes(config, size, tokens, name) for name in formats)


def _layer_nbytes(config: RunConfig, size: Size, tokens: int, kv_dtype: str) -> float:
    """The last tokens of each path and what is left over of a group are in full precision; of a
    group of codes, which shares the scales of its keys, more than 1 / HOLLOW is in use."""
    whole = size.kv_nbytes_per_token / size.layers
    if kv_dtype == "model":
        return tokens * whole
    paths, group, width = config.branching.max_paths, config.cache.kv_group, size.head_dim
    precisions = {"int8": (8,), "int4": (4,), "adaptive": (8, 4)}[kv_dtype]
    full = paths * config.cache.kv_recent + len(precisions) * (group - 1)
    if kv_dtype == "adaptive":
        sinks = config.eviction.sinks
        full += sinks if sinks <= size.num_prompt else sinks * paths
    value_groups = {8: 1, 4: -(-width // min(group, width))}
    key_scales = width * SCALE_NBYTES / (group // HOLLOW + 1)
    rows = (2 * -(-width * bits // 8) + value_groups[bits] * SCALE_NBYTES for bits in precisions)
    full = min(full, tokens)
    return full * whole + (tokens - full) * size.kv_heads * (max(rows) + key_scales)


def sentence(config: RunConfig, models: ModelCache) -> str:
    """The budget of a run in a few sentences."""
    size = size_of(config, models)
    if size is None:
        return f"Memory: unknown until {config.model} has been loaded."
    about = "" if size.is_exact else "about "
    new = config.limits.max_new_tokens
    if size.context is not None and size.num_prompt + new > size.context:
        return (
            f"Too long: {about}{plural(size.num_prompt, 'prompt token')} and {new:,} new ones are "
            f"more than the {size.context:,} positions of {config.model}, so Run would refuse; "
            "shorten the prompt or lower max new tokens."
        )
    if config.cache.backend == "recompute":
        return "Predicted: no KV cache at all; every step computes every path anew."
    too_small = _too_small(config, size.num_prompt)
    if too_small:
        return f"Run would refuse: {too_small}."
    given = config.cache.kv_dtype
    if not isinstance(given, str) and len(given) != size.layers:
        return f"Memory: kv_dtype names {len(given)} layers, and {config.model} has {size.layers}."
    return _predicted(config, size, about)


def _too_small(config: RunConfig, num_prompt: int) -> str:
    """Why a share of this prompt is no budget; "" where it is one. With a pyramid, where that is
    certain: the smallest layer may be rounded up."""
    eviction = config.eviction
    budget = path_budget(config, num_prompt)
    if budget is None or eviction.layer_budgets:
        return ""
    smallest = int(budget * (1 - eviction.pyramid)) + (eviction.pyramid > 0)
    try:
        eviction.check_room(smallest, "budget")
    except ValueError as error:
        return str(error)
    return ""


def _predicted(config: RunConfig, size: Size, about: str) -> str:
    paths, new = config.branching.max_paths, config.limits.max_new_tokens
    tokens = worst_tokens(config, size.num_prompt)
    budget = path_budget(config, size.num_prompt)
    each = show_nbytes(size.kv_nbytes_per_token)
    given = config.cache.kv_dtype
    formats = {given} if isinstance(given, str) else set(given)
    weight, allocated, bound, more = f" × {each}", "", "", ""
    if formats != {"model"}:
        names = " and ".join(sorted(formats - {"model"}))
        weight = f" of {each}, older ones stored as {names},"
    elif config.cache.backend == "cow" and budget is None:
        spare = max(MIN_GROWTH, int(tokens * GROWTH))
        allocated = f", allocated with up to {spare:,} to spare"
    if budget is not None:
        bound = f"; at most {budget:,.4g} tokens in a layer of a path"
        more = " The tokens of a pass and the policy's counters come on top."
    return (
        f"Predicted at worst: {tokens:,} KV tokens{weight} = "
        f"{about}{show_nbytes(worst_nbytes(config, size))}{allocated} "
        f"({plural(size.num_prompt, 'prompt token')}, {plural(paths, 'path')}, "
        f"{plural(new, 'token')} each{bound}).{more}"
    )


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
