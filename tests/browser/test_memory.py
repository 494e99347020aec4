"""Memory: the slot map by slot and by path, the copy-on-write moment, layers, and other models."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from explorer.config import RunConfig
from explorer.generate import run
from explorer.models import load_model
from explorer.shapes import SHAPES
from tests.browser.conftest import App, Watch, open_page
from tests.browser.steps import frames, pause, stage

pytestmark = pytest.mark.browser
POOL = ".fs-card-pool canvas"
LAYERS = ".fs-card-layers canvas"


def pool(page: Page) -> Locator:
    return page.locator(POOL).first


def choose(page: Page, order: str) -> None:
    page.locator(".fs-pool-tools").first.get_by_role("button", name=f"by {order}").click()
    stage(page, "stage.draw()")


# Colours that the map's cells should have, off the slots' own facts and the page's variables; and
# those that it has, at the middle of each cell.
COLOURS = """
    const state = stage.log.at(stage.player.cursor), { pool } = stage;
    const style = getComputedStyle(stage.parts.root);
    const read = (name) => style.getPropertyValue(`--fs-${name}`).trim();
    const wanted = Array.from({ length: state.capacity }, (_, slot) => {
        const rows = state.rows.map((row, at) => [row, at])
            .filter(([row]) => state.visible(row).includes(slot));
        if (!rows.length) return read('free');
        if (rows.length === 1) return read(`own-${1 + rows[0][1] % 4}`);
        return read(`shared-${Math.min(5, Math.floor(Math.log2(rows.length)))}`);
    });
    const scale = pool.canvas.width / pool.canvas.clientWidth;
    const drawn = wanted.map((_, slot) => {
        const middle = pool.layout.cell / 2 - 1;
        const [x, y] = pool.layout.at(slot).map((one) => Math.round((one + middle) * scale));
        const { data } = pool.canvas.getContext('2d').getImageData(x, y, 1, 1);
        return '#' + [...data].slice(0, 3).map((one) => one.toString(16).padStart(2, '0')).join('');
    });
    return [wanted, drawn];
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_slot_has_the_colour_of_its_readers_and_private_ones_their_owners_tint(
    app: App, browser: Browser, watch: Watch, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = open_page(f"{app.url}?theme={scheme}", context, watch)
    for cursor in (0, 9, 26):
        for order in ("slot", "path"):
            pause(page, cursor)
            choose(page, order)
            page.mouse.move(5, 5)
            stage(page, "stage.point(null); stage.draw()")
            wanted, drawn = stage(page, COLOURS)
            assert drawn == wanted, (cursor, order)
    assert len(set(wanted)) >= 4
    context.close()


def test_tints_of_owners_are_told_apart_by_lightness_and_greyer_than_both_scales(
    page: Page,
) -> None:
    def rgb(colour: str) -> list[int]:
        return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]

    def light(colour: str) -> float:
        return sum(
            value * weight for value, weight in zip(rgb(colour), (0.21, 0.72, 0.07), strict=True)
        )

    def chroma(colour: str) -> int:
        return max(rgb(colour)) - min(rgb(colour))

    for dark in (False, True):
        stage(page, f"document.body.classList.toggle('dark', {str(dark).lower()})")
        read = "getComputedStyle(stage.parts.root).getPropertyValue(`--fs-${name}`).trim()"
        names = [f"own-{at}" for at in range(1, 5)] + [f"shared-{at}" for at in range(1, 5)]
        colours = stage(page, f"return arg.map((name) => {read})", names)
        own, shared = colours[:4], colours[4:]
        tones = sorted(map(light, own))
        assert all(b - a > 9 for a, b in pairwise(tones)), tones
        assert max(map(chroma, own)) < min(map(chroma, shared))


