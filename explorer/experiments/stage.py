"""The stage's cases: long runs streamed through the page's own transport, opened, scrubbed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from explorer import browser as pages
from explorer.config import RunConfig
from explorer.experiments.base import QUICK, Conditions, Goal, Show, Unmeasured, case, make_model
from explorer.experiments.flood import PROBE, SELDOM, STANDS, Flood, together
from explorer.trace import Trace

if TYPE_CHECKING:
    from playwright.sync_api import Page

RATE = 10  # updates a second
BURST = 60
VIEWS = ("tree", "text", "multiverse", "table")
SHOW = "(view) => window.probe.stage.show(view)"
ALL_SEEKS = "([cursors]) => window.probe.scrub(cursors)"

GOALS = {
    "drawn": Goal(">=", 9.5),
    "latency p95": Goal("<=", 0.15),
    "main thread busy with updates": Goal("<=", 0.2),
    "heap growth": Goal("<=", 0.05),
    "steps lost": Goal("<=", 0),
    "view moved": Goal("<=", 0),
}
BURST_GOAL = Goal(">=", 30)
SEEK_GOAL = Goal("<=", 0.05)
OPEN_GOAL = Goal("<=", 3)


def case_names(conditions: Conditions) -> list[str]:
    """Every case of this family, in order."""
    streamed = [name for nodes in conditions.stage_nodes for name in _names(nodes, RATE, GOALS)]
    burst = _names(conditions.stage_nodes[0], BURST, ("drawn",))
    scrubbed = [_scrubbing(conditions, view) for view in VIEWS]
    return [*streamed, *burst, *scrubbed, _opening(conditions)]


def _names(nodes: int, rate: int, what: Any) -> list[str]:
    return [f"stage, {nodes:,} nodes, {rate} updates/s: {name}" for name in what]


def _scrubbing(conditions: Conditions, view: str) -> str:
    return f"stage, {conditions.stage_nodes[-1]:,} nodes, {view}: from seek to drawn, p95"


def _opening(conditions: Conditions) -> str:
    return f"stage, {conditions.file_nodes:,} nodes: from file chosen to last step drawn"


def measure(
    conditions: Conditions, device: str, dtype: str, show: Show
) -> Iterator[dict[str, Any] | Unmeasured]:
    """The stage's cases, in Chromium; those it could not come to say why."""
    names = case_names(conditions)
    if pages.find_chromium() is None:
        yield from (Unmeasured(name, pages.NO_BROWSER) for name in names)
        return
    from playwright.sync_api import Error

    num_done = 0
    with tempfile.TemporaryDirectory() as folder:
        cases = _cases(Path(folder), conditions)
        try:
            show(0, len(names), "stage in Chromium")
            for found in cases:
                num_done += 1
                show(num_done, len(names), "stage in Chromium")
                yield found
        except Error as error:
            yield from (Unmeasured(name, pages.words(error)) for name in names[num_done:])


def _cases(folder: Path, conditions: Conditions) -> Iterator[dict[str, Any]]:
    long, file = folder / "long.jsonl", folder / "file.jsonl"
    most = conditions.stage_nodes[-1]
    patience = pages.PATIENCE + 2 * conditions.num_updates / RATE
    long_trace(most, conditions.stage_paths, conditions.run_updates).save(long)
    long_trace(conditions.file_nodes, QUICK.long_max_paths).save(file)
    with pages.chromium() as browser:
        with pages.server("-m", "explorer.ui.flood", long) as (_, url):
            for nodes in conditions.stage_nodes:
                with browser.new_context(viewport=pages.SIZE) as context:  # type: ignore[arg-type]
                    yield from _steady(Flood(context.new_page(), url, patience), nodes, conditions)
            with browser.new_context(viewport=pages.SIZE) as context:  # type: ignore[arg-type]
                flood = Flood(context.new_page(), url, patience)
                yield _burst(flood, conditions.stage_nodes[0], conditions)
                yield from _scrub(flood, most, conditions)
        with pages.server() as (_, url), browser.new_context(viewport=pages.SIZE) as context:  # type: ignore[arg-type]
            yield _open(context.new_page(), url, file, conditions)


def long_trace(num_nodes: int, num_paths: int, more_steps: int = 0) -> Trace:
    """A run of a small random model: `num_nodes` nodes or a few more, and then some steps.

    It forks where the model is least sure, at about a fifth of its tokens.
    """
    from explorer.generate import generate, prepare

    steps = 2 * num_nodes // num_paths + more_steps
    model = make_model(replace(QUICK, max_new_tokens=steps), "cpu", "float32")
    prompt = tuple(range(QUICK.prompt))
    short = RunConfig(prompt_ids=prompt).replace(entropy_threshold=0.0, max_new_tokens=32)
    entropies = [
        one.normalized_entropy for step in generate(model, short) for one in step.decisions
    ]
    threshold = quantiles(entropies, n=5)[-1]
    config = short.replace(entropy_threshold=threshold, max_paths=num_paths, max_new_tokens=steps)
    trace, nodes = Trace(prepare(model, config)), 0
    for step in generate(model, config):
        more_steps -= nodes >= num_nodes
        if more_steps < 0:
            break
        trace.append(step)
        nodes += len(step.nodes)
    return trace


