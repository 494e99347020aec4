"""The file of a sweep's rows: one JSON line a row, written when the row is done, none twice."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from explorer.config import InputError

FILE = "rows.jsonl"


class Records:
    """Rows that are done, on disk and by key. `open` starts a file or goes on with one.

    The first line says what was swept under which conditions; the others are rows
    (`{"key", "name", "axes", "ran_on", "measures", "seconds"}`) or failures (`"error"` instead of
    measures). A line is written by one call and synced, so that a kill leaves whole lines and at
    most one torn one at the end, which is dropped.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], resume: bool) -> None:
        self.file = folder / FILE
        self.rows: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, dict[str, Any]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise InputError(f"Cannot write {self.file}: {error.strerror}.") from error
        try:
            self._begin(header, resume)
        except BaseException:
            self.close()
            raise

    def _begin(self, header: Mapping[str, Any], resume: bool) -> None:
        if not locked(self._handle):
            raise InputError(
                f"out: another sweep is writing {self.file}; wait for its end, or take another "
                "--out."
            )
        try:
            if self._is_bare(header):
                os.truncate(self.file, 0)
            is_there = self.file.stat().st_size > 0
            if is_there and not resume:
                raise InputError(
                    f"out: {self.file} holds rows already; --resume goes on with them, another "
                    "--out begins anew."
                )
            if is_there:
                self._read(header)
        except OSError as error:
            raise InputError(f"Cannot write {self.file}: {error.strerror}.") from error
        if not self.file.stat().st_size:
            self._write(dict(header))

    def _is_bare(self, header: Mapping[str, Any]) -> bool:
        """Whether a sweep has written its first line here and no row."""
        first, *others = self.file.read_bytes().splitlines() or [b""]
        try:
            begun = orjson.loads(first)
        except orjson.JSONDecodeError:
            return False
        return not others and isinstance(begun, dict) and begun.keys() == header.keys()

    def _read(self, header: Mapping[str, Any]) -> None:
        data = self.file.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self.file, len(whole))
        lines = whole.splitlines()
        try:
            first, *others = [orjson.loads(line) for line in lines] or [None]
        except orjson.JSONDecodeError as error:
            raise InputError(
                f"out: {self.file} is damaged ({error}); delete it, or take another --out."
            ) from error
        if first is None:
            return  # nothing whole had been written yet
        if first != orjson.loads(orjson.dumps(dict(header))):
            raise InputError(
                f"out: {self.file} holds rows of other settings or another version; take "
                "another --out."
            )
        for row in others:
            self._take(row)

    def _take(self, row: dict[str, Any]) -> None:
        key = row["key"]
        assert key not in self.rows, f"{row['name']} was measured twice"
        if "error" in row:
            self.failed[key] = row
        else:
            self.failed.pop(key, None)
            self.rows[key] = row

    def append(self, row: dict[str, Any]) -> None:
        """Write one row or failure."""
        self._take(row)
        self._write(row)

    def _write(self, document: dict[str, Any]) -> None:
        line = orjson.dumps(document) + b"\n"
        written = os.write(self._handle, line)
        if written != len(line):
            raise OSError(f"only {written} of {len(line)} bytes of a row went into {self.file}")
        os.fsync(self._handle)

    def close(self) -> None:
        os.close(self._handle)


def locked(handle: int) -> bool:
    """Whether an open file is now this one's to write until it is closed; on a system that has no
    such locks it always is."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table: name, axes and measures side by side, without those that begin with _."""
    columns = {"name": row["name"], **row["axes"], **row.get("measures", {})}
    columns |= {"ran_on": row.get("ran_on"), "seconds": row.get("seconds")}
    if "error" in row:
        columns["error"] = row["error"]
    return {name: value for name, value in columns.items() if not name.startswith("_")}


def to_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A line a row; columns in order of their first appearance, None as an empty cell."""
    names = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(names), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", errors="replace")
