"""Encoder-decoder runs in the browser: the heat map is the trace's, and text stays text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from explorer.config import RunConfig
from explorer.generate import run as explore
from explorer.models import load_model
from tests.browser.steps import pause, stage
from tests.browser.test_live import done, run, set_fields
from tests.browser.test_recorded import HOSTILE

pytestmark = pytest.mark.browser
PROMPT = "rephrase: The shy fox hid a red key in the cave."
CELLS = ".fs-stage .fs-source-cell"
SHOWN = """(cells) => cells.map((cell) => [
  cell.querySelector("span").textContent.trim().replace("·", ""),
  cell.dataset.weight === "" ? null : Number(cell.dataset.weight),
  parseFloat(cell.style.getPropertyValue("--fs-look-share")),
])"""


def choose(page: Page, name: str) -> None:
    field = page.locator("#fs-model input")
    field.fill(name)
    field.press("Enter")
    page.wait_for_timeout(300)


def test_a_live_runs_heat_map_is_what_the_trace_says(page: Page) -> None:
    choose(page, "tiny-seq2seq")
    set_fields(page, PROMPT, max_new_tokens="12", max_paths="4")
    run(page)
    done(page)
    page.locator(".fs-in-tab[data-tab=next]").first.click()
    header = stage(page, "return stage.log.header")
    words = [token["text"].strip() for token in header["source"][:-1]]
    assert "".join(token["text"] for token in header["source"]) == PROMPT
    seen = set()
    for node in (-1, 0, 3):
        pause(page, stage(page, "return stage.log.length - 1"))
        stage(page, "stage.select({ kind: 'node', id: arg }); stage.draw()", node)
        look = stage(page, "return stage.log.node(arg).decision.look", node)
        recorded = dict(zip(look["tokens"], look["weights"], strict=True))
        shown = page.locator(CELLS).evaluate_all(SHOWN)
        assert [text for text, _, _ in shown[:-1]] == words
        assert {at: w for at, (_, w, _) in enumerate(shown) if w is not None} == recorded
        for _, weight, tint in shown:
            assert tint == pytest.approx(100 * (weight or 0) ** 0.5, abs=0.01)
        seen.add(tuple(sorted(recorded.items())))
    assert len(seen) == 3
    label = page.locator(CELLS).first.get_attribute("aria-label")
    assert label is not None and re.fullmatch(r"rephrase: (below )?\d\S*", label)
    expect(page.locator(".fs-source-legend").first).to_contain_text("share of attention")


def test_cross_attention_bytes_stand_apart_from_what_the_paths_write(page: Page) -> None:
    choose(page, "tiny-seq2seq")
    set_fields(page, PROMPT, max_new_tokens="6", max_paths="4")
    run(page)
    done(page)
    memory = stage(page, "return stage.log.steps.at(-2).memory")
    assert memory["cross_nbytes"] == header_nbytes(page) * memory["cross_tokens"]
    figure = page.locator("[data-bytes=cross]").first
    expect(figure).to_contain_text(f"for {memory['cross_tokens']} source tokens, once for all")
    expect(page.locator(".fs-path-prompt").first).to_contain_text(f"{PROMPT} →")


def header_nbytes(page: Page) -> int:
    return int(stage(page, "return stage.log.header.model.cross_nbytes_per_token"))


def test_runs_without_a_source_show_no_heat_map_and_no_figure(page: Page) -> None:
    stage(page, "stage.player.toLive(); stage.select({ kind: 'node', id: 2 }); stage.draw()")
    page.locator(".fs-in-tab[data-tab=next]").first.click()
    assert page.locator(".fs-stage .fs-source").count() == 0
    expect(page.locator("[data-bytes=cross]").first).to_be_hidden()


def test_a_hostile_source_stays_text(page: Page, tmp_path: Path) -> None:
    model = load_model("tiny-seq2seq", device="cpu")
    trace = explore(model, RunConfig(prompt="copy: fox red key cave", max_new_tokens=4))
    lines = [json.loads(line) for line in trace.lines()]
    for token, text in zip(lines[0]["source"], HOSTILE, strict=False):
        token["text"] = token["raw"] = text
    path = tmp_path / "hostile.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    page.set_input_files(".fs-file", path)
    expect(page.locator(".fs-path-prompt").first).to_contain_text("window.pwned")
    stage(page, "stage.player.toLive(); stage.select({ kind: 'node', id: 0 }); stage.draw()")
    page.locator(".fs-in-tab[data-tab=next]").first.click()
    labels = page.locator(CELLS).evaluate_all("(cells) => cells.map((cell) => cell.title)")
    assert all(
        text in label.replace("·", " ") for text, label in zip(HOSTILE, labels, strict=False)
    )
    assert page.evaluate("window.pwned") is None
    assert page.locator(".fs-stage img, .fs-stage script").count() == 0
