"""Shared by all tests: small models, a model folder with a tokenizer, a trace written by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from explorer.config import RunConfig
from explorer.events import (
    FORMAT,
    VERSION,
    Candidate,
    Decision,
    End,
    Fork,
    Header,
    Memory,
    ModelInfo,
    Node,
    PromptToken,
    Step,
)
from explorer.trace import Trace

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from explorer.models import LoadedModel

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Models this small are slower on several threads, and far slower beside another program.
os.environ.setdefault("OMP_NUM_THREADS", "1")

NUM_BYTES = 256


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, saying why; leave the browser's folder to the end.

    Playwright keeps an event loop running once its session has begun, and a thread has one only.
    """
    items.sort(key=lambda item: item.path.parent.name == "browser")
    if any("gpu" in item.keywords for item in items) and not _has_cuda():
        _skip(items, "gpu", "needs a CUDA device")
    if os.environ.get("FORKSCOPE_NETWORK") != "1":
        _skip(items, "network", "needs the internet: FORKSCOPE_NETWORK=1")
    if any("browser" in item.keywords for item in items) and chromium() is None:
        _skip(items, "browser", "needs Chromium: install one, or name it in CHROMIUM")


def _skip(items: list[pytest.Item], keyword: str, reason: str) -> None:
    for item in items:
        if keyword in item.keywords:
            item.add_marker(pytest.mark.skip(reason=reason))


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def chromium() -> str | None:
    """Path of a Chromium that is here already; None without one."""
    from tests.browser.find_chromium import find

    return find()


# ---- models ------------------------------------------------------------------------------------


