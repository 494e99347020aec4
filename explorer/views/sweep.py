"""The sketch grid as pictures: what a byte buys, and what width and depth do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from explorer.views.base import LIGHT, Theme, blank, page_of, unit_of

# Told apart by colour-blind eyes, on both grounds; the sketch is the one colour that is not muted.
COLORS = {
    "count_min": "#12988a",
    "h2o": "#a56bd0",
    "window": "#d9642c",
    "random": "#8b8f98",
    None: "#3d84d8",
}
NAMES = {"count_min": "count-min", "h2o": "exact counters", None: "full cache"}
SYMBOLS = {"topk": "circle", "aggregate": "diamond", "evict": "square", None: "star"}
DASHES = ("dot", "dash", "solid")

Row = Mapping[str, Any]


def usable(rows: Iterable[Row]) -> list[Row]:
    """Rows that are not degenerate."""
    return [row for row in rows if not row["is_degenerate"]]


def cost(rows: Sequence[Row], theme: Theme = LIGHT) -> go.Figure:
    """A mark a row: bytes of keys, values and counters (x, logarithmic) against the nats that a
    token costs more than under the full cache (y), with its 95 % interval. Degenerate points are
    left out; a colour is a policy, a shape what becomes of the rest."""
    figure = blank(theme)
    groups: dict[tuple[str | None, str | None], list[Row]] = {}
    for row in usable(rows):
        groups.setdefault((row["policy"], row["strategy"]), []).append(row)
    unit, size = unit_of(max((row["total_nbytes"] for row in usable(rows)), default=0))
    for (policy, strategy), group in groups.items():
        name = NAMES.get(policy, str(policy)) + (f", {strategy}" if strategy else "")
        figure.add_scatter(
            x=[row["total_nbytes"] / size for row in group],
            y=[row["delta_nll"] for row in group],
            error_y=dict(
                type="data",
                symmetric=False,
                array=[row["delta_nll_high"] - row["delta_nll"] for row in group],
                arrayminus=[row["delta_nll"] - row["delta_nll_low"] for row in group],
                thickness=0.6,
                width=0,
            ),
            mode="markers",
            name=name,
            text=[row["name"] for row in group],
            marker=dict(color=COLORS.get(policy, theme.muted), symbol=SYMBOLS[strategy], size=8),
            hovertemplate=f"%{{text}}<br>%{{x:,.1f}} {unit}, %{{y:+.4f}} nats<extra></extra>",
        )
    figure.update_layout(title_text="What the bytes buy, the counters' own among them")
    ticks = [digit * 10.0**power for power in range(-3, 4) for digit in (1, 2, 5)]
    words = [f"{tick:g}" for tick in ticks]
    figure.update_xaxes(title_text=unit, type="log", tickvals=ticks, ticktext=words)
    figure.update_yaxes(title_text="nats per token above the full cache", rangemode="normal")
    return figure


def widths(rows: Sequence[Row], theme: Theme = LIGHT) -> go.Figure:
    """A line a cache size and depth: mean nats above the full cache by the sketch's width, over
    the strategies that are not degenerate. Level lines are exact counters, over the same ones."""
    figure = blank(theme)
    kept = usable(rows)
    sizes = sorted({row["max_cache_size"] for row in kept if row["max_cache_size"]})
    palette = list(COLORS.values())
    for at, size in enumerate(sizes):
        color = palette[at % len(palette)]
        grid = [row for row in kept if row["kind"] == "grid" and row["max_cache_size"] == size]
        steps = sorted({row["width"] for row in grid})
        for depth, dash in zip(sorted({row["depth"] for row in grid}), DASHES, strict=False):
            chosen = [row for row in grid if row["depth"] == depth]
            figure.add_scatter(
                x=steps,
                y=[_mean(row for row in chosen if row["width"] == width) for width in steps],
                mode="lines+markers",
                name=f"cache {size}, depth {depth}",
                line=dict(color=color, dash=dash),
            )
        kinds = {(row["strategy"], row["topk"]) for row in grid}
        exact = [
            row
            for row in kept
            if row["policy"] == "h2o"
            and row["max_cache_size"] == size
            and (row["strategy"], row["topk"]) in kinds
        ]
        if exact and steps:
            figure.add_scatter(
                x=[steps[0], steps[-1]],
                y=[_mean(exact)] * 2,
                mode="lines",
                name=f"cache {size}, exact counters",
                line=dict(color=color, width=1),
            )
    figure.update_layout(title_text="Width and depth of the sketch")
    counts = sorted({row["width"] for row in kept if row["kind"] == "grid"})
    words = [str(count) for count in counts]
    figure.update_xaxes(
        title_text="counters in a row of the sketch", type="log", tickvals=counts, ticktext=words
    )
    figure.update_yaxes(title_text="nats per token above the full cache", rangemode="normal")
    return figure


def _mean(rows: Iterable[Row]) -> float | None:
    found = [row["delta_nll"] for row in rows]
    return sum(found) / len(found) if found else None


def page(document: Mapping[str, Any], theme: Theme = LIGHT) -> str:
    """Both figures as one HTML page that needs nothing from elsewhere."""
    figures = [cost(document["rows"], theme), widths(document["rows"], theme)]
    return page_of("Sketch grid", figures, theme, height=540, width=1080)
