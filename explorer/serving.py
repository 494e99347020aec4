"""Requests over a watched prefix cache: real runs one after another, their figures noted."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from explorer import metrics
from explorer.backends import BACKENDS
from explorer.cache.prefix import PrefixCache
from explorer.cache.record import Reader
from explorer.cache.watched import WatchedCache
from explorer.config import RunConfig
from explorer.events import Header, Step
from explorer.generate import generate, prepare
from explorer.reuse import conditions, why_not
from explorer.text import TextStream
from explorer.trace import Trace
from explorer.workloads import Workload

if TYPE_CHECKING:
    from explorer.models import LoadedModel

INTERVAL = 0.08  # seconds after which a growing reply is read anew


def reader(model: LoadedModel) -> Reader:
    """What each token of a text adds to it."""
    return TextStream(model.tokenizer).prompt_texts


def noted(
    cache: WatchedCache,
    model: LoadedModel,
    header: Header,
    steps: Iterator[Step],
    title: str,
    source: str,
    cold: tuple[str, float] | None = None,
) -> Generator[Step, None, None]:
    """The `steps` of a run as they come; it is the cache's next request, and what they tell of it
    is noted. None where the run does not use the cache. Closes them."""
    if header.config["cache"]["prefix_use"] == "off":
        with closing(steps):  # type: ignore[type-var]  # a generator
            yield from steps
        return
    texts = [token.text for token in header.prompt]
    request = cache.request(title, source, texts, reader(model))
    request.cold = cold
    trace, due = Trace(header), time.monotonic()
    try:
        for step in steps:
            trace.append(step)
            if step.phase == "prefill":
                request.prefill_seconds += step.seconds
            request.reused = step.reused or request.reused
            if request.first_token_seconds is None:
                request.first_token_seconds = metrics.first_token(trace)
            if time.monotonic() >= due:  # here: who asks for it has another thread
                request.reply, due = reply(trace), time.monotonic() + INTERVAL
            yield step
        request.tree_digest = metrics.tree_digest(trace)
    finally:
        steps.close()  # type: ignore[attr-defined]  # a generator: this frees the pool
        request.reply, request.done = reply(trace), True


def reply(trace: Trace) -> str:
    """The text that a run wrote: of several paths the likeliest."""
    found = metrics.leaves(trace)
    likeliest = max(found, key=lambda leaf: sum(node.logprob for node in leaf.nodes), default=None)
    return "" if likeliest is None else likeliest.text


def serve(
    model: LoadedModel, cache: WatchedCache, config: RunConfig, title: str, source: str = "workload"
) -> Generator[Step, None, Trace]:
    """One request, step by step; returns its trace. Before a workload's the prompt is read once
    without the cache, to measure what that takes; those passes are among the steps. Raises
    InputError."""
    header, cold = prepare(model, config), None
    if source == "workload" and is_looking(model, config, len(header.prompt)):
        cold = conditions(model, config), (yield from read_once(model, config))
    trace = Trace(header)
    steps = noted(cache, model, header, generate(model, config, cache), title, source, cold)
    with closing(steps):
        for step in steps:
            trace.append(step)
            yield step
    return trace


def is_looking(model: LoadedModel, config: RunConfig, num_tokens: int) -> bool:
    """Whether a run of a prompt as long as that would look into a prefix cache."""
    backend_type = BACKENDS[config.cache.backend]
    if config.cache.prefix_use == "off" or not backend_type.can_reuse or model.is_encoder_decoder:
        return False
    backend = backend_type(model, config, num_tokens)
    try:
        return not why_not(model, config, backend)
    finally:
        backend.close()


def read_once(
    model: LoadedModel, config: RunConfig, prefix: PrefixCache | None = None
) -> Generator[Step, None, float]:
    """The passes over the prompt of one path, of one that finds nothing where there is no cache;
    returns their seconds."""
    once = {"max_new_tokens": 1, "max_paths": 1, "num_samples": None}
    seconds = 0.0
    with closing(generate(model, config.replace(**once, against_float32=False), prefix)) as steps:  # type: ignore[type-var]
        for step in steps:
            seconds += step.seconds
            yield step
    return seconds


def read_first(model: LoadedModel, config: RunConfig) -> Generator[Step, None, None]:
    """A process's first pass and its first hit: these take longer than they must, so nothing is
    held against them."""
    apart = PrefixCache()
    for _ in range(2):
        yield from read_once(model, config, apart)


def play(
    model: LoadedModel,
    cache: WatchedCache,
    workload: Workload,
    base: RunConfig,
    source: str = "workload",
) -> Generator[Step, None, list[Trace]]:
    """The workload's requests one after another, step by step; returns their traces."""
    if source == "workload" and base.cache.prefix_use != "off":
        yield from read_first(model, workload.config(base, workload.prompt(0, ())))
    said: list[str] = []
    traces = []
    for number, turn in enumerate(workload.turns):
        prompt = workload.prompt(number, said)
        trace = yield from serve(model, cache, workload.config(base, prompt), turn.title, source)
        said.append(workload.spoken(prompt, reply(trace)))
        traces.append(trace)
    return traces


def played(
    model: LoadedModel,
    cache: WatchedCache,
    workload: Workload,
    base: RunConfig,
    source: str = "workload",
) -> list[Trace]:
    """The traces of a workload's requests, once all are done. Raises InputError."""
    steps = play(model, cache, workload, base, source)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return list(end.value)


def warm(
    model: LoadedModel, cache: WatchedCache, workload: Workload, base: RunConfig
) -> Iterator[Step]:
    """Read the prompts in that are known before anything was answered; nothing is written."""
    for turn in workload.known():
        config = workload.config(base, turn.text).replace(max_new_tokens=1)
        yield from serve(model, cache, config, turn.title, "warm")


def start(model: LoadedModel, name: str | None, title: str, caption: str = "") -> dict[str, Any]:
    """What a record says of itself at its beginning."""
    return {
        "title": title,
        "caption": caption,
        "workload": name,
        "model": model.info.name,
        "dtype": model.info.dtype,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
