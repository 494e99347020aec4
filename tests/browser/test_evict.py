"""The Evict tab in the browser: what the trace says is what is shown, live and recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from explorer import metrics
from explorer.trace import Trace
from explorer.ui import evict as python
from explorer.ui.presets import BOARDS
from tests.browser.conftest import ROOT, App
from tests.browser.test_live import wait_until
from tests.browser.test_recorded import HOSTILE

pytestmark = pytest.mark.browser
TRACES = ROOT / "assets" / "traces" / "evict"


def board(page: Page, body: str, argument: object = None) -> Any:
    """Run `body` with `board` and `arg` in the page."""
    script = f"(arg) => {{ const board = window.forkscope.stages.evict; {body} }}"
    return page.evaluate(script, argument)


@pytest.fixture
def tab(fresh_page: Page) -> Page:
    """The page with its Evict tab open: the first recorded board is shown at once."""
    fresh_page.get_by_role("tab", name="Evict", exact=True).click()
    fresh_page.wait_for_function("() => window.forkscope.stages.evict?.log")
    return fresh_page


def open_board(page: Page, name: str) -> list[Trace]:
    page.locator(f'[data-board="{name}"] .fs-shelf-open').click()
    expect(page.locator(".fs-evict .fs-title")).to_have_text(BOARDS[name].title)
    told = next(one for one in python.recorded() if one["name"] == name)
    return [Trace.load(run["path"]) for run in told["runs"]]


def seek(page: Page, step: int) -> None:
    board(page, "board.player.seek(arg); board.draw();", step)


def bars(page: Page) -> list[list[str]]:
    rows = page.locator(".fs-evict-detail").first.locator(".fs-evict-layer")
    told: list[list[str]] = rows.evaluate_all(
        "(all) => all.map((one) => [one.dataset.seen, one.dataset.budget])"
    )
    return told


def rows_of(trace: Trace) -> list[tuple[int, int, str]]:
    return [
        (step.index, one.layer, text)
        for step in trace
        for one in step.evictions
        for text in one.texts
    ]


def test_recorded_boards_open_play_and_show_the_traces_own_numbers(tab: Page) -> None:
    for name in BOARDS:
        traces = open_board(tab, name)
        expect(tab.locator(".fs-evict-caption")).to_have_text(BOARDS[name].caption)
        expect(tab.locator(".fs-evict-card")).to_have_count(len(traces))
        shown = traces[-1]
        for step in (0, len(shown) // 2, len(shown) - 1):
            seek(tab, step)
            memory, budgets = shown[step].memory, shown[step].budgets
            layers = (shown[step].memory_forward if not shown[step].paths else memory).layers
            if shown[step].paths:
                assert bars(tab) == [
                    [str(live), str(most)] for live, most in zip(layers, budgets, strict=True)
                ]
            lost = sum(row[0] <= step for row in rows_of(shown))
            figure = tab.locator(".fs-evict-card").last.locator('[data-fact="evicted"]')
            expect(figure).to_have_text(f"{lost:,}")
    board(tab, "board.player.seek(0); board.player.setSpeed(10); board.player.play();")
    tab.wait_for_function("() => window.forkscope.stages.evict.player.cursor > 5")


def test_evictions_are_listed_newest_first_and_a_click_or_enter_goes_there(tab: Page) -> None:
    trace = open_board(tab, "narrow")[-1]
    rows = rows_of(trace)
    listed = tab.locator(".fs-evict-row")
    expect(listed.first).to_contain_text(f"layer {rows[-1][1]} · step {rows[-1][0]}")
    assert listed.count() < len(rows), "only those in sight are in the document"
    listed.nth(6).click()
    step, layer, text = rows[-7]
    assert board(tab, "return board.focused.cursor") == step
    board(tab, "board.draw()")
    lit = tab.locator('.fs-evict-token[aria-selected="true"]')
    expect(lit).to_have_text(text, use_inner_text=False)
    expect(tab.locator(".fs-evict-about").first).to_contain_text(f"left layer {layer}:")
    tab.locator(".fs-evict-only").check()
    expect(listed.first).to_contain_text(f"layer {layer}")
    only = [row for row in rows if row[1] == layer and row[0] <= step]
    assert board(tab, "return board.details[0].list.found.count") == len(only)
    tab.locator(".fs-evict-list").focus()
    tab.keyboard.press("End")
    tab.keyboard.press("Enter")
    assert board(tab, "return board.focused.cursor") == only[0][0]
    tab.keyboard.press("e")
    later = next(row[0] for row in rows if row[0] > only[0][0])
    assert board(tab, "return board.focused.cursor") == later


def test_two_policies_side_by_side_share_the_cursor_and_each_shows_its_own(tab: Page) -> None:
    traces = open_board(tab, "eight")
    tab.locator('[data-panel="a"] .fs-evict-name').click()
    tab.locator('[data-panel="e"] .fs-beside').click()
    expect(tab.locator(".fs-evict-detail")).to_have_count(2)
    names = tab.locator(".fs-evict-detail-head h3")
    expect(names).to_have_text(["Window", "Exact attention (H2O)"])
    seek(tab, 30)
    assert board(tab, "return board.all.map((card) => card.cursor)") == [30] * 8
    for at, trace in ((0, traces[0]), (1, traces[4])):
        last = [row for row in rows_of(trace) if row[0] <= 30][-1]
        detail = tab.locator(".fs-evict-detail").nth(at)
        first = detail.locator('.fs-evict-row[aria-posinset="1"]')
        expect(first).to_contain_text(f"layer {last[1]} · step {last[0]}")
        gone = detail.locator(".fs-evict-token.is-gone").count()
        lost = [set[int]() for _ in range(5)]
        for step in trace.steps[:31]:
            for one in step.evictions:
                lost[one.layer] |= set(one.positions)
        assert gone == len(set.intersection(*lost))
    tab.locator('[data-panel="a"] .fs-evict-name').focus()
    tab.keyboard.press("ArrowRight")
    expect(names.first).to_have_text("First in, first out")
    tab.keyboard.press("b")
    expect(tab.locator(".fs-evict-detail")).to_have_count(1)


def test_the_sketch_the_scatter_and_the_quality_strip_are_those_of_the_step(tab: Page) -> None:
    trace = open_board(tab, "narrow")[2]
    tab.locator('[data-panel="c"] .fs-evict-name').click()
    tab.locator('.fs-evict-layer[data-layer="3"]').click()
    seek(tab, 28)
    evidence = next(one for one in trace[28].evidence if one.layer == 3)
    cells = {(row, cell) for row, own in enumerate(evidence.columns) for cell in own}
    grid = tab.locator(".fs-sketch")
    expect(grid).to_have_attribute("data-known", str(len(cells)))
    expect(grid).to_have_attribute("data-width", "16")
    expect(tab.locator(".fs-scatter")).to_have_attribute("data-points", str(len(evidence.slots)))
    grid.focus()
    tab.keyboard.press("ArrowRight")
    told = tab.locator(".fs-sketch-told").first
    expect(told).to_contain_text("row 0, counter 0:")
    value = next((own[0] for own in [evidence.cells[0]]), None)
    assert value is not None
    known = dict(zip(evidence.columns[0], evidence.cells[0], strict=True))
    said = "not recorded" if 0 not in known else f"{known[0]:.4f}"
    expect(told).to_contain_text(said)
    flips = [
        step.index for step in trace for one in step.decisions if one.kl is not None and one.is_flip
    ]
    words = tab.locator(".fs-quality-words")
    expect(words).to_contain_text(f"First different choice at step {flips[0]}:")
    seek(tab, flips[0] - 1)
    expect(words).to_contain_text("Up to here every first choice is the full cache's")


def run_live(page: Page, prompt: str, variants: list[str], **values: str) -> None:
    """Fill the form by the page's own inputs and press Run."""
    page.locator("#fs-prompt textarea").fill(prompt)
    for title in ("Branching", "Eviction", "Limits"):
        header = page.locator("#fs-settings button.label-wrap", has_text=title)
        if "open" not in (header.get_attribute("class") or ""):
            header.click()
    page.locator("#fs-policy input").click()
    page.get_by_role("option", name="h2o", exact=True).click()
    page.wait_for_timeout(400)
    for name, value in values.items():
        box = page.locator(f"#fs-{name} :is(input[type=number], input[type=text], textarea)").first
        box.fill(value)
        box.blur()
    box = page.locator("#fs-evict-variants input")
    for _ in range(3):
        box.focus()
        page.keyboard.press("Backspace")
    for variant in variants:
        box.fill(variant)
        page.keyboard.press("Enter")
    page.wait_for_timeout(400)
    page.locator("#fs-evict-run").click()