def test_by_path_shows_the_prompt_then_what_is_shared_then_each_paths_own_and_is_kept(
    page: Page,
) -> None:
    pause(page, 26)
    choose(page, "path")
    labels = stage(page, "return stage.pool.layout.labels.map(({ text }) => text)")
    paths = stage(page, "return stage.log.at(26).rows.map((row) => row.path)")
    prompt = stage(page, "return stage.log.prompt.map((token) => token.slot)")
    assert labels[0] == "prompt"
    assert labels[-1] == "free"
    shared = [at for at, text in enumerate(labels) if text.startswith("×")]
    own = [at for at, text in enumerate(labels) if re.fullmatch(r"p\d+", text)]
    assert shared
    assert max(shared) < min(own)
    assert {int(labels[at][1:]) for at in own} <= set(paths)
    assert stage(page, "return stage.pool.layout.order")[: len(prompt)] == prompt
    page.locator(".fs-run").nth(1).click()
    page.wait_for_function("() => window.forkscope.stages.explore.log.length === 20")
    pause(page, 10)
    expect(page.locator('.fs-choice[data-order="path"]').first).to_have_attribute(
        "aria-pressed", "true"
    )
    assert stage(page, "return stage.pool.layout.labels[0].text") == "prompt"
    pool(page).focus()
    page.keyboard.press("o")
    stage(page, "stage.draw()")
    assert stage(page, "return stage.pool.layout.order") is None


def test_the_pool_says_where_it_grew_and_how_far_it_was_ever_full(page: Page) -> None:
    pause(page, 30)
    grown = stage(
        page,
        """const sizes = stage.log.steps.slice(0, 31).map((step) => step.memory.capacity);
        const grew = sizes.map((size, at) => [sizes[at - 1], at]);
        return grew.filter(([slot, at]) => slot < sizes[at])""",
    )
    assert grown
    slot, step = grown[0]
    x, y, cell = stage(page, "return [...stage.pool.layout.at(arg), stage.pool.layout.cell]", slot)
    pool(page).hover(position={"x": x + cell / 2, "y": y + cell / 2})
    expect(page.locator(".fs-card-pool .fs-tip").first).to_contain_text(f"slot {slot}: ")
    expect(page.locator(".fs-card-pool .fs-tip").first).to_contain_text(
        f"the pool grew to it in step {step}"
    )
    page.mouse.move(5, 5)
    ink = """
        const { pool } = stage, scale = pool.canvas.width / pool.canvas.clientWidth;
        stage.point(null); stage.draw();
        const [x, y] = pool.layout.at(arg).map((one) => one * scale);
        const { data } = pool.canvas.getContext('2d').getImageData(Math.floor(x - 1), y + 2, 1, 6);
        return data.filter((_, at) => at % 4 === 3 && data[at] > 90).length;
    """
    assert stage(page, ink, slot) > 3
    assert stage(page, ink, slot + 2) == 0
    keys = page.locator(".fs-card-pool .fs-keys").first
    expect(keys).to_contain_text("pool grew")
    expect(keys).to_contain_text("high water")


COPIES = """
    const made = (step) => new Map(step.nodes.map((node) => [node.path, node.id]));
    return stage.log.steps.slice(1).map((step) => {
        const before = stage.log.steps[step.index - 1], ids = made(before);
        const rows = before.paths.filter((_, at) =>
            before.parents.filter((parent) => parent === before.parents[at]).length > 1);
        return [step.index, rows.map((path) => stage.log.nodes[ids.get(path)].slot)];
    }).filter(([, slots]) => slots.length);
"""


INK = """
    const canvas = stage.pool.pulse.canvas, { width, height } = canvas;
    if (!width) return 0;
    const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
    return data.filter((_, at) => at % 4 === 3 && data[at]).length;
"""
SEEN = f"() => {{ const stage = window.forkscope.stages.explore; {INK} }}"


def test_a_copy_that_moved_while_nobody_saw_it_leaves_nothing(page: Page) -> None:
    step, _ = stage(page, COPIES)[0]
    pause(page, step - 1)
    stage(
        page,
        """stage.player.step(1); stage.draw();
           const { canvas } = stage.pool.pulse;
           canvas.getContext('2d').fillRect(0, 0, canvas.width, canvas.height); // as dots would
           document.querySelector('#fs-stage-explore').style.display = 'none';""",
    )
    page.wait_for_function("() => !window.forkscope.stages.explore.pool.pulse.frame")
    page.evaluate("() => document.querySelector('#fs-stage-explore').style.display = ''")
    frames(page)
    assert stage(page, INK) == 0


