"""The picture of a prefix cache against the cache itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from explorer.cache.blocks import Block
from explorer.cache.prefix import PrefixCache
from explorer.views.prefix import KINDS, prefix


def made() -> PrefixCache:
    """Two texts that share a first block and one of its own, which a run holds."""
    cache = PrefixCache(2, clock=lambda: 7.0)
    block = cast(Block, SimpleNamespace(nbytes=1234))
    for ids in ([1, 2, 3, 4, 5], [1, 2, 6, 7, 5]):
        lease = cache.lease("model", ids)
        cache.extend(lease, lambda first, end: [block] * (end - first))
        cache.release(lease)
    cache.extend(cache.lease("model", [8, 9, 1]), lambda first, end: [block])
    return cache


def test_a_block_stands_at_its_first_token_and_a_parent_between_its_children() -> None:
    lines, *kinds = prefix(made().views()).data
    assert [trace.name for trace in kinds] == list(KINDS)
    found = {trace.name: list(zip(trace.x, trace.y, strict=True)) for trace in kinds}
    assert found == {
        "in use by a run": [(0, -2)],
        "leaves next": [(2, 0)],
        "a leaf": [(2, -1)],
        "others go on from it": [(0, -0.5)],
    }
    assert list(lines.x) == [0, 2, None, 0, 2, None]
    assert list(lines.y) == [-0.5, 0, None, -0.5, -1, None]


def test_what_a_block_says_stays_text() -> None:
    views = made().views()
    figure = prefix(views, {views[1].key: "<b>3 & 4</b>"})
    [words] = figure.data[2].customdata
    assert words.startswith("&lt;b>3 &amp; 4&lt;/b><br>2 tokens, 1,234 B, 0.0 s old")
    assert words.endswith("number 1 to leave")
    [held] = figure.data[1].customdata
    assert "held by 1 run, " in held
    [trunk] = figure.data[4].customdata
    assert trunk.endswith("number 3 to leave")


def test_an_empty_cache_has_a_picture_too() -> None:
    assert [len(trace.x) for trace in prefix(PrefixCache().views()).data] == [0] * 5
