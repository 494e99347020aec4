"""Eviction against a plain eager model with an explicit 4-D mask, independent single-path runs, and
sums of `output_attentions`."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from explorer.attention import TreeMask
from explorer.backends import num_open
from explorer.backends.cow import CowBackend
from explorer.config import RunConfig
from explorer.models import LoadedModel
from explorer.policies import POLICIES
from tests import architectures, masked

NUM_LAYERS = 2
TOLERANCE = 1e-5  # of the spread of the logits, float32
CLEARLY_WRONG = 1e-2
EIGHT = (
    "llama",
    "gpt2",
    "qwen3",
    "mistral_window",
    "gemma2_softcap",
    "gemma3_mixed",
    "gpt_neox",
    "opt",
    "gpt_oss_sinks",
    "deepseek_v3_latent",
)
SMALL = dict(sinks=1, recent=2, budget=7, topk=2, residual_entries=2)


@cache
def models(name: str) -> tuple[LoadedModel, PreTrainedModel]:
    module = architectures.build(name)
    return LoadedModel(module, name=name), architectures.untouched(module)


def tokens(seed: int, count: int) -> list[int]:
    return np.random.default_rng(seed).integers(0, architectures.VOCAB, count).tolist()


def off_by(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / (expected.max() - expected.min()))


@dataclass(frozen=True)
class Deed:
    """Between two passes: rows that go on, and (row, layer, share of what it sees) to evict."""

    parents: tuple[int, ...]
    evict: tuple[tuple[int, int, float], ...]


@st.composite
def schedules(draw: st.DrawFn) -> tuple[int, tuple[Deed, ...]]:
    deeds, rows = [], 1
    for _ in range(draw(st.integers(3, 6))):
        parents = draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=4))
        rows = len(parents)
        one = st.tuples(st.integers(0, rows - 1), st.integers(0, NUM_LAYERS - 1), st.floats(0, 0.6))
        deeds.append(Deed(tuple(parents), tuple(draw(st.lists(one, max_size=3)))))
    return draw(st.integers(0, 1000)), tuple(deeds)


@pytest.mark.parametrize("name", EIGHT)
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(schedule=schedules())
def test_after_eviction_every_path_equals_a_plain_model_with_those_slots_hidden_in_those_layers(
    name: str, schedule: tuple[int, tuple[Deed, ...]]
) -> None:
    model, twin = models(name)
    seed, deeds = schedule
    rng = np.random.default_rng(seed)
    backend = CowBackend(model)
    lines = [masked.Line(NUM_LAYERS)]
    for chunk in (tokens(seed, 5), tokens(seed + 1, 4)):
        backend.prefill(chunk)
        lines[0].append(chunk)
    for deed in deeds:
        backend.fork(deed.parents)
        lines = [lines[row].copy() for row in deed.parents]
        for row, layer_idx, share in deed.evict:
            held = sorted(lines[row].held[layer_idx])
            lost = rng.choice(held, int(share * len(held)), replace=False).tolist()
            pool = backend.pool
            slots = [
                int(np.flatnonzero(pool.seen(layer_idx)[row] & (pool.depth(layer_idx) == at))[0])
                for at in lost
            ]
            pool.evict(layer_idx, row, slots)
            lines[row].held[layer_idx] -= set(lost)
        step = rng.integers(0, architectures.VOCAB, len(lines)).tolist()
        found = backend.decode(step).logits
        backend.pool.check_integrity()
        for row, (line, token) in enumerate(zip(lines, step, strict=True)):
            line.append([token])
            assert off_by(found[row], masked.logits_of(twin, line)) < TOLERANCE
    backend.close()
    assert num_open() == 0


@pytest.mark.parametrize("name", EIGHT)
def test_the_comparison_fails_if_one_slot_of_one_layer_is_evicted_unsaid(name: str) -> None:
    model, twin = models(name)
    backend, other = CowBackend(model), CowBackend(model)
    prompt, line = tokens(3, 5), masked.Line(NUM_LAYERS)
    line.append(prompt)
    for each in (backend, other):
        each.prefill(prompt)
        each.fork([0, 0])
    for layer_idx in range(NUM_LAYERS):  # two: a single key may happen to weigh nothing
        backend.pool.evict(layer_idx, 0, [2, 3])
    line.append([7])
    found, whole = backend.decode([7, 7]).logits, other.decode([7, 7]).logits
    assert off_by(found[0], masked.logits_of(twin, line)) > CLEARLY_WRONG
    assert off_by(found[1], masked.logits_of(twin, line)) < TOLERANCE
    assert torch.equal(found[1], whole[1])  # the other path has not noticed
    backend.close()
    other.close()


class Watched(CowBackend):
    """Keeps the mask of every pass: who could see what, as attention was told."""

    masks: list[TreeMask]

    def _forward(self, rows: list[list[int]]) -> Any:
        if not hasattr(self, "masks"):
            self.masks = []
            forward = self.model.forward

            def keep(*args: Any, **kwargs: Any) -> torch.Tensor:
                self.masks.append(kwargs["tree_mask"])
                return forward(*args, **kwargs)

            self.model = _Keeping(self.model, keep)  # type: ignore[assignment]
        return super()._forward(rows)

    def note(self, lines: list[masked.Line], new: list[list[int]]) -> None:
        """Write the last pass into the lines, `new` tokens each."""
        mask = self.masks[-1]
        row = 0
        for line, added in zip(lines, new, strict=True):
            for token in added:
                line.tokens.append(token)
                for layer_idx in range(NUM_LAYERS):
                    table = layer_idx if len(mask._visible) > 1 else 0
                    depths = mask._slot_depth[table][mask._visible[table, row]]
                    line.seen[layer_idx].append(set(depths.tolist()))
                row += 1


class _Keeping:
    def __init__(self, model: LoadedModel, forward: Any) -> None:
        self.module, self.info, self.device = model.module, model.info, model.device
        self.forward = forward


PARENTS = ((0, 0, 0), (0, 1, 2), (2, 0), (0, 0, 1, 1), (0, 1, 2, 3), (3, 1), (0, 1), (0, 0))


def run_policy(
    backend: CowBackend, seed: int, parents: tuple[tuple[int, ...], ...] = PARENTS
) -> Any:
    """`(rows' new tokens, parents, forward)` of a prompt in the policy's chunks and a schedule."""
    prompt, chunk = tokens(seed, 13), 3 * (backend.chunk or 13)
    for start in range(0, len(prompt), chunk):
        piece = prompt[start : start + chunk]
        yield [piece], (0,), backend.prefill(piece)
    for step, rows in enumerate(parents):
        backend.fork(rows)
        new = tokens(seed + step + 1, len(rows))
        yield [[token] for token in new], rows, backend.decode(new)


