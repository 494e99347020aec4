"""Evicting from a decoder's self-attention equals hiding those keys from a plain eager model, also
where a path is longer than its layers have slots and T5's bias has to know true distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from explorer.attention import TreeMask
from explorer.backends.cow import CowBackend
from explorer.models import LoadedModel
from tests import seq2seq_models
from tests.masked import Line
from tests.seq2seq_models import NUM_LAYERS
from tests.test_parity import CLEARLY_WRONG, TOLERANCE, error

SOURCE = [5, 9, 3, 22, 7]
NAMES = ["t5", "umt5_bias_in_every_layer", "bart", "marian"]
SELF_ATTENTION = ("SelfAttention", "self_attn")
BUDGET = 4
STEPS = 12


def oracle(twin: PreTrainedModel, line: Line) -> torch.Tensor:
    """`[1, vocab]` after the last token; what a query may not see is hidden layer by layer."""
    told = []
    handles = []

    def tell(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        name = "mask" if "mask" in kwargs else "attention_mask"
        mask = kwargs[name]
        assert mask.shape[-2:] == (len(line.tokens),) * 2
        told.append(module.layer_idx)
        least = torch.finfo(mask.dtype).min
        return args, kwargs | {name: mask.masked_fill(line.hidden(module.layer_idx), least)}

    for name, module in twin.get_decoder().named_modules():
        if name.split(".")[-1] in SELF_ATTENTION:
            handles.append(module.register_forward_pre_hook(tell, with_kwargs=True))
    try:
        with torch.inference_mode():
            logits = twin(
                input_ids=torch.tensor([SOURCE]),
                decoder_input_ids=torch.tensor([line.tokens]),
                use_cache=False,
            ).logits[:, -1]
    finally:
        for handle in handles:
            handle.remove()
    assert told == list(range(NUM_LAYERS))
    return logits


def run(name: str) -> tuple[list[torch.Tensor], list[torch.Tensor], int]:
    """Logits of a run that keeps `BUDGET` tokens a path and layer, each layer its own choice of
    them, those of the oracle, and the slots that the pool came to need."""
    module = seq2seq_models.build(name)
    model, twin = LoadedModel(module, name=name), seq2seq_models.untouched(module)
    backend = CowBackend(model.reading(SOURCE))
    pool = backend.pool
    rng = np.random.default_rng(3)
    lines = [Line(NUM_LAYERS)]
    found, expected = [], []
    lines[0].append([2])
    found.append(backend.prefill([2]).logits)
    expected.append(oracle(twin, lines[0]))
    for step in range(STEPS):
        parents = [0, 0] if step == 1 else list(range(len(lines)))
        backend.fork(parents)
        lines = [lines[row].copy() for row in parents]
        for row, line in enumerate(lines):
            for layer_idx, held in enumerate(line.held):
                while len(held) >= BUDGET:
                    gone = sorted(held)[(layer_idx + row) % (BUDGET - 1)]
                    held.remove(gone)
                    is_there = pool.seen(layer_idx)[row] & (pool.depth(layer_idx) == gone)
                    pool.evict(layer_idx, row, np.flatnonzero(is_there).tolist())
        tokens = rng.integers(0, 64, len(lines)).tolist()
        for line, token in zip(lines, tokens, strict=True):
            line.append([token])
        found.append(backend.decode(tokens).logits)
        expected.append(torch.cat([oracle(twin, line) for line in lines]))
    slots = pool.high_water
    backend.close()
    return found, expected, slots


@pytest.mark.parametrize("name", NAMES)
def test_what_a_path_no_longer_sees_is_gone_from_that_layer_alone(name: str) -> None:
    found, expected, slots = run(name)
    assert slots < STEPS, "the paths outgrew their slots"
    assert error(found, expected) < TOLERANCE


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_bias_as_wide_as_the_slots_alone_is_found_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: distances cut off at the number of slots, as the model would have them."""
    by_slot = TreeMask.by_slot

    def narrow(self: TreeMask, module: Any, layer_idx: int, tokens: int, bias: Any) -> Any:
        whole, width = self._slot_depth, bias.shape[-1]
        self._slot_depth = np.minimum(whole, width - 1)
        try:
            return by_slot(self, module, layer_idx, tokens, bias)
        finally:
            self._slot_depth = whole

    monkeypatch.setattr(TreeMask, "by_slot", narrow)
    found, expected, _ = run(name)
    assert error(found, expected) > CLEARLY_WRONG
