"""The Compare tab: one configuration on several backends, side by side under one cursor."""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import gradio as gr

from explorer.config import RunConfig
from explorer.events import Header, Step
from explorer.experiments import compare
from explorer.trace import Trace
from explorer.ui import stage
from explorer.ui.board import Board
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache, loading
from explorer.ui.runs import RunStore, guarded, token_of, told
from explorer.ui.shared import COMPUTING, Shared, asking, stopping

NAME = "compare"
LOG = logging.getLogger("forkscope")
TITLES = {
    "naive": "Naive",
    "deepcopy": "Deep copy",
    "batched": "Batched",
    "cow": "Copy-on-write",
    "recompute": "Recompute",
}
CHOSEN = ("naive", "deepcopy", "cow")
BACKENDS = Path(__file__).parents[1] / "backends"
MOST = 160  # characters said of a backend


def build(shared: Shared) -> None:
    """Which backends, Compare and Stop; the board."""
    with gr.Row(elem_id="fs-compare-bar", equal_height=True):
        backends = gr.CheckboxGroup(
            [(title, name) for name, title in TITLES.items()],
            value=list(CHOSEN),
            label="Backends",
            show_label=False,
            container=False,
            elem_id="fs-compare-backends",
        )
        shared.backends = backends
        start = gr.Button("Compare", variant="primary", elem_id="fs-compare-run", min_width=96)
        stop = gr.Button("Stop", elem_id="fs-compare-stop", min_width=72)
    host = board_host(shared.store)

    def run(*values: Any) -> Iterator[str]:
        *form, chosen, token = values
        yield from stream(shared, form, chosen, token_of(token))

    inputs = [*shared.form.components, backends, gr.Textbox(visible=False)]
    start.click(run, inputs, host, js=asking(NAME), **COMPUTING)
    stopping(stop, NAME)


def board_host(store: RunStore) -> gr.HTML:
    """The place where the board is mounted; give it the messages of `stream` as its value."""
    known = [{"name": name, "title": title, "about": about(name)} for name, title in TITLES.items()]
    attach = f"compare.attach({{element, props, watch, server}}, {json.dumps(known)});"
    return stage.place(NAME, store, stage.script(attach, "compare"))


def stream(
    shared: Shared, values: Sequence[Any], backends: Sequence[str], token: str | None = None
) -> Iterator[str]:
    """Messages to the board, each with the page's name for the request."""

    def messages() -> Iterator[str]:
        config = shared.config(values)
        order = compare.order_of(backends)
        yield from live(config, order, shared.models, shared.store, shared.limits, token)

    return guarded(messages, "comparison", shared.store, token)


def live(
    config: RunConfig,
    order: Sequence[str],
    models: ModelCache,
    store: RunStore,
    limits: Limits | None = None,
    token: str | None = None,
    kind: str = NAME,
) -> Iterator[str]:
    """Load, then run every backend in `order`; a summary after each of them.

    `kind` names the board that is told. Raises Left when the page that asked for it under `token`
    has left it.
    """
    model = yield from loading(models, store, config, token)
    from explorer.generate import num_open

    yield told({"status": f"Warming up {TITLES[order[0]].lower()} …"}, token)
    board, traces = Board(kind, order, token), dict[str, Trace]()
    most = limits.num_samples if limits else compare.MAX_SAMPLES
    parts = compare.stream(model, config, order, most)
    try:
        wanted = store.wanted(stage.within(parts, limits), token)
        for name, group in groupby(wanted, key=itemgetter(0)):
            yield from _run(board, name, group, traces, store)
    finally:
        parts.close()  # type: ignore[attr-defined]  # a generator: this frees keys and values
        steps = sum(len(run.steps) for run in board.runs.values())
        LOG.info("a run ended after %d steps; caches open: %d", steps, num_open())


def _run(
    board: Board,
    name: str,
    parts: Iterator[tuple[str, Header | Step]],
    traces: dict[str, Trace],
    store: RunStore,
) -> Iterator[str]:
    """One backend: its steps as they come, then the summary of all that have ended."""
    header = next(parts)[1]
    assert isinstance(header, Header)
    trace = Trace(header)
    steps = (step for _, step in parts if isinstance(step, Step))
    yield from board.stream(name, header, steps, trace, store)
    traces[name] = trace
    is_last = len(traces) == len(board.order)
    yield board.end(name, trace, summary=summary(traces), done=is_last)


def summary(traces: dict[str, Trace]) -> dict[str, Any]:
    """The `compare --json` document, with the number of paths in the place of their texts."""
    document = compare.summarize(traces)
    for run in document["runs"].values():
        run["paths"] = len(run["paths"])
    return document


def about(name: str) -> str:
    """The first sentences of a backend's docstring, read off its file: importing it loads torch."""
    tree = ast.parse((BACKENDS / f"{name}.py").read_text())
    docs = [ast.get_docstring(node) for node in tree.body if isinstance(node, ast.ClassDef)]
    first, *others = " ".join((docs[0] or "").replace("`", "").split()).split(". ")
    for sentence in others:
        if len(first) + len(sentence) + 2 > MOST:
            break
        first = f"{first}. {sentence}"
    return f"{first.rstrip('.')}."
