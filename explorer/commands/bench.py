"""`bench`: the ratios of the README's table, measured on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from explorer import terminal
from explorer.commands import base
from explorer.commands.base import AsJson


def bench(
    quick: Annotated[bool, typer.Option(help="Small cases, once: is it sound? No figures")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the JSON here")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "cpu",
    dtype: Annotated[str, typer.Option(help="Of weights and cache")] = "float32",
    as_json: AsJson = False,
) -> None:
    """Measure the ratios of the README's table on this machine."""
    from explorer.experiments import FULL, QUICK, benchmark

    console = base.console_for(as_json)
    base.quiet()
    with terminal.bar(Console(stderr=True)) as bar:
        document = benchmark(
            QUICK if quick else FULL,
            device,
            dtype,
            lambda done, total, name: terminal.advance(bar, name, done, total),
        )
    if out is not None:
        base.write(out, orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    console.print(measurements(document))
    if as_json:
        base.print_json(document)


def measurements(document: Mapping[str, Any]) -> Group:
    """A benchmark, a case a row; below it what could not be measured."""
    table = Table(title="medians; a ratio is the case's figure over that of what follows the /")
    for name in ("case", "seconds", "ratio", "spread", "goal", "met"):
        table.add_column(name, justify="left" if name == "case" else "right")
    for case in document["cases"]:
        against, spread = case["ratio_to"], case["spread"]
        table.add_row(
            case["name"] + (f" / {against}" if against else ""),
            "" if case["seconds"] is None else f"{case['seconds']:.3f}",
            "" if case["ratio"] is None else f"{case['ratio']:.2f}",
            "" if spread is None else f"{spread[0]:.2f}-{spread[1]:.2f}",
            case["goal"] or "",
            {True: "yes", False: "no", None: ""}[case["met"]],
        )
    missing = [
        Text(f"{name}: not measured, {why}") for name, why in document["not_measured"].items()
    ]
    machine = document["machine"]
    where = f"{machine.get('gpu') or machine['processor']}, {machine['torch_threads']} threads"
    return Group(table, *missing, Text(f"{where}, torch {machine['versions']['torch']}"))
