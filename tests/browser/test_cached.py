"""Cached against uncached in the browser: two runs of one text, the traces' own figures."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from explorer.experiments.cached import GREEDY
from explorer.trace import Trace
from explorer.ui import cached
from tests.browser.conftest import ROOT, App
from tests.browser.reusing import SHOWN_CONTRASTS
from tests.browser.test_live import set_fields, wait_until

pytestmark = pytest.mark.browser
LANES = list(cached.ORDER)


def board(page: Page, body: str, argument: object = None) -> Any:
    """Run `body` with `board` and `arg` in the page."""
    script = f"(arg) => {{ const board = window.forkscope.stages.cached; {body} }}"
    return page.evaluate(script, argument)


@pytest.fixture
def view(fresh_page: Page) -> Page:
    """The view with the first recorded race, still."""
    fresh_page.get_by_role("tab", name="Reuse", exact=True).click()
    fresh_page.get_by_label("Cached against uncached", exact=True).check()
    fresh_page.wait_for_function("() => window.forkscope.stages.cached?.all[1]?.log")
    board(fresh_page, "board.player.seek(0)")
    return fresh_page


def show(page: Page, name: str) -> list[Trace]:
    page.locator(f'#fs-stage-cached [data-board="{name}"] .fs-shelf-open').click()
    page.wait_for_function(
        "(name) => window.forkscope.stages.cached.shelf.shown === name", arg=name
    )
    told = next(one for one in cached.recorded(cached.RECORDED) if one["name"] == name)
    files = [Path(run["path"]) for run in told["runs"]]
    return [Trace.parse(gzip.decompress(file.read_bytes())) for file in files]


def seek(page: Page, step: int) -> None:
    page.locator("#fs-stage-cached [data-mode=step]").click()
    board(page, "board.player.seek(arg); board.draw();", step)


def fact(page: Page, lane: str, name: str) -> str:
    return page.locator(f'.fs-lane[data-backend="{lane}"] [data-fact="{name}"]').inner_text()


def pace(trace: Trace, step: int) -> float:
    """Tokens a second around a step: 1 / the median of the 15 steps around it."""
    spent = [one.seconds + one.overhead_seconds for one in trace if one.phase == "decode"]
    at = step - (len(trace) - len(spent))
    return 1 / median(spent[max(0, at - 7) : at + 8])


def test_a_recorded_race_plays_and_shows_the_traces_own_figures(view: Page) -> None:
    traces = show(view, "short")
    board(view, "board.player.setSpeed(10); board.player.seek(0); board.player.play();")
    view.wait_for_function("() => window.forkscope.stages.cached.player.cursor > 3")
    for step in (0, 40, len(traces[0]) - 1):
        seek(view, step)
        for lane, trace in zip(LANES, traces, strict=True):
            whole = len(trace.header.prompt) + step + 1
            assert fact(view, lane, "length") == f"{whole:,} tokens"
            written = "".join(node.text for one in trace.steps[: step + 1] for node in one.nodes)
            text = view.locator(f'.fs-lane[data-backend="{lane}"] .fs-lane-text p')
            assert text.text_content() == "Once upon a time there was a little fox" + written
            kept = max(trace[step].memory_forward.kv_nbytes, trace[step].memory.kv_nbytes)
            size = f"{kept / 1024:.{1 if kept < 102_400 else 0}f} KiB"
            assert fact(view, lane, "kept") == (size if kept else "nothing")
            rate = fact(view, lane, "rate")
            if step:
                assert float(rate.split()[0]) == pytest.approx(pace(trace, step), rel=0.03)
            else:
                assert rate == "–"
    same = view.locator(".fs-race-same")
    expect(same).to_have_attribute("data-same", "true")
    expect(same).to_contain_text(f"all {len(traces[0]):,} new tokens, digest")
    expect(view.locator(".fs-race-crossing")).to_contain_text("a step takes")
    assert board(view, "return board.all.map((lane) => lane.cursor)") == [len(traces[0]) - 1] * 2
    view.locator(".fs-race-details summary").click()
    rows = view.locator(".fs-race-table tbody tr")
    expect(rows).to_have_count(5)
    lengths = rows.evaluate_all("(all) => all.map((one) => one.dataset.length)")
    assert lengths[1:-1] == ["64", "128", "256"]
    assert_one_is_ahead(view)


def assert_one_is_ahead(view: Page) -> None:
    """By second of its own clock the cached run is far ahead, and shows by how much."""
    traces = show(view, "long")
    board(view, "board.parts.modes.second.click(); board.player.seek(60); board.draw();")
    spent = [sum(one.seconds + one.overhead_seconds for one in trace) for trace in traces]
    assert spent[1] > 2 * spent[0]
    assert board(view, "return board.all[0].tokens") == len(traces[0])
    ahead = view.locator('.fs-lane[data-backend="cow"] .fs-ahead')
    behind = view.locator('.fs-lane[data-backend="recompute"] .fs-ahead')
    assert len(ahead.text_content() or "") > 500 and behind.text_content() == ""
    expect(view.locator(".fs-cached .fs-race")).to_contain_text(
        "the cached run has written all its"
    )


def test_the_table_is_of_the_race_that_is_shown_and_the_players_buttons_look_alike(
    view: Page, app: App
) -> None:
    show(view, "short")
    view.locator(".fs-race-details summary").click()
    cells = ".fs-race-table tbody tr:last-child td"
    expect(view.locator(cells).first).to_be_visible()
    swapped = view.evaluate(
        """(cells) => {
          const board = window.forkscope.stages.cached;
          const logs = board.all.map(({ log }) => ({ log }));
          const told = () => [...document.querySelectorAll(cells)].map((one) => one.textContent);
          const seen = [told()];
          for (const runs of [[...logs].reverse(), logs]) {
            board.showRuns(runs, { title: "", caption: "", name: "short" });
            board.draw();
            seen.push(told());
          }
          return seen;
        }""",
        cells,
    )
    assert swapped[0] == swapped[2] != swapped[1]
    assert swapped[1][:2] == swapped[0][1::-1]  # paces, the other way round
    colors = """(all) => all.map((one) => {
      const { backgroundColor, borderRadius } = getComputedStyle(one);
      return `${backgroundColor} ${borderRadius}`;
    })"""
    buttons = view.locator(":is(.fs-first, .fs-back, .fs-ahead, .fs-end):is(button)")
    assert len(set(buttons.evaluate_all(colors))) == 1
    board(view, "board.all[1].setState('waiting')")
    base = f"{app.url}gradio_api/file={(ROOT / 'assets' / 'stage').as_posix()}/"
    waiting = ".fs-lane[data-state=waiting] :is(dt, dd, p)"
    assert min(view.evaluate(SHOWN_CONTRASTS, [base, waiting])) >= 4.5


def test_a_live_races_text_is_the_command_lines(view: Page, app: App) -> None:
    set_fields(view, "34 + 25 =")
    view.locator("#fs-cached-tokens input").fill("9")
    view.locator("#fs-cached-tokens input").blur()
    view.locator("#fs-cached-run").click()
    expect(view.locator(".fs-cached .fs-badge").first).to_have_text("finished", timeout=60_000)
    options = [
        f"--{name.replace('_', '-')}={value}" for name, value in GREEDY.items() if value is not None
    ]
    command = [sys.executable, "-m", "explorer", "run", "--prompt", "34 + 25 =", "--json"]
    command += [*options, "--max-new-tokens=9", "--num-candidates=1", "--seed=1"]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    digest = json.loads(out.stdout.splitlines()[-1])["tree_digest"]
    assert board(view, "return board.all.map((lane) => lane.digest)") == [digest, digest]
    same = view.locator(".fs-race-same")
    expect(same).to_have_text(f"The same text: all 9 new tokens, digest {digest[:12]} of both.")
    assert board(view, "return board.all[1].log.header.config.cache.backend") == "recompute"
    wait_until(lambda: app.ended_runs()[-1][1] == 0)


def test_stop_keeps_what_came_and_frees_the_cache(view: Page, app: App) -> None:
    set_fields(view, "Remember: the fox hid the key in the cave.")
    view.locator("#fs-cached-tokens input").fill("1200")
    view.locator("#fs-cached-tokens input").blur()
    before = len(app.ended_runs())
    view.locator("#fs-cached-run").click()
    view.wait_for_function(
        """() => window.forkscope.stages.cached.isRunning
             && window.forkscope.stages.cached.all[0]?.tokens > 20"""
    )
    view.locator("#fs-cached-stop").click()
    expect(view.locator(".fs-cached .fs-badge").first).to_have_text("stopped")
    states = board(view, "return board.all.map((lane) => lane.state)")
    assert states in (["stopped", "never"], ["done", "stopped"])
    assert board(view, "return board.all[0].length") > 20
    wait_until(lambda: len(app.ended_runs()) > before and app.ended_runs()[-1][1] == 0)


def test_what_cannot_be_run_is_said_and_longer_texts_are_a_sweep_of_experiments(view: Page) -> None:
    view.locator("#fs-cached-tokens input").fill("5000")
    view.locator("#fs-cached-tokens input").blur()
    view.locator("#fs-cached-run").click()
    alert = view.locator(".fs-cached .fs-alert")
    expect(alert).to_contain_text("max_new_tokens", timeout=60_000)
    assert board(view, "return board.all[0].state") == "recorded"
    expect(view.locator(".fs-cached .fs-badge").first).to_have_text("recorded")
    view.locator("#fs-cached-sweep").click()
    expect(view.get_by_role("tab", name="Experiments", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )
    expect(view.locator("#fs-sweep-name input")).to_have_value("Cached")
    expect(view.locator("#fs-sweep-axes textarea")).to_have_value(
        "prompt_length = 48, 112, 240, 496, 1008, 2032"
    )
