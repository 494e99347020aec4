"""Every path's logits, on every backend, equal recomputation by an untouched eager model.

Three ways in which such a test is blind are closed here: the reference shares no object with the
model under test and is asked for eager attention; the weights are large enough that attention
matters; and the same comparison must fail, clearly, once the mask is off or one path sees one slot
of its sibling's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from explorer.attention import TreeMask
from explorer.backends import Backend, num_open
from explorer.backends.batched import BatchedBackend
from explorer.backends.cow import CowBackend
from explorer.backends.deepcopy import DeepCopyBackend
from explorer.backends.recompute import RecomputeBackend
from explorer.models import LoadedModel
from tests import architectures

TOLERANCE = 1e-5  # of the spread of the logits, float32
CLEARLY_WRONG = 1e-2  # a thousand times that
MAX_ROWS = 6


@dataclass(frozen=True)
class Schedule:
    """A prompt in chunks, then for every step the rows that go on (fork, prune, continue, reorder).

    Tokens are drawn from `seed`. Runs are longer than the tests' sliding window.
    """

    seed: int
    chunks: tuple[int, ...]
    parents: tuple[tuple[int, ...], ...]


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    chunks = draw(st.lists(st.integers(1, 7), min_size=1, max_size=3))
    parents, rows = [], 1
    for _ in range(draw(st.integers(6, 9))):
        row = st.integers(0, rows - 1)
        parents.append(tuple(draw(st.lists(row, min_size=1, max_size=MAX_ROWS))))
        rows = len(parents[-1])
    return Schedule(draw(st.integers(0, 1000)), tuple(chunks), tuple(parents))


# Forks into three, continues, prunes the first, forks the rest into four, reverses, prunes to one
# whose freed neighbours' slots are then written again.
BY_HAND = Schedule(
    seed=7,
    chunks=(4, 1, 3),
    parents=(
        (0, 0, 0),
        (0, 1, 2),
        (1, 2),
        (0, 0, 1, 1),
        (3, 2, 1, 0),
        (2,),
        (0, 0, 0, 0, 0),
        (4, 0, 0),
        (0, 1, 2),
    ),
)


@cache
def models(name: str) -> tuple[LoadedModel, PreTrainedModel]:
    module = architectures.build(name)
    return LoadedModel(module, name=name), architectures.untouched(module)


def texts_of(schedule: Schedule) -> Iterator[tuple[tuple[int, ...], list[list[int]]]]:
    """`(parents, texts)` of each step, by plain lists: what every row's text is by then."""
    rng = np.random.default_rng(schedule.seed)
    texts = [rng.integers(0, architectures.VOCAB, sum(schedule.chunks)).tolist()]
    yield (0,), texts
    for parents in schedule.parents:
        tokens = rng.integers(0, architectures.VOCAB, len(parents)).tolist()
        texts = [[*texts[row], token] for row, token in zip(parents, tokens, strict=True)]
        yield parents, texts


def logits_of(
    backend: Backend, schedule: Schedule, meddle: Callable[[Backend], None] | None = None
) -> list[torch.Tensor]:
    """`[rows, vocab]` of every step of the schedule on a backend, which is closed after."""
    found = []
    try:
        steps = texts_of(schedule)
        _, [prompt] = next(steps)
        start = 0
        for length in schedule.chunks if backend.is_chunked else (len(prompt),):
            forward = backend.prefill(prompt[start : start + length])
            start += length
        found.append(forward.logits)
        for parents, texts in steps:
            backend.fork(parents)
            if meddle is not None:
                meddle(backend)
            found.append(backend.decode([text[-1] for text in texts]).logits)
            if isinstance(backend, CowBackend):
                backend.pool.check_integrity()
    finally:
        backend.close()
    return found


def reference_of(twin: PreTrainedModel, schedule: Schedule) -> list[torch.Tensor]:
    return [architectures.recompute(twin, texts) for _, texts in texts_of(schedule)]


def error(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    """Largest difference over all steps and paths, in units of the spread of the logits."""
    spread = max(float(logits.max() - logits.min()) for logits in expected)
    return max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True)) / spread


few = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("name", architectures.POOLED)
@few
@given(schedule=schedules())
@example(schedule=BY_HAND)
def test_every_path_equals_recomputation_on_every_backend(name: str, schedule: Schedule) -> None:
    model, twin = models(name)
    expected = reference_of(twin, schedule)
    for backend_type in (CowBackend, BatchedBackend, DeepCopyBackend):
        found = logits_of(backend_type(model), schedule)
        assert error(found, expected) < TOLERANCE, backend_type.name
    assert twin.config._attn_implementation == "eager"
    assert num_open() == 0


@pytest.mark.parametrize("name", architectures.REFUSED)
@few
@given(schedule=schedules())
@example(schedule=BY_HAND)
def test_models_refused_by_the_pool_are_right_on_the_other_backends(
    name: str, schedule: Schedule
) -> None:
    model, twin = models(name)
    expected = reference_of(twin, schedule)
    for backend_type in (BatchedBackend, DeepCopyBackend, RecomputeBackend):
        found = logits_of(backend_type(model), schedule)
        assert error(found, expected) < TOLERANCE, backend_type.name


