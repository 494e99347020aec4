"""Prefill and decode apart: what each did, what it moved, and what the machine allows.

Pure functions of a trace. Which formula gives a figure is said in `FORMULAS`; what is predicted is
kept apart from what was measured. The roofline is Williams, Waterman and Patterson 2009
(doi:10.1145/1498765.1498785): a pass takes no less than its FLOPs at the machine's best rate and no
less than its bytes at the memory's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

from explorer.events import Execution, Phase, Rates, Step, Work
from explorer.trace import Trace

PHASES: tuple[Phase, ...] = ("prefill", "decode")
SEQUENTIAL = {"deepcopy", "recompute"}  # backends that run one pass for each path
FORMULAS = {
    "tokens": "prompt positions that prefill computed; in decode one for each live path and step",
    "nbytes": "weights read once a pass + keys and values read once a step (those in use after "
    "its pass) + keys and values written (positions x bytes a token); of experts as many as the "
    "positions of a pass can have chosen, at most all; activations are not counted",
    "flops": "2 x weights that a position is multiplied by x positions + 2 x output layer x rows "
    "(Kaplan et al. 2020) + 4 x head size x heads x layers x pairs of a query and a key that it "
    "sees (PaLM, appendix B), before what the pass evicts; a sliding window is counted as if it "
    "were the whole text, and topk as if it left nothing out",
    "intensity": "flops / nbytes",
    "predicted": "a step takes the longer of flops / the machine's FLOP/s and nbytes / its bytes/s "
    "(roofline, Williams et al. 2009)",
    "inter_token_seconds": "a decode step and all that is done between two passes: what passes "
    "between a path's token and its next",
}


@dataclass(frozen=True, slots=True)
class Pass:
    """What one step computed and moved. FLOPs and weights are None where the model is unknown."""

    tokens: int
    kv_read_nbytes: int
    kv_written_nbytes: int
    weight_nbytes: int | None
    flops: int | None

    @property
    def nbytes(self) -> int | None:
        if self.weight_nbytes is None:
            return None
        return self.weight_nbytes + self.kv_read_nbytes + self.kv_written_nbytes


def passes(trace: Trace) -> Iterator[tuple[Step, Pass]]:
    """Every step with what its forward pass was."""
    rows = 1
    sight = _Sight(trace.header.model.num_layers)
    is_bounded = trace.header.config.get("eviction", {}).get("policy") is not None
    for step in trace:
        pairs = sight.passed(step) if is_bounded else None
        yield step, _pass(trace, step, rows if step.phase == "decode" else 1, pairs)
        rows = len(step.paths) or 1


class _Sight:
    """How many tokens each path of a run with a policy sees in each layer, followed from step to
    step: memory is measured when a pass has evicted, and layers may see different numbers."""

    def __init__(self, num_layers: int) -> None:
        self._rows: list[list[int]] | None = None  # None before the first pass
        self._ids: tuple[int, ...] = ()
        self._num_layers = num_layers

    def passed(self, step: Step) -> float:
        """Pairs of a query and a key that it sees in this pass, mean of layers."""
        if self._rows is None:  # a prefix cache may have given tokens, all of which are seen
            given = max(step.memory_forward.logical_kv_tokens - step.positions, 0)
            self._rows = [[given] * self._num_layers]
        rows = self._rows
        queries = step.positions // len(rows)
        pairs = sum(_pairs(queries, seen + queries) for row in rows for seen in row)
        after = [[seen + queries for seen in row] for row in rows]
        at = {path: row for row, path in enumerate(self._ids)}
        for each in step.evictions:
            for path in chain.from_iterable(each.paths):
                after[at.get(path, 0)][each.layer] -= 1
        self._rows = [list(after[parent]) for parent in step.parents] or [[0] * self._num_layers]
        self._ids = step.paths
        return pairs / self._num_layers


def _pass(trace: Trace, step: Step, rows: int, seen: float | None) -> Pass:
    config, work = trace.header.config, trace.header.model.work
    memory, positions = step.memory_forward, step.positions
    backend = config["cache"]["backend"]
    num_passes = rows if backend in SEQUENTIAL else 1
    each = positions // num_passes
    pairs: float
    if seen is not None:
        pairs = seen
    elif backend == "recompute":
        pairs = rows * _pairs(positions // rows, positions // rows)
    elif step.phase == "prefill":
        pairs = _pairs(positions, max(memory.logical_kv_tokens, positions))
    else:
        pairs = memory.logical_kv_tokens  # one query a path, which sees all that the path sees
    return Pass(
        tokens=positions if step.phase == "prefill" else rows,
        kv_read_nbytes=memory.kv_live_nbytes,
        kv_written_nbytes=_written(trace, step),
        weight_nbytes=None if work is None else num_passes * _weights(work, each),
        flops=None if work is None else _flops(work, positions, rows, pairs),
    )


def _pairs(queries: int, length: int) -> int:
    """Keys that the last `queries` tokens of a text of `length` see, each itself among them."""
    return queries * (length - queries) + queries * (queries + 1) // 2


def _written(trace: Trace, step: Step) -> int:
    memory, model = step.memory_forward, trace.header.model
    if not memory.kv_live_nbytes:
        return 0  # nothing is kept
    if trace.header.config["cache"].get("kv_dtype", "model") == "model":
        return step.positions * model.kv_nbytes_per_token
    return round(step.positions * memory.kv_live_nbytes / memory.unique_kv_tokens)


def _weights(work: Work, positions: int) -> int:
    """Bytes of one pass: of experts at most those that its positions may have chosen."""
    dense = work.weight_nbytes - work.expert_nbytes
    return dense + min(work.expert_nbytes, positions * (work.active_nbytes - dense))


def _flops(work: Work, positions: int, rows: int, pairs: float) -> int:
    return (
        positions * work.flops_per_position
        + rows * work.flops_per_logits
        + round(pairs * work.flops_per_pair)
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """Linear between the two nearest ranks; None of nothing."""
    if not values:
        return None
    ranked = sorted(values)
    place = share * (len(ranked) - 1)
    below = int(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (place - below) * (ranked[above] - ranked[below])


def phases(trace: Trace) -> dict[str, Any]:
    """Prefill and decode of a run as JSON: measured, counted and predicted, and the latencies.

    Lengths in tokens, times in seconds, rates a second of forward passes. None: not known.
    """
    known = list(passes(trace))
    rates = trace.header.rates
    by_phase = {
        phase: _summary([(step, one) for step, one in known if step.phase == phase], rates)
        for phase in PHASES
    }
    return by_phase | {
        "first_token_seconds": first_token(trace),
        "inter_token_seconds": inter_token(trace),
        "machine": None if rates is None else asdict(rates),
        "formulas": FORMULAS,
    }


def execution(trace: Trace) -> Execution | None:
    """The kernels of the passes that were made. The header says those of a run that reuses nothing:
    where a prefix cache gave tokens, no pass was over a whole text."""
    found = trace.header.execution
    has_hit = any(step.reused is not None and step.reused.hit_tokens for step in trace)
    return replace(found, unmasked="") if found is not None and has_hit else found


def first_token(trace: Trace) -> float | None:
    """Seconds from the start of the run to the first token; None before it."""
    spent = 0.0
    for step in trace:
        spent += step.seconds + step.overhead_seconds
        if step.nodes:
            return spent
    return None


def inter_token(trace: Trace) -> dict[str, Any]:
    """Seconds between a path's tokens: half of the steps took no longer than p50."""
    took = [step.seconds + step.overhead_seconds for step in trace if step.phase == "decode"]
    return {"p50": quantile(took, 0.5), "p95": quantile(took, 0.95), "steps": len(took)}


