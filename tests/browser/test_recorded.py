"""What a newcomer sees: a recorded run that plays, without a model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.browser.conftest import MOVING, App, Watch, open_page
from tests.browser.steps import frames, pause, stage

pytestmark = pytest.mark.browser
HOSTILE = [
    "<img src=x onerror=window.pwned=1>",
    "${window.pwned=1}",
    "</script><script>window.pwned=1</script>",
    "{{constructor.constructor('window.pwned=1')()}}",
]


def test_a_recorded_run_moves_by_itself_as_soon_as_the_page_is_open(
    app: App, context: BrowserContext, watch: Watch
) -> None:
    page = context.new_page()
    watch.follow(page)
    page.goto(app.url, wait_until="commit")
    page.wait_for_function(
        "() => window.forkscope?.stages.explore?.tree.root.querySelector('.fs-node:not(.fs-root)')"
    )
    first = stage(page, "return stage.player.cursor")
    moves_on = "(at) => window.forkscope.stages.explore.player.cursor > at"
    page.wait_for_function(moves_on, arg=first)
    assert stage(page, "return stage.player.playing || stage.player.isPlayedOut")
    assert watch.complaints == []


def test_every_card_opens_its_run(page: Page) -> None:
    cards = page.locator(".fs-run")
    assert cards.count() >= 4
    for at in range(cards.count()):
        cards.nth(at).click()
        title = cards.nth(at).locator("strong").inner_text()
        expect(page.locator(".fs-title").first).to_have_text(title)
        expect(cards.nth(at)).to_have_class(re.compile("is-current"))
        page.wait_for_function(MOVING)


def test_a_card_fills_the_form_with_the_runs_own_settings(page: Page) -> None:
    page.locator(".fs-run").nth(2).click()
    page.wait_for_function(
        """() => {
            const { log } = window.forkscope.stages.explore;
            const shown = document.querySelector('.fs-title').textContent;
            return shown === document.querySelectorAll('.fs-run strong')[2].textContent
                && log.header.config.prompt === document.querySelector('#fs-prompt textarea').value;
        }"""
    )
    paths = stage(page, "return stage.log.header.config.branching.max_paths")
    page.get_by_text("Branching", exact=True).click()
    expect(page.locator("#fs-max_paths input")).to_have_value(str(paths))


def test_what_is_typed_after_a_card_is_kept_when_the_server_answers_late(page: Page) -> None:
    held: list[Route] = []
    page.route("**/run/predict*", lambda route: held.append(route))
    prompt, paths = page.locator("#fs-prompt textarea"), page.locator("#fs-max_paths input")
    page.locator(".fs-run[data-run=dice]").click()
    expect(prompt).to_have_value("Mia rolled the die and got")  # the page's own doing
    prompt.fill("The dragon")
    page.get_by_text("Branching", exact=True).click()
    expect(paths).to_have_value("8")
    while held:
        held.pop(0).continue_()
    page.unroute("**/run/predict*")
    expect(paths).to_have_value("18")
    expect(prompt).to_have_value("The dragon")


def test_what_is_drawn_at_a_cursor_does_not_depend_on_how_it_was_reached(page: Page) -> None:
    equal = page.evaluate(
        """async () => {
            const stage = window.forkscope.stages.explore;
            const url = document.querySelector('link[href$="/log.js"]').href;
            const { Log, describe } = await import(url);
            const drawn = () => {
                stage.draw();
                const marks = stage.tree.root.querySelectorAll('.fs-node, .fs-edge path');
                return Array.from(marks, (mark) => mark.outerHTML).join('');
            };
            stage.tree.fit(true); // marks are of what is in sight: the same view throughout
            stage.player.seek(stage.log.length - 1);
            const last = drawn(), growing = new Log(stage.log.header), live = [];
            for (const step of stage.log.steps) {
                growing.append(step);
                live.push(JSON.stringify(describe(growing, growing.length - 1)));
            }
            const same = live.every((one, at) => one === JSON.stringify(describe(stage.log, at)));
            stage.player.seek(3);
            const early = drawn();
            stage.player.seek(stage.log.length - 1);
            return [same, drawn() === last, early !== last];
        }"""
    )
    assert equal == [True, True, True]


def test_zoom_and_nodes_survive_a_hundred_updates(page: Page) -> None:
    pause(page, 4)
    tree = page.locator(".fs-tree-root").first
    tree.hover()
    still = stage(page, "return stage.tree.world.style.transform")
    page.mouse.wheel(0, -400)
    stage(
        page,
        "window.first = stage.tree.root.querySelector('.fs-node[data-id=\"0\"]')",
    )
    page.wait_for_function(
        """(still) => { const { tree, frame } = window.forkscope.stages.explore;
            const now = tree.world.style.transform;
            return now !== still && !tree.camera.frame && !frame; }""",
        arg=still,
    )
    before = stage(page, "return stage.tree.world.style.transform")
    last = int(stage(page, "return stage.log.length - 1"))  # type: ignore[call-overload]
    page.evaluate(
        """async (last) => {
            const stage = window.forkscope.stages.explore;
            for (let i = 0; i < 100; i++) {
                stage.player.seek(1 + ((i * 5) % last));
                await new Promise(requestAnimationFrame);
            }
        }""",
        last,
    )
    assert stage(page, "return stage.tree.world.style.transform") == before
    assert stage(
        page,
        "return stage.tree.root.querySelector('.fs-node[data-id=\"0\"]') === window.first",
    )


def test_a_token_lights_its_slot_and_the_slot_its_token(
    page: Page,
) -> None:
    pause(page, 6)
    stage(page, "stage.fit(); stage.tree.camera.stop(); stage.tree.fit(true)")
    page.locator('.fs-node[data-id="0"] .fs-dot').first.hover()
    expect(page.locator('.fs-node[data-id="0"]').first).to_have_class(re.compile("is-hovered"))
    slot = stage(page, "return stage.log.nodes[0].slot")
    expect(page.locator(".fs-inspector").first).to_contain_text(f"slot {slot}")
    cell = stage(page, f"const g = stage.pool.layout; return [({slot} % g.columns + .5) * g.cell,"
                       f" (Math.floor({slot} / g.columns) + .5) * g.cell]")  # fmt: skip
    x, y = cell  # type: ignore[misc]
    page.locator(".fs-tree-root").first.hover(position={"x": 5, "y": 5})
    page.locator(".fs-card-pool canvas").first.hover(position={"x": x, "y": y})
    expect(page.locator('.fs-node[data-id="0"]').first).to_have_class(re.compile("is-hovered"))
    expect(page.locator(".fs-tip").first).to_contain_text(f"slot {slot}:")


def test_the_page_can_be_driven_by_keyboard(page: Page) -> None:
    cursor = "return stage.player.cursor"
    page.locator("body").press("Home")
    assert stage(page, cursor) == 0
    page.keyboard.press(".")
    page.keyboard.press(".")
    page.keyboard.press(",")
    assert stage(page, cursor) == 1
    page.keyboard.press("End")
    assert stage(page, cursor) == stage(page, "return stage.log.length - 1")
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    assert stage(page, "return stage.player.playing")
    page.keyboard.press(" ")
    assert not stage(page, "return stage.player.playing")
    page.keyboard.press("?")
    expect(page.locator("dialog.fs-dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.fs-dialog")).to_be_hidden()
    tree = page.get_by_role("tree").first
    tree.focus()
    page.keyboard.press("End")
    assert stage(page, cursor) == stage(page, "return stage.log.length - 1")
    frames(page)  # keys move among what is drawn
    page.keyboard.press("ArrowRight")
    assert stage(page, "return stage.tree.selected") == 0
    page.keyboard.press("ArrowRight")
    chosen = stage(page, "return stage.tree.selected")
    assert stage(page, f"return stage.log.nodes[{chosen}].parent") == 0
    selected = page.locator('[role="treeitem"][aria-selected="true"]')
    assert selected.get_attribute("data-id") == str(chosen)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert stage(page, "return stage.tree.selected") == -1
    page.locator("#fs-prompt textarea").press(".")
    assert page.locator("#fs-prompt textarea").input_value().endswith(".")


def test_dark_and_light_change_every_colour_and_no_state(page: Page) -> None:
    pause(page, 8)
    ink = "getComputedStyle(document.querySelector('.fs-stage')).color"
    state = (
        f"return [{ink}, stage.player.cursor, stage.tree.selected, "
        "stage.tree.world.style.transform, "
        "stage.tree.root.querySelector('.fs-node[data-id=\"0\"] .fs-dot').getAttribute('fill')]"
    )
    stage(page, "stage.tree.following = false; stage.select({ kind: 'node', id: 0 })")
    stage(page, "stage.tree.camera.zoom(1.3, 200, 100); stage.draw()")
    light = stage(page, state)
    page.locator(".fs-theme").click()
    frames(page)
    dark = stage(page, state)
    assert dark[1:4] == light[1:4]  # type: ignore[index]
    assert dark[0] != light[0]  # type: ignore[index]
    assert dark[4] != light[4]  # type: ignore[index]
    page.reload()
    page.wait_for_function(MOVING)
    assert page.evaluate("document.body.classList.contains('dark')")


def hostile_trace(page: Page, tmp_path: Path) -> Path:
    """The run that plays, with hostile text as prompt, tokens, candidates and model name."""
    lines = page.evaluate(
        """(texts) => {
            const { header, steps } = window.forkscope.stages.explore.log;
            const bad = (i) => texts[i % texts.length];
            const head = structuredClone(header);
            head.model.name = head.model.architecture = bad(0);
            head.prompt.forEach((token, i) => { token.text = token.raw = bad(i); });
            const wild = structuredClone(steps);
            for (const step of wild) {
                for (const node of step.nodes) node.text = node.raw = bad(node.id);
                const seen = step.decisions.flatMap((decision) => decision.candidates);
                seen.forEach((one, i) => { one.text = bad(i); });
            }
            return [head, ...wild].map((line) => JSON.stringify(line));
        }""",
        HOSTILE,
    )
    path = tmp_path / "${window.pwned=1}<img src=x onerror=window.pwned=1>.jsonl".replace("/", "")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_hostile_text_stays_text(page: Page, tmp_path: Path) -> None:
    page.set_input_files(".fs-file", hostile_trace(page, tmp_path))
    expect(page.locator(".fs-title").first).to_contain_text("${window.pwned=1}")
    stage(page, "stage.player.toLive(); stage.select({ kind: 'node', id: 2 }); stage.draw()")
    page.locator(".fs-run-details summary").first.click()
    page.locator(".fs-card-pool canvas").first.hover(position={"x": 8, "y": 8})
    frames(page)
    shown = ""
    for view in ("tree", "text", "multiverse", "table"):
        stage(page, f"stage.show('{view}'); stage.draw()")
        shown += page.locator(".fs-stage").first.text_content() or ""
    assert [text for text in HOSTILE if text not in shown.replace("·", " ")] == []
    assert page.evaluate("window.pwned") is None
    assert page.locator(".fs-stage img, .fs-stage script").count() == 0


def test_another_kind_of_file_is_refused_and_the_run_stays(page: Page, tmp_path: Path) -> None:
    before = stage(page, "return stage.log.length")
    wrong = tmp_path / "notes.json"
    wrong.write_text('{"a": 1}\n')
    page.set_input_files(".fs-file", wrong)
    alert = page.get_by_role("alert").filter(has_text="notes.json is not a Forkscope trace")
    expect(alert).to_be_visible()
    assert stage(page, "return stage.log.length") == before


def test_people_who_want_no_motion_get_the_finished_picture(
    app: App, browser: Browser, watch: Watch
) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = open_page(app.url, context, watch)
    page.wait_for_function("() => { const { player } = window.forkscope.stages.explore;"
                           " return player.cursor === player.length - 1; }")  # fmt: skip
    assert not stage(page, "return stage.player.playing")
    context.close()


@pytest.mark.parametrize("width", [390, 700, 1400])
def test_no_width_scrolls_sideways(app: App, browser: Browser, watch: Watch, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 860})
    page = open_page(app.url, context, watch)
    frames(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    tree = page.locator(".fs-card-tree").first.bounding_box()
    assert tree is not None
    assert tree["width"] >= min(width - 40, 500)
    assert tree["y"] + 200 < 860
    context.close()