def test_the_first_private_slot_behind_a_shared_prefix_is_shown_moving_once(page: Page) -> None:
    step, slots = stage(page, COPIES)[0]
    pause(page, step - 1)
    stage(page, "stage.player.step(1); stage.draw()")
    overlay = page.locator(".fs-pulse").first
    expect(overlay).to_have_attribute("data-moves", str(len(slots)))
    page.wait_for_function(SEEN, timeout=1500)
    page.wait_for_function("() => !window.forkscope.stages.explore.pool.pulse.frame")
    assert overlay.get_attribute("data-moves") is None
    assert stage(page, INK) == 0
    pause(page, step - 1)
    assert overlay.get_attribute("data-moves") is None  # backwards nothing is copied
    pause(page, step + 5)
    assert overlay.get_attribute("data-moves") is None  # a leap is no moment


LIVE = """
    const { header, steps } = stage.log, sent = [];
    const batch = (seq, count) => ({ run: 'copies', seq, title: 'copies',
        header: seq ? undefined : header, steps: steps.slice(seq, seq + count) });
    stage.apply(batch(0, 2));
    stage.draw();
    for (let seq = 2; seq < 26; seq += 4) {
        stage.apply(batch(seq, 4));
        stage.hurry(); // the map has its turn with each batch, however fast they come here
        stage.draw();
        sent.push([stage.log.length, Number(stage.pool.pulse.canvas.dataset.moves ?? 0)]);
    }
    return sent;
"""


def test_the_copies_of_a_live_run_are_shown_moving_though_several_steps_come_at_once(
    page: Page,
) -> None:
    copied = {at for at, _ in stage(page, COPIES)}
    sent = stage(page, LIVE)
    assert any(moves for _, moves in sent)
    assert all(moves <= 24 for _, moves in sent)
    before = 0
    for length, moves in sent:  # dots that set out before may still be on their way
        if copied & set(range(length - 4, length)) and before < 24:
            assert moves > before
        before = moves
    overlay = page.locator(".fs-pulse").first
    stage(page, "stage.player.seek(12); stage.draw()")
    assert overlay.get_attribute("data-moves") is None
    stage(page, "stage.player.toLive(); stage.player.seek(20); stage.draw()")
    assert overlay.get_attribute("data-moves") is None


def test_an_idle_stage_asks_for_no_frames(page: Page) -> None:
    step, _ = stage(page, COPIES)[0]
    pause(page, step - 1)
    stage(page, "stage.player.step(1)")
    page.wait_for_function(
        """() => {
            const { frame, pool, readAt, tree, player } = window.forkscope.stages.explore;
            return !frame && !pool.pulse.frame && !tree.camera.frame && !player.playing;
        }"""
    )
    frames = page.evaluate(
        """async () => {
            const own = window.requestAnimationFrame;
            let asked = 0;
            window.requestAnimationFrame = (deed) => {
                asked += new Error().stack.includes('/stage/'); // gradio has its own
                return own(deed);
            };
            await new Promise((done) => setTimeout(done, 800));
            window.requestAnimationFrame = own;
            return asked;
        }"""
    )
    assert frames == 0


def test_people_who_want_no_motion_see_the_new_slots_ringed_and_nothing_moving(
    app: App, browser: Browser, watch: Watch
) -> None:
    context = browser.new_context(reduced_motion="reduce", viewport={"width": 1440, "height": 900})
    page = open_page(app.url, context, watch)
    step, slots = stage(page, COPIES)[0]
    pause(page, step - 1)
    stage(page, "stage.player.step(1); stage.draw()")
    assert page.locator(".fs-pulse").first.get_attribute("data-moves") is None
    ring = """
        const { pool } = stage, scale = pool.canvas.width / pool.canvas.clientWidth;
        const [x, y] = pool.layout.at(arg).map((one) => Math.round(one * scale));
        const size = Math.round(pool.layout.cell * scale);
        const { data } = pool.canvas.getContext('2d').getImageData(x, y, size, size);
        const accent = [1, 3, 5].map((at) => parseInt(stage.colors.accent.slice(at, at + 2), 16));
        let near = 0;
        for (let at = 0; at < data.length; at += 4) {
            near += accent.every((value, i) => Math.abs(data[at + i] - value) < 40);
        }
        return near;
    """
    assert all(stage(page, ring, slot) > 5 for slot in slots)
    assert stage(page, ring, stage(page, "return stage.log.prompt[0].slot")) == 0
    context.close()


