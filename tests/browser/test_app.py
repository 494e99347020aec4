"""The app's arguments: a trace to open, a port that is taken, a file that is no trace."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from explorer.trace import Trace
from tests.browser.conftest import ROOT, App, Watch, open_page

pytestmark = pytest.mark.browser


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "app.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_trace_named_on_the_command_line_opens(
    hand_trace: Trace, tmp_path: Path, context: BrowserContext
) -> None:
    hand_trace.save(tmp_path / "by hand.jsonl")
    app = App(tmp_path, str(tmp_path / "by hand.jsonl"))
    try:
        watch = Watch(app.url)
        page = open_page(app.url, context, watch)
        expect(page.locator(".fs-title").first).to_have_text("by hand.jsonl")
        page.wait_for_function("() => window.forkscope.stages.explore.player.cursor === 2")
        expect(page.locator(".fs-node:not(.fs-root)")).to_have_count(6)
        assert watch.complaints == []
    finally:
        app.stop()


def test_the_terminal_says_where_the_page_is_and_nothing_else(app: App) -> None:
    deadline = time.monotonic() + 10
    while "Ctrl+C" not in app.log() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert f"Forkscope is on {app.url} (Ctrl+C ends it)." in app.log().splitlines()
    assert "share" not in app.log()
    assert "public link" not in app.log()


def test_a_file_that_is_no_trace_is_refused_in_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("hello\n")
    ended = start(str(wrong))
    assert ended.returncode == 2
    assert ended.stderr.strip().splitlines()[-1].startswith(f"{wrong} is not a Forkscope trace")
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = start("--port", str(taken.getsockname()[1]))
    assert ended.returncode == 2
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr
