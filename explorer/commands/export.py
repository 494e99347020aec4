"""`export`: a recorded run in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from explorer.commands import base
from explorer.commands.base import AsJson
from explorer.export import EXPORTS
from explorer.export import export as write_as
from explorer.trace import Trace


def export(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="A recorded run")],
    to: Annotated[str, typer.Option(metavar="|".join(EXPORTS), help="Format")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to")],
    as_json: AsJson = False,
) -> None:
    """Write a recorded run in another format."""
    nbytes = write_as(Trace.load(trace), to, out)
    base.console_for(as_json).print(f"{out}: {nbytes:,} B of {to}", highlight=False, markup=False)
    if as_json:
        base.print_json({"out": str(out), "to": to, "nbytes": nbytes})
