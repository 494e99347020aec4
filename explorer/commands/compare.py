"""`compare`: one configuration on several backends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from explorer import terminal
from explorer.commands import base
from explorer.commands.base import AsJson, KeepPruned, PromptFile, TraceFile
from explorer.experiments import compare as comparing
from explorer.options import Settings, read_config, with_settings
from explorer.terminal import amount
from explorer.trace import Trace


@with_settings
def compare(
    settings: Settings,
    prompt_file: PromptFile = None,
    trace_file: TraceFile = None,
    as_json: AsJson = False,
    backends: Annotated[
        str, typer.Option(help="Which, in this order; naive always comes last")
    ] = ",".join(comparing.DEFAULT),
    keep_pruned: KeepPruned = False,
) -> None:
    """Run one configuration on several backends: same tree, what time, what memory.

    --backend names the one whose tree the others are held against. --trace records a file a
    backend, its name before the ending.
    """
    config = read_config(settings, prompt_file)
    console = base.console_for(as_json)
    names = comparing.order_of(tuple(backends.split(",")))
    model = base.load(config, console)
    traces: dict[str, Trace] = {}
    with console.status("comparing") as status:
        for traces in comparing.collect(comparing.stream(model, config, names), trace_file):
            name, trace = list(traces.items())[-1]
            status.update(f"{name}: {terminal.progress(trace)}")
    summary = comparing.summarize(traces, config.cache.backend, keep_pruned)
    console.print(comparison(summary))
    if as_json:
        base.print_json(summary)


def comparison(summary: Mapping[str, Any]) -> Table:
    """The table of a comparison, a backend a row."""
    table = Table(title="One configuration, one seed; each run after a warm-up, in this order")
    for name in ("backend", "same tree", "seconds", "naive / it", "computed", "KV peak", "tokens"):
        table.add_column(name, justify="left" if name == "backend" else "right")
    table.caption = "computed: token positions; tokens: unique / logical ones in the KV cache, peak"
    faster = summary["ratios"]["wall_vs_naive"]
    for name, run in summary["runs"].items():
        counters, ratio = run["counters"], faster.get(name)
        table.add_row(
            name,
            "yes" if summary["same_tree"][name] else "no",
            f"{run['seconds']['total']:.2f}",
            "" if ratio is None else f"{ratio:.2f}x",
            f"{counters['forward_token_steps']:,}",
            amount(counters["kv_nbytes_peak"]),
            f"{counters['unique_kv_tokens_peak']:,} / {counters['logical_kv_tokens_peak']:,}",
        )
    return table
