"""The sidebar: recorded runs, prompt, model, Run and Stop, every setting, the budget."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from explorer.catalogue import known
from explorer.config import InputError, RunConfig
from explorer.hub import BUNDLED
from explorer.trace import Trace
from explorer.ui import applies, estimate, presets
from explorer.ui.forms import Form, held
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache
from explorer.ui.runs import RunStore, encode
from explorer.ui.shared import QUIET, Shared, SidebarParts
from explorer.ui.stage import ASSETS, script

TRACES = ASSETS / "traces"
EVICTION = "Eviction stories"  # the group of presets that are boards of the Evict tab
# Looks at the form are numbered: an answer that comes late is not taken for a newer one.
TURN = """(...values) => {
  window.forkscopeLooks = (window.forkscopeLooks ?? 0) + 1;
  return [...values.slice(0, -1), window.forkscopeLooks];
}"""
# The page puts a run's prompt in by itself: a server's answer may come after the next typed word.
PROMPT = "(prompt) => window.forkscope.filling ?? prompt"


def recorded_runs(trace: str | None = None) -> list[dict[str, Any]]:
    """The runs that play without a model, `trace` first. Raises InputError where it is none."""
    index = TRACES / "index.json"
    found = json.loads(index.read_text()) if index.is_file() else []
    entries = [entry | {"path": str(TRACES / f"{entry['name']}.jsonl")} for entry in found]
    if trace is not None:
        entries.insert(0, _entry(Path(trace).resolve()))
    return entries


def _entry(path: Path) -> dict[str, Any]:
    loaded = Trace.load(path)
    from explorer.metrics import tree_digest

    return {
        "name": "file",
        "title": path.name,
        "blurb": f"{len(loaded)} steps on {loaded.header.model.name}",
        "digest": tree_digest(loaded),
        "config": loaded.header.config,
        "path": str(path),
    }


def build(
    models: ModelCache, store: RunStore, entries: list[dict[str, Any]], limits: Limits | None
) -> Shared:
    """Lay the sidebar out; the tabs wire its Run and Stop, `start` the rest of it."""
    own = [ASSETS / "stage", TRACES / "evict", TRACES / "reuse"]
    gr.set_static_paths([*own, *(entry["path"] for entry in entries)])
    config = first_config(entries)
    cards = gr.HTML(
        value=encode({"entries": entries}),
        html_template="<div class='fs-runs'></div>",
        js_on_load=script(
            "runs.attach({element, trigger: (name, data) => trigger('select', data)}, "
            "JSON.parse(props.value).entries);",
            "runs",
        ),
        apply_default_css=False,
        elem_id="fs-runs",
    )
    form = Form(limits.models if limits else known(), config)
    with gr.Row(equal_height=True, elem_id="fs-go"):
        run = gr.Button("Run", variant="primary", elem_id="fs-run", min_width=80)
        stop = gr.Button("Stop", elem_id="fs-stop", min_width=80)
    gr.HTML(html_template="<p class='fs-status' role='status'>Ready.</p>", apply_default_css=False)
    shared = Shared(form, models, store, run, stop, limits)
    budget = gr.HTML(
        value=encode({"budget": estimate.sentence(config, models)}),
        html_template="<p></p>",
        js_on_load=script("presets.attachBudget({element, props, watch});", "presets"),
        elem_id="fs-estimate",
        apply_default_css=False,
    )
    ways = gr.HTML(
        value=encode({"current": presets.current(config)}),
        html_template="<div class='fs-presets'></div>",
        js_on_load=script(
            "presets.attach({element, props, watch, choose: (name) => trigger('select', {name})}, "
            f"{encode(listed())});",
            "presets",
        ),
        apply_default_css=False,
        elem_id="fs-presets",
    )
    with gr.Column(elem_id="fs-settings"):
        form.place_groups()
    shared.parts = SidebarParts(budget, ways, cards)
    return shared


def listed() -> dict[str, Any]:
    """The presets as the page shows them: name and sentence, by group."""
    return {
        "groups": [
            {
                "name": group,
                "presets": [{"name": one.name, "sentence": one.sentence} for one in members],
            }
            for group, members in presets.PRESETS.items()
        ]
        + [
            {
                "name": EVICTION,
                "presets": [
                    {"name": board.title, "sentence": board.sentence}
                    for board in presets.BOARDS.values()
                ],
                "boards": {board.title: name for name, board in presets.BOARDS.items()},
            }
        ]
    }


def predicted(shared: Shared, values: Sequence[Any]) -> str:
    """What the run of the form's `values` will take, or why there would be none."""
    try:
        return estimate.sentence(shared.config(values), shared.models)
    except InputError as error:
        return str(error)


