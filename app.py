"""The page: `python app.py [TRACE]`. Also the entry point of a Hugging Face Space."""

from __future__ import annotations

import argparse
import sys

from explorer.config import InputError


def main() -> int:
    """Serve the page; the exit status: 2 where something given cannot be used."""
    parser = argparse.ArgumentParser(description="Forkscope in the browser")
    parser.add_argument("trace", nargs="?", metavar="TRACE", help="a recorded run to open")
    parser.add_argument("--host", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, help="default: GRADIO_SERVER_PORT or 7860")
    parser.add_argument("--public", action="store_true", help="limits for many visitors")
    parser.add_argument("--share", action="store_true", help="a temporary public link")
    parser.add_argument("--root-path", help="path prefix behind a proxy")
    given = parser.parse_args()
    from explorer import ui

    try:
        ui.launch(given.trace, given.host, given.port, given.public, given.share, given.root_path)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
