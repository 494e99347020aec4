"""The index of a prefix cache on disk: what it holds and for whom, read with distrust."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import TypeAdapter, ValidationError

from explorer.cache.blocks import Layout
from explorer.cache.nodes import Owner, Timed, block_key, context_key
from explorer.config import InputError

if TYPE_CHECKING:
    from explorer.cache.prefix import PrefixCache

FORMAT, VERSION = "forkscope-prefix", 2
INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """A block: who it follows and what it says; its bytes are in the blocks file, by its key."""

    key: str  # hex
    parent: str | None
    context: int  # of the index's
    tokens: tuple[int, ...]
    layout: int
    checksum: int  # CRC-32
    rank: int  # the lowest leaves first
    max_abs_error: float
    cold_seconds: Timed
    whole_seconds: Timed


@dataclass(frozen=True, slots=True)
class Index:
    """All of the folder but the bytes. Parents come before their children."""

    format: str
    version: int
    owner: Owner
    block_size: int
    data: str  # name of the blocks file
    contexts: tuple[str, ...]
    layouts: tuple[Layout, ...]
    blocks: tuple[Entry, ...]


_INDEX = TypeAdapter(Index)


def sealed(index: Index | dict[str, Any]) -> bytes:
    """As it is written: with a CRC-32 of all the rest as its last field."""
    body = orjson.dumps(index, option=orjson.OPT_NON_STR_KEYS)
    return body[:-1] + b',"checksum":%d}' % zlib.crc32(body)


def read_index(folder: Path) -> Index:
    """The index of `folder`. Raises InputError, one sentence, where it is missing, of another
    version or damaged."""
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
            raise damaged(folder, f"{INDEX} names no such format")
        if raw.get("version") != VERSION:
            raise InputError(
                f"{folder} was saved as version {raw.get('version')} and this Forkscope reads "
                f"version {VERSION}; give another folder, or delete this one."
            )
        checksum = raw.pop("checksum", None)
        if checksum != zlib.crc32(orjson.dumps(raw)):
            raise damaged(folder, f"{INDEX} is not what was written")
        index = _INDEX.validate_python(raw, strict=False)
        _check_chain(index)
    except (orjson.JSONDecodeError, ValidationError, ValueError) as problem:
        if isinstance(problem, InputError):
            raise
        words = str(problem).splitlines()[0]
        raise damaged(folder, f"{INDEX}: {words}") from problem
    return index


def _check_chain(index: Index) -> None:
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


def check(index: Index, cache: PrefixCache, folder: Path, owner: Owner) -> None:
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
        raise damaged(folder, "it has blocks of another model")


def damaged(folder: Path, what: str) -> InputError:
    return InputError(
        f"The prefix cache in {folder} is damaged ({what}); delete the folder and it is made anew."
    )