def _steady(flood: Flood, nodes: int, c: Conditions) -> Iterator[dict[str, Any]]:
    """Runs that begin with `nodes` nodes and go on ten updates a second.

    The main thread's share is that of the updates, from a run's first picture on; how long it
    is busy until then, with all those nodes at once, is said beside it.
    """
    plan = {"nodes": nodes, "rate": RATE, "updates": c.run_updates}
    flood.stream(plan, 1)  # warms up, and leaves on the page what every run leaves
    held, code = flood.heap()
    runs = [flood.seen(plan) for _ in range(c.num_updates // c.run_updates)]
    held_after, code_after = flood.heap()
    busy, wall = sum(run.busy for run in runs), sum(run.wall for run in runs)
    beginnings = [run.beginning for run in runs]
    told = together([run.told for run in runs])
    facts = _facts(told) | {
        "heap_nbytes": held,
        "compiled_code_nbytes": code,
        "compiled_code_nbytes_last": code_after,
        "beginning_seconds": median(beginnings),
        "busy_with_beginnings": (sum(beginnings) + busy) / (c.num_updates / RATE),
    }
    moved = flood.zoomed(plan)
    waits = [wait / 1000 for wait in told["waits"]]
    figures: dict[str, dict[str, Any]] = {
        "drawn": {"ratio": told["frames"] / told["seconds"], "ratio_to": "second"},
        "latency p95": {"seconds": [quantiles(waits, n=20)[-1]]},
        "main thread busy with updates": {"ratio": busy / wall, "ratio_to": "wall clock"},
        "heap growth": {
            "ratio": held_after / held - 1,
            "ratio_to": "heap after the first run, both without compiled code",
        },
        "steps lost": {"ratio": float(told["lost"]), "ratio_to": "none"},
        "view moved": {"ratio": moved, "ratio_to": "pixels after a zoom by hand"},
    }
    for (what, goal), name in zip(GOALS.items(), _names(nodes, RATE, GOALS), strict=True):
        found = case(name, goal=goal, is_quick=c.is_quick, **figures[what], **facts)
        yield found | {"repeats": len(waits)}


def _burst(flood: Flood, nodes: int, c: Conditions) -> dict[str, Any]:
    """The same, sixty a second."""
    plan = {"nodes": nodes, "rate": BURST, "updates": c.run_updates}
    told = flood.stream(plan, c.burst_updates // c.run_updates)
    (name,) = _names(nodes, BURST, ("drawn",))
    found = case(
        name,
        ratio=told["frames"] / told["seconds"],
        ratio_to="second",
        goal=BURST_GOAL,
        is_quick=c.is_quick,
        **_facts(told),
    )
    return found | {"repeats": len(told["waits"])}


def _scrub(flood: Flood, nodes: int, c: Conditions) -> Iterator[dict[str, Any]]:
    """Seconds from a seek to the picture, at cursors all over a finished run, in each view."""
    flood.stream({"nodes": nodes, "rate": RATE, "updates": 1}, 1)
    flood.page.wait_for_function(STANDS, polling=SELDOM)
    length = flood.page.evaluate("() => window.probe.stage.log.length")
    cursors = [(at * 7919 + 1) % length for at in range(c.num_seeks)]
    for view in VIEWS:
        flood.page.evaluate(SHOW, view)
        waits = [wait / 1000 for wait in flood.page.evaluate(ALL_SEEKS, [cursors])]
        yield case(
            _scrubbing(c, view),
            seconds=[quantiles(waits, n=20)[-1]],
            goal=SEEK_GOAL,
            is_quick=c.is_quick,
            latency_median=median(waits),
            latency_max=max(waits),
        ) | {"repeats": len(waits)}


def _facts(told: dict[str, Any]) -> dict[str, Any]:
    waits = [wait / 1000 for wait in told["waits"]]
    return {
        "latency_median": median(waits),
        "latency_max": max(waits),
        "nodes_first": told["nodes_first"],
        "nodes_last": told["nodes_last"],
        "batches_asked_for_again": told["healed"],
    }


def _open(page: Page, url: str, file: Path, conditions: Conditions) -> dict[str, Any]:
    """A file chosen in the app, until its last step is on the screen."""
    page.goto(url)
    page.wait_for_function(pages.HAS_MOVED)
    page.evaluate(PROBE, "explore")
    page.evaluate("() => window.probe.awaitFile(document.querySelector('.fs-file'))")
    page.set_input_files(".fs-file", file)
    spent = page.evaluate("() => window.probe.opened")
    return case(
        _opening(conditions),
        seconds=[spent["all"] / 1000],
        goal=OPEN_GOAL,
        is_quick=conditions.is_quick,
        seconds_to_first_drawing=spent["first"] / 1000,
        seconds_of_a_seek=spent["seek"] / 1000,
        nodes=spent["nodes"],
        trace_nbytes=file.stat().st_size,
    )
