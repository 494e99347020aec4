"""A prefix cache on disk: a folder with the blocks in one safetensors file, and a JSON index.

    folder/index.json                 model, number format, block size; of each block its key, its
                                      parent's, its tokens, its layout and a checksum
    folder/blocks-<random>.safetensors   of each block its bytes, by key

Saving writes a new blocks file and then moves a new index over the old: a crash leaves the old
cache or the new one. Loading maps the blocks file into memory: a block's bytes are read, and held
against their checksum, when a prompt first hits it.

Blocks may be written in 8 bits (`kv_dtype="int8"`), as `cache.codes` rounds them; the index then
says by how much a key or value is off at most, measured.
"""

from __future__ import annotations

import os
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal, get_args

import orjson
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from explorer.cache.blocks import Block, Layout
from explorer.cache.nodes import Node, Owner, block_key, context_key
from explorer.config import InputError

if TYPE_CHECKING:
    from explorer.cache.prefix import PrefixCache

FORMAT, VERSION = "forkscope-prefix", 1
INDEX = "index.json"
DiskDtype = Literal["model", "int8"]


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str  # hex
    parent: str | None
    context: int  # of the index's
    tokens: tuple[int, ...]
    layout: int
    checksum: int  # CRC-32
    cold_seconds: dict[int, float]


@dataclass(frozen=True, slots=True)
class _Index:
    format: str
    version: int
    owner: Owner
    block_size: int
    kv_dtype: DiskDtype
    max_abs_error: float | None  # of a key or value, where they were rounded to be written
    data: str  # name of the blocks file
    contexts: tuple[str, ...]
    layouts: tuple[Layout, ...]
    blocks: tuple[_Entry, ...]


_INDEX = TypeAdapter(_Index)


@dataclass(frozen=True, slots=True)
class Stored:
    """What was saved or loaded, and how long that took."""

    blocks: int
    nbytes: int
    seconds: float
    max_abs_error: float | None  # None: nothing was rounded to be written


def is_saved(folder: Path) -> bool:
    """Whether there is a cache in `folder`, of whatever kind."""
    return (folder / INDEX).is_file()


def save(cache: PrefixCache, folder: Path, owner: Owner, kv_dtype: DiskDtype = "model") -> Stored:
    """Write the blocks of one model, in place of what was there. Raises InputError where that
    cannot be."""
    began = perf_counter()
    if kv_dtype not in get_args(DiskDtype):
        kinds = " or ".join(get_args(DiskDtype))
        raise InputError(f"prefix_disk: choose {kinds}, not {kv_dtype!r}.")
    contexts: dict[str, int] = {}
    layouts: dict[Layout, int] = {}
    tensors: dict[str, torch.Tensor] = {}
    entries, error = [], 0.0
    for node in cache.nodes:
        if not owner.owns(node.context):
            continue
        block = node.block
        if kv_dtype == "int8":
            block, off = _rounded(block)
            error = max(error, off)
        tensors[node.key.hex()] = buffer = block.buffer.cpu()
        context = contexts.setdefault(node.context, len(contexts))
        layout = layouts.setdefault(block.layout, len(layouts))
        entries.append(_entry(node, context, layout, _checksum(buffer)))
    index = _Index(
        format=FORMAT,
        version=VERSION,
        owner=owner,
        block_size=cache.block_size,
        kv_dtype=kv_dtype,
        max_abs_error=error if kv_dtype == "int8" else None,
        data=f"blocks-{uuid.uuid4().hex}.safetensors",
        contexts=tuple(contexts),
        layouts=tuple(layouts),
        blocks=tuple(entries),
    )
    try:
        _replace(folder, index, tensors)
    except (OSError, SafetensorError) as problem:
        raise InputError(f"Cannot write the prefix cache to {folder}: {problem}.") from problem
    nbytes = sum(tensor.numel() for tensor in tensors.values())
    return Stored(len(entries), nbytes, perf_counter() - began, index.max_abs_error)


def load(cache: PrefixCache, folder: Path, owner: Owner) -> Stored:
    """Put the blocks of a folder into `cache`, mapped. Raises InputError, one sentence, for a
    folder of another model, number format, block size or version, or a damaged one."""
    began = perf_counter()
    index = _read_index(folder)
    _check(index, cache, folder, owner)
    try:
        file = safe_open(folder / index.data, "pt")
        sizes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as problem:
        raise _damaged(folder, f"{index.data}: {problem}") from problem
    count = nbytes = 0
    for entry in index.blocks:
        block = Block(index.layouts[entry.layout], _reader(file, folder, entry))
        if sizes.get(entry.key) != [block.nbytes]:
            raise _damaged(folder, f"block {entry.key[:12]} is missing or of another size")
        parent = None if entry.parent is None else bytes.fromhex(entry.parent)
        context = index.contexts[entry.context]
        if cache.add(context, parent, entry.tokens, block, entry.cold_seconds):
            count, nbytes = count + 1, nbytes + block.nbytes
    return Stored(count, nbytes, perf_counter() - began, index.max_abs_error)


