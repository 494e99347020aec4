"""The Reuse tab: a prefix cache and what its requests find there, and two more views of reuse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from explorer.cache.prefix import ORDERS
from explorer.ui import cached, crossed, stage
from explorer.ui.runs import encode, token_of
from explorer.ui.shared import COMPUTING, QUIET, Shared, asking, stopping
from explorer.ui.workload import (
    Keep,
    Plan,
    asked,
    based,
    blocks,
    changed,
    checked,
    filled,
    keep,
    live,
    rebound,
    saved,
    since,
    stream,
    warmed,
    workload_of,
)
from explorer.workloads import OWN, WORKLOADS

NAME = "reuse"
FIRST = "chat"
RECORDED = Path(__file__).parents[2] / "assets" / "traces" / "reuse"
VIEWS = {
    "prefix": "Prefix cache",
    "cached": "Cached against uncached",
    "cross": "Self and cross",
}
ORDERED = {"lru": "Least recently used", "fifo": "Oldest"}
# One of the views is shown; those that were not have to be measured anew.
SHOW = """(view) => {
  document.getElementById("fs-reuse").dataset.view = view;
  window.dispatchEvent(new Event("resize"));
}"""
HINT = (
    "<details class='fs-hint'><summary>How it runs</summary>"
    "<p>The requests of a workload run one after another over the prefix cache "
    "that <b>Explore</b> uses as well. Model and settings are the sidebar's; a workload's replies "
    "are one greedy path, those to prompts of your own as the sidebar says. Each prompt is also "
    "read once without the cache, to measure what it saves.</p></details>"
)


def build(shared: Shared) -> None:
    """The three views, of which one is shown."""
    with gr.Column(elem_id="fs-reuse"):
        views = gr.Radio(
            [(title, name) for name, title in VIEWS.items()],
            value="prefix",
            label="What is reused",
            show_label=False,
            container=False,
            elem_id="fs-reuse-views",
        )
        with gr.Column(elem_id="fs-reuse-prefix"):
            build_prefix(shared)
        cached.build(shared)
        crossed.build(shared)
    views.change(None, views, None, js=SHOW, queue=False)


class Bar(NamedTuple):
    """What stands above the prefix cache's board."""

    workload: gr.Dropdown
    capacity: gr.Number
    order: gr.Dropdown
    empty: gr.Checkbox
    prompts: gr.Textbox
    start: gr.Button
    stop: gr.Button
    warm: gr.Button
    resize: gr.Button
    clear: gr.Button


def bar() -> Bar:
    """The workload, the cache's bounds, and what may be done with them."""
    with gr.Row(elem_id="fs-reuse-bar", equal_height=True):
        names = [(workload.title, name) for name, workload in WORKLOADS.items()]
        workload = gr.Dropdown(
            [*names, ("Own prompts, one a line", OWN)],
            value=FIRST,
            label="Workload",
            elem_id="fs-reuse-workload",
        )
        capacity = gr.Number(
            0,
            label="Most blocks",
            info="0: bounded in bytes only",
            min_width=90,
            elem_id="fs-reuse-capacity",
        )
        order = gr.Dropdown(
            [(ORDERED[name], name) for name in ORDERS],
            value="lru",
            label="Evict first",
            min_width=90,
            elem_id="fs-reuse-order",
        )
        empty = gr.Checkbox(True, label="Start empty", container=False, elem_id="fs-reuse-empty")
    prompts = gr.Textbox(
        "",
        label="Prompts, one a line",
        lines=3,
        max_lines=8,
        visible=False,
        elem_id="fs-reuse-prompts",
    )
    with gr.Row(elem_id="fs-reuse-go"):
        start = gr.Button("Run workload", variant="primary", elem_id="fs-reuse-run", min_width=96)
        stop = gr.Button("Stop", elem_id="fs-reuse-stop", min_width=72)
        warm = gr.Button("Warm", elem_id="fs-reuse-warm", min_width=72)
        resize = gr.Button("Resize", elem_id="fs-reuse-resize", min_width=72)
        clear = gr.Button("Clear", elem_id="fs-reuse-clear", min_width=72)
    gr.HTML(html_template=HINT, apply_default_css=False, elem_id="fs-reuse-hint")
    return Bar(workload, capacity, order, empty, prompts, start, stop, warm, resize, clear)


