"""Live runs in the browser: the same tree as on the command line, and nothing left behind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from explorer.ui.presets import EXAMPLES
from tests.browser.conftest import ROOT, App, Watch, open_page
from tests.browser.steps import deafen, listening, mute, stage
from tests.browser.test_recorded import HOSTILE

pytestmark = pytest.mark.browser
LONG = {"max_new_tokens": "1900", "max_paths": "20"}


def slowly(page: Page) -> None:
    """Without a cache every step reads every text anew: a run that is not over soon."""
    page.locator(".fs-preset-group[data-group=Memory] summary").click()
    page.locator("[data-preset='No cache']").click()
    expect(page.locator("[data-preset='No cache']")).to_have_attribute("aria-pressed", "true")


def set_fields(page: Page, prompt: str, **values: str) -> None:
    page.locator("#fs-prompt textarea").fill(prompt)
    for title in ("Branching", "Limits"):
        header = page.locator("#fs-sidebar button.label-wrap", has_text=title)
        if "open" not in (header.get_attribute("class") or ""):
            header.click()
    for name, value in values.items():
        box = page.locator(f"#fs-{name} input[type=number]").first
        box.fill(value)
        box.blur()
    page.wait_for_timeout(300)


def run(page: Page) -> None:
    page.locator("#fs-run").click()


def wait_for_steps(page: Page, count: int) -> None:
    page.wait_for_function(
        "(count) => document.querySelector('.fs-badge').textContent === 'running live'"
        " && window.forkscope.stages.explore.log.length >= count",
        arg=count,
    )


def wait_until(is_so: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


def assert_freed_early(app: App) -> None:
    steps, caches = app.ended_runs()[-1]
    assert steps < int(LONG["max_new_tokens"])
    assert caches == 0


def done(page: Page) -> None:
    expect(page.locator(".fs-badge").first).to_have_text("live run, finished", timeout=60_000)


def test_a_live_run_ends_with_the_command_lines_digest(page: Page, app: App) -> None:
    set_fields(page, "Once upon a time", max_new_tokens="24", max_paths="8")
    run(page)
    done(page)
    page.locator(".fs-run-details summary").first.click()
    shown = page.locator('[data-detail="tree digest"]').inner_text()
    config = stage(page, "return stage.log.header.config")
    wanted = EXAMPLES["story"].config().replace(max_new_tokens=24, max_paths=8)
    assert config == wanted.model_dump(mode="json")
    options = [
        f"--{name.replace('_', '-')}={value}"
        for group in ("sampling", "branching", "cache", "limits")
        for name, value in wanted.model_dump(mode="json")[group].items()
        if value is not None
    ]
    command = [sys.executable, "-m", "explorer", "run", "--prompt", "Once upon a time", "--json"]
    out = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, check=True, text=True)
    told = json.loads(out.stdout.splitlines()[-1])
    assert shown == told["tree_digest"]
    ids = {path["id"] for path in told["paths"]}
    texts = page.evaluate(
        """(ids) => ids.map((id) => {
            const { log } = window.forkscope.stages.explore;
            return log.textOf(log.lastOf.get(id));
        })""",
        sorted(ids),
    )
    assert texts == [path["text"] for path in sorted(told["paths"], key=lambda path: path["id"])]
    wait_until(lambda: app.ended_runs()[-1:] == [(24, 0)])


def test_stop_frees_the_pool_and_what_came_stays(page: Page, app: App) -> None:
    set_fields(page, "Once upon a time", **LONG)
    before = len(app.ended_runs())
    run(page)
    wait_for_steps(page, 10)
    page.locator("#fs-stop").click(force=True)  # at once, while the page is busy drawing
    expect(page.locator(".fs-badge").first).to_have_text("stopped")
    page.wait_for_timeout(500)
    assert page.get_by_text("Error", exact=True).filter(visible=True).count() == 0
    wait_until(lambda: len(app.ended_runs()) > before)
    assert_freed_early(app)
    assert int(stage(page, "return stage.log.length")) >= 10  # type: ignore[call-overload]
    assert page.locator(".fs-node").count() > 20


@pytest.mark.parametrize("leave", ["close", "reload"])
def test_leaving_the_page_frees_the_pool(
    app: App, context: BrowserContext, watch: Watch, leave: str
) -> None:
    page = open_page(app.url, context, watch)
    set_fields(page, "Once upon a time", **LONG)
    before = len(app.ended_runs())
    run(page)
    wait_for_steps(page, 5)
    getattr(page, leave)()
    wait_until(lambda: len(app.ended_runs()) > before, 20)
    assert_freed_early(app)
    # gradio's own words about the stream that was cut
    cut = re.compile("abort|errored out", re.IGNORECASE)
    watch.complaints = [one for one in watch.complaints if not cut.search(one)]


def test_a_lost_batch_is_asked_for_again(page: Page) -> None:
    set_fields(page, "Once upon a time", max_new_tokens="80", max_paths="12")
    stage(
        page,
        "const apply = stage.apply.bind(stage); window.lost = 0; stage.apply = (batch) => {"
        " if (!window.lost && batch.seq > 0 && !batch.done) window.lost = batch.steps.length;"
        " else apply(batch); };",
    )
    run(page)
    done(page)
    assert page.evaluate("window.lost") > 0
    indices = stage(page, "return stage.log.steps.map((step) => step.index)")
    steps = int(page.locator('[data-detail="steps"]').text_content() or 0)
    assert steps > 20
    assert indices == list(range(steps))


@pytest.mark.parametrize(
    ("prompt", "values", "words"),
    [
        ("", {}, "The prompt is empty"),
        ("Once", {"max_paths": "0"}, "Max paths: input should be greater than or equal to 1"),
        ("Once " * 3000, {}, "shorten the prompt"),
    ],
)
def test_bad_input_is_one_sentence_and_the_run_before_stays(
    page: Page, prompt: str, values: dict[str, str], words: str
) -> None:
    before = stage(page, "return stage.log.header.created")
    set_fields(page, prompt, **values)
    run(page)
    expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible()
    assert stage(page, "return stage.log.header.created") == before
    set_fields(page, "Once", max_paths="4", max_new_tokens="4")
    run(page)
    done(page)
    assert page.locator(".fs-stage .fs-alert").first.is_hidden()


def test_a_model_that_is_not_there_is_said_so(page: Page) -> None:
    box = page.locator("#fs-model input")
    box.fill("/no/such/folder")
    box.press("Enter")
    page.wait_for_timeout(300)
    run(page)
    expect(page.get_by_role("alert").filter(has_text="There is no folder")).to_be_visible()


def test_a_model_in_a_local_folder_runs(page: Page) -> None:
    folder = str(ROOT / "assets" / "models" / "tiny")
    box = page.locator("#fs-model input")
    box.fill(folder)
    box.press("Enter")
    set_fields(page, "Once", max_paths="4", max_new_tokens="4")
    run(page)
    done(page)
    assert stage(page, "return stage.log.header.model.name") == folder


def test_a_hostile_prompt_comes_through_the_server_as_text(page: Page) -> None:
    set_fields(page, " ".join(HOSTILE), max_new_tokens="4", max_paths="2")
    run(page)
    done(page)
    stage(page, "stage.select({ kind: 'node', id: 0 }); stage.draw()")
    assert HOSTILE[0] in page.locator(".fs-inspector").first.inner_text()
    assert page.evaluate("window.pwned") is None
    assert page.locator(".fs-stage img, .fs-stage script").count() == 0


def test_the_budget_is_predicted_before_the_run(fresh_page: Page) -> None:
    page = fresh_page
    set_fields(page, "Once upon a time", max_new_tokens="10", max_paths="4")
    expect(page.locator("#fs-estimate")).to_contain_text("Predicted at worst")
    expect(page.locator("#fs-estimate")).to_contain_text("4 paths, 10 tokens each")


DRAW = """async ([columns, paths, updates]) => {
  const stage = window.forkscope.stages.explore, { header, steps } = stage.log;
  const { memory } = steps.at(-1);
  const rows = Array.from({ length: paths }, (_, i) => i);
  const before = (index, path) => (index ? (index - 1) * paths + path : -1);
  const step = (index) => ({
    ...steps.at(-1), index, phase: index ? "decode" : "prefill", forks: [], ends: [], slots: [],
    freed: [], memory_forward: memory, paths: rows, parents: index ? rows : rows.map(() => 0),
    decisions: rows.map((path) => ({
      path, node: before(index, path), entropy: 1, raw_entropy: 1, factor: 1, candidates: [],
      normalized_entropy: ((path * 7 + index) % 10) / 10,
    })),
    nodes: rows.map((path) => ({
      id: index * paths + path, parent: before(index, path), path, token: path, text: " word",
      raw: "word", prob: 0.5, raw_prob: 0.5, logprob: -1, raw_logprob: -1,
    })),
  });
  const batch = (index) => ({
    run: "flood", seq: index, header: index ? undefined : header, steps: [step(index)],
  });
  for (let index = 0; index < columns; index++) stage.apply(batch(index));
  const frame = () => new Promise(requestAnimationFrame);
  const first = stage.drawn;
  for (let at = 0; at < updates; at++) {
    const { drawn } = stage;
    stage.apply(batch(columns + at));
    while (stage.drawn === drawn) await frame();
  }
  const elements = stage.tree.root.querySelectorAll("*").length;
  return [stage.log.nodes.length, stage.drawn - first, elements];
}"""


def test_every_update_of_a_run_of_600_nodes_and_more_is_drawn_with_few_elements(page: Page) -> None:
    nodes, drawn, elements = page.evaluate(DRAW, [30, 20, 60])
    assert nodes == 1800
    assert drawn >= 60
    assert elements < 12_000


LATER = """async ([what]) => {
  const page = window.forkscope;
  const stage = page.stages.explore, { header, steps } = stage.log;
  const batch = (seq, count, more = {}) =>
    ({ run: "live-1", seq, steps: steps.slice(seq, seq + count), ...more });
  stage.apply(batch(0, 3, { header, title: "live" }));
  if (what === "stop") page.stop();
  if (what === "load") stage.load(stage.log, { title: "another", autoplay: false });
  stage.apply(batch(3, 3));
  stage.apply(batch(20, 3));
  await new Promise((resolve) => setTimeout(resolve, 300));
  return { run: stage.run, length: stage.log.length, isLive: stage.player.isLive,
    badge: document.querySelector(".fs-badge").textContent };
}"""


STATES = "() => [document.body.dataset.run, document.querySelector('.fs-status').textContent]"


def test_run_and_stop_say_how_things_stand(page: Page) -> None:
    run_button, stop_button = page.locator("#fs-run"), page.locator("#fs-stop")
    expect(run_button).to_be_enabled()
    expect(stop_button).to_be_disabled()
    assert page.evaluate(STATES) == ["idle", "Ready."]
    slowly(page)
    set_fields(page, "Once upon a time", **LONG)
    run(page)
    page.wait_for_function("() => document.body.dataset.run === 'running'")
    expect(run_button).to_be_disabled()
    expect(stop_button).to_be_enabled()
    assert page.evaluate(STATES) == ["running", "Running …"]
    stop_button.click(force=True)
    expect(run_button).to_be_enabled()
    expect(stop_button).to_be_disabled()
    expect(page.locator(".fs-status")).to_contain_text("Stopped. The cache is freed")


def test_a_run_that_waits_can_be_called_off(
    page: Page, app: App, context: BrowserContext, watch: Watch
) -> None:
    busy = open_page(app.url, context, watch)
    slowly(busy)
    set_fields(busy, "Once upon a time", **LONG)
    run(busy)
    wait_for_steps(busy, 3)
    page.bring_to_front()
    before = stage(page, "return stage.badge")
    run(page)
    page.wait_for_function("() => document.body.dataset.run === 'waiting'")
    expect(page.locator(".fs-badge").first).to_have_text("waiting")
    expect(page.locator("#fs-run")).to_be_disabled()
    page.locator("#fs-stop").click()
    expect(page.locator(".fs-status")).to_have_text("Stopped before anything ran.")
    expect(page.locator("#fs-run")).to_be_enabled()
    assert stage(page, "return stage.badge") == before
    expect(page.locator(".fs-badge").first).to_have_text("recorded run")
    busy.bring_to_front()
    busy.locator("#fs-stop").click(force=True)
    expect(busy.locator(".fs-badge").first).to_have_text(re.compile("stopped|finished"))


def test_a_run_asked_for_right_after_stop_is_not_stopped_with_it(page: Page) -> None:
    held: list[Route] = []
    set_fields(page, "Once upon a time", **LONG)
    page.route("**/queue/join*", lambda route: held.append(route))
    with page.expect_request("**/queue/join*"):
        run(page)
    page.locator("#fs-stop").click()
    expect(page.locator(".fs-status")).to_have_text("Stopped before anything ran.")
    set_fields(page, "Once upon a time", max_new_tokens="12", max_paths="4")
    run(page)
    page.unroute("**/queue/join*")  # what was held goes on
    expect(page.locator(".fs-badge").first).to_have_text("live run, finished")
    assert stage(page, "return stage.log.header.config.limits.max_new_tokens") == 12


def test_a_live_run_is_listened_to_until_it_ends_or_is_stopped(page: Page) -> None:
    with listening(page) as (asked, still):
        slowly(page)
        set_fields(page, "Once upon a time", **LONG)
        run(page)
        wait_for_steps(page, 5)
        come(page, asked)
        assert len(still) == 1
        page.locator("#fs-stop").click(force=True)
        expect(page.locator(".fs-badge").first).to_have_text("stopped")
        closed(page, still)
        set_fields(page, "Once upon a time", max_new_tokens="12", max_paths="4")
        run(page)
        expect(page.locator(".fs-badge").first).to_have_text("live run, finished")
        assert (
            len(asked) <= 2
        )  # one that is over as soon as the page hears of it is not listened to
        closed(page, still)


def come(page: Page, asked: Sequence[object]) -> None:
    """The page has asked to listen, once; the word of it may come after that of a step."""
    for _ in range(100):
        if asked:
            break
        page.wait_for_timeout(50)
    assert len(asked) == 1


def closed(page: Page, still: set[str]) -> None:
    """Nothing is listened to, nor soon will be."""
    for _ in range(100):
        if not still:
            break
        page.wait_for_timeout(50)
    page.wait_for_timeout(200)
    assert not still


def test_where_nobody_can_listen_the_run_comes_all_the_same(page: Page) -> None:
    asked = deafen(page)
    slowly(page)
    set_fields(page, "Once upon a time", **LONG)
    run(page)
    wait_for_steps(page, 40)
    come(page, asked)
    page.locator("#fs-stop").click(force=True)
    expect(page.locator(".fs-badge").first).to_have_text("stopped")
    set_fields(page, "Once upon a time", max_new_tokens="40", max_paths="8")
    run(page)
    expect(page.locator(".fs-badge").first).to_have_text("live run, finished")
    assert stage(page, "return stage.log.length") >= 40


def test_what_is_held_back_on_its_way_is_asked_for(page: Page) -> None:
    with mute(page):
        slowly(page)
        set_fields(page, "Once upon a time", **LONG)
        run(page)
        wait_for_steps(page, 40)
        page.locator("#fs-stop").click(force=True)
        expect(page.locator(".fs-badge").first).to_have_text("stopped")


def test_what_is_on_its_way_after_stop_is_not_taken(page: Page) -> None:
    after = page.evaluate(LATER, ["stop"])
    assert after["length"] == 3
    assert not after["isLive"]
    assert "stopped" in after["badge"]


def test_a_live_run_does_not_take_the_stage_back_from_what_was_opened_since(page: Page) -> None:
    after = page.evaluate(LATER, ["load"])
    assert after["run"] == "file:another"
    assert "recorded" in after["badge"]


def test_a_models_name_in_the_budget_stays_text(page: Page) -> None:
    name = "![x](https://forkscope.invalid/x.png)<img src=https://forkscope.invalid/y.png>"
    field = page.locator("#fs-model input")
    field.fill(name)
    field.press("Enter")
    expect(page.locator("#fs-estimate")).to_contain_text("unknown until ![x](https://")
    assert page.locator("#fs-estimate img").count() == 0
