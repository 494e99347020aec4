"""The Explore tab: one run, live or recorded, on the whole stage."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import gradio as gr

from explorer import metrics
from explorer.config import InputError, RunConfig
from explorer.trace import Trace
from explorer.ui import stage
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache
from explorer.ui.runs import RunStore, encode
from explorer.ui.shared import DEVICE, Shared

NAME = "explore"
TAB = "Explore"
LOG = logging.getLogger("forkscope")


def build(shared: Shared) -> None:
    """The stage, and what Run and Stop do."""
    host = stage.host(NAME, shared.store)

    def run(*values: Any) -> Iterator[str]:
        yield from stream(shared, values)

    quiet: dict[str, Any] = dict(queue=False, show_progress="hidden", api_visibility="private")
    shared.run.click(lambda: gr.Tabs(selected=TAB), None, shared.tabs, **quiet)
    shared.run.click(None, js="() => window.forkscope.queued()", queue=False)
    event = shared.run.click(
        run,
        shared.form.components,
        host,
        show_progress="hidden",
        concurrency_id=DEVICE,
        concurrency_limit=1,
        trigger_mode="once",
        api_visibility="private",
    )
    shared.stop.click(
        None, None, None, cancels=[event], js="() => window.forkscope.stop()", queue=False
    )


def stream(shared: Shared, values: tuple[Any, ...]) -> Iterator[str]:
    """Batches of a live run. Whatever ends it, its keys and values are freed."""
    try:
        config = shared.config(values)
        yield from live(config, shared.models, shared.store, shared.limits)
    except InputError as error:
        yield encode({"alert": str(error)})
    except Exception as error:
        yield encode({"alert": f"The run failed ({type(error).__name__}: {error})."})
        raise


def live(
    config: RunConfig, models: ModelCache, store: RunStore, limits: Limits | None = None
) -> Iterator[str]:
    """Load, run and finish one run, as batches; what people are told is in their `status`."""
    if models.peek(config.model, config.device, config.dtype) is None:
        yield encode({"status": f"Loading {config.model} …"})
    model = models.get(config.model, config.device, config.dtype)
    from explorer.generate import generate, num_open, prepare

    header = prepare(model, config)
    run = store.open(header, stage.title_of(header), _note(config))
    trace = Trace(header)
    steps = generate(model, config)
    try:
        sent = yield from stage.batches(run, _kept(stage.within(steps, limits), trace))
    finally:
        steps.close()  # type: ignore[attr-defined]  # a generator: this frees the pool
        LOG.info("a run ended after %d steps; caches open: %d", len(trace), num_open())
    run.details = details(trace)
    yield run.batch(sent)


def _kept(steps: Iterator[Any], trace: Trace) -> Iterator[Any]:
    for step in steps:
        trace.append(step)
        yield step


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
    branching = config.branching
    return (
        f"{config.model} on {config.cache.backend}: forks at entropy "
        f"{branching.entropy_threshold:g}, {branching.branch_factor} children, "
        f"at most {branching.max_paths} paths"
    )
