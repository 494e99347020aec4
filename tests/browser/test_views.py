"""The other views of the tree: text, multiverse, table, and the entropy along a path."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import App, Watch, open_page
from tests.browser.steps import frames, stage

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=window.pwned=1>"


def show(page: Page, view: str, cursor: int) -> None:
    """One of the views, still, at a step, drawn."""
    page.locator(f'.fs-view-tab[data-view="{view}"]').first.click()
    stage(page, f"stage.player.seek({cursor}); stage.draw()")


def subject(page: Page) -> Any:
    return stage(page, "return stage.pinned")


def made(page: Page, cursor: int) -> list[int]:
    """Ids of the tokens made by `cursor`, straight from the steps."""
    ids: list[int] = stage(
        page,
        f"return stage.log.steps.slice(0, {cursor + 1})"
        ".flatMap((step) => step.nodes.map((node) => node.id))",
    )
    return ids


def words(page: Page) -> list[int]:
    ids: list[int] = page.locator(".fs-text .fs-word").evaluate_all(
        "(words) => words.map((word) => Number(word.dataset.id))"
    )
    return ids


def block(page: Page, id: int) -> dict[str, float]:
    """Where a token's block of the multiverse is on the canvas: its middle, and its height."""
    found: dict[str, float] = stage(
        page,
        "const { found, view, canvas } = stage.views.multiverse;"
        f"const block = found.find((one) => one.ids.length === 1 && one.ids[0] === {id});"
        "const top = Math.max(0, block.y);"
        "const bottom = Math.min(canvas.clientHeight, block.y + block.h);"
        "return {x: block.x + view.column / 2, y: (top + bottom) / 2, h: block.h};",
    )
    return found


def fork(page: Page, cursor: int) -> tuple[int, list[int]]:
    """The first token by `cursor` that was followed by several, and those."""
    at, children = stage(
        page,
        f"const node = stage.log.nodes.find((one) => one.decided <= {cursor}"
        " && one.decision.factor > 1);"
        "return [node.id, node.children];",
    )
    return at, children


def trace(page: Page, change: str) -> str:
    """The run that plays as the text of a trace file, after `change` to its `steps`."""
    text: str = stage(
        page,
        "const { header } = stage.log; const steps = structuredClone(stage.log.steps);"
        f"{change}; const lines = [header, ...steps].map((line) => JSON.stringify(line));"
        "return lines.join('\\n') + '\\n'",
    )
    return text


def load(page: Page, text: str) -> None:
    page.evaluate(
        "(text) => window.forkscope.stages.explore.load(text, {title: 'test', autoplay: false})",
        text,
    )
    stage(page, "stage.draw()")


def wide_trace(page: Page, depths: int, width: int) -> str:
    """A trace without a pool: every token of the first columns forks until `width` paths live."""
    header = stage(page, "return stage.log.header")
    empty = stage(page, "return {...stage.log.steps[0].memory, capacity: 0}")
    rows, lines, made, paths = [(0, -1)], [json.dumps(header)], 0, 1
    for index in range(depths):
        step: dict[str, Any] = {
            "index": index, "phase": "decode" if index else "prefill", "positions": len(rows),
            "seconds": 0, "overhead_seconds": 0, "paths": [], "parents": [], "decisions": [],
            "nodes": [], "forks": [], "ends": [], "slots": [], "freed": [], "peak_memory_nbytes": 0,
            "memory_forward": empty, "memory": empty,
        }  # fmt: skip
        next_rows = []
        for at, (path, node) in enumerate(rows):
            factor = 2 if len(rows) + len(step["forks"]) < width and (index + at) % 3 == 0 else 1
            entropy = (index * 7 + at * 13) % 50 / 60
            step["decisions"].append({
                "path": path, "node": node, "entropy": entropy * 3, "normalized_entropy": entropy,
                "raw_entropy": entropy * 3, "factor": factor, "candidates": [],
            })  # fmt: skip
            children = [path] if factor == 1 else [paths, paths + 1]
            paths += 0 if factor == 1 else 2
            step["forks"] += [] if factor == 1 else [{"path": path, "children": children}]
            for child in children:
                step["nodes"].append({
                    "id": made, "parent": node, "path": child, "token": made, "text": f" w{made}",
                    "raw": f"w{made}", "prob": 0.5, "raw_prob": 0.5, "logprob": -1,
                    "raw_logprob": -1, "perturbed": None,
                })  # fmt: skip
                next_rows.append((child, made))
                step["parents"].append(at)
                made += 1
        rows = next_rows
        step["paths"] = [path for path, _ in rows]
        lines.append(json.dumps(step))
    return "\n".join(lines) + "\n"


