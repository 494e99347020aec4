"""Time: the timeline that is the scrubber, its marks, jumps between them, speed, and live."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from explorer.config import RunConfig
from explorer.generate import run
from explorer.models import load_model
from tests.browser.conftest import App, Watch, open_page
from tests.browser.steps import pause, stage

pytestmark = pytest.mark.browser
CURSOR = "return stage.player.cursor"
STRIP = ".fs-timeline-strip"
TIMELINE = "const { timeline } = stage;"
EVICTING = """if (step.index % 9 === 4) step.evictions = [
  { layer: 0, slots: [0], paths: [[]] }, { layer: 1, slots: [0], paths: [[]] }];"""


def strip(page: Page) -> Locator:
    return page.locator(STRIP).first


def steps_with(page: Page, condition: str) -> list[int]:
    """Steps of the run for which `condition` on `step` holds, read off the steps themselves."""
    found = stage(
        page,
        f"return stage.log.steps.filter((step) => {condition}).map((step) => step.index)",
    )
    return list(found)


MARKED = """return stage.player.marks().map(({ kind, step }) => ({ kind, step }))"""
FORKS = "step.forks.length"
PRUNES = "step.ends.some((end) => end.status === 'pruned')"
FINISHES = "step.ends.some((end) => end.status === 'finished' || end.status === 'length')"


def test_the_timeline_is_a_slider_that_says_where_it_stands_and_what_happened_there(
    page: Page,
) -> None:
    fork = steps_with(page, FORKS)[0]
    pause(page, fork)
    last = stage(page, "return stage.log.length - 1")
    slider = page.get_by_role("slider", name="Step, on a timeline of the run")
    expect(slider).to_have_attribute("aria-valuemin", "0")
    expect(slider).to_have_attribute("aria-valuemax", str(last))
    expect(slider).to_have_attribute("aria-valuenow", str(fork))
    words = slider.get_attribute("aria-valuetext") or ""
    forks = stage(page, f"return stage.log.steps[{fork}].forks.length")
    assert words.startswith(f"step {fork} of {last}: {forks} fork")
    assert words.endswith("KiB in use")
    assert page.locator(".fs-stage:not(.fs-board) .fs-range").count() == 0


def test_keys_move_the_focused_timeline(page: Page) -> None:
    pause(page, 20)
    last = stage(page, "return stage.log.length - 1")
    strip(page).focus()
    for key, cursor in (
        ("ArrowRight", 21),
        ("ArrowUp", 22),
        ("ArrowLeft", 21),
        ("ArrowDown", 20),
        ("PageDown", 30),
        ("PageUp", 20),
        ("Home", 0),
        ("End", last),
    ):
        page.keyboard.press(key)
        assert stage(page, CURSOR) == cursor, key
    pause(page, 7)
    page.keyboard.press("Enter")
    assert stage(page, "return stage.pinned") == {"kind": "step", "step": 7}


def test_clicking_and_dragging_the_timeline_scrub(page: Page) -> None:
    pause(page, 2)
    last = stage(page, "return stage.log.length - 1")
    box = strip(page).bounding_box()
    assert box is not None
    floor = box["y"] + box["height"] - 6

    def x(step: float) -> float:
        return box["x"] + 9 + (step / last) * (box["width"] - 18)

    page.mouse.click(x(13), floor)
    assert stage(page, CURSOR) == 13
    page.mouse.move(x(13), floor)
    page.mouse.down()
    page.mouse.move(x(20.4), floor)
    assert stage(page, CURSOR) == 20
    page.mouse.move(box["x"] + box["width"] + 90, floor)
    assert stage(page, CURSOR) == last
    page.mouse.up()
    page.mouse.move(x(5), floor)
    assert stage(page, CURSOR) == last


def lanes(page: Page) -> dict[str, list[dict[str, Any]]]:
    """Per kind what the timeline marks: `{x, y, step, count}` in pixels of the strip."""
    found = stage(
        page,
        TIMELINE + "return timeline.lanes.map(({kind, middle, bins}) => [kind,"
        " bins.map((bin) => ({x: bin.x, y: middle, step: bin.step, count: bin.count}))])",
    )
    return dict(found)


def test_marks_stand_in_their_lanes_where_things_happened(page: Page) -> None:
    pause(page, stage(page, "return stage.log.length - 1"))
    marked = lanes(page)
    assert list(marked) == ["fork", "copy", "prune", "finish"]
    for kind, condition in (("fork", FORKS), ("prune", PRUNES), ("finish", FINISHES)):
        assert [one["step"] for one in marked[kind]] == steps_with(page, condition), kind
    drawn = stage(
        page,
        TIMELINE
        + """
        stage.draw(); stage.draw(); // the picture is made of what no longer grows
        const {width, height} = timeline.canvas;
        const scale = width / timeline.canvas.clientWidth;
        const {data} = timeline.picture.getContext('2d').getImageData(0, 0, width, height);
        const inkAround = (x, y) => {
            let ink = 0;
            for (let dy = -4; dy <= 4; dy++) for (let dx = -4; dx <= 4; dx++) {
                if (Math.abs(dy) < 2) continue; // the lane's own line
                const at = Math.round(y * scale + dy) * width + Math.round(x * scale) + dx;
                ink += data[4 * at + 3] > 128;
            }
            return ink;
        };
        return timeline.lanes.map(({middle, bins}) => {
            const free = [...Array(40).keys()].map((at) => 20 + at * 12)
                .find((x) => bins.every((bin) => Math.abs(bin.x - x) > 10));
            return [bins.map((bin) => inkAround(bin.x, middle)), inkAround(free, middle)];
        });""",
    )
    for found, beside in drawn:
        assert min(found) > 3
        assert beside == 0
    assert len({found[0] for found, _ in drawn}) > 2  # a shape a kind


def test_hovering_a_mark_says_what_it_is_and_lights_its_nodes_until_the_pointer_leaves(
    page: Page,
) -> None:
    pause(page, stage(page, "return stage.log.length - 1"))
    mark = lanes(page)["fork"][1]
    box = strip(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + mark["x"] + 2, box["y"] + mark["y"])
    tip = page.locator(".fs-timeline-tip").first
    forks = stage(page, f"return stage.log.steps[{mark['step']}].forks.length")
    expect(tip).to_have_text(f"step {mark['step']}: {forks} fork{'s' if forks > 1 else ''}")
    pointed = stage(page, "return stage.pointed")
    assert (pointed["kind"], pointed["step"]) == ("step", mark["step"])
    children = stage(
        page,
        f"""const step = stage.log.steps[{mark["step"]}];
        const children = new Set(step.forks.flatMap((fork) => fork.children));
        return step.nodes.filter((node) => children.has(node.path)).map((node) => node.id)""",
    )
    lit = stage(page, "return [...stage.focus().nodes]")
    assert set(children) < set(lit)
    page.mouse.move(box["x"] + 200, box["y"] - 150)
    expect(tip).to_be_hidden()
    assert (stage(page, "return stage.pointed") or {}).get("kind") != "step"


def press_through(page: Page, key: str, times: int) -> list[int]:
    found = []
    for _ in range(times):
        page.keyboard.press(key)
        found.append(stage(page, CURSOR))
    return found


def test_keys_jump_to_the_next_and_previous_fork_prune_or_finish(page: Page) -> None:
    pause(page, 0)
    page.locator(".fs-title").first.click()
    forks = [step for step in steps_with(page, FORKS) if step > 0]
    ends = [step for step in steps_with(page, f"{PRUNES} || {FINISHES}") if step > 0]
    assert press_through(page, "n", len(forks)) == forks
    assert press_through(page, "n", 1) == forks[-1:]
    assert press_through(page, "p", len(forks) - 1) == forks[-2::-1]
    pause(page, 0)
    assert press_through(page, "x", len(ends)) == ends
    assert press_through(page, "X", len(ends) - 1) == ends[-2::-1]


def test_keys_jump_to_the_next_and_previous_copy_and_eviction(page: Page) -> None:
    replay(page, EVICTING)
    page.locator(".fs-title").first.click()
    copies = [one["step"] for one in stage(page, MARKED) if one["kind"] == "copy"]
    assert len(copies) > 3
    assert press_through(page, "y", len(copies) + 1) == [*copies, copies[-1]]
    assert press_through(page, "Y", len(copies) - 1) == copies[-2::-1]
    pause(page, 0)
    assert press_through(page, "e", 5) == [4, 13, 22, 31, 40]
    assert press_through(page, "E", 4) == [31, 22, 13, 4]


def test_the_sheet_of_keys_names_the_keys_of_every_part_and_fits_the_window(page: Page) -> None:
    page.locator(".fs-title").first.click()
    page.keyboard.press("?")
    sheet = page.locator("dialog.fs-dialog[open]")
    for title, keys in {
        "In the runs of this visit": ["F2", "Delete"],
        "On the threshold": ["PageDown", "Home", "Enter", "Escape"],
        "In the inspector": ["←", "↑", "Enter"],
        "In the search box": ["⇧Enter", "Escape"],
        "Page": ["t", "?"],
        "Time": ["y", "Y", "e", "E", "x", "X"],
    }.items():
        group = sheet.locator(".fs-key-group").filter(
            has=page.get_by_role("heading", name=title, exact=True)
        )
        named = group.locator("kbd").all_inner_texts()
        assert set(keys) <= set(named), title
    assert sheet.evaluate("(box) => box.scrollHeight <= box.clientHeight + 1")
    assert sheet.evaluate("(box) => box.scrollWidth <= box.clientWidth + 1")
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    was = page.evaluate("document.body.classList.contains('dark')")
    page.keyboard.press("t")
    page.wait_for_function("(was) => document.body.classList.contains('dark') !== was", arg=was)


def test_buttons_jump_to_marks_of_their_kind_and_say_when_there_are_no_more(page: Page) -> None:
    pause(page, 0)
    for kind, name, condition in (
        ("fork", "fork", FORKS),
        ("prune", "prune", PRUNES),
        ("finish", "finish", FINISHES),
    ):
        pause(page, 0)
        wanted = [step for step in steps_with(page, condition) if step > 0]
        group = page.locator(f'.fs-jumper[data-kind="{kind}"]').first
        ahead = group.get_by_role("button", name=f"Next {name}")
        back = group.get_by_role("button", name=f"Previous {name}")
        ahead.click()
        assert stage(page, CURSOR) == wanted[0]
        for _ in wanted[1:]:
            ahead.click()
        assert stage(page, CURSOR) == wanted[-1]
        expect(ahead).to_have_attribute("aria-disabled", "true")
        pause(page, stage(page, "return stage.log.length"))
        if wanted[-1] < stage(page, "return stage.log.length - 1"):
            back.click()
            assert stage(page, CURSOR) == wanted[-1]
    counted = stage(page, "return stage.log.forks.length")
    expect(page.locator('.fs-jumper[data-kind="fork"] b').first).to_have_text(str(counted))
    titles = page.locator(".fs-jump").evaluate_all("all => all.map((one) => one.title)")
    assert {"Next fork (n)", "Previous fork (p)", "Next prune (x: prune or finish)"} < set(titles)


def replay(page: Page, change: str) -> None:
    """Show the run again with every step changed by `change` on `step`."""
    stage(
        page,
        f"""const log = stage.log;
        const steps = structuredClone(log.steps);
        for (const step of steps) {{ {change} }}
        const Log = log.constructor, fresh = new Log(log.header);
        for (const step of steps) fresh.append(step);
        stage.load(fresh, {{ title: 'changed', cursor: 0 }}); stage.draw()""",
    )


def test_evictions_have_a_lane_and_buttons_only_where_there_are_any(page: Page) -> None:
    group = page.locator('.fs-jumper[data-kind="evict"]').first
    expect(group).to_be_hidden()
    replay(page, EVICTING)
    expect(group).to_be_visible()
    expect(group.locator("b")).to_have_text("10")
    group.get_by_role("button", name="Next eviction").click()
    assert stage(page, CURSOR) == 4
    assert [one["step"] for one in lanes(page)["evict"]] == [4, 13, 22, 31, 40]
    expect(strip(page)).to_have_attribute("aria-valuetext", re.compile("2 evictions"))


def grow(page: Page, upto: int, begin: bool = False) -> None:
    """Send the recorded run as a live one, up to a step."""
    stage(
        page,
        """window.whole ??= { header: stage.log.header, steps: stage.log.steps };
        const { header, steps } = window.whole, [upto, begin] = arg;
        const seq = begin ? 0 : stage.log.length;
        const sent = steps.slice(seq, upto);
        stage.apply({ run: 'sent', seq, header: begin ? header : undefined, steps: sent });
        stage.draw()""",
        [upto, begin],
    )


def test_a_live_run_is_followed_until_the_cursor_is_moved_and_again_on_back_to_live(
    page: Page,
) -> None:
    grow(page, 10, begin=True)
    assert stage(page, CURSOR) == 9
    grow(page, 15)
    assert stage(page, CURSOR) == 14
    box = strip(page).bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] - 6)
    assert stage(page, CURSOR) == 7
    grow(page, 25)
    assert stage(page, CURSOR) == 7
    live = page.locator(".fs-live").first
    expect(live).to_have_text("back to live")
    live.click()
    assert stage(page, CURSOR) == 24
    expect(live).to_have_text("● live")
    grow(page, 30)
    assert stage(page, CURSOR) == 29
    strip(page).focus()
    page.keyboard.press("Home")
    grow(page, 35)
    assert stage(page, CURSOR) == 0
    page.keyboard.press("End")
    grow(page, 40)
    assert stage(page, CURSOR) == 39
    expect(page.locator('.fs-jumper[data-kind="fork"] b').first).to_have_text(
        str(stage(page, "return stage.log.forks.length"))
    )


PLAY = """async ([speed, milliseconds, presses]) => {
    const url = performance.getEntriesByType('resource').map((one) => one.name)
        .find((name) => name.endsWith('/player.js'));
    const { Player } = await import(url);
    const { requestAnimationFrame: ask, cancelAnimationFrame: cancel } = window;
    const asked = new Map();
    let number = 0;
    window.requestAnimationFrame = (deed) => (asked.set(++number, deed), number);
    window.cancelAnimationFrame = (handle) => asked.delete(handle);
    try {
        const player = new Player(document.createElement('div'), () => {});
        player.reset({ live: false });
        player.grow(1000);
        player.setSpeed(speed);
        for (let press = 0; press < presses; press++) {
            player.play();
            if (press % 2) player.pause();
            else player.seek(0);
        }
        player.play();
        const frames = asked.size, [[handle, deed]] = asked, { cursor, last } = player;
        asked.delete(handle);
        deed(last + milliseconds);
        const moved = player.cursor - cursor, next = asked.size;
        player.pause();
        return [moved, frames, next, asked.size];
    } finally {
        Object.assign(window, { requestAnimationFrame: ask, cancelAnimationFrame: cancel });
    }
}"""


def test_speed_goes_from_a_quarter_to_ten_by_keys_and_a_run_is_played_at_it(page: Page) -> None:
    pause(page, 0)
    speed = page.get_by_label("Speed").first
    page.locator(".fs-title").first.click()
    for _ in range(6):
        page.keyboard.press("]")
    expect(speed).to_have_value("10")
    for _ in range(6):
        page.keyboard.press("[")
    expect(speed).to_have_value("0.25")
    for times, steps in ((0.25, 5), (1, 20), (10, 200)):  # in four seconds, five a second at 1x
        moved, *_ = page.evaluate(PLAY, [times, 4000, 0])
        assert moved == steps


def test_play_pressed_over_and_over_asks_for_one_frame_at_a_time_and_pause_for_none(
    page: Page,
) -> None:
    assert page.evaluate(PLAY, [1, 1000, 7]) == [5, 1, 1, 0]


FAST = """
    const { header, steps } = stage.log;
    for (let seq = 0; seq < 8; seq++) {
        stage.apply({ run: 'fast', seq, title: 'fast', header: seq ? undefined : header,
            steps: [steps[seq]] });
        stage.draw();
    }
    const seen = () => [stage.tree.scene.state.cursor, stage.pool.cursor,
        stage.parts.player.querySelector('.fs-place').textContent];
    const frames = () => new Promise((go) => requestAnimationFrame(
        () => requestAnimationFrame(go)));
    return frames().then(() => {
        const before = seen();
        stage.player.toggle();
        return frames().then(() => [before, seen()]);
    });
