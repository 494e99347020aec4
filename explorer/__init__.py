"""Forkscope: watch a language model branch, and see where every byte of its KV cache goes.

The public names load on first use, so that `import explorer` and reading a trace stay light.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from explorer.cache.prefix import PrefixCache
    from explorer.config import InputError, RunConfig
    from explorer.generate import generate, prepare, run, warm
    from explorer.models import load_model
    from explorer.reuse import load_prefix, save_prefix
    from explorer.trace import Trace

_HOMES = {
    "InputError": "explorer.config",
    "PrefixCache": "explorer.cache.prefix",
    "RunConfig": "explorer.config",
    "Trace": "explorer.trace",
    "generate": "explorer.generate",
    "load_model": "explorer.models",
    "load_prefix": "explorer.reuse",
    "prepare": "explorer.generate",
    "run": "explorer.generate",
    "save_prefix": "explorer.reuse",
    "warm": "explorer.generate",
}

__all__ = [
    "InputError",
    "PrefixCache",
    "RunConfig",
    "Trace",
    "generate",
    "load_model",
    "load_prefix",
    "prepare",
    "run",
    "save_prefix",
    "warm",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'explorer' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


class _Package(ModuleType):
    """Keeps `explorer.generate` the function when the module of that name is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        is_own_module = isinstance(value, ModuleType) and name in _HOMES
        super().__setattr__(name, getattr(value, name) if is_own_module else value)


sys.modules[__name__].__class__ = _Package
