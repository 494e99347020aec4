"""Several live runs on one board: what every message of theirs tells, and one run's messages."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from explorer import metrics
from explorer.events import Header, Step
from explorer.trace import Trace
from explorer.ui import stage
from explorer.ui.runs import LiveRun, RunStore, told


@dataclass
class Board:
    """What every message tells of a board, so that a page that missed some can catch up."""

    kind: str  # the field that holds the board's id: what the page knows it by
    order: Sequence[str]
    token: str | None = None  # the page's name for the request that this answers
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    runs: dict[str, LiveRun] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)  # told in every message
    sent: int = 0  # steps of the run under way that the page has been given

    def message(self, name: str, batch: str | None = None, **more: Any) -> str:
        """`name` is the run whose `batch` this is, or that is under way."""
        runs = {
            key: {"run": run.id, "length": len(run.steps), "done": run.details is not None}
            for key, run in self.runs.items()
        }
        fields: dict[str, Any] = {
            self.kind: self.id,
            "order": self.order,
            "runs": runs,
            "now": name,
        }
        if batch is not None:
            fields["batch"] = orjson.Fragment(batch)
        return told(self.more | fields | more, self.token)

    def stream(
        self, name: str, header: Header, steps: Iterator[Step], trace: Trace, store: RunStore
    ) -> Iterator[str]:
        """Messages of one run, all but its last, which `end` gives; its steps go into `trace`."""
        run = self.runs[name] = store.open(header, stage.title_of(header))
        if len(self.runs) == 1:
            yield self.message(name)
        batches = stage.batches(run, stage.recorded(steps, trace))
        while True:
            try:
                yield self.message(name, next(batches))
            except StopIteration as stop:
                self.sent = int(stop.value)
                return

    def end(self, name: str, trace: Trace, **more: Any) -> str:
        """The last message of a run."""
        run = self.runs[name]
        run.finish({"tree digest": metrics.tree_digest(trace)})
        return self.message(name, run.batch(self.sent), **more)