def build_prefix(shared: Shared) -> None:
    """The prefix cache's controls and its board."""
    form = shared.form
    workload, capacity, order, empty, prompts, start, stop, warm, resize, clear = bar()
    kept = None if shared.limits is not None else folder_row()
    host = board_host(shared)
    if kept is not None:
        keeping(shared, host, *kept)
    settings = [*form.components, workload, prompts, empty, capacity, order]
    inputs = [*settings, gr.Textbox(visible=False)]

    def read(request: gr.Request, values: tuple[Any, ...]) -> Plan:
        *given, name, typed, is_empty, most, first, _ = values
        visitor = shared.caches.visitor(request)
        chosen = workload_of(name, typed)
        base = based(form.config(given), name, chosen)
        plan = Plan(visitor, name, chosen, base, bool(is_empty), blocks(most), first)
        return checked(shared, plan)

    def run(request: gr.Request, *values: Any) -> Iterator[str]:
        yield from stream(shared, lambda: read(request, values), live, token_of(values[-1]))

    def run_warm(request: gr.Request, *values: Any) -> Iterator[str]:
        yield from stream(shared, lambda: read(request, values), warmed, token_of(values[-1]))

    def run_preset(event: gr.EventData, request: gr.Request) -> Iterator[str]:
        data = event._data if isinstance(event._data, dict) else {}
        visitor = shared.caches.visitor(request)
        read = lambda: asked(data, visitor)  # noqa: E731
        yield from stream(shared, read, live, token_of(data.get("token")))

    def bound(most: Any, first: str, request: gr.Request) -> str:
        return changed(shared, request, lambda cache: rebound(cache, blocks(most), first))

    def empty_it(request: gr.Request) -> str:
        return changed(shared, request, lambda cache: cache.clear())

    start.click(run, inputs, host, js=asking(NAME), **COMPUTING)
    warm.click(run_warm, inputs, host, js=asking(NAME), **COMPUTING)
    host.select(run_preset, None, host, **COMPUTING)
    resize.click(bound, [capacity, order], host, **QUIET)
    clear.click(empty_it, None, host, **QUIET)
    workload.change(suggested, workload, [prompts, capacity], **QUIET)
    host.select(preset_bounds, None, [workload, capacity, order], **QUIET)
    for button in (warm, *(() if kept is None else kept[2:])):  # a run is to find what they put in
        button.click(None, None, empty, js="() => false", queue=False)
    stopping(stop, NAME)


def folder_row() -> tuple[gr.Textbox, gr.Button, gr.Button]:
    """What a page for its own machine has beside: a folder, Save and Load."""
    with gr.Row(elem_id="fs-reuse-keep", equal_height=True):
        folder = gr.Textbox(
            "", label="Folder", placeholder="kept", max_lines=1, elem_id="fs-reuse-folder"
        )
        save = gr.Button("Save", elem_id="fs-reuse-save", min_width=72)
        load = gr.Button("Load", elem_id="fs-reuse-load", min_width=72)
    return folder, save, load


def keeping(
    shared: Shared, host: gr.HTML, folder: gr.Textbox, save: gr.Button, load: gr.Button
) -> None:
    """Wire Save and Load: the blocks of the sidebar's model."""
    inputs = [*shared.form.components, folder, gr.Textbox(visible=False)]

    def doing(act: Keep) -> Callable[..., Iterator[str]]:
        def run(*values: Any) -> Iterator[str]:
            *given, name, token = values
            read = lambda: shared.form.config(given)  # noqa: E731
            yield from keep(shared, read, act, name, token_of(token))

        return run

    for button, act in ((save, saved), (load, filled)):
        button.click(doing(act), inputs, host, js=asking(NAME), **COMPUTING)


def board_host(shared: Shared) -> gr.HTML:
    """The place where the board is mounted; give it the messages of `stream` as its value."""

    async def record_since(data: Any, request: gr.Request) -> str:
        session = (await request.json()).get("session_hash")  # type: ignore[attr-defined]
        return await asyncio.to_thread(since, shared, data, str(session))

    def leave(token: Any) -> None:
        shared.store.leave(token)

    examples = encode({"examples": recorded()})
    return gr.HTML(
        value="",
        html_template="<div class='fs-host'></div>",
        js_on_load=stage.script(
            f"reuse.attach({{element, props, watch, server, trigger}}, ({examples}).examples);",
            NAME,
        ),
        server_functions=[record_since, leave],
        apply_default_css=False,
        elem_id=f"fs-stage-{NAME}",
    )


def recorded() -> list[dict[str, Any]]:
    """The recorded workloads, each with its path; none where they are not there."""
    index = RECORDED / "index.json"
    found = json.loads(index.read_text()) if index.is_file() else []
    return [entry | {"path": str(RECORDED / entry["file"])} for entry in found]


def preset_bounds(event: gr.EventData) -> list[Any]:
    """The controls say what a recorded workload that is run live sets."""
    name = event._data.get("preset") if isinstance(event._data, dict) else None
    if not isinstance(name, str) or name not in WORKLOADS:  # said by `asked`
        return [gr.skip() for _ in range(3)]
    return [name, WORKLOADS[name].capacity_blocks or 0, "lru"]


def suggested(name: str) -> tuple[Any, int]:
    """The box for own prompts, and the capacity in which a workload shows what it is to show."""
    most = WORKLOADS[name].capacity_blocks if name in WORKLOADS else None
    return gr.update(visible=name == OWN), most or 0
