"""What the tabs have in common: the sidebar's form and buttons, loaded models, recent runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from explorer.config import RunConfig
from explorer.ui.forms import Form
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache
from explorer.ui.runs import RunStore

DEVICE = "device"  # the one queue of everything that computes


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
    parts: SidebarParts | None = None  # set by the sidebar

    def config(self, values: Sequence[Any]) -> RunConfig:
        """The run that the form's `values` describe. Raises InputError, one sentence."""
        config = self.form.config(values)
        if self.limits is not None:
            self.limits.check(config)
        return config
