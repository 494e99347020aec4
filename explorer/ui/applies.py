"""Which settings have no effect as things stand, and why: the form switches their inputs off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from explorer.config import UNPROTECTED, Eviction

Reason = Callable[[Mapping[str, Any]], str]  # "": it has an effect
DECIDES = ("policy", "strategy", "kv_dtype")  # settings that others depend on
SKETCHES = ("count_min", "count_sketch", "race")
DECAYING = ("h2o", "count_min", "count_sketch")


def _for_policies(*policies: str) -> Reason:
    words = f"only with policy {' or '.join(policies)}"
    return lambda given: "" if given["policy"] in policies else words


def _for_strategy(strategy: str) -> Reason:
    return lambda given: "" if given["strategy"] == strategy else f"only with strategy {strategy}"


def _protects(given: Mapping[str, Any]) -> str:
    return f"{given['policy']} protects no token" if given["policy"] in UNPROTECTED else ""


def _rounds(given: Mapping[str, Any]) -> str:
    return (
        ""
        if given["kv_dtype"] not in ("model", "", None)
        else "only with kv_dtype other than model"
    )


_EVICTION: dict[str, Reason] = {
    "sinks": _protects,
    "recent": _protects,
    "topk": _for_strategy("topk"),
    "residual_entries": _for_strategy("aggregate"),
    "sketch_width": _for_policies(*SKETCHES),
    "sketch_depth": _for_policies(*SKETCHES),
    "conservative": _for_policies("count_min"),
    "decay": _for_policies(*DECAYING),
    "exact": _for_policies("count_min", "count_sketch"),
}
_OTHERS: dict[str, Reason] = {"kv_group": _rounds, "kv_recent": _rounds}
FIELDS = (*(name for name in Eviction.model_fields if name != "policy"), *_OTHERS)


def reason(name: str, given: Mapping[str, Any]) -> str:
    """Why setting `name` has no effect under `given` (the values of DECIDES); "" if it has one."""
    if name in Eviction.model_fields:
        if not given["policy"]:
            return "only with a policy"
        return _EVICTION[name](given) if name in _EVICTION else ""
    return _OTHERS[name](given)
