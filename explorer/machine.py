"""What a measurement was made on: processor, memory, versions, and how busy it was."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

PACKAGES = ("torch", "transformers", "gradio", "numpy")


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
