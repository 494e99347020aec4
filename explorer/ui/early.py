"""A script that runs before gradio's own, put into the page on its way to the browser."""

from __future__ import annotations

from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEAD = b"<head>"
SCRIPT = b"<script>" + (Path(__file__).parent / "early.js").read_bytes() + b"</script>"


class EarlyScript:
    """ASGI middleware: pages of `app` begin with `early.js`. `launch(head=)` comes after gradio."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun: Message | None = None  # of a page, held back until its length is known

        async def pass_on(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and _is_page(message):
                begun = message
                return
            if begun is not None:
                message["body"] = message.get("body", b"").replace(HEAD, HEAD + SCRIPT, 1)
                MutableHeaders(scope=begun)["content-length"] = str(len(message["body"]))
                await send(begun)
                begun = None
            await send(message)

        await self.app(scope, receive, pass_on)


def _is_page(start: Message) -> bool:
    """HTML of known length: it comes in one piece."""
    headers = MutableHeaders(scope=start)
    return headers.get("content-type", "").startswith("text/html") and "content-length" in headers
