"""The runs of this visit: listed, renamed, deleted and put back, reopened, compared, bounded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.steps import stage
from tests.browser.test_recorded import HOSTILE, hostile_trace

pytestmark = pytest.mark.browser
ROW = ".fs-past-row"


def run_live(page: Page, prompt: str, new: int = 6) -> None:
    page.locator("#fs-prompt textarea").fill(prompt)
    header = page.locator("#fs-settings .label-wrap", has_text="Limits")
    if "open" not in (header.get_attribute("class") or ""):
        header.click()
    box = page.locator("#fs-max_new_tokens input")
    box.fill(str(new))
    box.blur()
    before = page.locator(ROW).count()
    page.locator("#fs-run").click()
    expect(page.locator(ROW)).to_have_count(before + 1)
    expect(page.locator(".fs-badge").first).to_have_text("live run, finished", timeout=60_000)


def open_card(page: Page, name: str) -> None:
    page.locator(f".fs-run[data-run={name}]").click()
    title = page.locator(f".fs-run[data-run={name}] strong").inner_text()
    expect(page.locator(".fs-title").first).to_have_text(title)


def titles(page: Page) -> list[str]:
    return page.locator(f"{ROW} strong").all_inner_texts()


def inked(canvas: Locator) -> int:
    """Pixels of a picture that are not empty."""
    return int(
        canvas.evaluate(
            """(canvas) => {
                const { width, height } = canvas;
                const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
                let inked = 0;
                for (let at = 3; at < data.length; at += 4) inked += data[at] > 0;
                return inked;
            }"""
        )
    )


def test_every_kind_of_run_shown_is_listed_with_its_picture_and_line(
    page: Page, tmp_path: Path
) -> None:
    expect(page.locator(ROW)).to_have_count(1)
    open_card(page, "fact")
    run_live(page, "The dragon")
    lines = stage(page, "return [stage.log.header, ...stage.log.steps].map(JSON.stringify)")
    file = tmp_path / "kept.jsonl"
    file.write_text("\n".join(lines) + "\n")  # type: ignore[arg-type]
    page.set_input_files(".fs-file", file)
    expect(page.locator(ROW)).to_have_count(4)
    assert titles(page) == ["kept.jsonl", "The dragon", "A fact it knows", "A story opens"]
    expect(page.locator(ROW).nth(1)).to_contain_text(
        re.compile(r"finished · τ 0\.2 · \d+ paths? · cow")
    )
    expect(page.locator(ROW).nth(3)).to_contain_text("recorded · τ 0.2 · 8 paths · cow")
    expect(page.locator(ROW).nth(0)).to_have_class(re.compile("is-current"))
    assert page.locator(".fs-run.is-current").count() == 0
    for at in range(4):
        assert inked(page.locator(f"{ROW} canvas").nth(at)) > 40
    open_card(page, "story")  # shown before: the same entry
    expect(page.locator(ROW)).to_have_count(4)
    expect(page.locator(ROW).nth(3)).to_have_class(re.compile("is-current"))


def test_a_reopened_run_stands_where_it_was_left_and_the_form_holds_it(page: Page) -> None:
    run_live(page, "The dragon")
    stage(page, "stage.player.seek(3)")
    open_card(page, "dice")
    page.locator(ROW, has_text="The dragon").locator(".fs-past-open").click()
    expect(page.locator(".fs-title").first).to_have_text("The dragon")
    assert stage(page, "return [stage.player.cursor, stage.player.playing]") == [3, False]
    expect(page.locator(".fs-badge").first).to_have_text("live run, finished")
    expect(page.locator("#fs-prompt textarea")).to_have_value("The dragon")
    assert page.evaluate("window.forkscope.history.entries.length") == 3
    open_card(page, "story")
    created = page.evaluate("window.forkscope.history.entries[1].log.header.created")
    assert page.evaluate("(created) => window.forkscope.history.open(created)", created)
    expect(page.locator(".fs-title").first).to_have_text("The dragon")
    assert not page.evaluate("window.forkscope.history.open('nobody')")


def test_a_run_is_renamed_in_place_and_escape_changes_nothing(page: Page) -> None:
    row = page.locator(ROW).first
    row.locator(".fs-past-open").focus()
    page.keyboard.press("F2")
    box = row.get_by_role("textbox")
    expect(box).to_be_focused()
    box.fill("<b>my</b> ${run}")
    page.keyboard.press("Enter")
    expect(row.locator("strong")).to_have_text("<b>my</b> ${run}")
    expect(page.locator(".fs-title").first).to_have_text("<b>my</b> ${run}")
    expect(row.locator(".fs-past-open")).to_be_focused()
    row.hover()
    row.get_by_role("button", name=re.compile("^Rename")).click()
    row.get_by_role("textbox").fill("another")
    page.keyboard.press("Escape")
    expect(row.get_by_role("textbox")).to_have_count(0)
    expect(row.locator("strong")).to_have_text("<b>my</b> ${run}")
    assert page.locator(f"{ROW} b").count() == 0


def test_a_deleted_run_can_be_put_back_by_keyboard(page: Page) -> None:
    open_card(page, "dice")
    open_card(page, "fact")
    middle = page.locator(ROW).nth(1).locator(".fs-past-open")
    page.locator(ROW).nth(0).locator(".fs-past-open").focus()
    page.keyboard.press("ArrowDown")
    expect(middle).to_be_focused()
    page.keyboard.press("Delete")
    expect(page.locator(ROW)).to_have_count(2)
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    expect(page.locator(".fs-past-gone")).to_contain_text("“Rolling a die” deleted.")
    page.keyboard.press("Enter")
    expect(page.locator(ROW)).to_have_count(3)
    assert titles(page) == ["A fact it knows", "Rolling a die", "A story opens"]
    expect(page.locator(ROW).nth(1).locator(".fs-past-open")).to_be_focused()
    page.locator(ROW).nth(2).hover()
    page.locator(ROW).nth(2).get_by_role("button", name=re.compile("^Delete")).click()
    expect(page.locator(ROW)).to_have_count(2)
    expect(page.locator(".fs-past-gone")).to_be_hidden(timeout=15_000)  # for good
    assert titles(page) == ["A fact it knows", "Rolling a die"]


def test_two_ticked_runs_go_to_the_compare_tab(page: Page) -> None:
    open_card(page, "fact")
    compare = page.locator(".fs-past-compare")
    expect(compare).to_be_disabled()
    page.locator(".fs-past-pick").nth(0).check()
    expect(compare).to_be_disabled()
    page.locator(".fs-past-pick").nth(1).focus()
    page.keyboard.press("Space")
    expect(compare).to_have_text("Compare 2")
    compare.click()
    expect(page.get_by_role("tab", name="Compare", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )
    panels = page.locator("#fs-stage-compare .fs-panel h3")
    expect(panels).to_have_text(["A story opens", "A fact it knows"])


def test_a_run_that_was_left_keeps_what_had_come(page: Page) -> None:
    length = page.evaluate(
        """async () => {
            const stage = window.forkscope.stages.explore, { header, steps } = stage.log;
            const apply = (seq, more) =>
                stage.apply({ run: "live-1", seq, steps: steps.slice(seq, seq + 4), ...more });
            apply(0, { header: { ...header, created: "now" }, title: "left" });
            apply(4);
            document.querySelector(".fs-run[data-run=fact]").click();
            await new Promise((resolve) => setTimeout(resolve, 800));
            apply(8);
            return window.forkscope.history.entries.find((one) => one.title === "left").log.length;
        }"""
    )
    assert length == 8
    expect(page.locator(ROW, has_text="stopped ·")).to_have_count(1)


def test_what_does_not_fit_goes_oldest_first_and_is_said(fresh_page: Page) -> None:
    page = fresh_page
    page.evaluate(
        """() => {
            const stage = window.forkscope.stages.explore, { header, steps } = stage.log;
            for (let at = 0; at < 25; at++) {
                stage.apply({ run: `run-${at}`, seq: 0, header: { ...header, created: `at ${at}` },
                    steps: steps.slice(0, 3), title: `run ${at}` });
            }
        }"""
    )
    expect(page.locator(ROW)).to_have_count(24)
    shown = titles(page)
    assert shown == [f"run {at}" for at in range(24, 0, -1)]
    expect(page.locator(".fs-past-note")).to_have_text(
        "2 older runs let go: the newest 24, or 60,000 tokens, are kept."
    )


def test_a_hostile_title_and_origin_stay_text(page: Page, tmp_path: Path) -> None:
    page.set_input_files(".fs-file", hostile_trace(page, tmp_path))
    expect(page.locator(ROW)).to_have_count(2)
    page.evaluate(
        """(bad) => {
            const stage = window.forkscope.stages.explore, { header, steps } = stage.log;
            const { created } = header;
            const origin = { created, kind: "forced", node: 0, depth: 0, text: bad };
            stage.apply({ run: "made", seq: 0, header: { ...header, created: "x", origin },
                steps: steps.slice(0, 2), title: bad });
        }""",
        HOSTILE[0],
    )
    row = page.locator(ROW).first
    expect(row.locator("strong")).to_have_text(HOSTILE[0])
    expect(row.locator(".fs-past-origin")).to_contain_text("“<img")
    expect(row.locator(".fs-past-origin")).to_contain_text("forced")
    row.locator(".fs-past-open").focus()
    page.keyboard.press("Delete")
    expect(page.locator(".fs-past-gone")).to_contain_text(HOSTILE[0])
    assert page.evaluate("window.pwned") is None
    assert page.locator("#fs-sidebar img, #fs-sidebar script").count() == 0
