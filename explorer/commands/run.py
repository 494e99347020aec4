"""`run`: a prompt, its tree while it grows, and its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console

from explorer import metrics, shapes, terminal
from explorer.commands import base
from explorer.commands.base import (
    AsJson,
    KeepPruned,
    PrefixBlockSize,
    PrefixDisk,
    PrefixFolder,
    PrefixMaxBlocks,
    PrefixMaxNbytes,
    PrefixOrder,
    PromptFile,
    TraceFile,
)
from explorer.options import Settings, read_config, with_settings
from explorer.trace import Trace

Project = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|LAYERSxKVHEADSxHEADDIM",
        help="Predict the bytes of this tree in another model, as llama-3.1-8b or 32x8x128",
    ),
]


@with_settings
def run(
    settings: Settings,
    prompt_file: PromptFile = None,
    trace_file: TraceFile = None,
    as_json: AsJson = False,
    keep_pruned: KeepPruned = False,
    project: Project = None,
    prefix_cache: PrefixFolder = None,
    prefix_block_size: PrefixBlockSize = None,
    prefix_max_nbytes: PrefixMaxNbytes = None,
    prefix_max_blocks: PrefixMaxBlocks = None,
    prefix_order: PrefixOrder = "lru",
    prefix_disk: PrefixDisk = "model",
) -> None:
    """Run a prompt and show the tree of its continuations.

    With --prefix-cache the beginning of the prompt is taken from a folder as far as it is there.
    """
    from explorer.generate import generate, prepare

    config = read_config(settings, prompt_file)
    shape = None if project is None else shapes.read_shape(project)
    console = base.console_for(as_json)
    model = base.load(config, console)
    prefix = None
    if prefix_cache is not None:
        bounds = prefix_block_size, prefix_max_nbytes, prefix_max_blocks, prefix_order
        use = config.cache.prefix_use
        prefix = base.open_prefix(model, prefix_cache, *bounds, prefix_disk, use)
    with Trace(prepare(model, config), trace_file) as trace:
        with _kept(trace, console, keep_pruned), terminal.growing(trace, console):
            for step in generate(model, config, prefix):
                trace.append(step)
    terminal.print_run(trace, console, keep_pruned)
    result = metrics.result(trace, keep_pruned)
    if shape is not None:
        result["projected"] = shapes.project(trace, shape)
        print_projection(result["projected"], console)
    if as_json:
        base.print_json(result)
    if prefix is not None and prefix_cache is not None:
        found = metrics.reused(trace)
        is_new = found is not None and found.stored_blocks > 0
        base.keep_prefix(model, prefix, prefix_cache, prefix_disk, is_new)


@contextmanager
def _kept(trace: Trace, console: Console, keep_pruned: bool) -> Iterator[None]:
    """On Ctrl-C show what there is before the run ends as stopped."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.print_run(trace, console, keep_pruned)
        raise


def print_projection(projected: Mapping[str, Any], console: Console) -> None:
    """What the tree would take in another model, by `shapes.project`."""
    shape = projected["shape"]
    console.print(
        f"predicted for {shape['title']} ({shape['dtype']}, "
        f"{terminal.amount(projected['nbytes_per_token'])} a token): "
        f"{terminal.amount(projected['sharing_nbytes_peak'])} at its peak where paths share, "
        f"{terminal.amount(projected['copies_nbytes_peak'])} with a cache a path "
        f"({projected['saving']:.0%} less)",
        highlight=False,
    )
