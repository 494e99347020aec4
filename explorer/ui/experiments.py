"""The Experiments tab: a sweep over settings, its table and its plot while they grow."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr

from explorer.config import InputError
from explorer.experiments import ABOUT, SWEEPS
from explorer.experiments.base import Pace, Point
from explorer.experiments.runner import OpenSweep
from explorer.experiments.workers import Stopped, find
from explorer.ui import estimate, stage, sweeps
from explorer.ui.runs import Left, encode, guarded, token_of, told
from explorer.ui.shared import COMPUTING, QUIET, Shared, asking, stopping
from explorer.ui.sweeps import Kept, SweepStore

if TYPE_CHECKING:
    from explorer.models import LoadedModel

NAME = "experiments"
TAB = "Experiments"
LOG = logging.getLogger("forkscope")
FIRST = "temperature"
# less than the command line's
OPTIONS = {"repeats": 3, "passages": 1, "passage_tokens": 128, "most_paths": 64}


class Bar(NamedTuple):
    """What stands above the board."""

    name: gr.Dropdown
    axes: gr.Textbox
    options: gr.Textbox
    guess: gr.Button
    start: gr.Button
    stop: gr.Button


def bar() -> Bar:
    """Which sweep, its axes and options; Estimate, Run and Stop."""
    with gr.Row(elem_id="fs-sweep-bar", equal_height=False):
        name = gr.Dropdown(
            [(name.replace("_", " ").capitalize(), name) for name in SWEEPS],
            value=FIRST,
            label="Sweep",
            info="Everything else is the sidebar's: prompt, model, settings",
            elem_id="fs-sweep-name",
        )
        axes = gr.Textbox(
            sweeps.axes_text(find(SWEEPS[FIRST]).axes),
            label="Axes",
            info="A setting a line, its values separated by commas; all combinations are run",
            lines=2,
            max_lines=6,
            elem_id="fs-sweep-axes",
        )
        options = gr.Textbox(
            options_text(FIRST),
            label="Options",
            info="Seeds a row; naive=1 draws independent samples beside",
            max_lines=1,
            elem_id="fs-sweep-options",
        )
    with gr.Row(elem_id="fs-sweep-go"):
        guess = gr.Button("Estimate", elem_id="fs-experiments-estimate", min_width=96)
        start = gr.Button("Run sweep", variant="primary", elem_id="fs-experiments-run")
        stop = gr.Button("Stop", elem_id="fs-experiments-stop", min_width=72)
    return Bar(name, axes, options, guess, start, stop)


def build(shared: Shared) -> None:
    """The bar, the board, and what leads to a sweep."""
    store, paces = SweepStore(), dict[tuple[str, str, str], Pace]()
    name, axes, options, guess, start, stop = bar()
    host = board_host(shared, store)
    inputs = [*shared.form.components, name, axes, options, gr.Textbox(visible=False)]

    def read(values: tuple[Any, ...]) -> Kept:
        *form, chosen, axes_text, words, _ = values
        config = shared.config(form)
        plan = sweeps.read(chosen, config, axes_text or "", words or "")
        return store.add(*plan, shared.limits)

    def run(*values: Any) -> Iterator[str]:
        yield from stream(shared, paces, lambda: read(values), token_of(values[-1]))

    def predict(*values: Any) -> Iterator[str]:
        yield from stream(shared, paces, lambda: read(values), token_of(values[-1]), False)

    def go_on(event: gr.EventData) -> Iterator[str]:
        data = event._data if isinstance(event._data, dict) else {}
        token = token_of(data.get("token"))
        yield from stream(shared, paces, lambda: store.find(data.get("sweep")), token)

    asked = asking(NAME)
    start.click(run, inputs, host, js=asked, **COMPUTING)
    guess.click(predict, inputs, host, js=asked, **COMPUTING)
    host.select(go_on, None, host, **COMPUTING)
    name.change(
        lambda chosen: (sweeps.axes_text(find(SWEEPS[chosen]).axes), options_text(chosen)),
        name,
        [axes, options],
        **QUIET,
    )
    stopping(stop, NAME)
    for sweep, button in shared.sweeps.items():
        to_sweep = partial(lambda chosen: (gr.Tabs(selected=TAB), chosen), sweep)
        button.click(to_sweep, None, [shared.tabs, name], **QUIET)


def options_text(name: str) -> str:
    """A sweep's own settings as the tab's input holds them."""
    own = find(SWEEPS[name]).options
    return ", ".join(f"{option}={OPTIONS.get(option, value)}" for option, value in own.items())


def board_host(shared: Shared, store: SweepStore) -> gr.HTML:
    """The place where the board is mounted; give it the messages of `stream` as its value."""

    def leave(token: Any) -> None:
        shared.store.leave(token)

    def open_row(request: Any) -> str:
        return answer(store, request, lambda kept, key: kept.config_of(key).model_dump(mode="json"))

    def export(request: Any) -> str:
        return answer(store, request, lambda kept, kind: kept.export(kind))

    known = encode({"sweeps": [{"name": name, "about": ABOUT[name]} for name in SWEEPS]})
    attach = f"experiments.attach({{element, props, watch, server, trigger}}, ({known}).sweeps);"
    return gr.HTML(
        value="",
        html_template="<div class='fs-host'></div>",
        js_on_load=stage.script(attach, NAME),
        server_functions=[leave, open_row, export],
        apply_default_css=False,
        elem_id=f"fs-stage-{NAME}",
    )


def answer(store: SweepStore, request: Any, ask: Any) -> str:
    """`{found}` or `{alert}` for a page that asks `{sweep, of}`."""
    given = request if isinstance(request, dict) else {}
    try:
        found = ask(store.find(given.get("sweep")), str(given.get("of")))
    except InputError as error:
        return encode({"alert": str(error)})
    return json.dumps({"found": found})


def stream(
    shared: Shared,
    paces: dict[tuple[str, str, str], Pace],
    read: Any,
    token: str | None = None,
    is_run: bool = True,
) -> Iterator[str]:
    """Messages to the board: what is predicted, then (`is_run`) row after row."""

    def messages() -> Iterator[str]:
        kept = read()
        first = kept.tasks[0][1].config
        if shared.models.peek(first.model, first.device, first.dtype) is None:
            yield told({"status": f"Loading {first.model} …"}, token)
        predicted = forecast(shared, kept, paces)
        yield message(kept, token, predicted=predicted, done=not is_run, isEstimate=not is_run)
        if is_run:
            yield from live(shared, kept, predicted, token)

    return guarded(messages, "sweep", shared.store, token)


def message(kept: Kept, token: str | None, **more: Any) -> str:
    """All that is known of a sweep: so a page that missed a message has lost nothing."""
    sweep = kept.sweep
    return told(
        {
            "sweep": kept.id,
            "name": sweep.name,
            "about": ABOUT[sweep.name],
            "x": sweep.x,
            "axes": list(kept.tasks[0][1].axes),
            "measures": {
                name: {"title": each.title, "unit": each.unit, "timing": each.is_timing}
                for name, each in sweep.measures.items()
            },
            "total": len(kept.tasks),
            "model": kept.tasks[0][1].config.model,
            "rows": kept.shown(),
            **more,
        },
        token,
    )


def forecast(shared: Shared, kept: Kept, paces: dict[tuple[str, str, str], Pace]) -> dict[str, Any]:
    """Predicted seconds of the rows, by the model's measured pace, and bytes of the largest run."""
    from explorer.experiments.pace import calibrate, predict

    points = [point for _, point in kept.tasks]
    first = points[0].config
    key = first.model, first.device, first.dtype
    model = shared.models.get(*key)
    if key not in paces:
        paces[key] = calibrate(model, first)
    size = estimate.size_of(first, shared.models)
    num_prompt = size.num_prompt if size else 0
    seconds = predict(kept.sweep, points, kept.plan.options, paces[key], num_prompt)
    nbytes = [] if size is None else [_nbytes(point, size) for point in points]
    by_key = dict(zip((key for key, _ in kept.tasks), seconds or (), strict=False))
    return {"seconds": seconds and sum(seconds), "nbytes": max(nbytes, default=None), "by": by_key}


