"""What tests of the Reuse tab's prefix cache do again and again."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT

RECORDS = ROOT / "assets" / "traces" / "reuse"


def board(page: Page, body: str, argument: object = None) -> Any:
    """Run `body` with `board` and `arg` in the page."""
    script = f"(arg) => {{ const board = window.forkscope.stages.reuse; {body} }}"
    return page.evaluate(script, argument)


def open_tab(page: Page) -> Page:
    page.get_by_role("tab", name="Reuse", exact=True).click()
    page.wait_for_function("() => window.forkscope.stages.reuse?.record")
    return page


def watch_example(page: Page, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((RECORDS / f"{name}.json").read_text())
    page.locator(f'[data-board="{name}"] .fs-shelf-open').click()
    expect(page.locator(".fs-reuse .fs-title")).to_have_text(record["start"]["title"])
    page.wait_for_function(
        "(created) => window.forkscope.stages.reuse.record.start.created === created",
        arg=record["start"]["created"],
    )
    return record


def seek(page: Page, moment: int) -> None:
    board(page, "board.player.seek(arg); board.draw();", moment)


LOOKS = """() => {
  const all = [...document.querySelectorAll(".fs-reuse-block[data-block]")];
  const own = { "": [] };
  for (const one of all) {
    for (const look of ["", ...one.classList]) (own[look] ??= []).push(Number(one.dataset.block));
  }
  return own;
}"""


def looks(page: Page) -> defaultdict[str, set[int]]:
    """Ids of the blocks in the picture ("") and of those that look so: is-found, is-left ..."""
    found = page.evaluate(LOOKS)
    return defaultdict(set, {look: set(ids) for look, ids in found.items()})


def figure(page: Page, name: str) -> str:
    return page.locator(f'.fs-reuse-figures [data-fact="{name}"]').inner_text()


SHOWN_CONTRASTS = """async ([base, selector]) => {
  const { contrast, mix, parseColor } = await import(`${base}contrast.js`);
  const above = (one) => (one ? [one, ...above(one.parentElement)] : []);
  const isClear = (color) => color === "transparent" || /, 0\\)$/.test(color);
  return [...document.querySelectorAll(selector)].map((one) => {
    const all = above(one).map((each) => getComputedStyle(each));
    const ground = all.map((style) => style.backgroundColor).find((color) => !isClear(color));
    const ink = one instanceof SVGElement ? all[0].fill : all[0].color;
    const faded = all.reduce((share, { opacity }) => share * opacity, 1);
    return contrast(mix(ground, ink, faded), ground);
  });
}"""  # as they are seen: with the opacity of all that they stand in
