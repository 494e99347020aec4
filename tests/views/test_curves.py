"""A sweep's figure: its marks are the rows, its bars their intervals, its words units and seeds."""

from __future__ import annotations

from typing import Any

import pytest

from explorer.views.curves import axis_of, curve, page

MEASURES = {
    "bytes": {"title": "peak", "unit": "B", "is_timing": False},
    "seconds": {"title": "whole run", "unit": "s", "is_timing": True},
}


def row(x: Any, way: str, value: float | None, **more: Any) -> dict[str, Any]:
    return {"name": f"{x} {way}", "x": x, "way": way, "bytes": value, "repeats": 3} | more


def document(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    known = {"name": "own", "rows": list(rows), "axes": ["x", "way"], "x": None}
    return known | {"measures": MEASURES} | more


def test_marks_are_rows_in_order_and_a_line_is_each_value_of_the_other_axis() -> None:
    given = document(
        row(8, "a", 4096, bytes_low=2048, bytes_high=5120), row(1, "a", 1024),
        row(1, "b", 2048), row(8, "b", None),
    )  # fmt: skip
    figure = curve(given, "bytes")
    lines = {line.name: line for line in figure.data}
    assert list(lines) == ["way a", "way b"]
    assert (lines["way a"].x, lines["way a"].y) == ((1.0, 8.0), (1.0, 4.0))  # KiB
    assert lines["way a"].error_y.array == (0.0, 1.0)
    assert lines["way a"].error_y.arrayminus == (0.0, 2.0)
    assert lines["way b"].y == (2.0,) and lines["way b"].error_y.array is None
    assert len({line.marker.symbol for line in figure.data}) == 2
    assert figure.layout.yaxis.title.text == "KiB"
    assert figure.layout.xaxis.title.text.startswith("x (n = 3 seeds a row; bars: bootstrap 95 %")


@pytest.mark.parametrize(
    ("values", "kind"), [((1, 100), "log"), ((1, 2), "linear"), ((0, 100), "linear")]
)
def test_a_wide_axis_is_logarithmic_unless_it_begins_at_0(values: Any, kind: str) -> None:
    figure = curve(document(*(row(x, "a", 1.0) for x in values)), "bytes")
    assert figure.layout.xaxis.type == kind


def test_words_stand_in_their_order_under_the_axis() -> None:
    given = document(row("tiny", "a", 3.0), row("other", "a", 1.0))
    figure = curve(given, "bytes")
    assert figure.layout.xaxis.ticktext == ("tiny", "other")
    assert figure.data[0].x == (0.0, 1.0)


def test_the_axis_below_is_the_sweeps_own_or_the_one_of_most_values() -> None:
    rows = [row(x, way, 1.0) for x in (1, 2, 3) for way in "ab"]
    assert axis_of(document(*rows)) == "x"
    assert axis_of(document(*rows, x="way")) == "way"
    assert axis_of(document(*rows, axes=["way"])) == "way"


def test_the_page_draws_what_has_values_and_asks_nobody_for_anything() -> None:
    text = page(document(row(1, "a", 1.0), row(2, "a", 2.0)))
    assert "own: peak" in text and "whole run" not in text
    assert 'src="http' not in text
