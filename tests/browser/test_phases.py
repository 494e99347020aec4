"""Prefill and decode under the maps: Python's figures at every step, live, narrow, in the dark."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from explorer import metrics
from explorer.config import RunConfig
from explorer.generate import run
from explorer.models import load_model
from explorer.phases import phases
from explorer.trace import Trace
from tests.browser.conftest import App, Watch, open_page
from tests.browser.steps import pause, stage

pytestmark = pytest.mark.browser
STRIP = ".fs-card-phases"


@pytest.fixture(scope="module")
def trace() -> Trace:
    """A prompt in three chunks, then a tree."""
    config = RunConfig(prompt="Once upon a time, a little girl", prefill_chunk=4, seed=1)
    return run(load_model("tiny", "cpu"), config.replace(max_new_tokens=12, max_paths=6))


def load(page: Page, trace: Trace) -> Locator:
    text = b"".join(trace.lines()).decode()
    stage(page, "stage.load(arg, { title: 'phases', autoplay: false })", text)
    return page.locator(STRIP).first


def figure(strip: Locator, name: str) -> str:
    return strip.locator(f"[data-figure='{name}']").inner_text()


def number(words: str) -> float:
    """The first number of `words`."""
    return float(words.removeprefix("at best ").split()[0].replace(",", ""))


def seconds(words: str) -> float:
    return number(words) / (1000 if words.endswith(" ms") else 1)


def test_the_strip_says_what_python_says_at_every_step(page: Page, trace: Trace) -> None:
    strip = load(page, trace)
    for cursor in (len(trace) - 1, 0, 2, 5):  # back in time too
        pause(page, cursor)
        wanted = phases(trace.until(cursor))
        for name in ("prefill", "decode"):
            speed, part = figure(strip, f"{name}-speed"), wanted[name]
            best = strip.locator(f"[data-figure='{name}-best']")
            if not part["steps"]:
                assert speed == "–"
                expect(best).to_be_hidden()
                continue
            assert number(speed) == pytest.approx(part["tokens_per_second"], rel=0.01)
            predicted = part["predicted"]
            assert number(best.inner_text()) == pytest.approx(
                predicted["tokens_per_second"], rel=0.01
            )
            assert f"({predicted['bound']} bound)" in best.inner_text()
            assert (best.get_attribute("title") or "").startswith("Predicted, not measured")
        first = wanted["first_token_seconds"]
        assert (figure(strip, "first") == "–") == (first is None)
        waits = wanted["inter_token_seconds"]
        for name in ("p50", "p95"):
            if waits[name] is None:
                assert figure(strip, name) == "–"
            else:
                assert seconds(figure(strip, name)) == pytest.approx(waits[name], rel=0.06)


def test_bars_are_as_long_as_the_phases_are_fast(page: Page, trace: Trace) -> None:
    strip = load(page, trace)
    pause(page, len(trace) - 1)
    found = phases(trace)
    speeds = [found[name]["tokens_per_second"] for name in ("prefill", "decode")]
    widths = strip.locator(".fs-phase-bar").evaluate_all(
        "(bars) => bars.map((bar) => bar.offsetWidth / bar.parentElement.clientWidth)"
    )
    assert widths == pytest.approx([speed / max(speeds) for speed in speeds], abs=0.02)


def test_a_live_run_fills_the_strip(page: Page) -> None:
    strip = page.locator(STRIP).first
    page.get_by_role("button", name="Run", exact=True).first.click()
    expect(page.locator(".fs-badge").first).to_contain_text("live run, finished", timeout=60_000)
    stage(page, "stage.draw()")
    assert number(figure(strip, "decode-speed")) > 0
    assert "bound" in figure(strip, "decode-best")
    assert seconds(figure(strip, "first")) > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_the_strip_whole(
    app: App, browser: Browser, watch: Watch, trace: Trace, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = open_page(f"{app.url}?theme={scheme}", context, watch)
    strip = load(page, trace)
    pause(page, len(trace) - 1)
    cut = strip.evaluate(
        """(strip) => [...strip.querySelectorAll('*')].filter((part) => {
            const box = part.getBoundingClientRect();
            const isCut = part.children.length === 0 && part.scrollWidth > part.clientWidth + 1;
            return box.right > innerWidth || (isCut && getComputedStyle(part).display !== 'inline');
        }).map((part) => part.className)"""
    )
    assert cut == []
    ink = strip.locator(".fs-phase-speed").first.evaluate("(one) => getComputedStyle(one).color")
    assert (sum(int(part) for part in ink[4:-1].split(",")) > 384) == (scheme == "dark")
    context.close()


def test_a_run_says_which_kernels_ran_and_how_far_it_is_from_float32(page: Page) -> None:
    config = RunConfig(prompt="Once upon a time", seed=1, attention_kernel="math")
    model = load_model("tiny", "cpu", "bfloat16")
    found = run(model, config.replace(max_new_tokens=4, max_paths=4, against_float32=True))
    load(page, found)
    page.locator(".fs-run-details summary").first.click()
    expect(page.locator("[data-detail='attention']").first).to_have_text("math")
    apart = metrics.against_float32(found)
    assert apart is not None
    words = f"{apart['flips']} of {apart['decisions']} most probable tokens are others"
    expect(page.locator("[data-detail='against float32']").first).to_contain_text(words)
