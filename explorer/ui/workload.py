"""What the Reuse tab asks of a visitor's prefix cache, and what the page is told meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from pydantic import ValidationError

from explorer.cache.prefix import ORDERS
from explorer.cache.watched import WatchedCache
from explorer.config import InputError, RunConfig, explain
from explorer.moments import Teller
from explorer.ui import estimate, stage
from explorer.ui.caches import LOCAL
from explorer.ui.models import loading
from explorer.ui.runs import Left, encode, guarded, told
from explorer.ui.shared import Shared
from explorer.workloads import OWN, WORKLOADS, Workload, own

if TYPE_CHECKING:
    from explorer.cache.disk import Stored
    from explorer.models import LoadedModel

LOG = logging.getLogger("forkscope")


@dataclass(frozen=True)
class Plan:
    """What is asked of a visitor's cache. `capacity_blocks` None: no bound in blocks."""

    visitor: str
    name: str  # of the workload
    workload: Workload
    base: RunConfig
    is_empty: bool
    capacity_blocks: int | None
    order: str
    preset: str | None = None


def blocks(given: Any) -> int | None:
    """What the number's input says. Raises InputError."""
    if given in (None, "", 0):
        return None
    if not isinstance(given, int | float) or given != int(given) or given < 0:
        raise InputError(f"Most blocks: give a whole number from 0, not {given!r}.")
    return int(given)


def based(base: RunConfig, name: str, workload: Workload) -> RunConfig:
    """The settings of a workload's runs: its own are fixed, but for prompts that somebody typed.
    Raises InputError."""
    if name == OWN:
        return base
    try:
        return base.replace(**workload.settings())
    except ValidationError as error:
        raise InputError(f"{explain(error)}.".replace("..", ".")) from error


def workload_of(name: Any, typed: Any) -> Workload:
    """The workload that is asked for. Raises InputError."""
    if name != OWN:
        if name not in WORKLOADS:
            raise InputError(f"Workload: choose {', '.join(WORKLOADS)} or {OWN}, not {name!r}.")
        return WORKLOADS[name]
    prompts = [line for line in str(typed or "").splitlines() if line.strip()]
    if not prompts:
        raise InputError("Prompts: type at least one, each on a line of its own.")
    return own(prompts)


def asked(data: dict[str, Any], visitor: str) -> Plan:
    """The recorded workload that a page wants to see live. Raises InputError."""
    name = str(data.get("preset"))
    if name not in WORKLOADS:
        raise InputError("The page did not say which workload to run; reload it and try again.")
    workload = WORKLOADS[name]
    base = RunConfig().replace(**workload.settings())
    return Plan(visitor, name, workload, base, True, workload.capacity_blocks, "lru", name)


def checked(shared: Shared, plan: Plan) -> Plan:
    """The plan, if the page allows it. Raises InputError."""
    if shared.limits is not None:
        shared.limits.check_prompts([turn.text for turn in plan.workload.turns])
        shared.limits.check(plan.base)
    if plan.order not in ORDERS:
        raise InputError(f"Evict first: choose {' or '.join(ORDERS)}, not {plan.order!r}.")
    if plan.base.cache.prefix_use == "off":
        raise InputError("prefix_use: off, so no run looks into the cache; choose on or read.")
    return plan


Act = Callable[[Shared, Plan, str | None], Iterator[str]]


def stream(
    shared: Shared, read: Callable[[], Plan], act: Act, token: str | None = None
) -> Iterator[str]:
    """Messages to the board of what `act` does with the plan that `read` gives."""
    return guarded(lambda: act(shared, read(), token), "workload", shared.store, token)


def live(shared: Shared, plan: Plan, token: str | None) -> Iterator[str]:
    """Load, then one request after another. Raises Left when the page has left it."""
    model = yield from loaded(shared, plan.base, token)
    from explorer import serving
    from explorer.generate import prepare

    for turn in plan.workload.known():  # before the page gives up what it shows
        prepare(model, plan.workload.config(plan.base, turn.text))
    title, caption = plan.workload.title, plan.workload.sentence
    start = serving.start(model, plan.name, title, caption)
    if plan.is_empty:
        cache = shared.caches.renew(
            plan.visitor, capacity_blocks=plan.capacity_blocks, order=plan.order, **start
        )
        teller = Teller(cache)
    else:
        cache = shared.caches.of(plan.visitor)
        teller = Teller.from_now(cache)
        rebound(cache, plan.capacity_blocks, plan.order)
    steps = serving.play(model, cache, plan.workload, plan.base)
    more = {"preset": plan.preset, "planned": len(plan.workload.turns)}
    yield from telling(shared, cache, steps, teller, token, more)


def warmed(shared: Shared, plan: Plan, token: str | None) -> Iterator[str]:
    """Load, then read in the prompts that are known before anything was answered."""
    model = yield from loaded(shared, plan.base, token)
    from explorer import serving

    if plan.base.cache.prefix_use != "on":
        raise InputError("prefix_use: read, so no prompt is put in; choose on to warm the cache.")
    cache = shared.caches.of(plan.visitor)
    steps = serving.warm(model, cache, plan.workload, plan.base)
    yield from telling(shared, cache, steps, Teller.from_now(cache), token, {})


