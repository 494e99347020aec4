"""Trying things out: another threshold, another temperature, another token; and who owns what."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from explorer.config import RunConfig, iter_fields
from tests.browser.conftest import ROOT
from tests.browser.steps import pause, stage

pytestmark = pytest.mark.browser
LAST = "return stage.log.length - 1"
HANDLE = ".fs-scale-handle"
WORDS = ".fs-whatif-words"

# The forks of the run shown, and those at another threshold, counted over its raw decisions.
COUNT = """(tau) => {
  const { log, player } = window.forkscope.stages.explore;
  const { max_paths: most, entropy_threshold: own } = log.header.config.branching;
  let [forks, reached] = [0, 0];
  log.steps.slice(0, player.cursor + 1).forEach((step, at) => {
    const room = most - (at ? log.steps[at - 1].paths.length : 1);
    for (const { factor, normalized_entropy: h } of step.decisions) {
      forks += factor > 1;
      reached += factor > 1 ? h >= tau : h >= tau && h < own && room !== 1;
    }
  });
  return [forks, reached];
}"""


def at_fork(page: Page, cursor: int = 26) -> dict[str, Any]:
    """Stand at a fork with it pinned; its id, and what is recorded of it."""
    pause(page, cursor)
    found = page.evaluate(
        """(cursor) => {
            const stage = window.forkscope.stages.explore, { log } = stage;
            const { node } = log.steps[cursor].decisions.find((one) => one.factor > 1);
            stage.select({ kind: "node", id: node });
            return { node, decision: log.node(node).decision, created: log.header.created,
                way: log.lineage(node).map((id) => log.nodes[id].token),
                prompt: log.prompt.map((token) => token.token), config: log.header.config };
        }""",
        cursor,
    )
    page.wait_for_selector(".fs-alt")
    return dict(found)


def run_done(page: Page, before: str) -> dict[str, Any]:
    """Wait until a run that is not `before` has ended; its header."""
    page.wait_for_function(
        "(before) => { const { badge, log } = window.forkscope.stages.explore;"
        " return badge === 'done' && log.header.created + log.header.origin?.kind !== before; }",
        arg=before,
        timeout=90_000,
    )
    return dict(stage(page, "return stage.log.header"))  # type: ignore[call-overload]


def whole(config: dict[str, Any]) -> dict[str, Any]:
    """A recorded run's settings with those that came after it, at their defaults."""
    return RunConfig(**config).model_dump(mode="json")


def digest_by_command_line(header: dict[str, Any]) -> str:
    """The same run from its settings alone, on the command line."""
    config = header["config"]
    options = [
        f"--{name.replace('_', '-')}={value}"
        for group in ("sampling", "branching", "cache", "limits")
        for name, value in config[group].items()
        if value is not None
    ]
    ids = ",".join(map(str, config["prefix_ids"]))
    options += [f"--prompt={config['prompt']}"] + ([f"--prefix-ids={ids}"] if ids else [])
    command = [sys.executable, "-m", "explorer", "run", "--json", *options]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    return str(json.loads(out.stdout.splitlines()[-1])["tree_digest"])


def shown_digest(page: Page) -> str:
    return page.locator('[data-detail="tree digest"]').first.text_content() or ""


# ---- threshold ---------------------------------------------------------------------------------


def test_arrow_keys_on_the_threshold_count_forks_gained_and_ring_them(page: Page) -> None:
    pause(page, int(stage(page, LAST)))  # type: ignore[call-overload]
    stage(page, "stage.fit()")
    page.locator(HANDLE).focus()
    before = stage(page, "return stage.tree.root.innerHTML")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    expect(page.locator(HANDLE)).to_have_attribute("aria-valuenow", "0.15")
    forks, reached = page.evaluate(COUNT, 0.15)
    assert reached > forks
    expect(page.locator(WORDS)).to_have_text(
        f"{forks} forks; at 0.15: {reached}, of which {reached - forks} not explored."
    )
    expect(page.locator(HANDLE)).to_have_attribute("aria-valuetext", re.compile(f"{reached}, of"))
    page.wait_for_function(
        "(before) => window.forkscope.stages.explore.tree.root.innerHTML !== before", arg=before
    )
    page.keyboard.press("Escape")
    expect(page.locator(".fs-whatif")).to_be_hidden()
    expect(page.locator(HANDLE)).to_have_attribute("aria-valuenow", "0.2")