def done(page: Page) -> None:
    expect(page.locator(".fs-evict .fs-badge").first).to_have_text("finished", timeout=120_000)


def test_a_live_board_shows_its_traces_occupancy_and_hostile_text_stays_text(
    tab: Page, app: App
) -> None:
    before = len(app.ended_runs())
    prompt = " ".join(HOSTILE)
    small = dict(budget="20", max_new_tokens="10", max_paths="4", sinks="2", recent="4")
    run_live(tab, prompt, ["window", "h2o sinks=1"], **small)
    done(tab)
    titles = tab.locator(".fs-evict-name")
    expect(titles).to_have_text(["Window", "Exact attention (H2O), sinks 1"])
    steps = board(tab, "return board.focused.log.steps")
    assert any(step["evictions"] for step in steps)
    for at, step in enumerate(steps):
        seek(tab, at)
        for seen, budget in bars(tab):
            assert int(seen) <= int(budget) == 20
        live = board(tab, "return board.details[0].parts.layers.innerText")
        assert live.count("/ 20") == len(step["memory"]["layers"])
        if len(step["paths"]) == 1:
            assert [int(seen) for seen, _ in bars(tab)] == step["memory"]["layers"]
    seek(tab, next(at for at, step in enumerate(steps) if step["decisions"]))
    shown = tab.locator(".fs-evict-text").first.inner_text()
    assert [text for text in HOSTILE if text not in shown] == []
    assert tab.evaluate("window.pwned") is None
    assert tab.locator(".fs-evict img, .fs-evict script").count() == 0
    wait_until(lambda: [caches for _, caches in app.ended_runs()[before:]] == [0, 0])