def test_the_text_holds_every_token_made_so_far_once_and_none_of_the_future(page: Page) -> None:
    for cursor in (0, 7, 30):
        show(page, "text", cursor)
        assert sorted(words(page)) == [-1, *made(page, cursor)]
    first = page.locator(".fs-variant").first
    prompt = stage(page, "return stage.log.prompt.at(-1).text")
    assert prompt in first.inner_text()
    assert stage(page, "return stage.log.nodes[0].text").strip() in first.inner_text()
    assert first.locator(".fs-variant-share").inner_text() == ""


def test_a_variant_says_its_probability_its_length_and_how_it_ended(page: Page) -> None:
    last = stage(page, "return stage.log.length - 1")
    show(page, "text", last)
    _, children = fork(page, last)
    share = stage(
        page,
        "const { log } = stage;"
        "const part = (id) => { const { parent, prob } = log.nodes[id];"
        " const all = log.node(parent).children.map((one) => log.nodes[one].prob);"
        " return prob / all.reduce((sum, one) => sum + one, 0); };"
        f"return log.lineage({children[0]}).reduce((all, id) => all * part(id), 1).toFixed(3)",
    )
    variant = page.locator(".fs-variant", has=page.locator(f'[data-id="{children[0]}"]'))
    expect(variant.locator(".fs-variant-share")).to_have_text(share)
    tokens = variant.locator(".fs-word").count()
    expect(variant.locator(".fs-variant-length")).to_have_text(
        f"{tokens} token{'s' if tokens > 1 else ''}"
    )
    for status, said in (("pruned", "pruned"), ("length", "length limit")):
        end = stage(page, f"return stage.log.ends.find((end) => end.status === '{status}').node")
        ended = page.locator(".fs-variant", has=page.locator(f'[data-id="{end}"]'))
        expect(ended.locator(".fs-variant-tail")).to_contain_text(said)
        assert ended.locator(f".fs-swatch.is-{status}").count() == 1
        assert ("is-dead" in str(ended.get_attribute("class"))) == (status == "pruned")


def test_a_token_of_the_text_lights_everywhere_and_a_click_pins_it(page: Page) -> None:
    show(page, "text", 8)
    word = page.locator('.fs-text .fs-word[data-id="2"]')
    word.hover()
    expect(word).to_have_attribute("data-lit", "own")
    expect(page.locator('.fs-text .fs-word[data-id="0"]')).to_have_attribute("data-lit", "path")
    slot = stage(page, "return stage.log.nodes[2].slot")
    assert stage(page, "return stage.focus().slot") == slot
    word.click()
    assert subject(page) == {"kind": "node", "id": 2}
    expect(word).to_have_attribute("aria-selected", "true")
    page.locator(".fs-text .fs-outline").click(position={"x": 300, "y": 8})
    assert subject(page) is None
    stage(page, "stage.select({kind: 'node', id: 1})")
    expect(page.locator('.fs-text .fs-word[data-id="1"]')).to_have_attribute(
        "aria-selected", "true"
    )


def test_the_text_is_walked_by_keys(page: Page) -> None:
    show(page, "text", 12)
    _, children = fork(page, 12)
    outline = page.locator(".fs-text .fs-outline")
    outline.focus()
    focus = "return stage.focus()?.node"
    page.keyboard.press("ArrowRight")
    assert stage(page, focus) == 0
    page.keyboard.press("ArrowLeft")
    assert stage(page, focus) == -1
    page.keyboard.press("ArrowDown")
    assert stage(page, focus) == children[0]
    page.keyboard.press("Enter")
    assert subject(page) == {"kind": "node", "id": children[0]}
    active = outline.get_attribute("aria-activedescendant")
    assert page.locator(f"#{active}").get_attribute("data-id") == str(children[0])
    page.keyboard.press("ArrowUp")
    assert stage(page, focus) == -1


