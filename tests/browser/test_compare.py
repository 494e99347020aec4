"""The Compare tab in the browser: the command line's figures, one cursor, nothing left behind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from explorer.trace import Trace
from tests.browser.conftest import ROOT, App
from tests.browser.steps import deafen, frames, listening, mute
from tests.browser.test_live import (
    LONG,
    assert_freed_early,
    closed,
    set_fields,
    slowly,
    wait_until,
)
from tests.browser.test_recorded import HOSTILE

pytestmark = pytest.mark.browser
SMALL = {"max_new_tokens": "14", "max_paths": "5"}
ORDER = ["deepcopy", "cow", "naive"]
WORDS = ["deep copy", "copy-on-write", "naive"]
ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]


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


def keys(page: Page) -> list[str]:
    """The panels that are shown, in their order on the page."""
    panels = page.locator(".fs-panels > .fs-panel")
    told: list[str] = panels.evaluate_all("(all) => all.map((one) => one.dataset.panel)")
    assert told == board(page, "return board.panels.map((panel) => panel.key)")
    return told


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
    cells = page.locator(f'.fs-figures tr[data-row="{row}"] td')
    told: list[list[str]] = cells.evaluate_all(
        "(all) => all.map((one) => [one.dataset.panel, one.dataset.value])"
    )
    return dict(told)


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


def words(page: Page, row: str) -> dict[str, str]:
    """How a row's values stand to those of the run the others are held against, by backend."""
    cells = page.locator(f'.fs-figures tr[data-row="{row}"] td')
    told = cells.evaluate_all(
        """(all) => all.map((one) =>
             [one.dataset.panel, one.querySelector('.fs-ratio')?.textContent])"""
    )
    return {key: text for key, text in told if text}


def test_ratios_are_of_the_values_in_the_table_and_conditions_are_said(compare: Page) -> None:
    small(compare)
    peak, ratio = (
        shown(compare, "counters.kv_nbytes_peak"),
        words(compare, "counters.kv_nbytes_peak"),
    )
    assert set(ratio) == {"cow", "naive"}, "deep copies are what the others are held against"
    for name, text in ratio.items():
        times = float(peak["deepcopy"]) / float(peak[name])
        assert text == f"{times:.1f}× less"
    wall, faster = shown(compare, "seconds.total"), words(compare, "seconds.total")
    for name, text in faster.items():
        times = float(wall["deepcopy"]) / float(wall[name])
        assert text.endswith({True: "faster", False: "slower"}[times > 1]) or abs(times - 1) < 0.02
    told = compare.locator(".fs-in-words li")
    expect(told).to_have_count(2)
    expect(told.first).to_contain_text(f"Copy-on-write was {faster['cow']} than deep copy")
    expect(told.first).to_contain_text(f"allocated {ratio['cow']} memory at its peak")
    results = compare.locator(".fs-results")
    expect(results).to_contain_text("it only grows over the process's life")
    expect(results).to_contain_text("2 tokens on the same prompt before each run")
    expect(results).to_contain_text("independent samples, as many as the tree returned paths")
    expect(compare.locator(".fs-order")).to_contain_text("one after another on the same device")


def test_whether_it_is_the_same_tree_is_said_above_the_panels(compare: Page) -> None:
    small(compare)
    nodes = board(compare, "return board.panels[0].log.nodes.length")
    same = compare.locator(".fs-same-line.is-same")
    expect(same).to_contain_text(f"Deep copy and copy-on-write made the same {nodes} tokens")
    expect(compare.locator(".fs-same-line.is-by-design")).to_contain_text("Naive draws independent")
    verdicts = compare.locator(".fs-panel .fs-verdict")
    expect(verdicts).to_have_text(["", "✓ same tree", "other samples, by design"])


