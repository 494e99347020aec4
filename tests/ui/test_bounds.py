"""What a wrong name, an old trace or a long run may do to the page: a sentence, no traceback."""

from __future__ import annotations

import asyncio

import gradio as gr
import pytest

from explorer import ui
from explorer.config import InputError, RunConfig
from explorer.ui import estimate, sidebar, stage
from explorer.ui.caches import LOCAL, Caches
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache


@pytest.mark.parametrize("name", ["~nouser/model", "m" * 5000])
def test_a_name_that_is_no_path_is_unknown(name: str) -> None:
    assert "unknown" in estimate.sentence(RunConfig(prompt="a", model=name), ModelCache())


def test_no_number_is_refused_by_gradio_where_no_stage_would_hear_of_it() -> None:
    async def build() -> gr.Blocks:  # gradio leaves an event loop open where none is running
        return ui.build()

    page = asyncio.run(build())
    numbers = [one for one in page.blocks.values() if isinstance(one, gr.Number)]
    assert {"fs-evict-budget", "fs-cached-tokens", "fs-reuse-capacity"} <= {
        one.elem_id for one in numbers
    }
    assert all(one.minimum is None and one.maximum is None for one in numbers)


def test_settings_of_another_release_leave_the_form_at_its_own() -> None:
    entry = {"name": "file", "config": {"no_such_setting": 1}}
    assert sidebar.config_of(entry) is None
    assert sidebar.first_config([entry]).prompt


def test_a_public_page_ends_a_run_in_time_and_keeps_what_came() -> None:
    parts = stage.within(iter([1, 2]), Limits(seconds=-1.0))
    assert next(parts) == 1
    with pytest.raises(InputError, match="stops a run"):
        next(parts)
    assert list(stage.within(iter([1, 2]), None)) == [1, 2]


@pytest.mark.parametrize("name", ["compile", "against_float32"])
def test_a_public_page_leaves_out_what_takes_more_than_a_visitors_share(name: str) -> None:
    Limits().check(RunConfig(prompt="a"))
    with pytest.raises(InputError, match=rf"^{name}: this public page leaves it out"):
        Limits().check(RunConfig(prompt="a", **{name: True}))


def test_caches_of_visitors_are_bounded_and_go_with_them() -> None:
    caches = Caches(Limits(prefix_caches=2))
    first = caches.of("a")
    caches.of("b")
    assert caches.of("a") is first
    caches.of("c")  # b came longest ago
    assert [caches.peek(one) is None for one in "abc"] == [False, True, False]
    caches.leave("a")
    assert (caches.peek("a"), len(caches)) == (None, 1)
    local = Caches(None)
    mine = local.of(local.visitor(None))
    local.leave(LOCAL)
    assert local.of(LOCAL) is mine


@pytest.mark.parametrize("port", ["abc", "0", "70000"])
def test_a_port_that_is_none_is_a_sentence(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_SERVER_PORT", port)
    with pytest.raises(InputError, match="GRADIO_SERVER_PORT"):
        ui.default_port()
