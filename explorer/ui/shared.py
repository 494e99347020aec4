"""What the tabs have in common: the sidebar's form and buttons, loaded models, recent runs."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from explorer.ui.forms import Form
from explorer.ui.models import ModelCache
from explorer.ui.runs import RunStore

DEVICE = "device"  # the one queue of everything that computes


@dataclass
class Shared:
    """Given to every tab's `build`."""

    form: Form
    models: ModelCache
    store: RunStore
    run: gr.Button
    stop: gr.Button
    tabs: gr.Tabs | None = None
