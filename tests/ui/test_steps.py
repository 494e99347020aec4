"""Steps of a live run reach who listens, once and in order, and the event's batches make way."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from explorer.events import Step
from explorer.trace import Trace
from explorer.ui import stage, steps
from explorer.ui.runs import RunStore
from tests.ui.unpacked import unpacked


def test_who_waits_for_a_step_gets_it_when_it_comes_and_the_end_too(hand_trace: Trace) -> None:
    run = RunStore().open(hand_trace.header)
    with ThreadPoolExecutor(1) as pool:
        for step in hand_trace:
            waiting = pool.submit(run.after, step.index, 30.0)
            assert not wait([waiting], 0.05).done
            run.append(step)
            batch, seq, is_over = waiting.result(5)
            told = json.loads(batch)
            assert [one["index"] for one in told["steps"]] == [step.index]
            assert (told["seq"], told["sent"]) == (step.index, run.newest)
            assert (seq, is_over) == (step.index + 1, False)
        waiting = pool.submit(run.after, len(hand_trace), 30.0)
        assert not wait([waiting], 0.05).done
        run.finish({"steps": "3"})
        batch, seq, is_over = waiting.result(5)
        assert (seq, is_over) == (len(hand_trace), True)
        assert {"done": True, "details": {"steps": "3"}}.items() <= json.loads(batch).items()
    other = RunStore().open(hand_trace.header)
    assert other.after(0, 0.01) == ("", 0, False)


def test_what_was_heard_is_not_sent_again(
    hand_trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "HEARD", 0.0)
    monkeypatch.setattr(stage, "COMING", 0.0)
    run = RunStore().open(hand_trace.header)
    run.listeners = 1

    def heard() -> Iterator[Step]:
        for step in hand_trace:
            yield step
            if step.index == 0:
                run.append(hand_trace[1])  # in the place of the second, which is heard
                run.after(0, 0.0)
                run.steps.pop()

    indices = [
        [one["index"] for one in json.loads(b)["steps"]] for b in stage.batches(run, heard())
    ]
    assert indices == [[], [0], [], [2]]


@pytest.mark.parametrize(("listeners", "expected"), [(0, 4), (1, 2)])
def test_where_somebody_listens_the_event_brings_little(
    hand_trace: Trace, monkeypatch: pytest.MonkeyPatch, listeners: int, expected: int
) -> None:
    monkeypatch.setattr(stage, "INTERVAL", 0.0)
    monkeypatch.setattr(stage, "COMING", 0.0)
    run = RunStore().open(hand_trace.header)
    run.listeners = listeners
    assert (
        len(list(stage.batches(run, iter(hand_trace)))) == expected
    )  # its header, and a first step


def test_who_is_about_to_listen_is_waited_for(
    hand_trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "COMING", 60.0)
    run = RunStore().open(hand_trace.header)
    stream = stage.batches(run, iter(hand_trace))
    assert json.loads(next(stream))["steps"] == []
    with pytest.raises(StopIteration) as end:
        next(stream)
    assert end.value.value == 0  # all that came is left to the last batch


def test_a_run_that_breaks_off_is_over_for_who_listens(hand_trace: Trace) -> None:
    run = RunStore().open(hand_trace.header)
    stream = stage.batches(run, iter(hand_trace))
    next(stream)
    stream.close()
    batch, _, is_over = run.after(0, 30.0)
    assert is_over and "done" not in json.loads(batch)


def data(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def test_a_page_hears_every_step_and_the_end(hand_trace: Trace) -> None:
    store = RunStore()
    run = store.open(hand_trace.header)

    def grow() -> None:
        for step in hand_trace:
            time.sleep(0.05)
            run.append(step)
        run.finish({"steps": "3"})

    client = TestClient(Starlette(routes=[steps.route(store)]))
    growing = threading.Thread(target=grow)
    growing.start()
    answer = client.get(f"{steps.PATH}/{run.id}?seq=0&pace=1")
    growing.join()
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = data(answer.text)
    found = [unpacked(step) for batch in told for step in batch["steps"]]
    assert found == [json.loads(orjson.dumps(step)) for step in hand_trace]
    assert told[-1]["done"] and run.listeners == 0
    assert [
        one["index"] for one in data(client.get(f"{steps.PATH}/{run.id}?seq=2").text)[0]["steps"]
    ] == [2]


@pytest.mark.parametrize("query", ["", "?seq=-1", "?seq=one&pace=nan", "?seq=9999999999999999999"])
def test_what_is_no_number_is_none(hand_trace: Trace, query: str) -> None:
    store = RunStore()
    run = store.open(hand_trace.header)
    run.append(hand_trace[0])
    run.finish({})
    client = TestClient(Starlette(routes=[steps.route(store)]))
    assert len(data(client.get(f"{steps.PATH}/{run.id}{query}").text)[0]["steps"]) == 1


def test_a_run_that_nobody_knows_is_not_found() -> None:
    client = TestClient(Starlette(routes=[steps.route(RunStore())]))
    assert client.get(f"{steps.PATH}/nobody").status_code == 404