def test_the_race_is_told_in_words_and_same_step_says_where_naive_stands(compare: Page) -> None:
    small(compare)
    line = compare.locator(".fs-race")
    deepcopy, naive, samples = board(
        compare,
        "const [a, , c] = board.panels;return [a.length, c.length, c.log.ends.length]",
    )
    at = deepcopy // 2
    compare.locator(".fs-board .fs-range").fill(str(at))
    share = round(at / (deepcopy - 1) * (naive - 1))
    expect(line).to_contain_text(f"Step {at}: deep copy and copy-on-write on")
    expect(line).to_contain_text(
        f"naive at the same share of its own steps ({share} of {naive - 1})"
    )
    expect(line).to_contain_text(f"of {samples} samples")
    compare.locator('.fs-mode[data-mode="second"]').click()
    compare.locator(".fs-board .fs-range").fill("60")
    times = board(compare, "return board.panels.map((panel) => panel.times)")
    half = max(own[-1] for own in times) / 2
    over = [word for word, own in zip(WORDS, times, strict=True) if own[-1] <= half]
    board(compare, "board.draw()")
    told = line.inner_text()
    for word, own in zip(WORDS, times, strict=True):
        steps = sum(end <= half for end in own) - 1
        if word in over:
            assert f"{word} (" in told.split("finished")[0]
        elif word == "naive":
            ended = board(
                compare,
                "return board.panels[2].steps.slice(0, arg).reduce((n, s) => n + s.ends.length, 0)",
                steps,
            )
            assert f"naive is on its {ORDINALS[ended]} of {samples} samples" in told
        else:
            assert f"{word} is at step {steps} of {len(own) - 1}" in told
    compare.locator(".fs-board .fs-end").click()
    expect(line).to_contain_text("have finished.")


def test_panels_change_places_by_button_key_and_drag(compare: Page) -> None:
    small(compare)
    assert keys(compare) == ["deepcopy", "cow", "naive"]
    compare.locator('[data-panel="deepcopy"] .fs-panel-right').click()
    assert keys(compare) == ["cow", "deepcopy", "naive"]
    heads = compare.locator(".fs-figures thead").first.locator("th[data-backend] span")
    expect(heads).to_have_text(["Copy-on-write", "Deep copy", "Naive"])
    compare.locator('[data-panel="naive"] .fs-silhouette').focus()
    compare.keyboard.press("Shift+ArrowLeft")
    compare.keyboard.press("Shift+ArrowLeft")
    assert keys(compare) == ["naive", "cow", "deepcopy"]
    focused = "document.activeElement.closest('.fs-panel')?.dataset.panel"
    assert compare.evaluate(focused) == "naive"
    source = compare.locator('[data-panel="deepcopy"] > header h3')
    source.drag_to(compare.locator('[data-panel="naive"] .fs-about'))
    assert keys(compare) == ["deepcopy", "naive", "cow"]
    assert compare.locator('[data-panel="deepcopy"] .fs-panel-left').is_disabled()


def test_a_pinned_panel_stands_first_and_the_others_are_held_against_it(compare: Page) -> None:
    small(compare)
    compare.locator('[data-panel="cow"] .fs-panel-pin').click()
    assert keys(compare) == ["cow", "deepcopy", "naive"]
    expect(compare.locator('[data-panel="cow"] .fs-held')).to_be_visible()
    expect(compare.locator('[data-panel="deepcopy"] .fs-held')).to_be_hidden()
    peak = shown(compare, "counters.kv_nbytes_peak")
    times = float(peak["deepcopy"]) / float(peak["cow"])
    assert words(compare, "counters.kv_nbytes_peak")["deepcopy"] == f"{times:.1f}× more"
    expect(compare.locator(".fs-in-words")).to_contain_text("than copy-on-write")
    compare.locator('[data-panel="deepcopy"] .fs-silhouette').focus()
    compare.keyboard.press("Shift+ArrowLeft")
    assert keys(compare)[0] == "cow", "nobody passes the pinned one"
    compare.keyboard.press("r")
    assert keys(compare) == ["deepcopy", "cow", "naive"]
    compare.keyboard.press("r")
    assert board(compare, "return board.places.now.pinned") is None


def test_a_hidden_panel_leaves_table_curves_and_race_and_comes_back(compare: Page) -> None:
    small(compare)
    compare.locator('[data-panel="naive"] .fs-panel-hide').click()
    assert keys(compare) == ["deepcopy", "cow"]
    assert set(shown(compare, "seconds.total")) == {"deepcopy", "cow"}
    board(compare, "board.draw()")
    expect(compare.locator('.fs-curve-line[data-panel="naive"]')).to_have_count(0)
    expect(compare.locator(".fs-race")).not_to_contain_text("naive")
    compare.locator('[data-panel="deepcopy"] .fs-silhouette').focus()
    compare.keyboard.press("Delete")
    assert keys(compare) == ["cow"]
    compare.locator('[data-panel="cow"] .fs-silhouette').focus()
    compare.keyboard.press("Delete")
    assert keys(compare) == ["cow"], "the last one stays"
    for title in ("Naive", "Deep copy"):
        compare.locator(".fs-hidden-panels").get_by_text(title).click()
    assert keys(compare) == ["deepcopy", "cow", "naive"]
    expect(compare.locator(".fs-hidden-panels")).to_be_hidden()


