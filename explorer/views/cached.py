"""Cached against uncached as pictures: speed over length, what the cache saves, what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from explorer.views.base import BACKEND_COLORS, LIGHT, Theme, blank, page_of, unit_of

SIDES = {"cached": "cow", "uncached": "recompute"}
Row = Mapping[str, Any]


def known(document: Mapping[str, Any]) -> list[Row]:
    """Rows with a speed-up, the shortest text first."""
    rows = [row for row in document["rows"] if row.get("speedup_decode")]
    return sorted(rows, key=lambda row: row["length"])


def speed(document: Mapping[str, Any], theme: Theme = LIGHT) -> go.Figure:
    """Tokens a second after the prompt by the length of the text, with a cache and without."""
    figure, rows = blank(theme), known(document)
    for side, backend in SIDES.items():
        figure.add_scatter(
            x=[row["length"] for row in rows],
            y=[row[f"{side}_per_second"] for row in rows],
            mode="lines+markers",
            name=f"{side} ({backend})",
            line=dict(color=BACKEND_COLORS[backend], dash="solid" if side == "cached" else "dash"),
            hovertemplate="%{x:,} tokens: %{y:,.3g} tokens/s<extra>" + side + "</extra>",
        )
    figure.update_layout(title_text="Tokens a second, the longer the text")
    figure.update_yaxes(title_text="tokens/s", type="log", rangemode="normal")
    return _lengths(figure, rows)


def speedup(document: Mapping[str, Any], theme: Theme = LIGHT) -> go.Figure:
    """How many times as long a step takes without a cache, with 95 % intervals; a level line where
    both are as fast, an upright one at the crossing where there is one."""
    figure, rows = blank(theme), known(document)
    figure.add_scatter(
        x=[row["length"] for row in rows],
        y=[row["speedup_decode"] for row in rows],
        error_y=_intervals(rows),
        mode="lines+markers",
        name="uncached / cached",
        line=dict(color=BACKEND_COLORS["cow"]),
        hovertemplate="%{x:,} tokens: %{y:.2f} ×<extra></extra>",
    )
    figure.add_hline(y=1, line=dict(color=theme.muted, dash="dot", width=1))
    crossing = document["summary"].get("crossing", {}).get("length")
    if crossing is not None:
        figure.add_vline(
            x=crossing,
            line=dict(color=theme.muted, dash="dot", width=1),
            annotation=dict(text=f"{crossing:,.0f} tokens", font_color=theme.ink),
        )
    figure.update_layout(title_text="What the cache saves", showlegend=False)
    figure.update_yaxes(title_text="uncached / cached", type="log", rangemode="normal")
    return _lengths(figure, rows)


def memory(document: Mapping[str, Any], theme: Theme = LIGHT) -> go.Figure:
    """Bytes of keys and values that the cache allocated at its peak."""
    figure, rows = blank(theme), known(document)
    unit, size = unit_of(max((int(row["kv_nbytes_peak"]) for row in rows), default=0))
    for side, name in (("cached", "kv_nbytes_peak"), ("uncached", "uncached_kv_nbytes_peak")):
        backend = SIDES[side]
        figure.add_scatter(
            x=[row["length"] for row in rows],
            y=[row[name] / size for row in rows],
            mode="lines+markers",
            name=f"{side} ({backend})",
            line=dict(color=BACKEND_COLORS[backend], dash="solid" if side == "cached" else "dash"),
            hovertemplate=f"%{{x:,}} tokens: %{{y:,.1f}} {unit}<extra>{side}</extra>",
        )
    figure.update_layout(title_text="What it holds: keys and values at their peak")
    figure.update_yaxes(title_text=unit)
    return _lengths(figure, rows)


def _intervals(rows: Sequence[Row]) -> dict[str, Any] | None:
    if any(row.get("speedup_decode_low") is None for row in rows):
        return None
    return dict(
        type="data",
        symmetric=False,
        array=[row["speedup_decode_high"] - row["speedup_decode"] for row in rows],
        arrayminus=[row["speedup_decode"] - row["speedup_decode_low"] for row in rows],
        thickness=1,
        width=4,
    )


def _lengths(figure: go.Figure, rows: Sequence[Row]) -> go.Figure:
    spots = [row["length"] for row in rows]
    figure.update_xaxes(
        title_text="tokens of the text at its end",
        type="log",
        tickvals=spots,
        ticktext=[f"{spot:,}" for spot in spots],
        rangemode="normal",
    )
    return figure


def page(document: Mapping[str, Any], theme: Theme = LIGHT) -> str:
    """All three as one HTML page that needs nothing from elsewhere."""
    figures = (draw(document, theme) for draw in (speed, speedup, memory))
    return page_of("Cached against uncached", figures, theme)
