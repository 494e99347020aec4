"""The page's cases: how soon it listens and moves, and how many updates a second it draws."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

import orjson

from explorer.config import RunConfig
from explorer.experiments.base import QUICK, Conditions, Goal, Show, Unmeasured, case, make_model
from explorer.trace import Trace

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60.0  # seconds until a page that has not come is given up
NUM_NODES = 600
UPDATE_SECONDS = 0.1
LISTENING = "page: process start to listening"
MOTION = "page: load to first motion"
UPDATES = f"stage: from {NUM_NODES} nodes on, 10 updates/s, latency p95"
DRAWN = f"stage: from {NUM_NODES} nodes on, updates drawn per second"
IN_BROWSER = (MOTION, UPDATES, DRAWN)
# Drawn, and drawn again at a later step: what a newcomer sees move.
HAS_MOVED = """() => {
  const stage = window.forkscope?.stages.explore;
  return stage?.drawn > 1 && stage.player.cursor >= 1 && performance.now();
}"""
# Applies the batches one every UPDATE_SECONDS; milliseconds from each to the frame that shows it.
APPLY = """async ([batches, gap]) => {
  const stage = window.forkscope.stages.explore, waits = [];
  const frame = () => new Promise(requestAnimationFrame);
  const began = performance.now();
  for (const [at, batch] of batches.entries()) {
    while (performance.now() < began + at * gap) await frame();
    const sent = performance.now(), before = stage.drawn;
    stage.apply(batch);
    while (stage.drawn === before && performance.now() < sent + 2000) await frame();
    if (stage.drawn > before) waits.push(performance.now() - sent);
  }
  return {waits, seconds: (performance.now() - began) / 1000, nodes: stage.log.nodes.length};
}"""


def measure(
    conditions: Conditions, device: str, dtype: str, show: Show
) -> Iterator[dict[str, Any] | Unmeasured]:
    """The page's cases; without Chromium and Playwright only the first."""
    starts = []
    for at in range(conditions.num_loads):
        show(at, conditions.num_loads, "page")
        with server() as (seconds, _):
            starts.append(seconds)
    yield case(LISTENING, seconds=starts, goal=Goal("<=", 12), is_quick=conditions.is_quick)
    chromium = find_chromium()
    if chromium is None:
        for name in IN_BROWSER:
            yield Unmeasured(name, "needs Chromium, and playwright from requirements-dev.txt")
        return
    with server() as (_, url):
        yield from _in_browser(chromium, url, conditions, show)
    show(1, 1, "page")


@contextmanager
def server() -> Iterator[tuple[float, str]]:
    """`python app.py` on a free port: seconds until it answers, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(url):
            if process.poll() is not None or time.perf_counter() - began > PATIENCE:
                raise RuntimeError("app.py did not start; run it by hand to see why")
            time.sleep(0.02)
        yield time.perf_counter() - began, url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            return bool(answer.status == 200)
    except (URLError, ConnectionError):
        return False


def find_chromium() -> str | None:
    """A Chromium that Playwright can drive: named by CHROMIUM, or on the PATH; None without."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return None
    names = (os.environ.get("CHROMIUM", ""), *BROWSERS)
    return next((path for name in names if (path := shutil.which(name))), None)


def _in_browser(
    chromium: str, url: str, conditions: Conditions, show: Show
) -> list[dict[str, Any] | Unmeasured]:
    from playwright.sync_api import Error, sync_playwright

    cases: list[dict[str, Any] | Unmeasured] = []
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
            loads = []
            for at in range(conditions.num_loads):
                show(at, conditions.num_loads, "page in Chromium")
                page = browser.new_page(viewport={"width": 1400, "height": 900})
                loads.append(_first_motion(page, url))
            goal = Goal("<=", 2)
            cases.append(case(MOTION, seconds=loads, goal=goal, is_quick=conditions.is_quick))
            cases += _updates(page, conditions)
            browser.close()
    except Error as error:
        why = f"the browser said: {error.message.splitlines()[0]}"
        cases += [Unmeasured(name, why) for name in IN_BROWSER[len(cases) :]]
    return cases


def _first_motion(page: Page, url: str) -> float:
    """Seconds from navigation until the recorded run shows its first step."""
    page.goto(url, wait_until="commit")
    return float(page.wait_for_function(HAS_MOVED, polling="raf").json_value()) / 1000


def _updates(page: Page, conditions: Conditions) -> list[dict[str, Any]]:
    """Batches of a real run applied in the page ten times a second, from 600 nodes on."""
    batches = list(_batches(conditions.num_updates))
    answer = page.evaluate(APPLY, [batches, UPDATE_SECONDS * 1000])
    waits = [wait / 1000 for wait in answer["waits"]]
    latency = case(
        UPDATES,
        seconds=[quantiles(waits, n=20)[-1]],
        goal=Goal("<=", 0.15),
        is_quick=conditions.is_quick,
        latency_median=median(waits),
        nodes=answer["nodes"],
    )
    drawn = len(waits) / answer["seconds"]
    speed = case(
        DRAWN,
        ratio_to="updates sent per second",
        ratio=drawn * UPDATE_SECONDS,
        goal=Goal(">=", 0.9),
        is_quick=conditions.is_quick,
        drawn_per_second=drawn,
    )
    return [case_ | {"repeats": len(waits)} for case_ in (latency, speed)]


def _batches(num_updates: int) -> Iterator[dict[str, Any]]:
    """What the server sends of a long run: first `NUM_NODES` nodes, then a step a batch."""
    trace = _long_trace(num_updates)
    steps, nodes = 0, 0
    while nodes < NUM_NODES:
        nodes += len(trace[steps].nodes)
        steps += 1
    lines = [orjson.loads(line) for line in trace.lines()]
    yield {"run": "bench", "seq": 0, "header": lines[0], "steps": lines[1 : steps + 1]}
    for seq in range(steps, steps + num_updates - 1):
        yield {"run": "bench", "seq": seq, "steps": [lines[seq + 1]]}


def _long_trace(num_updates: int) -> Trace:
    """A run of a small random model whose tree reaches `NUM_NODES` with as many steps to come."""
    from explorer.generate import run

    paths = QUICK.long_max_paths
    steps = NUM_NODES // paths + num_updates
    model = make_model(replace(QUICK, max_new_tokens=steps), "cpu", "float32")
    forking = {"entropy_threshold": 0.0, "max_paths": paths, "max_new_tokens": steps}
    return run(model, RunConfig(prompt_ids=(1, 2, 3)).replace(**forking))
