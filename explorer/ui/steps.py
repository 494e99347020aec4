"""Steps of live runs on their way to the page, as server-sent events.

An output of an event goes through the state of every component that the event has to do with, in
the page: with a form of some sixty that costs more than to draw what came. So a page that shows a
run listens here; the event's own batches come once a second then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from anyio import sleep, to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from explorer.ui.runs import LiveRun, RunStore

PATH = "/forkscope/steps"
PATIENCE = 1.0  # seconds after which a page hears that nothing has come
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


def route(store: RunStore) -> Route:
    """`GET /forkscope/steps/RUN?seq=0&pace=80`: what comes from step `seq` on, no two batches
    within `pace` milliseconds. Not found where there is no such run."""

    async def steps(request: Request) -> Response:
        run = store.find(request.path_params["run"])
        if run is None:
            return Response(status_code=404)
        seq, pace = (_whole(request.query_params.get(name)) for name in ("seq", "pace"))
        return StreamingResponse(
            events(run, seq, pace / 1000), media_type="text/event-stream", headers=HEADERS
        )

    return Route(f"{PATH}/{{run}}", steps)


async def events(run: LiveRun, seq: int, pace: float) -> AsyncIterator[str]:
    """Batches of `run` from step `seq` on, no two within `pace` seconds, until it ends."""
    run.listeners += 1
    try:
        is_over = False
        while not is_over:
            batch, seq, is_over = await to_thread.run_sync(run.after, seq, PATIENCE)
            yield f"data: {batch}\n\n" if batch else ": nothing yet\n\n"
            if not is_over:
                await sleep(pace)
    finally:
        run.listeners -= 1


def _whole(given: str | None) -> int:
    return int(given) if given is not None and given.isdecimal() and len(given) < 10 else 0
