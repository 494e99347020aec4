"""A sweep's measures over its axis, with their intervals: one line for each of the other axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from explorer.views.base import LIGHT, Theme, blank, page_of, unit_of

# Okabe and Ito's: told apart by colour-blind eyes, on both grounds.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "star")
WIDE = 8  # an axis whose ends are further apart than this is logarithmic
SHOWN = 4  # figures of a page

Row = Mapping[str, Any]


def curve(document: Mapping[str, Any], measure: str, theme: Theme = LIGHT) -> go.Figure:
    """`measure` (y) over the sweep's axis (x), a mark a row, with its 95 % interval where there is
    one. Rows that have no value are left out. `document` is that of `sweep --json`."""
    figure = blank(theme)
    x = axis_of(document)
    rows = [row for row in document["rows"] if row.get(measure) is not None and x in row]
    about = document["measures"][measure]
    unit, size = about["unit"], 1
    if unit == "B":
        unit, size = unit_of(int(max((row[measure] for row in rows), default=0)))
    places = places_of([row[x] for row in rows])
    for at, (name, own) in enumerate(series(document, x, rows).items()):
        figure.add_scatter(
            x=[places[_word(row[x])] for row in own],
            y=[row[measure] / size for row in own],
            error_y=_bars(own, measure, size),
            mode="lines+markers",
            name=name,
            text=[row["name"] for row in own],
            line=dict(color=PALETTE[at % len(PALETTE)], width=1.6),
            marker=dict(symbol=SYMBOLS[at % len(SYMBOLS)], size=8),
            hovertemplate=f"%{{text}}<br>%{{y:,.4g}} {unit}<extra></extra>",
        )
    repeats = sorted({row["repeats"] for row in rows if "repeats" in row})
    how = f"{document['name']}: {about['title']}"
    figure.update_layout(title_text=how, showlegend=len(figure.data) > 1)
    figure.update_xaxes(title_text=_axis_title(x, repeats), **_ticks(places))
    figure.update_yaxes(title_text=unit or about["title"])
    return figure


def axis_of(document: Mapping[str, Any]) -> str:
    """The axis that stands below: the sweep's own, or the one of most values."""
    rows, axes = document["rows"], document["axes"]
    if any(document["x"] in row for row in rows):
        return str(document["x"])
    return max(axes, key=lambda axis: len({_word(row.get(axis)) for row in rows}), default="name")


def series(document: Mapping[str, Any], x: str, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by their values on the other axes, those that vary; in order of x where it is one."""
    varying = [
        axis
        for axis in document["axes"]
        if axis != x and len({_word(row.get(axis)) for row in rows}) > 1
    ]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        name = ", ".join(f"{axis} {_word(row[axis])}" for axis in varying)
        groups.setdefault(name, []).append(row)
    for own in groups.values():
        if all(_is_number(row[x]) for row in own):
            own.sort(key=lambda row: float(row[x]))
    return groups


def places_of(values: Sequence[Any]) -> dict[str, float]:
    """Where each value of an axis stands: numbers at themselves, others one after another."""
    words = dict.fromkeys(map(_word, values))
    if all(map(_is_number, values)):
        return {_word(value): float(value) for value in values}
    return {word: float(at) for at, word in enumerate(words)}


def _ticks(places: Mapping[str, float]) -> dict[str, Any]:
    spots = list(places.values())
    is_wide = bool(spots) and min(spots) > 0 and max(spots) / min(spots) > WIDE
    kind: dict[str, Any] = dict(type="log") if is_wide else dict(type="linear")
    return kind | dict(tickvals=spots, ticktext=list(places), rangemode="normal")


def _bars(rows: Sequence[Row], measure: str, size: int) -> dict[str, Any] | None:
    ends = [(row.get(f"{measure}_low"), row.get(f"{measure}_high")) for row in rows]
    if all(low is None or high is None for low, high in ends):
        return None
    pairs = zip(rows, ends, strict=True)
    up, down = [], []
    for row, (low, high) in pairs:
        up.append(0.0 if high is None else (high - row[measure]) / size)
        down.append(0.0 if low is None else (row[measure] - low) / size)
    return dict(type="data", symmetric=False, array=up, arrayminus=down, thickness=1, width=4)


def _axis_title(x: str, repeats: Sequence[int]) -> str:
    if not repeats:
        return x
    count = "–".join(map(str, dict.fromkeys((repeats[0], repeats[-1]))))
    return f"{x} (n = {count} seeds a row; bars: bootstrap 95 % interval)"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _word(value: Any) -> str:
    return f"{value:g}" if _is_number(value) else str(value)


def page(document: Mapping[str, Any], theme: Theme = LIGHT) -> str:
    """The first measures that have values, as one HTML page that needs nothing from elsewhere."""
    rows = document["rows"]
    known = [
        name for name in document["measures"] if any(row.get(name) is not None for row in rows)
    ]
    figures = (curve(document, name, theme) for name in known[:SHOWN])
    return page_of(document["name"], figures, theme)