def test_the_keyboard_walks_the_slots_says_what_they_hold_and_pins_them(page: Page) -> None:
    pause(page, 26)
    page.locator(".fs-title").first.click()
    page.keyboard.press("w")
    expect(pool(page)).to_be_focused()
    heard = page.locator(".fs-card-pool .fs-unseen").first
    expect(heard).to_have_text(re.compile(r"^slot 0: “.+” of the prompt, seen by 8 paths"))
    assert stage(page, "return stage.pointed") == {"kind": "slot", "slot": 0}
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    columns = stage(page, "return stage.pool.layout.columns")
    slot = stage(page, "return stage.pool.at")
    assert slot == columns + 2
    expect(heard).to_contain_text(f"slot {slot}: ")
    page.keyboard.press("Enter")
    token = stage(page, "return stage.log.at(26).tokens[arg]", slot)
    assert stage(page, "return stage.pinned") == ({"kind": "slot", "slot": slot} if token else None)
    page.keyboard.press("Tab")
    page.wait_for_function(
        "(slot) => window.forkscope.stages.explore.pointed?.slot !== slot", arg=slot
    )
    page.keyboard.press("Escape")


def test_a_slot_under_the_pointer_lights_its_layers_and_its_node(page: Page) -> None:
    pause(page, 26)
    slot = stage(page, "return stage.log.nodes[0].slot")
    x, y, cell = stage(page, "return [...stage.pool.layout.at(arg), stage.pool.layout.cell]", slot)
    pool(page).hover(position={"x": x + cell / 2, "y": y + cell / 2})
    focus = stage(page, "const { slot, node, layer } = stage.focus(); return [slot, node, layer]")
    assert focus == [slot, 0, None]


def layer_place(page: Page, layer: int, slot: int) -> dict[str, float]:
    row, cell = stage(
        page,
        "const layers = stage.panels.find((one) => one.constructor.name === 'Layers');"
        " return [layers.row, layers.cell]",
    )
    x = 20 if slot < 0 else 62 + (slot + 0.5) * cell
    return {"x": x, "y": (layer + 0.5) * row}


def test_layers_name_a_cell_or_a_whole_layer_by_pointer_and_by_key(page: Page) -> None:
    pause(page, 26)
    layers = page.locator(LAYERS).first
    slot = stage(page, "return stage.log.nodes[0].slot")
    layers.hover(position=layer_place(page, 2, slot))  # type: ignore[arg-type]
    assert stage(page, "return stage.pointed") == {"kind": "cell", "layer": 2, "slot": slot}
    layers.hover(position=layer_place(page, 3, -1))  # type: ignore[arg-type]
    assert stage(page, "return stage.pointed") == {"kind": "layer", "layer": 3}
    live = stage(page, "return stage.log.steps[26].memory.layers[3]")
    assert layers.get_attribute("title") == f"layer 3: {live} live slots"
    layers.click(position=layer_place(page, 1, slot))  # type: ignore[arg-type]
    assert stage(page, "return stage.pinned") == {"kind": "cell", "layer": 1, "slot": slot}
    page.mouse.move(5, 5)
    layers.focus()
    heard = page.locator(".fs-card-layers .fs-unseen").first
    page.keyboard.press("ArrowDown")
    expect(heard).to_have_text(f"layer 1: {live} live slots")
    assert stage(page, "return stage.pointed") == {"kind": "layer", "layer": 1}
    page.keyboard.press("ArrowRight")
    assert stage(page, "return stage.pointed") == {"kind": "cell", "layer": 1, "slot": 0}
    expect(heard).to_have_text(re.compile(r"^layer 1, slot 0: “.+” of the prompt"))
    page.keyboard.press("Enter")
    assert stage(page, "return stage.pinned") == {"kind": "cell", "layer": 1, "slot": 0}
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert stage(page, "return stage.pinned") == {"kind": "layer", "layer": 1}


