"""The sketch grid's figures: their marks are the rows, degenerate ones left out."""

from __future__ import annotations

from typing import Any

import pytest

from explorer.views.sweep import cost, page, widths


def row(policy: str | None, delta: float, nbytes: int, **axes: Any) -> dict[str, Any]:
    unset = {"kind": "baseline", "strategy": None, "topk": None, "width": None, "depth": None}
    return (
        unset
        | {"name": f"{policy} {axes}", "policy": policy, "max_cache_size": None}
        | {"is_degenerate": False, "delta_nll": delta, "total_nbytes": nbytes}
        | {"delta_nll_low": delta - 0.01, "delta_nll_high": delta + 0.03}
        | axes
    )


def grid(width: int, depth: int, delta: float, **more: Any) -> dict[str, Any]:
    axes = {"kind": "grid", "strategy": "topk", "topk": 32, "max_cache_size": 64}
    return row("count_min", delta, width * depth, **axes, width=width, depth=depth, **more)


ROWS = [
    row(None, 0.0, 4096),
    row("window", 0.2, 1024, strategy="evict", max_cache_size=64),
    row("h2o", 0.1, 1040, strategy="topk", topk=32, max_cache_size=64),
    row("h2o", 0.7, 1040, strategy="evict", max_cache_size=64),
    grid(128, 2, 0.3),
    grid(256, 2, 0.2),
    grid(128, 4, 0.25),
    grid(128, 2, 9.0, is_degenerate=True) | {"topk": 128},
    grid(128, 2, 0.5) | {"strategy": "aggregate", "topk": None},
]


def test_every_row_that_is_not_degenerate_is_a_mark_with_its_interval() -> None:
    figure = cost(ROWS)
    assert sum(len(trace.x) for trace in figure.data) == len(ROWS) - 1
    assert max(y for trace in figure.data for y in trace.y) == 0.7
    (window,) = [trace for trace in figure.data if trace.name == "window, evict"]
    assert (window.x, window.y) == ((1.0,), (0.2,))  # KiB, nats
    assert window.error_y.array == (pytest.approx(0.03),)
    assert window.error_y.arrayminus == (pytest.approx(0.01),)


def test_lines_are_means_over_strategies_by_width_and_depth() -> None:
    lines = {trace.name: (trace.x, trace.y) for trace in widths(ROWS).data}
    assert lines["cache 64, depth 2"] == ((128, 256), (pytest.approx(0.4), 0.2))
    assert lines["cache 64, depth 4"] == ((128, 256), (0.25, None))
    assert lines["cache 64, exact counters"] == ((128, 256), (0.1, 0.1))  # topk 32 is in the grid
    assert len(lines) == 3


def test_the_page_holds_both_figures_and_asks_nobody_for_anything() -> None:
    text = page({"rows": ROWS})
    assert "What the bytes buy" in text and "Width and depth of the sketch" in text
    assert text.count("Plotly.newPlot(") >= 2
    assert 'src="http' not in text


def test_no_rows_are_empty_figures() -> None:
    assert len(cost([]).data) == len(widths([]).data) == 0
