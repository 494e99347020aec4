"""load_model: the bundled model, a local folder or a Hub id, checked before it is used.

Every failure that a user can cause is one InputError sentence with the remedy. After loading, a
capability probe runs a few tokens through the shared pool and through the model's own attention;
a model whose attention cannot be replaced keeps every backend but `cow`, and `info.reason` says why.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import torch
from huggingface_hub import errors as hub_errors
from huggingface_hub import get_safetensors_metadata
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.cache_utils import Cache

from explorer import attention
from explorer.attention import TreeMask
from explorer.config import InputError
from explorer.probe import describe

BUNDLED = {"tiny": Path(__file__).parents[1] / "assets" / "models" / "tiny"}
KEEPABLE = (torch.float32, torch.bfloat16, torch.float16)  # checkpoint dtypes that `auto` keeps


class LoadedModel:
    """A causal language model ready to run: `module`, `tokenizer` (or None), and `info`."""

    def __init__(
        self,
        module: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        name: str = "custom",
    ) -> None:
        self.module = module.eval()
        self.tokenizer = tokenizer
        self._lock = threading.RLock()
        parameters = inspect.signature(module.forward).parameters
        self._keeps_logits = "logits_to_keep" in parameters
        self.info = describe(self, name)

    @property
    def device(self) -> torch.device:
        """Where token ids go in."""
        return self.module.get_input_embeddings().weight.device

    def forward(
        self,
        rows: Sequence[Sequence[int]],
        cache: Cache | None = None,
        positions: Sequence[Sequence[int]] | None = None,
        tree_mask: TreeMask | None = None,
    ) -> torch.Tensor:
        """Logits `[rows, vocab]` at the last token of each row; rows are equally long.

        With `tree_mask` the pass runs through the pool's attention and needs `positions`,
        otherwise through the model's own. `cache` is read and extended.
        """
        ids = torch.tensor([list(row) for row in rows], dtype=torch.long, device=self.device)
        extra: dict[str, Any] = {"logits_to_keep": 1} if self._keeps_logits else {}
        if tree_mask is not None:
            assert positions is not None
            extra["tree_mask"] = tree_mask
            extra["position_ids"] = torch.tensor(
                [list(row) for row in positions], dtype=torch.long, device=self.device
            )
        name = attention.NAME if tree_mask is not None else None
        with self._lock, torch.inference_mode():
            with attention.implementation(self.module, name) if name else nullcontext():
                out = self.module(
                    input_ids=ids, past_key_values=cache, use_cache=cache is not None, **extra
                )
        logits: torch.Tensor = out.logits[:, -1, :]
        return logits

    def end_tokens(self) -> frozenset[int]:
        """Ids that end a text: of the generation config, the config and the tokenizer."""
        found: set[int] = set()
        for owner in (self.module.generation_config, self.module.config, self.tokenizer):
            value = getattr(owner, "eos_token_id", None)
            found.update([value] if isinstance(value, int) else value or [])
        return frozenset(found)


def load_model(name: str = "tiny", device: str = "auto", dtype: str = "auto") -> LoadedModel:
    """Load `tiny`, a local folder or a Hub id. Raises InputError, one sentence with the remedy.

    `device` auto takes CUDA, then Apple's MPS, then the CPU; `dtype` auto is float32 on the CPU and
    the checkpoint's own elsewhere. Code from a repository is never run. A model larger than one GPU
    is spread over all of them where accelerate is installed.
    """
    source = _source(name)
    target = _device(device)
    config = _guard(name, lambda: AutoConfig.from_pretrained(source, trust_remote_code=False))
    _check_kind(name, config)
    kind = _dtype(dtype, target, config)
    needed = _weight_nbytes(source, kind)
    placement = _placement(name, target, needed)
    module = _guard(
        name,
        lambda: AutoModelForCausalLM.from_pretrained(
            source, dtype=kind, trust_remote_code=False, **placement
        ),
    )
    if not placement:
        module = module.to(target)
    return LoadedModel(module, _tokenizer(source), name)


def _source(name: str) -> str:
    if name in BUNDLED:
        folder = BUNDLED[name]
        if not (folder / "config.json").is_file():
            raise InputError(
                f"The bundled model is missing from {folder}; run `python -m explorer train`."
            )
        return str(folder)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"The folder {name} holds no model: it has no config.json.")
        return str(path)
    if path.exists():
        raise InputError(f"{name} is a file; give the folder that holds the model's config.json.")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(f"There is no folder {name}.")
    return name


def _device(device: str) -> torch.device:
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("This machine has no CUDA device that torch can use; take --device cpu.")
    if device.startswith("cuda:") and int(device[5:]) >= torch.cuda.device_count():
        raise InputError(f"There is no {device}; this machine has {torch.cuda.device_count()}.")
    if device == "mps" and not torch.backends.mps.is_available():
        raise InputError("This machine has no MPS device that torch can use; take --device cpu.")
    return torch.device(device)


def _dtype(dtype: str, device: torch.device, config: PreTrainedConfig) -> torch.dtype:
    if dtype != "auto":
        return getattr(torch, dtype)  # type: ignore[no-any-return]
    if device.type == "cpu":
        return torch.float32
    own = getattr(config, "dtype", None)
    return own if own in KEEPABLE else torch.float32


def _check_kind(name: str, config: PreTrainedConfig) -> None:
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(
            f"{name} is an encoder-decoder model ({config.model_type}); "
            "Forkscope runs decoder-only models. Choose a causal language model."
        )


def _weight_nbytes(source: str, dtype: torch.dtype) -> int:
    """Bytes the weights will take, from safetensors sizes; 0 where they cannot be known."""
    size = torch.empty((), dtype=dtype).element_size()
    if Path(source).is_dir():
        stored = sum(f.stat().st_size for f in Path(source).glob("*.safetensors"))
        return stored  # as stored: a conversion passes through this as well
    try:
        counts = get_safetensors_metadata(source).parameter_count
    except (hub_errors.NotASafetensorsRepoError, hub_errors.HfHubHTTPError, OSError):
        return 0
    return sum(counts.values()) * size


def _placement(name: str, device: torch.device, needed: int) -> dict[str, Any]:
    """Keyword arguments that place the weights; raises where they fit nowhere."""
    gib = 2**30
    if device.type != "cuda":
        free = psutil.virtual_memory().available
        if needed > free:
            raise InputError(
                f"{name} needs about {needed / gib:.1f} GiB for its weights and this machine has "
                f"{free / gib:.1f} GiB free; choose a smaller model or --dtype bfloat16."
            )
        return {}
    free = torch.cuda.mem_get_info(device)[0]
    if needed <= free:
        return {}
    total = sum(torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count()))
    if device.index is None and needed <= total:
        if _has_accelerate():
            return {"device_map": "auto"}
        raise InputError(
            f"{name} needs about {needed / gib:.1f} GiB, more than one GPU has free; "
            "`pip install accelerate` lets Forkscope spread it over all of them."
        )
    raise InputError(
        f"{name} needs about {needed / gib:.1f} GiB for its weights and the GPU has "
        f"{free / gib:.1f} GiB free; choose a smaller model, --dtype bfloat16 or --device cpu."
    )


def _has_accelerate() -> bool:
    try:
        import accelerate  # noqa: F401
    except ImportError:
        return False
    return True


def _guard(name: str, load: Any) -> Any:
    """Run `load`; what the Hub or a broken folder throws becomes one sentence."""
    try:
        return load()
    except hub_errors.GatedRepoError as error:
        raise InputError(
            f"{name} is gated: accept its terms on its Hub page, then `hf auth login`."
        ) from error
    except hub_errors.RepositoryNotFoundError as error:
        raise InputError(
            f"There is no model {name} on the Hub and no such folder here; check the spelling."
        ) from error
    except (OSError, hub_errors.HFValidationError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(_explain(name, error)) from error


def _explain(name: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    if "gated repo" in text:
        return f"{name} is gated: accept its terms on its Hub page, then `hf auth login`."
    if "is not a valid model identifier" in text or "Repository Not Found" in text:
        return f"There is no model {name} on the Hub and no such folder here; check the spelling."
    if isinstance(error, hub_errors.HFValidationError) or "Repo id must" in text:
        return f"{name!r} is neither a folder here nor a Hub id such as owner/model."
    if "couldn't connect" in text or "offline" in text.lower() or "resolve" in text.lower():
        return (
            f"{name} is not on this machine and the Hub cannot be reached; check the network, or "
            "give a local folder, or use the bundled model tiny."
        )
    if "trust_remote_code" in text:
        return f"{name} needs code from its repository, which Forkscope never runs."
    if os.path.isdir(name):
        return f"The model in {name} cannot be loaded: {text[:200]}"
    return f"{name} cannot be loaded: {text[:200]}"


def _tokenizer(source: str) -> PreTrainedTokenizerBase | None:
    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)  # type: ignore[no-any-return]
    except (OSError, ValueError, KeyError):
        return None
