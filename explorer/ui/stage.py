"""The stage's gr.HTML host, and the pace at which a run's steps are sent to it."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from explorer import shapes
from explorer.config import InputError, iter_fields
from explorer.events import Header, Step
from explorer.hub import BUNDLED
from explorer.trace import Trace
from explorer.ui.limits import Limits
from explorer.ui.runs import LiveRun, RunStore

ASSETS = Path(__file__).parents[2] / "assets"
INTERVAL = 0.08  # seconds between two batches
HEARD = 1.0  # ... where somebody listens (see steps.py)
COMING = 0.5  # ... after the first, where somebody is about to
TRIED = ("temperature", "top_k", "top_p", "entropy_threshold")  # settings that a stage tries out
HELP = {name: field.description for _, name, field in iter_fields() if name in TRIED}

Part = TypeVar("Part")


def script(body: str, module: str = "page") -> str:
    """`js_on_load` that runs `body` with `module` of assets/stage loaded under its own name."""
    url = json.dumps(f"/gradio_api/file={(ASSETS / 'stage' / f'{module}.js').as_posix()}")
    return f"import((window.gradio_config.root ?? '') + {url}).then(({module}) => {{ {body} }});"


def host(name: str, store: RunStore, options: dict[str, Any] | None = None) -> gr.HTML:
    """A place where the stage `name` is mounted; give it batches as its value."""
    own = {"shapes": shapes.listed(), "bundled": list(BUNDLED), "help": HELP}
    options = own | (options or {})
    attach = f"page.attachStage({json.dumps(name)}, {{element, props, watch, server, trigger}}, "
    return place(name, store, script(f"{attach}{json.dumps(options)});"))


def place(name: str, store: RunStore, js_on_load: str) -> gr.HTML:
    """An empty host that `js_on_load` fills, and that can ask for steps of `store`'s runs and say
    that it does not want one any more."""

    def events_since(request: Any) -> str:
        return missing(store, request)

    def leave(token: Any) -> None:
        store.leave(token)

    return gr.HTML(
        value="",
        html_template="<div class='fs-host'></div>",
        js_on_load=js_on_load,
        server_functions=[events_since, leave],
        apply_default_css=False,
        elem_id=f"fs-stage-{name}",
    )


def missing(store: RunStore, request: Any) -> str:
    """What a page asks for that missed something: `{run, seq}`; nothing where that is no such."""
    asked = request if isinstance(request, dict) else {}
    seq = asked.get("seq", 0)
    return store.events_since(str(asked.get("run")), seq if isinstance(seq, int) else 0)


def batches(
    run: LiveRun, steps: Iterator[Step], first: Sequence[Step] = ()
) -> Generator[str, None, int]:
    """Drain `steps` into `run`, after the `first` ones together; a batch without steps at once,
    then, not before COMING, one every INTERVAL, or HEARD, of what nobody has heard yet.

    The last batch is left to the caller, who knows how the run ended: it starts at the returned
    step. Where the run breaks off it is over for who listens.
    """
    try:
        yield run.batch(0)
        run.append(*first)
        sent, due = 0, time.monotonic() + COMING
        for step in steps:
            run.append(step)
            if time.monotonic() >= due:
                batch, sent = run.batch(max(sent, run.told)), len(run.steps)
                due = time.monotonic() + (HEARD if run.listeners else INTERVAL)
                yield batch
    except BaseException:  # the page has left it too
        run.close()
        raise
    return max(sent, run.told)


def recorded(steps: Iterable[Step], trace: Trace) -> Iterator[Step]:
    """`steps` as they come, each appended to `trace` first."""
    for step in steps:
        trace.append(step)
        yield step


def within(parts: Iterator[Part], limits: Limits | None) -> Iterator[Part]:
    """`parts` until a public page's time for one run is over; then InputError says so."""
    began = time.monotonic()
    for part in parts:
        yield part
        if limits is not None and time.monotonic() - began > limits.seconds:
            raise InputError(
                f"This public page stops a run after {limits.seconds:g} seconds; what came stays "
                "here. Start Forkscope on your own machine for longer ones."
            )


def title_of(header: Header) -> str:
    """The prompt, as a title of at most 90 characters."""
    text = " ".join("".join(token.text for token in header.source or header.prompt).split())
    return text if len(text) <= 90 else text[:89] + "…"
