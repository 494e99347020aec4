"""What a run's tree would take in the KV cache of another model: arithmetic on published shapes.

Everything here is predicted, never measured: `layers x (keys and values of a token) x tokens`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from explorer.config import InputError
from explorer.events import PROMPT_NODE, Step
from explorer.trace import Trace

ELEMENT_NBYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float8": 1}
LIMITS = {"layers": 1000, "kv_heads": 1024, "head_dim": 4096}
OWN = re.compile(r"(\d+)x(\d+)x(\d+)(?::(\w+))?")


@dataclass(frozen=True, slots=True)
class Shape:
    """The part of a model's config that the size of its KV cache follows from."""

    name: str
    title: str
    layers: int
    kv_heads: int
    head_dim: int
    dtype: str  # of keys and values: as the weights are published
    source: str  # where the numbers were read
    window: int | None = None  # tokens that a sliding-window layer keeps
    window_layers: int = 0  # how many of the layers slide
    latent: int | None = None  # elements a token and layer, where one vector stands for all heads

    @property
    def elements(self) -> int:
        """Elements that one token takes in one layer."""
        return self.latent or 2 * self.kv_heads * self.head_dim

    @property
    def nbytes_per_token(self) -> int:
        """Bytes of a token that every layer keeps."""
        return self.layers * self.elements * ELEMENT_NBYTES[self.dtype]

    def nbytes(self, tokens: int, windowed: int) -> int:
        """Bytes of `tokens` in the layers that keep all, `windowed` in those that slide."""
        each = self.elements * ELEMENT_NBYTES[self.dtype]
        full = self.layers - self.window_layers
        return each * (full * tokens + self.window_layers * windowed)


def _published(
    repository: str, title: str, sizes: tuple[int, int, int], dtype: str = "bfloat16", **more: Any
) -> Shape:
    """A model of the list, as its repository's config.json has it."""
    name = repository.split("/")[1].lower()
    return Shape(name, title, *sizes, dtype, f"config.json of {repository}", **more)


SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        _published("openai-community/gpt2", "GPT-2", (12, 12, 64), "float32"),
        _published("Qwen/Qwen2.5-7B", "Qwen2.5 7B", (28, 4, 128)),
        _published("meta-llama/Llama-3.1-8B", "Llama 3.1 8B", (32, 8, 128)),
        _published("Qwen/Qwen3-8B", "Qwen3 8B", (36, 8, 128)),
        _published("Qwen/Qwen3-32B", "Qwen3 32B", (64, 8, 128)),
        _published("meta-llama/Llama-3.1-70B", "Llama 3.1 70B", (80, 8, 128)),
        _published(
            "mistralai/Mistral-7B-v0.1",
            "Mistral 7B v0.1",
            (32, 8, 128),
            window=4096,
            window_layers=32,
        ),
        _published("openai/gpt-oss-20b", "gpt-oss 20B", (24, 8, 64), window=128, window_layers=12),
        _published(
            "google/gemma-3-27b-it", "Gemma 3 27B", (62, 16, 128), window=1024, window_layers=52
        ),
        # The vector of multi-head latent attention: kv_lora_rank 512 + qk_rope_head_dim 64.
        _published("deepseek-ai/DeepSeek-V3", "DeepSeek-V3", (61, 128, 128), latent=576),
    )
}


def listed() -> list[dict[str, Any]]:
    """The list as plain JSON, for the page."""
    return [asdict(shape) for shape in SHAPES.values()]


