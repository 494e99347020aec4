"""The page: a bar, a sidebar, and one tab a module."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from urllib.parse import quote

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio reads it when it is imported

import gradio as gr
from starlette.middleware import Middleware

from explorer.config import InputError
from explorer.ui import compare, evict, experiments, explore, reuse, sidebar, steps
from explorer.ui.early import EarlyScript
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache
from explorer.ui.runs import RunStore
from explorer.ui.shared import Shared
from explorer.ui.stage import ASSETS, script
from explorer.ui.theme import make_theme

TABS: dict[str, Callable[[Shared], None]] = {
    "Explore": explore.build,
    "Compare": compare.build,
    "Evict": evict.build,
    "Reuse": reuse.build,
    "Experiments": experiments.build,
}
BAR = (ASSETS / "stage" / "bar.html").read_text()


def build(
    trace: str | None = None, limits: Limits | None = None, store: RunStore | None = None
) -> gr.Blocks:
    """The whole page; `trace` is a recorded run to open first, `store` holds its live runs. Raises
    InputError if it is none."""
    entries = sidebar.recorded_runs(trace)
    with gr.Blocks(title="Forkscope", fill_width=True, analytics_enabled=False) as page:
        bar = script("page.attachBar({element});")
        gr.HTML(html_template=BAR, js_on_load=bar, apply_default_css=False, elem_id="fs-title-bar")
        with gr.Row(elem_id="fs-page"):
            with gr.Column(elem_id="fs-sidebar", scale=0, min_width=290):
                shared = sidebar.build(ModelCache(), store or RunStore(), entries, limits)
            with gr.Column(elem_id="fs-content", scale=1, min_width=320):
                with gr.Tabs(elem_id="fs-tabs") as shared.tabs:
                    for name, build_tab in TABS.items():
                        with gr.Tab(name, id=name):
                            build_tab(shared)
        sidebar.start(page, shared, entries)
        page.unload(leaving(shared))
    page.queue(max_size=16)
    return page


def leaving(shared: Shared) -> Callable[[gr.Request], None]:
    """What is done when a visitor closes the page."""

    def leave(request: gr.Request) -> None:
        shared.caches.leave(shared.caches.visitor(request))

    return leave


def launch(
    trace: str | None = None,
    host: str | None = None,
    port: int | None = None,
    public: bool = False,
    share: bool = False,
    root_path: str | None = None,
) -> None:
    """Serve the page until interrupted. Raises InputError for a taken port or a wrong trace.

    Only this machine can reach it unless `host` names another address or it runs as a Hugging
    Face Space; `public` (and a Space, and `share`) bounds what a visitor may ask for.
    """
    host = host or default_host()
    port = port or default_port()
    check_port(host, port)
    logging.basicConfig(level=os.environ.get("FORKSCOPE_LOG", "WARNING").upper())
    store = RunStore()
    page = build(trace, Limits() if public or share or is_space() else None, store)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=share,
        root_path=root_path,
        run_history=False,
        ssr_mode=False,
        theme=make_theme(),
        head=head(),
        app_kwargs={"middleware": [Middleware(EarlyScript)], "routes": [steps.route(store)]},
        footer_links=[],
        quiet=True,
        prevent_thread_lock=True,
    )
    print(f"Forkscope is on {address} (Ctrl+C ends it).", flush=True)
    page.block_thread()


def default_port() -> int:
    """7860, or what GRADIO_SERVER_PORT says. Raises InputError where that is no port."""
    given = os.environ.get("GRADIO_SERVER_PORT", "7860")
    if not given.isdecimal() or not 0 < int(given) < 65536:
        raise InputError(f"GRADIO_SERVER_PORT is {given!r}; give a port from 1 to 65535.")
    return int(given)


def is_space() -> bool:
    """Whether this is a Hugging Face Space."""
    return "SPACE_ID" in os.environ


def default_host() -> str:
    """This machine only; every address in a Space, where a proxy stands in front."""
    return "0.0.0.0" if is_space() else "127.0.0.1"


def head() -> str:
    """Style sheets and modules, asked for at once and relative to the page's own address."""
    stage = ASSETS / "stage"
    modules = "".join(
        f'<link rel="modulepreload" href="gradio_api/file={quote(str(module))}">'
        for module in sorted(stage.glob("*.js"))
    )
    colors_first = sorted(stage.glob("*.css"), key=lambda sheet: (sheet.name != "stage.css", sheet))
    sheets = "".join(
        f'<link rel="stylesheet" href="gradio_api/file={quote(str(sheet))}">'
        for sheet in colors_first
    )
    return sheets + modules


def check_port(host: str, port: int) -> None:
    """Raises InputError where `port` cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(
                f"Cannot listen on {host}:{port} ({reason.lower()}); choose another with --port."
            ) from error
