"""What a model computes and reads, against torch's own count of the products that really ran."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from explorer.models import LoadedModel
from explorer.work import work_of
from tests import architectures

DENSE = ["llama", "gpt2", "qwen3", "gemma2_softcap", "gpt_neox", "opt", "phi3"]
LENGTH = 9


def counted(name: str, length: int) -> int:
    """FLOPs of a whole text through transformers' own attention, every pair computed."""
    module = architectures.untouched(architectures.build(name))
    ids = torch.arange(length)[None] % architectures.VOCAB
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(input_ids=ids, use_cache=False, logits_to_keep=1)
    return counter.get_total_flops()


# The grouped product of experts is not in torch's count: 2 chosen, three products of 32 x 16 each.
UNCOUNTED = {"deepseek_v3_latent": 2 * 2 * 3 * 32 * 16}


@pytest.mark.parametrize("name", [*DENSE, *UNCOUNTED])
def test_flops_of_a_text_are_those_that_torch_counts(name: str) -> None:
    module = architectures.build(name)
    work = work_of(module, last_logits_only=True)
    assert work is not None
    # rotary angles are the one product that is not counted: under 2 %
    for length in (LENGTH, 3 * LENGTH):
        pairs = length * length
        expected = work.flops_per_position * length + work.flops_per_logits
        expected += work.flops_per_pair * pairs - UNCOUNTED.get(name, 0) * length
        assert counted(name, length) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("name", DENSE)
def test_a_pass_reads_every_weight_but_the_tables(name: str) -> None:
    module = architectures.build(name, tie_word_embeddings=False)
    work = work_of(module, last_logits_only=True)
    assert work is not None
    state = {id(w): w for _, w in module.named_parameters(remove_duplicate=False)}
    tables = [m.weight for m in module.modules() if isinstance(m, torch.nn.Embedding)]
    rest = sum(w.numel() * 4 for w in state.values()) - sum(4 * w.numel() for w in tables)
    assert work.weight_nbytes == work.active_nbytes == rest


def test_an_output_layer_that_is_the_table_of_tokens_is_read() -> None:
    tied = work_of(architectures.build("llama", tie_word_embeddings=True), True)
    loose = work_of(architectures.build("llama", tie_word_embeddings=False), True)
    assert tied == loose


def test_one_position_needs_only_the_experts_it_is_sent_to() -> None:
    work = work_of(architectures.build("qwen3_moe"), True)
    all_of_them = work_of(architectures.build("qwen3_moe", num_experts_per_tok=4), True)
    assert work is not None
    assert all_of_them is not None
    experts = 2 * 4 * (3 * 32 * 16)  # layers x experts x (gate, up and down)
    assert all_of_them.flops_per_position - work.flops_per_position == 2 * experts // 2
    assert all_of_them.active_nbytes - work.active_nbytes == 4 * experts // 2
    assert all_of_them.expert_nbytes == work.expert_nbytes == 4 * experts
    assert all_of_them.active_nbytes == work.weight_nbytes == all_of_them.weight_nbytes


def test_dense_models_have_no_experts() -> None:
    work = work_of(architectures.build("llama"), True)
    assert work is not None
    assert work.expert_nbytes == 0


@pytest.mark.parametrize("name", ["lfm2_conv", "mamba", "falcon_h1_hybrid"])
def test_models_that_are_more_than_attention_and_products_are_unknown(name: str) -> None:
    assert work_of(architectures.build(name), True) is None


def test_a_model_that_computes_every_logit_pays_the_output_layer_at_every_position() -> None:
    module = architectures.build("llama")
    last, every = work_of(module, True), work_of(module, False)
    assert last is not None
    assert every is not None
    assert every.flops_per_logits == 0
    assert every.flops_per_position == last.flops_per_position + last.flops_per_logits


def test_a_loaded_model_says_what_its_passes_do() -> None:
    module = architectures.build("llama")
    assert LoadedModel(module).info.work == work_of(module, True)
