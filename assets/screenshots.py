"""Take pictures of every state and view of the page: `python -m assets.screenshots`.

Starts the app and drives Chromium (CHROMIUM, or one on the PATH). All states, light and dark and
in three widths, go to build/screenshots; those that README.md shows to assets/screenshots too.
Runs are recorded or small ones of the bundled model, and nothing moves: only times differ.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from itertools import product
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.sync_api import Page, Request, ViewportSize

from explorer.browser import chromium, server
from explorer.config import RunConfig
from explorer.generate import run
from explorer.models import load_model
from explorer.trace import Trace

HERE = Path(__file__).parent / "screenshots"
OUT = Path(__file__).parents[1] / "build" / "screenshots"  # kept out of the repository
SIZES: dict[int, int] = {1440: 900, 1280: 800, 390: 844}  # pixels: width, height
THEMES = ("light", "dark")
CURSOR = 26  # the step of the story that is shown
QUIET = 300  # milliseconds in which a page would ask for what it still needs
README = Path(__file__).parents[1] / "README.md"
STILL = """() => document.fonts.status === 'loaded'
  && Object.values(window.forkscope.stages).every(({ frame, player }) => !frame && !player.playing)
  && document.getAnimations().every((one) => one.playState !== 'running'
    || one.effect.getComputedTiming().iterations === Infinity)"""
FRAMES = "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
READY = "() => window.forkscope?.stages.explore?.log?.length > 0"


class Stand:
    """A page in one theme and width, brought into one state after another."""

    def __init__(self, page: Page, url: str, theme: str, files: list[Path]) -> None:
        self.page, self.files = page, files
        self.unanswered: set[Request] = set()  # all but gradio's heartbeat, which never ends
        page.on("request", self._asked)
        page.on("requestfinished", lambda request: self.unanswered.discard(request))
        page.on("requestfailed", lambda request: self.unanswered.discard(request))
        self.address = f"{url}?theme={theme}"
        self.open("localStorage.setItem('forkscope-welcome', 'seen')")

    def _asked(self, request: Request) -> None:
        if "/heartbeat/" not in request.url:
            self.unanswered.add(request)

    def open(self, before: str) -> None:
        """The page as it opens, after `before` has run in it."""
        self.page.goto(self.address)
        self.page.evaluate(before)
        self.page.goto(self.address)
        self.page.wait_for_function(READY)
        self.explore(
            "window.story = { log: stage.log, title: stage.title, note: stage.note,"
            " details: stage.details };"
        )

    def explore(self, body: str, argument: Any = None) -> Any:
        """Run `body` with `stage`, `story` and `arg` in the page."""
        return self.page.evaluate(
            "async (arg) => { const stage = window.forkscope.stages.explore;"
            f" const {{ story }} = window; {body} }}",
            argument,
        )

    def show(self, cursor: int = CURSOR, view: str = "tree") -> None:
        """The recorded story at `cursor`, with nothing pinned and nothing tried."""
        self.tab("Explore")
        self.explore(
            "stage.load(story.log, { ...story, cursor: arg[0] }); stage.tryTau(null);"
            " stage.select(null); stage.show(arg[1]);",
            [cursor, view],
        )

    def live(self, cursor: int = CURSOR, **more: Any) -> None:
        """The story's first steps as they come from a server."""
        self.tab("Explore")
        self.explore(
            "const { header, steps } = story.log; stage.clear(); stage.show('tree'); stage.apply({"
            " run: `live-${Math.random()}`, seq: 0, header, steps: steps.slice(0, arg.cursor + 1),"
            " title: story.title, note: story.note, ...arg.more });",
            {"cursor": cursor, "more": more},
        )

    def tab(self, name: str) -> None:
        tab = self.page.get_by_role("tab", name=name, exact=True)
        if tab.get_attribute("aria-selected") != "true":
            tab.click()
        self.page.wait_for_function(
            "(name) => window.forkscope.stages[name]?.isVisible()", arg=name.lower()
        )

    def settle(self) -> None:
        """Wait until all is drawn and nothing moves."""
        self.page.mouse.move(1, 1)
        self.page.wait_for_timeout(QUIET)
        while self.unanswered:
            self.page.wait_for_timeout(QUIET)
        self.page.wait_for_function(STILL)
        self.page.evaluate(FRAMES)
        self.page.wait_for_function(STILL)

    def picture(self, width: int) -> bytes:
        """What is in sight; on a phone the whole page, as in a window of its height."""
        if width > 600:
            return self.page.screenshot()
        height = self.page.evaluate("document.scrollingElement.scrollHeight")
        self.page.set_viewport_size(ViewportSize(width=width, height=height))
        self.settle()
        png = self.page.screenshot()
        self.page.set_viewport_size(ViewportSize(width=width, height=SIZES[width]))
        return png


