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
    "rephrase": Example(
        "A sentence rephrased",
        "An encoder reads it once; every path looks back at it.",
        dict(
            prompt="rephrase: The shy fox hid a red key in the cave.",
            model="tiny-seq2seq",
            entropy_threshold=0.08,
            branch_factor=4,
            max_paths=8,
            max_new_tokens=24,
            top_p=0.9,
            seed=1,
        ),
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
    """The preset that `config` equals, with `backends` ticked for comparing, by name; or None.

    A board of the Evict tab is one by its title. Other presets say nothing of what leaves.
    """
    for board in BOARDS.values():
        if config == board.form_config():
            return board.title
    flat, ticked = config.flat(), set(backends)
    for group in PRESETS.values():
        for preset in group:
            is_ticked = not preset.backends or set(preset.backends) == ticked
            if is_ticked and all(flat[name] == value for name, value in preset.values.items()):
                return preset.name
    return None


@dataclass(frozen=True)
class EvictBoard:
    """Runs of one prompt with bounded caches, held against each other.

    `sentence` is what the sidebar says of it, before anything has run; `caption` is what the
    recorded runs show, no more than that; `runs` are words for `explorer.ui.evict.variants_of`.
    """

    title: str
    sentence: str
    caption: str
    settings: dict[str, Any]
    runs: tuple[str, ...]

    def config(self) -> RunConfig:
        return RunConfig(**self.settings)

    def form_config(self) -> RunConfig:
        """What the form holds where this board was chosen: its first policy, for a run of it."""
        policies = (words.split()[0] for words in self.runs)
        return self.config().replace(policy=next(name for name in policies if name != "full"))


# One path, its most probable tokens: what differs is the cache's doing.
ONE_PATH: dict[str, Any] = dict(
    temperature=0.0,
    entropy_threshold=1.0,
    branch_factor=2,
    max_paths=1,
    against_full=True,
    num_candidates=4,
)

# A fact at the beginning, a story, and the question (explorer/tiny/recall.py, seed 6).
NEEDLE = (
    "Remember: Ben chose fox. But Ella had the brown coin. Ella paid with the coin, and a man "
    "took them away in his cart. The pale thing smiled and was gone. Ella was thankful and "
    "wrote a long letter to the mouse. It was pale and cried without a sound. But the cat was "
    "not afraid. The cat walked softly and heard everything. The pale thing smiled and was "
    "gone. Q: What did Ben choose? A: Ben chose"
)

BOARDS: dict[str, EvictBoard] = {
    "windows": EvictBoard(
        "Window without sinks bends, four sinks mend it",
        "What a small window loses, and what its first tokens save.",
        "Sixteen tokens a layer, 96 tokens written. Without sinks the window loses Lily, the "
        "second token of the text: the dog asks in her place, and the run strays from the full "
        "cache by 0.364 nats a token, with 8 other first choices. One sink hardly helps: 0.323 "
        "and 7. Four keep her name: 0.118 and 5. Without them this small model writes no noise, "
        "it writes about somebody else.",
        dict(prompt="Lily had a red kite.", max_new_tokens=96, budget=16, **ONE_PATH),
        ("full", "window sinks=0", "window sinks=1", "window sinks=4"),
    ),
    "needle": EvictBoard(
        "Needle lost and found",
        "A fact said once and asked for late: who still holds it?",
        "Ben chose fox is said once, at the start of 93 tokens, and asked for at the end; a layer "
        "may keep 48. The window has dropped the fox, and so have exact attention counters, since "
        "little looked at it before it was asked for: both answer Ben. Least recently used still "
        "holds it in one of five layers, and answers fox, as the full cache does.",
        dict(prompt=NEEDLE, max_new_tokens=8, budget=48, **ONE_PATH),
        ("full", "window", "h2o", "lru"),
    ),
    "narrow": EvictBoard(
        "Sketch too narrow",
        "One budget, fewer and fewer counters to rank tokens by.",
        "Twenty tokens a layer by attention gathered, counted exactly or in two rows of counters. "
        "The fewer, the larger the errors, at the end and over all layers up to 9.653 with 64 a "
        "row, 20.935 with 16, 77.362 with 4; and of 110 evictions 63, 94 and 98 do not take the "
        "token with least attention. Here the run strays as well: 0.029 nats a token with exact "
        "counters, then 0.084, 0.085 and 0.089, and a cat answers for the dog. On another prompt "
        "it need not.",
        dict(
            prompt="Lily had a red kite.",
            max_new_tokens=36,
            budget=20,
            recent=4,
            sketch_depth=2,
            **ONE_PATH,
        ),
        (
            "h2o",
            "count_min sketch_width=64",
            "count_min sketch_width=16",
            "count_min sketch_width=4",
        ),
    ),
    "eight": EvictBoard(
        "Same budget, eight policies",
        "Every policy on one text: what each keeps of it.",
        "Twenty tokens a layer for all. On this text the count sketch stays with the full cache "
        "(0.000 nats a token), first in, first out comes next (0.016), then exact attention "
        "(0.029); random is farthest (0.126). One prompt is no ranking; it shows who drops what.",
        dict(
            prompt="Lily had a red kite.",
            max_new_tokens=36,
            budget=20,
            recent=4,
            sketch_width=64,
            sketch_depth=2,
            **ONE_PATH,
        ),
        ("window", "fifo", "lru", "random", "h2o", "count_min", "count_sketch", "race"),
    ),
}
