"""Trace: a header and its steps; in memory, and as JSON lines that can be read while written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path as FilePath
from typing import IO, TYPE_CHECKING, Any

import orjson
from pydantic import TypeAdapter, ValidationError

from explorer.config import InputError
from explorer.events import FORMAT, PROMPT_NODE, VERSION, Header, Step

if TYPE_CHECKING:
    import networkx
    import pandas

_HEADER = TypeAdapter(Header)
_STEP = TypeAdapter(Step)


class Trace:
    """Everything that can be known of a run. `trace[i]` is step i; `len(trace)` the steps so far.

    With `path`, header and steps are appended to that file as they come, a flushed line each, so
    that the file can be read while it grows and after a crash up to its last whole line.
    """

    def __init__(self, header: Header, path: str | os.PathLike[str] | None = None) -> None:
        self.header = header
        self.steps: list[Step] = []
        self._file: IO[bytes] | None = None
        if path is not None:
            try:
                self._file = open(path, "wb")  # noqa: SIM115 - closed by close()
            except OSError as error:
                raise InputError(f"Cannot write {path}: {error.strerror}.") from error
            self._write(header)

    @classmethod
    def from_steps(
        cls,
        header: Header,
        steps: Iterable[Step],
        path: str | os.PathLike[str] | None = None,
    ) -> Trace:
        """Drain `steps`; with `path`, into that file as well."""
        with cls(header, path) as trace:
            for step in steps:
                trace.append(step)
        return trace

    def append(self, step: Step) -> None:
        self.steps.append(step)
        if self._file is not None:
            self._write(step)

    def _write(self, part: Header | Step) -> None:
        assert self._file is not None
        self._file.write(orjson.dumps(part) + b"\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __getitem__(self, index: int) -> Step:
        return self.steps[index]

    def until(self, cursor: int) -> Trace:
        """The trace as it was after step `cursor`; a negative cursor gives the header alone."""
        part = Trace(self.header)
        part.steps = self.steps[: max(cursor + 1, 0)]
        return part

    def lines(self) -> Iterator[bytes]:
        """The trace as JSON lines, header first, each ending in a newline."""
        yield orjson.dumps(self.header) + b"\n"
        for step in self.steps:
            yield orjson.dumps(step) + b"\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole trace as JSON lines, replacing `path` in one move."""
        target = FilePath(path)
        part = target.with_name(target.name + ".part")
        try:
            with open(part, "wb") as file:
                file.writelines(self.lines())
            part.replace(target)
        except OSError as error:
            raise InputError(f"Cannot write {path}: {error.strerror}.") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read a trace, up to its last whole line. Raises InputError for any other file."""
        try:
            data = FilePath(path).read_bytes()
        except OSError as error:
            raise InputError(f"Cannot read {path}: {error.strerror}.") from error
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: bytes, name: str = "the file") -> Trace:
        """`load` for bytes already read; `name` is used in error messages."""
        whole = data[: data.rfind(b"\n") + 1].splitlines()
        if not whole:
            raise InputError(f"{name} is not a Forkscope trace: it has no complete first line.")
        trace, known = cls(_parse_header(whole[0], name)), {PROMPT_NODE}
        for number, line in enumerate(whole[1:], 2):
            try:
                step = _STEP.validate_json(line)
            except ValidationError as error:
                raise InputError(
                    f"{name} is damaged at line {number}: {_first(error)}. "
                    f"Delete that line and those after it to keep the {number - 2} steps before."
                ) from error
            if step.index != len(trace.steps):
                raise InputError(
                    f"{name} is damaged at line {number}: step {step.index} stands where "
                    f"step {len(trace.steps)} should be."
                )
            known |= {node.id for node in step.nodes}
            if not {node.parent for node in step.nodes} <= known:
                raise InputError(f"{name} is damaged at line {number}: a token has no parent.")
            trace.steps.append(step)
        return trace

    def to_frame(self) -> pandas.DataFrame:
        """One row per generated token: its step, depth, path, text, probabilities, entropies."""
        import pandas

        depth = {PROMPT_NODE: -1}
        status = {end.node: end.status for step in self.steps for end in step.ends}
        decided = {d.node: d for step in self.steps for d in step.decisions}
        rows: list[dict[str, Any]] = []
        for step in self.steps:
            for node in step.nodes:
                depth[node.id] = depth[node.parent] + 1
                row = asdict(node) | {"step": step.index, "depth": depth[node.id]}
                decision = decided.get(node.id)
                row["entropy"] = decision.entropy if decision else None
                row["normalized_entropy"] = decision.normalized_entropy if decision else None
                row["raw_entropy"] = decision.raw_entropy if decision else None
                row["factor"] = decision.factor if decision else None
                row["status"] = status.get(node.id)
                rows.append(row)
        return pandas.DataFrame(rows)

    def to_graph(self) -> networkx.DiGraph:
        """The token tree, edges from parent to child; node -1 is the prompt, with its text."""
        import networkx

        graph: networkx.DiGraph = networkx.DiGraph()
        asked = self.header.source or self.header.prompt
        graph.add_node(PROMPT_NODE, text="".join(token.text for token in asked))
        for row in self.to_frame().to_dict("records"):
            node, parent = row.pop("id"), row.pop("parent")
            known = {str(k): v for k, v in row.items() if v is not None and v == v}
            graph.add_node(node, **known)
            graph.add_edge(parent, node)
        return graph


def _parse_header(line: bytes, name: str) -> Header:
    try:
        raw = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{name} is not a Forkscope trace: line 1 is not JSON.") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise InputError(f"{name} is not a Forkscope trace: its first line names no such format.")
    if raw.get("version") != VERSION:
        raise InputError(
            f"{name} is a trace of version {raw.get('version')}; this Forkscope reads version "
            f"{VERSION}. Record the run again, or open it with the release that wrote it."
        )
    try:
        return _HEADER.validate_json(line)
    except ValidationError as error:
        raise InputError(f"{name} has a damaged header: {_first(error)}.") from error


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg'].lower()}"
