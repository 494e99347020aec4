"""Trace: files cut anywhere, files that are no traces, and the tables made from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.config import InputError
from explorer.trace import Trace
from tests.conftest import make_header, make_node, make_step, make_trace

WHOLE = b"".join(make_trace().lines())
HEADER_END = WHOLE.index(b"\n") + 1


def test_a_saved_trace_loads_as_it_was(tmp_path: Path) -> None:
    trace = make_trace()
    trace.save(tmp_path / "run.jsonl")
    loaded = Trace.load(tmp_path / "run.jsonl")
    assert loaded.header == trace.header
    assert loaded.steps == trace.steps
    assert [file.name for file in tmp_path.iterdir()] == ["run.jsonl"]


def test_cut_at_any_byte_it_loads_to_its_last_whole_line() -> None:
    steps = make_trace().steps
    for cut in range(HEADER_END, len(WHOLE) + 1):
        assert Trace.parse(WHOLE[:cut]).steps == steps[: WHOLE[:cut].count(b"\n") - 1]


def test_cut_at_any_byte_of_the_first_line_it_is_refused() -> None:
    for cut in range(HEADER_END):
        with pytest.raises(InputError, match="not a Forkscope trace"):
            Trace.parse(WHOLE[:cut])


@given(st.lists(st.text(), min_size=1), st.data())
def test_whatever_text_it_holds_a_cut_trace_loads_to_its_last_whole_line(
    texts: list[str], data: st.DataObject
) -> None:
    trace = Trace(make_header())
    for index, text in enumerate(texts):
        trace.append(make_step(index, nodes=(make_node(index, index - 1, 0, text, -1.0),)))
    header, *lines = trace.lines()
    whole = data.draw(st.integers(0, len(lines)))
    rest = lines[whole] if whole < len(lines) else b""
    part = rest[: data.draw(st.integers(0, max(len(rest) - 1, 0)))]
    loaded = Trace.parse(b"".join([header, *lines[:whole], part]))
    assert loaded.steps == trace.steps[:whole]


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        Trace.parse(data, "notes.txt")
    assert str(caught.value).startswith("notes.txt is ")
    assert "\n" not in str(caught.value)


def test_every_step_can_be_read_while_the_run_goes_on(tmp_path: Path) -> None:
    file, steps = tmp_path / "run.jsonl", make_trace().steps
    with Trace(make_header(), file) as growing:
        for count, step in enumerate(steps, 1):
            growing.append(step)
            assert Trace.load(file).steps == steps[:count]


def test_another_version_is_refused_with_what_to_do() -> None:
    header = orjson.loads(WHOLE[:HEADER_END]) | {"version": 99}
    with pytest.raises(InputError, match=r"version 99; this Forkscope reads version 1\. Record"):
        Trace.parse(orjson.dumps(header) + b"\n")


@pytest.mark.parametrize("line", [b"{}", b"[1, 2]", b"null", b'{"format": "other"}', b"\xff\xfe"])
def test_a_file_with_another_first_line_is_refused(line: bytes) -> None:
    with pytest.raises(InputError, match="not a Forkscope trace"):
        Trace.parse(line + b"\n" + WHOLE[HEADER_END:])


def test_a_header_that_lacks_a_part_is_named() -> None:
    header = orjson.loads(WHOLE[:HEADER_END])
    del header["model"]["num_layers"]
    with pytest.raises(InputError, match=r"damaged header: model\.num_layers"):
        Trace.parse(orjson.dumps(header) + b"\n")


def test_damage_inside_names_its_line() -> None:
    lines = WHOLE.splitlines(keepends=True)
    with pytest.raises(InputError, match=r"damaged at line 3: .* keep the 1 steps before"):
        Trace.parse(b"".join([*lines[:2], b"{}\n", *lines[3:]]))
    with pytest.raises(InputError, match="line 3: step 2 stands where step 1 should be"):
        Trace.parse(b"".join([*lines[:2], *lines[3:]]))


def test_a_token_whose_parent_never_was_is_refused() -> None:
    trace = make_trace()
    orphan = replace(trace[0].nodes[0], parent=77)
    trace.steps[0] = replace(trace[0], nodes=(orphan, *trace[0].nodes[1:]))
    with pytest.raises(InputError, match="damaged at line 2: a token has no parent"):
        Trace.parse(b"".join(trace.lines()))


def test_files_that_cannot_be_opened_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot read .*No such file"):
        Trace.load(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match=r"Cannot write .*No such file"):
        make_trace().save(tmp_path / "no folder" / "run.jsonl")
    with pytest.raises(InputError, match=r"Cannot write .*Is a directory"):
        Trace(make_header(), tmp_path)


def test_until_is_the_trace_as_it_was() -> None:
    trace = make_trace()
    assert [len(trace.until(cursor)) for cursor in (-5, -1, 0, 1, 2, 9)] == [0, 0, 1, 2, 3, 3]
    assert trace.until(1).steps == trace.steps[:2]
    assert trace.until(1).header is trace.header
    assert len(trace) == 3


def test_the_frame_has_a_row_a_token() -> None:
    frame = make_trace().to_frame()
    assert frame["id"].tolist() == [0, 1, 2, 3, 4, 5]
    assert frame["parent"].tolist() == [-1, -1, 0, 1, 1, 3]
    assert frame["step"].tolist() == [0, 0, 1, 1, 1, 2]
    assert frame["depth"].tolist() == [0, 0, 1, 1, 1, 2]
    assert frame["path"].tolist() == [1, 2, 1, 3, 4, 3]
    assert frame["text"].tolist() == [" a", " b", ".", " c", " d", " e"]
    assert frame["logprob"].tolist() == [-0.5, -0.75, -1.0, -1.25, -1.75, -1.5]
    # entropies belong to the decision on a token's successor: tokens without one have none
    assert frame["entropy"].fillna(-1).tolist() == [0.25, 1.5, -1, 0.5, -1, -1]
    assert frame["factor"].fillna(-1).tolist() == [1, 2, -1, 1, -1, -1]
    status = frame["status"].where(frame["status"].notna(), "").tolist()
    assert status == ["", "", "finished", "", "pruned", "length"]


def test_the_graph_is_the_token_tree_under_the_prompt() -> None:
    graph = make_trace().to_graph()
    assert sorted(graph.edges) == [(-1, 0), (-1, 1), (0, 2), (1, 3), (1, 4), (3, 5)]
    assert graph.nodes[-1]["text"] == "Once upon"
    assert graph.nodes[4]["status"] == "pruned"
    assert graph.nodes[1]["entropy"] == 1.5
    assert "entropy" not in graph.nodes[5]


def test_a_run_that_made_no_token_has_an_empty_frame_and_a_lone_prompt() -> None:
    trace = Trace(make_header())
    trace.append(make_step(0, phase="prefill"))
    assert trace.to_frame().empty
    assert list(trace.to_graph().nodes) == [-1]
