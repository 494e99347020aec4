"""Cached against uncached: one greedy path twice, over the pool and without any cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from explorer.config import InputError, RunConfig, explain
from explorer.experiments.cached import CACHED, GREEDY, UNCACHED
from explorer.ui import compare, stage
from explorer.ui.limits import Limits
from explorer.ui.runs import encode, guarded, token_of
from explorer.ui.shared import COMPUTING, Shared, asking, stopping

NAME = "cached"
ORDER = (CACHED, UNCACHED)
NEW_TOKENS = 240
RECORDED = Path(__file__).parents[2] / "assets" / "traces" / "reuse" / "cached"


@dataclass(frozen=True)
class Race:
    """A prompt whose greedy text is written twice; `caption` says what the recorded runs show."""

    title: str
    caption: str
    prompt: str
    new_tokens: int

    def config(self) -> RunConfig:
        return greedy(RunConfig(prompt=self.prompt), self.new_tokens)


RACES: dict[str, Race] = {
    "long": Race(
        "A long text",
        "Asked for a text this long, the small model repeats itself. What a step costs depends on "
        "how much text there is, not on what it says.",
        "Remember: the fox hid the key in the cave.",
        1500,
    ),
    "short": Race(
        "A story to its end",
        "A text of the usual length, to its own end: here the cache saves less.",
        "Once upon a time there was a little fox",
        400,
    ),
}


def build(shared: Shared) -> None:
    """How many tokens, Race and Stop, the way to the sweep; the board."""
    with gr.Column(elem_id="fs-reuse-cached"):
        with gr.Row(elem_id="fs-cached-bar", equal_height=True):
            new_tokens = gr.Number(
                NEW_TOKENS,
                label="New tokens",
                min_width=90,
                elem_id="fs-cached-tokens",
            )
            start = gr.Button("Race", variant="primary", elem_id="fs-cached-run", min_width=96)
            stop = gr.Button("Stop", elem_id="fs-cached-stop", min_width=72)
            sweep = gr.Button(
                "64 to 2,048 tokens in Experiments", elem_id="fs-cached-sweep", min_width=96
            )
        shared.sweeps[NAME] = sweep
        races = encode({"races": recorded(RECORDED)})
        attach = f"cached.attach({{element, props, watch, server, trigger}}, ({races}).races);"
        host = stage.place(NAME, shared.store, stage.script(attach, NAME))

    def run(*values: Any) -> Iterator[str]:
        *form, tokens, token = values
        yield from stream(shared, lambda: greedy(shared.form.config(form), tokens), token_of(token))

    def run_recorded(event: gr.EventData) -> Iterator[str]:
        data = event._data if isinstance(event._data, dict) else {}
        read = partial(asked, data, shared.limits)
        yield from stream(shared, read, token_of(data.get("token")))

    inputs = [*shared.form.components, new_tokens, gr.Textbox(visible=False)]
    start.click(run, inputs, host, js=asking(NAME), **COMPUTING)
    host.select(run_recorded, None, host, **COMPUTING)
    stopping(stop, NAME)


def recorded(folder: Path) -> list[dict[str, Any]]:
    """The recorded runs of a folder's index, each with its path; none where they are not there."""
    index = folder / "index.json"
    boards = json.loads(index.read_text()) if index.is_file() else []
    for board in boards:
        for run in board["runs"]:
            run["path"] = str(folder / run.pop("file"))
    return list(boards)


def greedy(config: RunConfig, new_tokens: Any) -> RunConfig:
    """`config` as one greedy path of at most `new_tokens`. Raises InputError, one sentence."""
    if new_tokens is None:
        raise InputError("New tokens: give a whole number from 1.")
    if isinstance(new_tokens, float) and new_tokens.is_integer():
        new_tokens = int(new_tokens)
    changes = GREEDY | {"against_full": False, "max_new_tokens": new_tokens}
    try:
        return config.replace(**changes)
    except ValidationError as error:
        raise InputError(f"{explain(error)}.".replace("..", ".")) from error


def asked(data: dict[str, Any], limits: Limits | None = None) -> RunConfig:
    """The race that a page names, as long as a public page allows. Raises InputError."""
    race = RACES.get(str(data.get("preset")))
    if race is None:
        raise InputError("The page did not say which race to run; reload it and try again.")
    config = race.config()
    if limits is None:
        return config
    return config.replace(max_new_tokens=min(race.new_tokens, limits.max_new_tokens))


def stream(
    shared: Shared, read: Callable[[], RunConfig], token: str | None = None
) -> Iterator[str]:
    """Messages to the board of the race that `read` gives, cached first."""

    def messages() -> Iterator[str]:
        config = read()
        if shared.limits is not None:
            shared.limits.check(config)
        yield from compare.live(
            config, ORDER, shared.models, shared.store, shared.limits, token, kind=NAME
        )

    return guarded(messages, "race", shared.store, token)