def test_dragging_the_threshold_up_says_which_forks_would_not_happen(page: Page) -> None:
    pause(page, int(stage(page, LAST)))  # type: ignore[call-overload]
    scale = page.locator(".fs-scale").first.bounding_box()
    handle = page.locator(HANDLE).bounding_box()
    assert scale
    assert handle
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    page.mouse.move(scale["x"] + scale["width"] * 0.5, scale["y"] + 8, steps=4)
    page.mouse.move(scale["x"] + scale["width"] * 0.5**0.5, scale["y"] + 8, steps=4)
    page.mouse.up()
    tau = float(page.locator(HANDLE).get_attribute("aria-valuenow") or 0)
    assert tau == pytest.approx(0.5, abs=0.02)
    forks, _ = page.evaluate(COUNT, tau)
    expect(page.locator(WORDS)).to_contain_text(f"{forks} forks; at {tau:g}:")
    expect(page.locator(WORDS)).to_contain_text("would not happen")
    page.locator(HANDLE).dblclick()
    expect(page.locator(".fs-whatif")).to_be_hidden()


def test_what_is_counted_follows_the_cursor(page: Page) -> None:
    pause(page, 10)
    stage(page, "stage.tryTau(0.05)")
    first = page.evaluate(COUNT, 0.05)
    expect(page.locator(WORDS)).to_contain_text(f"at 0.05: {first[1]}")
    pause(page, 40)
    later = page.evaluate(COUNT, 0.05)
    assert later[1] > first[1]
    expect(page.locator(WORDS)).to_contain_text(f"at 0.05: {later[1]}")


def test_run_with_this_starts_the_same_run_at_that_threshold_and_back_returns(page: Page) -> None:
    config = stage(page, "return stage.log.header.config")
    stage(page, "stage.tryTau(0.3)")
    page.locator(".fs-whatif-run").click()
    header = run_done(page, "")
    config["branching"]["entropy_threshold"] = 0.3  # type: ignore[index]
    assert header["config"] == whole(config)  # type: ignore[arg-type]
    assert header["origin"]["kind"] == "threshold"
    expect(page.locator(".fs-whatif")).to_be_hidden()
    expect(page.locator(".fs-origin")).to_have_text("from “A story opens”, at threshold 0.3 · back")
    assert shown_digest(page) == digest_by_command_line(header)
    page.locator(".fs-origin-back").click()
    expect(page.locator(".fs-title").first).to_have_text("A story opens")
    expect(page.locator(".fs-origin")).to_be_hidden()


# ---- force and grow ----------------------------------------------------------------------------


