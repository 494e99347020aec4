"""load_model: the bundled model, a local folder or a Hub id, checked before it is used.

Every failure that a user can cause is one InputError sentence with the remedy. After loading, a
capability probe runs a few tokens through the shared pool and through the model's own attention;
a model whose attention cannot be replaced keeps every backend but `cow`; `info.reason` says why.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import inspect
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any

import psutil
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.cache_utils import Cache, DynamicCache
from transformers.utils import logging

from explorer import attention
from explorer.attention import TreeMask
from explorer.compiled import Compiled, compile_blocks, swapped
from explorer.config import InputError
from explorer.hub import guard, has_tokenizer, locate, weight_nbytes
from explorer.kernels import forced
from explorer.probe import describe
from explorer.seq2seq import Source

# Of a config: what changes no key and no value, or is said by the weights themselves.
NOT_THE_MODEL = (
    *("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"),
    *("use_cache", "return_dict", "output_attentions", "output_hidden_states"),
    *("bos_token_id", "eos_token_id", "pad_token_id"),
)
SUMMED = 64  # 64-bit integers in a row of the table whose sums stand for a weight
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
        self.source: Source | None = None  # of an encoder-decoder model while it runs
        config = module.config
        if (
            getattr(config, "attn_logit_softcapping", None)
            and config._attn_implementation == "sdpa"
        ):
            # some transformers releases leave the cap out of their sdpa path without a word
            module.set_attn_implementation("eager")
        self.tokenizer = tokenizer
        self._lock = threading.RLock()
        parameters = inspect.signature(module.forward).parameters
        self.keeps_logits = "logits_to_keep" in parameters
        self.kernel = "auto"  # of attention
        self.compiled: Compiled | None = None
        self.kept: dict[str, Any] = {}  # what is made once and shared with copies
        self.is_from_files = False
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
        extra: dict[str, Any] = {"logits_to_keep": 1} if self.keeps_logits else {}
        if self.source is not None:
            start = None if positions is None else positions[0][0]
            with self._pass():
                logits = self.source.forward(self.module, ids, cache, start, tree_mask, **extra)
            return logits[:, -1, :]
        if tree_mask is not None:
            assert positions is not None
            extra["tree_mask"] = tree_mask
            extra["position_ids"] = torch.tensor(
                [list(row) for row in positions], dtype=torch.long, device=self.device
            )
        name = attention.NAME if tree_mask is not None else None
        with self._pass():
            with attention.implementation(self.module, name) if name else nullcontext():
                out = self.module(
                    input_ids=ids, past_key_values=cache, use_cache=cache is not None, **extra
                )
        return out.logits[:, -1, :]  # type: ignore[no-any-return]

    @contextmanager
    def _pass(self) -> Iterator[None]:
        """One pass at a time, on the kernel and with the blocks that the run asked for."""
        with self._lock, torch.inference_mode(), forced(self.kernel), swapped(self.compiled):
            yield

    def tuned(self, kernel: str, is_compiled: bool) -> LoadedModel:
        """This model on an attention kernel, its blocks compiled or not. Made once."""
        if kernel == self.kernel and not is_compiled:
            return self
        key = f"{kernel}{' compiled' * is_compiled}"
        if key not in self.kept:
            model = self.kept[key] = copy.copy(self)
            model.kernel = kernel
            if is_compiled:
                model.compiled = self.compile()[0]
        return self.kept[key]  # type: ignore[no-any-return]

    def compile(self) -> tuple[Compiled, str]:
        """Compiled blocks, and why there are none. Done once."""
        if "blocks" not in self.kept:
            with self._lock:
                self.kept["blocks"] = compile_blocks(self.module)
        return self.kept["blocks"]  # type: ignore[no-any-return]

    @property
    def is_encoder_decoder(self) -> bool:
        return bool(getattr(self.module.config, "is_encoder_decoder", False))

    def reading(self, ids: Sequence[int]) -> LoadedModel:
        """This model's decoder over the source `ids`: a model like any other, for one run."""
        reader = copy.copy(self)
        reader.source = Source(ids)
        return reader

    def new_cache(self) -> DynamicCache:
        """An empty cache of transformers' own, of the decoder's self-attention if there are two."""
        return DynamicCache(config=None if self.is_encoder_decoder else self.module.config)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of what the model computes: its class, its config, and of every weight
        name, shape, number format and sums over its bits. Not its own name: the same weights in
        another folder are the same model."""
        found = hashlib.sha256(f"{type(self.module).__name__}".encode())
        config = self.module.config.to_dict()
        for name in NOT_THE_MODEL:
            config.pop(name, None)
        found.update(json.dumps(config, sort_keys=True, default=str).encode())
        for name, tensor in sorted(self.module.state_dict().items()):
            found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode() + _sums(tensor))
        return found.hexdigest()

    def end_tokens(self) -> frozenset[int]:
        """Ids that end a text: of the generation config, the config and the tokenizer."""
        found: set[int] = set()
        for owner in (self.module.generation_config, self.module.config, self.tokenizer):
            value = getattr(owner, "eos_token_id", None)
            found.update([value] if isinstance(value, int) else value or [])
        return frozenset(found)


def _sums(weight: torch.Tensor) -> bytes:
    """The weight's bits as integers of 64 bits, modulo 2^64 summed by row and by column of a table
    of them: any one change shows in both, and little leaves the device."""
    flat = weight.detach().contiguous().reshape(-1).view(torch.uint8)
    missing = -len(flat) % (8 * SUMMED)
    if missing:
        flat = torch.nn.functional.pad(flat, (0, missing))
    table = flat.view(torch.int64).view(-1, SUMMED)
    return b"".join(table.sum(axis).cpu().numpy().tobytes() for axis in (0, 1))


def load_model(name: str = "tiny", device: str = "auto", dtype: str = "auto") -> LoadedModel:
    """Load `tiny`, a local folder or a Hub id. Raises InputError, one sentence with the remedy.

    `device` auto takes CUDA, then Apple's MPS, then the CPU; `dtype` auto is float32 on the CPU and
    the checkpoint's own elsewhere. Code from a repository is never run. A model larger than one GPU
    is spread over all of them where accelerate is installed.
    """
    source = locate(name)
    target = _device(device)
    config = guard(name, lambda: AutoConfig.from_pretrained(source, trust_remote_code=False))
    kind = _dtype(dtype, target, config)
    needed = weight_nbytes(source, torch.empty((), dtype=kind).element_size())
    placement = _placement(name, target, needed)
    with _no_bar(source):
        module = guard(
            name,
            lambda: _kind(config).from_pretrained(
                source, dtype=kind, trust_remote_code=False, **placement
            ),
        )
    if not placement:
        module = module.to(target)
    model = LoadedModel(module, _tokenizer(name, source), name)
    model.is_from_files = True
    return model


@contextmanager
def _no_bar(source: str) -> Iterator[None]:
    """No progress bar while a local folder loads, which takes moments; downloads keep theirs."""
    if not os.path.isdir(source):
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


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


def _kind(config: PreTrainedConfig) -> Any:
    """The family of classes that the model is one of."""
    is_encoder_decoder = getattr(config, "is_encoder_decoder", False)
    return AutoModelForSeq2SeqLM if is_encoder_decoder else AutoModelForCausalLM


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
        if importlib.util.find_spec("accelerate"):
            return {"device_map": "auto"}
        raise InputError(
            f"{name} needs about {needed / gib:.1f} GiB, more than one GPU has free; "
            "`pip install accelerate` lets Forkscope spread it over all of them."
        )
    raise InputError(
        f"{name} needs about {needed / gib:.1f} GiB for its weights and the GPU has "
        f"{free / gib:.1f} GiB free; choose a smaller model, --dtype bfloat16 or --device cpu."
    )


def _tokenizer(name: str, source: str) -> PreTrainedTokenizerBase | None:
    """None where there is none; one that is there and broken is an error."""
    if not has_tokenizer(source):
        return None
    return guard(name, lambda: AutoTokenizer.from_pretrained(source, trust_remote_code=False))