def test_curves_are_the_runs_own_and_their_dots_follow_the_cursor(compare: Page) -> None:
    small(compare)
    expect(compare.locator(".fs-curve-line")).to_have_count(3 * len(ORDER))
    dots = "(all) => all.map((dot) => Number(dot.getAttribute('cx')))"
    circles = compare.locator(".fs-curve").nth(1).locator(".fs-curve-dot")
    ends = circles.evaluate_all(dots)
    times = board(compare, "return board.panels.map((panel) => panel.times.at(-1))")
    shares = [end - 62 for end in ends]
    for share, seconds in zip(shares, times, strict=True):
        assert share / shares[0] == pytest.approx(seconds / times[0], rel=1e-3)
    compare.locator(".fs-board .fs-first").click()
    board(compare, "board.draw()")
    assert all(now < end for now, end in zip(circles.evaluate_all(dots), ends, strict=True))
    chart = compare.locator(".fs-chart").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    chart.click(position={"x": box["width"] * 0.5, "y": box["height"] * 0.3})
    at = board(compare, "return board.panels[0].cursor")
    assert 0 < at < board(compare, "return board.panels[0].length") - 1
    ticks = compare.locator(".fs-chart").first.locator(".fs-tick").all_text_contents()
    assert sum(tick.endswith(" KiB") for tick in ticks) >= 3


def test_every_key_of_the_page_is_harmless_on_the_board_and_jumps_find_the_panels_own_forks(
    compare: Page,
) -> None:
    small(compare)
    compare.locator('[data-panel="cow"] .fs-silhouette').focus()
    compare.keyboard.press("Home")
    forks = board(compare, "return board.panels[1].log.forks.map((fork) => fork.step)")
    compare.keyboard.press("n")
    assert board(compare, "return board.panels[1].cursor") == next(at for at in forks if at > 0)
    for key in ["p", "x", "X", "[", "]", "v", "w", "g", "c", "h", "H", "b", "B", "d", "s", "l"]:
        compare.keyboard.press(key)
    assert board(compare, "return board.panels.every((panel) => panel.state === 'done')")
    compare.keyboard.press("?")
    sheet = compare.locator("dialog.fs-dialog")
    expect(sheet).to_contain_text("In a panel of Compare")
    expect(sheet).to_contain_text("hold the others against this panel")


def test_what_breaks_off_is_said_to_have_failed_and_what_came_stays(
    compare: Page, app: App
) -> None:
    set_fields(compare, "Once upon a time", **LONG)
    press(compare)
    compare.wait_for_function("() => window.forkscope.stages.compare.all[0]?.length >= 8")
    board(compare, "board.take({alert: 'The comparison failed (Boom: by hand).', failed: true})")
    expect(compare.locator(".fs-board .fs-badge").first).to_have_text("failed")
    expect(compare.locator(".fs-board .fs-alert")).to_contain_text("Boom: by hand")
    badges = compare.locator(".fs-panel .fs-badge")
    expect(badges).to_have_text(["failed", "did not run", "did not run"])
    assert board(compare, "return board.all[0].length") >= 8
    board(compare, "board.player.seek(board.player.length - 1)")
    compare.locator('.fs-mode[data-mode="second"]').click()
    expect(compare.locator(".fs-race")).to_contain_text("deep copy was broken off at step")
    compare.locator("#fs-compare-stop").click()
    wait_until(lambda: [caches for _, caches in app.ended_runs()[-1:]] == [0])


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
    expected = board(compare, "return board.panels[1].log.textOf(board.pointing.pinned.id)")
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
    expect(compare.locator(".fs-same-line")).to_have_count(0)
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
    assert compare.locator(".fs-figures").first.is_visible()
    small(compare)
    assert alert.is_hidden()
    assert board(compare, "return board.panels.map((panel) => panel.name)") == ["batched"]