def random_llama(seed: int = 0, scale: float = 0.3, **changes: Any) -> LoadedModel:
    """A random Llama: 2 layers of 32, 4 heads over 2 KV heads, vocabulary 257 (bytes and an end).

    `scale` is the spread of its weights, large enough that attention matters to the logits.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from explorer.models import LoadedModel

    settings: dict[str, Any] = {
        "vocab_size": NUM_BYTES + 1,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": scale,
        "bos_token_id": None,
        "eos_token_id": NUM_BYTES,
        "pad_token_id": None,
        "tie_word_embeddings": True,
    }
    torch.manual_seed(seed)
    module = LlamaForCausalLM(LlamaConfig(**(settings | changes)))
    return LoadedModel(module, byte_tokenizer(), name="random-llama")


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A token per byte, and 256 for the end of a text: no training, nothing to download."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = _byte_letters()
    vocabulary = {letter: byte for byte, letter in enumerate(letters)} | {"<end>": NUM_BYTES}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")


def _byte_letters() -> list[str]:
    """The letter that stands for each byte in byte-level vocabularies (GPT-2's table)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(NUM_BYTES) if byte not in shown]
    letters = {byte: chr(byte) for byte in shown}
    letters |= {byte: chr(NUM_BYTES + i) for i, byte in enumerate(hidden)}
    return [letters[byte] for byte in range(NUM_BYTES)]


@pytest.fixture(scope="session")
def llama() -> LoadedModel:
    """One small random Llama for the whole session: do not change its weights."""
    return random_llama()


@pytest.fixture(scope="session")
def model_folder(llama: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same Llama with its tokenizer as a folder in Hugging Face format."""
    folder = tmp_path_factory.mktemp("models") / "random-llama"
    llama.module.save_pretrained(folder)
    assert llama.tokenizer is not None
    llama.tokenizer.save_pretrained(folder)
    return folder


# ---- traces ------------------------------------------------------------------------------------


def make_header(prompt: Sequence[str] = ("Once", " upon"), **config: Any) -> Header:
    """A header of a run that no model made; `config` changes its RunConfig by flat names."""
    return Header(
        format=FORMAT,
        version=VERSION,
        software={"explorer": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        created="2026-01-01T00:00:00+00:00",
        config=RunConfig(prompt="".join(prompt), **config).model_dump(mode="json"),
        model=ModelInfo(
            name="by-hand",
            architecture="ByHand",
            num_parameters=10,
            num_layers=2,
            num_kv_heads=1,
            head_dim=4,
            vocab_size=8,
            context=64,
            device="cpu",
            dtype="float32",
            kv_nbytes_per_token=64,
            backends=("cow", "batched", "deepcopy", "recompute", "naive"),
        ),
        prompt=tuple(PromptToken(i, text, text) for i, text in enumerate(prompt)),
    )


def make_memory(unique: int, logical: int, capacity: int = 8, shared: int = 0) -> Memory:
    """Memory of a two-layer float32 cache with one head of 4: 64 bytes a token."""
    return Memory(
        unique_kv_tokens=unique,
        logical_kv_tokens=logical,
        shared_kv_tokens=shared,
        private_kv_tokens=unique - shared,
        capacity=capacity,
        high_water=unique,
        kv_nbytes=capacity * 64,
        kv_live_nbytes=unique * 64,
        kv_logical_nbytes=logical * 64,
        layers=(unique, unique),
    )


def make_step(index: int, **parts: Any) -> Step:
    """A decode step in which nothing happened, changed by `parts`."""
    nothing: dict[str, Any] = {
        "phase": "decode",
        "positions": 1,
        "seconds": 0.25,
        "overhead_seconds": 0.125,
        "paths": (),
        "parents": (),
        "decisions": (),
        "nodes": (),
        "forks": (),
        "ends": (),
        "slots": (),
        "freed": (),
        "memory_forward": make_memory(0, 0),
        "memory": make_memory(0, 0),
        "peak_memory_nbytes": 1024,
    }
    return Step(index=index, **(nothing | parts))


def make_decision(path: int, node: int, factor: int, entropy: float = 1.0) -> Decision:
    """A decision between two candidates of probability one half."""
    return Decision(
        path=path,
        node=node,
        entropy=entropy,
        normalized_entropy=entropy / 2,
        raw_entropy=entropy + 0.5,
        factor=factor,
        candidates=(Candidate(3, " a", -0.5, 0.5), Candidate(4, " b", -0.5, 0.5)),
    )


def make_node(id: int, parent: int, path: int, text: str, logprob: float) -> Node:
    """A token of probability one half under q; the model's own sum is 1 nat lower."""
    return Node(
        id=id,
        parent=parent,
        path=path,
        token=id + 3,
        text=text,
        raw=text,
        prob=0.5,
        raw_prob=0.25,
        logprob=logprob,
        raw_logprob=logprob - 1,
    )


def make_trace() -> Trace:
    """Three steps by hand. The prompt forks into paths 1 and 2; path 1 ends; path 2 forks into 3
    and 4, of which 4 is pruned and 3 reaches the length limit.

        Once upon -+- a (node 0, path 1) ----- end (2, finished)
                   +- b (node 1, path 2) -+-- c (3, path 3, length)
                                          +-- d (4, path 4, pruned)
    """
    trace = Trace(make_header(max_new_tokens=3, max_paths=2))
    trace.append(
        make_step(
            0,
            phase="prefill",
            positions=2,
            paths=(1, 2),
            parents=(0, 0),
            decisions=(make_decision(0, -1, 2),),
            nodes=(make_node(0, -1, 1, " a", -0.5), make_node(1, -1, 2, " b", -0.75)),
            forks=(Fork(0, (1, 2)),),
            slots=(0, 1),
            memory_forward=make_memory(2, 2),
            memory=make_memory(2, 4, shared=2),
        )
    )
    trace.append(
        make_step(
            1,
            positions=2,
            paths=(3,),
            parents=(1,),
            decisions=(make_decision(1, 0, 1, 0.25), make_decision(2, 1, 2, 1.5)),
            nodes=(
                make_node(2, 0, 1, ".", -1.0),
                make_node(3, 1, 3, " c", -1.25),
                make_node(4, 1, 4, " d", -1.75),
            ),
            forks=(Fork(2, (3, 4)),),
            ends=(End(1, 2, "finished"), End(4, 4, "pruned")),
            slots=(2, 3),
            freed=(2,),
            memory_forward=make_memory(4, 6, shared=2),
            memory=make_memory(3, 3),
        )
    )
    trace.append(
        make_step(
            2,
            paths=(3,),
            parents=(0,),
            decisions=(make_decision(3, 3, 1, 0.5),),
            nodes=(make_node(5, 3, 3, " e", -1.5),),
            ends=(End(3, 5, "length"),),
            slots=(4,),
            memory_forward=make_memory(4, 4),
            memory=make_memory(4, 4),
        )
    )
    return trace


@pytest.fixture
def hand_trace() -> Trace:
    """See `make_trace`."""
    return make_trace()
