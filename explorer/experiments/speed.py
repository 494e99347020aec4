"""The engine's cases: backends against `cow`, one path against transformers, bytes, tracing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from explorer import metrics
from explorer.config import RunConfig
from explorer.experiments.base import Conditions, Goal, Show, alternate, case, make_model
from explorer.generate import generate, prepare
from explorer.models import LoadedModel
from explorer.trace import Trace

LONG_RUN = 1000  # tokens from which on the pool's slack is bounded


class Subject:
    """One configuration that can be run and timed; keeps the trace of its last run."""

    def __init__(self, model: LoadedModel, config: RunConfig, file: Path | None = None) -> None:
        self.model, self.config, self.file = model, config, file
        self.trace = Trace(prepare(model, config))

    def __call__(self) -> float:
        """Run it, recording; the seconds from the first to the last step."""
        synchronize(self.model)
        began = perf_counter()
        self.trace = Trace.from_steps(
            prepare(self.model, self.config), generate(self.model, self.config), self.file
        )
        synchronize(self.model)
        return perf_counter() - began

    def untraced(self) -> float:
        """The same run with every step thrown away."""
        synchronize(self.model)
        began = perf_counter()
        prepare(self.model, self.config)
        for _ in generate(self.model, self.config):
            pass
        synchronize(self.model)
        return perf_counter() - began

    def facts(self) -> dict[str, Any]:
        """What the last run did and held."""
        counters = metrics.counters(self.trace)
        names = ("forward_token_steps", "kv_nbytes_peak", "peak_memory_nbytes")
        return {"paths": len(metrics.leaves(self.trace))} | {name: counters[name] for name in names}


def synchronize(model: LoadedModel) -> None:
    """Wait for the device, where it runs on its own."""
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


def greedy(model: LoadedModel, ids: tuple[int, ...], num_tokens: int) -> tuple[float, list[int]]:
    """Seconds of transformers' own greedy `generate` of exactly `num_tokens` tokens, and those."""
    inputs = torch.tensor([ids], device=model.device)
    synchronize(model)
    began = perf_counter()
    out = model.module.generate(  # type: ignore[operator]  # the mixin's method, typed away
        inputs,
        attention_mask=torch.ones_like(inputs),
        do_sample=False,
        min_new_tokens=num_tokens,
        max_new_tokens=num_tokens,
    )
    synchronize(model)
    spent = perf_counter() - began
    return spent, out[0, len(ids) :].tolist()


class Bench:
    """The cases one after another; each subject runs once to warm up before it is measured."""

    def __init__(self, conditions: Conditions, device: str, dtype: str, show: Show) -> None:
        self.conditions, self.show = conditions, show
        self.model = make_model(conditions, device, dtype)
        self.num_done = 0

    def config(self, prompt: int, max_paths: int, **changes: Any) -> RunConfig:
        """A run on `prompt` token ids in which every step forks, as far as `max_paths` allows."""
        settings: dict[str, Any] = {
            "prompt_ids": tuple((31 * i + 7) % self.conditions.vocab_size for i in range(prompt)),
            "temperature": 1.0,
            "entropy_threshold": 0.0,
            "max_paths": max_paths,
            "max_new_tokens": self.conditions.max_new_tokens,
        }
        return RunConfig(**(settings | changes))

    def pair(
        self,
        top: tuple[str, Callable[[], float]],
        base: tuple[str, Callable[[], float]],
        goal: Goal,
        num_repeats: int,
        facts: Callable[[], dict[str, Any]],
    ) -> dict[str, Any]:
        """Measure `top` against `base` and make the case of it."""
        self.show(self.num_done, NUM_CASES, f"{top[0]} / {base[0]}")
        top[1]()
        base[1]()
        seconds = alternate(top[1], base[1], num_repeats)
        self.num_done += 1
        return case(
            top[0],
            seconds=seconds[0],
            ratio_to=base[0],
            ratio_to_seconds=seconds[1],
            goal=goal,
            is_quick=self.conditions.is_quick,
            **facts(),
        )

    def backends(self) -> Iterator[dict[str, Any]]:
        """Other backends over `cow`, on the same tree, and the slack of its pool."""
        c = self.conditions
        for prompt, max_paths, goals, repeats in (
            (c.prompt, c.max_paths, SHORT_GOALS, c.num_repeats),
            (c.long_prompt, c.long_max_paths, LONG_GOALS, c.num_long_repeats),
        ):
            label = f"prompt {prompt}, M {max_paths}"
            cow = Subject(self.model, self.config(prompt, max_paths))
            cow()
            samples = len(metrics.leaves(cow.trace))
            for name, goal in goals.items():
                config = cow.config.replace(backend=name, num_samples=samples)
                other = Subject(self.model, config)
                times = c.num_long_repeats if name == "naive" else repeats
                yield self.pair((f"{name}, {label}", other), ("cow", cow), goal, times, other.facts)
            yield self.slack(cow, label)

    def slack(self, cow: Subject, label: str) -> dict[str, Any]:
        """Bytes the pool allocated over the bytes its fullest moment needed."""
        counters = metrics.counters(cow.trace)
        unique = counters["unique_kv_tokens_peak"]
        needed = unique * self.model.info.kv_nbytes_per_token
        return case(
            f"allocated pool bytes, {label}",
            ratio_to="peak unique tokens x bytes per token",
            ratio=counters["kv_nbytes_peak"] / needed,
            goal=Goal("<=", 1.15) if unique > LONG_RUN else None,
            is_quick=self.conditions.is_quick,
            unique_kv_tokens_peak=unique,
            kv_nbytes_peak=counters["kv_nbytes_peak"],
        )

    def one_path(self) -> dict[str, Any]:
        """`cow` without forks over transformers' own loop, both greedy."""
        c = self.conditions
        one = Subject(self.model, self.config(c.prompt, 1, temperature=0.0, entropy_threshold=1.0))
        ids = one.config.prompt_ids or ()
        return self.pair(
            (f"cow, one path, prompt {c.prompt}", one),
            (
                "transformers' greedy generate",
                lambda: greedy(self.model, ids, c.max_new_tokens)[0],
            ),
            Goal("<=", 1.15),
            c.num_repeats,
            one.facts,
        )

    def tracing(self) -> dict[str, Any]:
        """A run recorded in memory and on disk over the same run with its steps thrown away."""
        c = self.conditions
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "trace.jsonl"
            traced = Subject(self.model, self.config(c.prompt, c.max_paths), file)
            return self.pair(
                (f"trace kept and written, prompt {c.prompt}, M {c.max_paths}", traced),
                ("steps dropped", traced.untraced),
                Goal("<=", 1.05),
                c.num_repeats,
                lambda: {"trace_nbytes": file.stat().st_size},
            )


SHORT_GOALS = {"deepcopy": Goal(">=", 5), "naive": Goal(">=", 8), "batched": Goal(">=", 1.2)}
LONG_GOALS = {"batched": Goal(">=", 5)}
NUM_CASES = len(SHORT_GOALS) + len(LONG_GOALS) + 2  # those that take time


def measure(
    conditions: Conditions, device: str, dtype: str, show: Show
) -> Iterator[dict[str, Any]]:
    """The engine's cases, in the order of the README's table."""
    bench = Bench(conditions, device, dtype, show)
    yield from bench.backends()
    yield bench.one_path()
    yield bench.tracing()
    show(NUM_CASES, NUM_CASES, "engine")
