"""The page that streams (`explorer.ui.flood`), driven, and what is read off it meanwhile."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer import browser as pages

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, Page

OFTEN, SELDOM = 50, 500  # milliseconds between two looks at the page
PROBE = (Path(__file__).parent / "stage.js").read_text()  # defines window.probe in the page
READY = "(name) => window.forkscope?.stages[name]"
BEGUN = "() => window.probe.frames > 0"
STREAMED = "(runs) => window.probe.ended >= runs"
SHOWN = "() => window.probe.isShown()"
STANDS = "() => window.probe.stands()"


@dataclass
class Seen:
    """What the probe in the page saw of one run, and seconds off the browser's own counters."""

    told: dict[str, Any]
    beginning: float  # of the main thread's tasks, from Go to the run's first picture
    busy: float  # of them, from then to its end
    wall: float  # from its first picture to its end


class Flood:
    """The page that streams (`explorer.ui.flood`), and what is read off it while it does."""

    def __init__(self, page: Page, url: str, patience: float) -> None:
        self.page, self.patience = page, patience  # seconds that all runs of a plan may take
        self.devtools: CDPSession = page.context.new_cdp_session(page)
        self.devtools.send("Performance.enable")
        self.chunks: list[str] = []  # of a heap snapshot
        self.devtools.on(
            "HeapProfiler.addHeapSnapshotChunk", lambda part: self.chunks.append(part["chunk"])
        )
        page.goto(url)
        page.wait_for_function(READY, arg="flood")
        page.evaluate(PROBE, "flood")

    def seen(self, plan: dict[str, Any]) -> Seen:
        """One run, and how busy it keeps the main thread."""
        asked = self.metrics()
        self.start(plan, 1)
        self.page.wait_for_function(BEGUN, polling=OFTEN)
        begun = self.metrics()
        told = self.ended(1, OFTEN)
        ended = self.metrics()
        before, until, after = (moment["TaskDuration"] for moment in (asked, begun, ended))
        return Seen(told, until - before, after - until, ended["Timestamp"] - begun["Timestamp"])

    def stream(self, plan: dict[str, Any], runs: int) -> dict[str, Any]:
        """Go through with `plan`, `runs` times; what the probe in the page has seen of it."""
        self.start(plan, runs)
        return self.ended(runs)

    def start(self, plan: dict[str, Any], runs: int) -> None:
        self.page.evaluate("() => window.probe.reset()")
        self.page.locator("#fs-flood-plan textarea").fill(json.dumps(plan | {"runs": runs}))
        self.page.locator("#fs-flood-go").click()

    def ended(self, runs: int, polling: int = SELDOM) -> dict[str, Any]:
        patience = 1000 * self.patience
        self.page.wait_for_function(STREAMED, arg=runs, polling=polling, timeout=patience)
        self.page.wait_for_function(SHOWN, polling=polling)
        return dict(self.page.evaluate("() => window.probe.told()"))

    def zoomed(self, plan: dict[str, Any]) -> float:
        """Pixels by which a run that goes on moves what was zoomed by hand."""
        self.start(plan, 1)
        self.page.wait_for_function(BEGUN)
        self.page.locator(".fs-tree-root").hover()
        self.page.mouse.wheel(0, -300)
        self.page.wait_for_timeout(50)
        before = self.page.evaluate("() => window.probe.view()")
        self.ended(1)
        return float(self.page.evaluate("(before) => window.probe.moved(before)", before))

    def heap(self) -> tuple[int, int]:
        """Bytes that scripts hold after a collection, and bytes of the code compiled for them.

        The page has come to rest. Compiled code is apart because the engine goes on compiling for
        minutes, whether a page holds more or not.
        """
        self.page.wait_for_function(STANDS, polling=SELDOM)
        self.chunks.clear()
        self.devtools.send("HeapProfiler.takeHeapSnapshot", {"reportProgress": False})
        return pages.heap_nbytes(json.loads("".join(self.chunks)))

    def metrics(self) -> dict[str, float]:
        answer = self.devtools.send("Performance.getMetrics")
        return {one["name"]: one["value"] for one in answer["metrics"]}


def together(all_told: list[dict[str, Any]]) -> dict[str, Any]:
    """What was seen of several runs, as if of one."""
    sums = {
        name: sum(told[name] for told in all_told)
        for name in ("frames", "seconds", "lost", "healed")
    }
    waits = [wait for told in all_told for wait in told["waits"]]
    nodes = {name: all_told[-1][name] for name in ("nodes_first", "nodes_last")}
    return {**sums, "waits": waits, **nodes}