def test_a_click_on_a_candidate_forces_it_in_a_run_of_its_own(page: Page) -> None:
    found = at_fork(page)
    one = found["decision"]["candidates"][3]
    page.locator(f'.fs-alt[data-token="{one["token"]}"]').click()
    header = run_done(page, "")
    given = [*found["way"], one["token"]]
    assert header["config"]["prefix_ids"] == given
    assert [token["token"] for token in header["prompt"]] == found["prompt"] + given
    rest = {**header["config"], "prefix_ids": found["config"].get("prefix_ids", [])}
    assert rest == whole(found["config"])
    assert header["origin"] == {
        "created": found["created"],
        "kind": "forced",
        "node": found["node"],
        "depth": len(found["way"]),
        "text": one["text"],
    }
    words = page.locator(".fs-origin").inner_text()
    assert words.startswith("from “A story opens”, “")
    assert f"forced at depth {len(given) - 1}" in words
    expect(page.locator("#fs-prompt textarea")).to_have_value(found["config"]["prompt"])
    assert shown_digest(page) == digest_by_command_line(header)
    pause(page, 1)
    stage(page, "stage.select({ kind: 'node', id: -1 }, { reveal: true })")
    text = "".join(token["text"] for token in header["prompt"][-len(given) :])
    assert page.locator(".fs-path-given").text_content() == text
    page.get_by_role("tab", name="Numbers").click()
    expect(page.locator(".fs-inspector")).to_contain_text(f"{len(given)} tokens")
    mark = page.locator('.fs-node[data-id="-1"]').first
    expect(mark).to_contain_text(f"+{len(given)} given")
    stage(page, "stage.show('text')")
    expect(page.locator(".fs-text .fs-word.is-prompt .fs-path-given").first).to_be_visible()
    stage(page, "stage.show('tree')")
    page.locator(".fs-origin-back").click()
    expect(page.locator(".fs-title").first).to_have_text("A story opens")
    pinned = stage(page, "return stage.pinned")
    assert pinned == {"kind": "node", "id": found["node"]}


def test_a_candidate_is_forced_by_keyboard_and_a_forced_run_can_be_forced_again(page: Page) -> None:
    at_fork(page)
    page.locator(".fs-alt").first.focus()
    page.keyboard.press("ArrowDown")
    first = page.evaluate("Number(document.activeElement.dataset.token)")
    page.keyboard.press("Enter")
    header = run_done(page, "")
    assert header["config"]["prefix_ids"][-1] == first
    pause(page, 3)
    stage(page, "stage.select({ kind: 'node', id: 1 })")
    way = stage(page, "return stage.log.lineage(1).map((id) => stage.log.nodes[id].token)")
    page.locator(".fs-alt").nth(1).click()
    page.wait_for_function(
        "(length) => { const { badge, log } = window.forkscope.stages.explore;"
        " return badge === 'done' && log.header.config.prefix_ids.length > length; }",
        arg=len(header["config"]["prefix_ids"]),
        timeout=90_000,
    )
    again = stage(page, "return stage.log.header")
    ids = again["config"]["prefix_ids"]  # type: ignore[index]
    assert ids[:-1] == header["config"]["prefix_ids"] + way


@pytest.mark.parametrize("by", ["button", "key"])
def test_a_pruned_path_is_grown_on_from_its_exact_tokens(page: Page, by: str) -> None:
    pause(page, int(stage(page, LAST)))  # type: ignore[call-overload]
    node, way = page.evaluate(
        """() => {
            const stage = window.forkscope.stages.explore, { log } = stage;
            const end = log.ends.find((one) => one.status === "pruned");
            stage.select({ kind: "node", id: end.node });
            return [end.node, log.lineage(end.node).map((id) => log.nodes[id].token)];
        }"""
    )
    expect(page.locator(".fs-inspector")).to_contain_text("pruned: less probable")
    if by == "button":
        page.get_by_role("button", name="Grow from here").click()
    else:
        page.keyboard.press("g")
    header = run_done(page, "")
    assert header["config"]["prefix_ids"] == way
    assert (header["origin"]["kind"], header["origin"]["node"]) == ("grown", node)
    assert shown_digest(page) == digest_by_command_line(header)
    expect(page.locator(".fs-origin")).to_contain_text("grown on from")


