"""What the sidebar promises: nothing that a trace or a name says is loaded or believed unasked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from explorer.cache import pool
from explorer.config import InputError, RunConfig
from explorer.trace import Trace
from explorer.ui import estimate, presets, sidebar, stage
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache


def test_a_recorded_run_with_settings_nobody_knows_plays_and_leaves_the_form_alone(
    hand_trace: Trace, tmp_path: Path
) -> None:
    strange = Trace(replace(hand_trace.header, config={"colour": "red"}))
    strange.steps = list(hand_trace.steps)
    file = tmp_path / "strange.jsonl"
    strange.save(file)
    entries = sidebar.recorded_runs(str(file))
    assert entries[0]["title"] == "strange.jsonl"
    assert sidebar.config_of(entries[0]) is None
    assert sidebar.first_config(entries) == presets.EXAMPLES["story"].config()
    assert all(sidebar.config_of(entry) is not None for entry in entries[1:])


@pytest.mark.parametrize("name", ["~nobody-of-this-name/m", "x" * 5000, "../../etc", "owner/model"])
def test_a_name_that_is_no_folder_has_an_unknown_budget(name: str) -> None:
    said = estimate.sentence(RunConfig(prompt="x", model=name), ModelCache())
    assert said.startswith("Memory: unknown until")


def test_the_spare_room_in_the_budget_is_the_pools() -> None:
    assert (estimate.MIN_GROWTH, estimate.GROWTH) == (pool.MIN_GROWTH, pool.GROWTH)


def test_a_damaged_tokenizer_leaves_the_budget_a_guess(tmp_path: Path) -> None:
    config = '{"num_attention_heads": 2, "num_hidden_layers": 1, "hidden_size": 8}'
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "tokenizer.json").write_text("[]")
    size = estimate.size_of(RunConfig(prompt="x" * 40, model=str(tmp_path)), ModelCache())
    assert size == estimate.Size(2 * 8 * 4, 1, 2, 4, 10, False)


def test_a_public_page_ends_a_run_that_takes_too_long() -> None:
    def forever() -> Iterator[Any]:
        while True:
            yield "step"

    bounded = stage.within(forever(), replace(Limits(), seconds=0))
    assert next(bounded) == "step"
    with pytest.raises(InputError, match=r"stops a run after 0 seconds; what came stays"):
        next(bounded)
    assert next(stage.within(forever(), None)) == "step"
