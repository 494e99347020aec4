"""What the tabs have in common: the sidebar's form and buttons, loaded models, recent runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from explorer.config import RunConfig
from explorer.ui.caches import Caches
from explorer.ui.forms import Form
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache
from explorer.ui.runs import RunStore

# How events are handled: those that compute, one after another, and those that answer at once.
COMPUTING: dict[str, Any] = dict(
    show_progress="hidden",
    concurrency_id="device",  # the one queue of everything that computes
    concurrency_limit=1,
    trigger_mode="multiple",  # "once" would swallow a press while a stopped run winds up
    api_visibility="private",
)
QUIET: dict[str, Any] = dict(queue=False, show_progress="hidden", api_visibility="private")


def asking(stage: str) -> str:
    """JavaScript of a press: what the page names its request, in the place of the last input."""
    return f"(...values) => [...values.slice(0, -1), window.forkscope?.asked?.({stage!r}) ?? null]"


def stopping(button: gr.Button, stage: str | None = None) -> None:
    """The button stops what runs or waits in a stage, or in all: the page leaves its requests.

    Not `cancels` of Gradio: that ends whatever the session has begun under the same event, a run
    asked for right after Stop too, and is refused where the place in line is not known yet.
    """
    only = "" if stage is None else repr(stage)
    button.click(None, None, None, js=f"() => window.forkscope.stop({only})", queue=False)


@dataclass
class SidebarParts:
    """What the sidebar shows beside the form, and keeps up to date."""

    budget: gr.HTML
    presets: gr.HTML
    cards: gr.HTML


@dataclass
class Shared:
    """Given to every tab's `build`."""

    form: Form
    models: ModelCache
    store: RunStore
    run: gr.Button
    stop: gr.Button
    limits: Limits | None  # None: a page for its own machine only
    tabs: gr.Tabs | None = None  # set before the tabs are built
    backends: gr.CheckboxGroup | None = None  # those to compare; set by their tab
    variants: gr.Dropdown | None = None  # the runs of the Evict tab; set by it
    budget: gr.Number | None = None  # theirs, where they name none; set by it
    parts: SidebarParts | None = None  # set by the sidebar
    sweeps: dict[str, gr.Button] = field(default_factory=dict)  # buttons that lead to a sweep
    caches: Caches = field(init=False)  # of prompts, for all runs in Explore and Reuse

    def __post_init__(self) -> None:
        self.caches = Caches(self.limits)

    def config(self, values: Sequence[Any]) -> RunConfig:
        """The run that the form's `values` describe. Raises InputError, one sentence."""
        config = self.form.config(values)
        if self.limits is not None:
            self.limits.check(config)
        return config
