"""What was recorded live is what is read back, and long runs neither slow nor swell the page."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from explorer.browser import HAS_MOVED, PATIENCE, SIZE, server
from explorer.experiments import stage as bench
from explorer.experiments.base import QUICK
from explorer.experiments.flood import Flood
from tests.browser.conftest import ROOT, App
from tests.browser.steps import stage
from tests.browser.test_live import done, run, set_fields

pytestmark = pytest.mark.browser
MANY = 20_000

WRITE_DOWN = """async () => {
  const stage = window.forkscope.stages.explore;
  const { describe } = await import(document.querySelector('link[href$="/log.js"]').href);
  const apply = stage.apply.bind(stage);
  window.live = new Map();
  stage.apply = (batch) => {
    const taken = apply(batch);
    const { log } = stage;
    if (log) live.set(log.length - 1, JSON.stringify(describe(log, log.length - 1)));
    return taken;
  };
}"""
HELD_AGAINST = """async () => {
  const { log } = window.forkscope.stages.explore;
  const { describe } = await import(document.querySelector('link[href$="/log.js"]').href);
  const cursors = [...live.keys()].filter((cursor) => cursor >= 0);
  const read = (cursor) => JSON.stringify(describe(log, cursor));
  const others = cursors.filter((cursor) => read(cursor) !== live.get(cursor));
  return [cursors.length, Math.max(...cursors), others];
}"""


def test_every_state_seen_while_live_is_read_again_from_the_trace_that_the_command_line_saves(
    page: Page, tmp_path: Path
) -> None:
    set_fields(page, "Once upon a time", max_new_tokens="60", max_paths="12")
    page.evaluate(WRITE_DOWN)
    run(page)
    done(page)
    config = stage(page, "return stage.log.header.config")
    assert isinstance(config, dict)
    trace = tmp_path / "saved.jsonl"
    options = [
        f"--{name.replace('_', '-')}={value}"
        for group in ("sampling", "branching", "cache", "limits")
        for name, value in config[group].items()
        if value is not None
    ]
    command = [sys.executable, "-m", "explorer", "run", "--prompt", config["prompt"]]
    subprocess.run([*command, *options, "--trace", str(trace)], cwd=ROOT, check=True)
    page.set_input_files(".fs-file", trace)
    page.wait_for_function(
        "() => document.querySelector('.fs-title').textContent === 'saved.jsonl'"
    )
    seen, last, others = page.evaluate(HELD_AGAINST)
    assert seen >= 3
    assert last == stage(page, "return stage.log.length - 1") == 59
    assert others == []


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.jsonl"
    bench.long_trace(MANY, QUICK.long_max_paths).save(path)
    return path


def test_a_trace_of_20000_nodes_opens_and_is_scrubbed_with_few_elements(
    page: Page, long_file: Path
) -> None:
    page.set_input_files(".fs-file", long_file)
    page.wait_for_function(
        "() => document.querySelector('.fs-title').textContent === 'long.jsonl'", timeout=60_000
    )
    page.evaluate(bench.PROBE, "explore")
    stage(page, "stage.player.seek(0); stage.draw()")
    assert int(stage(page, "return stage.log.nodes.length")) >= MANY  # type: ignore[call-overload]
    steps = int(stage(page, "return stage.log.length"))  # type: ignore[call-overload]
    cursors = [(at * 97 + 5) % steps for at in range(12)]
    assert len(page.evaluate(bench.ALL_SEEKS, [cursors])) == 12
    assert stage(page, "return stage.pool.cursor") == cursors[-1]
    for fit in (False, True):
        if fit:
            stage(page, "stage.fit(); stage.draw()")
        assert page.locator(".fs-tree-root *").count() < 20_000
    assert stage(page, "return stage.log.at(7).cursor") == 7


@pytest.fixture
def flood(browser: Browser, tmp_path: Path) -> Iterator[Flood]:
    path = tmp_path / "flood.jsonl"
    bench.long_trace(300, 20, 20).save(path)
    with server("-m", "explorer.ui.flood", path) as (_, url):
        context = browser.new_context(viewport=SIZE)  # type: ignore[arg-type]
        yield Flood(context.new_page(), url, PATIENCE)
        context.close()


COUNT_FRAMES = """window.frames_asked = 0;
const frame = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (tell) => frame(tell, (window.frames_asked += 1));"""


def test_a_page_at_rest_asks_for_no_frames(browser: Browser, app: App) -> None:
    context = browser.new_context(reduced_motion="reduce")  # what is recorded stands at its end
    page = context.new_page()
    page.add_init_script(COUNT_FRAMES)
    page.goto(app.url)
    page.wait_for_function(HAS_MOVED)
    counts = [0]
    for _ in range(20):  # until what a page does when it opens is over
        page.wait_for_timeout(1000)
        counts.append(page.evaluate("() => window.frames_asked"))
        if counts[-1] - counts[-2] <= 3:
            break
    assert counts[1] > 0
    assert counts[-1] - counts[-2] <= 3
    context.close()


def test_run_after_run_leaves_no_elements_and_loses_no_step(flood: Flood) -> None:
    plan = {"nodes": 300, "rate": 10, "updates": 10}
    count = """() => document.querySelectorAll('*').length
        + window.probe.stage.tree.root.querySelectorAll('*').length"""
    # The whole tree comes in sight at the end of a run.
    stands = bench.STANDS
    flood.stream(plan, 1)
    flood.page.wait_for_function(stands)
    before = flood.page.evaluate(count)
    told = flood.stream(plan, 3)
    flood.page.wait_for_function(stands)
    assert told["lost"] == 0
    assert 3 <= len(told["waits"]) <= 30  # steps that come at once are one batch
    assert abs(flood.page.evaluate(count) - before) < 0.02 * before
    flood.devtools.send("HeapProfiler.collectGarbage")
    kept = flood.metrics()["Nodes"]
    flood.stream(plan, 3)
    flood.devtools.send("HeapProfiler.collectGarbage")
    assert flood.metrics()["Nodes"] < 1.1 * kept


def test_what_is_zoomed_by_hand_stays_while_a_run_streams_in(flood: Flood) -> None:
    assert flood.zoomed({"nodes": 300, "rate": 10, "updates": 15}) == 0
    assert json.loads(flood.page.locator("#fs-flood-plan textarea").input_value())["nodes"] == 300