def test_what_cannot_be_run_is_one_sentence_and_the_board_stays(tab: Page) -> None:
    before = board(tab, "return board.all.length")
    run_live(tab, "Once", ["window"], budget="5")
    alert = tab.locator(".fs-evict .fs-alert")
    expect(alert).to_contain_text("sinks + recent = 12; give at least 13")
    assert board(tab, "return board.all.length") == before
    expect(tab.locator("#fs-sinks input")).to_be_enabled()
    expect(tab.locator("#fs-sketch_width input")).to_be_disabled()
    expect(tab.locator("#fs-sketch_width")).to_contain_text("only with policy count_min or")


def test_a_run_of_explore_with_a_policy_is_shown_here_at_the_same_step(
    fresh_page: Page, tmp_path: Path
) -> None:
    page = fresh_page
    page.set_input_files(".fs-file", TRACES / "needle-3.jsonl")
    page.wait_for_function("() => window.forkscope.stages.explore.log.evictions.length > 0")
    page.evaluate("window.forkscope.stages.explore.player.seek(6)")
    page.get_by_role("tab", name="Evict", exact=True).click()
    page.wait_for_function("() => window.forkscope.stages.evict?.log?.length === 15")
    shares = "return board.log === window.forkscope.stages.explore.log && board.focused.cursor"
    assert board(page, shares) == 6
    board(page, "board.player.seek(9)")
    assert page.evaluate("window.forkscope.stages.explore.player.cursor") == 9
    damaged = tmp_path / "damaged.jsonl"
    lines = (TRACES / "needle-3.jsonl").read_text().splitlines()
    step = json.loads(lines[8])
    step["evictions"][0]["paths"] = []
    damaged.write_text("\n".join([*lines[:8], json.dumps(step), *lines[9:]]) + "\n")
    page.set_input_files(".fs-evict-file", damaged)
    expect(page.locator(".fs-evict .fs-alert")).to_contain_text("columns of different lengths")
    assert board(page, shares) == 9


