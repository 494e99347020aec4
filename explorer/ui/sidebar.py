"""The sidebar: recorded runs, prompt, model, Run and Stop, every setting, the budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from explorer.catalogue import known
from explorer.config import Branching, InputError, RunConfig
from explorer.hub import BUNDLED
from explorer.trace import Trace
from explorer.ui import estimate
from explorer.ui.forms import Form
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache
from explorer.ui.presets import EXAMPLES, SETTINGS
from explorer.ui.runs import RunStore, encode
from explorer.ui.shared import Shared
from explorer.ui.stage import ASSETS, script

TRACES = ASSETS / "traces"


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
    """Lay the sidebar out; the tabs wire its Run and Stop."""
    gr.set_static_paths([ASSETS / "stage", *(entry["path"] for entry in entries)])
    gr.HTML("<h3 class='fs-side-title'>Recorded runs</h3>", apply_default_css=False)
    cards = gr.HTML(
        value=encode({"entries": entries}),
        html_template="<div class='fs-runs'></div>",
        js_on_load=script(
            "page.attachRuns({element, trigger: (name, data) => trigger('select', data)}, "
            "JSON.parse(props.value).entries);"
        ),
        apply_default_css=False,
    )
    form = Form(limits.models if limits else known())
    with gr.Row(equal_height=True):
        run = gr.Button("Run", variant="primary", elem_id="fs-run", min_width=80)
        stop = gr.Button("Stop", elem_id="fs-stop", min_width=80)
    gr.HTML(html_template="<p class='fs-status' role='status'></p>", apply_default_css=False)
    budget = gr.HTML(
        value="",
        html_template="<p></p>",
        js_on_load=(  # as text: a model's name may hold anything
            "const show = () => { element.querySelector('p').textContent = props.value ?? ''; };"
            "watch('value', show); show();"
        ),
        elem_id="fs-budget",
        apply_default_css=False,
    )
    preset = gr.Dropdown(
        list(SETTINGS),
        value=next(iter(SETTINGS)),
        label="Preset",
        elem_id="fs-preset",
        info="How to branch",
    )
    form.place_groups()
    shared = Shared(form, models, store, run, stop, limits)
    _wire(shared, budget, preset, cards, entries)
    return shared


def _wire(
    shared: Shared,
    budget: gr.HTML,
    preset: gr.Dropdown,
    cards: gr.HTML,
    entries: list[dict[str, Any]],
) -> None:
    form = shared.form
    configs = {entry["name"]: config_of(entry) for entry in entries}

    def predict(*values: Any) -> str:
        try:
            return estimate.sentence(shared.config(values), shared.models)
        except InputError as error:
            return f"{error}"

    def choose(name: str, *values: Any) -> list[Any]:
        try:
            config = form.config(values)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return form.fill(config.replace(**(Branching().model_dump() | SETTINGS[name])))

    def fill(event: gr.EventData) -> list[Any]:
        config = configs[event._data["name"]]
        return form.fill(config) if config else [gr.skip() for _ in form.components]

    quiet: dict[str, Any] = dict(queue=False, show_progress="hidden", api_visibility="private")
    preset.input(choose, [preset, *form.components], form.components, **quiet)
    cards.select(fill, None, form.components, **quiet)
    gr.on(
        [component.change for component in form.components],
        predict,
        form.components,
        budget,
        trigger_mode="always_last",
        **quiet,
    )


def first_config(entries: list[dict[str, Any]]) -> RunConfig:
    """What the form holds at the start: the run that plays."""
    return (config_of(entries[0]) if entries else None) or EXAMPLES["story"].config()


def config_of(entry: dict[str, Any]) -> RunConfig | None:
    """The run a recorded one was; None where another release's settings do not fit this form."""
    try:
        return RunConfig(**entry["config"])
    except ValidationError:
        return None


def start(page: gr.Blocks, shared: Shared, entries: list[dict[str, Any]]) -> None:
    """When a page opens, its form holds the run that plays; the bundled model is loaded ahead.

    No other is: what a trace names is loaded when somebody presses Run.
    """
    config = first_config(entries)

    def fill() -> list[Any]:
        if config.model in BUNDLED:
            shared.models.warm(config.model, config.device, config.dtype)
        return shared.form.fill(config)

    page.load(
        fill,
        None,
        shared.form.components,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
