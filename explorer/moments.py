"""The moments of a prefix cache as JSON: a file of them, and what a page is told while they come.

    document   {format, version, start, blocks, requests, moments}: a whole record
    news       {reuse, seq, first_block, blocks, requests, moments, ...}: what came since

A block's or a request's id is its place in the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from explorer.cache.nodes import turns
from explorer.cache.record import Moment, Request, Seen
from explorer.cache.watched import WatchedCache

FORMAT = "forkscope-reuse"
VERSION = 1
# What a record says of itself where nobody told it.
START: dict[str, Any] = dict.fromkeys(("workload", "model", "dtype", "created")) | {
    "title": "The prefix cache of this page",
    "caption": "What runs in Explore left of their prompts.",
}
KEY_CHARACTERS = 16  # of a block's key that are shown
TOLD: dict[str, Any] = {}  # in the place of a request that does not change any more


def document(cache: WatchedCache) -> dict[str, Any]:
    """The whole record."""
    found = Teller(cache).news()
    whole = {name: found[name] for name in ("start", "blocks", "requests", "moments")}
    return {"format": FORMAT, "version": VERSION, **whole}


class Teller:
    """Tells a page what has happened to a cache since it was told last; `seq` moments and `blocks`
    blocks of the record `id` it has already, none of another record."""

    def __init__(
        self, cache: WatchedCache, id: str | None = None, seq: int = 0, blocks: int = 0
    ) -> None:
        self._cache = cache
        self._id, self._seq, self._blocks = id, seq, blocks
        self._requests: dict[int, dict[str, Any]] = {}

    @classmethod
    def from_now(cls, cache: WatchedCache) -> Teller:
        """For a page that has everything so far."""
        with cache.locked:
            record = cache.record
            teller = cls(cache, record.id, len(record.moments), len(record.seen))
            teller._requests = {one.n: TOLD for one in record.requests if one.done}
        return teller

    def news(self) -> dict[str, Any]:
        """The message: new blocks and moments, requests that have changed."""
        with self._cache.locked:
            record = self._cache.record
            if record.id != self._id:
                self._id, self._seq, self._blocks, self._requests = record.id, 0, 0, {}
            moments, seen = record.moments[self._seq :], record.seen[self._blocks :]
            last = record.moments[-1]
            asked = [one for one in record.requests if self._requests.get(one.n) is not TOLD]
        fields: dict[str, Any] = {"reuse": record.id, "seq": self._seq}
        if not self._seq:
            first = bounds(record.moments[0], self._cache.block_size)
            fields["start"] = START | record.start | first
        requests = {one.n: shown_request(one, self._cache) for one in asked}
        changed = [one for n, one in requests.items() if self._requests.get(n) != one]
        fields |= {
            "first_block": self._blocks,
            "blocks": [shown_block(one) for one in seen],
            "requests": changed,
            "moments": [shown_moment(one, record.seen, record.requests) for one in moments],
            "now": next((n for n, one in requests.items() if not one["done"]), None),
            "bounds": bounds(last, self._cache.block_size),
        }
        self._seq += len(moments)
        self._blocks += len(seen)
        self._requests |= {n: TOLD if one["done"] else one for n, one in requests.items()}
        return fields


def bounds(moment: Moment, block_size: int) -> dict[str, Any]:
    return {
        "block_size": block_size,
        "order": moment.order,
        "capacity_nbytes": moment.capacity_nbytes,
        "capacity_blocks": moment.capacity_blocks,
    }


def shown_block(block: Seen) -> dict[str, Any]:
    texts = None if block.read is None else block.read(block.tokens)
    return {
        "key": block.key.hex()[:KEY_CHARACTERS],
        "parent": block.parent,
        "depth": block.depth,
        "tokens": len(block.tokens),
        "text": "" if texts is None else "".join(texts),
        "nbytes": block.nbytes,
    }


def shown_request(request: Request, cache: WatchedCache) -> dict[str, Any]:
    """Seconds: `seconds` is what this run took for its prompt; `reused_seconds` what it took for
    the first `cold_tokens` of it, as `cold_seconds` is what a run that found nothing took."""
    is_done = request.done  # first: what is read after it has come by then
    size, total, reused = cache.block_size, request.num_tokens, request.reused
    hit = request.num_hit * size
    spent = None
    if reused is not None:
        is_whole = reused.cold_tokens == total
        spent = reused.seconds + (0.0 if is_whole else request.prefill_seconds)
    return {
        "n": request.n,
        "title": request.title,
        "source": request.source,
        "parts": [
            {"text": text, "tokens": min(size, total - at * size)}
            for at, text in enumerate(request.parts)
        ],
        "ids": list(request.ids),
        "tokens": total,
        "hit_tokens": hit,
        "miss_tokens": total - hit,
        "hit_blocks": request.num_hit,
        "stored_blocks": 0 if reused is None else reused.stored_blocks,
        "evicted_blocks": 0 if reused is None else reused.evicted_blocks,
        "seconds": spent,
        "first_token_seconds": request.first_token_seconds,
        "reused_seconds": None if reused is None else reused.seconds,
        "cold_seconds": None if reused is None else reused.cold_seconds,
        "cold_tokens": 0 if reused is None else reused.cold_tokens,
        "seconds_saved": None if reused is None else reused.seconds_saved,
        "reason": "" if reused is None else reused.reason,
        "reply": request.reply,
        "tree_digest": request.tree_digest,
        "done": is_done,
    }


def shown_moment(
    moment: Moment, seen: Sequence[Seen], requests: Sequence[Request]
) -> dict[str, Any]:
    """A moment as the page draws it: blocks by their place in `seen`, held ones with their turn to
    leave, times in seconds."""
    left = turns((one.id, seen[one.id].parent, one.rank, one.pins) for one in moment.held)
    return {
        "kind": moment.kind,
        "request": moment.request,
        "time": moment.time,
        "hit": list(moment.hit),
        "new": list(moment.new),
        "gone": list(moment.gone),
        "held": [[one.id, one.pins, left.get(one.id), one.born, one.used] for one in moment.held],
        "stats": asdict(moment.stats),
        "capacity_nbytes": moment.capacity_nbytes,
        "capacity_blocks": moment.capacity_blocks,
        "order": moment.order,
        "words": words(moment, seen, requests),
    }


def words(moment: Moment, seen: Sequence[Seen], requests: Sequence[Request]) -> str:
    """What happened, a sentence."""
    if moment.words:
        return moment.words
    who, total = "A run", 0
    if moment.request is not None:
        who, total = f"Request {moment.request + 1}", requests[moment.request].num_tokens
    gone, new = len(moment.gone), len(moment.new)
    found = sum(len(seen[place].tokens) for place in moment.hit)
    said = {
        "new": f"There {are(len(moment.held))} in the cache. {bounded(moment)}",
        "look": f"{who} found {found:,} of its {total:,} prompt tokens."
        if total
        else f"{who} found {found:,} tokens of its prompt.",
        "keep": f"{who} put in {blocks(new, 'new ')}.",
        "end": f"{who} is done and holds nothing any more.",
        "warm": f"A prompt of {total:,} tokens was read in: {found:,} of them were there; "
        f"{blocks(new, 'new ')} put in.",
        "load": f"A folder was read as far as it could be: {blocks(new, 'new ')}.",
        "save": "The blocks were written to a folder.",
        "clear": "Everything that no run holds was let go.",
        "resize": bounded(moment),
    }[moment.kind]
    if gone:
        why = "" if moment.kind == "clear" else " to make room"
        said = f"{said[:-1]}; {blocks(gone)} left{why}."
    return said


def bounded(moment: Moment) -> str:
    """The cache's bounds, a sentence."""
    most = moment.capacity_blocks
    room = "as many blocks as its bytes allow" if most is None else f"at most {blocks(most)}"
    first = {"lru": "the least recently used", "fifo": "the oldest"}[moment.order]
    return f"The cache keeps {room}; {first} leaf leaves first."


def are(count: int) -> str:
    return f"{'is' if count == 1 else 'are'} {blocks(count)}"


def blocks(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}block{'' if count == 1 else 's'}" if count else f"no {kind}blocks"
