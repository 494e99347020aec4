"""KV bytes over a run: what each backend allocated, and how much of it was in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

import plotly.graph_objects as go

from explorer.trace import Trace
from explorer.views.base import BACKEND_COLORS, LIGHT, Theme, blank, unit_of

_LINES = (("kv_nbytes", "allocated", "solid"), ("kv_live_nbytes", "in use", "dot"))


def memory(traces: Mapping[str, Trace], theme: Theme = LIGHT) -> go.Figure:
    """Two stepped lines a run, by label: allocated bytes (solid) and bytes in use (dotted).

    x: tokens chosen so far on all paths, pruned ones too. y: the step's larger measurement, of
    after its forward pass and at its end, so that a line's top is the peak that tables give.
    """
    peak = max(
        (value for trace in traces.values() for value in _nbytes(trace, "kv_nbytes")), default=0
    )
    unit, size = unit_of(peak)
    figure = blank(theme)
    drawn = {label: list(_nbytes(trace, "kv_nbytes")) for label, trace in traces.items()}
    for at, (label, trace) in enumerate(traces.items()):
        # a line that later ones cover shows as a rim around them
        width = 2 + 3 * sum(other == drawn[label] for other in list(drawn.values())[at + 1 :])
        tokens = list(accumulate(len(step.nodes) for step in trace))
        for name, words, dash in _LINES:
            figure.add_scatter(
                x=tokens,
                y=[value / size for value in _nbytes(trace, name)],
                mode="lines",
                name=f"{label}, {words}",
                legendgroup=label,
                line=dict(
                    color=BACKEND_COLORS[trace.header.config["cache"]["backend"]],
                    width=width if dash == "solid" else 2,
                    dash=dash,
                    shape="hv",
                ),
                hovertemplate=f"%{{y:,.1f}} {unit} {words} at token %{{x:,}}<extra>{label}</extra>",
            )
    figure.update_layout(title_text="KV cache over the run")
    figure.update_xaxes(title_text="tokens chosen so far, also pruned ones")
    figure.update_yaxes(title_text=unit)
    return figure


def _nbytes(trace: Trace, name: str) -> Iterator[int]:
    return (max(getattr(step.memory_forward, name), getattr(step.memory, name)) for step in trace)
