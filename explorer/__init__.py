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
    from explorer.config import InputError, RunConfig
    from explorer.generate import generate, prepare, run
    from explorer.models import load_model
    from explorer.trace import Trace

_HOMES = {
    "InputError": "explorer.config",
    "RunConfig": "explorer.config",
    "Trace": "explorer.trace",
    "generate": "explorer.generate",
    "load_model": "explorer.models",
    "prepare": "explorer.generate",
    "run": "explorer.generate",
}

__all__ = ["InputError", "RunConfig", "Trace", "generate", "load_model", "prepare", "run"]


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