def test_a_prompt_that_was_read_before_is_reused_and_grows_the_same_tree(page: Page) -> None:
    found, digests, before = at_fork(page), [], ""
    changes = {"max_new_tokens": 5, "entropy_threshold": 1}
    wanted = {"changes": changes, "prefix_ids": found["way"], "origin": None}
    for _ in range(2):
        stage(page, "stage.actions.request('run', arg)", wanted)
        header = run_done(page, before)
        before = f"{header['created']}undefined"
        digests.append(shown_digest(page))
    length = len(found["prompt"]) + len(found["way"])
    hit = (length - 1) // 16 * 16  # whole blocks, and never the last token
    assert hit
    words = page.locator('[data-detail="prompt reuse"]')
    expect(words).to_have_text(
        re.compile(f"{hit} of {length} prompt tokens reused, .* (saved|lost)")
    )
    assert digests[0] == digests[1] == digest_by_command_line(header)
    pause(page, 0)
    expect(page.locator(".fs-narration").first).to_contain_text(
        f"{hit} prompt tokens came from the prefix cache and the model read {length - hit}"
    )


LONG = "{ changes: { max_new_tokens: 1900, max_paths: 20 }, origin: null }"


def test_a_run_asked_for_by_the_stage_stops_like_every_other(page: Page) -> None:
    stage(page, f"stage.actions.request('run', {LONG})")
    live = "() => { const { badge, log } = window.forkscope.stages.explore;"
    page.wait_for_function(f"{live} return badge === 'live' && log.length > 20; }}")
    page.locator("#fs-stop").click(force=True)
    expect(page.locator(".fs-badge").first).to_have_text("stopped")
    length = stage(page, "return stage.log.length")
    page.wait_for_timeout(400)
    assert stage(page, "return stage.log.length") == length


def test_a_token_forced_in_a_live_run_ends_that_run_and_starts_the_other(page: Page) -> None:
    stage(page, f"stage.actions.request('run', {LONG})")
    live = "() => { const { badge, log } = window.forkscope.stages.explore;"
    page.wait_for_function(f"{live} return badge === 'live' && log.length > 20; }}")
    before = stage(page, "return stage.run")
    pause(page, 4)
    stage(page, "stage.select({ kind: 'node', id: 2 })")
    page.locator(".fs-alt").nth(1).click()
    page.wait_for_function(
        "(before) => { const { run, log } = window.forkscope.stages.explore;"
        " return run !== before && log.header.origin?.kind === 'forced' && log.length > 5; }",
        arg=before,
    )
    page.locator("#fs-stop").click(force=True)
    expect(page.locator(".fs-badge").first).to_have_text(re.compile("stopped|finished"))


def trace_file(page: Page, path: Path, changes: str) -> Path:
    """The run that plays as a file, its header changed by `changes` (JavaScript on `header`)."""
    lines = page.evaluate(
        """(changes) => {
            const { header: shown, steps } = window.forkscope.stages.explore.log;
            const header = structuredClone(shown);
            new Function("header", changes)(header);
            return [header, ...steps].map((line) => JSON.stringify(line));
        }""",
        changes,
    )
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_token_can_be_forced_in_an_opened_file_with_the_model_that_it_names(
    page: Page, tmp_path: Path
) -> None:
    folder = str(ROOT / "assets" / "models" / "tiny")
    changes = f"header.config.model = {json.dumps(folder)}; header.config.limits.max_new_tokens = 6"
    page.set_input_files(".fs-file", trace_file(page, tmp_path / "mine.jsonl", changes))
    expect(page.locator(".fs-title").first).to_have_text("mine.jsonl")
    at_fork(page)
    candidate = page.locator(".fs-alt").nth(1)
    assert f"a new run of {folder} with" in (candidate.get_attribute("title") or "")
    candidate.click()
    expect(page.get_by_role("alert").filter(has_text=f"load the model “{folder}”")).to_be_visible()
    assert page.evaluate("document.body.dataset.run") == "idle"  # nothing is loaded unasked
    page.get_by_role("button", name="Load it and run").click()
    header = run_done(page, "")
    assert header["config"]["model"] == folder
    assert header["model"]["name"] == folder
    expect(page.locator(".fs-origin")).to_contain_text("from “mine.jsonl”")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ("header.config.no_such_setting = 1", "no_such_setting: "),
        ("header.config.model = '/no/such/folder'", "There is no folder"),
        ("header.config.limits.max_new_tokens = 2040", "shorten the prompt or lower"),
    ],
)
def test_a_run_that_cannot_be_is_one_sentence_and_what_was_shown_stays(
    page: Page, tmp_path: Path, changes: str, words: str
) -> None:
    page.set_input_files(".fs-file", trace_file(page, tmp_path / "mine.jsonl", changes))
    expect(page.locator(".fs-title").first).to_have_text("mine.jsonl")
    at_fork(page)
    page.locator(".fs-alt").nth(1).click()
    if "model" in changes:
        page.get_by_role("button", name="Load it and run").click()
    expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible()
    expect(page.locator(".fs-title").first).to_have_text("mine.jsonl")
    assert stage(page, LAST) == 47