def _entry(node: Node, context: int, layout: int, checksum: int) -> _Entry:
    parent = None if node.parent is None else node.parent.key.hex()
    cold = dict(node.cold_seconds)
    return _Entry(node.key.hex(), parent, context, node.token_ids, layout, checksum, cold)


def _rounded(block: Block) -> tuple[Block, float]:
    """The block in 8 bits, and by how much a key or value of it is off at most."""
    small = Block.of([[segment.in_8_bits() for segment in part] for part in block.layers])
    error = 0.0
    for before, after in zip(_states(block), _states(small), strict=True):
        error = max(error, float((before.float() - after.float()).abs().max()))
    return small, error


def _states(block: Block) -> Iterator[torch.Tensor]:
    return (states for part in block.layers for segment in part for states in segment.read())


def _checksum(buffer: torch.Tensor) -> int:
    return zlib.crc32(buffer.numpy().data)


def _replace(folder: Path, index: _Index, tensors: dict[str, torch.Tensor]) -> None:
    """Write the blocks, then move the index over the old one, each safely on the disk first."""
    folder.mkdir(parents=True, exist_ok=True)
    old = _data_of(folder)
    data, part = folder / index.data, folder / f"{index.data}.json"
    try:
        save_file(tensors, data)
        _sync(data)
        part.write_bytes(orjson.dumps(asdict(index), option=orjson.OPT_NON_STR_KEYS))
        _sync(part)
        part.replace(folder / INDEX)
    except BaseException:
        data.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
        raise
    _sync(folder)
    if old is not None:
        old.unlink(missing_ok=True)


def _data_of(folder: Path) -> Path | None:
    """The blocks file of the index that is there, if it can be read."""
    try:
        return folder / _read_index(folder).data
    except InputError:
        return None


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # where a folder cannot be opened
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_index(folder: Path) -> _Index:
    try:
        data = (folder / INDEX).read_bytes()
    except OSError as problem:
        raise InputError(
            f"{folder} holds no prefix cache that can be read ({problem.strerror}: {INDEX}); give "
            "a folder that was saved, or a new one."
        ) from problem
    try:
        raw = orjson.loads(data)
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise _damaged(folder, f"{INDEX} names no such format")
        if raw.get("version") != VERSION:
            raise InputError(
                f"{folder} was saved as version {raw.get('version')} and this Forkscope reads "
                f"version {VERSION}; give another folder, or delete this one."
            )
        index = _INDEX.validate_json(data)
        _check_chain(index)
    except (orjson.JSONDecodeError, ValidationError, ValueError) as problem:
        if isinstance(problem, InputError):
            raise
        words = str(problem).splitlines()[0]
        raise _damaged(folder, f"{INDEX}: {words}") from problem
    return index


def _check_chain(index: _Index) -> None:
    """Raise ValueError where a block's key is not that of its tokens after its parent's, or names
    what is not there."""
    known = set()
    if Path(index.data).name != index.data:
        raise ValueError("the blocks file lies elsewhere")
    for entry in index.blocks:
        if not (
            0 <= entry.context < len(index.contexts) and 0 <= entry.layout < len(index.layouts)
        ):
            raise ValueError(f"block {entry.key[:12]} has no context or layout")
        if entry.parent is not None and entry.parent not in known:
            raise ValueError(f"block {entry.key[:12]} comes before its parent")
        parent = bytes.fromhex(entry.parent or "") or context_key(index.contexts[entry.context])
        if block_key(parent, entry.tokens).hex() != entry.key:
            raise ValueError(f"block {entry.key[:12]} has other tokens than its key says")
        known.add(entry.key)


def _check(index: _Index, cache: PrefixCache, folder: Path, owner: Owner) -> None:
    """Raise InputError where these blocks are not those of `owner`'s texts."""
    found = index.owner
    other = f"give another folder, or delete this one: {folder}."
    if found.fingerprint != owner.fingerprint:
        raise InputError(
            f"The prefix cache was saved for {found.name}, whose weights or settings are not those "
            f"of {owner.name}; {other}"
        )
    if found.dtype != owner.dtype:
        raise InputError(
            f"The prefix cache was saved in {found.dtype} and the model runs in {owner.dtype}; "
            f"take --dtype {found.dtype}, or {other}"
        )
    if index.block_size != cache.block_size:
        raise InputError(
            f"The prefix cache was saved in blocks of {index.block_size} tokens, not "
            f"{cache.block_size}; take --prefix-block-size {index.block_size}, or {other}"
        )
    if not all(owner.owns(context) for context in index.contexts):
        raise _damaged(folder, "it has blocks of another model")


def _reader(file: safe_open, folder: Path, entry: _Entry):  # type: ignore[no-untyped-def]
    """What gives the block's bytes when they are wanted."""

    def read() -> torch.Tensor:
        buffer: torch.Tensor = file.get_tensor(entry.key)
        if _checksum(buffer) != entry.checksum:
            raise _damaged(folder, f"block {entry.key[:12]} is not what was written")
        return buffer

    return read


def _damaged(folder: Path, what: str) -> InputError:
    return InputError(
        f"The prefix cache in {folder} is damaged ({what}); delete the folder and it is made anew."
    )
