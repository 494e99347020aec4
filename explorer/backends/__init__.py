"""How the paths are run. A member is one file and one line here."""

from explorer.backends.base import Backend, Forward, num_open
from explorer.backends.batched import BatchedBackend
from explorer.backends.cow import CowBackend
from explorer.backends.deepcopy import DeepCopyBackend
from explorer.backends.naive import NaiveBackend
from explorer.backends.recompute import RecomputeBackend

BACKENDS: dict[str, type[Backend]] = {
    backend.name: backend
    for backend in (CowBackend, BatchedBackend, DeepCopyBackend, RecomputeBackend, NaiveBackend)
}

__all__ = ["BACKENDS", "Backend", "Forward", "num_open"]