def test_variants_fold_away_and_come_back(page: Page) -> None:
    show(page, "text", 20)
    at, _ = fork(page, 20)
    whole = words(page)
    below = stage(
        page,
        f"return stage.log.nodes.filter((node) => node.step <= 20 && node.id !== {at}"
        f" && stage.log.lineage(node.id).includes({at})).map((node) => node.id)",
    )
    fold = page.locator(".fs-variant", has=page.locator(f'[data-id="{at}"]')).locator("[data-fold]")
    fold.click()
    expect(fold).to_have_attribute("aria-expanded", "false")
    assert sorted(words(page)) == sorted(set(whole) - set(below))
    expect(page.locator(".fs-variant-tail").first).to_contain_text(f"{len(below)} tokens folded")
    fold.click()
    expect(fold).to_have_attribute("aria-expanded", "true")
    assert words(page) == whole


def test_the_text_marks_search_hits_bookmarks_and_forks_of_a_threshold_that_is_tried(
    page: Page,
) -> None:
    show(page, "text", 20)
    page.locator(".fs-tools input").first.fill("was")
    expect(page.locator('.fs-text .fs-word[data-id="1"]')).to_have_text(" was")
    expect(page.locator('.fs-text .fs-word[data-id="1"]')).to_contain_class("is-found")
    for found in page.locator(".fs-text .is-found").all_inner_texts():
        assert "was" in found.lower()
    stage(page, "stage.shape.bookmark(2); stage.draw()")
    expect(page.locator(".fs-text .is-bookmark")).to_have_attribute("data-id", "2")
    gained = stage(
        page,
        "stage.tryTau(0.1); stage.draw();"
        "return stage.log.nodes.filter((node) => node.decided <= 20 && node.decision.factor === 1"
        " && node.decision.normalized_entropy >= 0.1).map((node) => node.id)",
    )
    ids = "(words) => words.map((word) => Number(word.dataset.id))"
    assert gained
    assert sorted(page.locator(".fs-text .fs-word.is-gained").evaluate_all(ids)) == gained
    legend = page.locator(".fs-text .fs-view-legend")
    expect(legend).to_contain_text("would fork")
    stage(page, "stage.tryTau(0.99); stage.draw()")
    assert page.locator(".fs-text .fs-word.is-fork").count() == 0
    assert page.locator(".fs-text .fs-word.is-lost").count() > 0
    stage(page, "stage.tryTau(null); stage.draw()")
    expect(legend.get_by_text("would fork")).to_be_hidden()


def test_views_honour_what_is_hoisted_and_hidden(page: Page) -> None:
    last = stage(page, "return stage.log.length - 1")
    show(page, "text", last)
    _, children = fork(page, last)
    stage(page, f"stage.shape.hoist({children[0]}); stage.shape.hidePruned(true); stage.draw()")
    wanted = stage(
        page,
        "const { log } = stage, dead = log.dead(log.length - 1);"
        f"return log.nodes.filter((node) => (node.id === {children[0]} || !dead[node.id])"
        f" && log.lineage(node.id).includes({children[0]})).map((node) => node.id)",
    )
    assert sorted(words(page)) == wanted
    expect(page.locator(".fs-context").first).to_contain_text("Once upon a time")
    show(page, "table", last)
    expect(page.locator(".fs-rows-caption")).to_contain_text(f"{len(wanted)} token")
    show(page, "multiverse", last)
    seen = stage(page, "return stage.views.multiverse.stack.order")
    assert sorted(seen) == wanted
    assert stage(page, "return stage.views.multiverse.top") == children[0]


DRAWN: dict[str, str] = {
    "text": "document.querySelector('.fs-text .fs-outline').innerHTML",
    "multiverse": "document.querySelector('.fs-icicle').toDataURL()",
    "table": "document.querySelector('.fs-rows').outerHTML",
}


