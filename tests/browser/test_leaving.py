"""A run that is left for another one is over on the server too, and what comes late is nobody's."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import App, Watch
from tests.browser.steps import stage
from tests.browser.test_live import LONG, assert_freed_early, set_fields, wait_for_steps, wait_until

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


def open_compare(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_function("() => window.forkscope.stages.compare?.isVisible()")


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


# A batch by hand, as the server sends them: `token` names the request that it answers.
BATCH = """async ([token, run]) => {
  const { header, steps } = window.forkscope.stages.explore.log;
  const batch = { run, seq: 0, header, steps: steps.slice(0, 3), title: run, token };
  window.forkscope.take("explore", batch);
  await new Promise((resolve) => setTimeout(resolve, 20));
  return [window.forkscope.stages.explore.title, document.body.dataset.run];
}"""


def test_the_first_batch_of_a_run_that_was_called_off_is_not_taken_for_the_next_one(
    page: Page,
) -> None:
    first = page.evaluate("() => window.forkscope.asked('explore')")
    assert page.evaluate("document.body.dataset.run") == "waiting"
    page.evaluate("() => window.forkscope.stop()")
    assert page.evaluate("document.body.dataset.run") == "idle"
    second = page.evaluate("() => window.forkscope.asked('explore')")
    assert page.evaluate(BATCH, [first, "late"]) == ["A story opens", "waiting"]
    expect(page.locator("#fs-stop")).to_be_enabled()
    assert page.evaluate(BATCH, [second, "asked for"]) == ["asked for", "running"]
    assert page.evaluate(BATCH, [first, "late"]) == ["asked for", "running"]
    page.evaluate("() => window.forkscope.stop()")


def test_what_comes_late_of_a_left_run_does_not_end_the_waiting_of_a_comparison(
    page: Page,
) -> None:
    open_compare(page)
    left = page.evaluate("() => window.forkscope.asked('explore')")
    page.evaluate(BATCH, [left, "long"])
    page.evaluate("() => window.forkscope.asked('compare')")
    page.locator(".fs-run[data-run=fact]").click()
    expect(page.locator(".fs-title").first).to_have_text("A fact it knows")
    assert page.evaluate(BATCH, [left, "long"]) == ["A fact it knows", "waiting"]
    expect(page.locator("#fs-stop")).to_be_enabled()
    assert page.locator("#fs-compare-run").is_disabled()
    page.locator("#fs-stop").click()
    page.wait_for_function(IDLE)
    assert page.locator("#fs-compare-run").is_enabled()


def test_a_late_message_of_a_stopped_comparison_does_not_take_the_board(page: Page) -> None:
    open_compare(page)
    told = page.evaluate(
        """async () => {
            const page = window.forkscope, board = page.stages.compare;
            const message = (token, compare) => board.take(
                { token, compare, order: ["cow"], runs: {}, now: "cow" });
            const first = page.asked("compare");
            page.stop("compare");
            const second = page.asked("compare");
            message(first, "late");
            const before = board.id;
            message(second, "asked for");
            const then = board.id;
            message(first, "late");
            page.stop("compare");
            message(second, "after");
            await new Promise((resolve) => setTimeout(resolve, 20));
            return [before, then, board.id, document.body.dataset.run];
        }"""
    )
    assert told == [None, "asked for", "asked for", "idle"]


def test_a_recorded_run_that_is_slow_to_come_does_not_take_the_stage_from_a_live_one(
    page: Page,
) -> None:
    held: list[Route] = []
    page.route("**/fact.jsonl", lambda route: held.append(route))
    page.locator(".fs-run[data-run=fact]").click()
    wait_until(lambda: page.wait_for_timeout(50) is None and len(held) == 1)
    assert_run_works(page)
    with page.expect_response("**/fact.jsonl"):
        held[0].continue_()
    page.wait_for_timeout(500)
    expect(page.locator(".fs-title").first).to_have_text("The dragon")
    assert page.locator(".fs-run.is-current").count() == 0


def test_run_pressed_before_the_first_recorded_run_has_come_is_what_is_shown(
    app: App, context: BrowserContext, watch: Watch
) -> None:
    page = context.new_page()
    watch.follow(page)
    held: list[Route] = []
    page.route("**/story.jsonl", lambda route: held.append(route))
    page.goto(app.url)
    page.wait_for_function("() => window.forkscope?.history && window.forkscope.stages.explore")
    wait_until(lambda: page.wait_for_timeout(50) is None and len(held) == 1)
    assert_run_works(page)
    with page.expect_response("**/story.jsonl"):
        held[0].continue_()
    page.wait_for_timeout(500)
    expect(page.locator(".fs-title").first).to_have_text("The dragon")
    expect(page.locator(ROW)).to_have_count(1)


def test_a_recorded_run_that_does_not_come_leaves_the_mark_where_it_was(
    page: Page, watch: Watch
) -> None:
    page.route("**/fact.jsonl", lambda route: route.fulfill(status=404))
    page.locator(".fs-run[data-run=fact]").click()
    expect(page.get_by_role("alert").filter(has_text="is not there")).to_be_visible()
    expect(page.locator(".fs-run.is-current")).to_have_attribute("data-run", "story")
    watch.complaints = [one for one in watch.complaints if "404" not in one]


def test_a_line_whose_length_cannot_be_asked_for_is_no_error(page: Page, watch: Watch) -> None:
    page.route("**/queue/status*", lambda route: route.abort())
    with page.expect_event("requestfailed"):
        page.evaluate("() => window.forkscope.asked('explore')")
    page.wait_for_timeout(200)
    expect(page.locator(".fs-status")).to_have_text("Waiting for the device …")
    watch.complaints = [one for one in watch.complaints if "net::ERR" not in one]


def test_what_is_pinned_is_what_was_chosen_whatever_the_mouse_points_at(page: Page) -> None:
    stage(page, "stage.player.seek(20)")
    chosen, pointed, selected = page.evaluate(
        """() => {
            const stage = window.forkscope.stages.explore, state = stage.log.at(20);
            const slot = state.tokens.findLastIndex((token) => token > 1);
            const node = state.tokens[slot] - 1;
            stage.point({ kind: "node", id: 0 });
            stage.select({ kind: "slot", slot });
            return [node, 0, stage.tree.selected];
        }"""
    )
    assert chosen != pointed
    assert selected == chosen


def test_where_nothing_is_recorded_nothing_is_offered_to_watch(page: Page) -> None:
    page.evaluate(
        """async () => {
            const url = document.querySelector('link[href$="/runs.js"]').href;
            const { attach } = await import(url);
            const element = document.createElement("div");
            element.innerHTML = "<div class='fs-runs'></div>";
            await attach({ element, trigger: () => {} }, []);
        }"""
    )
    expect(page.locator(".fs-welcome .fs-run-it")).to_be_visible()
    expect(page.locator(".fs-welcome .fs-watch")).to_be_hidden()
