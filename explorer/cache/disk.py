"""A prefix cache on disk: a folder with the blocks in one safetensors file, and a JSON index.

    folder/index.json                 model, number format, block size; of each block its key, its
                                      parent's, its tokens, its layout and a checksum
    folder/blocks-<random>.safetensors   of each block its bytes, by key

Saving writes a new blocks file and then moves a new index over the old: a crash leaves the old
cache or the new one. Loading maps the blocks file into memory: a block's bytes are read, and held
against their checksum, when a prompt first hits it.

Blocks may be written in 8 bits (`kv_dtype="int8"`), as `cache.codes` rounds them; the index then
says of each by how much a key or value is off at most, measured.
"""

from __future__ import annotations

import os
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

import orjson
import torch
from safetensors import SafetensorError, safe_open

from explorer.cache.blocks import Block, Layout
from explorer.cache.index import (
    FORMAT,
    INDEX,
    VERSION,
    Entry,
    Index,
    check,
    damaged,
    read_index,
    sealed,
)
from explorer.cache.nodes import Node, Owner
from explorer.config import InputError

if TYPE_CHECKING:
    from explorer.cache.prefix import PrefixCache

AT_ONCE = 512  # blocks to a system call
LEFT_SECONDS = 3600.0  # a file of blocks that no index names and nobody has written to since: left
DTYPES = ("model", "int8")


@dataclass(frozen=True, slots=True)
class Stored:
    """What was saved or loaded, and how long that took."""

    blocks: int
    nbytes: int
    seconds: float
    max_abs_error: float | None  # None: nothing was rounded to be written