def share(page: Page, run: str) -> None:
    """A live run of Explore with a bounded cache, six steps of it, and the Evict tab in front."""
    page.get_by_role("tab", name="Explore", exact=True).click()
    page.evaluate(
        """(run) => {
          const { header, steps } = window.bounded;
          const batch = { run, seq: 0, header, steps: steps.slice(0, 6), title: run, note: "" };
          window.forkscope.take("explore", batch);
        }""",
        run,
    )
    page.get_by_role("tab", name="Evict", exact=True).click()
    page.wait_for_function("(run) => window.forkscope.stages.evict?.all[0]?.title === run", arg=run)


def test_a_live_run_of_explore_is_stopped_from_here_and_is_over_here_when_explore_leaves_it(
    fresh_page: Page,
) -> None:
    page = fresh_page
    page.evaluate("window.story = window.forkscope.stages.explore.log")
    page.set_input_files(".fs-file", TRACES / "needle-3.jsonl")
    page.wait_for_function("() => window.forkscope.stages.explore.log !== window.story")
    page.evaluate("window.bounded = window.forkscope.stages.explore.log")
    state = "return [board.all[0].state, board.player.isLive, document.body.dataset.run]"
    is_live = "window.forkscope.stages.explore.player.isLive"
    share(page, "first")
    page.evaluate(
        """() => window.forkscope.take("explore", {
             run: "first", seq: 6, steps: window.bounded.steps.slice(6, 9) })"""
    )
    page.wait_for_function("() => window.forkscope.stages.evict.all[0].length === 9")
    assert board(page, state) == ["running", True, "running"]
    page.locator("#fs-evict-stop").click()
    page.wait_for_function("() => !window.forkscope.stages.evict.player.isLive")
    assert page.evaluate(is_live) is False
    assert board(page, state) == ["stopped", False, "idle"]
    share(page, "second")
    board(page, "board.take({ alert: 'A board failed (by hand).', failed: true })")
    assert board(page, state) == ["running", True, "running"], "that was another request"
    board(page, "board.wait()")
    page.locator("#fs-evict-stop").click()
    words = "Stopped before anything ran; what you saw before is still here."
    expect(page.locator(".fs-evict-status")).to_have_text(words)
    assert board(page, "return board.parts.root.dataset.state") == "live"
    assert page.evaluate(is_live) is True, "only what was waited for was stopped"
    page.get_by_role("tab", name="Explore", exact=True).click()
    page.evaluate("window.forkscope.stages.explore.load(window.story, { title: 'A story' })")
    page.wait_for_function("() => !window.forkscope.stages.evict.player.isLive")
    page.wait_for_function("() => document.body.dataset.run === 'idle'")
    assert board(page, state) == ["stopped", False, "idle"]