@pytest.mark.parametrize("strategy", ["evict", "topk"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_mixed", "gemma2_softcap", "opt"])
def test_under_every_policy_a_paths_logits_are_those_of_what_it_could_see(
    name: str, policy: str, strategy: str
) -> None:
    model, twin = models(name)
    config = RunConfig(policy=policy, strategy=strategy, **SMALL)
    backend, lines = Watched(model, config), [masked.Line(NUM_LAYERS)]
    num_hidden = 0
    for new, parents, forward in run_policy(backend, 11):
        lines = [lines[row].copy() for row in parents]
        backend.note(lines, new)
        for row, line in enumerate(lines):
            assert off_by(forward.logits[row], masked.logits_of(twin, line)) < TOLERANCE
            num_hidden += sum(len(line.tokens) - len(seen[-1]) for seen in line.seen)
    assert num_hidden > 50
    backend.close()


@pytest.mark.parametrize("policy", ["window", "fifo"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_mixed"])
def test_window_and_fifo_under_branching_equal_independent_single_path_runs(
    name: str, policy: str
) -> None:
    model, _ = models(name)
    config = RunConfig(policy=policy, **SMALL)
    branched = CowBackend(model, config)
    lines: list[list[list[int]]] = [[]]
    for new, parents, forward in run_policy(branched, 5):
        lines = [[*lines[row], added] for row, added in zip(parents, new, strict=True)]
        last = forward.logits
    assert len(lines) > 1
    for row, pieces in enumerate(lines):
        alone = CowBackend(model, config)
        for piece in pieces:
            logits = alone.prefill(piece).logits
        assert off_by(last[row], logits[0]) < TOLERANCE
        for layer_idx in range(NUM_LAYERS):
            seen = [
                set(each.pool.depth(layer_idx)[each.pool.seen(layer_idx)[at]].tolist())
                for each, at in ((branched, row), (alone, 0))
            ]
            assert seen[0] == seen[1]
            assert len(seen[0]) == 7
        alone.close()
    branched.close()


def brute_force(twin: PreTrainedModel, line: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Sums over queries and heads of what `output_attentions` says, `[layers, positions]`, and the
    number of queries that could see each position."""
    with torch.inference_mode():
        out = twin(input_ids=torch.tensor([line]), use_cache=False, output_attentions=True)
    sums = torch.stack([layer[0, :, :, : len(line)].sum((0, 1)) for layer in out.attentions])
    numbers = np.stack([np.arange(len(line), 0, -1)] * NUM_LAYERS)
    return sums.numpy(), numbers


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2_softcap", "gpt_oss_sinks"])
def test_h2o_scores_are_the_sums_of_output_attentions_over_the_queries_that_could_see(
    name: str,
) -> None:
    """Nothing is evicted yet, so a plain model's weights are the ones to be summed."""
    model, twin = models(name)
    config = RunConfig(policy="h2o", budget=24, sinks=1, recent=2)
    backend, line = CowBackend(model, config), tokens(2, 8)
    backend.prefill(line[:5])
    backend.prefill(line[5:])
    for token in tokens(9, 6):
        backend.decode([token])
        line.append(token)
    assert backend.evictor is not None
    pool = backend.pool
    reading = backend.evictor.policy.read(pool.slot_depth, pool.slot_serial)
    sums, numbers = brute_force(twin, line)
    if name == "gemma2_softcap":  # its first layer slides: older queries are out of its sight
        numbers[0] = np.minimum(numbers[0], architectures.WINDOW)
    if name == "gpt_oss_sinks":
        numbers[0] = np.minimum(numbers[0], architectures.WINDOW)
    np.testing.assert_allclose(reading.exact[:, : len(line)], sums, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(reading.scores[:, : len(line)], sums / numbers, rtol=2e-5, atol=1e-6)
    backend.close()


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_h2o_scores_after_evictions_are_the_sums_of_a_plain_model_told_the_same(name: str) -> None:
    model, twin = models(name)
    backend, line = Watched(model, RunConfig(policy="h2o", **SMALL)), masked.Line(NUM_LAYERS)
    for new, _, _ in run_policy(backend, 21, ((0,),) * 8):
        backend.note([line], new)
    with masked.told(twin, line), torch.inference_mode():
        ids = torch.tensor([line.tokens])
        out = twin(input_ids=ids, use_cache=False, output_attentions=True)
    assert backend.evictor is not None
    pool = backend.pool
    reading = backend.evictor.policy.read(pool.slot_depth, pool.slot_serial)
    for layer_idx, weights in enumerate(out.attentions):
        sums = weights[0].sum((0, 1)).numpy()
        slots = np.flatnonzero(pool.seen(layer_idx)[0])
        assert len(slots) == SMALL["budget"] < len(line.tokens)
        for slot in slots:
            position = pool.depth(layer_idx)[slot]
            number = sum(position in seen for seen in line.seen[layer_idx])
            expected = sums[position] / number
            assert reading.scores[layer_idx, slot] == pytest.approx(expected, rel=1e-4)
    backend.close()


def test_paths_that_share_a_slot_share_its_evidence() -> None:
    model, twin = models("llama")
    backend = CowBackend(model, RunConfig(policy="h2o", budget=24, sinks=1, recent=2))
    prompt = tokens(4, 6)
    backend.prefill(prompt)
    backend.fork([0, 0])
    backend.decode([3, 9])
    assert backend.evictor is not None
    reading = backend.evictor.policy.read(backend.pool.slot_depth, backend.pool.slot_serial)
    once, _ = brute_force(twin, prompt)
    both = [brute_force(twin, [*prompt, token])[0] for token in (3, 9)]
    sums = both[0][:, :6] + both[1][:, :6] - once
    numbers = np.arange(6, 0, -1) + 2
    np.testing.assert_allclose(reading.scores[:, :6], sums / numbers, rtol=2e-5)
    np.testing.assert_allclose(reading.exact[:, 6], both[0][:, 6], rtol=2e-5)
    np.testing.assert_allclose(reading.exact[:, 7], both[1][:, 6], rtol=2e-5)
    backend.close()


@pytest.mark.parametrize("decay", [1.0, 0.75])
@pytest.mark.parametrize("options", [{}, {"conservative": True}])
def test_count_min_with_a_table_wider_than_all_keys_is_h2o_exactly(
    options: dict[str, Any], decay: float
) -> None:
    model, _ = models("llama")
    wide = dict(SMALL, sketch_width=2**20, sketch_depth=3, decay=decay)
    exact = CowBackend(model, RunConfig(policy="h2o", **wide))
    sketched = CowBackend(model, RunConfig(policy="count_min", **wide, **options))
    num_evicted = 0
    for (_, _, one), (_, _, two) in zip(run_policy(exact, 7), run_policy(sketched, 7), strict=True):
        assert torch.equal(one.logits, two.logits)
        for a, b in zip(one.report.evicted, two.report.evicted, strict=True):
            assert (a.slots, a.paths, a.scores, a.kept) == (b.slots, b.paths, b.scores, b.kept)
            assert b.scores == b.exact
            num_evicted += len(a.slots)
        for a, b in zip(one.report.evidence, two.report.evidence, strict=True):
            assert a.estimates == b.estimates == b.exact
    assert num_evicted > 20
    exact.close()
    sketched.close()


def test_a_narrow_sketch_is_wrong_and_says_by_how_much() -> None:
    model, _ = models("llama")
    config = RunConfig(policy="count_min", **SMALL, sketch_width=8, sketch_depth=2)
    backend = CowBackend(model, config)
    off = []
    for _, _, forward in run_policy(backend, 7):
        for record in forward.report.evidence:
            assert record.error_bound == pytest.approx(np.e / 8 * record.total, rel=1e-5)
            for row, columns in enumerate(record.columns):
                cells = dict(zip(columns, record.cells[row], strict=True))
                assert [cells[column] for column in columns] == list(record.cells[row])
            cells_of_slot = zip(*record.cells, strict=True)
            for estimate, exact, cells in zip(
                record.estimates, record.exact, cells_of_slot, strict=True
            ):
                assert estimate == pytest.approx(min(cells), abs=1e-6)
                assert estimate >= exact - 1e-5
                off.append(estimate - exact)
    assert max(off) > 1
    backend.close()


def protected_positions(config: RunConfig, length: int) -> set[int]:
    if config.eviction.policy == "fifo":
        return set()
    last = range(max(length - config.eviction.recent, 0), length)
    return {*range(min(config.eviction.sinks, length)), *last}


@pytest.mark.parametrize("strategy", ["evict", "topk", "aggregate"])
@pytest.mark.parametrize("policy", POLICIES)
def test_no_layer_of_any_path_holds_more_than_its_budget_or_nothing_or_lacks_what_is_protected(
    policy: str, strategy: str
) -> None:
    plain, uneven = {"budget": 7}, {"layer_budgets": (6, 9)}
    cases = [*itertools.product(("llama", "gpt2", "gemma3_mixed"), (1, 8), [plain])]
    cases += [("llama", 8, uneven), ("gpt2", 8, {"budget": 8, "adaptive": True})]
    for name, num_paths, budget in cases:
        config = RunConfig(policy=policy, strategy=strategy, **(SMALL | {"budget": None} | budget))
        backend = CowBackend(models(name)[0], config)
        every = tuple(range(num_paths))
        rows = ((0,) * num_paths, every, every, every, every[:3], every[:3])
        total = None
        for _, _, forward in run_policy(backend, 3, rows):
            limits, pool = forward.report.budgets, backend.pool
            pool.check_integrity()
            total = total or sum(limits)
            assert sum(limits) == total
            for layer_idx in range(NUM_LAYERS):
                for row, bits in enumerate(pool.seen(layer_idx)):
                    seen = set(pool.depth(layer_idx)[bits].tolist())
                    assert 1 <= len(seen) <= limits[layer_idx]
                    assert protected_positions(config, int(pool.row_depth[row])) <= seen
        assert (
            all(
                int(pool.seen(i)[row].sum()) == min(limits[i], int(pool.row_depth[row]))
                for i in range(NUM_LAYERS)
                for row in range(pool.num_rows)
            )
            or config.eviction.adaptive
        )
        backend.close()
    assert num_open() == 0
