"""The app in a process of its own, and Chromium with an eye on errors and foreign requests."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error,
    Page,
    Request,
    ViewportSize,
    expect,
    sync_playwright,
)

from explorer.browser import FLAGS
from tests.browser.find_chromium import find

ROOT = Path(__file__).parents[2]
VIEWPORT: ViewportSize = {"width": 1400, "height": 900}
PATIENCE = 30_000  # milliseconds
AFRESH = (Path(__file__).parent / "afresh.js").read_text()
MOVING = "() => window.forkscope?.stages.explore?.player.cursor >= 0"
expect.set_options(timeout=20_000)  # a page on a machine that others use too


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class App:
    """`python app.py` on a free port, its log in a file."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._log = folder / f"app-{self.port}.log"
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "app.py", *arguments, "--port", str(self.port)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=os.environ | {"FORKSCOPE_LOG": "info", "PYTHONUNBUFFERED": "1"},
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urlopen(self.url, timeout=10):
                    return
            except (URLError, OSError):
                time.sleep(0.1)
        raise AssertionError(f"the app did not start:\n{self.log()}")

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def ended_runs(self) -> list[tuple[int, int]]:
        """For every live run that has ended: its steps, and the caches open right after it."""
        found = re.findall(r"a run ended after (\d+) steps; caches open: (\d+)", self.log())
        return [(int(steps), int(caches)) for steps, caches in found]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    app = App(tmp_path_factory.mktemp("app"))
    yield app
    app.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Watch:
    """What a page did that it must not do."""

    own: str
    complaints: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        Ears(self).follow(page)

    def hear(self, kind: str, text: str) -> None:
        if kind == "error":
            self.complaints.append(f"console: {text}")

    def see(self, url: str) -> None:
        if not url.startswith((self.own, "data:", "blob:")):
            self.complaints.append(f"foreign request: {url}")


class Ears:
    """Tells what a page does to the watch of the test that has the page now."""

    def __init__(self, watch: Watch | None = None) -> None:
        self.watch = watch
        self.unanswered: set[Request] = set()  # what the page has asked the server's queue

    def follow(self, page: Page) -> None:
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self._hear("error", str(error)))
        page.on("request", self._see)
        page.on("requestfinished", lambda request: self.unanswered.discard(request))
        page.on("requestfailed", lambda request: self.unanswered.discard(request))

    def _see(self, request: Request) -> None:
        if "/queue/" in request.url:
            self.unanswered.add(request)
        if self.watch:
            self.watch.see(request.url)

    def _hear(self, kind: str, text: str) -> None:
        if self.watch:
            self.watch.hear(kind, text)


@pytest.fixture
def watch(app: App) -> Iterator[Watch]:
    """Fails the test after it if any page it followed complained."""
    watch = Watch(app.url)
    yield watch
    assert watch.complaints == []


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that has never been here."""
    context = browser.new_context(viewport=VIEWPORT)
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


class SharedPage:
    """One page for test after test, each of which finds it as if it had just been loaded.

    After a test it is brought back, and held against what it was: `afresh.js`. Where anything
    differs, and after a test that failed, the page is closed; the next test gets a new one.
    """

    def __init__(self, url: str, context: BrowserContext) -> None:
        self.url = url
        self.context = context
        self.page: Page | None = None
        self.ears = Ears()
        self.differences: list[str] = []  # why the last page was closed

    def lend(self, watch: Watch) -> Page:
        """The page with the recorded run at its first step or later, playing."""
        self.ears.watch = watch
        if self.page is None:
            self.page = self.context.new_page()
            self.ears.follow(self.page)
            self.page.goto(self.url)
            self.page.wait_for_function(MOVING)
            self._afresh("load")
        self._afresh("play")
        self.page.wait_for_function(MOVING)
        return self.page

    def take_back(self, failed: bool) -> None:
        """Bring the page back; errors on the way are still the test's own."""
        assert self.page is not None
        try:
            self.differences = ["the test failed"] if failed else self._brought_back()
        except Error as error:  # closed by the test, or on its way to another address
            self.differences = [str(error)]
        if self.differences:
            print("the page is not what it was:", *self.differences, sep="\n  ")
            self.close()

    def _brought_back(self) -> list[str]:
        assert self.page is not None
        self.page.unroute_all(behavior="ignoreErrors")
        self.page.mouse.move(0, 0)
        if self.page.viewport_size != VIEWPORT:
            self.page.set_viewport_size(VIEWPORT)
        for _ in range(100):  # a late answer would fill the next test's form
            if not self.ears.unanswered:
                return self._afresh("reset")
            self.page.wait_for_timeout(50)
        return ["a question to the server without an answer"]

    def _afresh(self, when: str) -> list[str]:
        assert self.page is not None
        found: list[str] = self.page.evaluate(AFRESH, when)
        return found

    def close(self) -> None:
        """Leave nothing of the page, nor of what it stored."""
        page, self.page = self.page, None
        self.ears.unanswered.clear()
        if page is not None and not page.is_closed():
            page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
            self.ears.watch = None  # gradio has words of its own about a stream that is cut
            page.close()


@pytest.fixture(scope="session")
def shared_page(app: App, browser: Browser) -> Iterator[SharedPage]:
    context = browser.new_context(viewport=VIEWPORT)
    context.set_default_timeout(PATIENCE)
    yield SharedPage(app.url, context)
    context.close()


@pytest.fixture
def page(shared_page: SharedPage, watch: Watch, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The app's page with its recorded run at the first step or later, playing."""
    failures = request.session.testsfailed
    yield shared_page.lend(watch)
    shared_page.take_back(failed=request.session.testsfailed > failures)


@pytest.fixture
def fresh_page(app: App, context: BrowserContext, watch: Watch) -> Page:
    """The same for a first visit: a page that was loaded for this test, in a browser of its own."""
    return open_page(app.url, context, watch)


def open_page(url: str, context: BrowserContext, watch: Watch) -> Page:
    page = context.new_page()
    watch.follow(page)
    page.goto(url)
    page.wait_for_function(MOVING)
    return page
