"""Starting points: what to ask, and how to branch. Recorded runs are made from `EXAMPLES`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from explorer.config import RunConfig


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
CALM: dict[str, Any] = dict(branch_factor=2, max_paths=8)

EXAMPLES: dict[str, Example] = {
    "story": Example(
        "A story opens",
        "Many ways on: every fork is another tale.",
        dict(prompt="Once upon a time", seed=1, **CALM),
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
        "Step by step to the result, with hardly a doubt.",
        dict(prompt="34 + 25 =", max_new_tokens=28, max_paths=8, seed=1),
    ),
}

SETTINGS: dict[str, dict[str, Any]] = {
    "Calm: 2 children, 8 paths": CALM,
    "Wide: 3 children, 20 paths (the command line's)": {},
    "Fork often": dict(entropy_threshold=0.1, branch_factor=4, max_paths=32),
    "Only where it is very unsure": dict(entropy_threshold=0.3, branch_factor=2, max_paths=12),
    "Greedy, one path": dict(temperature=0.0, entropy_threshold=1.0, max_paths=1),
    "Most probable children": dict(select="top"),
    "Cool and narrow": dict(temperature=0.7, top_p=0.9),
}
