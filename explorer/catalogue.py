"""What can be loaded here, and what each model supports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from explorer.config import BACKENDS, InputError

UNKNOWN: dict[str, Any] = dict.fromkeys(
    (
        "architecture",
        "parameters",
        "num_layers",
        "num_kv_heads",
        "head_dim",
        "vocab_size",
        "kv_nbytes_per_token",
        "cross_nbytes_per_token",
    )
)


def known(names: Sequence[str] = ()) -> list[str]:
    """The bundled model, `names`, and the models in the Hub's cache on this machine, each once."""
    from explorer.hub import BUNDLED

    return list(dict.fromkeys([*BUNDLED, *names, *_cached()]))


def _cached() -> list[str]:
    """Hub ids in the cache that have a model's config and weights."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    return sorted(repo.repo_id for repo in repos if repo.repo_type == "model" and _is_whole(repo))


def _is_whole(repo: Any) -> bool:
    files = {file.file_name for revision in repo.revisions for file in revision.files}
    return "config.json" in files and any(name.endswith((".safetensors", ".bin")) for name in files)


def describe(name: str, is_asked_for: bool = True) -> dict[str, Any]:
    """Load and probe one model: its sizes, its backends, and why others are missing.

    A model that cannot be loaded raises InputError if it was asked for; one that was only found
    is listed with no backends and the reason.
    """
    from explorer.models import load_model

    try:
        info = load_model(name).info
    except InputError as error:
        if is_asked_for:
            raise
        reason = dict.fromkeys(BACKENDS, str(error))
        return {"name": name, **UNKNOWN, "backends": [], "reason": reason}
    return {
        "name": info.name,
        "architecture": info.architecture,
        "parameters": info.num_parameters,
        "num_layers": info.num_layers,
        "num_kv_heads": info.num_kv_heads,
        "head_dim": info.head_dim,
        "vocab_size": info.vocab_size,
        "kv_nbytes_per_token": info.kv_nbytes_per_token,
        "cross_nbytes_per_token": info.cross_nbytes_per_token,
        "backends": list(info.backends),
        "reason": {name: info.reason for name in BACKENDS if name not in info.backends},
    }
