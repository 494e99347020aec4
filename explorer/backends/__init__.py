"""How the paths are run. A member is one file and one line here."""

from explorer.backends.base import Backend, Forward, num_open
from explorer.backends.batched import BatchedBackend
from explorer.backends.cow import CowBackend
from explorer.backends.deepcopy import DeepCopyBackend
from explorer.backends.naive import NaiveBackend
from explorer.backends.recompute import RecomputeBackend
from explorer.config import InputError, RunConfig
from explorer.events import ModelInfo

BACKENDS: dict[str, type[Backend]] = {
    backend.name: backend
    for backend in (CowBackend, BatchedBackend, DeepCopyBackend, RecomputeBackend, NaiveBackend)
}

__all__ = ["BACKENDS", "Backend", "Forward", "check_fit", "num_open"]


def check_fit(info: ModelInfo, config: RunConfig) -> None:
    """Raise InputError where the backend cannot do what the run asks, or cannot run the model."""
    if config.eviction.policy is not None:
        _check_policy(info, config)
    _check_storage(info, config)
    if config.cache.backend not in info.backends:
        other = info.backends[0]
        raise InputError(f"{info.reason} Take --backend {other}, which gives the same tree.")


def _check_policy(info: ModelInfo, config: RunConfig) -> None:
    """Raise InputError where no policy can evict: from that backend, or this model."""
    name, policy = config.cache.backend, config.eviction.policy
    able = [other for other, kind in BACKENDS.items() if kind.can_evict]
    if name not in able:
        raise InputError(
            f"The {name} backend keeps every token of its caches, so the policy {policy} cannot "
            f"evict from them; take --backend {able[0]} or --policy none."
        )
    if name not in info.backends:
        raise InputError(
            f"{info.reason} So the policy {policy} cannot evict from its cache; take "
            "--policy none or another model."
        )


def _check_storage(info: ModelInfo, config: RunConfig) -> None:
    """Raise InputError where keys and values cannot be stored as kv_dtype says."""
    name, given, num_layers = config.cache.backend, config.cache.kv_dtype, info.num_layers
    formats = (given,) * num_layers if isinstance(given, str) else given
    if len(formats) != num_layers:
        raise InputError(
            f"kv_dtype: give one format, or {num_layers} separated by commas, one for each layer "
            f"of this model, not {len(formats)}."
        )
    if set(formats) == {"model"}:
        return
    able = [other for other, kind in BACKENDS.items() if kind.can_quantize]
    if name not in able:
        raise InputError(
            f"The {name} backend stores keys and values in the model's number format and no other; "
            f"take --backend {able[0]} or --kv-dtype model."
        )
    if name not in info.backends:
        raise InputError(
            f"{info.reason} So kv_dtype cannot store its keys and values; take --kv-dtype "
            "model or another model."
        )