@pytest.mark.parametrize("view", list(DRAWN))
def test_a_view_shows_the_same_live_replayed_and_scrubbed(page: Page, view: str) -> None:
    show(page, view, 0)
    replayed, scrubbed, live = page.evaluate(
        f"""() => {{
            const stage = window.forkscope.stages.explore;
            const {{ header, steps }} = stage.log;
            const drawn = (at) => {{
                stage.player.seek(at); stage.draw(); return {DRAWN[view]};
            }};
            const forth = steps.map((_, at) => drawn(at));
            const back = [];
            for (let at = steps.length - 1; at >= 0; at--) back[at] = drawn(at);
            const live = steps.map((step, at) => {{
                stage.apply({{ run: 'again', seq: at, header, steps: [step] }});
                stage.draw();
                return {DRAWN[view]};
            }});
            const plain = (text) => text.replace(/fs[tr][a-z0-9]{{5,6}}-/g, 'id-');
            return [forth, back, live].map((all) => all.map(plain));
        }}"""
    )
    assert replayed == scrubbed
    assert replayed == live
    assert len(set(replayed)) == len(replayed), "every step is seen"


def test_tokens_of_the_text_are_kept_while_time_moves(page: Page) -> None:
    show(page, "text", 10)
    stage(page, "window.kept = document.querySelector('.fs-text [data-id=\"3\"]')")
    stage(page, "for (const at of [40, 4, 22, 10]) { stage.player.seek(at); stage.draw(); }")
    assert stage(page, "return document.querySelector('.fs-text [data-id=\"3\"]') === window.kept")


def test_a_click_makes_a_block_the_whole_height_and_backspace_goes_back(page: Page) -> None:
    show(page, "multiverse", 8)
    _, children = fork(page, 8)
    canvas = page.locator(".fs-icicle")
    before = block(page, children[1])
    height = stage(page, "return stage.views.multiverse.canvas.clientHeight")
    assert before["h"] < 0.8 * height
    canvas.click(position={"x": before["x"], "y": before["y"]})
    page.wait_for_function("() => !window.forkscope.stages.explore.views.multiverse.glide")
    assert abs(block(page, children[1])["h"] - height) < 0.5
    assert subject(page) == {"kind": "node", "id": children[1]}
    crumbs = page.locator(".fs-crumb")
    expect(crumbs.first).to_have_text("prompt")
    text = stage(page, f"return stage.log.nodes[{children[1]}].text").strip()
    expect(crumbs.last).to_contain_text(text)
    canvas.press("Backspace")
    page.wait_for_function("() => !window.forkscope.stages.explore.views.multiverse.glide")
    stage(page, "stage.draw()")
    assert abs(block(page, children[1])["h"] - before["h"]) < 0.5
    canvas.click(position={"x": before["x"], "y": before["y"]})
    crumbs.first.click()
    assert stage(page, "return stage.views.multiverse.top") == -1


def test_the_multiverse_glides_unless_no_motion_is_wanted(
    app: App, browser: Browser, watch: Watch
) -> None:
    for motion, glides in (("no-preference", True), ("reduce", False)):
        context = browser.new_context(
            viewport={"width": 1400, "height": 900},
            reduced_motion=motion,  # type: ignore[arg-type]
        )
        page = open_page(app.url, context, watch)
        show(page, "multiverse", 8)
        _, children = fork(page, 8)
        gliding, share = stage(
            page,
            f"const view = stage.views.multiverse; view.renormalise({children[0]});"
            "const gliding = view.glide !== null; stage.draw();"
            "return [gliding, view.view.span];",
        )
        assert gliding == glides
        whole = stage(page, f"return stage.views.multiverse.stack.heights[{children[0] + 1}]")
        assert (abs(share - whole) < 1e-9) != glides
        context.close()


def test_a_block_lights_everywhere_and_says_itself_in_words(page: Page) -> None:
    show(page, "multiverse", 8)
    _, children = fork(page, 8)
    place = block(page, children[0])
    page.locator(".fs-icicle").hover(position={"x": place["x"], "y": place["y"]})
    said = page.locator(".fs-icicle-words")
    share = stage(page, f"return stage.views.multiverse.mass[{children[0]}].toFixed(3)")
    expect(said).to_contain_text(f"{share} of the run")
    assert stage(page, "return stage.focus().node") == children[0]
    slot = stage(page, f"return stage.log.nodes[{children[0]}].slot")
    assert stage(page, "return stage.focus().slot") == slot


