"""Runs that have ended, side by side: recorded ones, dropped files, runs of this visit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from explorer import load_model, metrics, run
from explorer.trace import Trace
from explorer.ui.presets import EXAMPLES
from tests.browser.conftest import ROOT
from tests.browser.test_compare import assert_fits, board, keys, press, shown
from tests.browser.test_live import LONG, set_fields
from tests.browser.test_recorded import HOSTILE

pytestmark = pytest.mark.browser
TRACES = ROOT / "assets" / "traces"
# Files dropped on the board: `[[name, text]]`.
DROP = """(files) => {
  const data = new DataTransfer();
  for (const [name, text] of files) data.items.add(new File([text], name));
  const target = document.querySelector(".fs-board .fs-panels");
  for (const type of ["dragover", "drop"]) {
    const how = {dataTransfer: data, bubbles: true, cancelable: true};
    target.dispatchEvent(new DragEvent(type, how));
  }
}"""


@pytest.fixture
def compare(page: Page) -> Page:
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_function("() => window.forkscope.stages.compare?.isVisible()")
    return page


@pytest.fixture(scope="module")
def thresholds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The story with two thresholds, as trace files."""
    model, folder = load_model("tiny"), tmp_path_factory.mktemp("runs")
    files = []
    for tau in (0.2, 0.1):
        config = EXAMPLES["story"].config().replace(entropy_threshold=tau, max_new_tokens=24)
        files.append(folder / f"tau {tau}.jsonl")
        run(model, config).save(files[-1])
    return files


def drop(page: Page, *files: tuple[str, str]) -> None:
    page.evaluate(DROP, [list(file) for file in files])


def drop_files(page: Page, *files: Path) -> None:
    drop(page, *((file.name, file.read_text()) for file in files))
    count = len(files)
    page.wait_for_function("(n) => window.forkscope.stages.compare.panels.length === n", arg=count)


def choose(page: Page, at: int, title: str) -> None:
    page.locator(".fs-pick").nth(at).select_option(label=title)


def parting(a: Trace, b: Trace) -> int:
    """Tokens that two trees have alike, from the first one."""
    rows = [[(n.parent, n.token) for step in trace for n in step.nodes] for trace in (a, b)]
    return next(at for at, (one, other) in enumerate(zip(*rows)) if one != other)  # noqa: B905


def test_two_recorded_runs_are_chosen_and_their_figures_are_pythons(compare: Page) -> None:
    choose(compare, 0, "Rolling a die")
    choose(compare, 1, "A fact it knows")
    compare.locator(".fs-pick-go").click()
    expect(compare.locator(".fs-board .fs-badge").first).to_have_text("runs side by side")
    assert keys(compare) == ["a", "b"]
    for key, name in (("a", "dice"), ("b", "fact")):
        expected = metrics.result(Trace.load(TRACES / f"{name}.jsonl"))
        for row in ("generated_tokens", "forward_token_steps", "kv_nbytes_peak", "forks", "steps"):
            assert shown(compare, f"counters.{row}")[key] == str(expected["counters"][row]), row
        seconds = float(shown(compare, "seconds.total")[key])
        assert seconds == pytest.approx(expected["seconds"]["total"])
        digest = compare.locator(f'[data-panel="{key}"] .fs-digest')
        expect(digest).to_have_text(f"tree {expected['tree_digest'][:12]}")
    expect(compare.locator(".fs-curve-line")).to_have_count(6)
    compare.locator('.fs-mode[data-mode="second"]').click()
    expect(compare.locator(".fs-race")).to_contain_text("have finished.")
    expect(compare.locator(".fs-same-line")).to_contain_text("Their prompts differ already.")


def test_two_thresholds_dropped_as_files_show_where_they_part_and_what_was_set(
    compare: Page, thresholds: list[Path]
) -> None:
    asked: list[str] = []
    compare.on("request", lambda request: asked.append(request.method))
    drop_files(compare, *thresholds)
    picks = compare.locator(".fs-pick").evaluate_all(
        "(all) => all.slice(0, 2).map((one) => one.selectedOptions[0].textContent)"
    )
    assert picks == [file.name for file in thresholds]
    same = parting(*(Trace.load(file) for file in thresholds))
    line = compare.locator(".fs-same-line.is-other")
    expect(line).to_contain_text(f"The same for {same} tokens; then B splits after")
    rows = compare.locator("[data-setting]")
    expect(rows).to_have_count(1)
    expect(rows).to_have_text("entropy threshold0.20.1")
    assert board(compare, "return board.panels.map((panel) => panel.marks.length)") == [1, 1]
    assert board(compare, "return board.panels.map((panel) => panel.alike)")[1] == same
    line.get_by_role("button", name="Show it").click()
    at = board(compare, "return board.panels[0].log.node(board.pointing.pinned.id).step")
    assert board(compare, "return board.panels.map((panel) => panel.cursor)") == [at, at]
    assert "POST" not in asked, "nothing is uploaded"


