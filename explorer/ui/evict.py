"""The Evict tab: up to eight runs with bounded caches on one board, live one after another."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from pydantic import ValidationError

from explorer.config import Eviction, InputError, RunConfig, explain, iter_fields
from explorer.trace import Trace
from explorer.ui import presets, stage
from explorer.ui.board import Board
from explorer.ui.forms import Form, labelled
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache, loading
from explorer.ui.runs import RunStore, encode, guarded, token_of
from explorer.ui.shared import COMPUTING, QUIET, Shared, asking, stopping

NAME = "evict"
TAB = "Evict"
LOG = logging.getLogger("forkscope")
FULL = "full"
TITLES = {
    FULL: "Full cache",
    "window": "Window",
    "fifo": "First in, first out",
    "lru": "Least recently used",
    "random": "Random",
    "h2o": "Exact attention (H2O)",
    "count_min": "Count-min sketch",
    "count_sketch": "Count sketch",
    "race": "RACE sketch",
}
MOST_RUNS = 8
BUDGET = 24  # tokens a layer at first: more than are protected, fewer than a short story has
BUDGET_HELP = str(Eviction.model_fields["budget"].description)
HINT = (
    f"<p class='fs-hint'><b>Budget</b>: {BUDGET_HELP[0].lower()}{BUDGET_HELP[1:]}. <b>Against "
    "full</b>: the full cache beside every bounded run; about twice the time. Settings for one "
    "run alone: type <code>h2o adaptive=true budget=20</code>, Enter.</p>"
)
# The sidebar's budget is the tab's as well, once there is one.
FOLLOW = "(given, own) => (Number(given) > 0 ? Number(given) : own)"
RECORDED = Path(__file__).parents[2] / "assets" / "traces" / "evict"

Asked = tuple[str, list[tuple[str, RunConfig]]]  # a board's title and its runs, each with its own


class Bar(NamedTuple):
    """What stands above the board."""

    variants: gr.Dropdown
    budget: gr.Number
    against_full: gr.Checkbox
    start: gr.Button
    stop: gr.Button


def bar() -> Bar:
    """Which runs, their budget, Run and Stop."""
    with gr.Row(elem_id="fs-evict-bar", equal_height=True):
        variants = gr.Dropdown(
            [(title, name) for name, title in TITLES.items()],
            value=[FULL, "window", "h2o"],
            multiselect=True,
            allow_custom_value=True,
            max_choices=MOST_RUNS,
            show_label=False,
            label="Ways to keep the cache, each with settings of its own: window sinks=0",
            container=False,
            elem_id="fs-evict-variants",
        )
        budget = gr.Number(
            BUDGET,
            label="Budget",
            min_width=90,
            elem_id="fs-evict-budget",
        )
        against_full = gr.Checkbox(
            True,
            label="Against full",
            container=False,
            min_width=90,
            elem_id="fs-evict-against_full",
        )
        start = gr.Button("Run these", variant="primary", elem_id="fs-evict-run", min_width=96)
        stop = gr.Button("Stop", elem_id="fs-evict-stop", min_width=72)
    gr.HTML(html_template=HINT, apply_default_css=False, elem_id="fs-evict-hint")
    return Bar(variants, budget, against_full, start, stop)


def build(shared: Shared) -> None:
    """The bar, the board, and what leads to a run."""
    form = shared.form
    variants, budget, against_full, start, stop = bar()
    shared.variants, shared.budget = variants, budget
    boards = encode({"boards": recorded()})
    attach = f"evict.attach({{element, props, watch, server, trigger}}, ({boards}).boards);"
    host = stage.place(NAME, shared.store, stage.script(attach, "evict"))

    def run(*values: Any) -> Iterator[str]:
        *given, words, most, is_against_full, token = values

        def read() -> Asked:
            config = base(form, given, most, is_against_full)
            return f"“{shortened(config.prompt)}”", variants_of(config, words)

        yield from stream(shared, read, token_of(token))

    def run_preset(event: gr.EventData) -> Iterator[str]:
        data = event._data if isinstance(event._data, dict) else {}
        yield from stream(shared, lambda: asked(data), token_of(data.get("token")), data)

    inputs = [*form.components, variants, budget, against_full, gr.Textbox(visible=False)]
    start.click(run, inputs, host, js=asking(NAME), **COMPUTING)
    host.select(run_preset, None, host, **COMPUTING)

    def fill(event: gr.EventData) -> list[Any]:
        data = event._data if isinstance(event._data, dict) else {}
        board = presets.BOARDS.get(str(data.get("preset")))
        if board is None:  # said by `run_preset`
            return [gr.skip() for _ in (*form.components, variants, budget)]
        return [*form.fill(board.form_config()), list(board.runs), board.config().eviction.budget]

    host.select(fill, None, [*form.components, variants, budget], **QUIET)
    own = form.inputs["budget"]
    own.change(None, [own, budget], budget, js=FOLLOW, queue=False)
    stopping(stop, NAME)


def recorded() -> list[dict[str, Any]]:
    """The recorded boards, each run with the path of its trace; none where they are not there."""
    index = RECORDED / "index.json"
    boards = json.loads(index.read_text()) if index.is_file() else []
    for board in boards:
        for run in board["runs"]:
            run["path"] = str(RECORDED / run.pop("file"))
    return list(boards)


def base(form: Form, values: Sequence[Any], budget: Any, against_full: Any) -> RunConfig:
    """The form's run with the tab's own budget, without a policy: every run names its own.

    Raises InputError, one sentence.
    """
    given = dict(zip(form.inputs, values, strict=True))
    own = {"policy": "", "budget": budget, "against_full": bool(against_full)}
    return form.config(list((given | own).values()))


def shortened(text: str) -> str:
    """A prompt as a title: its last 80 characters, where the question stands."""
    words = " ".join(text.split())
    return words if len(words) <= 80 else "…" + words[-79:]


def asked(data: dict[str, Any]) -> Asked:
    """The runs of the board that a page names. Raises InputError."""
    board = presets.BOARDS.get(str(data.get("preset")))
    if board is None:
        raise InputError("The page did not say which board to run; reload it and try again.")
    return board.title, variants_of(board.config(), board.runs)


def variants_of(config: RunConfig, words: Sequence[str]) -> list[tuple[str, RunConfig]]:
    """`config` once for each of `words`: a policy or "full", then settings of its own.

    "window sinks=0 recent=4" is a window without sinks. Raises InputError, one sentence.
    """
    if not words or len(words) > MOST_RUNS:
        raise InputError(
            f"Name 1 to {MOST_RUNS} ways to keep the cache, such as full, window, h2o or "
            f"window sinks=0, not {len(words or ())}."
        )
    runs = []
    for word in words:
        with naming(title_of(word)):
            runs.append((title_of(word), variant(config, word)))
    return runs


@contextmanager
def naming(title: str) -> Iterator[None]:
    """What cannot be run says which of the runs it is."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{title}: {error}") from error


