"""Take the README's pictures of the page: `python -m assets.screenshot [--out DIR]`.

Starts the app, opens the recorded story in Chromium (CHROMIUM, or one on the PATH), stops it
where the tree is full, points at a token, and writes page.png and page-dark.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from explorer.experiments.page import FLAGS, HAS_MOVED, find_chromium, server

CURSOR = 26  # the step that is shown
SIZE = {"width": 1440, "height": 900}
STILL = "({player, tree}) => player.playing || tree.camera.goal"
SHOW = """(cursor) => {
  const stage = window.forkscope.stages.explore;
  stage.player.seek(cursor);
  const { decisions } = stage.log.steps[cursor];
  stage.select(decisions.find((decision) => decision.factor > 1).node);
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out
    with server() as (_, url), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        for theme, name in (("light", "page.png"), ("dark", "page-dark.png")):
            page = browser.new_page(viewport=SIZE, device_scale_factor=1)
            page.goto(f"{url}?theme={theme}")
            page.wait_for_function(HAS_MOVED)
            settle(page)
            page.screenshot(path=out / name)
            print(out / name)
        browser.close()


def settle(page: Page) -> None:
    """The chosen step, with everything drawn and nothing moving."""
    page.evaluate(SHOW, CURSOR)
    page.wait_for_function(f"() => !({STILL})(window.forkscope.stages.explore)")
    page.wait_for_timeout(500)


if __name__ == "__main__":
    main()
