"""`sweep`: many runs over axes, a row each; killed and resumed it gives the same table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from explorer.experiments.runner import Plan

FORMATS = {
    "delta_nll": "{:+.4f}",
    "kl": "{:.4f}",
    "flip_rate": "{:.1%}",
    "recall": "{:.0%}",
}
MOST_COLUMNS = 4
PAGES = {"sketch_grid": "sweep", "cached": "cached"}  # figures of their own: explorer/views
Name = Annotated[
    str, typer.Argument(metavar="NAME|FILE.json", help=f"{', '.join(SWEEPS)}, or a file of axes")
]
Axis = Annotated[
    list[str] | None, typer.Option(metavar="SETTING=V,V,...", help="Values to run through")
]


@with_settings
def sweep(
    settings: Settings,
    name: Name,
    axis: Axis = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Rows, table, document; build/sweeps/NAME")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="First rows only")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, as far as memory allows")] = 1,
    ray: Annotated[
        str | None,
        typer.Option(metavar="[ADDRESS]", help="On a Ray cluster; without ADDRESS a local one"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the rows in --out")] = False,
    repeats: Annotated[int | None, typer.Option(min=1, help="Seeds a row is measured on")] = None,
    naive: Annotated[
        bool | None, typer.Option(help="Draw independent samples beside, for speed-ups")
    ] = None,
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
    others go on. FILE.json has {"sweep", "config", "axes", "options"}, axes being settings with
    lists of values.
    """
    from explorer.experiments import runner

    given = {"repeats": repeats, "naive": naive, "passages": passages}
    given |= {"passage_tokens": passage_tokens, "probes": probes}
    own = {option: int(value) for option, value in given.items() if value is not None}
    where = out or Path("build", "sweeps", Path(name).stem)
    plan = replace(
        plan_of(name, axis or (), settings, own, where),
        limit=limit,
        jobs=jobs,
        resume=resume,
        ray=ray,
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
        figures = import_module(f"explorer.views.{PAGES.get(document['name'], 'curves')}")
        base.write(plots, figures.page(document).encode())
    if as_json:
        base.print_json(document)


def plan_of(
    name: str, axis: Sequence[str], settings: Settings, own: Mapping[str, int], out: Path
) -> Plan:
    """The sweep of that name, or of the file, under what was said besides: `axis` of `SETTING=V,V`,
    `settings` of every row, `own` options of the sweep. Raises InputError."""
    from explorer.experiments import recipe, runner
    from explorer.experiments.axes import read_axes
    from explorer.experiments.workers import find

    said = recipe.read_recipe(Path(name)) if name.endswith(".json") else recipe.Recipe(name)
    if said.sweep not in SWEEPS:
        raise InputError(f"There is no sweep {said.sweep!r}; choose from {', '.join(SWEEPS)}.")
    found = find(SWEEPS[said.sweep])
    axes = {**(said.axes or found.axes), **read_axes(axis)}
    for field in settings:
        if field in (*found.fields, *axes):
            remedy = f"give --axis {field}=... instead" if field in axes else "leave it out"
            raise InputError(f"{field}: {said.sweep} sets it row by row; {remedy}.")
    config = read_config({**said.config, **settings})
    options = recipe.options_of(found, {**said.options, **own})
    return runner.Plan(SWEEPS[said.sweep], config, options, out, axes=axes)


def report(document: Mapping[str, Any]) -> Group:
    """The table, what failed, and the answers."""
    rows, measures = document["rows"], document["measures"]
    table = Table(title=f"{document['name']}: {len(rows)} rows")
    table.caption = f"all columns: {document['csv']}"
    known = [name for name in measures if any(row.get(name) is not None for row in rows)]
    shown = known if document["name"] == "sketch_grid" else known[:MOST_COLUMNS]
    table.add_column("row", min_width=24)
    for column in shown:
        table.add_column(column, justify="right")
    for row in rows:
        mark = " (degenerate)" if row.get("is_degenerate") else ""
        cells = (_cell(column, row, measures[column]["unit"]) for column in shown)
        table.add_row(Text(row["name"] + mark), *cells)
    failed = [Text(f"{row['name']}: {terminal.plain(row['error'])}") for row in document["failed"]]
    return Group(table, *failed, *map(Text, answers(document["summary"])))


def answers(summary: Mapping[str, Any]) -> Iterator[str]:
    """The sentences of a summary."""
    for name, part in summary.items():
        if isinstance(part, Mapping) and part.get("answer"):
            yield f"{name}: {part['answer']}"


def _cell(column: str, row: Mapping[str, Any], unit: str) -> str:
    value = row.get(column)
    if value is None:
        return ""
    if unit == "B":
        return amount(value)
    return FORMATS.get(column, "{:.4g}").format(value)
