"""Numbers of a run, as pure functions of its trace. No torch: a saved trace is enough."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from explorer.events import PROMPT_NODE, Memory, Node, Reused
from explorer.phases import execution, first_token, phases
from explorer.trace import Trace


@dataclass(slots=True)
class Leaf:
    """A path at its end: its `nodes` in order, and `fork_depths`, the depths where it forked."""

    id: int
    parent: int | None  # path it was forked from
    status: str
    nodes: list[Node] = field(default_factory=list)
    fork_depths: list[int] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(node.text for node in self.nodes)


def leaves(trace: Trace, keep_pruned: bool = False) -> list[Leaf]:
    """Paths that ended, in order of their ids; those still alive at the trace's end count as
    cancelled. Pruned ones only with `keep_pruned`."""
    nodes = {node.id: node for step in trace for node in step.nodes}
    depth = _depths(trace)
    forked = {
        decision.node: depth[decision.node] + 1
        for step in trace
        for decision in step.decisions
        if decision.factor > 1
    }
    parents = {child: fork.path for step in trace for fork in step.forks for child in fork.children}
    last = {node.path: node.id for step in trace for node in step.nodes}
    ends = {end.path: end for step in trace for end in step.ends}
    alive = trace[-1].paths if len(trace) else ()
    found = []
    for path in sorted({*ends, *(path for path in alive if path in last)}):
        status = ends[path].status if path in ends else "cancelled"
        if status == "pruned" and not keep_pruned:
            continue
        leaf = Leaf(path, parents.get(path), status)
        node_id = last[path]
        leaf.nodes = _line(nodes, node_id)
        before = [PROMPT_NODE, *(node.id for node in leaf.nodes[:-1])]
        leaf.fork_depths = [forked[node] for node in before if node in forked]
        found.append(leaf)
    return found


def _line(nodes: dict[int, Node], node_id: int) -> list[Node]:
    line = []
    while node_id != PROMPT_NODE:
        line.append(nodes[node_id])
        node_id = nodes[node_id].parent
    return line[::-1]


def _depths(trace: Trace) -> dict[int, int]:
    depth = {PROMPT_NODE: -1}
    for step in trace:
        for node in step.nodes:
            depth[node.id] = depth[node.parent] + 1
    return depth


def tree_digest(trace: Trace) -> str:
    """SHA-256 (hex) over every node's parent and token in order of creation, and every path's end.

    Equal trees, equal digests, whatever backend or device made them.
    """
    tree = [[node.parent, node.token] for step in trace for node in step.nodes]
    ends = sorted([end.node, end.status] for step in trace for end in step.ends)
    return hashlib.sha256(orjson.dumps([tree, ends])).hexdigest()


def _memories(trace: Trace) -> Iterator[Memory]:
    for step in trace:
        yield step.memory_forward
        yield step.memory


def sharing(memory: Memory) -> float:
    """`1 - unique / logical`: the part of the paths' tokens that sharing saves; 0 if nothing is."""
    if not memory.logical_kv_tokens:
        return 0.0
    return 1 - memory.unique_kv_tokens / memory.logical_kv_tokens


def counters(trace: Trace) -> dict[str, Any]:
    """Counts over the run, and peaks over its steps. Lengths in tokens, `nbytes` in bytes."""
    peaks = {
        f"{name}_peak": max((getattr(memory, name) for memory in _memories(trace)), default=0)
        for name in (
            "unique_kv_tokens",
            "logical_kv_tokens",
            "kv_nbytes",
            "kv_live_nbytes",
            "kv_logical_nbytes",
        )
    }
    ends = [end for step in trace for end in step.ends]
    return {
        "steps": len(trace),
        "forks": sum(len(step.forks) for step in trace),
        "pruned": sum(end.status == "pruned" for end in ends),
        "generated_tokens": generated_tokens(trace),
        "forward_token_steps": sum(step.positions + step.encoded for step in trace),
        "sharing_peak": max((sharing(memory) for memory in _memories(trace)), default=0.0),
        **peaks,
        "peak_memory_nbytes": max((step.peak_memory_nbytes for step in trace), default=0),
        "evictions": evictions(trace),
    }


def reused(trace: Trace) -> Reused | None:
    """What the run took of its prompt from a prefix cache; None: it was given none."""
    return next((step.reused for step in reversed(trace.steps) if step.reused is not None), None)


def reused_words(found: Reused) -> str:
    """That as a line: "487 of 512 prompt tokens reused, 0.31 s saved"."""
    total = found.hit_tokens + found.miss_tokens
    if not found.hit_tokens:
        why = found.reason or "none was in the prefix cache"
        return f"0 of {total:,} prompt tokens reused: {why.rstrip('.')}"
    line = f"{found.hit_tokens:,} of {total:,} prompt tokens reused"
    saved = found.seconds_saved
    if saved is not None:
        amount = f"{abs(saved):.2f} s" if abs(saved) >= 0.1 else f"{abs(saved) * 1000:.1f} ms"
        about = (
            "about " if found.cold_tokens < total else ""
        )  # the shares of longer prompts' passes
        line += f", {about}{amount} {'saved' if saved > 0 else 'lost'}"
    if found.max_abs_error is not None:
        line += f"; they lay in 8 bits, off by at most {found.max_abs_error:.2g}"
    return line


def _prefix(trace: Trace) -> dict[str, Any]:
    """What `reused` says, for the document; nothing without a prefix cache."""
    found = reused(trace)
    if found is None:
        return {}
    total = found.hit_tokens + found.miss_tokens
    return {"prefix": {"hit_rate": found.hit_tokens / total, **asdict(found)}}