"""


def test_while_steps_come_fast_panels_wait_for_their_turn_and_a_pause_draws_them(
    page: Page,
) -> None:
    before, after = stage(page, FAST)
    assert before[0] == 7
    assert before[1] < 7
    assert after == [7, 7, "step 7 of 7"]


LONG = """
    const { header } = stage.log, fresh = new stage.log.constructor(header);
    const memory = (unique, logical) => ({ unique_kv_tokens: unique, logical_kv_tokens: logical,
        shared_kv_tokens: 0, private_kv_tokens: unique, capacity: 2048, high_water: 2000,
        kv_nbytes: 4e6, kv_live_nbytes: unique * 2560, kv_logical_nbytes: logical * 2560,
        layers: [1, 1, 1] });
    let path = 0, node = -1;
    for (let index = 0; index < arg; index++) {
        const forks = index % 3 === 0 ? [{ path, children: [path + 1, path + 2] }] : [];
        const made = forks.length ? [path + 1, path + 2] : [path];
        const token = { token: 1, text: ' a', raw: ' a', prob: 1, raw_prob: 1, logprob: -1,
            raw_logprob: -1 };
        const nodes = made.map((own, at) => (
            { id: fresh.nodes.length + at, parent: node, path: own, ...token }));
        const ends = forks.length ? [{ path: path + 2, node: nodes[1].id, status: 'pruned' }] : [];
        const now = memory(Math.min(2000, index + 5), Math.min(2000, index + 5));
        const slots = index ? [] : header.prompt.map((_, at) => at);
        fresh.append({ index, phase: index ? 'decode' : 'prefill', slots, freed: [], nodes, forks,
            ends, positions: slots.length || 1, seconds: 0, overhead_seconds: 0, paths: [made[0]],
            parents: [0], decisions: [], memory_forward: now, memory: now, peak_memory_nbytes: 0 });
        [path, node] = [made[0], nodes[0].id];
    }
    stage.load(fresh, { title: 'long', cursor: 0 });
