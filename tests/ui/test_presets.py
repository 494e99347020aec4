"""Every preset is valid, unlike the others, and a run of it is what its sentence says."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import pytest

import explorer
from explorer import metrics
from explorer.config import BACKENDS, RunConfig, iter_fields
from explorer.events import Decision
from explorer.trace import Trace
from explorer.ui import presets
from explorer.ui.limits import Limits
from explorer.ui.presets import PRESETS, Preset, current, named

ALL = [preset for group in PRESETS.values() for preset in group]
OWN = [e.config() for e in presets.EXAMPLES.values() if e.config().model == "tiny"]
PROMPTS = [config.prompt for config in OWN] + ["The dragon"]


@lru_cache(maxsize=256)
def run(name: str, prompt: str = PROMPTS[0], seed: int = 1) -> Trace:
    asked = RunConfig(prompt=prompt, seed=seed, max_new_tokens=48, device="cpu", dtype="float32")
    return explorer.run(explorer.load_model("tiny"), named(name).apply(asked))


def decisions(trace: Trace) -> list[Decision]:
    return [decision for step in trace for decision in step.decisions]


def forks(trace: Trace) -> int:
    return sum(decision.factor > 1 for decision in decisions(trace))


def most_paths(trace: Trace) -> int:
    return max(len(step.paths) for step in trace)


def stored(trace: Trace) -> int:
    """Most bytes in use at any one time."""
    return max(step.memory.kv_live_nbytes for step in trace)


def needed(trace: Trace) -> int:
    return max(step.memory.kv_logical_nbytes for step in trace)


def widths(name: str) -> list[int]:
    """Children of the forks made while there was room for any number, the surest first."""
    settings, seen = named(name).values, []
    for prompt in PROMPTS:
        for step in run(name, prompt):
            if settings["max_paths"] - len(step.decisions) >= settings["branch_factor"]:
                seen += [(one.normalized_entropy, one.factor) for one in step.decisions]
    return [factor for _, factor in sorted(seen) if factor > 1]


def calm() -> bool:
    counts = [forks(run("Calm", prompt, seed)) for prompt in PROMPTS for seed in range(3)]
    paths = [most_paths(run("Calm", prompt, seed)) for prompt in PROMPTS for seed in range(3)]
    often = sum(count >= 3 for count in counts)
    return max(counts) <= 5 and often > len(counts) / 2 and max(paths) <= 5


def curious() -> bool:
    traces = [run("Curious", prompt) for prompt in PROMPTS]
    factors = {one.factor for trace in traces for one in decisions(trace)}
    return factors == {1, 2} and max(most_paths(trace) for trace in traces) == 8 and all(
        (one.factor == 2) == (one.normalized_entropy >= 0.2)
        for trace in traces
        for step in trace
        for one in step.decisions
        if len(step.decisions) <= 6  # room for two
    )  # fmt: skip


def likeliest() -> bool:
    digests = {metrics.tree_digest(run("Likeliest", PROMPTS[0], seed)) for seed in range(3)}
    chosen = all(
        {node.token for node in step.nodes if node.parent == one.node}
        == {candidate.token for candidate in one.candidates[: one.factor]}
        for step in run("Likeliest")
        for one in step.decisions
    )
    return len(digests) == 1 and chosen


def greedy() -> bool:
    trace = run("Greedy")
    return (
        most_paths(trace) == 1
        and forks(trace) == 0
        and all(
            step.nodes[0].token == step.decisions[0].candidates[0].token
            for step in trace
            if step.nodes
        )
    )


def is_same_tree(name: str) -> bool:
    return metrics.tree_digest(run(name)) == metrics.tree_digest(run("Shared slots"))


HOLDS: dict[str, Callable[[], bool]] = {
    "Calm": calm,
    "Curious": curious,
    "Wide": lambda: named("Wide").apply(RunConfig()) == RunConfig(),
    "By entropy": lambda: (
        (seen := widths("By entropy")) == sorted(seen) and min(seen) == 2 and len(set(seen)) >= 4
    ),
    "Likeliest": likeliest,
    "Sharpened": lambda: all(
        one.entropy <= one.raw_entropy + 1e-9 for one in decisions(run("Sharpened"))
    ),
    "Greedy": greedy,
    "Shared slots": lambda: (
        all(len(step.slots) == step.positions for step in run("Shared slots"))
        and forks(run("Shared slots")) > 5
        and stored(run("Shared slots")) < 0.9 * needed(run("Shared slots"))
    ),
    "A copy a path": lambda: (
        is_same_tree("A copy a path")
        and stored(run("A copy a path")) == needed(run("Shared slots"))
    ),
    "A row a path": lambda: (
        is_same_tree("A row a path") and stored(run("A row a path")) >= needed(run("Shared slots"))
    ),
    "No cache": lambda: is_same_tree("No cache") and stored(run("No cache")) == 0,
    "Share or copy": lambda: set(named("Share or copy").backends) == {"deepcopy", "cow"},
    "Tree or samples": lambda: set(named("Tree or samples").backends) == {"naive", "cow"},
    "With and without": lambda: set(named("With and without").backends) == {"recompute", "cow"},
    "All five": lambda: set(named("All five").backends) == set(BACKENDS),
}


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: preset.name)
def test_a_run_of_a_preset_is_what_its_sentence_says(preset: Preset) -> None:
    assert HOLDS[preset.name](), preset.sentence


def test_presets_are_valid_on_public_pages_too_and_none_is_another() -> None:
    asked = RunConfig(prompt="Once")
    for preset in ALL:
        Limits().check(preset.apply(asked))
        assert set(preset.backends) <= set(BACKENDS)
    assert len({(preset.apply(asked).model_dump_json(), preset.backends) for preset in ALL}) == 15
    assert len({preset.name for preset in ALL}) == len(HOLDS) == 15


def test_a_preset_leaves_what_is_asked_alone() -> None:
    asked = RunConfig(
        prompt="Hello", seed=9, max_new_tokens=7, num_candidates=3, prefill_chunk=4, device="cpu",
        temperature=3.0, top_k=5, select="gumbel", backend="naive",
    )  # fmt: skip
    set_by_presets = {
        "temperature", "top_k", "top_p", "entropy_threshold", "branch_factor", "max_paths",
        "select", "width", "backend",
    }  # fmt: skip
    for preset in ALL:
        before, after = asked.flat(), preset.apply(asked).flat()
        assert set(preset.values) == set_by_presets
        assert {name for name in before if before[name] != after[name]} <= set_by_presets
        assert after["top_k"] is None and after["select"] != "gumbel"


def test_the_form_says_the_preset_it_equals_and_none_once_it_differs() -> None:
    for preset in ALL:
        config = preset.apply(RunConfig(prompt="Once", seed=4))
        assert current(config, preset.backends) == preset.name
        for name, value in (("temperature", 0.33), ("max_paths", 6), ("entropy_threshold", 0.77)):
            assert current(config.replace(**{name: value}), preset.backends) is None
        if preset.backends:
            assert current(config, ("naive", "deepcopy", "cow")) is None
    assert current(presets.EXAMPLES["story"].config(), ("naive", "deepcopy", "cow")) == "Curious"


def test_every_knob_has_a_sentence_of_help() -> None:
    for _, name, field in iter_fields():
        assert field.description and len(field.description.split()) >= 3, name
        assert field.description[0].isupper() or name == "model", name