# ---- temperature, top-k, top-p -----------------------------------------------------------------


def open_trial(page: Page) -> None:
    page.get_by_role("tab", name="What if").click()
    expect(page.locator(".fs-trial-list li")).to_have_count(8)


def test_a_filter_inside_the_recorded_candidates_is_exact(page: Page) -> None:
    found = at_fork(page)
    open_trial(page)
    expect(page.locator(".fs-trial-why")).to_have_text("The run's own settings: as recorded.")
    page.locator('[data-trial="top_k"]').fill("3")
    expect(page.locator(".fs-trial-why")).to_contain_text("Exact")
    three = [one["prob"] for one in found["decision"]["candidates"][:3]]
    shown = page.locator(".fs-trial-list .fs-alt-p").all_inner_texts()
    assert [float(text) for text in shown[:3]] == [
        pytest.approx(prob / sum(three), abs=6e-4) for prob in three
    ]
    assert [float(text) for text in shown[3:]] == [0] * 5
    page.get_by_role("button", name="as run").click()
    expect(page.locator(".fs-trial-why")).to_contain_text("as recorded")
    assert page.locator('[data-trial="top_k"]').input_value() == ""


def test_strategies_and_their_combination_are_a_click_named_and_show_what_they_do(
    page: Page,
) -> None:
    found = at_fork(page)
    open_trial(page)
    name, chips = page.locator(".fs-trial-name"), page.locator("[data-strategy]")
    expect(name).to_have_text("as run: plain sampling")
    expect(page.locator('[data-strategy="plain"]')).to_have_attribute("aria-pressed", "true")
    raw = [math.exp(one["raw_logprob"]) for one in found["decision"]["candidates"]]
    sharper = [prob ** (1 / 0.7) for prob in raw[:3]]
    held = [share / sum(sharper) for share in sharper]
    kept = next(count for count in (1, 2, 3) if sum(held[:count]) >= 0.9)
    wanted = {
        "greedy": ("greedy", [1.0]),
        "top-k": ("top-k 3", [prob / sum(raw[:3]) for prob in raw[:3]]),
        "combined": (
            "temperature 0.7, then top-k 3, then top-p 0.9",
            [share / sum(held[:kept]) for share in held[:kept]],
        ),
    }
    for chip, (words, probs) in wanted.items():
        page.locator(f'[data-strategy="{chip}"]').click()
        expect(name).to_have_text(f"tried: {words}")
        assert chips.evaluate_all(PRESSED) == [chip]
        shown = [float(text) for text in page.locator(".fs-trial-list .fs-alt-p").all_inner_texts()]
        assert shown == pytest.approx([*probs, *[0.0] * (8 - len(probs))], abs=1.1e-3)
    page.locator('[data-trial="top_k"]').fill("5")  # the controls go on from the strategy
    expect(name).to_have_text("tried: temperature 0.7, then top-k 5, then top-p 0.9")
    assert chips.evaluate_all(PRESSED) == []
    page.locator('[data-strategy="plain"]').click()
    expect(name).to_have_text("as run: plain sampling")
    card = page.locator(".fs-trial-strategies")
    assert card.evaluate("(one) => one.scrollWidth <= one.clientWidth + 1")


