"""The page's first cases: how soon it listens and moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from explorer.browser import HAS_MOVED, NO_BROWSER, SIZE, chromium, find_chromium, server, words
from explorer.experiments.base import Conditions, Goal, Show, Unmeasured, case

if TYPE_CHECKING:
    from playwright.sync_api import Page

LISTENING = "page: process start to listening"
MOTION = "page: load to first motion"


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
    if find_chromium() is None:
        yield Unmeasured(MOTION, NO_BROWSER)
        return
    with server() as (_, url):
        yield _motion(url, conditions, show)
    show(1, 1, "page")


def _motion(url: str, conditions: Conditions, show: Show) -> dict[str, Any] | Unmeasured:
    from playwright.sync_api import Error

    loads = []
    try:
        with chromium() as browser:
            for at in range(conditions.num_loads):
                show(at, conditions.num_loads, "page in Chromium")
                with browser.new_context(viewport=SIZE) as context:  # type: ignore[arg-type]
                    loads.append(_first_motion(context.new_page(), url))
    except Error as error:
        return Unmeasured(MOTION, words(error))
    return case(MOTION, seconds=loads, goal=Goal("<=", 2), is_quick=conditions.is_quick)


def _first_motion(page: Page, url: str) -> float:
    """Seconds from navigation until the recorded run shows its first step."""
    page.goto(url, wait_until="commit")
    return float(page.wait_for_function(HAS_MOVED, polling="raf").json_value()) / 1000
