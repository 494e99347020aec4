"""Encoder-decoder models: every path on every backend equals encoding and decoding all of it anew.

The schedules and the closed blind spots are those of `test_parity`; the oracle is transformers
alone. Beside a wrong self-attention mask a foreign source has to be found out as well.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from transformers import PreTrainedModel

from explorer.attention import TreeMask
from explorer.backends import Backend, num_open
from explorer.backends.batched import BatchedBackend
from explorer.backends.cow import CowBackend
from explorer.backends.deepcopy import DeepCopyBackend
from explorer.backends.recompute import RecomputeBackend
from explorer.config import BACKENDS, InputError, RunConfig
from explorer.generate import prepare, run
from explorer.metrics import tree_digest
from explorer.models import LoadedModel
from tests import seq2seq_models
from tests.test_parity import (
    BY_HAND,
    CLEARLY_WRONG,
    TOLERANCE,
    Schedule,
    error,
    few,
    logits_of,
    schedules,
    texts_of,
)

SOURCE = [5, 9, 3, 22, 7, 41, 9]
RUN = dict(prompt_ids=tuple(SOURCE), entropy_threshold=0.3, max_paths=6, max_new_tokens=8)
fewer = settings(few, max_examples=4)


@cache
def models(name: str) -> tuple[LoadedModel, PreTrainedModel]:
    module = seq2seq_models.build(name)
    return LoadedModel(module, name=name), seq2seq_models.untouched(module)


def reference_of(
    twin: PreTrainedModel, schedule: Schedule, source: list[int] = SOURCE
) -> list[torch.Tensor]:
    return [seq2seq_models.recompute(twin, source, texts) for _, texts in texts_of(schedule)]


@pytest.mark.parametrize("name", seq2seq_models.POOLED)
@fewer
@given(schedule=schedules())
@example(schedule=BY_HAND)
def test_every_path_equals_recomputation_on_every_backend(name: str, schedule: Schedule) -> None:
    model, twin = models(name)
    expected = reference_of(twin, schedule)
    for backend_type in (CowBackend, BatchedBackend, DeepCopyBackend):
        found = logits_of(backend_type(model.reading(SOURCE)), schedule)
        assert error(found, expected) < TOLERANCE, backend_type.name
    assert twin.config._attn_implementation == "eager"
    assert num_open() == 0


@pytest.mark.parametrize("name", seq2seq_models.REFUSED)
def test_models_refused_by_the_pool_are_right_on_the_other_backends(name: str) -> None:
    model, twin = models(name)
    assert model.info.backends == ("batched", "deepcopy", "recompute", "naive")
    assert model.info.reason.startswith(type(model.module).__name__)
    expected = reference_of(twin, BY_HAND)
    for backend_type in (BatchedBackend, DeepCopyBackend, RecomputeBackend):
        found = logits_of(backend_type(model.reading(SOURCE)), BY_HAND)
        assert error(found, expected) < TOLERANCE, backend_type.name
    with pytest.raises(InputError, match=r"\. Take --backend batched, which gives the same tree"):
        prepare(model, RunConfig(**RUN, backend="cow"))


@pytest.mark.parametrize("name", seq2seq_models.UNCACHED)
def test_models_whose_cache_does_not_continue_a_text_run_on_recompute_alone(name: str) -> None:
    model, twin = models(name)
    assert model.info.backends == ("recompute",)
    found = logits_of(RecomputeBackend(model.reading(SOURCE)), BY_HAND)
    assert error(found, reference_of(twin, BY_HAND)) < TOLERANCE


@pytest.mark.parametrize("name", seq2seq_models.POOLED)
def test_with_the_mask_off_or_another_source_the_comparison_fails(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, twin = models(name)
    found = logits_of(CowBackend(model.reading(SOURCE)), BY_HAND)
    other = reference_of(twin, BY_HAND, [*SOURCE[:-1], 50])
    assert error(found, other) > CLEARLY_WRONG

    def everything(
        self: TreeMask, layer_idx: int, window: int | None, groups: int, like: torch.Tensor
    ) -> torch.Tensor:
        rows, slots = self._visible.shape[1:]
        return torch.zeros(1, 1, rows * groups, slots)

    monkeypatch.setattr(TreeMask, "additive", everything)
    wrong = logits_of(CowBackend(model.reading(SOURCE)), BY_HAND)
    assert error(wrong, reference_of(twin, BY_HAND)) > CLEARLY_WRONG


@pytest.mark.parametrize("name", ["t5", "umt5_bias_in_every_layer"])
def test_a_position_bias_taken_by_slot_number_is_found_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the gather by depth is there for: slots are not positions once paths have forked."""
    model, twin = models(name)
    by_slot = TreeMask.by_slot

    def by_number(self: TreeMask, *given: object) -> torch.Tensor:
        self._slot_depth = np.minimum(
            np.arange(self._slot_depth.shape[1])[None], self._row_depth.max()
        )
        return by_slot(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(TreeMask, "by_slot", by_number)
    wrong = logits_of(CowBackend(model.reading(SOURCE)), BY_HAND)
    assert error(wrong, reference_of(twin, BY_HAND)) > CLEARLY_WRONG


@pytest.mark.parametrize("name", ["t5", "t5_gated", "bart", "marian", "pegasus", "mbart"])
def test_every_backend_gives_the_same_tree_and_the_same_looks(name: str) -> None:
    model, _ = models(name)
    assert model.info.backends == BACKENDS
    traces = {
        backend: run(model, RunConfig(**RUN, backend=backend))
        for backend in ("cow", "batched", "deepcopy", "recompute")
    }
    assert len({tree_digest(trace) for trace in traces.values()}) == 1
    assert sum(len(step.forks) for step in traces["cow"]) > 0
    for step, *others in zip(*traces.values(), strict=True):
        for decision, *same in zip(step.decisions, *(o.decisions for o in others), strict=True):
            assert decision.look is not None
            for each in same:
                assert each.look is not None
                weights = dict(zip(each.look.tokens, each.look.weights, strict=True))
                for token, weight in zip(decision.look.tokens, decision.look.weights, strict=True):
                    assert weight == pytest.approx(weights.get(token, 0.0), abs=2e-4)


class Watched(CowBackend):
    """Keeps the caches' storages of every pass for the test to look at."""

    def storages(self) -> set[int]:
        assert self.model.source is not None
        layers = self.model.source._cross.layers
        return {
            t.untyped_storage().data_ptr() for layer in layers for t in (layer.keys, layer.values)
        }


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_eight_paths_see_one_stored_row_of_the_source(name: str) -> None:
    """By storage, not by what is claimed: no copy for any path, on a pool or in rows."""
    model, _ = models(name)
    layer_nbytes = len(SOURCE) * model.info.num_kv_heads * model.info.head_dim * 4
    for backend_type in (Watched, BatchedBackend):
        reader = model.reading(SOURCE)
        assert reader.source is not None
        backend: Backend = backend_type(reader)
        backend.prefill([2])
        one = reader.source.nbytes
        before = Watched.storages(backend)  # type: ignore[arg-type]
        assert one == 2 * seq2seq_models.NUM_LAYERS * layer_nbytes
        backend.fork([0] * 8)
        backend.decode(list(range(8)))
        assert reader.source.nbytes == one
        assert Watched.storages(backend) == before  # type: ignore[arg-type]
        for layer in reader.source._cross.layers:
            for states in (layer.keys, layer.values):
                assert states.untyped_storage().nbytes() == layer_nbytes
                if backend_type is BatchedBackend:
                    assert states.shape[0] == 8 and states.stride(0) == 0
        backend.close()


def test_the_source_is_encoded_once_and_only_recompute_encodes_it_again() -> None:
    model, _ = models("bart")
    for name in ("cow", "batched", "deepcopy"):
        trace = run(model, RunConfig(**RUN, backend=name))
        assert [step.encoded for step in trace] == [len(SOURCE), *[0] * (len(trace) - 1)]
        each = model.info.cross_nbytes_per_token
        assert {step.memory.cross_nbytes for step in trace} == {each * len(SOURCE)}
    trace = run(model, RunConfig(**RUN, backend="recompute"))
    rows = [1, *(len(step.paths) for step in trace)][:-1]
    assert [step.encoded for step in trace] == [len(SOURCE) * count for count in rows]
    assert {step.memory.cross_nbytes for step in trace} == {0}


def test_the_header_has_the_source_and_what_the_decoder_begins_with() -> None:
    model, _ = models("bart")
    header = prepare(model, RunConfig(**RUN, prefix_ids=(4, 5)))
    assert [token.token for token in header.source] == SOURCE
    assert [token.token for token in header.prompt] == [2, 4, 5]


def test_a_source_longer_than_the_encoders_positions_is_refused_in_one_sentence() -> None:
    model, _ = models("bart")
    with pytest.raises(InputError, match=r"has 129 tokens, more than the 128 positions of bart's"):
        prepare(model, RunConfig(**RUN | {"prompt_ids": (1,) * 129}))


@pytest.mark.parametrize("name", seq2seq_models.UNFIT)
def test_models_that_differ_over_an_encoded_source_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"other logits over its encoder's states than over the"):
        LoadedModel(seq2seq_models.build(name), name=name)


def test_a_model_that_does_not_say_what_its_decoder_begins_with_is_refused() -> None:
    with pytest.raises(InputError, match=r"needs a decoder_start_token_id\.$"):
        LoadedModel(seq2seq_models.build("bart", decoder_start_token_id=None), name="headless")