def first_visit(stand: Stand) -> None:
    stand.open("localStorage.clear()")
    stand.page.wait_for_selector(".fs-welcome:not([hidden])")
    stand.show()
    stand.page.evaluate("localStorage.setItem('forkscope-welcome', 'seen')")


def pinned(stand: Stand) -> None:
    stand.show()
    stand.explore(
        "const { decisions } = stage.log.steps[arg];"
        " const fork = decisions.find((decision) => decision.factor > 1) ?? decisions[0];"
        " stage.select({ kind: 'node', id: fork.node });",
        CURSOR,
    )


def tree(stand: Stand) -> None:
    if stand.page.locator(".fs-welcome:visible").count():
        stand.page.locator(".fs-welcome-close").click()
    stand.show()


def whole_tree(stand: Stand) -> None:
    stand.show(10_000)
    stand.explore("stage.fit();")


def view(name: str) -> Callable[[Stand], None]:
    return lambda stand: stand.show(view=name)


def threshold(stand: Stand) -> None:
    stand.show()
    stand.explore("stage.tryTau(0.1);")


def pool_by_path(stand: Stand) -> None:
    pinned(stand)
    stand.page.locator(".fs-pool-tools [data-order=path]").first.click()
    stand.page.locator(".fs-card-pool").first.scroll_into_view_if_needed()


def empty(stand: Stand) -> None:
    stand.page.locator(".fs-pool-tools [data-order=slot]").first.click()
    stand.explore("stage.show('tree'); stage.clear();")


def loading(stand: Stand) -> None:
    stand.explore("stage.clear(); stage.wait(arg);", "Loading tiny …")


def running(stand: Stand) -> None:
    stand.live()


def stopped(stand: Stand) -> None:
    stand.live()
    stand.explore("stage.stop();")


def failed(stand: Stand) -> None:
    stand.live()
    stand.explore("stage.fail(arg);", "The run failed (RuntimeError: out of memory).")


def finished(stand: Stand) -> None:
    details = {"steps": "49", "forks": "101", "tree digest": "as recorded"}
    stand.live(10_000, done=True, details=details)


def keys(stand: Stand) -> None:
    stand.show()
    stand.page.locator(".fs-help").click()


def compare_empty(stand: Stand) -> None:
    stand.page.keyboard.press("Escape")
    stand.tab("Compare")


def compare_finished(stand: Stand) -> None:
    stand.tab("Compare")
    stand.page.locator("#fs-compare-run").click()
    done = "() => window.forkscope.stages.compare.parts.badge.textContent === 'finished'"
    stand.page.wait_for_function(done, timeout=180_000)


def compare_runs(stand: Stand) -> None:
    stand.tab("Compare")
    stand.page.set_input_files(".fs-pick-file", stand.files)
    told = "() => window.forkscope.stages.compare.panels.length === 2"
    stand.page.wait_for_function(told)


def evict(name: str, step: int, *deeds: str) -> Callable[[Stand], None]:
    """A recorded board at a step, after clicks on what `deeds` select."""

    def show(stand: Stand) -> None:
        stand.tab("Evict")
        stand.page.locator(f'[data-board="{name}"] .fs-shelf-open').click()
        shown = "(name) => window.forkscope.stages.evict.shelf.shown === name"
        stand.page.wait_for_function(shown, arg=name)
        for deed in deeds:
            stand.page.locator(deed).click()
        stand.page.evaluate("(step) => window.forkscope.stages.evict.player.seek(step)", step)

    return show


def evict_detail(stand: Stand) -> None:
    """What one run shows at the cursor: below its cards."""
    evict("narrow", 30, '[data-panel="b"] .fs-evict-name')(stand)
    card = stand.page.get_by_text("Layers against budget", exact=True).first
    card.evaluate("(title) => title.scrollIntoView({ block: 'start' })")


def evict_finished(stand: Stand) -> None:
    stand.tab("Evict")
    stand.page.locator('[data-board="needle"] .fs-shelf-live').click()
    done = "() => window.forkscope.stages.evict.parts.badge.textContent === 'finished'"
    stand.page.wait_for_function(done, timeout=180_000)


def evict_failed(stand: Stand) -> None:
    stand.tab("Evict")
    stand.page.evaluate(
        "(alert) => window.forkscope.stages.evict.take({ alert, failed: true })",
        "The board failed (RuntimeError: out of memory).",
    )


def experiments(stand: Stand) -> None:
    stand.tab("Experiments")


def sweep_finished(stand: Stand) -> None:
    """A small sweep of two axes, as it stands when it is over."""
    stand.tab("Experiments")
    axes = "temperature = 0.5, 1, 1.5\nselect = sample, arithmetic\nmax_new_tokens = 12"
    stand.page.locator("#fs-sweep-axes textarea").fill(axes)
    stand.page.locator("#fs-sweep-options :is(input, textarea)").fill("repeats=2")
    stand.page.locator("#fs-sweep-options :is(input, textarea)").blur()
    stand.page.wait_for_timeout(500)
    stand.page.locator("#fs-experiments-run").click()
    done = "() => window.forkscope.stages.experiments.parts.badge.textContent === 'finished'"
    stand.page.wait_for_function(done, timeout=180_000)