def test_the_memory_strip_says_bytes_over_time_and_what_deep_copies_would_need(
    page: Page,
) -> None:
    pause(page, 26)
    memory = stage(page, "return stage.log.steps[26].memory")
    sentence = page.locator(".fs-sentence").first
    expect(sentence).to_have_text(
        f"{memory['unique_kv_tokens']} slots do the work of {memory['logical_kv_tokens']}."
    )
    card = page.locator(".fs-card-memory").first
    expect(card).to_contain_text("one cache a path")
    strip = card.locator("canvas").first
    box = strip.bounding_box()
    assert box is not None
    strip.click(position={"x": box["width"] / 2, "y": 30})
    last = stage(page, "return stage.log.length - 1")
    assert stage(page, "return stage.player.cursor") == pytest.approx(last / 2, abs=1)
    title = strip.get_attribute("title") or ""
    assert re.fullmatch(
        r"step \d+: in use \S+ KiB · allocated \S+ KiB · one cache a path \S+ [KM]iB", title
    )


def nbytes(text: str) -> float:
    value, unit = text.split()
    return float(value) * 1024 ** ["B", "KiB", "MiB", "GiB", "TiB"].index(unit)


def figure(page: Page, name: str) -> str:
    return page.locator(f'.fs-project [data-figure="{name}"]').first.inner_text()


PEAKS = """
    const both = stage.log.steps.flatMap((step) => [step.memory_forward, step.memory]);
    const most = (name) => Math.max(...both.map((one) => one[name]));
    const now = stage.log.steps[26].memory;
    return { now: [now.logical_kv_tokens, now.unique_kv_tokens],
        peak: [most('logical_kv_tokens'), most('unique_kv_tokens')] };
"""


def test_for_your_model_predicts_bytes_of_known_models_from_their_published_shapes(
    page: Page,
) -> None:
    pause(page, 26)
    page.locator(".fs-project summary").first.click()
    tokens = stage(page, PEAKS)
    choice = page.get_by_label("Model", exact=True).and_(page.locator(".fs-model-choice")).first
    assert choice.locator("option").count() == len(SHAPES) + 1
    for name in ("llama-3.1-8b", "qwen2.5-7b", "deepseek-v3", "gemma-3-27b-it"):
        choice.select_option(name)
        each = SHAPES[name].nbytes_per_token
        for when in ("now", "peak"):
            copies, sharing = tokens[when]
            assert nbytes(figure(page, f"{when}-copies")) == pytest.approx(copies * each, rel=0.02)
            shared = nbytes(figure(page, f"{when}-sharing"))
            assert shared == pytest.approx(sharing * each, rel=0.02)
            saved = round((1 - sharing / copies) * 100)
            assert figure(page, f"{when}-saved") == f"{saved} %"
        expect(page.locator(".fs-project-note").first).to_contain_text(SHAPES[name].source)
    expect(page.locator(".fs-project .fs-predicted").first).to_have_text("predicted")
    expect(page.locator(".fs-project-headline").first).to_contain_text("predicted")
    cell = page.locator('.fs-project [data-figure="peak-sharing"]').first
    formula = cell.get_attribute("title") or ""
    assert formula.startswith(
        "2 × layers × KV heads × head size × element size × tokens; here 62 layers × 2 × 16"
    )


def test_for_your_model_says_what_latent_attention_and_sliding_windows_keep(page: Page) -> None:
    pause(page, 26)
    page.locator(".fs-project summary").first.click()
    choice = page.locator(".fs-model-choice").first
    note = page.locator(".fs-project-note").first
    choice.select_option("deepseek-v3")
    expect(note).to_contain_text("Latent attention keeps one vector for all heads")
    choice.select_option("gpt-oss-20b")
    expect(note).to_contain_text("12 of 24 layers keep the last 128 tokens of a path")
    expect(note).to_contain_text("no path of this run is longer")
    choice.select_option("llama-3.1-8b")
    expect(note).not_to_contain_text("keep the last")