"""


def test_marks_of_a_run_of_3000_steps_are_binned(page: Page) -> None:
    stage(page, LONG, 3000)
    stage(page, "stage.draw()")
    box = strip(page).bounding_box()
    assert box is not None
    marked = lanes(page)
    for bins in marked.values():
        places = [one["x"] for one in bins]
        assert all(after - before >= 8 for before, after in pairwise(places))
    assert len(marked["fork"]) <= box["width"] / 9
    assert sum(one["count"] for one in marked["fork"]) == 1000
    first = marked["fork"][0]
    page.mouse.move(box["x"] + first["x"], box["y"] + first["y"])
    expect(page.locator(".fs-timeline-tip").first).to_contain_text("steps 0 to ")


def record(folder: Path, changes: Sequence[tuple[str, Any]]) -> Path:
    """A real run of the bundled model, as a trace file."""
    config = RunConfig(
        prompt="Once upon a time", device="cpu", entropy_threshold=0.05, max_new_tokens=16
    )
    trace = run(load_model("tiny", "cpu", "auto"), config.replace(**dict(changes)))
    path = folder / "own.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in trace.lines()))
    return path


def test_a_backend_without_a_pool_marks_the_caches_that_forks_copied(
    page: Page, tmp_path: Path
) -> None:
    path = record(tmp_path, [("backend", "deepcopy"), ("max_paths", 4)])
    page.set_input_files(".fs-file", path)
    expect(page.locator(".fs-title").first).to_have_text("own.jsonl")
    pause(page, 99)
    copied = stage(
        page,
        """const extra = ({ parents }) => parents.length - new Set(parents).size;
        return stage.log.steps.filter(extra).map((step) => [step.index, extra(step)])""",
    )
    assert copied
    assert [[one["step"], one["count"]] for one in lanes(page)["copy"]] == copied
    pause(page, copied[0][0])
    assert "copied" in (strip(page).get_attribute("aria-valuetext") or "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_timeline_wears_the_page_s_colours(
    app: App, browser: Browser, watch: Watch, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = open_page(f"{app.url}?theme={scheme}", context, watch)
    pause(page, 20)
    expected = stage(page, "return stage.colors.unique")
    found = stage(
        page,
        TIMELINE
        + """stage.draw(); stage.draw();
        const { canvas } = timeline, scale = canvas.width / canvas.clientWidth;
        const x = canvas.width - Math.round(12 * scale), y = canvas.height - Math.round(4 * scale);
        const [r, g, b] = timeline.picture.getContext('2d').getImageData(x, y, 1, 1).data;
        return '#' + [r, g, b].map((one) => one.toString(16).padStart(2, '0')).join('')""",
    )
    assert found == expected
    context.close()