def loaded(
    shared: Shared, config: RunConfig, token: str | None
) -> Generator[str, None, LoadedModel]:
    """The model of a run; a message where it has to be loaded first. Raises InputError for one of
    whose prompts nothing can be kept for another."""
    model = yield from loading(shared.models, shared.store, config, token)
    if model.is_encoder_decoder:
        raise InputError(
            f"{model.info.name} reads a prompt with its encoder, all of it at once: its beginning "
            "is of no use to another prompt. Choose a model without an encoder, or see Self and "
            "cross."
        )
    return model


Keep = Callable[[WatchedCache, Path, Any], Any]  # cache, folder, model -> the moment's words


def keep(
    shared: Shared, read: Callable[[], RunConfig], act: Keep, folder: str, token: str | None
) -> Iterator[str]:
    """Save or load the blocks of a model; one message tells of it."""

    def messages() -> Iterator[str]:
        config, path = read(), named(folder)
        model = yield from loaded(shared, config, token)
        cache = shared.caches.of(LOCAL)
        teller = Teller.from_now(cache)
        try:
            words = act(cache, path, model)
        except InputError:
            if (news := teller.news())["moments"]:  # what came before is there
                yield told(news, token)
            raise
        yield told(teller.news() | {"status": words, "done": True}, token)

    return guarded(messages, "folder", shared.store, token)


def saved(cache: WatchedCache, folder: Path, model: LoadedModel) -> str:
    """Write the blocks of `model` to a folder. Raises InputError."""
    from explorer.reuse import save_prefix

    with cache.doing("save") as words:
        words.append(f"{_amount(save_prefix(cache, folder, model))} written to {folder}.")
    return words[0]


def filled(cache: WatchedCache, folder: Path, model: LoadedModel) -> str:
    """Put the blocks of a folder into the cache, as far as there is room. Raises InputError."""
    from explorer import serving
    from explorer.reuse import load_prefix

    with cache.doing("load", serving.reader(model)) as words:
        words.append(f"{_amount(load_prefix(cache, folder, model))} read from {folder}.")
    return words[0]


def named(folder: str) -> Path:
    """The folder that somebody typed. Raises InputError."""
    if not folder.strip():
        raise InputError("Folder: name one on this machine, such as kept.")
    return Path(folder.strip()).expanduser()


def _amount(stored: Stored) -> str:
    count, nbytes = estimate.plural(stored.blocks, "block"), estimate.show_nbytes(stored.nbytes)
    return f"{count}, {nbytes},"


def telling(
    shared: Shared,
    cache: WatchedCache,
    steps: Any,
    teller: Teller,
    token: str | None,
    more: dict[str, Any],
) -> Iterator[str]:
    """Drain `steps`; a message at once, one every INTERVAL, and the last, which is `done`."""
    from explorer.generate import num_open

    try:
        yield told(teller.news() | more, token)
        due = time.monotonic() + stage.INTERVAL
        for _ in shared.store.wanted(stage.within(steps, shared.limits), token):
            if time.monotonic() >= due:
                yield told(teller.news() | more, token)
                due = time.monotonic() + stage.INTERVAL
    except Left:
        raise
    except Exception:
        steps.close()
        yield told(teller.news() | more, token)
        raise
    finally:
        steps.close()
        held = num_open(), cache.stats().pinned_blocks
        LOG.info("a workload ended; caches open: %d, blocks held: %d", *held)
    yield told(teller.news() | more | {"done": True} | bounded(cache), token)


def bounded(cache: WatchedCache) -> dict[str, str]:
    """What is said at the end of the bound in blocks: it is that of later runs as well."""
    if cache.capacity_blocks is None:
        return {}
    most = estimate.plural(cache.capacity_blocks, "block")
    words = f"The cache keeps at most {most}, those of Explore's runs too"
    return {"status": f"Done. {words}; 0 in Most blocks and Resize lift that."}


def rebound(cache: WatchedCache, capacity_blocks: int | None, order: str) -> None:
    """New bounds of a visitor's cache, where they are other ones."""
    if order != cache.order:
        cache.rank_by(order)
    if capacity_blocks != cache.capacity_blocks:
        cache.resize(cache.capacity_nbytes, capacity_blocks)


def changed(shared: Shared, request: gr.Request, change: Callable[[WatchedCache], object]) -> str:
    """Do what a button says to the visitor's cache at once, and tell of it."""
    cache = shared.caches.of(shared.caches.visitor(request))
    teller = Teller.from_now(cache)
    try:
        change(cache)
    except InputError as error:
        return told({"alert": str(error)}, None)
    return told(teller.news() | {"done": True}, None)


def since(shared: Shared, data: Any, session: str) -> str:
    """What a page asks for that missed something: `{id, seq}`; all of it for another record,
    nothing where its visitor has no cache yet."""
    asked = data if isinstance(data, dict) else {}
    seq, local = asked.get("seq"), shared.limits is None
    cache = shared.caches.of(LOCAL) if local else shared.caches.peek(session)
    if cache is None:
        return encode({})
    seq = seq if isinstance(seq, int) and seq > 0 else 0
    return encode(Teller(cache, asked.get("id"), seq).news())
