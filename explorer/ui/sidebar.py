"""The sidebar: recorded runs, prompt, model, Run and Stop, every setting, the budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

from explorer.catalogue import known
from explorer.config import InputError, RunConfig
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
    budget = gr.Markdown(elem_id="fs-budget", container=False)
    preset = gr.Dropdown(
        list(SETTINGS), value="Default", label="Preset", elem_id="fs-preset", info="How to branch"
    )
    form.place_groups()
    _wire(form, models, budget, preset, cards, entries)
    return Shared(form, models, store, run, stop, limits)


def _wire(
    form: Form,
    models: ModelCache,
    budget: gr.Markdown,
    preset: gr.Dropdown,
    cards: gr.HTML,
    entries: list[dict[str, Any]],
) -> None:
    configs = {entry["name"]: entry["config"] for entry in entries}

    def predict(*values: Any) -> str:
        try:
            return estimate.sentence(form.config(values), models)
        except InputError as error:
            return f"{error}"

    def choose(name: str, *values: Any) -> list[Any]:
        prompt, model = values[0], values[1]
        return form.fill(RunConfig(**({"prompt": prompt, "model": model} | SETTINGS[name])))

    def fill(event: gr.EventData) -> list[Any]:
        name = event._data["name"]
        return form.fill(RunConfig(**configs[name]))

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
    return RunConfig(**entries[0]["config"]) if entries else EXAMPLES["story"].config()


def start(page: gr.Blocks, shared: Shared, entries: list[dict[str, Any]]) -> None:
    """When a page opens, its form holds the run that plays, and the model for it is fetched."""
    config = first_config(entries)

    def fill() -> list[Any]:
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