def evictions(trace: Trace) -> int:
    """How often a path lost a slot of a layer to its budget."""
    return sum(len(rows) for step in trace for each in step.evictions for rows in each.paths)


def _cache(config: dict[str, Any]) -> dict[str, Any]:
    """What bounded the cache and how it stored; nothing for runs, and files, of which it is the
    full cache in the model's number format."""
    stored = config["cache"].get("kv_dtype", "model")
    kind = {} if stored == "model" else {"kv_dtype": stored}
    eviction = config.get("eviction", {})
    if eviction.get("policy") is None:
        return kind
    budget = eviction["layer_budgets"] or eviction["budget"]
    bound = {"policy": eviction["policy"], "budget": budget, "strategy": eviction["strategy"]}
    return kind | bound


def cross(trace: Trace) -> dict[str, int]:
    """The cross-attention cache at its peak: source tokens held, once for all paths, and bytes."""
    names = {"tokens": "cross_tokens", "nbytes": "cross_nbytes"}
    return {
        name: max((getattr(memory, own) for memory in _memories(trace)), default=0)
        for name, own in names.items()
    }


def generated_tokens(trace: Trace) -> int:
    """Tokens of the paths that were returned, each path counted whole."""
    return sum(len(leaf.nodes) for leaf in leaves(trace))


def seconds(trace: Trace) -> dict[str, float]:
    """Seconds in prefill and decode forward passes, outside them, and to the first token, 0 before
    it; without those of what followed the run."""
    by_phase = {"prefill": 0.0, "decode": 0.0}
    total = 0.0
    for step in trace:
        by_phase[step.phase] += step.seconds
        total += step.seconds + step.overhead_seconds
    overhead = sum(step.overhead_seconds for step in trace)
    first = first_token(trace) or 0.0
    return {**by_phase, "overhead": overhead, "total": total, "first_token": first}


def tokens_per_second(trace: Trace) -> dict[str, float]:
    """Generated (returned) tokens and computed positions per second of the whole run."""
    count, spent = counters(trace), seconds(trace)["total"]
    if not spent:
        return {"generated": 0.0, "computed": 0.0}
    return {
        "generated": count["generated_tokens"] / spent,
        "computed": count["forward_token_steps"] / spent,
    }


def against_float32(trace: Trace) -> dict[str, Any] | None:
    """How far the run was from float32 on its own tokens; None where float32 did not run beside it.

    A flip is a decision at which the most probable token is another; `max_logit_difference` is the
    largest distance of any logit.
    """
    compared = [each for step in trace for each in step.decisions if each.float32_error is not None]
    if not compared:
        return None
    flips = sum(each.top != each.float32_top for each in compared)
    return {
        "decisions": len(compared),
        "flips": flips,
        "flip_rate": flips / len(compared),
        "max_logit_difference": max(each.float32_error or 0.0 for each in compared),
    }


def importance_weights(trace: Trace) -> dict[int, float]:
    """Weights of a select="gumbel" run's returned paths: `p / (1 - exp(-exp(ln p - kappa)))`.

    kappa is the largest perturbed log-probability among the pruned paths; without one every path
    was kept and its weight is its probability. A path below kappa has weight 0: it finished early,
    so it never had to stand against the pruned ones. Weighted sums are unbiased where no token was
    left undrawn at a fork; texts that no draw could reach have no weight at all.
    Kool et al. 2019, arXiv:1903.06059.
    """
    dropped = [
        leaf.nodes[-1] for leaf in leaves(trace, keep_pruned=True) if leaf.status == "pruned"
    ]
    values = [node.perturbed for node in dropped if node.perturbed is not None]
    kappa = max(values, default=-math.inf)
    return {leaf.id: _importance(leaf.nodes[-1], kappa) for leaf in leaves(trace)}


def _importance(node: Node, kappa: float) -> float:
    if node.perturbed is not None and node.perturbed <= kappa:
        return 0.0
    if node.logprob - kappa < -30:  # 1 - exp(-x) is x, and p / x is exp(kappa)
        return math.exp(kappa)
    return math.exp(node.logprob) / -math.expm1(-math.exp(min(node.logprob - kappa, 700.0)))


def result(trace: Trace, keep_pruned: bool = False) -> dict[str, Any]:
    """The whole run as `run --json` prints it."""
    config, model = trace.header.config, trace.header.model
    paths = [
        {
            "id": leaf.id,
            "parent": leaf.parent,
            "token_ids": [node.token for node in leaf.nodes],
            "text": leaf.text,
            "logprob": leaf.nodes[-1].logprob,
            "raw_logprob": leaf.nodes[-1].raw_logprob,
            "status": leaf.status,
            "fork_depths": leaf.fork_depths,
        }
        for leaf in leaves(trace, keep_pruned)
    ]
    return {
        "run": {
            "backend": config["cache"]["backend"],
            "model": model.name,
            "device": model.device,
            "dtype": model.dtype,
            "seed": config["sampling"]["seed"],
            "version": trace.header.software.get("explorer", ""),
            **_cache(config),
        },
        "paths": paths,
        "counters": counters(trace),
        "seconds": seconds(trace),
        "tokens_per_second": tokens_per_second(trace),
        "phases": phases(trace),
        "execution": None if (ran := execution(trace)) is None else asdict(ran),
        "against_float32": against_float32(trace),
        **_prefix(trace),
        **({"cross": cross(trace)} if trace.header.source else {}),
        "tree_digest": tree_digest(trace),
    }