def variant(config: RunConfig, words: str) -> RunConfig:
    """One of them. Raises InputError, which names the field and the remedy."""
    policy, *settings = words.split()
    if policy not in TITLES:
        raise InputError(f"{policy!r} is no way to keep a cache; choose from {', '.join(TITLES)}.")
    changes: dict[str, Any] = {"policy": None if policy == FULL else policy}
    if policy == FULL:
        changes["against_full"] = False
    known = {name for _, name, _ in iter_fields()}
    for setting in settings:
        name, is_given, value = setting.partition("=")
        if name not in known or not is_given:
            raise InputError(
                f"{setting!r} in {words!r} is no setting; write one as sinks=0 or sketch_width=64."
            )
        changes[name] = value
    if "layer_budgets" in changes:
        changes.setdefault("budget", None)
    try:
        return config.replace(**changes)
    except ValidationError as error:
        raise InputError(labelled(f"{explain(error)}.".replace("..", "."))) from error


def title_of(words: str) -> str:
    """ "Window, sinks 0" of "window sinks=0"."""
    policy, *settings = words.split() or [""]
    told_so = [setting.replace("_", " ").replace("=", " ") for setting in settings]
    return ", ".join([TITLES.get(policy, policy), *told_so])


def stream(
    shared: Shared,
    read: Callable[[], Asked],
    token: str | None = None,
    data: dict[str, Any] | None = None,
) -> Iterator[str]:
    """Messages to the board of the runs that `read` gives, with a title."""

    def messages() -> Iterator[str]:
        heading, runs = read()
        if shared.limits is not None:
            for _, config in runs:
                shared.limits.check(config)
        more = {"heading": heading, "preset": (data or {}).get("preset")}
        yield from live(runs, shared.models, shared.store, shared.limits, token, more)

    return guarded(messages, "board", shared.store, token)


def live(
    runs: Sequence[tuple[str, RunConfig]],
    models: ModelCache,
    store: RunStore,
    limits: Limits | None = None,
    token: str | None = None,
    more: dict[str, Any] | None = None,
) -> Iterator[str]:
    """Load, then one run after another, each under a letter.

    Raises Left when the page that asked for it under `token` has left it.
    """
    model = yield from loading(models, store, runs[0][1], token)
    from explorer.generate import generate, num_open, prepare

    order = [chr(ord("a") + at) for at in range(len(runs))]
    titles = [title for title, _ in runs]
    board = Board("evict", order, token, more={"titles": titles, **(more or {})})
    headers = []
    for title, config in runs:  # before the page gives up what it shows
        with naming(title):
            headers.append(prepare(model, config))
    for key, header, (_, config) in zip(order, headers, runs, strict=True):
        trace = Trace(header)
        steps = generate(model, config)
        try:
            wanted = store.wanted(stage.within(steps, limits), token)
            yield from board.stream(key, header, wanted, trace, store)
        finally:
            steps.close()  # type: ignore[attr-defined]  # a generator: this frees the pool
            LOG.info("a run ended after %d steps; caches open: %d", len(trace), num_open())
        yield board.end(key, trace, done=key == order[-1])
