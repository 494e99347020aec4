"""The command line: python -m explorer COMMAND, whose commands are in `explorer/commands`.

What people read goes to stdout, or under --json to stderr, and the last line of stdout is then one
JSON document. Exit status: 0 done, 1 a run failed or was stopped, 2 bad arguments or input.
"""

from __future__ import annotations

import os
import sys
from itertools import zip_longest
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from explorer import __version__
from explorer.commands import COMMANDS
from explorer.config import InputError
from explorer.terminal import plain

DONE, FAILED, BAD_INPUT = 0, 1, 2
INTERRUPTED = 130  # what typer returns after Ctrl-C
UNSAID = {"--ray": "local"}  # options whose value may be left out, and what it is then
TRACEBACK = "FORKSCOPE_TRACEBACK"  # set it to see where a failure comes from

app = typer.Typer(
    name="explorer", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
for name, command in COMMANDS.items():
    app.command(name)(command)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Show the version and exit")] = False,
) -> None:
    """Watch a language model branch, and see where every byte of its KV cache goes."""
    if show:
        print(__version__)
        raise typer.Exit()


def _say(message: object) -> None:
    print(f"error: {plain(' '.join(str(message).split()))}", file=sys.stderr)


def _said_in_full(args: list[str]) -> list[str]:
    """`args` with the values that were left out."""
    whole: list[str] = []
    for arg, following in zip_longest(args, args[1:], fillvalue="-"):
        whole += [arg, UNSAID[arg]] if arg in UNSAID and following.startswith("-") else [arg]
    return whole


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit; every error a person can cause is one line on stderr."""
    args = _said_in_full(sys.argv[1:] if args is None else args)
    try:
        status = app(args, prog_name="python -m explorer", standalone_mode=False)
    except InputError as error:
        _say(error)
        sys.exit(BAD_INPUT)
    except TyperException as error:
        if message := error.format_message():  # empty where help has been shown instead
            _say(message)
        sys.exit(BAD_INPUT)
    except (RuntimeError, OSError, MemoryError) as error:
        if os.environ.get(TRACEBACK):
            raise
        _say(str(error) or type(error).__name__)
        sys.exit(FAILED)
    if status == INTERRUPTED:
        _say("stopped")
        sys.exit(FAILED)
    sys.exit(status or DONE)
