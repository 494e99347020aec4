"""Seconds inside and outside the forward pass, by a clock that the test turns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from explorer import meter, metrics
from explorer.against import FullCache
from explorer.config import RunConfig
from explorer.generate import generate, run
from explorer.meter import Meter, peak_resident_nbytes
from explorer.models import LoadedModel
from explorer.precision import Float32
from explorer.trace import Trace

STATUS = Path("/proc/self/status")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(meter, "perf_counter", clock)
    return clock


def test_a_lap_is_the_pass_and_the_rest(clock: Clock) -> None:
    watch = Meter(torch.device("cpu"))
    clock.now += 1
    with watch.forward():
        clock.now += 4
    clock.now += 2
    assert watch.lap() == (4.0, 0.0, 3.0)
    clock.now += 5
    assert watch.lap() == (0.0, 0.0, 5.0)  # the pass before is not counted twice


def test_what_follows_a_run_is_neither_its_pass_nor_its_rest(clock: Clock) -> None:
    watch = Meter(torch.device("cpu"))
    with watch.forward():
        clock.now += 4
    for seconds in (10, 20):
        with watch.beside():
            clock.now += seconds
    clock.now += 2
    assert watch.lap() == (4.0, 30.0, 2.0)
    assert watch.lap() == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("other", [dict(against_full=True), dict(against_float32=True)])
def test_a_slow_follower_makes_no_run_slower(
    other: dict[str, Any], clock: Clock, llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def slowed(name: str) -> None:
        plain = getattr(followed, name)

        def slow(*given: Any) -> Any:
            clock.now += 3600
            calls.append(name)
            return plain(*given)

        monkeypatch.setattr(followed, name, slow)

    followed = FullCache if "against_full" in other else Float32
    for name in ("prefill", "decode", "compare", "fork"):
        slowed(name)
    trace = run(llama, RunConfig(prompt_ids=tuple(range(9)), max_new_tokens=3, **other))
    assert [step.seconds + step.overhead_seconds for step in trace] == [0.0] * len(trace)
    assert sum(step.beside_seconds for step in trace) == 3600 * len(calls)
    assert set(calls) == {"prefill", "decode", "compare", "fork"}
    assert metrics.seconds(trace)["total"] == 0.0
    assert Trace.parse(b"".join(trace.lines()))[-1].beside_seconds == trace[-1].beside_seconds > 0


def test_a_pause_forgets_what_the_reader_of_the_steps_took(clock: Clock) -> None:
    watch = Meter(torch.device("cpu"))
    clock.now += 60
    watch.pause()
    with watch.forward():
        clock.now += 1
    assert watch.lap() == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("backend", ["cow", "naive"])
def test_a_slow_reader_makes_no_step_slower(backend: str, clock: Clock, llama: LoadedModel) -> None:
    """An hour between any two steps, also between two samples of the naive backend."""
    config = RunConfig(
        prompt_ids=tuple(range(9)),
        backend=backend,
        prefill_chunk=4,
        num_samples=3,
        max_new_tokens=3,
    )
    steps = []
    for step in generate(llama, config):
        steps.append(step)
        clock.now += 3600
    assert len(steps) >= 5
    assert [step.seconds + step.overhead_seconds for step in steps] == [0.0] * len(steps)


@pytest.mark.skipif(not STATUS.is_file(), reason="needs Linux's account of a process's memory")
def test_peak_memory_on_the_cpu_is_the_peak_resident_set_that_linux_tells() -> None:
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")]
    peak = int(line.split()[1]) * 1024
    assert peak_resident_nbytes() == pytest.approx(peak, rel=0.02)
    assert Meter(torch.device("cpu")).peak_memory_nbytes == peak_resident_nbytes()
