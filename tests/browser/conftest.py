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
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from explorer.browser import FLAGS
from tests.browser.find_chromium import find

ROOT = Path(__file__).parents[2]
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
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self._hear("error", str(error)))
        page.on("request", lambda request: self._see(request.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error":
            self.complaints.append(f"console: {text}")

    def _see(self, url: str) -> None:
        if not url.startswith((self.own, "data:", "blob:")):
            self.complaints.append(f"foreign request: {url}")


@pytest.fixture
def watch(app: App) -> Iterator[Watch]:
    """Fails the test after it if any page it followed complained."""
    watch = Watch(app.url)
    yield watch
    assert watch.complaints == []


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def page(app: App, context: BrowserContext, watch: Watch) -> Page:
    """The app's page with its recorded run at the first step or later, playing."""
    return open_page(app.url, context, watch)


MOVING = "() => window.forkscope?.stages.explore?.player.cursor >= 0"


def open_page(url: str, context: BrowserContext, watch: Watch) -> Page:
    page = context.new_page()
    watch.follow(page)
    page.goto(url)
    page.wait_for_function(MOVING)
    return page