PRESSED = """(chips) => chips.filter((chip) => chip.getAttribute("aria-pressed") === "true")
    .map((chip) => chip.dataset.strategy)"""


def test_a_temperature_that_the_record_does_not_determine_gives_an_interval_and_says_why(
    page: Page,
) -> None:
    at_fork(page)
    open_trial(page)
    page.locator('[data-trial="temperature"]').focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".fs-trial-value").first).to_have_text("1.4")
    expect(page.locator(".fs-trial-why")).to_contain_text("8 of 1,674 tokens were recorded")
    expect(page.locator(".fs-trial-list .fs-alt-p").first).to_have_text(
        re.compile(r"^0\.\d\d – 0\.\d\d$")
    )
    expect(page.locator(".fs-trial-words")).to_contain_text("would fork")
    page.keyboard.press("Home")
    expect(page.locator(".fs-trial-value").first).to_have_text("0")
    expect(page.locator(".fs-trial-list .fs-alt-p").first).to_have_text("1.000")
    expect(page.locator(".fs-trial-words")).to_contain_text("would not fork")


@pytest.mark.parametrize(("temperature", "top_p"), [(3.37, 0.013), (0.73, 0.888), (10, None)])
def test_the_thumbs_stand_on_the_numbers_of_the_run_whatever_they_are(
    page: Page, tmp_path: Path, temperature: float, top_p: float | None
) -> None:
    sampling = f"Object.assign(header.config.sampling, {{ temperature: {temperature}, "
    changes = f"{sampling} top_p: {json.dumps(top_p)} }})"
    page.set_input_files(".fs-file", trace_file(page, tmp_path / "mine.jsonl", changes))
    expect(page.locator(".fs-title").first).to_have_text("mine.jsonl")
    at_fork(page)
    open_trial(page)
    for name, value in (("temperature", temperature), ("top_p", top_p or 1)):
        slider = page.locator(f'[data-trial="{name}"]')
        assert float(slider.input_value()) == value
        least, most = (float(slider.get_attribute(side) or "") for side in ("min", "max"))
        assert least <= value <= most
    shown = page.locator(".fs-trial-value").all_inner_texts()
    assert shown[:2] == [f"{temperature:g}", "off" if top_p is None else f"{top_p:g}"]
    expect(page.locator(".fs-trial-why")).to_have_text("The run's own settings: as recorded.")


def test_keys_move_a_thumb_from_between_two_steps_to_the_next_one(
    page: Page, tmp_path: Path
) -> None:
    changes = "header.config.sampling.temperature = 0.73"
    page.set_input_files(".fs-file", trace_file(page, tmp_path / "mine.jsonl", changes))
    expect(page.locator(".fs-title").first).to_have_text("mine.jsonl")
    at_fork(page)
    open_trial(page)
    value = page.locator(".fs-trial-value").first
    slider = page.locator('[data-trial="temperature"]')
    slider.focus()
    for key, words in (
        ("ArrowRight", "0.75"),
        ("ArrowUp", "0.8"),
        ("ArrowLeft", "0.75"),
        ("PageUp", "1"),
        ("PageDown", "0.75"),
        ("End", "2"),
        ("ArrowRight", "2"),
        ("Home", "0"),
        ("ArrowDown", "0"),
    ):
        page.keyboard.press(key)
        expect(value).to_have_text(words)
        assert float(slider.input_value()) == float(words)


def test_what_can_be_tried_out_bears_the_help_of_its_field(page: Page) -> None:
    fields = {name: field.description or "" for _, name, field in iter_fields()}
    at_fork(page)
    open_trial(page)
    for name in ("temperature", "top_k", "top_p"):
        assert fields[name]
        expect(page.locator(f'[data-trial="{name}"]')).to_have_attribute("title", fields[name])
    handle = page.locator(HANDLE)
    expect(handle).to_have_attribute(
        "title", re.compile(f"^{re.escape(fields['entropy_threshold'])}\\. ")
    )