@pytest.mark.parametrize("name", architectures.POOLED)
def test_with_the_mask_off_the_comparison_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, twin = models(name)

    def everything(
        self: TreeMask, layer_idx: int, window: int | None, groups: int, like: torch.Tensor
    ) -> torch.Tensor:
        rows, slots = self._visible.shape[1:]
        return torch.zeros(1, 1, rows * groups, slots)

    monkeypatch.setattr(TreeMask, "additive", everything)
    wrong = error(logits_of(CowBackend(model), BY_HAND), reference_of(twin, BY_HAND))
    assert wrong > CLEARLY_WRONG


@pytest.mark.parametrize("name", architectures.POOLED)
def test_a_path_that_sees_one_slot_of_its_siblings_is_found_out(name: str) -> None:
    model, twin = models(name)
    schedule = Schedule(seed=3, chunks=(4,), parents=((0, 0), (0, 1), (0, 1)))

    def leak(backend: Backend) -> None:
        assert isinstance(backend, CowBackend)
        private = np.flatnonzero(backend.pool.visible[0, 1] & ~backend.pool.visible[0, 0])
        backend.pool.visible[:, 0, private[-1:]] = True

    backend = CowBackend(model)
    backend.pool.check_integrity = lambda: None  # type: ignore[method-assign]
    found, expected = logits_of(backend, schedule, leak), reference_of(twin, schedule)
    assert error([f[1:] for f in found[1:]], [e[1:] for e in expected[1:]]) < TOLERANCE
    assert error([f[:1] for f in found[1:]], [e[:1] for e in expected[1:]]) > CLEARLY_WRONG


class PrivateCaches:
    """One transformers cache per path and layer, run through an untouched model a path at a time.

    One-token passes through transformers' SDPA take no mask, so that a key can really be deleted.
    """

    def __init__(self, module: PreTrainedModel, prompt: list[int]) -> None:
        self.twin = architectures.untouched(module)
        self.twin.set_attn_implementation("sdpa")
        self.caches = [DynamicCache()]
        self.kept = [[list(range(len(prompt))) for _ in range(2)]]  # [path][layer] -> depths
        self.length = 0
        for token in prompt:
            self._forward(0, token)

    def _forward(self, row: int, token: int) -> torch.Tensor:
        with torch.inference_mode():
            out = self.twin(
                input_ids=torch.tensor([[token]]),
                position_ids=torch.tensor([[self.length]]),
                past_key_values=self.caches[row],
            )
        self.length += row == len(self.caches) - 1
        return out.logits[:, -1]

    def decode(self, tokens: list[int]) -> torch.Tensor:
        for layers in self.kept:
            for depths in layers:
                depths.append(self.length)
        return torch.cat([self._forward(row, token) for row, token in enumerate(tokens)])

    def fork(self, parents: tuple[int, ...]) -> None:
        self.caches = [copy.deepcopy(self.caches[row]) for row in parents]
        self.kept = [copy.deepcopy(self.kept[row]) for row in parents]

    def delete(self, layer_idx: int, row: int, depth: int) -> None:
        index = self.kept[row][layer_idx].index(depth)
        layer = self.caches[row].layers[layer_idx]
        for name in ("keys", "values"):
            states = getattr(layer, name)
            left = torch.cat([states[:, :, :index], states[:, :, index + 1 :]], dim=2)
            setattr(layer, name, left)
        del self.kept[row][layer_idx][index]


@pytest.mark.parametrize("layer_idx", [0, 1])
def test_evicting_a_slot_equals_deleting_that_key_from_that_paths_private_cache(
    layer_idx: int,
) -> None:
    model, _ = models("llama")
    rng = np.random.default_rng(5)
    prompt = rng.integers(0, architectures.VOCAB, 6).tolist()
    backend, private = CowBackend(model), PrivateCaches(model.module, prompt)
    untouched = CowBackend(model)  # the same run, nothing evicted
    backend.prefill(prompt)
    untouched.prefill(prompt)
    # (parents, what to evict after the fork as (row, depth)); depth 6.. are generated tokens
    for parents, evicted in (
        ((0, 0, 0), ()),
        ((0, 1, 2), ((1, 2),)),
        ((0, 1, 2), ((1, 6), (2, 0))),
        ((0, 1, 1, 2), ()),  # children inherit what their parent no longer sees
        ((0, 1, 2, 3), ((2, 8), (2, 3))),
        ((0, 1, 2, 3), ()),
    ):
        tokens = rng.integers(0, architectures.VOCAB, len(parents)).tolist()
        for run in (backend, untouched, private):
            run.fork(parents)
        for row, depth in evicted:
            pool = backend.pool
            is_there = pool.seen(layer_idx)[row] & (pool.depth(layer_idx) == depth)
            [slot] = np.flatnonzero(is_there)
            pool.evict(layer_idx, row, [slot])
            private.delete(layer_idx, row, depth)
        found, expected = backend.decode(tokens).logits, private.decode(tokens)
        assert error([found], [expected]) < TOLERANCE
        backend.pool.check_integrity()
        whole = untouched.decode(tokens).logits
        assert error([found[:1]], [whole[:1]]) < TOLERANCE  # row 0 never lost anything
    assert error([found[1:]], [whole[1:]]) > CLEARLY_WRONG
    backend.close()
    untouched.close()