def standing(shared: Shared, values: Sequence[Any], backends: Sequence[str]) -> str | None:
    """The name of the preset that the form's `values` equal, if any."""
    try:
        return presets.current(shared.form.config(values), backends)
    except InputError:
        return None


def first_config(entries: list[dict[str, Any]]) -> RunConfig:
    """What the form holds at the start: the run that plays."""
    return (config_of(entries[0]) if entries else None) or presets.EXAMPLES["story"].config()


def config_of(entry: dict[str, Any]) -> RunConfig | None:
    """The run a recorded one was; None where another release's settings do not fit this form."""
    try:
        return RunConfig(**entry["config"])
    except (ValidationError, KeyError, TypeError):
        return None


def start(page: gr.Blocks, shared: Shared, entries: list[dict[str, Any]]) -> None:
    """Wire what stands on the page; when one opens, the bundled model is loaded ahead.

    No other is: what a trace names is loaded when somebody presses Run.
    """
    form, parts = shared.form, shared.parts
    assert parts is not None and shared.backends is not None and shared.tabs is not None
    assert shared.variants is not None and shared.budget is not None
    first, own = first_config(entries), {entry["name"]: config_of(entry) for entry in entries}
    prompt = form.inputs["prompt"]
    settings = [one for name, one in form.inputs.items() if name != "prompt"]
    chosen = [*form.components, shared.backends, shared.variants, shared.budget, shared.tabs]

    def follow(*values: Any) -> tuple[str, str]:
        *given, backends, turn = values
        budget, current = predicted(shared, given), standing(shared, given, backends)
        return encode({"turn": turn, "budget": budget}), encode({"turn": turn, "current": current})

    def choose(event: gr.EventData) -> list[Any]:
        """Inputs of the form, then the backends, the Evict tab's runs and budget, which tab."""
        name = event._data["name"]
        board = next((one for one in presets.BOARDS.values() if one.title == name), None)
        if board is not None:
            told = [*form.fill(board.form_config()), gr.skip(), list(board.runs)]
            return [*told, board.config().eviction.budget, gr.Tabs(selected="Evict")]
        preset = presets.named(name)
        values = [
            held(preset.values[name]) if name in presets.FIELDS else gr.skip()
            for name in form.inputs
        ]
        if not preset.backends:
            return [*values, gr.skip(), gr.skip(), gr.skip(), gr.skip()]
        tab = gr.Tabs(selected="Compare")
        return [*values, list(preset.backends), gr.skip(), gr.skip(), tab]

    def fill(event: gr.EventData) -> list[Any]:
        data = event._data
        config = own.get(data.get("name")) or config_of(data)
        if config is None:
            return [gr.skip() for _ in settings]
        filled = zip(form.inputs, form.fill(config), strict=True)
        return [value for name, value in filled if name != "prompt"]

    def depend(*deciding: Any) -> list[Any]:
        states = zip(applies.FIELDS, form.standing(*deciding), strict=True)
        return [gr.update(**state) for name, state in states if name in form.inputs]

    def warm() -> None:
        if first.model in BUNDLED:
            shared.models.warm(first.model, first.device, first.dtype)

    parts.presets.select(choose, None, chosen, **QUIET)
    parts.cards.select(None, prompt, prompt, js=PROMPT, **QUIET)
    parts.cards.select(fill, None, settings, **QUIET)
    gr.on(
        [component.change for component in (*form.components, shared.backends)],
        follow,
        [*form.components, shared.backends, gr.Number(visible=False)],
        [parts.budget, parts.presets],
        js=TURN,
        trigger_mode="always_last",
        **QUIET,
    )
    deciding = [form.inputs[name] for name in applies.DECIDES]
    gr.on([one.change for one in deciding], depend, deciding, form.dependent, **QUIET)
    page.load(warm, None, None, **QUIET)
