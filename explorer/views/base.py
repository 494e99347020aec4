"""What every figure shares: the page's colours, dark and light, and a quiet layout."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of text, lines and ground; the values of `assets/stage/stage.css`."""

    ink: str
    muted: str
    line: str
    surface: str


LIGHT = Theme(ink="#20242c", muted="#656b76", line="#e3e0d8", surface="#ffffff")
DARK = Theme(ink="#e9e8e4", muted="#a0a6b1", line="#2b313d", surface="#191d25")

# Told apart by colour-blind eyes, and legible on both grounds; the values of compare.css.
BACKEND_COLORS = {
    "naive": "#8b8f98",
    "deepcopy": "#d9642c",
    "batched": "#a56bd0",
    "cow": "#12988a",
    "recompute": "#3d84d8",
}


def blank(theme: Theme) -> go.Figure:
    """A figure without data. Its ground is clear: the page's card shows through."""
    axis = dict(
        gridcolor=theme.line,
        linecolor=theme.line,
        zerolinecolor=theme.line,
        tickfont_color=theme.muted,
        title=dict(font=dict(color=theme.muted, size=12), standoff=8),
        rangemode="tozero",
        fixedrange=True,
    )
    figure = go.Figure()
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font=dict(family="ui-sans-serif, system-ui, sans-serif", size=12, color=theme.ink),
        hoverlabel=dict(
            bgcolor=theme.surface, bordercolor=theme.line, font=dict(color=theme.ink, size=12)
        ),
        title=dict(x=0, xanchor="left", xref="paper", font=dict(size=15), y=0.98, yanchor="top"),
        margin=dict(l=64, r=16, t=44, b=48),
        legend=dict(orientation="h", yanchor="top", y=-0.3, xanchor="left", x=0),
        xaxis=axis,
        yaxis=axis,
    )
    return figure


def unit_of(nbytes: int) -> tuple[str, int]:
    """The binary unit in which `nbytes` has at most four digits, and its bytes."""
    power = 0
    while nbytes >= 1024 ** (power + 1) and power < len(_UNITS) - 1:
        power += 1
    return _UNITS[power], int(1024**power)


def page_of(
    title: str, figures: Iterable[go.Figure], theme: Theme, height: int = 440, width: int = 960
) -> str:
    """Figures one below the other as an HTML page that needs nothing from elsewhere; `height` of
    each and `width` of the page in pixels."""
    parts = []
    for at, figure in enumerate(figures):
        figure.update_layout(paper_bgcolor=theme.surface, plot_bgcolor=theme.surface)
        parts.append(
            figure.to_html(full_html=False, include_plotlyjs=at == 0, default_height=f"{height}px")
        )
    style = f"<style>body{{background:{theme.surface};margin:24px;max-width:{width}px}}</style>"
    head = f'<!doctype html><meta charset="utf-8"><title>{escape(title)}</title>{style}'
    return head + "".join(parts)