def test_the_multiverse_is_walked_by_keys(page: Page) -> None:
    show(page, "multiverse", 8)
    at, children = fork(page, 8)
    page.locator(".fs-icicle").focus()
    focus = "return stage.focus()?.node"
    for wanted in stage(page, f"return stage.log.lineage({at})"):
        page.keyboard.press("ArrowRight")
        assert stage(page, focus) == wanted
    page.keyboard.press("ArrowRight")
    heaviest = stage(page, focus)
    assert heaviest == max(
        children, key=lambda id: stage(page, f"return stage.log.nodes[{id}].prob")
    )
    page.keyboard.press("ArrowUp" if heaviest == children[-1] else "ArrowDown")
    other = stage(page, focus)
    assert other in children
    assert other != heaviest
    page.keyboard.press("Enter")
    assert stage(page, "return stage.views.multiverse.top") == other
    assert subject(page) == {"kind": "node", "id": other}
    page.keyboard.press("Backspace")
    assert stage(page, "return stage.views.multiverse.top") == -1
    page.keyboard.press("ArrowLeft")
    assert stage(page, focus) == at


def test_all_columns_of_the_multiverse_come_in_sight(page: Page) -> None:
    last = stage(page, "return stage.log.length - 1")
    show(page, "multiverse", last)
    depths = "return new Set(stage.views.multiverse.found.map((one) => one.depth)).size"
    wanted = stage(page, "return Math.max(...stage.log.nodes.map((node) => node.depth)) + 2")
    assert stage(page, depths) < wanted
    expect(page.locator(".fs-icicle-far")).to_contain_text("out of sight")
    first = "return Math.min(...stage.views.multiverse.found.map((one) => one.depth))"
    before = stage(page, first)
    box = page.locator(".fs-icicle").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 60 + 10 * 46, box["y"] + 40, steps=4)
    page.mouse.up()
    stage(page, "stage.draw()")
    assert stage(page, first) == before - 10
    assert subject(page) is None, "the end of a drag is no click"
    page.mouse.move(box["x"] + 70, box["y"] + 42)
    page.mouse.move(box["x"] + 72, box["y"] + 44)
    assert stage(page, "return stage.focus()?.node") is not None, "and then it points again"
    page.locator(".fs-all-columns").click()
    stage(page, "stage.draw()")
    assert stage(page, depths) == wanted


def test_the_table_keeps_only_rows_in_sight_and_counts_all(page: Page) -> None:
    last = stage(page, "return stage.log.length - 1")
    show(page, "table", last)
    total = len(made(page, last))
    rows = page.locator(".fs-entry")
    assert total > 200
    assert 5 < rows.count() < 80
    expect(page.locator(".fs-rows-caption")).to_contain_text(f"{total} tokens made up to step")
    page.locator(".fs-rows-box").evaluate("(box) => { box.scrollTop = box.scrollHeight; }")
    expect(page.locator(f'.fs-entry[data-id="{total - 1}"]')).to_be_visible()
    assert rows.count() < 80
    assert page.locator(".fs-rows").get_attribute("aria-rowcount") == str(total + 1)
    show(page, "table", 3)
    assert sorted(rows.evaluate_all("(rows) => rows.map((row) => Number(row.dataset.id))")) == made(
        page, 3
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("entropy", "node.decided <= 20 ? node.decision.normalized_entropy : null"),
        ("prob", "node.prob"),
        ("depth", "node.depth"),
        ("path", "node.path"),
    ],
)
def test_the_table_is_sorted_by_its_headings(page: Page, column: str, value: str) -> None:
    show(page, "table", 20)
    head = page.locator(f'.fs-rows th[data-column="{column}"]')
    button = head.get_by_role("button")
    for _ in range(2):
        button.focus()
        page.keyboard.press("Enter")
        stage(page, "stage.draw()")
        way = head.get_attribute("aria-sort")
        shown = stage(
            page,
            "return [...document.querySelectorAll('.fs-entry')].map((row) => {"
            f" const node = stage.log.nodes[row.dataset.id]; return {value}; }})",
        )
        every = stage(
            page, f"return stage.log.nodes.filter((n) => n.step <= 20).map((node) => {value})"
        )
        known = sorted((one for one in every if one is not None), reverse=way == "descending")
        assert shown == (known + [None] * len(every))[: len(shown)]
        assert page.locator(".fs-rows th[aria-sort]").count() == 1
    assert stage(page, "return stage.player.playing") is False