def check_folder(folder: Path) -> None:
    """Raise InputError where a cache cannot be saved in `folder`, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        words = f"Cannot write the prefix cache to {folder}: {problem.strerror}."
        raise InputError(words) from problem


def is_saved(folder: Path) -> bool:
    """Whether there is a cache in `folder`, of whatever kind."""
    return (folder / INDEX).exists()


def check_dtype(kv_dtype: str) -> None:
    """Raise InputError where blocks cannot be written in this format."""
    if kv_dtype not in DTYPES:
        raise InputError(f"prefix_disk: choose {' or '.join(DTYPES)}, not {kv_dtype!r}.")


def block_size(folder: Path) -> int:
    """Tokens of a block of the cache in `folder`. Raises InputError where it cannot be read."""
    return read_index(folder).block_size


def save(cache: PrefixCache, folder: Path, owner: Owner, kv_dtype: str = "model") -> Stored:
    """Write the blocks of one model, in place of what was there, whoever wrote that. Raises
    InputError where that cannot be."""
    began = perf_counter()
    check_dtype(kv_dtype)
    nodes = _readable(cache, owner)
    blocks = [_rounded(node.block) if kv_dtype == "int8" else node.block for node in nodes]
    buffers = [block.buffer.cpu() for block in blocks]
    name = f"blocks-{uuid.uuid4().hex}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {node.key.hex(): buffer for node, buffer in zip(nodes, buffers, strict=True)}
        with ThreadPoolExecutor(1) as writer:  # checksums are made while the disk works
            written = writer.submit(_write, folder / name, tensors)
            index = _index(cache.block_size, owner, name, nodes, blocks, map(_checksum, buffers))
            written.result()
        _replace(folder, index)
    except BaseException as problem:
        with suppress(OSError):
            (folder / f"{name}.json").unlink(missing_ok=True)
            if _data_of(folder) != folder / name:
                (folder / name).unlink(missing_ok=True)
        if isinstance(problem, OSError | SafetensorError):
            words = f"Cannot write the prefix cache to {folder}: {problem}."
            raise InputError(words) from problem
        raise
    nbytes = sum(buffer.numel() for buffer in buffers)
    return Stored(len(nodes), nbytes, perf_counter() - began, _error(index))


def load(cache: PrefixCache, folder: Path, owner: Owner) -> Stored:
    """Put the blocks of a folder into `cache`, mapped, as far as there is room. Raises InputError,
    one sentence, for a folder of another model, number format, block size or version, or a damaged
    one."""
    began = perf_counter()
    index = read_index(folder)
    check(index, cache, folder, owner)
    if not (folder / index.data).exists():  # somebody may have saved since
        index = read_index(folder)
        check(index, cache, folder, owner)
    try:
        file = safe_open(folder / index.data, "pt")
        sizes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as problem:
        raise damaged(folder, f"{index.data}: {problem}") from problem
    nbytes = 0
    added: list[tuple[int, bytes]] = []
    for entry in index.blocks:
        block = Block(
            index.layouts[entry.layout], _reader(file, folder, entry), entry.max_abs_error
        )
        if sizes.get(entry.key) != [block.nbytes]:
            raise damaged(folder, f"block {entry.key[:12]} is missing or of another size")
        parent = None if entry.parent is None else bytes.fromhex(entry.parent)
        context = index.contexts[entry.context]
        if cache.add(context, parent, entry.tokens, block, entry.cold_seconds, entry.whole_seconds):
            added.append((entry.rank, bytes.fromhex(entry.key)))
            nbytes += block.nbytes
    cache.reorder(key for _, key in sorted(added))
    return Stored(len(added), nbytes, perf_counter() - began, _error(index))


def _readable(cache: PrefixCache, owner: Owner) -> list[Node]:
    """The owner's blocks. What was loaded from a folder that has been damaged since, and all that
    goes on from it, leaves the cache."""
    found: list[Node] = []
    lost: set[Node] = set()
    for node in cache.nodes:
        if not owner.owns(node.context):
            continue
        try:
            if node.parent in lost:
                lost.add(node)
            elif node.block.buffer is not None:
                found.append(node)
        except InputError:
            lost.add(node)
            cache.forget(node)
    return found


def _error(index: Index) -> float | None:
    """By how much a key or value is off at most; None: they are what runs had stored."""
    return max((entry.max_abs_error for entry in index.blocks), default=0.0) or None


def _index(
    block_size: int,
    owner: Owner,
    data: str,
    nodes: Sequence[Node],
    blocks: Sequence[Block],
    checksums: Iterable[int],
) -> Index:
    contexts: dict[str, int] = {}
    layouts: dict[Layout, int] = {}
    entries = tuple(
        Entry(
            key=node.key.hex(),
            parent=None if node.parent is None else node.parent.key.hex(),
            context=contexts.setdefault(node.context, len(contexts)),
            tokens=node.token_ids,
            layout=layouts.setdefault(block.layout, len(layouts)),
            checksum=checksum,
            rank=node.rank,
            max_abs_error=block.max_abs_error,
            cold_seconds=node.cold_seconds,
            whole_seconds=node.whole_seconds,
        )
        for node, block, checksum in zip(nodes, blocks, checksums, strict=True)
    )
    known = (*contexts,), (*layouts,)
    return Index(FORMAT, VERSION, owner, block_size, data, *known, entries)


def _rounded(block: Block) -> Block:
    """The block in 8 bits; how far off that is, is measured."""
    small = Block.of([[segment.in_8_bits() for segment in part] for part in block.layers])
    small.max_abs_error = block.max_abs_error + max(
        float((before.float() - after.float()).abs().max())
        for before, after in zip(_states(block), _states(small), strict=True)
    )
    return small


def _states(block: Block) -> Iterator[torch.Tensor]:
    return (states for part in block.layers for segment in part for states in segment.read())


def _checksum(buffer: torch.Tensor) -> int:
    return zlib.crc32(buffer.numpy().data)


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """The blocks file, safely on the disk: safetensors' format, many blocks to a system call, which
    takes half the time of writing them one by one."""
    header: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel()
        header[name] = {"dtype": "U8", "shape": [end - start], "data_offsets": [start, end]}
    head = orjson.dumps(header)
    head += b" " * (-len(head) % 8)
    parts = [memoryview(len(head).to_bytes(8, "little") + head)]
    parts += [tensor.numpy().data for tensor in tensors.values()]
    with open(path, "wb", buffering=0) as file:
        for first in range(0, len(parts), AT_ONCE):
            _put(file, parts[first : first + AT_ONCE])
    _sync(path)


def _put(file: FileIO, parts: list[memoryview]) -> None:
    """All of `parts`, however much of it a call takes."""
    while parts:
        done = os.writev(file.fileno(), parts) if hasattr(os, "writev") else file.write(parts[0])
        while parts and done >= len(parts[0]):
            done -= len(parts.pop(0))
        if done:
            parts[0] = parts[0][done:]


def _replace(folder: Path, index: Index) -> None:
    """Move the new index, safely on the disk, over the old one; the old blocks can go then."""
    old, data, part = _data_of(folder), folder / index.data, folder / f"{index.data}.json"
    part.write_bytes(sealed(index))
    _sync(part)
    part.replace(folder / INDEX)
    _sync(folder)
    for other in folder.glob("blocks-*"):
        with suppress(OSError):  # a system may keep what is mapped, or another process be faster
            if other == old or (other != data and time() - other.stat().st_mtime > LEFT_SECONDS):
                other.unlink(missing_ok=True)


def _data_of(folder: Path) -> Path | None:
    """The blocks file that the index which is there names, if it can be read."""
    try:
        return folder / Path(orjson.loads((folder / INDEX).read_bytes())["data"]).name
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # where a folder cannot be opened
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reader(file: safe_open, folder: Path, entry: Entry):  # type: ignore[no-untyped-def]
    """What gives the block's bytes when they are wanted."""

    def read() -> torch.Tensor:
        buffer: torch.Tensor = file.get_tensor(entry.key)
        if _checksum(buffer) != entry.checksum:
            raise damaged(folder, f"block {entry.key[:12]} is not what was written")
        return buffer

    return read