def _nbytes(point: Point, size: estimate.Size) -> float:
    """KV bytes of a row's run at worst."""
    length = point.axes.get("prompt_length", size.num_prompt)
    return estimate.worst_nbytes(point.config, replace(size, num_prompt=length))


def live(shared: Shared, kept: Kept, predicted: dict[str, Any], token: str | None) -> Iterator[str]:
    """Row after row; then the summary. Raises Left when the page has left it."""
    from explorer.generate import num_open

    began, limits = time.monotonic(), shared.limits

    def ask() -> None:
        try:
            shared.store.check(token)
        except Left:
            raise Stopped from None
        if limits is not None and time.monotonic() - began > limits.seconds:
            raise Stopped

    with ExitStack() as stack:

        def load(*key: str) -> LoadedModel:
            model = shared.models.get(*key)
            stack.enter_context(sweeps.asked_at_every_pass(model, ask))
            return model

        sweep = stack.enter_context(OpenSweep(kept.plan, load=load))
        try:
            for row in sweep:
                kept.rows[row["key"]] = row
                kept.document = sweep.document()
                yield message(kept, token, left=left(kept, predicted))
        except Stopped:
            shared.store.check(token)
            assert limits is not None
            raise InputError(
                f"This public page stops a sweep after {limits.seconds:g} seconds; what came stays "
                "here, and Go on goes on with it."
            ) from None
        finally:
            LOG.info("a sweep ended after %d rows; caches open: %d", len(sweep.done), num_open())
        kept.document = sweep.document()
        summary = kept.document["summary"]
        yield message(kept, token, done=True, summary=summary)


def left(kept: Kept, predicted: dict[str, Any]) -> float | None:
    """Seconds to go: what the waiting rows were predicted to take, corrected by how long the rows
    took that are done."""
    spent = {key: row["seconds"] or 0.0 for key, row in kept.rows.items()}
    by = predicted["by"] or {key: 1.0 for key, _ in kept.tasks}
    foretold = sum(by.get(key, 0.0) for key in spent)
    waiting = sum(value for key, value in by.items() if key not in spent)
    return waiting * sum(spent.values()) / foretold if foretold else None
