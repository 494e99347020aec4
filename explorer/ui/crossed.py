"""Self and cross: the two caches of an encoder-decoder model, in one run that forks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from explorer.config import InputError, RunConfig
from explorer.trace import Trace
from explorer.ui import stage
from explorer.ui.board import Board
from explorer.ui.cached import recorded
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache, loading
from explorer.ui.runs import RunStore, encode, guarded, token_of
from explorer.ui.shared import COMPUTING, Shared, asking, stopping

NAME = "cross"
RUN = "run"  # the board's one run
LOG = logging.getLogger("forkscope")
RECORDED = Path(__file__).parents[2] / "assets" / "traces" / "reuse" / "crossed"
OPEN: dict[str, Any] = dict(model="tiny-seq2seq", top_p=0.9, seed=1, entropy_threshold=0.08)


@dataclass(frozen=True)
class Example:
    """A task of the bundled encoder-decoder model; `caption` says what its recorded run shows."""

    title: str
    caption: str
    settings: dict[str, Any]

    def config(self) -> RunConfig:
        return RunConfig(**(OPEN | self.settings))


EXAMPLES: dict[str, Example] = {
    "rephrase": Example(
        "A sentence in other words",
        "Four ways to begin, then hid or buried: seven right answers from one source.",
        dict(
            prompt="rephrase: The shy fox hid a red key in the cave.",
            branch_factor=4,
            max_paths=8,
            max_new_tokens=24,
        ),
    ),
    "shuffle": Example(
        "Words in any order",
        "Every order is right: it forks at nearly every word, and every path looks for a word "
        "it has not said.",
        dict(
            prompt="shuffle: fox red key cave bread",
            branch_factor=3,
            max_paths=12,
            max_new_tokens=12,
        ),
    ),
    "reverse": Example(
        "Words backwards",
        "One right answer, one path: what it looks at walks from the last word to the first.",
        dict(
            prompt="reverse: fox red key cave bread owl coin",
            branch_factor=3,
            max_paths=8,
            max_new_tokens=16,
        ),
    ),
}


def build(shared: Shared) -> None:
    """Run and Stop; the board."""
    with gr.Column(elem_id="fs-reuse-cross"):
        with gr.Row(elem_id="fs-cross-bar", equal_height=True):
            start = gr.Button(
                "Run the sidebar's prompt", variant="primary", elem_id="fs-cross-run", min_width=96
            )
            stop = gr.Button("Stop", elem_id="fs-cross-stop", min_width=72)
        examples = encode({"examples": recorded(RECORDED)})
        words = f"({examples}).examples"
        attach = f"crossed.attach({{element, props, watch, server, trigger}}, {words});"
        host = stage.place(NAME, shared.store, stage.script(attach, "crossed"))

    def run(*values: Any) -> Iterator[str]:
        *form, token = values
        yield from stream(shared, lambda: shared.config(form), token_of(token))

    def run_example(event: gr.EventData) -> Iterator[str]:
        data = event._data if isinstance(event._data, dict) else {}
        more = {"preset": data.get("preset")}
        yield from stream(shared, lambda: asked(data), token_of(data.get("token")), more)

    inputs = [*shared.form.components, gr.Textbox(visible=False)]
    start.click(run, inputs, host, js=asking(NAME), **COMPUTING)
    host.select(run_example, None, host, **COMPUTING)
    stopping(stop, NAME)


def asked(data: dict[str, Any]) -> RunConfig:
    """The example that a page names. Raises InputError."""
    example = EXAMPLES.get(str(data.get("preset")))
    if example is None:
        raise InputError("The page did not say which example to run; reload it and try again.")
    return example.config()


def stream(
    shared: Shared,
    read: Callable[[], RunConfig],
    token: str | None = None,
    more: dict[str, Any] | None = None,
) -> Iterator[str]:
    """Messages to the board of the run that `read` gives."""

    def messages() -> Iterator[str]:
        config = read()
        if shared.limits is not None:
            shared.limits.check(config)
        yield from live(config, shared.models, shared.store, shared.limits, token, more)

    return guarded(messages, "run", shared.store, token)


def live(
    config: RunConfig,
    models: ModelCache,
    store: RunStore,
    limits: Limits | None = None,
    token: str | None = None,
    more: dict[str, Any] | None = None,
) -> Iterator[str]:
    """Load and run one run of an encoder-decoder model; other models are refused.

    Raises Left when the page that asked for it under `token` has left it.
    """
    model = yield from loading(models, store, config, token)
    from explorer.generate import generate, num_open, prepare

    if not model.info.cross_nbytes_per_token:
        raise InputError(
            f"model: {model.info.name} has a decoder alone, so there is no cross-attention cache "
            "to show; choose tiny-seq2seq or another encoder-decoder model in the sidebar."
        )
    header = prepare(model, config)
    trace, board = Trace(header), Board(NAME, (RUN,), token, more=more or {})
    steps = generate(model, config)
    try:
        wanted = store.wanted(stage.within(steps, limits), token)
        yield from board.stream(RUN, header, wanted, trace, store)
    finally:
        steps.close()  # type: ignore[attr-defined]  # a generator: this frees keys and values
        LOG.info("a run ended after %d steps; caches open: %d", len(trace), num_open())
    yield board.end(RUN, trace, done=True)
