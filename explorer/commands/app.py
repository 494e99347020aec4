"""`app`: the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def app(
    trace: Annotated[
        Path | None, typer.Argument(metavar="[TRACE]", help="Open this recorded run")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; none: this machine only")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="none: GRADIO_SERVER_PORT, or 7860")
    ] = None,
    public: Annotated[bool, typer.Option(help="Limits for many visitors")] = False,
    share: Annotated[bool, typer.Option(help="A temporary public address (needs network)")] = False,
    root_path: Annotated[
        str | None, typer.Option(help="Path under which a proxy serves the page")
    ] = None,
) -> None:
    """Open the page: what `python app.py` does."""
    from explorer.ui import launch

    launch(None if trace is None else str(trace), host, port, public, share, root_path)