def test_rows_are_pointed_at_pinned_and_walked(page: Page) -> None:
    show(page, "table", 20)
    row = page.locator('.fs-entry[data-id="2"]')
    row.hover()
    assert stage(page, "return stage.focus().node") == 2
    row.click()
    assert subject(page) == {"kind": "node", "id": 2}
    expect(row).to_have_attribute("aria-selected", "true")
    page.locator(".fs-rows-box").focus()
    page.keyboard.press("ArrowDown")
    assert stage(page, "return stage.focus().node") == 3
    page.keyboard.press("PageDown")
    page.wait_for_timeout(100)  # rows move under the pointer, which does not: that is no pointing
    far = stage(page, "return stage.focus().node")
    assert far > 6
    expect(page.locator(f'.fs-entry[data-id="{far}"]')).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert subject(page) == {"kind": "node", "id": far}
    pinned = made(page, 20)[-1]
    stage(page, f"stage.select({{kind: 'node', id: {pinned}}}); stage.draw()")
    expect(page.locator(f'.fs-entry[data-id="{pinned}"]')).to_be_visible()


def test_a_row_says_what_the_pool_holds_of_its_token(page: Page) -> None:
    show(page, "table", 9)
    cells = page.locator('.fs-entry[data-id="1"] td').all_inner_texts()
    names = page.locator(".fs-rows th").all_inner_texts()
    row = dict(zip([name.strip(" ↑↓") for name in names], cells, strict=True))
    facts = stage(
        page,
        "const { log } = stage, state = log.at(9), node = log.nodes[1];"
        "return [String(node.slot), state.rows.filter((row) =>"
        " (row.bits[node.slot >> 5] >>> (node.slot & 31)) & 1).length];",
    )
    assert row["slot"] == facts[0]
    assert row["refs"] == str(facts[1])
    assert row["KV bytes"].endswith(("B", "KiB", "MiB"))


@pytest.mark.parametrize("view", ["text", "multiverse", "table"])
def test_hostile_tokens_stay_text_in_every_view(page: Page, view: str) -> None:
    text = json.dumps(HOSTILE)
    changed = trace(
        page,
        f"for (const step of steps) for (const node of step.nodes) node.text = node.raw = {text}",
    )
    load(page, changed)
    show(page, view, 12)
    stage(page, "stage.point({kind: 'node', id: 3}); stage.draw()")
    frames(page)
    assert "<img" in page.locator(f".fs-view.fs-{view}").inner_text()
    assert page.locator(".fs-stage img").count() == 0
    assert page.evaluate("window.pwned") is None


@pytest.mark.parametrize("view", ["text", "multiverse", "table"])
def test_twenty_thousand_tokens_stay_light(page: Page, view: str) -> None:
    load(page, wide_trace(page, 140, 160))
    total = stage(page, "return stage.log.nodes.length")
    assert total > 20_000
    show(page, view, 139)
    for at in (139, 20, 100, 137, 10, 135):
        stage(page, f"stage.player.seek({at}); stage.draw()")
        assert page.locator(f".fs-view.fs-{view} *").count() < 2500


def test_a_long_text_is_walked_and_scrolled_to_any_token(page: Page) -> None:
    load(page, wide_trace(page, 60, 120))
    show(page, "text", 59)
    last = stage(page, "return stage.views.text.items.at(-1).ids.at(-1)")
    assert page.locator(f'.fs-text [data-id="{last}"]').count() == 0
    stage(page, f"stage.select({{kind: 'node', id: {last}}}); stage.draw()")
    expect(page.locator(f'.fs-text [data-id="{last}"]')).to_be_in_viewport()
    page.locator(".fs-outline").evaluate("(box) => { box.scrollTop = 0; }")
    expect(page.locator('.fs-text [data-id="-1"]')).to_be_in_viewport()
    page.locator(".fs-outline").evaluate("(box) => { box.scrollTop = box.scrollHeight; }")
    expect(page.locator(f'.fs-text [data-id="{last}"]')).to_be_visible()


