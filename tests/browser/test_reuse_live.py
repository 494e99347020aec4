"""The Reuse tab's prefix cache in the browser, while it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT
from tests.browser.reusing import RECORDS, board, figure, looks, open_tab, watch_example
from tests.browser.steps import frames

pytestmark = pytest.mark.browser
WHOLE = "() => window.forkscope.stages.reuse.parts.root.dataset.state === 'done'"


@pytest.fixture
def tab(fresh_page: Page) -> Page:
    """The page with its Reuse tab open."""
    return open_tab(fresh_page)


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
    tab.wait_for_function("() => !window.forkscope.stages.reuse.isRunning")
    expect(tab.locator(".fs-reuse .fs-badge")).to_have_text("this page's cache")
    expect(tab.locator(".fs-reuse .fs-title")).to_contain_text("The cache of this page: ")
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
    board(
        tab, "board.copy.record = null"
    )  # as on a page that has missed everything: it asks for it
    tab.locator("#fs-reuse-clear").click()
    tab.wait_for_function(f"({last})()?.kind === 'clear'")
    frames(tab)
    assert figure(tab, "blocks") == "0 of 5"
    assert len(looks(tab)["is-left"]) == 5


GAP = """async (how) => {
  const board = window.forkscope.stages.reuse;
  const page = window.forkscope;
  const { since } = board.copy;
  let answer = null;
  board.copy.since = () => new Promise((go) => (answer = go));
  const token = page.requests.ask("reuse");
  board.take({ reuse: "elsewhere", seq: 7, token, requests: [], done: how === "lost" });
  if (how === "stopped") page.stop("reuse");
  for (let turn = 0; turn < 2; turn++) {
    answer({});
    await new Promise((go) => setTimeout(go));
  }
  const rest = document.querySelector(".fs-reuse .fs-evict-status").textContent;
  board.copy.since = since;
  return [board.player.isLive, page.requests.isOpen("reuse"), rest];
}"""


def test_a_run_that_is_stopped_within_a_gap_or_ends_in_one_is_over(tab: Page) -> None:
    watch_example(tab, "few_shot")
    board(tab, "board.player.seek(2)")
    words = "Stopped before anything ran; what you saw before is still here."
    stopped = [False, False, words]
    assert tab.evaluate(GAP, "stopped") == stopped
    is_live, is_open, words = tab.evaluate(GAP, "lost")
    assert [is_live, is_open] == [False, False]
    assert words.startswith("The run has ended, but not all of it came here.")


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
