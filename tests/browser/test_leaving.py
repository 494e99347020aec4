"""A run that is left for another one is over on the server too, and what comes late is nobody's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import App, Watch, open_page
from tests.browser.test_live import LONG, assert_freed_early, set_fields, wait_for_steps, wait_until
from tests.browser.test_recorded import stage

pytestmark = pytest.mark.browser
ROW = ".fs-past-row"
BADGE = ".fs-stage .fs-badge"
IDLE = "() => document.body.dataset.run === 'idle'"
SHORT = {"max_new_tokens": "6", "max_paths": "4"}


def start_long(page: Page) -> None:
    set_fields(page, "Once upon a time", **LONG)
    page.locator("#fs-run").click()
    wait_for_steps(page, 10)


def assert_run_works(page: Page) -> None:
    expect(page.locator("#fs-run")).to_be_enabled()
    set_fields(page, "The dragon", **SHORT)
    page.locator("#fs-run").click()
    expect(page.locator(".fs-title").first).to_have_text("The dragon", timeout=60_000)
    expect(page.locator(BADGE).first).to_have_text("live run, finished", timeout=60_000)
    page.wait_for_function(IDLE)


def kept(page: Page, path: Path) -> Path:
    """The run on the stage, as a file."""
    lines = stage(page, "return [stage.log.header, ...stage.log.steps].map(JSON.stringify)")
    path.write_text("\n".join(lines) + "\n")  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("by", ["card", "file", "history"])
def test_what_is_opened_during_a_live_run_stops_it_on_the_server_and_run_works_again(
    page: Page, app: App, tmp_path: Path, by: str
) -> None:
    file = kept(page, tmp_path / "kept.jsonl")
    before = len(app.ended_runs())
    start_long(page)
    if by == "card":
        page.locator(".fs-run[data-run=fact]").dispatch_event("click")
        title = "A fact it knows"
    elif by == "file":
        page.set_input_files(".fs-file", file)
        title = "kept.jsonl"
    else:
        page.locator(ROW).nth(1).locator(".fs-past-open").dispatch_event("click")
        title = "A story opens"
    expect(page.locator(".fs-title").first).to_have_text(title)
    wait_until(lambda: len(app.ended_runs()) > before)
    assert_freed_early(app)
    page.wait_for_function(IDLE)
    expect(page.locator("#fs-stop")).to_be_disabled()
    expect(page.locator(".fs-status")).to_contain_text("Stopped.")
    row = page.locator(ROW, has_text="Once upon a time").first
    expect(row).to_contain_text("stopped ·")
    assert_run_works(page)
    row.locator(".fs-past-open").click()
    expect(page.locator(BADGE).first).to_have_text("stopped")
    expect(row).to_contain_text("stopped ·")


# What the server says reaches the page's stage through its host: here by hand.
REPLAY = """([token, more]) => {
  const { stages } = window.forkscope, { header, steps } = stages.explore.log;
  const batch = { run: "late", seq: 0, header, steps: steps.slice(0, 3), title: "late", token, ...more };
  window.forkscope.take("explore", batch);
}"""
