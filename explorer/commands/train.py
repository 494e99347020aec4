"""`train`: the bundled model anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from explorer import terminal
from explorer.commands import base
from explorer.commands.base import AsJson
from explorer.config import InputError


def train(
    model: Annotated[str, typer.Option(metavar="NAME", help="tiny or tiny-seq2seq")] = "tiny",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write; none: the bundled model's")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of corpus and weights")] = 0,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after this long; none: the whole schedule")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a bundled model anew, from its generated corpus."""
    if minutes is not None and not minutes > 0:
        raise InputError(f"minutes: give a number above 0, not {minutes:g}.")
    from explorer.hub import BUNDLED
    from explorer.tiny import seq2seq
    from explorer.tiny import train as causal

    trainers = {"tiny": causal.train, "tiny-seq2seq": seq2seq.train}
    if model not in trainers:
        raise InputError(f"model: give {' or '.join(trainers)}, not {model[:60]!r}.")
    folder = out or BUNDLED[model]
    console = base.console_for(as_json)
    base.quiet()
    with terminal.bar(Console(stderr=True)) as bar:
        figures = trainers[model](folder, seed, minutes, lambda now: progress(bar, now))
    console.print(f"{folder}: its README.md has the figures", highlight=False, markup=False)
    if as_json:
        base.print_json({"model": model, "out": str(folder), "seed": seed, "figures": figures})


def progress(shown: Progress, now: Mapping[str, Any]) -> None:
    """Show what the trainer reports: its phase, and while it trains its loss and speed."""
    more = ""
    if "loss" in now:
        more = f": loss {now['loss']:.3f}, {now['tokens_per_second']:,.0f} tokens/s"
    terminal.advance(shown, now["phase"], now.get("step", 0), now.get("total_steps"), more)
