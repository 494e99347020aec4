"""`reuse`: prompts one after another over one prefix cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from explorer import metrics, terminal
from explorer.commands import base
from explorer.commands.base import (
    AsJson,
    PrefixBlockSize,
    PrefixDisk,
    PrefixFolder,
    PrefixMaxBlocks,
    PrefixMaxNbytes,
    PrefixOrder,
)
from explorer.config import InputError, RunConfig
from explorer.options import Settings, read_config, with_settings
from explorer.terminal import amount

if TYPE_CHECKING:
    from explorer.cache.prefix import PrefixCache
    from explorer.models import LoadedModel

PromptFiles = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="A prompt, a UTF-8 text file; once for each, in this order"),
]


@with_settings
def reuse(
    settings: Settings,
    prompt_file: PromptFiles = None,
    prefix_cache: PrefixFolder = None,
    prefix_block_size: PrefixBlockSize = None,
    prefix_max_nbytes: PrefixMaxNbytes = None,
    prefix_max_blocks: PrefixMaxBlocks = None,
    prefix_order: PrefixOrder = "lru",
    prefix_disk: PrefixDisk = "model",
    as_json: AsJson = False,
) -> None:
    """Run prompts one after another over one prefix cache: hits, misses, seconds saved.

    Without --prefix-cache the cache begins empty and is gone at the end.
    """
    for name in ("prompt", "prompt_ids"):
        if settings.get(name) is not None:
            raise InputError(f"{name}: reuse reads its prompts from files; give --prompt-file.")
    configs = {str(file): read_config(settings, file) for file in prompt_file or []}
    if not configs:
        raise InputError("prompt_file: give at least one; a second may share its beginning.")
    console = base.console_for(as_json)
    model = base.load(next(iter(configs.values())), console)
    bounds = prefix_block_size, prefix_max_nbytes, prefix_max_blocks, prefix_order
    use = next(iter(configs.values())).cache.prefix_use
    cache = base.open_prefix(model, prefix_cache, *bounds, prefix_disk, use)
    runs = []
    with console.status("reading") as status:
        for file in prompt_file or []:
            status.update(terminal.plain(str(file)))
            runs.append({"file": str(file)} | measured(model, configs[str(file)], cache))
    document: dict[str, Any] = {
        "model": model.info.name,
        "runs": runs,
        "prefix": totals(cache),
        "saved": None,
    }
    try:
        if prefix_cache is not None:
            is_new = any(run["prefix"] and run["prefix"]["stored_blocks"] for run in runs)
            kept = base.keep_prefix(model, cache, prefix_cache, prefix_disk, is_new)
            document["saved"] = None if kept is None else asdict(kept)
    finally:  # the runs are shown also where they cannot be saved
        console.print(report(document))
        if as_json:
            base.print_json(document)


def measured(model: LoadedModel, config: RunConfig, cache: PrefixCache) -> dict[str, Any]:
    """One run over the cache: what it hit, how long it took, and its tree."""
    from explorer.generate import run

    trace = run(model, config, prefix=cache)
    result = metrics.result(trace)
    found = metrics.reused(trace)
    return {
        "prompt_tokens": len(trace.header.prompt),
        "prefix": result.get("prefix"),
        "words": "prefix_use is off" if found is None else metrics.reused_words(found),
        "seconds": result["seconds"],
        "tree_digest": result["tree_digest"],
    }


def totals(cache: PrefixCache) -> dict[str, Any]:
    """What the cache has done since it was opened, and its bounds."""
    stats = asdict(cache.stats())
    return {
        "hit_tokens": stats["hits"],
        "miss_tokens": stats["queries"] - stats["hits"],
        **stats,
        "block_size": cache.block_size,
        "order": cache.order,
        "capacity_nbytes": cache.capacity_nbytes,
        "capacity_blocks": cache.capacity_blocks,
    }


def report(document: Mapping[str, Any]) -> Group:
    """A line for every prompt, and what the cache holds after them."""
    table = Table(title=f"One prefix cache, {len(document['runs'])} prompts in this order")
    for name in ("prompt", "tokens", "first token after", "reuse"):
        table.add_column(name, justify="left" if name in ("prompt", "reuse") else "right")
    for run in document["runs"]:
        first = f"{run['seconds']['first_token']:.3f} s"
        cells = terminal.plain(run["file"]), f"{run['prompt_tokens']:,}", first, run["words"]
        table.add_row(*map(Text, cells))
    cache = document["prefix"]
    lines = [
        f"{cache['hit_tokens']:,} of {cache['queries']:,} prompt tokens reused "
        f"({cache['hit_rate']:.0%}), {cache['seconds_saved']:.2f} s saved",
        f"{cache['blocks']:,} blocks of {cache['block_size']} tokens hold "
        f"{amount(cache['nbytes'])}; {cache['evicted_blocks']:,} evicted",
    ]
    if (saved := document["saved"]) is not None:
        off = saved["max_abs_error"]
        rounded = "" if off is None else f", in 8 bits, off by at most {off:.3g}"
        lines.append(f"saved {amount(saved['nbytes'])} in {saved['seconds']:.2f} s{rounded}")
    return Group(table, *map(Text, lines))
