"""What tests of the page do again and again."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page


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
