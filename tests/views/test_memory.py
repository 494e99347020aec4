"""The memory figure against the numbers of a trace made by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from explorer import metrics
from explorer.trace import Trace
from explorer.views import DARK, LIGHT, memory
from explorer.views.base import BACKEND_COLORS, unit_of
from tests.conftest import make_header, make_memory, make_trace

STAGE = Path(__file__).parents[2] / "assets" / "stage"


def scaled(trace: Trace, factor: int) -> Trace:
    """The same run with `factor` times the bytes, on another backend."""
    bigger = Trace(make_header(backend="deepcopy"))
    for step in trace:
        memories = {
            name: replace(
                getattr(step, name),
                kv_nbytes=getattr(step, name).kv_nbytes * factor,
                kv_live_nbytes=getattr(step, name).kv_live_nbytes * factor,
            )
            for name in ("memory", "memory_forward")
        }
        bigger.append(replace(step, **memories))
    return bigger


def test_lines_are_the_traces_own_bytes_over_the_tokens_chosen(hand_trace: Trace) -> None:
    allocated, in_use = memory({"cow": hand_trace}).data
    assert list(allocated.x) == list(in_use.x) == [2, 5, 6]
    assert list(allocated.y) == [512, 512, 512]
    # after the pass 2, 4, 4 slots of 64 bytes; at the end of the step 2, 3, 4: the larger counts
    assert list(in_use.y) == [128, 256, 256]
    assert (allocated.name, in_use.name) == ("cow, allocated", "cow, in use")
    assert (allocated.line.dash, in_use.line.dash) == ("solid", "dot")


def test_every_run_has_its_two_lines_in_one_unit_and_the_peaks_of_the_table(
    hand_trace: Trace,
) -> None:
    big = scaled(hand_trace, 16)
    figure = memory({"small": hand_trace, "big": big})
    assert len(figure.data) == 4
    assert figure.layout.yaxis.title.text == "KiB"
    for line, trace in zip(figure.data[::2], (hand_trace, big), strict=True):
        assert max(line.y) * 1024 == metrics.counters(trace)["kv_nbytes_peak"]
    for line, trace in zip(figure.data[1::2], (hand_trace, big), strict=True):
        assert max(line.y) * 1024 == metrics.counters(trace)["kv_live_nbytes_peak"]
    assert [line.line.color for line in figure.data[::2]] == [
        BACKEND_COLORS["cow"],
        BACKEND_COLORS["deepcopy"],
    ]


def test_of_two_runs_that_took_the_same_both_can_be_seen(hand_trace: Trace) -> None:
    under, _, over, _, other, _ = memory(
        {"a": hand_trace, "b": scaled(hand_trace, 1), "c": scaled(hand_trace, 2)}
    ).data
    assert list(under.y) == list(over.y)
    assert under.line.width > over.line.width == other.line.width


def test_a_run_that_keeps_nothing_and_a_run_without_steps_can_be_drawn() -> None:
    nothing = Trace(make_header(backend="recompute"))
    for step in make_trace():
        zero = replace(make_memory(0, 0, capacity=0))
        nothing.append(replace(step, memory=zero, memory_forward=zero))
    figure = memory({"recompute": nothing, "stopped": Trace(make_header())})
    assert list(figure.data[0].y) == [0, 0, 0]
    assert list(figure.data[2].x or ()) == []
    assert figure.layout.yaxis.title.text == "B"


@pytest.mark.parametrize(
    ("nbytes", "unit", "size"),
    [(0, "B", 1), (1023, "B", 1), (1024, "KiB", 1024), (3 * 2**20, "MiB", 2**20)],
)
def test_units_are_binary(nbytes: int, unit: str, size: int) -> None:
    assert unit_of(nbytes) == (unit, size)


@pytest.mark.parametrize(("theme", "block"), [(LIGHT, ":root, body"), (DARK, "body.dark")])
def test_a_figures_colours_are_the_pages(theme: object, block: str, hand_trace: Trace) -> None:
    css = (STAGE / "stage.css").read_text()
    rules = css[css.index(f"{block} {{") :].split("}")[0]
    colors = dict(re.findall(r"--fs-([\w-]+): ([^;]+);", rules))
    for name in ("ink", "muted", "line", "surface"):
        assert getattr(theme, name) == colors[name]
    layout = memory({"cow": hand_trace}, theme).layout  # type: ignore[arg-type]
    assert layout.font.color == colors["ink"]
    assert layout.xaxis.tickfont.color == colors["muted"]


def test_a_backend_has_one_colour_on_the_page_and_in_figures() -> None:
    css = (STAGE / "compare.css").read_text()
    assert dict(re.findall(r"--fs-backend-(\w+): ([^;]+);", css)) == BACKEND_COLORS
