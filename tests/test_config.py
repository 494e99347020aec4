"""RunConfig: bounds, flat names, and one sentence for whatever is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from explorer.config import BACKENDS, GROUPS, Branching, RunConfig, Sampling, explain, iter_fields


def test_defaults_are_those_of_the_method() -> None:
    flat = RunConfig().flat()
    assert (flat["entropy_threshold"], flat["branch_factor"], flat["max_paths"]) == (0.2, 3, 20)
    assert (flat["select"], flat["width"]) == ("sample", "threshold")
    assert (flat["temperature"], flat["top_k"], flat["top_p"], flat["seed"]) == (1.0, None, None, 0)
    assert flat["backend"] == "cow"


def test_flat_and_nested_names_describe_the_same_run() -> None:
    flat = RunConfig(temperature=0.5, max_paths=7)
    nested = RunConfig(sampling=Sampling(temperature=0.5), branching=Branching(max_paths=7))
    mixed = RunConfig(sampling=Sampling(seed=3), temperature=0.5, max_paths=7)
    assert flat == nested == RunConfig(**nested.model_dump())
    assert mixed.sampling == Sampling(temperature=0.5, seed=3)


@pytest.mark.parametrize("wrong", [5, 0, [], [1], "x", None])
def test_a_group_that_is_none_is_refused_by_its_name_beside_flat_ones(wrong: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        RunConfig(sampling=wrong, temperature=0.5)
    assert explain(caught.value).startswith("sampling: input should be a valid dictionary")


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("temperature", 0, -0.1),
        ("temperature", 10, 10.1),
        ("temperature", 1, float("nan")),
        ("temperature", 1, float("inf")),
        ("top_k", 1, 0),
        ("top_p", 1, 0),
        ("top_p", 0.01, 1.01),
        ("seed", 2**53 - 1, 2**53),
        ("seed", 0, -1),
        ("entropy_threshold", 1, 1.01),
        ("entropy_threshold", 0, -0.01),
        ("branch_factor", 2, 1),
        ("branch_factor", 64, 65),
        ("max_paths", 1, 0),
        ("max_paths", 512, 513),
        ("select", "gumbel", "best"),
        ("backend", "naive", "fast"),
        ("prefill_chunk", 1, 0),
        ("max_new_tokens", 1, 0),
        ("max_finished", 1, 0),
        ("num_samples", 4096, 4097),
        ("num_candidates", 64, 65),
        ("device", "cuda:1", "gpu"),
        ("dtype", "bfloat16", "int8"),
        ("model", "x", ""),
        ("policy", "h2o", "lfu"),
        ("strategy", "topk", "forget"),
        ("kv_dtype", ("int8", "int4"), "int3"),
        ("kv_group", 1, 0),
        ("kv_recent", 0, -1),
        ("pyramid", 0.99, 1),
        ("sinks", 0, -1),
        ("recent", 0, -1),
        ("topk", 1, 0),
        ("residual_entries", 1, 0),
        ("sketch_width", 1, 0),
        ("sketch_depth", 1, 0),
        ("decay", 1, 1.1),
        ("decay", 0.5, 0),
        ("num_evidence", 0, -1),
    ],
)
def test_the_last_value_inside_is_taken_and_the_first_outside_refused_by_name(
    name: str, inside: Any, outside: Any
) -> None:
    room = {"budget": 64} if name == "policy" else {}
    assert RunConfig().replace(**room, **{name: inside}).flat()[name] == inside
    with pytest.raises(ValidationError) as caught:
        RunConfig().replace(**{name: outside})
    sentence = explain(caught.value)
    assert sentence.startswith(f"{name}: ")
    assert repr(outside) in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policy": "h2o"}, "budget: the policy h2o needs one; give budget"),
        ({"policy": "h2o", "budget": 9, "layer_budgets": (9, 9)}, "one of the two"),
        (
            {"policy": "window", "budget": 12},
            "budget: 12 tokens in the smallest layer must be more than sinks + recent = 12; "
            "give at least 13, or lower sinks or recent",
        ),
        ({"policy": "window", "layer_budgets": (64, 3)}, "layer_budgets: 3 tokens"),
        ({"policy": "window", "budget": 20, "pyramid": 0.5}, "budget: 10 tokens in the smallest"),
        (
            {"policy": "h2o", "budget": 16, "strategy": "aggregate"},
            "sinks + recent + residual_entries = 16; give at least 17",
        ),
        ({"budget": 0}, "budget: give a number of tokens from 1, or a share"),
        ({"budget": "many"}, "not 'many'"),
        ({"budget": 1.5}, "not 1.5"),
        ({"budget": True}, "not True"),
        ({"budget": "inf"}, "not 'inf'"),
        ({"budget": "nan"}, "not 'nan'"),
    ],
)
def test_a_budget_without_room_is_refused_with_the_field_and_the_remedy(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        RunConfig(**changes)
    sentence = explain(caught.value)
    assert words in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("given", "held"), [(64, 64), ("64", 64), (0.25, 0.25), ("0.25", 0.25), (None, None), (1.0, 1)]
)
def test_a_budget_is_tokens_or_a_share(given: Any, held: Any) -> None:
    budget = RunConfig(policy="h2o" if given is not None else None, budget=given, sinks=0, recent=0)
    assert budget.eviction.budget == held
    assert type(budget.eviction.budget) is type(held)


def test_fifo_protects_nothing_and_may_have_a_budget_of_one() -> None:
    assert RunConfig(policy="fifo", budget=1).eviction.num_protected == 0


def test_lists_may_be_written_with_commas() -> None:
    config = RunConfig(policy="fifo", layer_budgets="8,9", kv_dtype="int8,model")
    assert config.eviction.layer_budgets == (8, 9)
    assert config.cache.kv_dtype == ("int8", "model")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        RunConfig().replace(temprature=1)
    assert "temprature" in explain(caught.value)


def test_a_run_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError):
        RunConfig().prompt = "other"  # type: ignore[misc]


def test_replace_changes_what_it_names_and_nothing_else() -> None:
    before = RunConfig(prompt="a").replace(seed=5, top_p=0.9)
    after = before.replace(max_paths=3)
    changed = {k for k, v in after.flat().items() if before.flat()[k] != v}
    assert changed == {"max_paths"}


def test_json_of_a_run_gives_the_run_back() -> None:
    config = RunConfig(prompt="ä\n", prompt_ids=(3, 1)).replace(top_k=5, backend="naive")
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_fields_come_once_each_with_the_words_people_read() -> None:
    fields = list(iter_fields())
    names = [name for _, name, _ in fields]
    assert sorted(names) == sorted(RunConfig().flat())
    assert len(set(names)) == len(names)
    assert {group for group, _, _ in fields} == {"", *GROUPS}
    assert all(field.description for _, _, field in fields)


def test_backends_are_the_five_of_the_method() -> None:
    assert set(BACKENDS) == {"naive", "recompute", "deepcopy", "batched", "cow"}