def reuse(view: str, name: str, example: str, at: int) -> Callable[[Stand], None]:
    """A view of the Reuse tab, by its title and its stage, with a recorded example at a place."""

    def show(stand: Stand) -> None:
        stand.page.get_by_role("tab", name="Reuse", exact=True).click()
        stand.page.get_by_label(view, exact=True).check()
        stand.page.wait_for_function(
            "(name) => window.forkscope.stages[name].isVisible()", arg=name
        )
        stand.page.locator(f'#fs-stage-{name} [data-board="{example}"] .fs-shelf-open').click()
        stand.page.wait_for_function(
            "([name, example]) => window.forkscope.stages[name].shelf.shown === example",
            arg=[name, example],
        )
        stand.page.evaluate(
            "([name, at]) => window.forkscope.stages[name].player.seek(at)", [name, at]
        )

    return show


SHOTS: dict[str, Callable[[Stand], None]] = {
    "first-visit": first_visit,
    "tree": tree,
    "tree-whole": whole_tree,
    "token-pinned": pinned,
    "text": view("text"),
    "multiverse": view("multiverse"),
    "table": view("table"),
    "threshold": threshold,
    "pool-by-path": pool_by_path,
    "empty": empty,
    "loading": loading,
    "running": running,
    "stopped": stopped,
    "failed": failed,
    "finished": finished,
    "keys": keys,
    "compare-empty": compare_empty,
    "compare-finished": compare_finished,
    "compare-runs": compare_runs,
    "evict-windows": evict("windows", 60),
    "evict-needle": evict("needle", 8, '[data-panel="c"] .fs-evict-name'),
    "evict-sketch": evict("narrow", 30, '[data-panel="b"] .fs-evict-name'),
    "evict-detail": evict_detail,
    "evict-beside": evict("eight", 24, '[data-panel="e"] .fs-beside'),
    "evict-finished": evict_finished,
    "evict-failed": evict_failed,
    "reuse-prefix": reuse("Prefix cache", "reuse", "rag", 19),
    "reuse-cached": reuse("Cached against uncached", "cached", "long", 30),
    "reuse-cross": reuse("Self and cross", "cross", "rephrase", 6),
    "experiments": experiments,
    "experiments-finished": sweep_finished,
}


def files(folder: Path) -> list[Path]:
    """Two runs of one prompt as trace files: the recorded story, and with a higher threshold."""
    story = Trace.load(Path(__file__).parent / "traces" / "story.jsonl")
    config = RunConfig(**story.header.config)
    model = load_model(config.model, config.device, config.dtype)
    paths = []
    for threshold in (config.branching.entropy_threshold, 0.35):
        paths.append(folder / f"threshold {threshold}.jsonl")
        run(model, config.replace(entropy_threshold=threshold)).save(paths[-1])
    return paths


def pictures(out: Path, wanted: Iterable[tuple[int, str, str]]) -> Iterator[Path]:
    """Take `wanted`: (width, theme, name). Each width and theme is a page of its own."""
    stands: dict[tuple[int, str], list[str]] = {}
    for width, theme, name in wanted:
        stands.setdefault((width, theme), []).append(name)
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder, server() as (_, url), chromium() as browser:
        traces = files(Path(folder))
        for (width, theme), names in stands.items():
            size = ViewportSize(width=width, height=SIZES[width])
            with browser.new_context(viewport=size, reduced_motion="reduce") as context:
                stand = Stand(context.new_page(), url, theme, traces)
                for name in names:
                    SHOTS[name](stand)
                    stand.settle()
                    path = out / f"{name}-{width}{'' if theme == 'light' else '-dark'}.png"
                    save(stand.picture(width), path)
                    yield path


def save(png: bytes, path: Path) -> None:
    """Write it as small as it goes without another colour: scales are read off these pictures."""
    Image.open(BytesIO(png)).convert("RGB").save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="another folder for all of them")
    parser.add_argument("--only", nargs="+", choices=SHOTS, metavar="NAME", help=", ".join(SHOTS))
    parser.add_argument("--width", nargs="+", type=int, choices=SIZES, help="in pixels")
    parser.add_argument("--theme", nargs="+", choices=THEMES)
    given = parser.parse_args()
    names = [name for name in SHOTS if name in (given.only or SHOTS)]
    wanted = product(given.width or SIZES, given.theme or THEMES, names)
    shown = README.read_text(encoding="utf-8")
    HERE.mkdir(exist_ok=True)
    for path in pictures(given.out, wanted):
        print(path)
        if f"assets/screenshots/{path.name}" in shown:
            copyfile(path, HERE / path.name)


if __name__ == "__main__":
    main()