def test_a_recorded_board_that_does_not_come_leaves_the_mark_on_the_one_that_is_shown(
    tab: Page,
) -> None:
    open_board(tab, "needle")
    marked = tab.locator(".fs-shelf-card.is-current")
    tab.route("**/narrow-2.jsonl", lambda route: route.fulfill(body="no trace"))
    tab.locator('[data-board="narrow"] .fs-shelf-open').click()
    alert = tab.locator(".fs-evict .fs-alert")
    expect(alert).to_contain_text("Count-min sketch, sketch width 64")
    expect(marked).to_have_attribute("data-board", "needle")
    board(tab, "board.cursor.reset({ live: true })")
    tab.locator('[data-board="eight"] .fs-shelf-open').click()
    expect(alert).to_contain_text("A live run is under way; stop it first.")
    expect(marked).to_have_attribute("data-board", "needle")
    assert board(tab, "return [board.shown, board.all.length]") == [None, 4]
    assert board(tab, "return board.shelf.shown") == "needle"


def test_what_is_pointed_at_says_what_it_is_at_the_step_that_is_shown(tab: Page) -> None:
    trace = open_board(tab, "narrow")[2]
    tab.locator('[data-panel="c"] .fs-evict-name').click()
    at = {step: trace[step].evidence[0] for step in (26, 30)}
    column = next(one for one in at[26].columns[0] if one in at[30].columns[0])
    seek(tab, 26)
    grid, told = tab.locator(".fs-sketch"), tab.locator(".fs-sketch-told")
    grid.focus()
    for _ in range(column + 1):
        tab.keyboard.press("ArrowRight")
    values = {step: one.cells[0][one.columns[0].index(column)] for step, one in at.items()}
    expect(told.first).to_contain_text(f"counter {column}: {values[26]:.4f}")
    seek(tab, 30)
    expect(told.first).to_contain_text(f"counter {column}: {values[30]:.4f}")
    tab.locator(".fs-scatter").focus()
    tab.keyboard.press("ArrowRight")
    lowest = min(range(len(at[30].exact)), key=lambda entry: at[30].exact[entry])
    entry = (at[30].slots[lowest], at[30].positions[lowest])
    expect(told.nth(1)).to_contain_text(f"at {entry[1]}: exact {at[30].exact[lowest]:.4f}")
    seek(tab, 31)
    now = trace[31].evidence[0]
    known = dict(zip(zip(now.slots, now.positions, strict=True), now.exact, strict=True))
    said = f"at {entry[1]}: exact {known[entry]:.4f}" if entry in known else "20 tokens, largest"
    expect(told.nth(1)).to_contain_text(said)


def test_the_list_begins_at_its_newest_and_a_token_not_written_yet_is_not_said_to_have_left(
    tab: Page,
) -> None:
    rows = rows_of(open_board(tab, "narrow")[-1])
    other = next(row for row in reversed(rows) if row[1] != rows[-1][1])
    tab.locator(".fs-evict-row").first.click()
    about = tab.locator(".fs-evict-about").first
    expect(about).to_contain_text(f"left layer {rows[-1][1]}:")
    tab.locator(f'.fs-evict-layer[data-layer="{other[1]}"]').click()
    tab.locator(".fs-evict-only").check()
    tab.locator(".fs-evict-list").focus()
    tab.keyboard.press("ArrowDown")
    active = tab.locator('.fs-evict-row[aria-selected="true"]')
    expect(active).to_contain_text(f"layer {other[1]} · step {other[0]}")
    listed = sum(row[1] == other[1] for row in rows)
    expect(active).to_have_attribute("aria-setsize", str(listed))
    expect(active).to_have_attribute("aria-posinset", "1")
    tab.keyboard.press("Enter")
    seek(tab, 0)
    expect(about).to_contain_text("is not in the text of path 0 at this step")
    expect(about).not_to_contain_text("any more")


