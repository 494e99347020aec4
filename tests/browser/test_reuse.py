"""The Reuse tab's prefix cache in the browser: what the record says is what is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import App, Watch, open_page
from tests.browser.reusing import RECORDS, board, figure, looks, open_tab, seek, watch_example
from tests.browser.steps import frames
from tests.browser.test_recorded import HOSTILE

pytestmark = pytest.mark.browser


@pytest.fixture
def tab(fresh_page: Page) -> Page:
    """The page with its Reuse tab open."""
    return open_tab(fresh_page)


def test_an_example_plays_at_once_without_a_run_and_by_keys_alone(
    app: App, context: BrowserContext, watch: Watch
) -> None:
    page = open_tab(open_page(app.url, context, watch))
    page.locator("#fs-reuse-clear").click()  # what other pages of this server have left there
    page.wait_for_function(
        "() => window.forkscope.stages.reuse.live?.moments.at(-1).held.length === 0"
    )
    page.close()
    runs = len(app.ended_runs())
    page = open_tab(open_page(app.url, context, watch))
    expect(page.locator('[data-board="chat"]')).to_have_class("fs-shelf-card is-current")
    page.wait_for_function("() => window.forkscope.stages.reuse.player.cursor >= 2")
    expect(page.locator(".fs-reuse .fs-badge")).to_have_text("recorded")
    page.locator(".fs-reuse .fs-play").focus()
    page.keyboard.press("Space")
    assert board(page, "return board.player.playing") is False
    record = json.loads((RECORDS / "chat.json").read_text())
    looks = [at for at, one in enumerate(record["moments"]) if one["kind"] == "look"]
    page.keyboard.press("Home")
    for key, expected in (("n", looks[0]), ("n", looks[1]), ("p", looks[0]), (".", looks[0] + 1)):
        page.keyboard.press(key)
        assert board(page, "return board.player.cursor") == expected
        words = record["moments"][expected]["words"]
        expect(page.locator(".fs-reuse .fs-narration")).to_have_text(words)
    page.keyboard.press("End")
    page.locator(".fs-reuse-space").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowRight"):
        page.keyboard.press(key)
    frames(page)
    expect(page.locator(".fs-reuse-block.is-at")).to_have_attribute("data-block", "1")
    expect(page.locator(".fs-reuse-about")).to_contain_text(f"key {record['blocks'][1]['key']}")
    expect(page.locator(".fs-reuse-tip")).to_contain_text(f"key {record['blocks'][1]['key']}")
    tip, block = (
        page.locator(f".fs-reuse-{name}").bounding_box() for name in ("tip", "block.is-at")
    )
    assert tip and block
    below = tip["y"] - block["y"] - block["height"]
    assert 0 <= below < 12 or 0 <= block["y"] - tip["y"] - tip["height"] < 16
    assert len(app.ended_runs()) == runs


@pytest.mark.parametrize("name", ["rag", "agents"])
def test_every_moment_shows_the_records_own_blocks_and_figures(tab: Page, name: str) -> None:
    record = watch_example(tab, name)
    past: set[int] = set()
    seen: set[int] = set()
    for at, moment in enumerate(record["moments"]):
        seek(tab, at)
        held = {one[0] for one in moment["held"]}
        gone = set(moment["gone"])
        past = seen - held - gone
        seen |= held
        shown = looks(tab)
        assert shown["is-left"] == gone
        blocks = tab.locator(".fs-reuse-space > [role=treeitem]")
        assert blocks.count() == len(shown[""])  # what has no key of its own is no item
        assert shown["is-past"] == past
        assert shown[""] - shown["is-pending"] == held | gone | past
        assert shown["is-fresh"] == set(moment["new"])
        assert shown["is-pinned"] == {one[0] for one in moment["held"] if one[1]}
        assert shown["is-next"] == {one[0] for one in moment["held"] if one[2] == 0}
        if moment["kind"] == "look":
            assert shown["is-found"] == set(moment["hit"])
        stats = moment["stats"]
        assert figure(tab, "blocks") == f"{stats['blocks']} of {moment['capacity_blocks']}"
        assert figure(tab, "evicted_blocks") == str(stats["evicted_blocks"])
        if stats["queries"]:
            assert f"({stats['hits']:,} of {stats['queries']:,})" in figure(tab, "hit_rate")
    tab.locator('.fs-reuse [data-view="table"]').click()
    rows = tab.locator(".fs-reuse-rows tbody tr").evaluate_all(
        """(all) => {
          const cells = ["tokens", "nbytes", "pins", "turn", "users"];
          const value = (row, cell) => row.querySelector(`[data-cell=${cell}]`).dataset.value;
          return all.map((row) => [
            Number(row.dataset.block), ...cells.map((cell) => value(row, cell)),
          ]);
        }"""
    )
    for (block, *values), (expected, pins, turn, *_) in zip(
        rows, record["moments"][-1]["held"], strict=True
    ):
        own = record["blocks"][block]
        users = [str(one["n"]) for one in record["requests"] if block in one["ids"]]
        wanted = [own["tokens"], own["nbytes"], pins, "null" if turn is None else turn]
        assert block == expected
        assert values == [*map(str, wanted), ",".join(users)]
    listed = tab.locator(".fs-reuse-requests [data-fact=found]")
    hits = [str(one["hit_tokens"]) for one in record["requests"]]
    assert listed.evaluate_all("(all) => all.map((one) => one.dataset.value)") == hits


def test_a_request_seeks_to_its_look_and_lights_its_blocks_and_the_reverse(tab: Page) -> None:
    record = watch_example(tab, "agents")
    seek(tab, len(record["moments"]) - 1)
    request = record["requests"][8]
    row = tab.locator('.fs-reuse-requests tr[data-request="8"]')
    row.hover()
    held = {one[0] for one in record["moments"][-1]["held"]}
    frames(tab)
    assert looks(tab)["is-lit"] == set(request["ids"]) & looks(tab)[""]
    row.locator("button").click()
    look = next(
        at
        for at, one in enumerate(record["moments"])
        if one["kind"] == "look" and one["request"] == 8
    )
    assert board(tab, "return board.player.cursor") == look
    expect(row).to_have_class("is-lit is-now")
    parts = tab.locator(".fs-reuse-part.is-hit")
    expect(parts).to_have_count(request["hit_blocks"])
    texts = [part["text"] for part in request["parts"]]
    assert tab.locator(".fs-reuse-prompt").evaluate("(one) => one.textContent") == "".join(texts)
    seek(tab, len(record["moments"]) - 1)
    block = max(held)
    tab.locator(f'.fs-reuse-block[data-block="{block}"]').hover()
    frames(tab)
    users = [one["n"] for one in record["requests"] if block in one["ids"]]
    lit = tab.locator(".fs-reuse-requests tr.is-lit")
    assert lit.evaluate_all("(all) => all.map((one) => Number(one.dataset.request))") == users
    chain = {block}
    while (parent := record["blocks"][min(chain)]["parent"]) is not None:
        chain.add(parent)
    assert looks(tab)["is-lit"] == chain
    tab.mouse.move(0, 0)
    frames(tab)
    assert looks(tab)["is-lit"] == set()
    chart = tab.locator(".fs-reuse-chart")
    box = chart.bounding_box()
    assert box is not None
    chart.click(position={"x": 70, "y": 60})
    assert board(tab, "return board.player.cursor") == 0


def test_files_open_by_dropping_and_bad_ones_say_why_in_a_sentence(
    tab: Page, tmp_path: Path
) -> None:
    record = json.loads((RECORDS / "rag.json").read_text())
    for at, words in enumerate(HOSTILE):
        record["blocks"][at]["text"] = words
        record["requests"][at]["title"] = words
        record["requests"][at]["parts"][0]["text"] = words
    record["start"] |= {"title": HOSTILE[0], "caption": HOSTILE[1], "model": HOSTILE[2]}
    record["moments"][-1]["words"] = HOSTILE[0]
    record["requests"][0]["source"] = "constructor"
    watch_example(tab, "chat")
    drop = """([name, text]) => {
      const data = new DataTransfer();
      data.items.add(new File([text], name));
      const root = document.querySelector(".fs-reuse");
      root.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }"""
    tab.evaluate(drop, ["mine.json", json.dumps(record)])
    expect(tab.locator(".fs-reuse .fs-title")).to_have_text(HOSTILE[0])
    seek(tab, len(record["moments"]) - 1)
    expect(tab.locator(".fs-reuse .fs-narration")).to_have_text(HOSTILE[0])
    assert tab.evaluate(
        "() => window.pwned === undefined && !document.querySelector('.fs-reuse img')"
    )
    expect(tab.locator(".fs-reuse-requests")).not_to_contain_text("function")
    alert = tab.locator(".fs-reuse .fs-alert")
    record["moments"][3]["held"] = [[9999, 0, 0, 0, 0]]
    for text, words in (
        ("no record", "mine.json is no record of a prefix cache. Open a .json file"),
        (json.dumps(record), "mine.json is damaged: moments[3] names a block that is not there."),
    ):
        tab.evaluate(drop, ["mine.json", text])
        expect(alert).to_contain_text(words)
        expect(tab.locator(".fs-reuse .fs-title")).to_have_text(HOSTILE[0])