def read_shape(text: str) -> Shape:
    """A shape of the list by its name, or `LAYERSxKVHEADSxHEADDIM[:DTYPE]`. Raises InputError."""
    if text in SHAPES:
        return SHAPES[text]
    found = OWN.fullmatch(text)
    if found is None:
        raise InputError(
            f"project: give one of {', '.join(SHAPES)}, or layers x KV heads x head size as in "
            f"32x8x128, not {text[:60]!r}."
        )
    sizes = dict(zip(LIMITS, map(int, found.groups()[:3]), strict=True))
    for name, most in LIMITS.items():
        if not 1 <= sizes[name] <= most:
            words = name.replace("_", " ")
            raise InputError(f"project: {words} must be from 1 to {most}, not {sizes[name]}.")
    dtype = found[4] or "bfloat16"
    if dtype not in ELEMENT_NBYTES:
        names = ", ".join(ELEMENT_NBYTES)
        raise InputError(f"project: give a number format of {names}, not {dtype[:60]!r}.")
    return Shape(text, text, **sizes, dtype=dtype, source="as given")


class TreeTokens:
    """How many tokens the paths of a tree keep, whatever backend ran it; a step at a time.

    A token is kept as long as a live path runs through it. All live paths are equally long, so a
    window of W tokens is the last W positions of every path.
    """

    def __init__(self, window: int | None = None) -> None:
        self.window = window
        self._restart()

    def _restart(self) -> None:
        self.rows = [PROMPT_NODE]  # the newest node of each live path, not stored yet
        self.length = 0  # tokens stored of each path
        self.unique = 0  # tokens kept where paths share them; with a window, those inside it
        self.kept: list[int] = []  # tokens by position
        self.place: dict[int, tuple[int, int]] = {}  # stored node -> (parent, position)
        self.heirs: Counter[int] = Counter()  # live paths and stored children right after a node
        self.parents: dict[int, int] = {}

    @property
    def logical(self) -> int:
        """Tokens kept where every path has a cache of its own."""
        return len(self.rows) * (self.length - self._first)

    @property
    def _first(self) -> int:
        """The first position inside the window."""
        return 0 if self.window is None else max(0, self.length - self.window)

    def forward(self, step: Step) -> None:
        """The pass: every path stores its newest token, or the prompt's next ones."""
        if step.phase == "prefill":
            if self.rows != [PROMPT_NODE]:
                self._restart()  # the next of several independent samples
            for _ in range(step.positions):
                self._lengthen(1)
            return
        for node in self.rows:
            self.place[node] = (self.parents[node], self.length)
        self._lengthen(len(self.rows))

    def decide(self, step: Step) -> None:
        """The decisions: paths go on, fork or end, and what none of them needs is let go."""
        made = {node.path: node for node in step.nodes}
        before, self.rows = self.rows, []
        for path, row in zip(step.paths, step.parents, strict=True):
            self.heirs[before[row]] += 1
            node = made.get(path)
            self.rows.append(before[row] if node is None else node.id)
            if node is not None:
                self.parents[node.id] = node.parent
        for stored in before:
            self._release(stored)

    def _lengthen(self, tokens: int) -> None:
        before = self._first
        self.kept.append(tokens)
        self.length += 1
        self.unique += tokens
        if self._first > before:
            self.unique -= self.kept[before]

    def _release(self, node: int) -> None:
        while node in self.place and not self.heirs[node]:
            node, position = self.place.pop(node)
            self.heirs[node] -= 1
            self.kept[position] -= 1
            if position >= self._first:
                self.unique -= 1


def project(trace: Trace, shape: Shape) -> dict[str, Any]:
    """Predicted bytes of the trace's tree in a model of this shape, at their peaks."""
    whole, windowed = TreeTokens(), TreeTokens(shape.window)
    sharing = copies = 0
    for step in trace:
        for act in (TreeTokens.forward, TreeTokens.decide):
            act(whole, step)
            act(windowed, step)
            sharing = max(sharing, shape.nbytes(whole.unique, windowed.unique))
            copies = max(copies, shape.nbytes(whole.logical, windowed.logical))
    return {
        "shape": asdict(shape),
        "nbytes_per_token": shape.nbytes_per_token,
        "sharing_nbytes_peak": sharing,
        "copies_nbytes_peak": copies,
        "saving": 1 - sharing / copies if copies else 0.0,
        "is_predicted": True,
    }
