"""What several commands ask and do alike: shared options, where people's output goes, the JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from explorer import terminal
from explorer.config import InputError, RunConfig

if TYPE_CHECKING:
    from explorer.models import LoadedModel

AsJson = Annotated[bool, typer.Option("--json", help="Last line of stdout: one JSON document")]
PromptFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Read the prompt from a UTF-8 text file")
]
TraceFile = Annotated[
    Path | None, typer.Option("--trace", metavar="FILE", help="Record every step as JSON lines")
]
KeepPruned = Annotated[bool, typer.Option(help="List pruned paths as well")]


def console_for(as_json: bool) -> Console:
    """Where people read: stdout, or stderr once stdout's last line is JSON."""
    return Console(stderr=as_json)


def print_json(document: dict[str, Any]) -> None:
    """One line on stdout."""
    sys.stdout.write(orjson.dumps(document).decode() + "\n")
    sys.stdout.flush()


def load(config: RunConfig, console: Console) -> LoadedModel:
    """The model of `config`, with a line while it loads. Raises InputError."""
    from explorer.models import load_model

    quiet()
    with console.status(escape(f"loading {terminal.plain(config.model)}")):
        return load_model(config.model, config.device, config.dtype)


def quiet() -> None:
    """Keep transformers' notes and bars off the terminal: what matters is said in our own line."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def write(out: Path, data: bytes) -> None:
    """Write a file. Raises InputError where that cannot be."""
    try:
        out.write_bytes(data)
    except OSError as error:
        raise InputError(f"Cannot write {out}: {error.strerror}.") from error
