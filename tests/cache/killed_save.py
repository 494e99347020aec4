"""Saves over a saved cache and is killed at every point of it, once each. Started by test_disk.

Usage: python killed_save.py FOLDER. Prints for each point what the folder holds after the kill.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from explorer.cache import disk
from explorer.cache.blocks import FULL, Block, Segment
from explorer.cache.nodes import Owner
from explorer.cache.prefix import PrefixCache
from explorer.config import InputError

OWNER = Owner("by hand", "abc", "float32")
POINTS = ("_write", "_sync", "write_bytes", "replace", "unlink")


def cache_of(number: int) -> PrefixCache:
    """A block whose tokens and numbers are all `number`."""
    states = torch.full((2, 4, 3), float(number))
    block = Block.of([[Segment(FULL, torch.float32, (3, 3), 3, (states, states))]])
    cache = PrefixCache(4)
    cache.add(OWNER.context("model"), None, (number,) * 4, block, {}, {})
    return cache


def held(folder: Path) -> str:
    """The one number that the folder's blocks are made of."""
    cache = PrefixCache(4)
    try:
        disk.load(cache, folder, OWNER)
    except InputError as problem:
        return f"refused: {problem}"
    [node] = cache.nodes
    [[segment]] = node.block.layers
    numbers = {*node.token_ids, *segment.read()[0].flatten().tolist()}
    return str(sorted(map(int, numbers)))


def killed_at(folder: Path, point: int) -> bool:
    """Save in a process that is killed before its `point`-th touch of the disk; whether it was."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == signal.SIGKILL
    left = [point]

    def dying(real):  # type: ignore[no-untyped-def]
        def touch(*given, **named):  # type: ignore[no-untyped-def]
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return real(*given, **named)

        return touch

    for name in POINTS:
        owner = disk if hasattr(disk, name) else Path
        setattr(owner, name, dying(getattr(owner, name)))
    disk.save(cache_of(2), folder, OWNER)
    os._exit(0)


def main(folder: Path) -> None:
    point, was_killed = 0, True
    while was_killed:
        disk.save(cache_of(1), folder, OWNER)
        was_killed = killed_at(folder, point)
        print(point, held(folder), len(list(folder.glob("blocks-*.safetensors"))), flush=True)
        point += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