def test_the_entropy_of_a_trial_is_written_as_the_inspector_writes_it(page: Page) -> None:
    found = at_fork(page)
    open_trial(page)
    own = found["decision"]["normalized_entropy"]
    expect(page.locator(".fs-trial-words")).to_have_text(re.compile(f"^entropy {own:.3f} · would"))
    page.locator('[data-trial="top_k"]').fill("3")
    three = [one["prob"] for one in found["decision"]["candidates"][:3]]
    left = [prob / sum(three) for prob in three]
    vocabulary = stage(page, "return stage.log.header.model.vocab_size")
    share = -sum(prob * math.log(prob) for prob in left) / math.log(vocabulary)  # type: ignore[arg-type]
    expect(page.locator(".fs-trial-words")).to_contain_text(f"entropy {share:.3f}")
    page.get_by_role("button", name="as run").click()
    stage(page, """
        const is = (one) => one.normalized_entropy > 0 && one.normalized_entropy < 0.0005;
        const { index, decisions } = stage.log.steps.findLast((step) => step.decisions.some(is));
        stage.player.seek(index);
        stage.select({ kind: "node", id: decisions.find(is).node });
    """)  # fmt: skip
    expect(page.locator(".fs-trial-words")).to_have_text("entropy 0.000 · would not fork")


# ---- who owns this -----------------------------------------------------------------------------


def test_a_slot_says_which_paths_hold_it_since_when_and_what_frees_it(page: Page) -> None:
    pause(page, 26)
    slot, paths, step, freed = page.evaluate(
        """() => {
            const stage = window.forkscope.stages.explore, { log } = stage;
            const freed = log.steps.findLast((step) => step.freed.length);
            stage.player.seek(freed.index - 1);
            const [slot] = freed.freed;
            stage.select({ kind: "slot", slot });
            const state = log.at(freed.index - 1);
            const holds = (row) => state.visible(row).includes(slot);
            const holder = log.nodes[state.tokens[slot] - 1];
            const paths = state.rows.filter(holds).map((row) => row.path);
            return [slot, paths, holder.written, freed.index];
        }"""
    )
    panel = page.locator(".fs-in-owner")
    expect(panel).to_contain_text(f"slot {slot}")
    expect(panel).to_contain_text("2.5 KiB, ")
    expect(panel).to_contain_text(f"will be freed at step {freed}, when path")
    shown = panel.locator(".fs-holder").evaluate_all(
        "(all) => all.map((one) => Number(one.dataset.path))"
    )
    assert shown == paths
    panel.locator(".fs-holder").first.click()
    assert stage(page, "return stage.pinned") == {"kind": "path", "path": paths[0]}
    expect(page.locator(".fs-in-owner")).to_contain_text(f"path {paths[0]}")
    stage(page, f"stage.select({{ kind: 'slot', slot: {slot} }})")
    page.get_by_role("button", name=f"step {step}").click()
    assert stage(page, "return stage.player.cursor") == step


def test_a_layer_a_cell_and_a_step_have_owners_too(page: Page) -> None:
    pause(page, 26)
    for subject, words in (
        ("{ kind: 'layer', layer: 2 }", "layer 2"),
        ("{ kind: 'cell', layer: 1, slot: 0 }", "layer 1, slot 0"),
        ("{ kind: 'step', step: 20 }", "step 20"),
        ("{ kind: 'node', id: -1 }", "end of prompt"),
    ):
        stage(page, f"stage.select({subject})")
        page.get_by_role("tab", name="Who owns this").click()
        expect(page.locator(".fs-inspector").first).to_contain_text(words)
        expect(page.locator(".fs-in-owner")).to_contain_text("Held by")


