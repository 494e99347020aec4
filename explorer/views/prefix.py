"""The prefix cache as a picture: every block, who goes on from whom, and who leaves next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import plotly.graph_objects as go

from explorer.views.base import LIGHT, Theme, blank

PINNED, NEXT, LEAF, TRUNK = "#12988a", "#d9642c", "#3d84d8", "#8b8f98"
KINDS = {
    "in use by a run": PINNED,
    "leaves next": NEXT,
    "a leaf": LEAF,
    "others go on from it": TRUNK,
}


class Shown(Protocol):
    """A block as `PrefixCache.views()` gives it."""

    key: str
    parent: str | None
    token_ids: tuple[int, ...]
    depth: int
    pins: int
    nbytes: int
    age: float
    idle: float
    turn: int | None
    num_children: int


def prefix(
    blocks: Sequence[Shown], texts: Mapping[str, str] | None = None, theme: Theme = LIGHT
) -> go.Figure:
    """A square a block, parents before their children in `blocks`. x: position of its first token
    in the text. y: leaves one below the other, a parent in the middle of its children. `texts`: by
    key, what the blocks say."""
    rows, texts = _rows(blocks), texts or {}
    places = {block.key: (block.depth * len(block.token_ids), rows[block.key]) for block in blocks}
    figure = blank(theme)
    edges = [(places[b.parent], places[b.key]) for b in blocks if b.parent is not None]
    figure.add_scatter(
        x=[x for start, end in edges for x in (start[0], end[0], None)],
        y=[y for start, end in edges for y in (start[1], end[1], None)],
        mode="lines",
        line=dict(color=theme.line, width=2),
        hoverinfo="skip",
        showlegend=False,
    )
    for kind, color in KINDS.items():
        own = [block for block in blocks if kind_of(block) == kind]
        figure.add_scatter(
            x=[places[block.key][0] for block in own],
            y=[places[block.key][1] for block in own],
            mode="markers",
            name=kind,
            marker=dict(symbol="square", size=12, color=color),
            customdata=[_words(block, texts.get(block.key, "")) for block in own],
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.update_layout(title_text="Blocks of the prefix cache")
    figure.update_xaxes(title_text="position of a block's first token")
    figure.update_yaxes(visible=False)
    return figure


def kind_of(block: Shown) -> str:
    """Which of `KINDS` a block is."""
    if block.pins:
        return "in use by a run"
    if block.num_children:
        return "others go on from it"
    return "a leaf" if block.turn else "leaves next"


def _words(block: Shown, text: str) -> str:
    runs = f"held by {block.pins} run{'' if block.pins == 1 else 's'}, " if block.pins else ""
    turn = "" if block.turn is None else f", number {block.turn + 1} to leave"
    said = text.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f"{said or block.key[:12]}<br>{len(block.token_ids)} tokens, {block.nbytes:,} B, {runs}"
        f"{block.age:.1f} s old, last used {block.idle:.1f} s ago{turn}"
    )


def _rows(blocks: Sequence[Shown]) -> dict[str, float]:
    """The y of every block: 0, -1, -2, ... for the leaves, in the order of the text tree."""
    children: dict[str | None, list[str]] = {}
    for block in blocks:
        children.setdefault(block.parent, []).append(block.key)
    rows: dict[str, float] = {}
    waiting = [(key, False) for key in reversed(children.get(None, []))]
    num_leaves = 0
    while waiting:
        key, is_back = waiting.pop()
        own = children.get(key, [])
        if not own:
            rows[key], num_leaves = -float(num_leaves), num_leaves + 1
        elif is_back:
            rows[key] = (rows[own[0]] + rows[own[-1]]) / 2
        else:
            waiting += [(key, True), *((child, False) for child in reversed(own))]
    return rows
