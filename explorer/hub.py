"""Where a model comes from: the bundled folder, a local folder, or the Hub; and what can go wrong.

Whatever the Hub or a broken folder throws becomes one InputError sentence with the remedy.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, errors, get_safetensors_metadata, try_to_load_from_cache
from safetensors import SafetensorError, safe_open

from explorer.config import InputError

MODELS = Path(__file__).parents[1] / "assets" / "models"
BUNDLED = {name: MODELS / name for name in ("tiny", "tiny-seq2seq")}
# the HTTP client's base of all its errors
TRANSPORT_ERROR: type[Exception] = errors.HfHubHTTPError.__mro__[1]
TIMEOUT = 10  # seconds
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")

T = TypeVar("T")


def locate(name: str) -> str:
    """What `from_pretrained` takes for `name`: a folder that holds a model, or a Hub id."""
    if name in BUNDLED:
        folder = BUNDLED[name]
        if not (folder / "config.json").is_file():
            raise InputError(
                f"The bundled model is missing from {folder}; run "
                f"`python -m explorer train --model {name}`."
            )
        return str(folder)
    try:
        path = Path(name).expanduser()
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, RuntimeError) as error:  # a name too long for a path, a home nobody has
        raise InputError(f"{name[:60]!r} is neither a folder here nor a Hub id.") from error
    if is_folder:
        if not (path / "config.json").is_file():
            raise InputError(f"The folder {name} holds no model: it has no config.json.")
        return str(path)
    if exists:
        raise InputError(f"{name} is a file; give the folder that holds the model's config.json.")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(f"There is no folder {name}.")
    guard(name, lambda: _ask_hub(name))
    return name


def _ask_hub(name: str) -> None:
    """One quick question before any download, so that a wrong name or no network is said at once.

    A model whose config is in the local Hub cache is not asked for.
    """
    if not isinstance(try_to_load_from_cache(name, "config.json"), str):
        HfApi().model_info(name, timeout=TIMEOUT)


def weight_nbytes(source: str, element_size: int) -> int:
    """Bytes the weights will take in numbers of `element_size` bytes, from safetensors headers;
    0 where they cannot be known."""
    if Path(source).is_dir():
        files = Path(source).glob("*.safetensors")
        return element_size * sum(_num_elements(file) for file in files)
    try:
        counts = get_safetensors_metadata(source).parameter_count
    except (errors.NotASafetensorsRepoError, TRANSPORT_ERROR, OSError):
        return 0
    return sum(counts.values()) * element_size


def _num_elements(file: Path) -> int:
    try:
        with safe_open(file, framework="numpy") as weights:
            names = list(weights.keys())
            return sum(math.prod(weights.get_slice(name).get_shape()) for name in names)
    except (SafetensorError, OSError):
        return 0  # damaged: loading says so, with the reason


def has_tokenizer(source: str) -> bool:
    """Whether a local folder holds a tokenizer's vocabulary; of a Hub id it is assumed."""
    folder = Path(source)
    return not folder.is_dir() or any((folder / file).exists() for file in TOKENIZER_FILES)


def guard(name: str, load: Callable[[], T]) -> T:
    """Run `load`; what the Hub or a broken folder throws becomes one sentence."""
    try:
        return load()
    except errors.GatedRepoError as error:
        raise InputError(
            f"{name} is gated: accept its terms on its Hub page, then `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"There is no model {name} on the Hub and no such folder here; check the spelling."
        ) from error
    except errors.HfHubHTTPError as error:
        raise InputError(_explain(name, error)) from error
    except TRANSPORT_ERROR as error:
        raise InputError(_unreachable(name)) from error
    except Exception as error:  # safetensors and tokenizers throw kinds of their own, or none
        raise InputError(_explain(name, error)) from error


def _explain(name: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    if "gated repo" in text:
        return f"{name} is gated: accept its terms on its Hub page, then `hf auth login`."
    if "is not a valid model identifier" in text or "Repository Not Found" in text:
        return f"There is no model {name} on the Hub and no such folder here; check the spelling."
    if isinstance(error, errors.HFValidationError) or "Repo id must" in text:
        return f"{name!r} is neither a folder here nor a Hub id such as owner/model."
    if "couldn't connect" in text or "offline mode" in text.lower():
        return _unreachable(name)
    if "trust_remote_code" in text:
        return f"{name} needs code from its repository, which Forkscope never runs."
    if os.path.isdir(name):
        return f"The model in {name} cannot be loaded: {text[:200]}"
    return f"{name} cannot be loaded: {text[:200]}"


def _unreachable(name: str) -> str:
    return (
        f"{name} is not on this machine and the Hub cannot be reached; check the network, or "
        "give a local folder, or use the bundled model tiny."
    )
