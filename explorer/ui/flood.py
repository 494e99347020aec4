"""A page that does nothing but stream: `python -m explorer.ui.flood TRACE --port PORT`.

The benchmark of the page fills in a plan and presses Go: the trace then runs into a stage as a live
run does, its first steps in one batch, the others one by one at the plan's rate.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from explorer.events import Step
from explorer.trace import Trace
from explorer.ui import check_port, head, stage
from explorer.ui import steps as live_steps
from explorer.ui.early import EarlyScript
from explorer.ui.runs import RunStore
from explorer.ui.theme import make_theme

NAME = "flood"
GAP = 0.05  # seconds between two runs, beside a step's: the page has seen the end of the first
PACE = 0  # milliseconds between two batches
DETAILS = {"tree digest": "not taken"}  # what a finished run says of itself


@dataclass(frozen=True)
class Plan:
    """How much comes at once, and how fast the rest of it."""

    nodes: int = 600  # in the first batch, at least
    rate: float = 10.0  # steps a second from then on
    updates: int = 100  # of a run: its first batch, and then a step each
    runs: int = 1  # one after another, GAP apart


def flood(trace: Trace, store: RunStore, plan: Plan) -> Iterator[str]:
    """Batches of `trace`, `plan.runs` times over, each step due at its own moment."""
    began = time.monotonic()
    first = steps_until(trace, plan.nodes)
    last = min(first + plan.updates - 1, len(trace))
    for number in range(plan.runs):
        run = store.open(trace.header, f"Run {number + 1} of {plan.runs}")
        start = began + number * plan.updates / plan.rate
        time.sleep(max(0.0, start - time.monotonic()))
        steps = timed(trace.steps[first:last], start, 1 / plan.rate)
        sent = yield from stage.batches(run, steps, trace.steps[:first])
        run.finish(DETAILS)
        yield run.batch(sent)
        began += GAP


def timed(steps: Sequence[Step], start: float, interval: float) -> Iterator[Step]:
    """The first of `steps` one `interval` after `start` (seconds, monotonic), and so on."""
    for number, step in enumerate(steps, 1):
        time.sleep(max(0.0, start + number * interval - time.monotonic()))
        yield step


def steps_until(trace: Trace, nodes: int) -> int:
    """How many steps it takes until the tree has `nodes` nodes."""
    made = accumulate(len(step.nodes) for step in trace)
    return next((at + 1 for at, so_far in enumerate(made) if so_far >= nodes), len(trace))


def build(trace: Trace, store: RunStore) -> gr.Blocks:
    """A stage, the plan as JSON, and Go."""
    gr.set_static_paths([stage.ASSETS / "stage"])

    def go(text: str) -> Iterator[str]:
        yield from flood(trace, store, Plan(**json.loads(text)))

    with gr.Blocks(title="Forkscope, flooded", fill_width=True, analytics_enabled=False) as page:
        plan = gr.Textbox(json.dumps(asdict(Plan())), label="Plan", elem_id="fs-flood-plan")
        start = gr.Button("Go", elem_id="fs-flood-go")
        host = stage.host(NAME, store, {"pace": PACE})
        start.click(go, plan, host, show_progress="hidden", api_visibility="private")
    page.queue()
    return page


def main() -> None:
    """Serve the page on this machine until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trace", type=Path, metavar="TRACE")
    parser.add_argument("--port", type=int, default=7861)
    given = parser.parse_args()
    check_port("127.0.0.1", given.port)
    store = RunStore()
    build(Trace.load(given.trace), store).launch(
        server_name="127.0.0.1",
        server_port=given.port,
        run_history=False,
        ssr_mode=False,
        theme=make_theme(),
        head=head(),
        app_kwargs={"middleware": [Middleware(EarlyScript)], "routes": [live_steps.route(store)]},
        footer_links=[],
    )


if __name__ == "__main__":
    main()
