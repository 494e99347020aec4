"""The sketches' benchmark: every case is there, and its bytes and rates add up."""

from __future__ import annotations

from typing import Any

import pytest

from explorer.experiments import BENCHMARKS, FULL, QUICK, sketches


@pytest.fixture(scope="module")
def quick() -> dict[str, dict[str, Any]]:
    """Cases by name, measured once under the quick conditions."""
    cases = sketches.measure(QUICK, "cpu", "float32", lambda done, total, name: None)
    return {case["name"]: case for case in cases}


def test_they_are_measured_at_the_promised_sizes() -> None:
    assert FULL.sketch_slots == (256, 4096, 65536)
    assert (FULL.sketch_width, FULL.sketch_depth) == (512, 4)
    assert "explorer.experiments.sketches" in BENCHMARKS


def test_every_case_is_there_and_progress_reaches_its_end(quick: dict[str, dict[str, Any]]) -> None:
    assert list(quick) == sketches.case_names(QUICK)
    assert len(sketches.case_names(FULL)) == len(set(sketches.case_names(FULL))) == 18
    shown: list[tuple[int, int]] = []
    for _ in sketches.measure(
        QUICK, "cpu", "float32", lambda done, total, _: shown.append((done, total))
    ):
        pass
    assert shown == [(done, 12) for done in range(13)]


def test_updates_are_rates_of_what_was_counted(quick: dict[str, dict[str, Any]]) -> None:
    updates = {name: case for name, case in quick.items() if "update of" in name}
    assert len(updates) == 2 * 4
    for name, case in updates.items():
        slots = 16 if ", 16 slots" in name else 512
        assert case["counted"] == slots * QUICK.num_layers
        assert case["updates_per_second"] * case["seconds"] == pytest.approx(case["counted"])
        exact = case["exact_updates_per_second"] * case["ratio_to_seconds"]
        assert exact == pytest.approx(case["counted"])
        assert case["repeats"] == QUICK.num_repeats
        assert case["met"] is None


def test_the_exact_table_is_said_to_be_smaller_where_it_is(
    quick: dict[str, dict[str, Any]],
) -> None:
    """A sketch of 64 x 4 cells holds no less than exact counters of fewer slots than that."""
    few, many = (
        quick[f"sketches, {slots} slots: bytes of count_min"] for slots in QUICK.sketch_slots
    )
    cells = 4 * 64 * 4 * QUICK.num_layers
    assert few["nbytes"] == many["nbytes"] == cells + 4 * QUICK.num_layers + 2 * 8 * 4
    assert few["exact_nbytes"] == 4 * 16 * QUICK.num_layers
    assert (few["smaller"], many["smaller"]) == ("exact counters", "count_min")
    for case in (few, many):
        assert case["ratio"] == case["nbytes"] / case["exact_nbytes"]


def test_both_sides_count_every_slot_once_in_an_update() -> None:
    import torch

    stream = sketches.Stream(QUICK, 16, torch.device("cpu"))
    for _ in range(3):
        stream.count_exactly()
    assert torch.allclose(stream.exact, 3 * stream.weights.flatten())
    sketch = stream.counts["count_min"].func.__self__
    for _ in range(3):
        stream.counts["count_min"]()
    assert sketch.total.tolist() == pytest.approx([3.0] * QUICK.num_layers)
    race = stream.counts["race"].func.__self__
    stream.counts["race"]()
    assert race.total.tolist() == [16] * QUICK.num_layers
