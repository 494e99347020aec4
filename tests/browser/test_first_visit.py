"""A first visit: one line, Watch and Run it; the presets; a form that is filled from the start."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from explorer.config import iter_fields
from explorer.ui.presets import PRESETS, named
from tests.browser.conftest import App, Watch, open_page
from tests.browser.steps import stage

pytestmark = pytest.mark.browser
LINE = ".fs-welcome"


@pytest.fixture
def still(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of somebody who wants no motion."""
    context = browser.new_context(reduced_motion="reduce", viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    yield context
    context.close()


def test_a_first_visit_says_what_moves_and_offers_to_watch_or_to_run(page: Page) -> None:
    line = page.locator(LINE)
    expect(line).to_contain_text("a dot is a token")
    watch, run = line.get_by_role("button", name="Watch"), line.get_by_role("button", name="Run it")
    first, second = watch.bounding_box(), run.bounding_box()
    assert first is not None and second is not None
    assert first["y"] == second["y"]
    assert 0 < second["x"] - (first["x"] + first["width"]) < 20
    tree = page.locator(".fs-card-tree").first.bounding_box()
    assert tree is not None
    assert first["y"] < tree["y"]


def test_watch_plays_the_recorded_run_and_stops_where_there_is_something_to_say(page: Page) -> None:
    page.locator(LINE).get_by_role("button", name="Watch").click()
    expect(page.locator(LINE)).to_contain_text("1 of 4")
    expect(page.locator(LINE)).to_contain_text("has read the prompt, 5 tokens")
    assert stage(page, "return stage.player.cursor") == 0
    page.keyboard.press("Space")  # on, without waiting until it has been read
    expect(page.locator(LINE)).to_contain_text("Here it is unsure")
    first_fork = stage(page, "return stage.log.steps.findIndex((step) => step.forks.length)")
    assert stage(page, "return stage.player.cursor") == first_fork
    assert not stage(page, "return stage.player.playing")
    page.locator(LINE).get_by_role("button", name="Close").click()
    expect(page.locator(LINE)).to_be_hidden()


def test_watch_tells_it_to_the_end_and_goes_on_by_itself(app: App, still: BrowserContext,
                                                         watch: Watch) -> None:  # fmt: skip
    page = open_page(app.url, still, watch)
    page.locator(LINE).get_by_role("button", name="Watch").click()
    expect(page.locator(LINE)).to_contain_text("Here it is unsure", timeout=15_000)
    expect(page.locator(LINE)).to_contain_text("are pruned", timeout=15_000)
    expect(page.locator(LINE)).to_contain_text("The run is over: 8 texts", timeout=15_000)
    assert stage(page, "return stage.player.cursor === stage.log.length - 1")
    expect(page.get_by_role("button", name="Watch again")).to_be_visible(timeout=15_000)
    expect(page.locator(LINE).get_by_role("button", name="Run it")).to_be_visible()


def test_run_it_starts_a_live_run(page: Page) -> None:
    page.locator(LINE).get_by_role("button", name="Run it").click()
    expect(page.locator(LINE)).to_be_hidden()
    expect(page.locator(".fs-badge").first).to_have_text("live run, finished", timeout=60_000)


@pytest.mark.parametrize("used", ["Watch", "Close"])
def test_a_line_once_used_is_gone_for_good(page: Page, used: str) -> None:
    page.locator(LINE).get_by_role("button", name=used).click()
    page.reload()
    page.wait_for_function("() => window.forkscope?.stages.explore?.player.cursor >= 0")
    page.wait_for_function("() => window.forkscope.history?.entries.length === 1")
    expect(page.locator(LINE)).to_be_hidden()


def test_a_browser_that_remembers_nothing_works_all_the_same(
    app: App, context: BrowserContext, watch: Watch
) -> None:
    context.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('refused'); } });"
    )
    page = open_page(app.url, context, watch)
    page.locator(LINE).get_by_role("button", name="Close").click()
    expect(page.locator(LINE)).to_be_hidden()
    page.locator(".fs-theme").click()
    assert page.evaluate("document.body.classList.contains('dark')")
    # gradio's own words about the same refusal
    watch.complaints = [one for one in watch.complaints if "refused" not in one]


def pressed(page: Page) -> list[str]:
    buttons = page.locator(".fs-preset[aria-pressed=true]")
    return [str(one.get_attribute("data-preset")) for one in buttons.all()]


def test_presets_stand_in_groups_each_with_its_sentence(page: Page) -> None:
    for group, presets in PRESETS.items():
        section = page.locator(f".fs-preset-group[data-group='{group}']")
        if section.get_attribute("open") is None:
            section.locator("summary").click()
        for preset in presets:
            row = section.locator(f"[data-preset='{preset.name}']")
            expect(row).to_be_visible()
            expect(row).to_contain_text(preset.sentence)
    assert page.locator(".fs-preset-group[open]").count() == 1