def test_the_mark_of_the_first_difference_is_drawn(compare: Page, thresholds: list[Path]) -> None:
    drop_files(compare, *thresholds)
    picture = "board.draw(); return board.panels[1].parts.tree.toDataURL()"
    marked = board(compare, picture)
    cleared = "board.panels[1].marks = []; board.panels[1].invalidate();"
    assert board(compare, cleared + picture) != marked


def test_a_run_and_itself_are_the_same_tree(compare: Page, thresholds: list[Path]) -> None:
    text = thresholds[0].read_text()
    drop(compare, ("one.jsonl", text), ("two.jsonl", text))
    compare.wait_for_function("() => window.forkscope.stages.compare.panels.length === 2")
    nodes = sum(len(step.nodes) for step in Trace.load(thresholds[0]))
    expect(compare.locator(".fs-same-line.is-same")).to_contain_text(
        f"made the same {nodes} tokens"
    )
    expect(compare.locator(".fs-conditions")).to_contain_text("everything that was set is equal")
    assert shown(compare, "same_tree") == {"a": "true", "b": "true"}
    board(compare, "board.select({kind: 'node', id: 7}); board.draw()")
    texts = compare.locator(".fs-panel .fs-panel-text").all_inner_texts()
    assert texts[0] == texts[1], "what is pinned in one is pinned in the other"
    stopped = "board.all[1].setState('stopped');"
    board(
        compare,
        f"{stopped} board.results.compareTrees(board.panels, board.places.reference, false)",
    )
    expect(compare.locator(".fs-same-line.is-so-far")).to_contain_text(f"{nodes} tokens")


def test_four_files_fit_a_fifth_is_said_to_be_left_out_and_one_alone_can_be_chosen(
    compare: Page, thresholds: list[Path]
) -> None:
    text = thresholds[0].read_text()
    drop(compare, *((f"{name}.jsonl", text) for name in "vwxyz"))
    compare.wait_for_function("() => window.forkscope.stages.compare.panels.length === 4")
    status = compare.locator(".fs-board-status")
    expect(status).to_contain_text("the first four of 5 files")
    drop(compare, ("single.jsonl", thresholds[1].read_text()))
    expect(status).to_contain_text("single.jsonl is the second run now")
    compare.locator(".fs-pick-go").click()
    title = compare.locator(".fs-board .fs-title").first
    expect(title).to_contain_text("A: v.jsonl · B: single.jsonl · C: x.jsonl")


def test_a_third_and_a_fourth_run_can_be_added(compare: Page) -> None:
    more = compare.get_by_role("button", name="Another run")
    more.click()
    choose(compare, 2, "A fact it knows")
    more.click()
    choose(compare, 3, "Worked arithmetic")
    expect(more).to_be_hidden()
    compare.locator(".fs-pick-go").click()
    compare.wait_for_function("() => window.forkscope.stages.compare.panels.length === 4")
    assert keys(compare) == ["a", "b", "c", "d"]


def test_files_that_are_no_traces_are_refused_in_a_sentence_and_nothing_changes(
    compare: Page, thresholds: list[Path]
) -> None:
    drop_files(compare, *thresholds)
    before = board(compare, "return board.panels.map((panel) => panel.title)")
    drop(compare, ("notes.txt", "hello\n"), ("b.jsonl", thresholds[0].read_text()))
    alert = compare.locator(".fs-board .fs-alert")
    expect(alert).to_contain_text("notes.txt is not a Forkscope trace.")
    assert board(compare, "return board.panels.map((panel) => panel.title)") == before


def as_other_model(file: Path, vocab: int) -> str:
    """The same steps as if another model had made them."""
    header, *steps = file.read_text().splitlines()
    raw: dict[str, Any] = json.loads(header)
    raw["model"] |= {"name": "other", "kv_nbytes_per_token": 9216, "vocab_size": vocab}
    return "\n".join([json.dumps(raw), *steps]) + "\n"


