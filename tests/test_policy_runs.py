"""Whole runs with a policy: what the trace tells, what is refused, what stays as it was."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from explorer.against import FullCache, divergence
from explorer.backends import BACKENDS, Forward, num_open
from explorer.backends.cow import CowBackend
from explorer.config import InputError, RunConfig
from explorer.events import Candidate, Step
from explorer.generate import prepare, run
from explorer.metrics import counters, result, tree_digest
from explorer.models import LoadedModel
from explorer.options import read_config
from explorer.policies import POLICIES
from explorer.trace import Trace
from tests import architectures
from tests.conftest import make_decision

PROMPT = tuple(np.random.default_rng(1).integers(0, architectures.VOCAB, 30).tolist())
SMALL = dict(
    prompt_ids=PROMPT, sinks=2, recent=3, budget=12, topk=4, residual_entries=2,
    entropy_threshold=0.3, max_paths=5, max_new_tokens=10,
)  # fmt: skip


@cache
def loaded(name: str = "llama") -> LoadedModel:
    return LoadedModel(architectures.build(name), name=name)


def config(**changes: Any) -> RunConfig:
    return RunConfig(**(SMALL | changes))


class Replay:
    """Who sees which slot, path by path and layer by layer, from the steps alone."""

    def __init__(self, num_layers: int) -> None:
        self.num_layers = num_layers
        self.sees: dict[int, list[dict[int, int]]] = {0: [{} for _ in range(num_layers)]}
        self.texts: dict[int, list[int]] = {0: []}
        self.rows = [0]

    def step(self, step: Step, prompt: list[int]) -> None:
        slots = step.layer_slots or (step.slots,) * self.num_layers
        each = len(step.slots) // len(self.rows)
        for row, path in enumerate(self.rows):
            for offset in range(each):
                position = len(self.texts[path])
                if step.phase == "prefill":
                    self.texts[path].append(prompt[position])
                else:
                    self.texts[path].append(self.pending[path])
                for layer_idx in range(self.num_layers):
                    written = slots[layer_idx][row * each + offset]
                    assert written not in {
                        slot for sees in self.sees.values() for slot in sees[layer_idx]
                    }
                    self.sees[path][layer_idx][written] = position
        for record in step.evictions:
            columns = zip(record.slots, record.paths, record.positions, record.tokens, strict=True)
            for slot, paths, position, token in columns:
                for path in paths:
                    assert self.sees[path][record.layer].pop(slot) == position
                    assert self.texts[path][position] == token
            for path, slot, copy in record.copied:
                sees = self.sees[path][record.layer]
                sees[copy] = sees.pop(slot)
        before = self.sees, self.texts
        freed_before = self.used()
        self.sees, self.texts = {}, {}
        for path, parent in zip(step.paths, step.parents, strict=True):
            old = self.rows[parent]
            self.sees[path] = [dict(sees) for sees in before[0][old]]
            self.texts[path] = list(before[1][old])
        self.rows = list(step.paths)
        self.pending = {node.path: node.token for node in step.nodes}
        freed = [a - b for a, b in zip(freed_before, self.used(), strict=True)]
        assert set(step.freed) == freed[0]
        if step.layer_freed:
            assert [set(slots) for slots in step.layer_freed] == freed
        held = [len(slots) for slots in self.used()]
        assert step.memory.layers == tuple(held)
        for path in self.rows:
            for layer_idx, sees in enumerate(self.sees[path]):
                assert len(sees) <= step.budgets[layer_idx]

    def used(self) -> list[set[int]]:
        return [
            {slot for sees in self.sees.values() for slot in sees[layer_idx]}
            for layer_idx in range(self.num_layers)
        ]


@pytest.mark.parametrize("strategy", ["evict", "topk", "aggregate"])
@pytest.mark.parametrize("policy", POLICIES)
def test_the_steps_alone_say_who_sees_what_and_nothing_is_left_open(
    policy: str, strategy: str, tmp_path: Path
) -> None:
    trace = run(loaded(), config(policy=policy, strategy=strategy), tmp_path / "run.jsonl")
    assert Trace.load(tmp_path / "run.jsonl").steps == trace.steps
    replay, prompt = Replay(2), [token.token for token in trace.header.prompt]
    cleared = 0
    for step in trace:
        replay.step(step, prompt)
        for record in step.evictions:
            cleared += sum(len(paths) for paths in record.paths)
            for i, score in enumerate(record.scores):
                kept = record.kept[i]
                assert kept is None or score <= kept
                assert record.ranks[i] >= 1
                assert record.reasons[i].startswith(POLICIES[policy].words)
                assert record.texts[i] == f"<{record.tokens[i]}>"
    assert counters(trace)["evictions"] == cleared > 40
    assert max(len(step.paths) for step in trace) > 1
    said = result(trace)["run"]
    assert (said["policy"], said["budget"], said["strategy"]) == (policy, 12, strategy)
    assert all(step.budgets == (12, 12) for step in trace)
    assert num_open() == 0


def test_without_a_policy_nothing_about_a_run_has_changed() -> None:
    trace = run(loaded(), config(policy=None))
    assert {step.evictions + step.evidence + step.budgets for step in trace} == {()}
    assert {step.layer_slots + step.layer_freed for step in trace} == {()}
    assert {step.memory.score_nbytes for step in trace} == {0}
    assert counters(trace)["evictions"] == 0
    assert "policy" not in result(trace)["run"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_budget_that_is_never_reached_gives_the_tree_of_the_full_cache(policy: str) -> None:
    whole = run(loaded(), config(policy=None))
    trace = run(loaded(), config(policy=policy, budget=len(PROMPT) + 10))
    assert tree_digest(trace) == tree_digest(whole)
    assert counters(trace)["evictions"] == 0
    bounded = run(loaded(), config(policy=policy))
    assert tree_digest(bounded) != tree_digest(whole)


def test_a_prompt_beyond_the_budget_comes_in_chunks_and_never_fills_the_pool() -> None:
    long = tuple(np.random.default_rng(2).integers(0, architectures.VOCAB, 100).tolist())
    trace = run(loaded(), config(policy="h2o", prompt_ids=long, budget=24, max_paths=1))
    prefill = [step for step in trace if step.phase == "prefill"]
    assert [step.positions for step in prefill] == [6] * 16 + [4]
    assert max(step.memory_forward.unique_kv_tokens for step in trace) <= 24 + 6
    assert max(step.memory.capacity for step in trace) <= 24 + 6 + 16
    assert prefill[-1].memory.layers == (24, 24)


def test_allocated_bytes_stay_flat_however_long_the_run() -> None:
    backend = CowBackend(loaded(), config(policy="window", budget=16))
    backend.prefill(PROMPT[:12])
    sizes = []
    for token in np.random.default_rng(0).integers(0, architectures.VOCAB, 110).tolist():
        backend.decode([token])
        sizes.append(backend.stats().kv_nbytes)
    assert len(set(sizes[10:])) == 1
    backend.close()


def test_counters_and_sketches_are_part_of_the_memory() -> None:
    peaks = {
        policy: max(
            step.memory.score_nbytes
            for step in run(loaded(), config(policy=policy, sketch_width=64, sketch_depth=2))
        )
        for policy in POLICIES
    }
    assert peaks["window"] == peaks["fifo"] == peaks["random"] == 0
    assert peaks["h2o"] > peaks["lru"] > 0
    table = 2 * 2 * 64 * 4  # layers, depth, width, float32
    assert table < peaks["count_min"] < table + peaks["h2o"]


def test_the_full_cache_beside_a_run_says_how_far_it_is() -> None:
    """KL and flips, from the whole texts recomputed and all 64 tokens that the run recorded."""
    model, twin = loaded(), architectures.untouched(loaded().module)
    options = dict(policy="window", max_new_tokens=6, num_candidates=architectures.VOCAB)
    trace = run(model, config(**options, against_full=True))
    texts, checked = {-1: list(PROMPT)}, 0
    for step in trace:
        for decision in step.decisions:
            full = architectures.recompute(twin, [texts[decision.node]])[0]
            assert decision.full_top == int(full.argmax())
            p = full.double().log_softmax(0).tolist()
            said = {each.token: each.raw_logprob for each in decision.candidates}
            kl = sum(np.exp(p[token]) * (p[token] - q) for token, q in said.items())
            assert decision.kl == pytest.approx(kl, rel=1e-4, abs=1e-5)
            checked += decision.kl > 1e-3
        for node in step.nodes:
            texts[node.id] = [*texts[node.parent], node.token]
    assert checked > 10
    same = run(model, config(**options, budget=60, against_full=True))
    for step in same:
        for decision in step.decisions:
            assert decision.kl == pytest.approx(0, abs=1e-9)
            assert decision.full_top == decision.candidates[0].token
    assert num_open() == 0


def test_of_tokens_that_are_equally_probable_the_same_is_first_on_both_sides() -> None:
    """A list of candidates may begin with any of them; nothing parted where the logits are one."""
    full = FullCache(loaded(), 512)
    full._logits = torch.tensor([[0.0, 0.0, 2.0, 1.0, 2.0]]).repeat(2, 1)
    own = full._logits.clone()
    own[1, 2] = 1.5
    listed = (Candidate(4, " e", -0.5, 0.5), Candidate(2, " c", -0.5, 0.5))
    given = [replace(make_decision(row, -1, 1), candidates=listed) for row in range(2)]
    same, other = full.compare(Forward(own, 2), given)
    assert (same.top, same.full_top, same.is_flip) == (2, 2, False)
    assert (other.top, other.full_top, other.is_flip) == (4, 2, True)
    assert replace(same, top=None).is_flip  # as older traces have it
    assert not given[0].is_flip
    full.close()


def test_a_budget_that_nothing_exceeds_flips_nothing_in_bfloat16() -> None:
    model = LoadedModel(architectures.build("llama").bfloat16())
    options = dict(policy="window", budget=90, max_new_tokens=16, against_full=True)
    trace = run(model, config(**options))
    decisions = [each for step in trace for each in step.decisions]
    assert len(decisions) > 30
    assert not any(each.is_flip for each in decisions)
    assert {each.full_top for each in decisions} == {each.top for each in decisions} != {None}


def test_divergence_is_that_of_the_textbook() -> None:
    full = torch.log(torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]))
    other = torch.log(torch.tensor([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]]))
    expected = [0.5 * np.log(2) + 0.25 * np.log(0.5), np.log(2)]
    np.testing.assert_allclose(divergence(full, other).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("backend", [name for name, kind in BACKENDS.items() if not kind.can_evict])
def test_other_backends_refuse_a_policy_in_one_sentence(backend: str) -> None:
    with pytest.raises(InputError) as refused:
        prepare(loaded(), config(policy="h2o", backend=backend))
    sentence = str(refused.value)
    assert backend in sentence and "--backend cow" in sentence and sentence.count(".") == 1


def test_a_model_whose_attention_cannot_be_replaced_refuses_a_policy() -> None:
    model = LoadedModel(architectures.build("bloom"), name="bloom")
    with pytest.raises(InputError, match="cannot evict from its cache; take --policy none"):
        prepare(model, config(policy="h2o"))
    with pytest.raises(InputError, match="switch against_full off"):
        run(model, config(policy=None, backend="batched", against_full=True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer_budgets": (12, 12, 12), "budget": None}, "layer_budgets: give 2 of them"),
        ({"budget": 0.1}, "budget: 3 tokens in the smallest layer"),
    ],
)
def test_a_budget_that_does_not_fit_model_or_prompt_is_refused_and_nothing_stays_open(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        run(loaded(), config(policy="h2o", **changes))
    assert num_open() == 0


def test_the_command_line_refuses_a_budget_that_bounds_nothing() -> None:
    given = {"prompt": "Hi", "budget": "64"}
    with pytest.raises(InputError, match=r"budget: .* without a policy; name one with --policy"):
        read_config(given)
    assert read_config(given | {"policy": "h2o"}).eviction.budget == 64
    assert read_config({"prompt": "Hi", "policy": "none"}).eviction.policy is None


def test_evidence_is_recorded_within_its_limit_and_not_beyond() -> None:
    trace = run(loaded(), config(policy="count_min", max_paths=1))
    assert all(len(step.evidence) == 2 for step in trace)
    for limit in (0, 20):
        short = run(loaded(), config(policy="count_min", max_paths=1, num_evidence=limit))
        for step in short:
            num = sum(len(record.slots) for record in step.evidence)
            assert num <= limit
        assert tree_digest(short) == tree_digest(trace)
        assert [step.evictions for step in short] == [step.evictions for step in trace]


def test_adaptive_moves_budget_and_keeps_the_total() -> None:
    for policy in ("h2o", "window"):
        trace = run(loaded(), config(policy=policy, adaptive=True, max_new_tokens=20))
        assert {sum(step.budgets) for step in trace} == {24}
        assert len({step.budgets for step in trace}) > 1


@pytest.mark.parametrize(("budget", "passes"), [(39, 5), (40, 1), (64, 1)])
def test_a_prompt_that_fits_its_budget_is_read_in_one_pass(budget: int, passes: int) -> None:
    """40 tokens: beyond a budget of 39 they come in pieces of 39 // 4 = 9."""
    given = RunConfig(prompt_ids=tuple(range(1, 41)), policy="h2o", budget=budget, max_new_tokens=2)
    trace = run(loaded(), given)
    assert sum(step.phase == "prefill" for step in trace) == passes