def test_a_boards_run_is_listened_to_until_it_ends_or_is_stopped(compare: Page) -> None:
    board(
        compare,
        """board.byMessage = board.byEvent = 0;
           const heard = board.listener.take;
           board.listener.take = (batch) => {
             board.byEvent += batch.steps.length;
             heard(batch);
           };
           const take = board.take.bind(board);
           board.take = (message) => {
             board.byMessage += message.batch?.steps.length ?? 0;
             board.ids = Object.values(message.runs ?? {}).map(({ run }) => run);
             take(message);
           };""",
    )
    with listening(compare) as (asked, still):
        set_fields(compare, "Once upon a time", **LONG)
        press(compare)
        compare.wait_for_function(
            """() => {
              const { byEvent, byMessage } = window.forkscope.stages.compare;
              return byEvent > 20 && byEvent > byMessage;
            }"""
        )
        assert len(still) == len(asked) == 1
        compare.locator("#fs-compare-stop").click()
        expect(compare.locator(".fs-board .fs-badge").first).to_have_text("stopped")
        closed(compare, still)
        lengths = board(compare, "return board.all.map(({ length }) => length)")
        assert lengths[0] > 20 and not any(lengths[1:])
        asked.clear()
        small(compare, max_new_tokens="300")
        closed(compare, still)
        heard = [url.split("/")[-1].split("?")[0] for url in asked]
        assert heard == [run for run in board(compare, "return board.ids") if run in heard] != []
        digests = compare.locator(".fs-panel .fs-digest").all_inner_texts()
        assert digests[0] == digests[1] != ""


def test_steps_that_are_held_back_on_their_way_are_asked_for(compare: Page) -> None:
    with mute(compare):
        set_fields(compare, "Once upon a time", **LONG)
        press(compare)
        compare.wait_for_function("() => window.forkscope.stages.compare.panels[0]?.length >= 40")
        compare.locator("#fs-compare-stop").click()
        expect(compare.locator(".fs-board .fs-badge").first).to_have_text("stopped")
        small(compare, max_new_tokens="200")
        assert compare.locator(".fs-panel .fs-badge").all_inner_texts() == ["done"] * 3
        digests = compare.locator(".fs-panel .fs-digest").all_inner_texts()
        assert digests[0] == digests[1] != ""


def test_messages_that_never_arrived_are_asked_for(compare: Page) -> None:
    deafen(compare)
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


def assert_fits(page: Page, width: int) -> None:
    """At this width nothing scrolls sideways, and every panel is within the page."""
    page.set_viewport_size({"width": width, "height": 850})
    page.wait_for_function("(width) => window.innerWidth === width", arg=width)
    frames(page)
    page.wait_for_timeout(300)  # what is measured anew is drawn in its new size
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    panels = page.locator(".fs-panel").all()
    assert panels
    for panel in panels:
        box = panel.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_every_width_shows_the_board_without_scrolling_sideways(compare: Page) -> None:
    small(compare)
    expect(compare.locator(".fs-chart").first).to_be_visible()
    for width in (1400, 700, 390):
        assert_fits(compare, width)


def test_the_theme_changes_without_losing_the_board_or_the_curves(compare: Page) -> None:
    small(compare)
    text = compare.locator(".fs-chart .fs-tick").first
    expect(text).to_be_visible()
    colors = []
    for _ in range(2):
        colors.append(text.evaluate("(element) => getComputedStyle(element).fill"))
        compare.locator(".fs-theme").click()
    assert len(set(colors)) == 2
    assert compare.locator(".fs-figures").first.is_visible()
    assert board(compare, "return board.panels.every((panel) => panel.state === 'done')")


def test_stop_before_anything_came_ends_the_waiting_and_not_the_run_of_another_tab(
    compare: Page, app: App
) -> None:
    slowly(compare)
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


def test_nothing_of_the_runs_before_is_left_where_others_as_long_take_their_place(
    compare: Page,
) -> None:
    chart = compare.locator(".fs-chart").nth(1)
    for names in (("windows-2", "windows-3"), ("windows-4", "windows-2")):
        paths = [ROOT / "assets" / "traces" / "evict" / f"{name}.jsonl" for name in names]
        traces = [Trace.load(path) for path in paths]
        for _ in range(2):  # the second time they take their own place
            compare.set_input_files(".fs-pick-file", paths)
            expect(compare.locator(".fs-panel h3").first).to_have_text(f"{names[0]}.jsonl")
            for trace in traces:
                spent = sum(step.seconds + step.overhead_seconds for step in trace)
                shown = f" after {spent:.{2 if spent < 10 else 1}f} s"
                expect(chart).to_have_attribute("aria-label", re.compile(shown))
            compare.locator(".fs-show-difference").click()
            pinned = "return board.all.indexOf(board.pointing.pinned.panel)"
            assert board(compare, pinned) == 0
        assert board(compare, "return board.results.found.size") == 1