def test_other_models_say_that_bytes_are_of_different_things(
    compare: Page, thresholds: list[Path]
) -> None:
    vocab = Trace.load(thresholds[0]).header.model.vocab_size
    text = thresholds[0].read_text()
    drop(compare, ("a.jsonl", text), ("b.jsonl", as_other_model(thresholds[0], vocab)))
    results = compare.locator(".fs-results")
    expect(results).to_contain_text("A token takes another number of bytes in each model")
    expect(results).to_contain_text("A 2,560 B and B 9,216 B")
    expect(results.locator(".fs-in-words")).to_contain_text("stored as many tokens at its peak")
    expect(compare.locator(".fs-same-line.is-same")).to_be_visible()


def test_other_tokenizers_are_compared_by_text_and_it_is_said(
    compare: Page, thresholds: list[Path]
) -> None:
    text = thresholds[0].read_text()
    drop(compare, ("a.jsonl", text), ("b.jsonl", as_other_model(thresholds[0], 9)))
    first = metrics.leaves(Trace.load(thresholds[0]))[0].text
    line = compare.locator(".fs-same-line")
    expect(line).to_contain_text(
        "Other tokenizers, so the first returned paths are compared as text"
    )
    expect(line).to_contain_text(f"the same {len(first)} characters")


def test_a_run_of_this_visit_can_be_chosen_and_the_board_can_be_asked_by_others(
    compare: Page,
) -> None:
    compare.get_by_role("tab", name="Explore").click()
    set_fields(compare, "Once upon a time", max_new_tokens="12", max_paths="4")
    compare.locator("#fs-run").click()
    expect(compare.locator(".fs-badge").first).to_have_text("live run, finished", timeout=60_000)
    compare.get_by_role("tab", name="Compare").click()
    compare.locator(".fs-pick").first.focus()
    group = compare.locator(".fs-pick").first.locator("optgroup[label='Runs of this visit'] option")
    expect(group).to_have_count(1)
    compare.locator(".fs-pick").first.select_option(value=str(group.get_attribute("value")))
    compare.locator(".fs-pick-go").click()
    compare.wait_for_function("() => window.forkscope.stages.compare.panels.length === 2")
    assert board(compare, "return board.panels[0].log.length") == 12
    told = board(
        compare,
        "const [run] = window.forkscope.history.entries;"
        "return board.showRuns([run, run, {title: 'empty', log: null}])",
    )
    assert told is True
    assert keys(compare) == ["a", "b"]


def test_while_a_comparison_runs_it_is_not_taken_away(compare: Page) -> None:
    set_fields(compare, "Once upon a time", **LONG)
    press(compare)
    compare.wait_for_function("() => window.forkscope.stages.compare.all[0]?.length >= 4")
    before = board(compare, "return board.id")
    compare.locator(".fs-pick-go").click()
    expect(compare.locator(".fs-board .fs-alert")).to_contain_text("stop it first")
    assert board(compare, "return board.id") == before
    compare.locator("#fs-compare-stop").click()
    expect(compare.locator(".fs-board .fs-badge").first).to_have_text("stopped")
    compare.locator(".fs-pick-go").click()
    expect(compare.locator(".fs-board .fs-badge").first).to_have_text("runs side by side")
    expect(compare.locator(".fs-board .fs-alert")).to_be_hidden()


def test_hostile_titles_and_settings_stay_text(compare: Page, thresholds: list[Path]) -> None:
    header, *steps = thresholds[0].read_text().splitlines()
    raw = json.loads(header)
    raw["config"]["branching"]["select"] = HOSTILE[0]
    text = "\n".join([json.dumps(raw), *steps]) + "\n"
    drop(compare, (HOSTILE[0], thresholds[0].read_text()), (HOSTILE[2], text))
    compare.wait_for_function("() => window.forkscope.stages.compare.panels.length === 2")
    assert compare.evaluate("window.pwned") is None
    assert compare.locator(".fs-board img, .fs-board script").count() == 0
    expect(compare.locator("[data-setting='select']")).to_contain_text(HOSTILE[0])


def test_every_width_shows_runs_without_scrolling_sideways(
    compare: Page, thresholds: list[Path]
) -> None:
    drop_files(compare, *thresholds, *thresholds)
    for width in (1440, 1280, 390):
        assert_fits(compare, width)
