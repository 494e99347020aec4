"""Recent live runs of this process, so that a page that missed a batch can ask for it."""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from explorer.config import InputError
from explorer.events import Header, Step
from explorer.ui.wire import packed

Part = TypeVar("Part")
KEPT_RUNS = 8
KEPT_NBYTES = 64 * 2**20  # of encoded steps, over all runs
KEPT_LEFT = 256  # requests that were left, of which something may still be in line
LONGEST_TOKEN = 64  # characters by which a page names a request


class Left(Exception):
    """The page no longer wants what it asked for."""


@dataclass
class LiveRun:
    """A run as JSON: `steps[i]` is step i, packed once, for sending and for healing."""

    header: bytes
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    title: str = ""
    note: str = ""
    steps: list[bytes] = field(default_factory=list)
    nbytes: int = 0
    token: str | None = None  # the page's name for the request that this answers
    details: dict[str, Any] | None = None  # given at the end
    is_over: bool = False  # no step will come any more
    newest: float = field(default_factory=time.time)  # epoch, when its last step came
    told: int = 0  # steps that those who listen have heard of
    listeners: int = 0  # see explorer/ui/steps.py
    _news: threading.Condition = field(default_factory=threading.Condition, repr=False)

    def append(self, *steps: Step) -> None:
        lines = [packed(step) for step in steps]
        with self._news:
            self.steps += lines
            self.nbytes += sum(map(len, lines))
            self.newest = time.time()
            self._news.notify_all()

    def finish(self, details: dict[str, Any]) -> None:
        """It came to its end."""
        with self._news:
            self.details = details
        self.close()

    def close(self) -> None:
        """No step will come any more, whether it came to its end or broke off."""
        with self._news:
            self.is_over = True
            self._news.notify_all()

    def after(self, seq: int, patience: float) -> tuple[str, int, bool]:
        """A batch from step `seq` on, as soon as there is such a step; the step after it; whether
        the run is over. An empty text where `patience` seconds brought nothing."""
        with self._news:
            if not self._news.wait_for(lambda: len(self.steps) > seq or self.is_over, patience):
                return "", seq, False
            self.told = len(self.steps)
            return self.batch(seq), self.told, self.is_over

    def batch(self, seq: int) -> str:
        """Everything from step `seq` on, as the JSON text a stage applies; `sent`: when the last of
        it came (epoch)."""
        fields: dict[str, Any] = {"run": self.id, "seq": seq, "sent": self.newest}
        if self.token is not None:
            fields["token"] = self.token
        if seq == 0:
            fields |= {
                "header": orjson.Fragment(self.header),
                "title": self.title,
                "note": self.note,
            }
        fields["steps"] = [orjson.Fragment(step) for step in self.steps[seq:]]
        if self.details is not None:
            fields |= {"done": True, "details": self.details}
        return encode(fields)


class RunStore:
    """The newest runs, bounded in number and bytes, and the requests that pages have left.

    Run ids and the tokens of requests cannot be guessed.
    """

    def __init__(self) -> None:
        self._runs: OrderedDict[str, LiveRun] = OrderedDict()
        self._left: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def open(
        self, header: Header, title: str = "", note: str = "", token: str | None = None
    ) -> LiveRun:
        run = LiveRun(orjson.dumps(header), title=title, note=note, token=token)
        with self._lock:
            self._runs[run.id] = run
            while len(self._runs) > 1 and (
                len(self._runs) > KEPT_RUNS
                or sum(kept.nbytes for kept in self._runs.values()) > KEPT_NBYTES
            ):
                self._runs.popitem(last=False)
        return run

    def find(self, run_id: str) -> LiveRun | None:
        """The run of that id; None where it is gone."""
        with self._lock:
            return self._runs.get(run_id)

    def events_since(self, run_id: str, seq: int) -> str:
        """A batch from step `seq` on; an empty object where the run is gone."""
        run = self.find(run_id)
        return run.batch(max(0, seq)) if run else encode({})

    def leave(self, token: Any) -> None:
        """The request that a page names so is not wanted any more, whether it has begun or not."""
        name = token_of(token)
        if name is None:
            return
        with self._lock:
            self._left[name] = None
            while len(self._left) > KEPT_LEFT:
                self._left.popitem(last=False)

    def check(self, token: str | None) -> None:
        """Raises Left where the page has left this request."""
        with self._lock:
            if token in self._left:
                raise Left

    def wanted(self, parts: Iterator[Part], token: str | None) -> Iterator[Part]:
        """`parts` for as long as the page wants them; then raises Left."""
        self.check(token)
        for part in parts:
            yield part
            self.check(token)


def token_of(given: Any) -> str | None:
    """What a page names its request, if it does."""
    return given[:LONGEST_TOKEN] if isinstance(given, str) and given else None


def told(fields: dict[str, Any], token: str | None) -> str:
    """A message to the page that asked under this name."""
    return encode(fields | ({} if token is None else {"token": token}))


def guarded(
    messages: Callable[[], Iterator[str]], what: str, store: RunStore, token: str | None
) -> Iterator[str]:
    """`messages` for as long as the page wants them; where they end early, why, in one sentence.

    Whatever ends them, the page's leaving too, they are closed: keys and values are freed.
    """
    try:
        store.check(token)
        yield from messages()
    except Left:
        return
    except InputError as error:
        yield told({"alert": str(error)}, token)
    except Exception as error:
        words = f"The {what} failed ({type(error).__name__}: {error})."
        yield told({"alert": words, "failed": True}, token)
        raise


def encode(fields: dict[str, Any]) -> str:
    """JSON without `<`: whatever a model wrote, the text holds no tag."""
    return orjson.dumps(fields).replace(b"<", b"\\u003c").decode()
