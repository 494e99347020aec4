"""What a measurement was made on: processor, memory, versions, how busy it was, and its best."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import Any

import psutil

from explorer.events import Rates

PACKAGES = ("torch", "transformers", "gradio", "numpy")
TRIES = 4
FIRST_SIZE = 128  # of a product; doubled as long as one stays short
LARGEST_SIZE = (1024, 8192)  # elsewhere, on CUDA
LONGEST = 0.05  # seconds of one product
READ_NBYTES = (64 << 20, 512 << 20)  # elsewhere, on CUDA: more than the caches hold


def describe(device: str) -> dict[str, Any]:
    """The machine as JSON. `load` is the average number of running processes, 1 minute back."""
    import torch

    machine: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_nbytes": psutil.virtual_memory().total,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }
    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        machine["gpu"] = torch.cuda.get_device_name()
        machine["gpu_memory_nbytes"] = torch.cuda.get_device_properties(0).total_memory
        machine["cuda"] = torch.version.cuda
    return machine


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's name, from the system where Python does not know it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def rates(device: str, dtype: str, threads: int) -> Rates | None:
    """The best this machine did in a few tries, measured once a process: a square product in
    `dtype`, and reading memory. `threads` are torch's. None where there is no room for it now."""
    try:
        return _measured(device, dtype, threads)
    except RuntimeError:  # out of memory: predictions are unknown then, the run goes on
        return None


@lru_cache
def _measured(device: str, dtype: str, threads: int) -> Rates:
    import torch

    where, is_cuda = torch.device(device), device.startswith("cuda")
    size, product = _product(where, getattr(torch, dtype), LARGEST_SIZE[is_cuda])
    numbers = torch.ones(READ_NBYTES[is_cuda] // 4, dtype=torch.float32, device=where)
    read = _fastest(numbers.sum, where)
    name = torch.cuda.get_device_name(where) if is_cuda else device
    on = f"{processor()}, {threads} threads" if where.type == "cpu" else name
    return Rates(
        flops_per_second=2 * size**3 / product,
        nbytes_per_second=numbers.nbytes / read,
        conditions=(
            f"{on}: the fastest of {TRIES} {size} x {size} matrix products in {dtype}, and of "
            f"{TRIES} reads of {numbers.nbytes >> 20} MiB, measured just before the process's "
            "first run"
        ),
    )


def _product(device: Any, dtype: Any, largest: int) -> tuple[int, float]:
    """A size at which a square product takes a while, and its seconds."""
    import torch

    size = FIRST_SIZE
    while True:
        square = torch.ones(size, size, dtype=dtype, device=device)
        spent = _fastest(partial(torch.matmul, square, square), device)
        if size >= largest or spent * 8 > LONGEST:
            return size, spent
        size *= 2


def _fastest(work: Callable[[], object], device: Any) -> float:
    """Seconds of the fastest of a few tries, after one that warms up."""
    import torch

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()

    best = float("inf")
    for number in range(TRIES + 1):
        wait()
        began = perf_counter()
        work()
        wait()
        if number:
            best = min(best, perf_counter() - began)
    return max(best, 1e-9)