def test_files_beyond_eight_are_said_to_be_left_out_and_what_they_hold_is_text_and_can_be_read(
    tab: Page, tmp_path: Path
) -> None:
    text = (TRACES / "eight-1.jsonl").read_text()
    header, *steps = text.splitlines()
    turned = json.loads(header)
    turned["prompt"][1]["text"] = "\u202eevil\u202c"
    eviction = turned["config"]["eviction"]
    eviction["strategy"] = "aggregate"
    names = [tmp_path / f"{at}.jsonl" for at in range(9)]
    for name in names:
        name.write_text("\n".join([json.dumps(turned), *steps]) + "\n")
    tab.set_input_files(".fs-evict-file", names)
    expect(tab.locator(".fs-evict-card")).to_have_count(8)
    expect(tab.locator(".fs-evict-status")).to_have_text(
        "8 runs under one cursor. 1 more had no room or no step."
    )
    shown = tab.locator(".fs-evict-text").first
    expect(shown).to_contain_text("⟨202e⟩evil")
    assert "\u202e" not in tab.locator(".fs-evict").inner_text()
    folded = f"In each layer up to {eviction['residual_entries']} of the held ones stand for others"
    expect(tab.locator(".fs-held-legend").first).to_contain_text(folded)
    module = "/gradio_api/file=" + (ROOT / "assets" / "stage" / "contrast.js").as_posix()
    told = tab.evaluate(
        """async (module) => {
             const { contrast } = await import(module);
             return [...document.querySelectorAll(".fs-evict-card .fs-chip")].map((chip) => {
               const { color, backgroundColor } = getComputedStyle(chip);
               return contrast(color, backgroundColor);
             });
           }""",
        module,
    )
    assert len(told) == 8 and min(told) >= 4.5


@pytest.mark.parametrize("width", [1440, 1280, 700, 390])
def test_every_width_and_theme_shows_the_tab_without_scrolling_sideways(
    tab: Page, width: int
) -> None:
    open_board(tab, "narrow")
    tab.locator('[data-panel="b"] .fs-beside').click()
    tab.set_viewport_size({"width": width, "height": 850})
    colors = []
    for _ in range(2):
        board(tab, "board.draw()")
        held = tab.locator(".fs-evict-token:not(.is-gone)").first
        colors.append(held.evaluate("(one) => getComputedStyle(one).backgroundColor"))
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        for part in tab.locator(
            ".fs-evict :is(.fs-evict-card, .fs-evict-part:not([hidden]))"
        ).all():
            box = part.bounding_box()
            assert box is not None
            assert box["x"] >= 0 and box["x"] + box["width"] <= width
        tab.locator(".fs-theme").click()
        tab.wait_for_timeout(200)
    assert len(set(colors)) == 2


def test_a_run_that_waits_or_never_ran_shows_no_other_runs_detail_and_the_one_under_way_is_in_focus(
    tab: Page,
) -> None:
    board(
        tab,
        """const { header, steps } = board.log;
           window.news = (now, batch) => board.take({ evict: "by hand", heading: "By hand",
             titles: ["One", "Two", "Three"], order: ["a", "b", "c"], runs: {}, now, batch });
           window.news("a", { run: "x", seq: 0, header, steps: steps.slice(0, 6), done: true });""",
    )
    focused = "return board.focused.key"
    assert board(tab, focused) == "a"
    board(tab, "window.news('b', { run: 'y', seq: 0, header: board.log.header, steps: [] });")
    assert board(tab, focused) == "b", "the run under way is the one in focus"
    tab.locator('[data-panel="c"] .fs-evict-name').click()
    detail = tab.locator(".fs-evict-detail")
    expect(detail).to_have_count(1)
    expect(detail).to_contain_text("Three: waiting, it runs after those before it.")
    expect(detail.locator(".fs-evict-parts")).to_be_hidden()
    board(tab, "window.news('b', { run: 'y', seq: 0, steps: board.all[0].steps });")
    assert board(tab, focused) == "c", "a chosen run stays in focus"
    board(tab, "board.stop();")
    expect(detail).to_contain_text("Three: did not run.")
    expect(detail.locator(".fs-evict-parts")).to_be_hidden()
    expect(tab.locator('[data-panel="c"] .fs-badge')).to_have_text("did not run")
    tab.locator('[data-panel="a"] .fs-evict-name').click()
    expect(detail.locator(".fs-evict-parts")).to_be_visible()
    board(tab, "board.finish('done')")