@pytest.mark.parametrize("view", ["text", "multiverse", "table"])
def test_dark_and_light_change_the_colours_and_nothing_else(page: Page, view: str) -> None:
    show(page, view, 12)
    seen: Callable[[], Any] = lambda: stage(page, f"stage.draw(); return {DRAWN[view]}")  # noqa: E731
    light = seen()
    page.evaluate("document.body.classList.toggle('dark')")
    frames(page)
    dark = seen()
    assert dark != light
    page.evaluate("document.body.classList.toggle('dark')")
    frames(page)
    assert seen() == light


def test_keys_of_the_views_stand_in_the_sheet(page: Page) -> None:
    page.keyboard.press("?")
    sheet = page.locator("dialog.fs-dialog")
    for title in ("In the text", "In the multiverse", "In the table"):
        expect(sheet.get_by_role("heading", name=title)).to_be_visible()


SPARK = """([id, cursor]) => {
    const { log } = window.forkscope.stages.explore;
    const url = document.querySelector('link[href$="/log.js"]')?.href
        ?? performance.getEntriesByType('resource').map((one) => one.name)
            .find((name) => name.endsWith('/log.js'));
    return import(url.replace('log.js', 'sparkline.js')).then(({ sparkline }) => {
        window.heard = [];
        const line = sparkline({
            log, id, cursor, threshold: log.header.config.branching.entropy_threshold, tau: 0.1,
            onpoint: (at) => window.heard.push(['point', at]),
            onselect: (at) => window.heard.push(['select', at]),
        });
        line.id = 'spark-under-test';
        line.style.cssText = 'position: fixed; z-index: 99; left: 40px; top: 40px';
        document.querySelector('.fs-stage').append(line);
    });
}"""


def test_the_sparkline_shows_every_decision_of_a_path_its_forks_and_the_threshold(
    page: Page,
) -> None:
    show(page, "text", 20)
    id = made(page, 20)[-1]
    page.evaluate(SPARK, [id, 20])
    line = page.locator("#spark-under-test")
    way, forks = stage(
        page,
        f"const way = [-1, ...stage.log.lineage({id})].map((at) => stage.log.node(at))"
        ".filter((node) => node.decided <= 20);"
        "const forks = way.filter((node) => node.decision.factor > 1);"
        "return [way.map((node) => node.id), forks.length]",
    )
    assert line.locator(".fs-spark-dot").count() == len(way)
    assert line.locator(".fs-spark-ring").count() == forks > 0
    threshold = stage(page, "return stage.log.header.config.branching.entropy_threshold")
    expect(line.locator(".fs-spark-threshold title")).to_have_text(
        f"fork threshold of the run: {threshold}"
    )
    expect(line.locator(".fs-spark-tau title")).to_have_text("threshold tried out: 0.1")
    words = line.locator(":scope > title")
    for at, node in enumerate(way):
        line.locator(".fs-spark-dot").nth(at).hover()
        assert page.evaluate("window.heard.at(-1)") == ["point", node]
        expect(words).to_contain_text("after the prompt:" if at == 0 else f"(depth {at - 1})")
    line.locator(".fs-spark-dot").nth(3).click()
    assert page.evaluate("window.heard.at(-1)") == ["select", way[3]]
    line.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("window.heard.at(-1)") == ["point", way[-2]]
    page.keyboard.press("Enter")
    assert page.evaluate("window.heard.at(-1)") == ["select", way[-2]]


@pytest.mark.parametrize("view", ["text", "multiverse", "table"])
def test_on_a_phone_a_view_stays_within_its_card(
    app: App, browser: Browser, watch: Watch, view: str
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = open_page(app.url, context, watch)
    show(page, view, 20)
    box = page.locator(f".fs-view.fs-{view}").bounding_box()
    assert box is not None
    assert box["width"] <= 390
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    context.close()
