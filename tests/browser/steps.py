"""What tests of the page do again and again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page, Request, Route

STEPS = "**/forkscope/steps/**"  # where a page listens to a live run


def stage(page: Page, expression: str, argument: Any = None) -> Any:
    """Evaluate `expression` with `stage` bound to the Explore stage and `arg` to `argument`."""
    body = f"(arg) => {{ const stage = window.forkscope.stages.explore; {expression} }}"
    return page.evaluate(body, argument)


def pause(page: Page, cursor: int) -> None:
    """Stand still at a step, drawn."""
    stage(page, f"stage.player.seek({cursor}); stage.draw()")


def frames(page: Page) -> None:
    """Wait until what was asked for has been drawn."""
    page.evaluate(
        "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
    )


@contextmanager
def listening(page: Page) -> Iterator[tuple[list[str], set[str]]]:
    """The addresses of live runs that the page listens to, in order, and those of them still
    open."""
    asked, still = list[str](), set[str]()

    def begin(request: Request) -> None:
        if "/forkscope/steps/" in request.url:
            asked.append(request.url)
            still.add(request.url)

    def end(request: Request) -> None:
        still.discard(request.url)

    page.on("request", begin)
    page.on("requestfinished", end)
    page.on("requestfailed", end)
    yield asked, still
    page.remove_listener("request", begin)
    page.remove_listener("requestfinished", end)
    page.remove_listener("requestfailed", end)


def deafen(page: Page) -> list[Route]:
    """The page is refused what it would listen to, as by a proxy; what it has asked for."""
    asked: list[Route] = []

    def deaf(route: Route) -> None:
        asked.append(route)
        route.fulfill(content_type="text/event-stream", body="")

    page.route(STEPS, deaf)
    return asked


@contextmanager
def mute(page: Page) -> Iterator[None]:
    """The server is listened to, but nothing is heard, as behind a proxy that holds events back."""
    page.evaluate(
        """() => {
          window.EventSource = class extends EventSource {
            set onmessage(tell) {}
          };
        }"""
    )
    yield
    page.evaluate("() => { window.EventSource = Object.getPrototypeOf(window.EventSource); }")
