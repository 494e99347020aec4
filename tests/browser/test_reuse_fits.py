"""The Reuse tab's prefix cache in the browser: on any screen, and with very much in it."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import ROOT, App, Watch
from tests.browser.reusing import (
    RECORDS,
    SHOWN_CONTRASTS,
    board,
    looks,
    open_tab,
    seek,
    watch_example,
)
from tests.browser.steps import frames

pytestmark = pytest.mark.browser


@pytest.fixture
def tab(fresh_page: Page) -> Page:
    """The page with its Reuse tab open."""
    return open_tab(fresh_page)


COUNTED = """async () => {
  const board = window.forkscope.stages.reuse;
  const seen = { changes: 0, isSame: true };
  const row = document.querySelector(".fs-reuse-rows tbody tr");
  const watch = new MutationObserver((all) => (seen.changes += all.length));
  const root = board.parts.root;
  watch.observe(root, { subtree: true, childList: true, attributes: true, characterData: true });
  const cell = document.querySelector('.fs-reuse-block[data-block="5"]');
  (cell ?? row).dispatchEvent(new PointerEvent("pointerover", { bubbles: true, clientX: 9 }));
  board.draw();
  await null;
  seen.changes += watch.takeRecords().length;
  watch.disconnect();
  seen.elements = root.querySelectorAll("*").length;
  seen.isSame = row === document.querySelector(".fs-reuse-rows tbody tr");
  return seen;
}"""


def test_ten_thousand_blocks_and_a_thousand_requests_are_few_elements_and_a_hover_changes_few(
    tab: Page,
) -> None:
    record = json.loads((RECORDS / "rag.json").read_text())
    made = {"parent": None, "tokens": 16, "text": "once upon a time", "nbytes": 9, "key": "k"}
    record["blocks"] = [
        made | {"parent": at - 1 if at % 20 else None, "depth": at % 20} for at in range(10_000)
    ]
    request = record["requests"][0] | {"ids": list(range(20)), "hit_blocks": 0}
    record["requests"] = [request | {"n": n} for n in range(1_000)]
    moment = record["moments"][0] | {"held": [], "hit": [], "new": [], "gone": [], "words": "x"}
    held = [[block, 0, block, 0, 0] for block in range(10_000)]
    record["moments"] = [
        moment | {"kind": kind, "request": n, "time": n}
        for n in range(1_000)
        for kind in ("look", "keep", "end")
    ]
    record["moments"][-1] |= {"held": held}
    watch_example(tab, "chat")
    opened = "([name, text]) => window.forkscope.stages.reuse.open([new File([text], name)])"
    tab.evaluate(opened, ["big.json", json.dumps(record)])
    expect(tab.locator(".fs-reuse .fs-place")).to_contain_text("of 2999")
    seek(tab, 2_999)
    assert len(looks(tab)[""]) == 1_500
    expect(tab.locator(".fs-reuse-forest + .fs-fine")).to_have_text(
        "1,500 of 10,000 blocks are drawn; the record that is saved has all of them."
    )
    assert tab.locator(".fs-reuse-chart *").count() < 120
    hover = tab.evaluate(COUNTED)
    assert looks(tab)["is-at"] == {5}
    assert looks(tab)["is-lit"] == set(range(6))
    assert hover["elements"] < 25_000
    assert hover["changes"] < 2_500  # the rows of the thousand requests that have the block
    tab.locator('.fs-reuse [data-view="table"]').click()
    frames(tab)
    assert tab.evaluate(COUNTED)["isSame"]


READ = (
    ".fs-reuse-lines text",
    ".fs-reuse-block.is-pending .fs-reuse-text:not([hidden])",
    ".fs-reuse-requests tr[data-progress=ahead] .fs-reuse-open-request :is(b, span)",
    ".fs-reuse-requests tr[data-progress=ahead] small",
)


def test_it_fits_from_a_phone_to_a_desk_in_both_themes_and_holds_still_when_asked(
    app: App, context: BrowserContext, watch: Watch
) -> None:
    page = context.new_page()
    page.emulate_media(reduced_motion="reduce")
    watch.follow(page)
    page.goto(app.url)
    page.wait_for_function("() => window.forkscope?.stages.explore?.log")
    open_tab(page)
    record = watch_example(page, "rag")
    last = len(record["moments"]) - 1
    assert board(page, "return [board.player.cursor, board.player.playing]") == [last, False]
    for width in (1440, 1024, 700, 390):
        page.set_viewport_size({"width": width, "height": 900})
        frames(page)
        frames(page)
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), width
        inside = page.locator(".fs-reuse-block").evaluate_all(
            """(all) => all.every((one) => one.offsetLeft >= 0
              && one.offsetLeft + one.offsetWidth <= one.parentElement.scrollWidth)"""
        )
        assert inside, width
        expect(page.locator(".fs-reuse-set-up")).to_be_visible(visible=width <= 1024)
        expect(page.locator("#fs-reuse-run")).to_be_visible(visible=width > 1024)
        is_narrow = width == 390
        unfold, legend = page.locator(".fs-reuse-unfold"), page.locator(".fs-reuse-legend")
        expect(unfold).to_be_visible(visible=is_narrow)
        expect(legend).to_be_visible(visible=not is_narrow)
    page.locator(".fs-reuse-set-up").click()
    expect(page.locator("#fs-reuse-run")).to_be_visible()
    unfold.click()
    expect(unfold).to_have_attribute("aria-expanded", "true")
    expect(legend).to_be_visible()
    other = json.loads(json.dumps(record).replace("Rosa", "Nora"))  # as long as the other one
    prompt = page.locator(".fs-reuse-prompt")
    seek(page, 1)
    assert "Rosa" in prompt.inner_text()
    page.evaluate(
        """(text) => {
          const board = window.forkscope.stages.reuse;
          return board.open([new File([text], "other.json")]);
        }""",
        json.dumps(other),
    )
    seek(page, 1)
    assert "Nora" in prompt.inner_text()
    contrasts = """async (base) => {
      const { contrast } = await import(`${base}contrast.js`);
      return [...document.querySelectorAll(".fs-reuse-block")].filter((one) => one.style.color)
        .map((one) => contrast(one.style.color, one.style.backgroundColor));
    }"""
    base = f"{app.url}gradio_api/file={(ROOT / 'assets' / 'stage').as_posix()}/"
    looked = next(at for at, one in enumerate(record["moments"]) if one["kind"] == "look")
    for _ in range(2):
        seek(page, last)
        assert min(page.evaluate(contrasts, base)) >= 4.5
        seek(page, looked)  # blocks that are not computed yet, requests that have not looked yet
        for selector in READ:
            assert page.locator(selector).count(), selector
            assert min(page.evaluate(SHOWN_CONTRASTS, [base, selector])) >= 4.5, selector
        page.keyboard.press("t")
        frames(page)
