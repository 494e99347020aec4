"""The engine loop: what a run refuses, what it yields, what it leaves behind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from explorer.backends import BACKENDS, num_open
from explorer.config import InputError, RunConfig
from explorer.generate import generate, prepare, run
from explorer.metrics import counters, leaves, tree_digest
from explorer.models import LoadedModel
from explorer.trace import Trace
from tests import architectures
from tests.literal import LiteralModel, literal_run, logits

PROMPT = tuple(range(3, 16))
FORKING: dict[str, Any] = dict(
    prompt_ids=PROMPT, entropy_threshold=0.5, max_paths=6, max_new_tokens=10, prefill_chunk=5
)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return LoadedModel(architectures.build("llama"), name="llama")


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    assert num_open() == 0
    yield
    assert num_open() == 0


# ---- what a run refuses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (dict(prompt_ids=()), "The prompt is empty"),
        (dict(prompt="   \n"), "The prompt is empty"),
        (dict(prompt="Hello"), "llama has no tokenizer; give prompt_ids"),
        (dict(prompt_ids=(1, 64)), "prompt_ids must lie in 0..63"),
        (dict(prompt_ids=(-1,)), "prompt_ids must lie in 0..63"),
        (
            dict(prompt_ids=(1,) * 120, max_new_tokens=9),
            "has 120 tokens and max_new_tokens is 9, together more than the 128 positions",
        ),
    ],
)
def test_a_prompt_that_cannot_be_run_is_refused_before_the_first_step(
    model: LoadedModel, settings: dict[str, Any], sentence: str
) -> None:
    config = RunConfig(**settings)
    with pytest.raises(InputError, match=sentence):
        prepare(model, config)
    with pytest.raises(InputError, match=sentence):
        next(generate(model, config))


def test_a_prompt_that_just_fits_runs_to_the_last_position(model: LoadedModel) -> None:
    config = RunConfig(prompt_ids=(1,) * 120, max_new_tokens=8, entropy_threshold=1)
    assert len(run(model, config)) == 8


def test_a_chat_template_is_used_where_there_is_one(llama: LoadedModel) -> None:
    config = RunConfig(prompt="Hi", chat_template=True, max_new_tokens=1)
    assert llama.tokenizer is not None
    before = llama.tokenizer.chat_template
    try:
        llama.tokenizer.chat_template = None
        with pytest.raises(InputError, match="has no chat template; switch chat_template off"):
            prepare(llama, config)
        llama.tokenizer.chat_template = (
            "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}"
            "{% if add_generation_prompt %}>{% endif %}"
        )
        header = prepare(llama, config)
    finally:
        llama.tokenizer.chat_template = before
    assert "".join(token.text for token in header.prompt) == "[user:Hi]>"


@pytest.mark.parametrize("backend", ["cow", "batched", "deepcopy", "recompute", "naive"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_numbers_stop_the_run_with_a_sentence_and_free_the_pool(
    backend: str, bad: float, monkeypatch: pytest.MonkeyPatch, model: LoadedModel
) -> None:
    whole, calls = LoadedModel.forward, []

    def breaks(self: LoadedModel, *args: Any, **more: Any) -> torch.Tensor:
        out = whole(self, *args, **more).clone()
        calls.append(0)
        if len(calls) >= 5:
            out[-1, 3] = bad
        return out

    monkeypatch.setattr(LoadedModel, "forward", breaks)
    steps = generate(model, RunConfig(**FORKING, backend=backend, num_samples=2))
    with pytest.raises(InputError, match="are not numbers"):
        list(steps)
    assert num_open() == 0


def test_an_error_in_the_model_frees_the_pool(
    monkeypatch: pytest.MonkeyPatch, model: LoadedModel
) -> None:
    steps = generate(model, RunConfig(**FORKING))
    next(steps)
    assert num_open() == 1

    def fails(self: LoadedModel, *args: Any, **more: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(LoadedModel, "forward", fails)
    with pytest.raises(torch.OutOfMemoryError):
        next(steps)
    assert num_open() == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_closing_the_iterator_after_any_step_frees_the_pool(
    backend: str, model: LoadedModel
) -> None:
    config = RunConfig(**FORKING, backend=backend, num_samples=2)
    total = len(run(model, config))
    for cut in range(total + 1):
        steps = generate(model, config)
        for _ in range(cut):
            next(steps)
        assert num_open() == (0 if cut == 0 else 1)
        steps.close()  # type: ignore[attr-defined]
        assert num_open() == 0


# ---- what a run yields -------------------------------------------------------------------------


def test_the_prompt_comes_in_chunks_a_step_each(model: LoadedModel) -> None:
    trace = run(model, RunConfig(**FORKING))
    prefill = [step for step in trace if step.phase == "prefill"]
    assert [step.positions for step in prefill] == [5, 5, 3]
    assert [len(step.decisions) for step in prefill] == [0, 0, 1]
    assert [step.paths for step in prefill[:2]] == [(0,), (0,)]
    assert [slot for step in prefill for slot in step.slots] == list(range(13))
    assert [step.index for step in trace] == list(range(len(trace)))
    assert {step.phase for step in trace.steps[3:]} == {"decode"}


def test_positions_are_those_computed_prompt_and_pruned_work_included(
    model: LoadedModel,
) -> None:
    """Cow, batched and deep copies compute each token once, recompute every text every step."""
    found = {
        name: run(model, RunConfig(**FORKING, backend=name))
        for name in ("cow", "batched", "deepcopy", "recompute")
    }
    rows = [len(step.paths) for step in found["cow"].steps[2:-1]]  # that each decode ran
    once = len(PROMPT) + sum(rows)
    again = len(PROMPT) + sum(n * (len(PROMPT) + 1 + i) for i, n in enumerate(rows))
    assert [counters(trace)["forward_token_steps"] for trace in found.values()] == [
        once,
        once,
        once,
        again,
    ]
    assert counters(found["cow"])["forks"] > 2
    assert counters(found["cow"])["pruned"] > 2


def test_who_sees_which_slot_can_be_rebuilt_from_the_steps_alone(model: LoadedModel) -> None:
    """The replay that the page and the figures do, checked against the pool's own counts."""
    trace = run(model, RunConfig(**FORKING))
    seen: list[set[int]] = [set()]
    for step in trace:
        assert len(step.slots) == step.positions
        if step.phase == "prefill":
            seen[0] |= set(step.slots)
        else:
            for row, slot in enumerate(step.slots):
                assert all(slot not in other for other in seen)
                seen[row] = seen[row] | {slot}
        check(step.memory_forward, seen)
        before = set().union(*seen)
        seen = [seen[parent] for parent in step.parents]
        after: set[int] = set().union(*seen)
        assert set(step.freed) == before - after
        assert len(seen) == len(step.paths)
        check(step.memory, seen)


