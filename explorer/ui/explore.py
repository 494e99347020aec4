"""The Explore tab: one run, live or recorded, on the whole stage."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
from pydantic import TypeAdapter, ValidationError

from explorer import metrics
from explorer.cache.watched import WatchedCache
from explorer.config import InputError, RunConfig, explain
from explorer.events import Origin
from explorer.trace import Trace
from explorer.ui import estimate, stage
from explorer.ui.caches import LOCAL
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache, loading
from explorer.ui.runs import RunStore, guarded, token_of
from explorer.ui.shared import COMPUTING, QUIET, Shared, asking, stopping

NAME = "explore"
TAB = "Explore"
LOG = logging.getLogger("forkscope")
LONGEST = 200  # characters kept of the token that an origin names
_ORIGIN: TypeAdapter[Origin | None] = TypeAdapter(Origin | None)


def build(shared: Shared) -> None:
    """The stage, what Run and Stop do, and what the stage itself asks for."""
    host = stage.host(NAME, shared.store)

    def run(request: gr.Request, *values: Any) -> Iterator[str]:
        *form, token = values
        visitor = shared.caches.visitor(request)
        yield from stream(shared, lambda: (shared.config(form), None), token_of(token), visitor)

    def run_asked(event: gr.EventData, request: gr.Request) -> Iterator[str]:
        token = event._data.get("token") if isinstance(event._data, dict) else None
        read = lambda: asked(event._data, shared.limits)  # noqa: E731
        yield from stream(shared, read, token_of(token), shared.caches.visitor(request))

    def fill(event: gr.EventData) -> list[Any]:
        try:
            return shared.form.fill(asked(event._data, shared.limits)[0])
        except InputError:  # said by `run_asked`
            return [gr.skip() for _ in shared.form.components]

    shared.run.click(lambda: gr.Tabs(selected=TAB), None, shared.tabs, **QUIET)
    inputs = [*shared.form.components, gr.Textbox(visible=False)]
    shared.run.click(run, inputs, host, js=asking(NAME), **COMPUTING)
    host.select(run_asked, None, host, **COMPUTING)
    host.select(fill, None, shared.form.components, **QUIET)
    stopping(shared.stop)


def asked(data: Any, limits: Limits | None = None) -> tuple[RunConfig, Origin | None]:
    """The run that a stage asks for, and where it comes from: a forced token, a path to continue.

    `data` is `{config, changes, prefix_ids, origin}`: the settings of the run shown, as its header
    has them, flat names to change, what follows the prompt (none: what followed it there), an
    `Origin`. Raises InputError.
    """
    request = data if isinstance(data, dict) else {}
    settings, changes = request.get("config"), request.get("changes") or {}
    if not isinstance(settings, dict) or not isinstance(changes, dict):
        raise InputError("The page did not say which run to start; reload it and try again.")
    if request.get("prefix_ids") is not None:
        changes = changes | {"prefix_ids": request["prefix_ids"]}
    try:
        config = RunConfig(**settings).replace(**changes)
        origin = _ORIGIN.validate_python(request.get("origin"))
    except ValidationError as error:
        raise InputError(f"{explain(error)}.".replace("..", ".")) from error
    if limits is not None:
        limits.check(config)
    if origin is not None:
        origin = replace(origin, created=origin.created[:LONGEST], text=origin.text[:LONGEST])
    return config, origin


def stream(
    shared: Shared,
    read: Callable[[], tuple[RunConfig, Origin | None]],
    token: str | None = None,
    visitor: str = LOCAL,
) -> Iterator[str]:
    """Batches of the live run that `read` describes, each with the page's name for the request."""

    def batches() -> Iterator[str]:
        config, origin = read()
        prefix = shared.caches.of(visitor)
        yield from live(config, shared.models, shared.store, shared.limits, origin, token, prefix)

    return guarded(batches, "run", shared.store, token)


def live(
    config: RunConfig,
    models: ModelCache,
    store: RunStore,
    limits: Limits | None = None,
    origin: Origin | None = None,
    token: str | None = None,
    prefix: WatchedCache | None = None,
) -> Iterator[str]:
    """Load, run and finish one run, as batches; what people are told is in their `status`.

    What of its prompt is in `prefix` is not read again: a token forced, a path gone on with, the
    same prompt under other settings.

    Raises Left when the page that asked for it under `token` has left it.
    """
    model = yield from loading(models, store, config, token)
    from explorer import serving
    from explorer.generate import generate, num_open, prepare

    header = prepare(model, config, origin)
    run = store.open(header, stage.title_of(header), _note(config), token)
    trace = Trace(header)
    steps = generate(model, config, prefix)
    if prefix is not None:
        steps = serving.noted(prefix, model, header, steps, run.title, "explore")
    parts = store.wanted(stage.within(steps, limits), token)
    try:
        made = stage.recorded(parts, trace)
        sent = yield from stage.batches(run, made)
    finally:
        steps.close()  # type: ignore[attr-defined]  # a generator: this frees the pool
        LOG.info("a run ended after %d steps; caches open: %d", len(trace), num_open())
    run.finish(details(trace))
    yield run.batch(sent)


def details(trace: Trace) -> dict[str, Any]:
    """The run's figures as the page lists them."""
    counts, spent = metrics.counters(trace), metrics.seconds(trace)
    speed = metrics.tokens_per_second(trace)
    return {
        "steps": f"{counts['steps']:,}",
        "forks": f"{counts['forks']:,}",
        "pruned": f"{counts['pruned']:,}",
        "time": f"{spent['total']:.2f} s, first token after {spent['first_token']:.2f} s",
        "speed": f"{speed['generated']:,.0f} returned, {speed['computed']:,.0f} computed tokens/s",
        "tree digest": metrics.tree_digest(trace),
    }


def _note(config: RunConfig) -> str:
    branching, eviction = config.branching, config.eviction
    bounded = ""
    if eviction.policy is not None:
        budget = eviction.budget or ", ".join(map(str, eviction.layer_budgets))
        bounded = f"; {eviction.policy}, budget {budget}"
    return (
        f"{config.model} on {config.cache.backend}: forks at entropy "
        f"{branching.entropy_threshold:g}, {branching.branch_factor} children, "
        f"at most {estimate.plural(branching.max_paths, 'path')}{bounded}"
    )
