"""Print the path of a Chromium to test with: installed, Playwright's own, or one installed now.

The path goes to stdout, everything else to stderr; without any Chromium one line and status 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def named() -> str | None:
    """The one that CHROMIUM names."""
    return shutil.which(os.environ.get("CHROMIUM", ""))


def installed() -> str | None:
    """The first on the PATH."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def playwrights() -> str | None:
    """Playwright's own, where `playwright install` has put it."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        return shutil.which(playwright.chromium.executable_path)


def by_playwright() -> str | None:
    """Have Playwright download its Chromium."""
    return (
        playwrights() if _run(sys.executable, "-m", "playwright", "install", "chromium") else None
    )


def by_apt() -> str | None:
    """Have apt-get install it: Debian and Ubuntu, as root or with a sudo that does not ask."""
    if shutil.which("apt-get") is None:
        return None
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    _run(*sudo, "apt-get", "update", "-qq")
    return installed() if _run(*sudo, "apt-get", "install", "-y", "-qq", "chromium") else None


def _run(*command: str) -> bool:
    print("+", *command, file=sys.stderr)
    try:
        return subprocess.run(command, stdout=sys.stderr, timeout=300).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


PRESENT: tuple[Callable[[], str | None], ...] = (named, installed, playwrights)
INSTALLING: tuple[Callable[[], str | None], ...] = (by_playwright, by_apt)


def find(ways: tuple[Callable[[], str | None], ...] = PRESENT) -> str | None:
    """The first Chromium that one of `ways` knows."""
    return next((path for way in ways if (path := way())), None)


if __name__ == "__main__":
    path = find(PRESENT + INSTALLING)
    if path is None:
        sys.exit("No Chromium: install one and name it, as in CHROMIUM=/usr/bin/chromium make test")
    print(path)
