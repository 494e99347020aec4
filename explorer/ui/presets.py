"""Starting points: what to ask, and how to branch. Recorded runs are made from `EXAMPLES`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from explorer.config import BACKENDS, Branching, RunConfig, Sampling


@dataclass(frozen=True)
class Example:
    """A prompt with settings that show one thing well."""

    title: str
    blurb: str
    settings: dict[str, Any]

    def config(self) -> RunConfig:
        return RunConfig(**self.settings)


# A story of 48 tokens by the bundled model forks 6 to 48 times with these, few enough to follow;
# with the bounds of `RunConfig` itself, which suit vocabularies of 100,000, up to 85 times.
CURIOUS: dict[str, Any] = dict(branch_factor=2, max_paths=8)

EXAMPLES: dict[str, Example] = {
    "story": Example(
        "A story opens",
        "Many ways on: every fork is another tale.",
        dict(prompt="Once upon a time", seed=1, **CURIOUS),
    ),
    "dice": Example(
        "Rolling a die",
        "An honest choice: six ways on at every roll.",
        dict(
            prompt="Mia rolled the die and got",
            max_new_tokens=20,
            max_paths=18,
            branch_factor=6,
            seed=2,
        ),
    ),
    "fact": Example(
        "A fact it knows",
        "Sure of the answer, open about what comes next.",
        dict(prompt="Q: What is the capital of Peru? A:", max_new_tokens=16, max_paths=8, seed=5),
    ),
    "arithmetic": Example(
        "Worked arithmetic",
        "Step by step to the result, hardly ever unsure.",
        dict(prompt="34 + 25 =", max_new_tokens=28, max_paths=8, seed=1),
    ),
}

# What a preset sets: all of how to branch, to draw and to keep; nothing of what is asked.
FIELDS = (
    *Branching.model_fields,
    *(name for name in Sampling.model_fields if name != "seed"),
    "backend",
)


@dataclass(frozen=True)
class Preset:
    """A named way to run, with the sentence that a run of it must hold."""

    name: str
    sentence: str
    settings: dict[str, Any]
    backends: tuple[str, ...] = ()  # to compare; none: a run of its own

    @property
    def values(self) -> dict[str, Any]:
        """Every one of `FIELDS`, by flat name."""
        defaults = RunConfig().flat()
        return {name: defaults[name] for name in FIELDS} | self.settings

    def apply(self, config: RunConfig) -> RunConfig:
        """`config` run this way."""
        return config.replace(**self.values)


BUSY: dict[str, Any] = dict(branch_factor=3, max_paths=16)  # enough paths for caches to differ
PAIR: dict[str, Any] = dict(branch_factor=2, max_paths=10)  # few enough for panels side by side

PRESETS: dict[str, tuple[Preset, ...]] = {
    "Uncertainty": (
        Preset(
            "Calm",
            "A few forks, where it is most unsure; five paths at most.",
            dict(entropy_threshold=0.25, branch_factor=2, max_paths=5),
        ),
        Preset("Curious", "Forks in two where it is unsure; eight paths at most.", CURIOUS),
        Preset("Wide", "Three children a fork, twenty paths: the defaults.", {}),
        Preset(
            "By entropy",
            "The higher the entropy, the more children: two and up.",
            dict(width="entropy", branch_factor=16, max_paths=24),
        ),
        Preset(
            "Likeliest",
            "Takes the most probable tokens: one tree for all seeds.",
            dict(select="top", **CURIOUS),
        ),
        Preset(
            "Sharpened",
            "Temperature 0.7, top-p 0.9: entropy never rises by it.",
            dict(temperature=0.7, top_p=0.9, **CURIOUS),
        ),
        Preset(
            "Greedy",
            "One path, always the most probable token, no fork.",
            dict(temperature=0.0, entropy_threshold=1.0, branch_factor=2, max_paths=1),
        ),
    ),
    "Memory": (
        Preset(
            "Shared slots",
            "Paths share what they have in common; nothing is copied.",
            dict(backend="cow", **BUSY),
        ),
        Preset(
            "A copy a path",
            "The same tree; a fork copies its parent's whole cache.",
            dict(backend="deepcopy", **BUSY),
        ),
        Preset(
            "A row a path",
            "The same tree as one batch; each row repeats the prompt.",
            dict(backend="batched", **BUSY),
        ),
        Preset(
            "No cache",
            "The same tree, nothing kept: all is read anew each step.",
            dict(backend="recompute", **BUSY),
        ),
    ),
    "Comparison": (
        Preset(
            "Share or copy",
            "One tree twice: shared slots against a copy a path.",
            PAIR,
            ("deepcopy", "cow"),
        ),
        Preset(
            "Tree or samples",
            "The tree against as many independent samples.",
            PAIR,
            ("naive", "cow"),
        ),
        Preset(
            "With and without",
            "One tree twice: shared slots against no cache at all.",
            PAIR,
            ("recompute", "cow"),
        ),
        Preset(
            "All five",
            "Every backend on one run: who computes, who keeps.",
            PAIR,
            BACKENDS,
        ),
    ),
}


def named(name: str) -> Preset:
    """The preset of that name; raises KeyError where there is none."""
    return {preset.name: preset for group in PRESETS.values() for preset in group}[name]


def current(config: RunConfig, backends: Iterable[str] = ()) -> str | None:
    """The preset that `config` equals, with `backends` ticked for comparing, by name; or None."""
    flat, ticked = config.flat(), set(backends)
    for group in PRESETS.values():
        for preset in group:
            is_ticked = not preset.backends or set(preset.backends) == ticked
            if is_ticked and all(flat[name] == value for name, value in preset.values.items()):
                return preset.name
    return None


@dataclass(frozen=True)
class EvictBoard:
    """Runs of one prompt with bounded caches, held against each other; its title asks a question.

    `runs` are the words of `explorer.ui.evict.variants_of`; `caption` is what the recorded runs
    show, and no more than that.
    """

    title: str
    caption: str
    settings: dict[str, Any]
    runs: tuple[str, ...]

    def config(self) -> RunConfig:
        return RunConfig(**self.settings)


# One path, its most probable tokens: what differs is the cache's doing.
ONE_PATH: dict[str, Any] = dict(
    temperature=0.0, entropy_threshold=1.0, branch_factor=2, max_paths=1, against_full=True
)

BOARDS: dict[str, EvictBoard] = {
    "windows": EvictBoard(
        "Window without sinks, and with four",
        "To be measured.",
        dict(prompt="Once upon a time", max_new_tokens=80, budget=24, recent=8, **ONE_PATH),
        ("full", "window sinks=0", "window sinks=4"),
    ),
}
