"""Batches hold every step once, in order, as text without tags; recorded runs are what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest

from explorer import metrics
from explorer.config import InputError
from explorer.events import Step
from explorer.trace import Trace
from explorer.ui import check_port, default_host, presets, sidebar, stage
from explorer.ui.runs import KEPT_LEFT, KEPT_RUNS, Left, RunStore, encode, token_of
from tests.ui.unpacked import unpacked


def test_batches_carry_every_step_once_and_in_order(
    hand_trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for interval in (0.0, 60.0):
        monkeypatch.setattr(stage, "INTERVAL", interval)
        monkeypatch.setattr(stage, "COMING", interval)
        run = RunStore().open(hand_trace.header, "title", "note")
        stream = stage.batches(run, iter(hand_trace))
        sent, ended = [], None
        while ended is None:
            try:
                sent.append(json.loads(next(stream)))
            except StopIteration as stop:
                ended = stop.value
        sent.append(json.loads(run.batch(ended)))
        steps = [unpacked(step) for batch in sent for step in batch["steps"]]
        assert [step["index"] for step in steps] == [0, 1, 2]
        assert steps == [json.loads(orjson.dumps(step)) for step in hand_trace]
        assert [batch["seq"] for batch in sent if batch["steps"]] == sorted(
            {batch["seq"] for batch in sent if batch["steps"]}
        )
        assert sent[0]["header"] == json.loads(orjson.dumps(hand_trace.header))


def test_a_batch_holds_no_tag_whatever_a_model_wrote(hand_trace: Trace) -> None:
    step = hand_trace[0]
    node = replace(step.nodes[0], text="</script><img src=x onerror=alert(1)>")
    run = RunStore().open(hand_trace.header)
    run.append(replace(step, nodes=(node,)))
    assert "<" not in run.batch(0)
    assert node.text in json.loads(run.batch(0))["steps"][0]["texts"]


def test_a_page_that_missed_steps_gets_them_and_only_from_its_own_run(hand_trace: Trace) -> None:
    store = RunStore()
    run, other = store.open(hand_trace.header), store.open(hand_trace.header)
    for step in hand_trace:
        run.append(step)
    batch = json.loads(store.events_since(run.id, 1))
    assert [step["index"] for step in batch["steps"]] == [1, 2]
    assert json.loads(store.events_since(other.id, 0))["steps"] == []
    assert store.events_since("nobody", 0) == encode({})


@pytest.mark.parametrize(
    "request_", [None, [], "x", {}, {"run": 7}, {"run": "nobody", "seq": "1; drop"}, {"seq": None}]
)
def test_a_page_that_asks_for_nonsense_is_answered_with_nothing(request_: object) -> None:
    assert stage.missing(RunStore(), request_) == "{}"


@pytest.mark.parametrize("seq", ["one", None, 1.5, [], -7])
def test_a_step_that_is_no_number_is_the_first(seq: object, hand_trace: Trace) -> None:
    store = RunStore()
    run = store.open(hand_trace.header)
    for step in hand_trace:
        run.append(step)
    batch = json.loads(stage.missing(store, {"run": run.id, "seq": seq}))
    assert [step["index"] for step in batch["steps"]] == [0, 1, 2]


def test_a_request_that_is_left_gives_nothing_more_and_others_go_on() -> None:
    store, taken = RunStore(), []
    parts = store.wanted(iter(range(9)), "mine")
    taken += [next(parts), next(parts)]
    store.leave("mine")
    with pytest.raises(Left):
        next(parts)
    with pytest.raises(Left):
        next(store.wanted(iter(range(9)), "mine"))
    assert taken == [0, 1]
    assert list(store.wanted(iter(range(3)), "another")) == [0, 1, 2]
    assert list(store.wanted(iter(range(3)), None)) == [0, 1, 2]


def test_what_pages_leave_is_bounded_and_nonsense_is_not_kept() -> None:
    store = RunStore()
    for token in (None, 7, "", {}, ["x"]):
        store.leave(token)
        assert token_of(token) is None
    store.leave("first")
    for at in range(KEPT_LEFT):
        store.leave(f"later {at}")
    store.check("first")  # so long ago that nothing of it is in line
    with pytest.raises(Left):
        store.check("later 0")
    assert token_of("x" * 1000) == "x" * 64


def test_every_batch_names_the_request_that_it_answers(hand_trace: Trace) -> None:
    run = RunStore().open(hand_trace.header, token="mine")
    assert json.loads(run.batch(0))["token"] == json.loads(run.batch(1))["token"] == "mine"
    assert "token" not in json.loads(RunStore().open(hand_trace.header).batch(0))


def test_only_the_newest_runs_are_kept(hand_trace: Trace) -> None:
    store = RunStore()
    runs = [store.open(hand_trace.header) for _ in range(KEPT_RUNS + 3)]
    kept = [store.events_since(run.id, 0) != "{}" for run in runs]
    assert kept == [False] * 3 + [True] * KEPT_RUNS


def recorded() -> Iterator[tuple[dict[str, object], Trace]]:
    for entry in sidebar.recorded_runs():
        yield entry, Trace.load(str(entry["path"]))


def test_recorded_runs_are_those_of_the_examples_and_their_digests_hold() -> None:
    seen = []
    for entry, trace in recorded():
        seen.append(entry["name"])
        assert metrics.tree_digest(trace) == entry["digest"]
        assert trace.header.config == entry["config"]
        assert sidebar.config_of(entry) == presets.EXAMPLES[str(entry["name"])].config()
    assert seen == list(presets.EXAMPLES)
    assert len(seen) >= 4


def test_recorded_runs_show_what_they_promise() -> None:
    forks: dict[str, list[Step]] = {}
    for entry, trace in recorded():
        forks[str(entry["name"])] = [step for step in trace if step.forks]
        if entry["name"] == "fact":
            first = [decision for step in trace.steps[:2] for decision in step.decisions]
            assert max(decision.entropy for decision in first) < 0.2
        if entry["name"] == "dice":
            [roll] = trace[0].decisions
            assert roll.factor == 6
    assert len(forks["story"]) > 10


def test_a_port_that_is_taken_is_refused_with_the_remedy() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="--port"):
            check_port("127.0.0.1", taken.getsockname()[1])


def test_only_a_space_is_open_to_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert default_host() == "127.0.0.1"
    monkeypatch.setenv("SPACE_ID", "owner/name")
    assert default_host() == "0.0.0.0"