def test_without_a_pool_the_panel_says_whose_caches_hold_how_much_and_no_slot(page: Page) -> None:
    file = ROOT / "tests" / "stage" / "backends" / "deepcopy.jsonl"
    page.set_input_files(".fs-file", file)
    expect(page.locator(".fs-title").first).to_have_text("deepcopy.jsonl")
    panel = page.locator(".fs-in-owner")

    def at(cursor: int, subject: str) -> None:
        pause(page, cursor)
        stage(page, f"stage.select({subject}); stage.draw()")
        page.get_by_role("tab", name="Who owns this").click()

    at(0, "{ kind: 'node', id: -1 }")  # one of two chunks is read
    expect(panel).to_contain_text("4 prompt tokens10.0 KiB, private to one path")
    expect(panel).to_contain_text("4 tokens not read yet")
    at(1, "{ kind: 'node', id: 0 }")
    expect(panel).to_contain_text("not stored yet: the next forward pass writes it")
    at(1, "{ kind: 'node', id: -1 }")
    expect(panel).to_contain_text("8 prompt tokens60.0 KiB, 3 copies of 20.0 KiB")
    for subject in ("{ kind: 'path', path: 2 }", "{ kind: 'layer', layer: 0 }",
                    "{ kind: 'step', step: 3 }", "{ kind: 'node', id: 1 }"):  # fmt: skip
        at(4, subject)
        expect(panel).to_contain_text("KiB")
        assert "slot" not in (panel.text_content() or "")
    page.locator(".fs-card-layers canvas, canvas[aria-label^='Slots of every layer']").first.focus()
    page.keyboard.press("ArrowDown")
    heard = stage(page, "return document.querySelector('.fs-stage').innerText")
    assert "live slot" not in str(heard).replace("live slots per layer", "")


def test_a_stopped_run_promises_nothing_of_its_slots(page: Page) -> None:
    stage(page, f"stage.actions.request('run', {LONG})")
    live = "() => { const { badge, log } = window.forkscope.stages.explore;"
    page.wait_for_function(f"{live} return badge === 'live' && log.length > 20; }}")
    page.locator("#fs-stop").click(force=True)
    expect(page.locator(".fs-badge").first).to_have_text("stopped")
    pause(page, int(stage(page, LAST)))  # type: ignore[call-overload]
    stage(page, "stage.select({ kind: 'node', id: -1 }); stage.draw()")
    page.get_by_role("tab", name="Who owns this").click()
    panel = page.locator(".fs-in-owner")
    expect(panel).to_contain_text("the run was stopped: freed")
    stage(page, "stage.select({ kind: 'node', id: stage.log.at(1e9).rows[0].node }); stage.draw()")
    expect(panel).to_contain_text("never stored: the run was stopped before the next pass")


def test_what_the_pointer_rests_on_in_the_inspector_stays_there(page: Page) -> None:
    found = at_fork(page)
    stage(page, f"stage.select(null); stage.point({{ kind: 'node', id: {found['node']} }})")
    page.locator(".fs-inspector").first.hover()
    stage(page, "stage.point({ kind: 'node', id: 0 }); stage.draw()")
    inspector = stage(page, "return stage.inspector.id")
    page.mouse.move(600, 400)
    stage(page, "stage.point({ kind: 'node', id: 0 }); stage.draw()")
    assert stage(page, "return stage.inspector.id") == 0
    assert inspector != 0


@pytest.mark.parametrize("tab", ["Next token", "What if", "Numbers"])
def test_nothing_in_the_inspector_is_cut_off(page: Page, tab: str) -> None:
    at_fork(page)
    page.get_by_role("tab", name=tab).click()
    page.wait_for_timeout(200)
    cut = stage(page, "const card = document.querySelector('.fs-card-inspector');"
                      " return card.scrollHeight - card.clientHeight")  # fmt: skip
    assert int(cut) <= 1  # type: ignore[call-overload]


def test_tabs_of_the_inspector_move_by_arrow_keys(page: Page) -> None:
    at_fork(page)
    page.get_by_role("tab", name="Next token").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Who owns this")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="What if")).to_be_focused()
