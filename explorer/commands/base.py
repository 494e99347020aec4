"""What several commands ask and do alike: shared options, where people's output goes, the JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from explorer import terminal
from explorer.config import InputError, RunConfig

if TYPE_CHECKING:
    from explorer.cache.disk import Stored
    from explorer.cache.prefix import PrefixCache
    from explorer.cache.watched import WatchedCache
    from explorer.models import LoadedModel

AsJson = Annotated[bool, typer.Option("--json", help="Last line of stdout: one JSON document")]
PromptFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Read the prompt from a UTF-8 text file")
]
TraceFile = Annotated[
    Path | None, typer.Option("--trace", metavar="FILE", help="Record every step as JSON lines")
]
PrefixFolder = Annotated[
    Path | None,
    typer.Option(
        "--prefix-cache", metavar="DIR", help="Reuse prompts from this folder, and add to it"
    ),
]
PrefixBlockSize = Annotated[
    int | None, typer.Option(help="Tokens of a block; none: the folder's, or 16")
]
PrefixMaxNbytes = Annotated[
    int | None, typer.Option(metavar="BYTES", help="Of the prefix cache; none: 256 MiB")
]
PrefixMaxBlocks = Annotated[int | None, typer.Option(help="Of the prefix cache; none: no bound")]
PrefixOrder = Annotated[str, typer.Option(metavar="lru|fifo", help="Which leaf leaves it first")]
PrefixDisk = Annotated[
    str, typer.Option(metavar="model|int8", help="Number format of the folder's blocks")
]
KeepPruned = Annotated[bool, typer.Option(help="List pruned paths as well")]


def console_for(as_json: bool) -> Console:
    """Where people read: stdout, or stderr once stdout's last line is JSON."""
    return Console(stderr=as_json)


def print_json(document: dict[str, Any]) -> None:
    """One line on stdout."""
    sys.stdout.write(orjson.dumps(document).decode() + "\n")
    sys.stdout.flush()


def load(config: RunConfig, console: Console) -> LoadedModel:
    """The model of `config`, with a line while it loads. Raises InputError."""
    from explorer.models import load_model

    quiet()
    with console.status(escape(f"loading {terminal.plain(config.model)}")):
        return load_model(config.model, config.device, config.dtype)


def open_prefix(
    model: LoadedModel,
    folder: Path | None,
    block_size: int | None,
    max_nbytes: int | None,
    max_blocks: int | None,
    order: str,
    kv_dtype: str,
    prefix_use: str,
) -> WatchedCache:
    """A prefix cache with what the folder holds, if it is there. Raises InputError, also where it
    could not be saved in `kv_dtype` later; a folder that runs only read need not be writable."""
    from explorer import serving
    from explorer.cache import disk, prefix, watched
    from explorer.reuse import load_prefix

    disk.check_dtype(kv_dtype)
    is_there = folder is not None and disk.is_saved(folder)
    if block_size is None:
        block_size = prefix.BLOCK_SIZE
        if folder is not None and is_there:
            block_size = disk.block_size(folder)
    nbytes = prefix.CAPACITY_NBYTES if max_nbytes is None else max_nbytes
    cache = watched.WatchedCache(block_size, nbytes, max_blocks, order)
    if folder is not None and is_there:
        with cache.doing("load", serving.reader(model)):
            load_prefix(cache, folder, model)
    if folder is not None and not (is_there and prefix_use != "on"):
        disk.check_folder(folder)
    return cache


def keep_prefix(
    model: LoadedModel, cache: PrefixCache, folder: Path, kv_dtype: str, is_new: bool
) -> Stored | None:
    """Save the blocks of this model, if there are new ones or no folder yet. Raises InputError."""
    from explorer.cache import disk
    from explorer.reuse import save_prefix

    if not is_new and disk.is_saved(folder):
        return None
    return save_prefix(cache, folder, model, kv_dtype)


def quiet() -> None:
    """Keep transformers' notes and bars off the terminal: what matters is said in our own line."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def write(out: Path, data: bytes) -> None:
    """Write a file. Raises InputError where that cannot be."""
    try:
        out.write_bytes(data)
    except OSError as error:
        raise InputError(f"Cannot write {out}: {error.strerror}.") from error
