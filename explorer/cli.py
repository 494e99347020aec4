"""The command line: python -m explorer run | compare | bench | export | train | models | app.

What people read goes to stdout, or under --json to stderr, and the last line of stdout is then one
JSON document. Exit status: 0 done, 1 a run failed or was stopped, 2 bad arguments or input.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from typer.exceptions import TyperException

from explorer import __version__, metrics, shapes, terminal
from explorer.config import InputError, RunConfig
from explorer.experiments import compare as comparing
from explorer.export import EXPORTS, export
from explorer.options import Settings, read_config, with_settings
from explorer.trace import Trace

if TYPE_CHECKING:
    from explorer.models import LoadedModel

DONE, FAILED, BAD_INPUT = 0, 1, 2
INTERRUPTED = 130  # what typer returns after Ctrl-C
TRACEBACK = "FORKSCOPE_TRACEBACK"  # set it to see where a failure comes from

app = typer.Typer(
    name="explorer", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)

AsJson = Annotated[bool, typer.Option("--json", help="Last line of stdout: one JSON document")]
PromptFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Read the prompt from a UTF-8 text file")
]
TraceFile = Annotated[
    Path | None, typer.Option("--trace", metavar="FILE", help="Record every step as JSON lines")
]
KeepPruned = Annotated[bool, typer.Option(help="List pruned paths as well")]
Project = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|LAYERSxKVHEADSxHEADDIM",
        help="Predict the bytes of this tree in another model, as llama-3.1-8b or 32x8x128",
    ),
]


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Show the version and exit")] = False,
) -> None:
    """Watch a language model branch, and see where every byte of its KV cache goes."""
    if show:
        print(__version__)
        raise typer.Exit()


@app.command("run")
@with_settings
def run_command(
    settings: Settings,
    prompt_file: PromptFile = None,
    trace_file: TraceFile = None,
    as_json: AsJson = False,
    keep_pruned: KeepPruned = False,
    project: Project = None,
) -> None:
    """Run a prompt and show the tree of its continuations."""
    from explorer.generate import generate, prepare

    config = read_config(settings, prompt_file)
    shape = None if project is None else shapes.read_shape(project)
    console = _console(as_json)
    model = _load(config, console)
    with Trace(prepare(model, config), trace_file) as trace:
        with _kept(trace, console, keep_pruned), terminal.growing(trace, console):
            for step in generate(model, config):
                trace.append(step)
    terminal.print_run(trace, console, keep_pruned)
    result = metrics.result(trace, keep_pruned)
    if shape is not None:
        result["projected"] = shapes.project(trace, shape)
        terminal.print_projection(result["projected"], console)
    if as_json:
        _print_json(result)


@contextmanager
def _kept(trace: Trace, console: Console, keep_pruned: bool) -> Iterator[None]:
    """On Ctrl-C show what there is before the run ends as stopped."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.print_run(trace, console, keep_pruned)
        raise


@app.command("compare")
@with_settings
def compare_command(
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
    console = _console(as_json)
    names = comparing.order_of(tuple(backends.split(",")))
    model = _load(config, console)
    traces: dict[str, Trace] = {}
    with console.status("comparing") as status:
        for traces in comparing.collect(comparing.stream(model, config, names), trace_file):
            name, trace = list(traces.items())[-1]
            status.update(f"{name}: {terminal.progress(trace)}")
    summary = comparing.summarize(traces, config.cache.backend, keep_pruned)
    console.print(terminal.comparison(summary))
    if as_json:
        _print_json(summary)


@app.command("bench")
def bench_command(
    quick: Annotated[bool, typer.Option(help="Small cases, once: is it sound? No figures")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the JSON here")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps")] = "cpu",
    dtype: Annotated[str, typer.Option(help="Of weights and cache")] = "float32",
    as_json: AsJson = False,
) -> None:
    """Measure the ratios of the README's table on this machine."""
    from explorer.experiments import FULL, QUICK, benchmark

    console = _console(as_json)
    _quiet()
    with terminal.bar(Console(stderr=True)) as bar:
        document = benchmark(
            QUICK if quick else FULL,
            device,
            dtype,
            lambda done, total, name: terminal.advance(bar, name, done, total),
        )
    if out is not None:
        _write(out, orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    console.print(terminal.measurements(document))
    if as_json:
        _print_json(document)


@app.command("export")
def export_command(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="A recorded run")],
    to: Annotated[str, typer.Option(metavar="|".join(EXPORTS), help="Format")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to")],
    as_json: AsJson = False,
) -> None:
    """Write a recorded run in another format."""
    nbytes = export(Trace.load(trace), to, out)
    _console(as_json).print(f"{out}: {nbytes:,} B of {to}", highlight=False, markup=False)
    if as_json:
        _print_json({"out": str(out), "to": to, "nbytes": nbytes})


@app.command("train")
def train_command(
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write; none: the bundled model's")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of corpus and weights")] = 0,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after this long; none: the whole schedule")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the bundled model anew, from its generated corpus."""
    if minutes is not None and not minutes > 0:
        raise InputError(f"minutes: give a number above 0, not {minutes:g}.")
    from explorer.hub import BUNDLED
    from explorer.tiny.train import train

    folder = out or BUNDLED["tiny"]
    console = _console(as_json)
    _quiet()
    with terminal.bar(Console(stderr=True)) as bar:
        figures = train(folder, seed, minutes, lambda now: terminal.training(bar, now))
    console.print(f"{folder}: its README.md has the figures", highlight=False, markup=False)
    if as_json:
        _print_json({"out": str(folder), "seed": seed, "figures": figures})


@app.command("models")
def models_command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Folders or Hub ids as well")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what can be loaded here, and which backends run it.

    The bundled model, those named, and those in the Hub's cache; each is loaded and probed.
    """
    from explorer import catalogue

    console = _console(as_json)
    _quiet()
    found = []
    with console.status("loading") as status:
        for name in catalogue.known(names or []):
            status.update(escape(f"loading {terminal.plain(name)}"))
            found.append(catalogue.describe(name, is_asked_for=name in (names or [])))
    console.print(terminal.model_list(found))
    if as_json:
        _print_json({"models": found})


@app.command("app")
def app_command(
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


def _load(config: RunConfig, console: Console) -> LoadedModel:
    from explorer.models import load_model

    _quiet()
    with console.status(escape(f"loading {terminal.plain(config.model)}")):
        return load_model(config.model, config.device, config.dtype)


def _quiet() -> None:
    """Keep transformers' notes and bars off the terminal: what matters is said in our own line."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _console(as_json: bool) -> Console:
    return Console(stderr=as_json)


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(document).decode() + "\n")
    sys.stdout.flush()


def _write(out: Path, data: bytes) -> None:
    try:
        out.write_bytes(data)
    except OSError as error:
        raise InputError(f"Cannot write {out}: {error.strerror}.") from error


def _say(message: object) -> None:
    print(f"error: {terminal.plain(' '.join(str(message).split()))}", file=sys.stderr)


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit; every error a person can cause is one line on stderr."""
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
