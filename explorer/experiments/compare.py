"""One configuration on several backends, one after another: same tree, what time, what memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from explorer import metrics
from explorer.config import BACKENDS, InputError, RunConfig
from explorer.events import Header, Step
from explorer.experiments.trial import WARM_UP_TOKENS, warm_up
from explorer.trace import Trace

if TYPE_CHECKING:
    from explorer.models import LoadedModel

SAMPLED = "naive"  # draws independent samples: its tree is another by design
DEFAULT = ("naive", "deepcopy", "batched", "cow", "recompute")
MAX_SAMPLES = 4096  # of naive: the bound of RunConfig's num_samples


def order_of(backends: Sequence[str]) -> tuple[str, ...]:
    """The order they run in: as given, `naive` last, because it draws as many samples as the
    trees before it returned. Raises InputError for an unknown name or a repeated one."""
    for name in backends:
        if name not in BACKENDS:
            raise InputError(f"backends: there is no {name!r}; choose from {', '.join(BACKENDS)}.")
    if not backends or len(set(backends)) < len(backends):
        raise InputError("backends: name at least one, and each one once.")
    return tuple(sorted(backends, key=lambda name: name == SAMPLED))


def stream(
    model: LoadedModel,
    config: RunConfig,
    backends: Sequence[str],
    max_samples: int = MAX_SAMPLES,
) -> Iterator[tuple[str, Header | Step]]:
    """`(backend, part)` for each backend in `order_of(backends)`: its header, then its steps.

    Each backend first runs the same prompt for two tokens, unrecorded, to warm up. `naive` draws
    as many samples as the tree had leaves, `max_samples` at most, unless it is alone; what it drew
    stands among the conditions of `summarize`. Closing the iterator ends the run
    under way. Raises InputError before the first part where the model cannot run a backend.
    """
    from explorer.generate import generate, prepare

    order = order_of(backends)
    configs = {name: config.replace(backend=name) for name in order}
    for each in configs.values():
        prepare(model, each)
    num_leaves = 0
    for name, each in configs.items():
        if name == SAMPLED and num_leaves:
            each = each.replace(num_samples=min(num_leaves, max_samples))
        warm_up(model, each)
        trace = Trace(prepare(model, each))
        yield name, trace.header
        steps = generate(model, each)
        try:
            for step in steps:
                trace.append(step)
                yield name, step
        finally:
            steps.close()  # type: ignore[attr-defined]  # a generator, typed as its interface
        num_leaves = num_leaves or len(metrics.leaves(trace))


def collect(
    parts: Iterable[tuple[str, Header | Step]], trace_file: FilePath | None = None
) -> Iterator[dict[str, Trace]]:
    """The traces so far after every part of `stream`, always the same dict.

    With `trace_file` each is recorded too, its backend's name before the ending.
    """
    traces: dict[str, Trace] = {}
    with ExitStack() as stack:
        for name, part in parts:
            if isinstance(part, Header):
                file = trace_file and trace_file.with_suffix(f".{name}{trace_file.suffix}")
                traces[name] = stack.enter_context(Trace(part, file))
            else:
                traces[name].append(part)
            yield traces


def summarize(
    traces: Mapping[str, Trace], reference: str = "cow", keep_pruned: bool = False
) -> dict[str, Any]:
    """The `compare --json` document of runs that have ended.

    `same_tree` holds each tree against that of `reference` (or of the first run). `equal` are the
    conditions all runs share, `different` the others by backend. `wall_vs_naive` is naive's total
    seconds divided by the backend's, `kv_peak_vs_deepcopy` deepcopy's peak of allocated KV bytes
    divided by the backend's: above 1 is faster, or smaller. None: not measurable.
    """
    runs = {name: metrics.result(trace, keep_pruned) for name, trace in traces.items()}
    reference = reference if reference in runs else next(iter(runs))
    equal, different = _conditions(traces)
    return {
        "runs": runs,
        "reference": reference,
        "order": list(runs),
        "same_tree": {
            name: run["tree_digest"] == runs[reference]["tree_digest"] for name, run in runs.items()
        },
        "equal": equal,
        "different": different,
        "ratios": {
            "wall_vs_naive": _ratios(runs, SAMPLED, "seconds", "total"),
            "kv_peak_vs_deepcopy": _ratios(runs, "deepcopy", "counters", "kv_nbytes_peak"),
        },
    }


def _ratios(
    runs: Mapping[str, dict[str, Any]], base: str, group: str, name: str
) -> dict[str, float | None]:
    """The base run's measure divided by each run's; nothing where the base did not run."""
    if base not in runs:
        return {}
    top = runs[base][group][name]
    return {
        backend: top / run[group][name] if run[group][name] else None
        for backend, run in runs.items()
    }


def _conditions(traces: Mapping[str, Trace]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`(what all runs share, what differs by backend)`, read off the traces themselves."""
    found: dict[str, dict[str, Any]] = {}
    for backend, trace in traces.items():
        for name, value in _condition(trace).items():
            found.setdefault(name, {})[backend] = value
    equal, different = {}, {}
    for name, values in found.items():
        first, *others = values.values()
        if all(value == first for value in others):
            equal[name] = first
        else:
            different[name] = values
    return equal, different


def _condition(trace: Trace) -> dict[str, Any]:
    header, config = trace.header, trace.header.config
    return {
        "model": header.model.name,
        "device": header.model.device,
        "dtype": header.model.dtype,
        "software": header.software,
        "prompt_ids": [token.token for token in header.source or header.prompt],
        "max_new_tokens": config["limits"]["max_new_tokens"],
        "sampling": config["sampling"],
        "branching": config["branching"],
        "samples": len(metrics.leaves(trace)),
        "warm_up": f"{WARM_UP_TOKENS} tokens on the same prompt before each run",
    }