def test_a_preset_sets_the_form_by_keyboard_and_is_shown_until_the_form_differs(page: Page) -> None:
    assert pressed(page) == ["Curious"]
    calm = page.locator("[data-preset=Calm]")
    calm.focus()
    page.keyboard.press("Enter")
    expect(calm).to_have_attribute("aria-pressed", "true")
    assert pressed(page) == ["Calm"]
    page.locator("#fs-settings .label-wrap", has_text="Branching").click()
    paths = page.locator("#fs-max_paths input")
    expect(paths).to_have_value(str(named("Calm").settings["max_paths"]))
    paths.fill("9")
    paths.blur()
    expect(calm).to_have_attribute("aria-pressed", "false")
    assert pressed(page) == []
    expect(page.locator("#fs-estimate")).to_contain_text("9 paths")
    paths.fill("5")
    paths.blur()
    expect(calm).to_have_attribute("aria-pressed", "true")


def test_a_memory_preset_sets_the_backend_and_the_group_says_which(page: Page) -> None:
    page.locator(".fs-preset-group[data-group=Memory] summary").click()
    page.locator("[data-preset='No cache']").click()
    expect(page.locator("[data-preset='No cache']")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#fs-estimate")).to_contain_text("no KV cache at all")
    page.locator(".fs-preset-group[data-group=Uncertainty] summary").click()
    expect(page.locator(".fs-preset-group[data-group=Memory] summary")).to_contain_text("No cache")


def test_a_comparison_preset_ticks_its_backends_and_opens_their_tab(fresh_page: Page) -> None:
    page = fresh_page
    page.locator(".fs-preset-group[data-group=Comparison] summary").click()
    page.locator("[data-preset='Share or copy']").click()
    expect(page.get_by_role("tab", name="Compare", exact=True)).to_have_attribute(
        "aria-selected", "true"
    )
    ticked = page.locator("#fs-compare-backends input:checked")
    expect(ticked).to_have_count(2)
    expect(page.locator("[data-preset='Share or copy']")).to_have_attribute("aria-pressed", "true")
    page.locator("#fs-compare-backends label", has_text="Batched").click()
    expect(page.locator("[data-preset='Share or copy']")).to_have_attribute("aria-pressed", "false")


def test_every_knob_shows_its_sentence_of_help(page: Page) -> None:
    for header in page.locator("#fs-settings .label-wrap").all():
        header.click()
    shown = 0
    for _, name, field in iter_fields():
        knob = page.locator(f"#fs-{name}")
        if name in ("prompt_ids", "prefix_ids", "layer_budgets"):  # lists: command line only
            continue
        expect(knob).to_contain_text(str(field.description))
        shown += 1
    assert shown >= 18


def test_what_is_typed_first_is_not_overwritten(
    app: App, context: BrowserContext, watch: Watch
) -> None:
    page = context.new_page()
    watch.follow(page)
    page.goto(app.url, wait_until="commit")
    box = page.locator("#fs-prompt textarea")
    box.fill("Typed at once")  # as soon as there is a box to type in
    page.wait_for_function("() => window.forkscope?.stages.explore?.player.cursor >= 0")
    expect(page.locator("#fs-estimate")).to_contain_text("Predicted at worst")
    page.wait_for_timeout(1500)  # answers that would still be on their way
    expect(box).to_have_value("Typed at once")


def test_what_is_not_set_stays_not_set_when_its_group_is_opened(page: Page) -> None:
    for header in page.locator("#fs-settings .label-wrap").all():
        header.click()
    for name in ("top_k", "top_p", "max_finished", "num_samples"):
        expect(page.locator(f"#fs-{name} :is(input, textarea)")).to_have_value("")
    expect(page.locator("#fs-estimate")).to_contain_text("Predicted at worst")
    assert pressed(page) == ["Curious"]


def test_the_budget_says_when_the_context_would_be_exceeded(page: Page) -> None:
    page.locator("#fs-settings .label-wrap", has_text="Limits").click()
    box = page.locator("#fs-max_new_tokens input")
    box.fill("2047")
    box.blur()
    expect(page.locator("#fs-estimate")).to_contain_text("more than the 2,048 positions of tiny")


@pytest.mark.parametrize("width", [390, 1280])
def test_run_is_in_reach_and_nothing_scrolls_sideways(
    app: App, browser: Browser, watch: Watch, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844})
    page = open_page(app.url, context, watch)
    page.wait_for_timeout(300)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    run = page.locator(".fs-bar-run" if width < 900 else "#fs-run")
    box = run.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 844
    if width < 900:
        page.mouse.wheel(0, 900)
        page.wait_for_timeout(300)
        expect(run).to_be_in_viewport()
        page.locator(".fs-bar-setup").click()
        expect(page.locator("#fs-prompt textarea")).to_be_focused()
        expect(page.locator("#fs-prompt textarea")).to_be_in_viewport()
    run.click()
    expect(page.locator(".fs-badge").first).to_have_text(
        re.compile("running live|live run"), timeout=30_000
    )
    context.close()
