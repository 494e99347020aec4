"""`reuse`: prompts one after another over one prefix cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
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
from explorer.trace import Trace
from explorer.workloads import WORKLOADS, Turn, Workload

if TYPE_CHECKING:
    from explorer.cache.prefix import PrefixCache

PromptFiles = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="A prompt, a UTF-8 text file; once for each, in this order"),
]
WorkloadName = Annotated[
    str | None,
    typer.Option("--workload", metavar="|".join(WORKLOADS), help="Prompts that share beginnings"),
]
RecordFile = Annotated[
    Path | None,
    typer.Option("--record", metavar="FILE", help="The cache's moments, for the page to play"),
]


@with_settings
def reuse(
    settings: Settings,
    prompt_file: PromptFiles = None,
    workload: WorkloadName = None,
    record: RecordFile = None,
    prefix_cache: PrefixFolder = None,
    prefix_block_size: PrefixBlockSize = None,
    prefix_max_nbytes: PrefixMaxNbytes = None,
    prefix_max_blocks: PrefixMaxBlocks = None,
    prefix_order: PrefixOrder = "lru",
    prefix_disk: PrefixDisk = "model",
    as_json: AsJson = False,
) -> None:
    """Run prompts one after another over one prefix cache: hits, misses, seconds saved.

    Without --prefix-cache the cache begins empty and is gone at the end. A workload brings prompts
    and settings of its own (greedy, one path, room for so many blocks), unless options here say
    otherwise. Each of its prompts is also read once without the cache, to measure what that takes.
    """
    from explorer import moments, serving

    for name in ("prompt", "prompt_ids"):
        if settings.get(name) is not None:
            raise InputError(f"{name}: reuse reads its prompts from files; give --prompt-file.")
    config, plan = planned(settings, prompt_file or [], workload)
    console = base.console_for(as_json)
    model = base.load(config, console)
    most = plan.capacity_blocks if prefix_max_blocks is None else prefix_max_blocks
    bounds = prefix_block_size, prefix_max_nbytes, most, prefix_order
    cache = base.open_prefix(model, prefix_cache, *bounds, prefix_disk, config.cache.prefix_use)
    cache.record.start = serving.start(model, workload, plan.title, plan.sentence)
    with console.status("reading"):
        source = "file" if workload is None else "workload"
        traces = serving.played(model, cache, plan, config, source)
    runs = [
        ({"file": turn.title} if workload is None else {}) | {"title": turn.title} | shown(trace)
        for turn, trace in zip(plan.turns, traces, strict=True)
    ]
    document: dict[str, Any] = {
        "workload": workload,
        "model": model.info.name,
        "runs": runs,
        "prefix": totals(cache),
        "saved": None,
    }
    try:
        if record is not None:
            base.write(record, orjson.dumps(moments.document(cache)))
        if prefix_cache is not None:
            is_new = any(run["prefix"] and run["prefix"]["stored_blocks"] for run in runs)
            kept = base.keep_prefix(model, cache, prefix_cache, prefix_disk, is_new)
            document["saved"] = None if kept is None else asdict(kept)
    finally:  # the runs are shown also where they cannot be saved
        console.print(report(document))
        if as_json:
            base.print_json(document)


def planned(
    settings: Settings, files: Sequence[Path], name: str | None
) -> tuple[RunConfig, Workload]:
    """The settings of all runs, and their prompts. Raises InputError."""
    if name is None:
        turns = tuple(Turn(str(file), read_config(settings, file).prompt) for file in files)
        if not turns:
            words = "give at least one, or a --workload; a second may share its beginning."
            raise InputError(f"prompt_file: {words}")
        return read_config(settings), Workload("Prompts from files", "", turns, 0)
    if files:
        raise InputError("workload: it has prompts of its own; leave --prompt-file out.")
    if name not in WORKLOADS:
        raise InputError(f"workload: choose from {', '.join(WORKLOADS)}, not {name!r}.")
    own = {field: str(value) for field, value in WORKLOADS[name].settings().items()}
    return read_config(own | settings), WORKLOADS[name]


def shown(trace: Trace) -> dict[str, Any]:
    """What a run hit, how long it took, and its tree."""
    result, found = metrics.result(trace), metrics.reused(trace)
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
        cells = terminal.plain(run["title"]), f"{run['prompt_tokens']:,}", first, run["words"]
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