def _summary(known: Sequence[tuple[Step, Pass]], rates: Rates | None) -> dict[str, Any]:
    tokens = sum(one.tokens for _, one in known)
    seconds = sum(step.seconds for step, _ in known)
    nbytes, flops = _total(one.nbytes for _, one in known), _total(one.flops for _, one in known)
    return {
        "steps": len(known),
        "tokens": tokens,
        "positions": sum(step.positions for step, _ in known),
        "seconds": seconds,
        "tokens_per_second": _rate(tokens, seconds),
        "weight_nbytes": _total(one.weight_nbytes for _, one in known),
        "kv_read_nbytes": sum(one.kv_read_nbytes for _, one in known),
        "kv_written_nbytes": sum(one.kv_written_nbytes for _, one in known),
        "nbytes": nbytes,
        "flops": flops,
        "intensity": _rate(flops, nbytes),
        "nbytes_per_second": _rate(nbytes, seconds),
        "flops_per_second": _rate(flops, seconds),
        "predicted": _predicted([one for _, one in known], tokens, seconds, rates),
    }


def _predicted(
    known: Sequence[Pass], tokens: int, measured: float, rates: Rates | None
) -> dict[str, Any] | None:
    """The roofline: seconds at the machine's rates, which of them binds, and the share of it that
    was reached. The bound that holds for most of the seconds is named."""
    if rates is None or not known:
        return None
    spent = {"compute": 0.0, "memory": 0.0}
    for one in known:
        if one.flops is None or one.nbytes is None:
            return None
        compute, memory = one.flops / rates.flops_per_second, one.nbytes / rates.nbytes_per_second
        spent["compute" if compute > memory else "memory"] += max(compute, memory)
    seconds = sum(spent.values())
    return {
        "seconds": seconds,
        "tokens_per_second": _rate(tokens, seconds),
        "bound": max(spent, key=lambda name: spent[name]),
        "ridge": rates.flops_per_second / rates.nbytes_per_second,
        "reached": _rate(seconds, measured),
    }


def _total(values: Iterator[int | None]) -> int | None:
    found = list(values)
    return None if None in found else sum(value or 0 for value in found)


def _rate(amount: float | None, per: float | None) -> float | None:
    return amount / per if amount is not None and per else None