def test_for_your_model_takes_a_shape_of_ones_own_and_refuses_what_cannot_be(page: Page) -> None:
    pause(page, 26)
    page.locator(".fs-project summary").first.click()
    tokens = stage(page, PEAKS)
    form = page.locator(".fs-project-form").first
    form.get_by_label("layers").fill("10")
    form.get_by_label("KV heads").fill("3")
    form.get_by_label("head size").fill("32")
    form.get_by_label("Number format").select_option("float32")
    expect(page.locator(".fs-model-choice").first).to_have_value("own")
    each = 2 * 10 * 3 * 32 * 4
    assert nbytes(figure(page, "now-sharing")) == pytest.approx(tokens["now"][1] * each, rel=0.02)
    refusal = page.locator(".fs-project-refusal").first
    for text in ("0", "", "2.5", "1001"):
        form.get_by_label("layers").fill(text)
        expect(refusal).to_have_text("Layers: give a whole number from 1 to 1000.")
        assert figure(page, "now-sharing") == ""
    form.get_by_label("layers").fill("1000")
    expect(refusal).to_be_hidden()
    assert figure(page, "now-sharing") != ""
    page.locator(".fs-run").nth(1).click()
    page.wait_for_function("() => window.forkscope.stages.explore.log.length === 20")
    expect(form.get_by_label("layers")).to_have_value("1000")
    assert figure(page, "peak-sharing") != ""


@pytest.mark.parametrize(
    ("model", "title", "kept", "lost"),
    [
        ("gpt-oss-20b", "gpt-oss 20B", "12 of 24 layers keep", "sliding windows"),
        ("deepseek-v3", "DeepSeek-V3", "Latent attention keeps", "latent attention"),
    ],
)
def test_your_own_shape_begins_as_the_model_shown_and_says_what_typing_drops(
    page: Page, model: str, title: str, kept: str, lost: str
) -> None:
    pause(page, 26)
    page.locator(".fs-project summary").first.click()
    choice = page.locator(".fs-model-choice").first
    note = page.locator(".fs-project-note").first
    choice.select_option(model)
    before = figure(page, "peak-sharing")
    choice.select_option("own")
    expect(choice).to_have_value("own")
    expect(page.locator(".fs-project-headline").first).to_contain_text("Your shape")
    expect(note).to_contain_text(f"as {title} has it")
    expect(note).to_contain_text(kept)
    assert figure(page, "peak-sharing") == before
    page.locator(".fs-project-form").first.get_by_label("layers").fill("10")
    expect(choice).to_have_value("own")
    expect(note).to_contain_text(f"as typed in, without the {lost} of {title}")
    expect(note).not_to_contain_text(kept)


def test_the_prediction_moves_with_the_cursor(page: Page) -> None:
    page.locator(".fs-project summary").first.click()
    pause(page, 5)
    early, peak = figure(page, "now-sharing"), figure(page, "peak-sharing")
    pause(page, 30)
    assert nbytes(figure(page, "now-sharing")) > nbytes(early)
    assert figure(page, "peak-sharing") == peak


def test_a_run_without_a_pool_shows_what_it_stores_by_layer_and_is_predicted_too(
    page: Page, tmp_path: Path
) -> None:
    config = RunConfig(
        prompt="Once upon a time", device="cpu", entropy_threshold=0.05, max_new_tokens=12
    )
    trace = run(load_model("tiny", "cpu", "auto"), config.replace(backend="deepcopy", max_paths=4))
    path = tmp_path / "own.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in trace.lines()))
    page.set_input_files(".fs-file", path)
    expect(page.locator(".fs-title").first).to_have_text("own.jsonl")
    pause(page, 8)
    expect(page.locator(".fs-no-pool").first).to_contain_text("keeps no shared pool")
    layers = page.locator(LAYERS).first
    layers.focus()
    page.keyboard.press("ArrowDown")
    live = trace[8].memory.layers[1]
    expect(page.locator(".fs-card-layers .fs-unseen").first).to_have_text(
        f"layer 1: {live} tokens kept"
    )
    page.locator(".fs-project summary").first.click()
    logical = trace[8].memory.logical_kv_tokens
    each = SHAPES["llama-3.1-8b"].nbytes_per_token
    assert nbytes(figure(page, "now-copies")) == pytest.approx(logical * each, rel=0.02)
    assert nbytes(figure(page, "now-sharing")) < logical * each * 0.9
