"""The form is made from RunConfig, and what it says before a run is true."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import Any

import gradio as gr
import pytest

import explorer
from explorer.config import InputError, RunConfig, iter_fields
from explorer.models import LoadedModel
from explorer.ui import estimate
from explorer.ui.forms import Form
from explorer.ui.limits import Limits
from explorer.ui.models import ModelCache

HELD = RunConfig(
    prompt="Held", temperature=0.5, top_k=7, entropy_threshold=0.4, backend="deepcopy", seed=9
)


@pytest.fixture(scope="module")
def form() -> Form:
    async def build() -> Form:  # gradio leaves an event loop open where none is running
        with gr.Blocks():
            form = Form(["tiny"], HELD)
            form.place_groups()
        return form

    return asyncio.run(build())


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return explorer.load_model("tiny")


def values(form: Form, **changes: object) -> list[object]:
    given = form.fill(RunConfig(prompt="Once"))
    return [changes.get(name, value) for name, value in zip(form.inputs, given, strict=True)]


def test_every_setting_that_can_be_typed_has_an_input(form: Form) -> None:
    names = {name for _, name, _ in iter_fields()}
    assert names - set(form.inputs) == {"prompt_ids", "prefix_ids", "layer_budgets"}


def test_what_the_form_is_filled_with_comes_back(form: Form) -> None:
    config = RunConfig(
        prompt="Hello", temperature=0.5, top_k=7, entropy_threshold=0.4, backend="deepcopy", seed=9
    )
    assert form.config(form.fill(config)) == config
    config = RunConfig(prompt="Hello", policy="count_min", budget=0.25, exact=False, decay=0.5)
    assert form.config(form.fill(config)) == config


def test_a_page_opens_with_a_form_that_is_filled_already(form: Form) -> None:
    held = [component.value for component in form.components]  # type: ignore[attr-defined]
    assert form.config(held) == HELD


def test_empty_inputs_mean_the_default(form: Form) -> None:
    assert form.config(values(form, top_k=None, max_paths=None)) == RunConfig(prompt="Once")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_paths": 0}, "Max paths: input should be greater than or equal to 1"),
        ({"temperature": 99}, "temperature: input should be less than or equal to 10"),
        ({"device": "tpu"}, "device:"),
        ({"backend": "magic"}, "backend:"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_the_fields_name(
    form: Form, change: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError) as refused:
        form.config(values(form, **change))
    assert words in str(refused.value)
    assert str(refused.value).count(".") == 1


def test_labels_and_help_are_those_of_the_fields(form: Form) -> None:
    for _, name, field in iter_fields():
        if name in form.inputs:
            assert str(form.inputs[name].info).startswith(str(field.description))  # type: ignore[attr-defined]


def test_a_public_page_bounds_what_it_is_asked_for() -> None:
    limits = Limits(max_paths=8, models=("tiny",))
    limits.check(RunConfig(prompt="Once", max_paths=8))
    for config in (
        RunConfig(prompt="Once", max_paths=9),
        RunConfig(prompt="Once", model="owner/model"),
        RunConfig(prompt="x" * 9000),
    ):
        with pytest.raises(InputError):
            limits.check(config)


def test_the_predicted_budget_is_never_below_what_a_run_takes(model: LoadedModel) -> None:
    for backend in ("cow", "batched", "deepcopy", "recompute"):
        config = RunConfig(
            prompt="Once upon a time", max_paths=6, max_new_tokens=8, entropy_threshold=0.0,
            backend=backend,
        )  # fmt: skip
        size = estimate.size_of(config, ModelCache())
        assert size is not None
        assert size.kv_nbytes_per_token == model.info.kv_nbytes_per_token
        trace = explorer.run(model, config)
        assert size.num_prompt == len(trace.header.prompt)
        worst = estimate.worst_tokens(config, size.num_prompt)
        peak = max(step.memory.kv_live_nbytes for step in trace)
        assert peak <= worst * size.kv_nbytes_per_token
        assert worst * size.kv_nbytes_per_token < 3 * peak or backend == "recompute"


@pytest.mark.parametrize(
    "changes",
    [
        {"kv_dtype": "int8"},
        {"kv_dtype": "int4", "kv_group": 4},
        {"kv_dtype": "adaptive"},
        {"kv_dtype": ("model", "int8", "int4", "int4", "adaptive")},
        {"policy": "h2o", "budget": 24},
        {"policy": "window", "budget": 0.5, "kv_dtype": "int8"},
        {"policy": "h2o", "budget": 24, "pyramid": 0.3},
        {"policy": "h2o", "layer_budgets": (40, 20, 20, 20, 20)},
        {"policy": "h2o", "budget": 24, "strategy": "topk"},
        {"policy": "h2o", "budget": 24, "strategy": "aggregate"},
    ],
)
def test_the_prediction_counts_what_quantises_and_what_evicts(
    model: LoadedModel, changes: dict[str, Any]
) -> None:
    prompt = "Once upon a time, a little girl named Lily found a big red box. " * 3
    config = RunConfig(
        prompt=prompt, max_paths=3, max_new_tokens=16, entropy_threshold=0.0, num_evidence=0,
        **({"kv_group": 8, "kv_recent": 4} | changes),
    )  # fmt: skip
    size = estimate.size_of(config, ModelCache())
    assert size is not None
    trace = explorer.run(model, config)
    peak = max(m.kv_live_nbytes for step in trace for m in (step.memory, step.memory_forward))
    worst = estimate.worst_nbytes(config, size)
    assert peak <= worst < 3 * peak
    plain = config.replace(policy=None, budget=None, layer_budgets=(), pyramid=0.0,
                           strategy="evict", kv_dtype="model")  # fmt: skip
    unbound = changes.get("strategy") == "topk"
    assert (worst < estimate.worst_nbytes(plain, size)) != unbound
    said = estimate.sentence(config, ModelCache())
    assert f"= {estimate.show_nbytes(worst)}" in said
    assert ("in a layer of a path" in said) == ("policy" in changes and not unbound)
    assert ("older ones stored as" in said) == ("kv_dtype" in changes)


def test_the_page_predicts_with_the_engines_own_constants() -> None:
    from explorer.cache import quant
    from explorer.cache.codes import SCALE_NBYTES

    assert (estimate.HOLLOW, estimate.SCALE_NBYTES) == (quant.HOLLOW, SCALE_NBYTES)


def test_storage_for_another_number_of_layers_is_said_before_a_run() -> None:
    config = RunConfig(prompt="Once", kv_dtype=("int8", "model"))
    said = estimate.sentence(config, ModelCache())
    assert said == "Memory: kv_dtype names 2 layers, and tiny has 5."


def test_a_model_loaded_ahead_is_there_for_the_first_run() -> None:
    models = ModelCache()
    for _ in range(2):
        models.warm("tiny", "cpu", "float32", seconds=0)
    deadline = time.monotonic() + 60
    while models.peek("tiny", "cpu", "float32") is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert models.get("tiny", "cpu", "float32") is models.peek("tiny", "cpu", "float32")


def test_only_the_newest_models_are_kept() -> None:
    models = ModelCache(size=2)
    first = models.get("tiny", "cpu", "float32")
    models.get("tiny", "cpu", "bfloat16")
    assert models.get("tiny", "cpu", "float32") is first
    models.get("tiny", "cpu", "float16")
    assert models.peek("tiny", "cpu", "bfloat16") is None
    assert models.peek("tiny", "cpu", "float32") is first


@pytest.mark.parametrize(("new", "is_too_long"), [(2046, False), (2047, True)])
def test_the_budget_says_when_the_models_context_would_be_exceeded(
    new: int, is_too_long: bool
) -> None:
    config = RunConfig(prompt="Once", max_new_tokens=new)
    size = estimate.size_of(config, ModelCache())
    assert size is not None
    assert (size.num_prompt, size.context) == (2, 2048)
    said = estimate.sentence(config, ModelCache())
    assert said.startswith("Too long: 2 prompt tokens and 2,047 new ones are") == is_too_long
    assert said.startswith("Predicted at worst") != is_too_long


def test_one_path_of_one_token_is_not_paths_of_tokens() -> None:
    config = RunConfig(prompt="Once", max_paths=1, max_new_tokens=1)
    said = estimate.sentence(config, ModelCache())
    assert said.endswith("(2 prompt tokens, 1 path, 1 token each).")


def test_an_unknown_model_is_said_to_be_unknown() -> None:
    config = RunConfig(prompt="Once", model="owner/model")
    assert estimate.sentence(config, ModelCache()) == (
        "Memory: unknown until owner/model has been loaded."
    )


def test_the_page_is_built_without_torch_and_without_analytics() -> None:
    code = (
        "import sys, os; from explorer import ui; ui.build();"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules;"
        "assert os.environ['GRADIO_ANALYTICS_ENABLED'] == 'False'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
