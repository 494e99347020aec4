"""A workload that is stopped, or whose page is closed, is over on the server and holds nothing."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import App
from tests.browser.test_live import LONG, set_fields, wait_until

pytestmark = pytest.mark.browser
RUNNING = """() => {
  const { record } = window.forkscope.stages.reuse ?? {};
  return record?.start.title === "Own: 40 prompts" && record.requests.length > 1;
}"""


def ended(app: App) -> list[tuple[int, int]]:
    """Of every workload that has ended: caches open and blocks held right after it."""
    found = re.findall(r"a workload ended; caches open: (\d+), blocks held: (\d+)", app.log())
    return [(int(caches), int(blocks)) for caches, blocks in found]


@pytest.mark.parametrize("by", ["stop", "closing"])
def test_a_workload_that_is_left_frees_everything(app: App, fresh_page: Page, by: str) -> None:
    page, before = fresh_page, len(ended(app))
    set_fields(page, "Once", **LONG)
    page.get_by_role("tab", name="Reuse", exact=True).click()
    page.locator("#fs-reuse-workload input").click()
    page.get_by_role("option", name="Own prompts").click()
    prompts = "\n".join(["The sun rises in the east, and the sun sets in the west."] * 40)
    page.locator("#fs-reuse-prompts textarea").fill(prompts)
    page.locator("#fs-reuse-run").click()
    page.wait_for_function(RUNNING, timeout=60_000)
    assert len(ended(app)) == before
    if by == "stop":
        page.locator("#fs-reuse-stop").click()
    else:
        page.close()
    wait_until(lambda: len(ended(app)) > before)
    assert ended(app)[-1] == (0, 0)
