"""The page in its own process, and a Chromium to look at it: for measuring and for pictures."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZE = {"width": 1440, "height": 900}
PATIENCE = 60.0  # seconds until a page that has not come is given up
NO_BROWSER = "needs Chromium, and playwright from requirements-dev.txt"
# Drawn, and drawn again at a later step: what a newcomer sees move.
HAS_MOVED = """() => {
  const stage = window.forkscope?.stages.explore;
  return stage?.drawn > 1 && stage.player.cursor >= 1 && performance.now();
}"""


@contextmanager
def server(*command: str | Path) -> Iterator[tuple[float, str]]:
    """`app.py`, or another page, on a free port: seconds until it answers, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *(command or ("app.py",)), "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(url):
            if process.poll() is not None or time.perf_counter() - began > PATIENCE:
                raise RuntimeError(f"{' '.join(map(str, command)) or 'app.py'} did not start")
            time.sleep(0.02)
        yield time.perf_counter() - began, url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            return bool(answer.status == 200)
    except (URLError, ConnectionError):
        return False


def find_chromium() -> str | None:
    """A Chromium that Playwright can drive: named by CHROMIUM, or on the PATH; None without."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return None
    names = (os.environ.get("CHROMIUM", ""), *BROWSERS)
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of its own. Raises playwright's Error where it does not come up."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def heap_nbytes(snapshot: dict[str, Any]) -> tuple[int, int]:
    """Bytes of a V8 heap snapshot's objects, and of compiled code; without the browser's own."""
    meta, values = snapshot["snapshot"]["meta"], snapshot["nodes"]
    width, names = len(meta["node_fields"]), meta["node_types"][0]
    kinds = values[meta["node_fields"].index("type") :: width]
    sizes = values[meta["node_fields"].index("self_size") :: width]
    totals = dict.fromkeys(names, 0)
    for kind, size in zip(kinds, sizes, strict=True):
        totals[names[kind]] += size
    return sum(totals.values()) - totals["code"] - totals["native"], totals["code"]


def words(error: Exception) -> str:
    """Why the browser measured nothing, in a line."""
    return f"the browser said: {str(error).splitlines()[0]}"