def test_the_paths_to_choose_from_are_those_of_the_run_that_is_shown(
    tab: Page, tmp_path: Path
) -> None:
    text = (ROOT / "assets" / "traces" / "story.jsonl").read_text()
    loud = tmp_path / "loud.jsonl"
    loud.write_text(
        re.sub(r'"text": ?"[^"\\\\]*"', lambda one: one[0].upper(), text).replace(
            '"TEXT"', '"text"'
        )
    )
    calm = tmp_path / "calm.jsonl"
    calm.write_text(text)
    tab.set_input_files(".fs-evict-file", [calm, loud])
    paths = tab.locator(".fs-evict-path option")
    expect(tab.locator(".fs-evict-name")).to_have_text(["calm.jsonl", "loud.jsonl"])
    expect(paths.first).to_have_text(re.compile("[A-Z]{3}"))
    told = paths.all_inner_texts()
    tab.locator('[data-panel="a"] .fs-evict-name').click()
    expect(paths.first).to_have_text(re.compile("[a-z]{3}$"))
    assert [one.upper() for one in paths.all_inner_texts()] == [one.upper() for one in told]
    assert not set(paths.all_inner_texts()) & set(told)


def test_the_prompts_end_is_marked_and_a_card_says_what_its_run_wrote(tab: Page) -> None:
    traces = open_board(tab, "needle")
    written = tab.locator(".fs-evict-wrote")
    for at, trace in enumerate(traces):
        text = metrics.leaves(trace)[0].text.strip()
        expect(written.nth(at)).to_have_text(f"writes “{text}”")
    end = tab.locator(".fs-evict-token.is-prompt-end")
    expect(end).to_have_count(1)
    before = end.evaluate("(one) => [...one.parentNode.children].indexOf(one) + 1")
    assert before == len(traces[0].header.prompt)
    expect(tab.locator(".fs-evict .fs-note")).to_contain_text(
        "Q: What did Ben choose? A: Ben chose”"
    )


def test_a_preset_of_a_board_shows_that_board_and_fills_the_form_with_its_first_policy(
    fresh_page: Page,
) -> None:
    page = fresh_page
    title = BOARDS["narrow"].title
    page.locator('#fs-presets [data-group="Eviction stories"] summary').click()
    page.locator(f'#fs-presets [data-preset="{title}"]').click()
    expect(page.locator(".fs-evict .fs-title")).to_have_text(title)
    expect(page.locator(".fs-shelf-card.is-current")).to_have_attribute("data-board", "narrow")
    pressed = page.locator('#fs-presets [aria-pressed="true"] strong')
    expect(pressed).to_have_text([title])
    expect(page.locator("#fs-evict-budget input")).to_have_value("20")


def test_a_live_run_of_explore_that_has_ended_is_no_recorded_one_here(fresh_page: Page) -> None:
    page = fresh_page
    page.evaluate("window.story = window.forkscope.stages.explore.log")
    page.set_input_files(".fs-file", TRACES / "needle-3.jsonl")
    page.wait_for_function("() => window.forkscope.stages.explore.log !== window.story")
    page.evaluate(
        """() => {
          const { header, steps } = window.forkscope.stages.explore.log;
          const run = { run: "ended", seq: 0, title: "ended", note: "", done: true };
          window.forkscope.take("explore", { ...run, header, steps });
        }"""
    )
    page.get_by_role("tab", name="Evict", exact=True).click()
    page.wait_for_function("() => window.forkscope.stages.evict?.all[0]?.title === 'ended'")
    expect(page.locator(".fs-evict-card .fs-badge")).to_have_text("done")
    expect(page.locator(".fs-past-row[aria-current], .fs-past-row.is-current")).to_contain_text(
        "h2o 48"
    )
