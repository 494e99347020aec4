"""Where the time of a run goes, and how high memory rose."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import torch


class Meter:
    """Seconds inside and outside the forward passes, of what runs beside them, and peak memory.

    On CUDA the pass is timed by events on the stream, read after the step's one transfer, so that
    timing adds no synchronisation.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._is_cuda = device.type == "cuda"
        self._mark = perf_counter()
        self._seconds = self._beside = 0.0
        self._events: tuple[torch.cuda.Event, torch.cuda.Event] | None = None
        self._baseline = 0
        if self._is_cuda:
            torch.cuda.reset_peak_memory_stats(device)
            self._baseline = torch.cuda.memory_allocated(device)

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Time a forward pass."""
        if self._is_cuda:
            start = torch.cuda.Event(enable_timing=True)
            end = torch.cuda.Event(enable_timing=True)
            start.record(torch.cuda.current_stream(self._device))
            yield
            end.record(torch.cuda.current_stream(self._device))
            self._events = (start, end)
        else:
            began = perf_counter()
            yield
            self._seconds = perf_counter() - began

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Time what is no part of the run and only follows it; the device is waited for, so that
        the run's own work stays outside and none of this is left for later."""
        self._wait()
        began = perf_counter()
        yield
        self._wait()
        self._beside += perf_counter() - began

    def _wait(self) -> None:
        if self._is_cuda:
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()

    def lap(self) -> tuple[float, float, float]:
        """Seconds since the last lap: `(in the forward pass, beside the run, in all else)`."""
        if self._events is not None:
            start, end = self._events
            end.synchronize()
            self._seconds = start.elapsed_time(end) / 1000
            self._events = None
        now = perf_counter()
        inside, beside, total = self._seconds, self._beside, now - self._mark
        self._mark, self._seconds, self._beside = now, 0.0, 0.0
        return inside, beside, max(total - inside - beside, 0.0)

    def pause(self) -> None:
        """Forget the time since the last lap: the reader of the steps had it."""
        self._mark = perf_counter()

    @property
    def peak_memory_nbytes(self) -> int:
        """CUDA: allocator peak above what was allocated when the run began. Otherwise the
        process's peak resident set."""
        if self._is_cuda:
            return torch.cuda.max_memory_allocated(self._device) - self._baseline
        return peak_resident_nbytes()


def peak_resident_nbytes() -> int:
    """Peak resident set of this process in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
