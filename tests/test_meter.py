"""Seconds inside and outside the forward pass, by a clock that the test turns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from explorer import meter
from explorer.config import RunConfig
from explorer.generate import generate
from explorer.meter import Meter, peak_resident_nbytes
from explorer.models import LoadedModel

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
    assert watch.lap() == (4.0, 3.0)
    clock.now += 5
    assert watch.lap() == (0.0, 5.0)  # the pass before is not counted twice


def test_a_pause_forgets_what_the_reader_of_the_steps_took(clock: Clock) -> None:
    watch = Meter(torch.device("cpu"))
    clock.now += 60
    watch.pause()
    with watch.forward():
        clock.now += 1
    assert watch.lap() == (1.0, 0.0)


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
