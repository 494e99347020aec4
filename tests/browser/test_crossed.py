"""Self and cross in the browser: both caches' bytes and every path's looks are the trace's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from explorer.events import Step
from explorer.trace import Trace
from explorer.ui import crossed
from explorer.ui.cached import recorded
from tests.browser.conftest import ROOT, App
from tests.browser.test_live import wait_until
from tests.browser.test_recorded import HOSTILE

pytestmark = pytest.mark.browser
WEIGHTS = """(cells) => cells.map((cell) => cell.dataset.weight === "" ? null
  : Number(cell.dataset.weight))"""


def board(page: Page, body: str, argument: object = None) -> Any:
    """Run `body` with `board` and `arg` in the page."""
    script = f"(arg) => {{ const board = window.forkscope.stages.cross; {body} }}"
    return page.evaluate(script, argument)


@pytest.fixture
def view(fresh_page: Page) -> Page:
    """The view with the first recorded run, still."""
    fresh_page.get_by_role("tab", name="Reuse", exact=True).click()
    fresh_page.get_by_label("Self and cross", exact=True).check()
    fresh_page.wait_for_function("() => window.forkscope.stages.cross?.log")
    board(fresh_page, "board.player.seek(0)")
    return fresh_page


def show(page: Page, name: str) -> Trace:
    page.locator(f'#fs-stage-cross [data-board="{name}"] .fs-shelf-open').click()
    page.wait_for_function("(name) => window.forkscope.stages.cross.shelf.shown === name", arg=name)
    told = next(one for one in recorded(crossed.RECORDED) if one["name"] == name)
    return Trace.load(told["runs"][0]["path"])


def seek(page: Page, step: int) -> None:
    board(page, "board.player.seek(arg); board.draw();", step)


def nbytes(page: Page, name: str) -> int:
    return int(page.locator(f'.fs-two [data-bytes="{name}"]').get_attribute("data-value") or "")


def looks(step: Step, length: int) -> dict[int, list[float | None]]:
    """By path that lives on: what it looked at in this step, a weight a source token."""
    parents = {node.path: node.parent for node in step.nodes}
    by_node = {one.node: one.look for one in step.decisions}
    found = {}
    for path in step.paths:
        look = by_node[parents[path]]
        assert look is not None
        weights = dict(zip(look.tokens, look.weights, strict=True))
        found[path] = [weights.get(at) for at in range(length)]
    return found


def test_a_recorded_run_shows_bytes_and_looks_of_the_step_under_the_cursor(view: Page) -> None:
    for name in ("shuffle", "rephrase"):
        trace = show(view, name)
        tokens = len(trace.header.source)
        for step in (0, 3, len(trace) - 2):
            seek(view, step)
            here = trace[step]
            paths = len(here.paths)
            assert nbytes(view, "cross") == here.memory.cross_nbytes
            assert nbytes(view, "crossCopies") == here.memory.cross_nbytes * paths
            assert nbytes(view, "self") == here.memory.kv_live_nbytes
            assert nbytes(view, "selfCopies") == here.memory.kv_logical_nbytes
            says = view.locator('.fs-two [data-says="cross"]')
            expect(says).to_have_text(
                f"{tokens} source tokens fill {here.memory.cross_nbytes / 1024:.1f} KiB once; "
                f"{paths} paths read it; copies would need "
                f"{here.memory.cross_nbytes * paths / 1024:.{1 if paths < 5 else 0}f} KiB."
            )
            own = view.locator('.fs-two [data-says="self"]')
            expect(own).to_contain_text(f"{here.memory.unique_kv_tokens} slot")
            for path, weights in looks(here, tokens).items():
                cells = view.locator(f'.fs-cross-read tr[data-path="{path}"]:not([hidden]) td')
                assert cells.evaluate_all(WEIGHTS) == weights
            lit = view.locator(".fs-cross-table thead th:not(.fs-cross-name)")
            assert lit.evaluate_all(WEIGHTS) == looks(here, tokens)[here.paths[0]]
    board(view, "board.player.seek(0); board.player.setSpeed(10); board.player.play();")
    view.wait_for_function("() => window.forkscope.stages.cross.player.cursor > 2")


def test_keys_choose_a_path_which_lights_its_looks_and_its_slots(view: Page) -> None:
    trace = show(view, "rephrase")
    seek(view, 6)
    live = trace[6].paths
    rows = view.locator(".fs-cross-path:visible")
    expect(rows).to_have_count(len(live))
    rows.first.focus()
    view.keyboard.press("ArrowDown")
    assert board(view, "return board.path") == live[1]
    expect(rows.nth(1)).to_be_focused()
    expect(rows.nth(1)).to_have_attribute("aria-pressed", "true")
    lit = view.locator(".fs-cross-table thead th:not(.fs-cross-name)")
    weights = looks(trace[6], len(trace.header.source))
    assert lit.evaluate_all(WEIGHTS) == weights[live[1]] != weights[live[0]]
    rows.nth(1).focus()
    for way in ("ArrowDown", "ArrowUp"):  # gone to, not let go of: the one that is chosen as well
        board(view, "board.path = arg", live[2 if way == "ArrowDown" else 1])
        view.keyboard.press(way)
        assert board(view, "return board.path") == live[2 if way == "ArrowDown" else 1]
    pressed = view.locator(f'.fs-two-path[data-path="{live[1]}"]')
    expect(pressed).to_have_attribute("aria-pressed", "true")
    view.keyboard.press("Escape")
    assert board(view, "return board.path") is None


def test_an_example_run_live_is_the_command_lines_run(view: Page, app: App) -> None:
    view.locator('#fs-stage-cross [data-board="reverse"] .fs-shelf-live').click()
    badge = view.locator(".fs-two .fs-badge").first
    expect(badge).to_have_text("finished", timeout=60_000)
    settings = crossed.OPEN | crossed.EXAMPLES["reverse"].settings
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "explorer", "run", "--json", *options]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    digest = json.loads(out.stdout.splitlines()[-1])["tree_digest"]
    expect(view.locator(".fs-two .fs-digest")).to_have_text(f"tree {digest[:12]}")
    expect(view.locator('.fs-two [data-says="cross"]')).to_contain_text("1 path reads it.")
    wait_until(lambda: app.ended_runs()[-1][1] == 0)
    view.locator("#fs-cross-run").click()  # the sidebar's model has no encoder
    alert = view.locator(".fs-two .fs-alert")
    expect(alert).to_contain_text("model: tiny has a decoder alone", timeout=60_000)
    expect(badge).to_have_text("finished")
    expect(view.locator(".fs-two .fs-digest")).to_have_text(f"tree {digest[:12]}")


def test_a_hostile_source_stays_text(view: Page, tmp_path: Path) -> None:
    told = recorded(crossed.RECORDED)[0]["runs"][0]
    lines = [json.loads(line) for line in Path(told["path"]).read_text().splitlines()]
    for token, text in zip(lines[0]["source"], HOSTILE, strict=False):
        token["text"] = token["raw"] = text
    for node, text in zip(lines[1]["nodes"], HOSTILE, strict=False):
        node["text"] = node["raw"] = text
    text = "".join(json.dumps(line) + "\n" for line in lines)
    view.route("**/rephrase.jsonl", lambda route: route.fulfill(body=text))
    show(view, "shuffle")
    show(view, "rephrase")
    seek(view, 0)
    titles = view.locator(".fs-cross-table thead th:not(.fs-cross-name)").evaluate_all(
        "(cells) => cells.map((cell) => cell.title.replaceAll('·', ' '))"
    )
    assert all(text in title for text, title in zip(HOSTILE, titles, strict=False))
    expect(view.locator(".fs-two-texts")).to_contain_text(HOSTILE[0])
    assert view.evaluate("window.pwned") is None
    assert view.locator(".fs-two img, .fs-two script").count() == 0
