"""The Reuse tab's prefix cache in the browser: what the record says is what is shown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import ROOT, App, Watch, open_page
from tests.browser.steps import frames
from tests.browser.test_recorded import HOSTILE

pytestmark = pytest.mark.browser
RECORDS = ROOT / "assets" / "traces" / "reuse"
WHOLE = "() => window.forkscope.stages.reuse.parts.root.dataset.state === 'done'"


def board(page: Page, body: str, argument: object = None) -> Any:
    """Run `body` with `board` and `arg` in the page."""
    script = f"(arg) => {{ const board = window.forkscope.stages.reuse; {body} }}"
    return page.evaluate(script, argument)


def open_tab(page: Page) -> Page:
    page.get_by_role("tab", name="Reuse", exact=True).click()
    page.wait_for_function("() => window.forkscope.stages.reuse?.record")
    return page


@pytest.fixture
def tab(fresh_page: Page) -> Page:
    """The page with its Reuse tab open."""
    return open_tab(fresh_page)


def watch_example(page: Page, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((RECORDS / f"{name}.json").read_text())
    page.locator(f'[data-board="{name}"] .fs-shelf-open').click()
    expect(page.locator(".fs-reuse .fs-title")).to_have_text(record["start"]["title"])
    page.wait_for_function(
        "(created) => window.forkscope.stages.reuse.record.start.created === created",
        arg=record["start"]["created"],
    )
    return record


def seek(page: Page, moment: int) -> None:
    board(page, "board.player.seek(arg); board.draw();", moment)


LOOKS = """() => {
  const all = [...document.querySelectorAll(".fs-reuse-block[data-block]")];
  const own = { "": [] };
  for (const one of all) {
    for (const look of ["", ...one.classList]) (own[look] ??= []).push(Number(one.dataset.block));
  }
  return own;
}"""


def looks(page: Page) -> defaultdict[str, set[int]]:
    """Ids of the blocks in the picture ("") and of those that look so: is-found, is-left ..."""
    found = page.evaluate(LOOKS)
    return defaultdict(set, {look: set(ids) for look, ids in found.items()})


def figure(page: Page, name: str) -> str:
    return page.locator(f'.fs-reuse-figures [data-fact="{name}"]').inner_text()


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


def hit_tokens(command: subprocess.Popen[str]) -> list[int]:
    """Of the requests that the command line has run."""
    told, _ = command.communicate(timeout=100)
    assert command.returncode == 0
    return [run["prefix"]["hit_tokens"] for run in json.loads(told)["runs"]]


def test_a_live_workload_shows_its_moments_and_finds_what_the_command_line_finds(
    tab: Page, tmp_path: Path
) -> None:
    words = ["reuse", "--workload", "agents", "--prefix-max-blocks", "8", "--json"]
    command = subprocess.Popen(
        [sys.executable, "-m", "explorer", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    tab.locator('[data-board="agents"] .fs-shelf-live').click()
    tab.wait_for_function("() => window.forkscope.stages.reuse.player.isLive")
    expect(tab.locator("#fs-reuse-run")).to_be_disabled()
    tab.wait_for_function(WHOLE)
    live = json.loads(board(tab, "return board.live.file"))
    recorded = json.loads((RECORDS / "agents.json").read_text())
    found = [one["hit_tokens"] for one in live["requests"]]
    assert found == hit_tokens(command)
    assert found == [one["hit_tokens"] for one in recorded["requests"]]
    same = ("kind", "request", "hit", "new", "gone")
    assert [[one[name] for name in same] for one in live["moments"]] == [
        [one[name] for name in same] for one in recorded["moments"]
    ]
    assert board(tab, "return board.player.cursor") == len(live["moments"]) - 1
    assert board(tab, "return board.record === board.live && board.player.isLive") is False
    with tab.expect_download() as download:
        tab.locator(".fs-reuse-save-file").click()
    kept = tmp_path / "kept.json"
    download.value.save_as(kept)
    assert json.loads(kept.read_text()) == live
    watch_example(tab, "chat")
    tab.locator(".fs-reuse-file").set_input_files(str(kept))
    expect(tab.locator(".fs-reuse .fs-title")).to_have_text(live["start"]["title"])
    assert json.loads(board(tab, "return board.record.file")) == live


def test_warming_saving_resizing_and_clearing_are_shown_at_once(tab: Page, tmp_path: Path) -> None:
    last = "() => window.forkscope.stages.reuse.record.moments.at(-1)"
    tab.locator("#fs-reuse-clear").click()
    tab.wait_for_function("() => !window.forkscope.stages.reuse.live?.moments.at(-1).held.length")
    watch_example(tab, "chat")
    tab.locator("#fs-reuse-workload input").click()
    tab.get_by_role("option", name="Retrieval").click()
    most = tab.locator("#fs-reuse-capacity input")
    expect(most).to_have_value("28")
    tab.locator("#fs-reuse-resize").click()
    tab.wait_for_function(f"({last})()?.capacity_blocks === 28")
    tab.locator("#fs-reuse-warm").click()
    tab.wait_for_function(f"({last})()?.kind === 'warm'")
    tab.wait_for_function(WHOLE)
    held = len(board(tab, "return board.record.moments.at(-1).held"))
    assert held > 8
    frames(tab)
    assert len(looks(tab)[""] - looks(tab)["is-past"] - looks(tab)["is-left"]) == held
    expect(tab.locator(".fs-reuse-requests tbody")).to_contain_text("warmed, nothing written")
    tab.locator("#fs-reuse-folder :is(input, textarea)").fill(str(tmp_path / "kept"))
    tab.locator("#fs-reuse-save").click()
    tab.wait_for_function(f"({last})()?.kind === 'save'")
    expect(tab.locator(".fs-reuse .fs-evict-status")).to_contain_text(f"{held} blocks")
    most.fill("5")
    most.blur()
    tab.locator("#fs-reuse-resize").click()
    tab.wait_for_function(f"({last})()?.kind === 'resize' && ({last})().held.length === 5")
    frames(tab)
    assert figure(tab, "blocks") == "5 of 5"
    assert len(looks(tab)["is-left"]) == held - 5
    board(tab, "board.live = null")  # as on a page that has missed everything: it asks for it
    tab.locator("#fs-reuse-clear").click()
    tab.wait_for_function(f"({last})()?.kind === 'clear'")
    frames(tab)
    assert figure(tab, "blocks") == "0 of 5"
    assert len(looks(tab)["is-left"]) == 5


def test_runs_of_explore_are_there_when_the_tab_comes_back(tab: Page) -> None:
    watch_example(tab, "few_shot")
    tab.get_by_role("tab", name="Explore", exact=True).click()
    prompt = "Once upon a time there was a girl named Nora who lived near the castle. The gates"
    tab.locator("#fs-prompt textarea").fill(prompt)
    tab.locator("#fs-run").click()
    tab.wait_for_function("() => window.forkscope.stages.explore.badge === 'done'")
    tab.get_by_role("tab", name="Reuse", exact=True).click()
    tab.wait_for_function(
        "() => { const board = window.forkscope.stages.reuse; return board.record === board.live; }"
    )
    expect(tab.locator(".fs-reuse .fs-badge")).to_have_text("this page's cache")
    expect(tab.locator(".fs-reuse-requests tbody tr").last).to_contain_text("run in Explore")
    text = "".join(part["text"] for part in board(tab, "return board.record.requests.at(-1).parts"))
    assert prompt in text
    watch_example(tab, "few_shot")
    tab.locator(".fs-reuse-live").click()
    expect(tab.locator(".fs-reuse .fs-badge")).to_have_text("this page's cache")


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
    alert = tab.locator(".fs-reuse .fs-alert")
    record["moments"][3]["held"] = [[9999, 0, 0, 0, 0]]
    for text, words in (
        ("no record", "mine.json is no record of a prefix cache. Open a .json file"),
        (json.dumps(record), "mine.json is damaged: moments[3] names a block that is not there."),
    ):
        tab.evaluate(drop, ["mine.json", text])
        expect(alert).to_contain_text(words)
        expect(tab.locator(".fs-reuse .fs-title")).to_have_text(HOSTILE[0])


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
    contrasts = """async (base) => {
      const { contrast } = await import(`${base}contrast.js`);
      return [...document.querySelectorAll(".fs-reuse-block")].filter((one) => one.style.color)
        .map((one) => contrast(one.style.color, one.style.backgroundColor));
    }"""
    base = f"{app.url}gradio_api/file={(ROOT / 'assets' / 'stage').as_posix()}/"
    for _ in range(2):
        assert min(page.evaluate(contrasts, base)) >= 4.5
        page.keyboard.press("t")
        frames(page)