def check(memory: Any, seen: list[set[int]]) -> None:
    slots = [slot for path in seen for slot in path]
    unique = set(slots)
    shared = {slot for slot in unique if slots.count(slot) >= 2}
    assert memory.unique_kv_tokens == len(unique)
    assert memory.logical_kv_tokens == len(slots)
    assert memory.shared_kv_tokens == len(shared)
    assert memory.private_kv_tokens == len(unique - shared)
    assert memory.high_water == max(unique, default=-1) + 1
    assert memory.layers == (len(unique),) * 2


def test_the_nodes_of_one_step_are_the_rows_of_the_next_pass(model: LoadedModel) -> None:
    trace = run(model, RunConfig(**FORKING))
    for step, after in zip(trace.steps[2:], trace.steps[3:], strict=False):
        assert after.positions == len(step.paths)
        assert tuple(d.path for d in after.decisions) == step.paths
        last = {node.path: node.id for node in step.nodes}
        assert [d.node for d in after.decisions] == [last[path] for path in step.paths]


def test_the_trace_file_grows_with_the_run(model: LoadedModel, tmp_path: Path) -> None:
    config, file = RunConfig(**FORKING), tmp_path / "run.jsonl"
    whole = run(model, config, file)
    assert Trace.load(file).steps == whole.steps
    with Trace(prepare(model, config), file) as trace:
        for count, step in enumerate(generate(model, config), 1):
            trace.append(step)
            assert len(Trace.load(file)) == count


def test_the_header_says_what_was_fixed_before_the_first_step(llama: LoadedModel) -> None:
    config = RunConfig(prompt="Hé!", max_new_tokens=1)
    header = prepare(llama, config)
    assert [token.token for token in header.prompt] == [72, 195, 169, 33]
    assert [token.text for token in header.prompt] == ["H", "", "é", "!"]
    assert RunConfig(**header.config) == config
    assert header.model == llama.info
    assert set(header.software) == {"explorer", "torch", "transformers"}


def test_naive_samples_are_independent_and_the_first_is_the_trees_own_first_path(
    model: LoadedModel,
) -> None:
    settings = dict(prompt_ids=PROMPT, max_new_tokens=8, entropy_threshold=1, seed=5)
    naive = run(model, RunConfig(**settings, backend="naive", num_samples=4))
    found = leaves(naive)
    assert [leaf.id for leaf in found] == [0, 1, 2, 3]
    assert len({tuple(n.token for n in leaf.nodes) for leaf in found}) > 1
    assert counters(naive)["forward_token_steps"] == 4 * (len(PROMPT) + 7)
    [alone] = leaves(run(model, RunConfig(**settings, backend="cow", max_paths=1)))
    assert [n.token for n in alone.nodes] == [n.token for n in found[0].nodes]


def test_naive_takes_as_many_samples_as_paths_were_asked_for(model: LoadedModel) -> None:
    config = RunConfig(prompt_ids=PROMPT, backend="naive", max_paths=3, max_new_tokens=2)
    assert len(leaves(run(model, config))) == 3


def test_naive_stops_once_enough_samples_have_finished() -> None:
    literal = LiteralModel(lambda text: logits((0.0, 1.0)), end_tokens=[1])
    trace = literal_run(literal, backend="naive", max_finished=2, num_samples=5)
    assert [end.status for step in trace for end in step.ends] == ["finished"] * 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precisions_run_on_every_backend(dtype: torch.dtype) -> None:
    model = LoadedModel(architectures.build("llama").to(dtype), name="half")
    assert model.info.dtype == str(dtype).removeprefix("torch.")
    assert model.info.kv_nbytes_per_token == 2 * 2 * 2 * 8 * 2
    assert "cow" in model.info.backends
    for backend in BACKENDS:
        trace = run(model, RunConfig(**FORKING, backend=backend, num_samples=2))
        assert counters(trace)["generated_tokens"] >= 20


def test_a_run_can_be_repeated_from_its_own_header(model: LoadedModel) -> None:
    first = run(model, RunConfig(**FORKING, seed=9))
    again = run(model, RunConfig(**first.header.config))
    assert tree_digest(first) == tree_digest(again)
    assert [s.nodes for s in first] == [s.nodes for s in again]
