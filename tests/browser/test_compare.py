"""The Compare tab in the browser: the command line's figures, one cursor, nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, App
from tests.browser.test_live import LONG, assert_freed_early, set_fields, wait_until
from tests.browser.test_recorded import HOSTILE

pytestmark = pytest.mark.browser
SMALL = {"max_new_tokens": "14", "max_paths": "5"}
ORDER = ["deepcopy", "cow", "naive"]


def board(page: Page, body: str, argument: object = None) -> Any:
    """Run `body` with `board` and `arg` in the page."""
    script = f"(arg) => {{ const board = window.forkscope.stages.compare; {body} }}"
    return page.evaluate(script, argument)


@pytest.fixture
def compare(page: Page) -> Page:
    """The page with its Compare tab open."""
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_function("() => window.forkscope.stages.compare?.isVisible()")
    return page


def press(page: Page) -> None:
    page.locator("#fs-compare-run").click()


def done(page: Page) -> None:
    expect(page.locator(".fs-board .fs-badge").first).to_have_text("finished", timeout=90_000)


def small(page: Page, prompt: str = "Once upon a time", **values: str) -> None:
    set_fields(page, prompt, **(SMALL | values))
    before = board(page, "return board.id")
    press(page)
    page.wait_for_function("(id) => window.forkscope.stages.compare.id !== id", arg=before)
    done(page)


def shown(page: Page, row: str) -> dict[str, str]:
    """A row of the table: what it says by backend."""
    cells = page.locator(f'.fs-table tr[data-row="{row}"] td').all()
    return {
        str(cell.get_attribute("data-backend")): str(cell.get_attribute("data-value"))
        for cell in cells
    }


def test_the_table_holds_the_command_lines_figures_and_the_trees_are_the_same(
    compare: Page, app: App
) -> None:
    small(compare)
    config = board(compare, "return board.panels[1].log.header.config")
    options = [
        f"--{name.replace('_', '-')}={value}"
        for group in ("sampling", "branching", "limits")
        for name, value in config[group].items()
        if value is not None
    ]
    command = [sys.executable, "-m", "explorer", "compare", "--prompt", "Once upon a time"]
    command += ["--backends", ",".join(ORDER), "--json", *options]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    told = json.loads(out.stdout.splitlines()[-1])
    for name in (
        "generated_tokens",
        "forward_token_steps",
        "unique_kv_tokens_peak",
        "logical_kv_tokens_peak",
        "kv_nbytes_peak",
        "kv_live_nbytes_peak",
        "kv_logical_nbytes_peak",
        "forks",
    ):
        expected = {key: str(run["counters"][name]) for key, run in told["runs"].items()}
        assert shown(compare, f"counters.{name}") == expected, name
    assert shown(compare, "tree_digest") == {
        name: run["tree_digest"] for name, run in told["runs"].items()
    }
    assert shown(compare, "paths") == {
        name: str(len(run["paths"])) for name, run in told["runs"].items()
    }
    assert shown(compare, "same_tree") == {"deepcopy": "true", "cow": "true", "naive": "false"}
    heads = {
        name: compare.locator(f'.fs-panel[data-backend="{name}"] .fs-digest').inner_text()
        for name in ORDER
    }
    assert heads["deepcopy"] == heads["cow"] == f"tree {told['runs']['cow']['tree_digest'][:12]}"
    assert heads["naive"] != heads["cow"]
    wait_until(lambda: app.ended_runs()[-1][1] == 0)


def test_ratios_are_of_the_values_in_the_table_and_conditions_are_said(compare: Page) -> None:
    small(compare)
    wall, ratio = shown(compare, "seconds.total"), shown(compare, "wall_vs_naive")
    for name in ORDER:
        assert float(ratio[name]) == pytest.approx(float(wall["naive"]) / float(wall[name]))
    peak, smaller = shown(compare, "counters.kv_nbytes_peak"), shown(compare, "kv_peak_vs_deepcopy")
    assert float(smaller["cow"]) == pytest.approx(float(peak["deepcopy"]) / float(peak["cow"]))
    results = compare.locator(".fs-results")
    expect(results).to_contain_text("it only grows over the process's life")
    expect(results).to_contain_text("2 tokens on the same prompt before each run")
    expect(results).to_contain_text("independent samples, as many as the tree returned paths")
    expect(compare.locator(".fs-order")).to_contain_text("one after another on the same device")
    lines = compare.locator("#fs-compare-curves .scatterlayer .trace")
    expect(lines).to_have_count(2 * len(ORDER))


def test_one_cursor_moves_every_panel_by_step_and_by_second(compare: Page) -> None:
    small(compare)
    cursors = "return board.panels.map((panel) => panel.cursor)"
    deepcopy, cow, naive = board(compare, "return board.panels.map((panel) => panel.length)")
    assert board(compare, cursors) == [deepcopy - 1, cow - 1, naive - 1]
    compare.locator(".fs-board .fs-first").click()
    assert board(compare, cursors) == [0, 0, 0]
    compare.locator(".fs-board .fs-range").fill("5")
    assert board(compare, cursors)[:2] == [5, 5]
    facts = compare.locator('.fs-panel [data-fact="computed"]')
    board(compare, "board.draw()")
    for at in (0, 1):
        positions = board(
            compare,
            "return board.panels[arg].log.steps.slice(0, 6).reduce((n, s) => n + s.positions, 0)",
            at,
        )
        assert facts.nth(at).inner_text() == str(positions)
    strip = compare.locator('.fs-panel[data-backend="cow"] .fs-strip')
    box = strip.bounding_box()
    assert box is not None
    strip.click(position={"x": box["width"] - 5, "y": 10})
    assert board(compare, cursors) == [deepcopy - 1, cow - 1, naive - 1]
    compare.locator('.fs-mode[data-mode="second"]').click()
    compare.locator(".fs-board .fs-range").fill("60")
    at = board(compare, cursors)
    times = board(compare, "return board.panels.map((panel) => panel.times)")
    half = max(own[-1] for own in times) / 2
    assert at == [sum(end <= half for end in own) - 1 for own in times]


def test_playing_plays_all_and_the_keyboard_steps_and_walks_the_tree(compare: Page) -> None:
    small(compare)
    compare.locator(".fs-board .fs-first").click()
    compare.locator(".fs-board .fs-play").click()
    compare.wait_for_function(
        "() => window.forkscope.stages.compare.panels.every((panel) => panel.cursor > 1)"
    )
    compare.locator(".fs-board .fs-play").click()
    tree = compare.locator('.fs-panel[data-backend="cow"] .fs-silhouette')
    tree.focus()
    compare.keyboard.press("End")
    compare.keyboard.press("ArrowRight")
    compare.keyboard.press("ArrowRight")
    text = compare.locator(".fs-panel .fs-panel-text")
    expected = board(compare, "return board.panels[1].log.textOf(board.pinned.id)")
    expect(text.nth(1)).to_have_text(f"Once upon a time{expected}", use_inner_text=True)
    expect(text.nth(0)).to_have_text(f"Once upon a time{expected}", use_inner_text=True)
    at = board(compare, "return board.player.cursor")
    compare.keyboard.press(",")
    assert board(compare, "return board.player.cursor") == at - 1


@pytest.mark.parametrize("button", ["#fs-compare-stop", "#fs-stop"])
def test_stop_frees_the_cache_and_the_partial_panels_stay(
    compare: Page, app: App, button: str
) -> None:
    set_fields(compare, "Once upon a time", **LONG)
    before = len(app.ended_runs())
    press(compare)
    compare.wait_for_function("() => window.forkscope.stages.compare.panels[0]?.length >= 8")
    compare.locator(button).click()
    expect(compare.locator(".fs-board .fs-badge").first).to_have_text("stopped")
    wait_until(lambda: len(app.ended_runs()) > before)
    assert_freed_early(app)
    assert board(compare, "return board.panels[0].length") >= 8
    badges = compare.locator(".fs-panel .fs-badge")
    expect(badges).to_have_text(["stopped", "did not run", "did not run"])
    small(compare)
    assert shown(compare, "same_tree")["cow"] == "true"


def test_what_cannot_be_compared_is_one_sentence_and_the_board_stays(compare: Page) -> None:
    small(compare)
    before = board(compare, "return board.id")
    for title in ("Naive", "Deep copy", "Copy-on-write"):
        compare.locator("#fs-compare-backends").get_by_label(title).uncheck()
    press(compare)
    alert = compare.locator(".fs-board .fs-alert")
    expect(alert).to_contain_text("name at least one")
    compare.locator("#fs-compare-backends").get_by_label("Batched").check()
    set_fields(compare, "", **SMALL)
    press(compare)
    expect(alert).to_contain_text("The prompt is empty")
    assert board(compare, "return board.id") == before
    assert compare.locator(".fs-table").is_visible()
    small(compare)
    assert alert.is_hidden()
    assert board(compare, "return board.panels.map((panel) => panel.name)") == ["batched"]


def test_messages_that_never_arrived_are_asked_for(compare: Page) -> None:
    board(
        compare,
        """const take = board.take.bind(board); let count = 0;
           board.take = (message) => {
             count += 1;
             if (!message.compare || message.done || count % 3 === 0) take(message);
           };""",
    )
    small(compare)
    compare.wait_for_function(
        """() => window.forkscope.stages.compare.panels.every(
             (panel) => panel.state === "done" && panel.log.header)"""
    )
    digests = compare.locator(".fs-panel .fs-digest").all_inner_texts()
    assert digests[0] == digests[1] != ""
    lengths, cursors = board(
        compare,
        "return [board.panels.map((one) => one.length), board.panels.map((one) => one.cursor)]",
    )
    assert lengths[0] == lengths[1] > 1
    assert cursors == [length - 1 for length in lengths]


def test_hostile_prompts_stay_text(compare: Page) -> None:
    small(compare, " ".join(HOSTILE), max_new_tokens="3")
    board(compare, "board.player.seek(0); board.draw()")
    assert compare.evaluate("window.pwned") is None
    assert compare.locator(".fs-board img, .fs-board script").count() == 0
    heading = compare.locator(".fs-board .fs-title").inner_text()
    assert heading.startswith(" ".join(" ".join(HOSTILE).split())[:60])


@pytest.mark.parametrize("width", [1400, 700, 390])
def test_every_width_shows_the_board_without_scrolling_sideways(compare: Page, width: int) -> None:
    small(compare)
    expect(compare.locator("#fs-compare-curves .main-svg").first).to_be_visible()
    compare.set_viewport_size({"width": width, "height": 850})
    compare.wait_for_timeout(600)
    assert compare.evaluate("document.documentElement.scrollWidth") <= width
    for panel in compare.locator(".fs-panel").all():
        box = panel.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_the_theme_changes_without_losing_the_board_or_the_curves(compare: Page) -> None:
    small(compare)
    text = compare.locator("#fs-compare-curves .xtick text").first
    expect(text).to_be_visible()
    colors = []
    for _ in range(2):
        colors.append(text.evaluate("(element) => getComputedStyle(element).fill"))
        compare.locator(".fs-theme").click()
    assert len(set(colors)) == 2
    assert compare.locator(".fs-table").is_visible()
    assert board(compare, "return board.panels.every((panel) => panel.state === 'done')")


def test_stop_before_anything_came_ends_the_waiting_and_not_the_run_of_another_tab(
    compare: Page, app: App
) -> None:
    set_fields(compare, "Once upon a time", **LONG)
    before = len(app.ended_runs())
    compare.locator("#fs-run").click()
    compare.wait_for_function("() => window.forkscope.stages.explore.player.isLive")
    compare.get_by_role("tab", name="Compare").dispatch_event("click")  # the tree keeps it busy
    with compare.expect_response("**/queue/join*"):  # it is in line
        press(compare)
    compare.wait_for_timeout(300)
    status = compare.locator(".fs-board-status")
    expect(status).to_have_text("Waiting for the device …")
    compare.locator("#fs-compare-stop").click()
    expect(status).to_have_text("Stopped before anything ran.")
    is_live = "window.forkscope.stages.explore.player.isLive"
    assert compare.evaluate(is_live) or app.ended_runs()[before:] == [(900, 0)]
    compare.locator("#fs-stop").click()
    wait_until(lambda: len(app.ended_runs()) > before)
    compare.wait_for_timeout(1000)
    assert len(app.ended_runs()) == before + 1
    assert board(compare, "return board.id") is None
