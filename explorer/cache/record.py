"""What a watched prefix cache keeps: moments, and the blocks and requests that they speak of."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from explorer.cache.nodes import PrefixStats

if TYPE_CHECKING:
    from explorer.events import Reused

MOST_MOMENTS = 3_000
MOST_HELD = 300_000  # blocks, once a moment and once a prompt: what a record takes of memory

Ids = tuple[int, ...]
Reader = Callable[[Sequence[int]], list[str]]  # what each of the tokens adds to their text


@dataclass(frozen=True, slots=True)
class Seen:
    """A block that was in the cache at some time; its id is its place among them. `parent` is the
    id of the block before it, `depth` how many are before it."""

    key: bytes
    parent: int | None
    depth: int
    tokens: Ids
    nbytes: int
    read: Reader | None  # None: nobody has said how its tokens are read


@dataclass(frozen=True, slots=True)
class Held:
    """A block in the cache at a moment; `born` and `used` in seconds since the record began."""

    id: int
    pins: int
    rank: int
    born: float
    used: float


@dataclass(frozen=True, slots=True)
class Moment:
    """What the cache was after a change; `hit`, `new` and `gone` are ids of blocks, the last in the
    order in which they left."""

    kind: str
    request: int | None
    time: float  # seconds since the record began
    hit: Ids
    new: Ids
    gone: Ids
    held: tuple[Held, ...]  # parents before their children
    stats: PrefixStats
    capacity_nbytes: int | None
    capacity_blocks: int | None
    order: str
    words: str = ""  # of what a button did; those of runs are made of their figures


@dataclass(eq=False)
class Request:
    """A run over the cache. Its figures are filled in when they are known."""

    n: int
    title: str
    source: str  # workload, explore, warm or file
    num_tokens: int  # of the prompt
    parts: tuple[str, ...]  # its text, block by block
    ids: Ids = ()  # of the blocks that the prompt's whole blocks are, as far as they were kept
    num_hit: int = 0  # blocks
    hit: Ids = ()
    cold: tuple[str, float] | None = None  # the conditions, and what reading it cold took
    reused: Reused | None = None
    prefill_seconds: float = 0.0  # of its passes over the prompt
    first_token_seconds: float | None = None
    reply: str = ""
    tree_digest: str | None = None
    done: bool = False


@dataclass
class Record:
    """The moments of a cache since it was made, or was begun anew. Ids cannot be guessed."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    began: float = 0.0  # the cache's clock
    seen: list[Seen] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    start: dict[str, Any] = field(default_factory=dict)  # what whoever began it says of it
    most_held: int = MOST_HELD

    def __post_init__(self) -> None:
        self.places = {one.key: place for place, one in enumerate(self.seen)}
        self.num_held = 0

    @property
    def is_full(self) -> bool:
        return len(self.moments) >= MOST_MOMENTS or self.num_held >= self.most_held
