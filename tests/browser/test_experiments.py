"""The Experiments tab in the browser: rows and plot grow, stop, go on, open, export."""

from __future__ import annotations

import csv
import re
from io import StringIO
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from explorer.config import RunConfig
from explorer.generate import run
from explorer.metrics import counters
from explorer.models import load_model
from explorer.ui import sidebar
from tests.browser.conftest import App

pytestmark = pytest.mark.browser
LONG = 120_000  # milliseconds


def board(page: Page, body: str, argument: object = None) -> Any:
    script = f"(arg) => {{ const board = window.forkscope.stages.experiments; {body} }}"
    return page.evaluate(script, argument)


@pytest.fixture
def tab(fresh_page: Page) -> Page:
    fresh_page.get_by_role("tab", name="Experiments", exact=True).click()
    fresh_page.wait_for_function("() => window.forkscope.stages.experiments")
    return fresh_page


def ask(page: Page, axes: str, options: str = "repeats=1, naive=0") -> None:
    """Fill the tab's inputs; the sidebar's stay those of the recorded story."""
    page.locator("#fs-sweep-axes textarea").fill(axes)
    page.locator("#fs-sweep-options :is(input, textarea)").fill(options)
    page.locator("#fs-sweep-options :is(input, textarea)").blur()
    page.wait_for_timeout(300)


def is_done(page: Page) -> None:
    expect(page.locator(".fs-sweeps .fs-badge")).to_have_text("finished", timeout=LONG)


def first_config(**changes: Any) -> RunConfig:
    return sidebar.first_config(sidebar.recorded_runs()).replace(**changes)


def test_a_sweep_is_estimated_run_drawn_exported_and_a_row_opened(tab: Page, app: App) -> None:
    ask(tab, "max_new_tokens = 3, 5\nmax_paths = 2, 4", "repeats=2, naive=1")
    tab.locator("#fs-experiments-estimate").click()
    estimate = tab.locator(".fs-sweep-estimate")
    expect(estimate).to_contain_text("Predicted for 4 rows: about ", timeout=LONG)
    expect(tab.locator(".fs-sweeps .fs-badge")).to_have_text("estimated")
    assert board(tab, "return board.sweep.rows.length") == 0
    tab.locator("#fs-experiments-run").click()
    is_done(tab)
    rows = tab.locator(".fs-sweep-rows tbody tr")
    expect(rows).to_have_count(4)
    model = load_model("tiny", "cpu")
    name = "forward_token_steps"
    tab.locator(".fs-sweep-measure").select_option(name)
    for at, (new, paths) in enumerate([(3, 2), (3, 4), (5, 2), (5, 4)]):
        config = first_config(max_new_tokens=new, max_paths=paths)
        found = [counters(run(model, config.replace(seed=seed)))[name]
                 for seed in (config.sampling.seed, config.sampling.seed + 1)]  # fmt: skip
        cell = rows.nth(at).locator(f'[data-measure="{name}"]')
        expect(cell).to_have_attribute("data-value", re.compile(f"^{sum(found) / 2:g}$"))
    expect(tab.locator(".fs-sweep-mark")).to_have_count(4)
    expect(tab.locator(".fs-sweep-line")).to_have_count(2)
    expect(tab.locator(".fs-sweep-plot .fs-card-note")).to_contain_text("n = 2 seeds a row")
    expect(tab.locator(".fs-sweep-ratio")).to_contain_text("(P + G) / G = ")
    with tab.expect_download() as download:
        tab.locator('[data-export="csv"]').click()
    assert download.value.suggested_filename == "temperature.csv"
    table = list(csv.DictReader(StringIO(download.value.path().read_text())))
    assert [(row["max_new_tokens"], row["max_paths"]) for row in table] == [
        ("3", "2"), ("3", "4"), ("5", "2"), ("5", "4")
    ]  # fmt: skip
    rows.nth(3).locator(".fs-sweep-open").click()
    expect(tab.get_by_role("tab", name="Explore")).to_have_attribute("aria-selected", "true")
    opened = (
        "() => { const { log, badge } = window.forkscope.stages.explore; "
        "return badge === 'done' && log.header.config.limits.max_new_tokens === 5"
        " && log.header.config.branching.max_paths === 4; }"
    )
    tab.wait_for_function(opened, timeout=LONG)


def test_stopped_it_keeps_its_rows_and_goes_on_at_once_with_the_others(tab: Page) -> None:
    ask(tab, "seed = 1, 2, 3, 4, 5, 6")
    tab.locator("#fs-experiments-run").click()
    tab.wait_for_function(
        "() => window.forkscope.stages.experiments.sweep?.rows.length >= 1", timeout=LONG
    )
    tab.locator("#fs-experiments-stop").click()
    expect(tab.locator(".fs-sweeps .fs-badge")).to_have_text("stopped")
    kept = board(tab, "return board.sweep.rows.map((row) => [row.key, row.seconds])")
    assert 1 <= len(kept) < 6
    expect(tab.locator(".fs-sweeps .fs-board-status")).to_contain_text("rows that were done stay")
    tab.locator(".fs-sweep-resume").click()
    is_done(tab)
    after = board(tab, "return board.sweep.rows.map((row) => [row.key, row.seconds])")
    assert len(after) == 6 and after[: len(kept)] == kept
    expect(tab.locator(".fs-sweep-resume")).to_be_hidden()


def test_what_cannot_be_run_is_one_sentence_and_hostile_text_stays_text(tab: Page) -> None:
    ask(tab, "temprature = 1")
    tab.locator("#fs-experiments-run").click()
    expect(tab.locator(".fs-sweeps .fs-alert")).to_contain_text("no setting 'temprature'")
    hostile = "<img src=x onerror=window.pwned=1>"
    ask(tab, f"prompt = {hostile}\nmax_new_tokens = 2\ntop_k = 1")
    tab.locator("#fs-experiments-run").click()
    is_done(tab)
    expect(tab.locator(".fs-sweep-rows tbody th").first).to_have_text(hostile)
    assert tab.evaluate("window.pwned") is None
    assert tab.locator(".fs-sweeps img").count() == 0


def test_another_sweep_brings_its_own_axes(tab: Page) -> None:
    tab.locator("#fs-sweep-name input").click()
    tab.get_by_role("option", name="Select", exact=True).click()
    axes = tab.locator("#fs-sweep-axes textarea")
    expect(axes).to_have_value(
        "select = sample, top, gumbel, arithmetic\nforward_tokens = 256, 512, 1024"
    )
    options = tab.locator("#fs-sweep-options :is(input, textarea)")
    expect(options).to_have_value("repeats=3, most_paths=64")
