"""`sweep`: many runs over axes, a row each; killed and resumed it gives the same table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from explorer import terminal
from explorer.commands import base
from explorer.commands.base import AsJson
from explorer.config import InputError
from explorer.experiments import SWEEPS
from explorer.options import Settings, read_config, with_settings
from explorer.terminal import amount

COLUMNS = {
    "delta_nll": "{:+.4f}",
    "kl": "{:.4f}",
    "flip_rate": "{:.1%}",
    "recall": "{:.0%}",
}
BYTES = ("total_nbytes",)


@with_settings
def sweep(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="NAME", help=", ".join(SWEEPS))],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Rows, table, document; build/sweeps/NAME")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="First rows only")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, as far as memory allows")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the rows in --out")] = False,
    passages: Annotated[int | None, typer.Option(min=1, help="Texts a row is measured on")] = None,
    passage_tokens: Annotated[int | None, typer.Option(min=64, help="Of each text")] = None,
    probes: Annotated[int | None, typer.Option(min=0, help="Facts asked for besides")] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Figures of the table as one HTML page")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a sweep: every point a row, written when it is done.

    A sweep that was stopped or killed goes on with --resume; a row that fails is recorded, and the
    others go on.
    """
    from explorer.experiments import runner

    if name not in SWEEPS:
        raise InputError(f"There is no sweep {name!r}; choose from {', '.join(SWEEPS)}.")
    found = runner.find(SWEEPS[name])
    for field in settings:
        if field in found.fields:
            raise InputError(f"{field}: {name} sets it row by row; leave it out.")
    given = {"passages": passages, "passage_tokens": passage_tokens, "probes": probes}
    plan = runner.Plan(
        SWEEPS[name],
        read_config(settings),
        _options(name, found.options, given),
        out or Path("build", "sweeps", name),
        limit,
        jobs,
        resume,
    )
    console = base.console_for(as_json)
    base.quiet()
    with terminal.bar(Console(stderr=True)) as bar:
        document = runner.run_sweep(
            plan,
            lambda done, total, row: terminal.advance(bar, row, done, total),
            lambda line: bar.console.print(escape(line), highlight=False),
        )
    console.print(report(document))
    if plots is not None:
        from explorer.views import sweep as figures

        base.write(plots, figures.page(document).encode())
    if as_json:
        base.print_json(document)


def _options(
    name: str, defaults: Mapping[str, int], given: Mapping[str, int | None]
) -> dict[str, int]:
    """The sweep's own settings, with those that were given. Raises InputError for foreign ones."""
    options = dict(defaults)
    for option, value in given.items():
        if value is None:
            continue
        if option not in options:
            raise InputError(f"{option}: the sweep {name} has no such setting; leave it out.")
        options[option] = value
    return options


def report(document: Mapping[str, Any]) -> Group:
    """The table, what failed, and the answers."""
    table = Table(title=f"{document['name']}: {len(document['rows'])} rows")
    table.caption = f"all columns: {document['csv']}"
    shown = [column for column in (*COLUMNS, *BYTES) if any(column in r for r in document["rows"])]
    table.add_column("row", min_width=24)
    for column in shown:
        table.add_column(column, justify="right")
    for row in document["rows"]:
        mark = " (degenerate)" if row.get("is_degenerate") else ""
        table.add_row(Text(row["name"] + mark), *(_cell(column, row) for column in shown))
    failed = [Text(f"{row['name']}: {terminal.plain(row['error'])}") for row in document["failed"]]
    return Group(table, *failed, *map(Text, answers(document["summary"])))


def answers(summary: Mapping[str, Any]) -> Iterator[str]:
    """The sentences of a summary."""
    for name, part in summary.items():
        if isinstance(part, Mapping) and part.get("answer"):
            yield f"{name}: {part['answer']}"


def _cell(column: str, row: Mapping[str, Any]) -> str:
    value = row.get(column)
    if value is None:
        return ""
    return amount(value) if column in BYTES else COLUMNS[column].format(value)
