"""Evictions and counters as records for people: columns, and a sentence for every slot."""

from __future__ import annotations

import numpy as np

from explorer.cache.budget import Victims, exact_ranks
from explorer.events import Evicted, Evidence
from explorer.policies import Reading

DIGITS = 7  # decimals of a recorded score: float32 has no more


def explained(
    words: str,
    victims: Victims,
    reading: Reading,
    evictable: np.ndarray,
    slot_depth: np.ndarray,
    slot_token: np.ndarray,
) -> list[Evicted]:
    """One record for every table that loses something, a slot once, its paths together.

    Score, rank and `kept` are those of the first path that it leaves.
    """
    ranks = victims.ranks
    if reading.exact_scores is not None:
        ranks = exact_ranks(victims, reading.exact_scores, evictable)
    found = []
    for table in np.unique(victims.tables).tolist():
        index = np.flatnonzero(victims.tables == table)
        rows: dict[int, list[int]] = {}
        first: list[int] = []
        for i in index.tolist():
            slot = int(victims.slots[i])
            if slot not in rows:
                rows[slot] = []
                first.append(i)
            rows[slot].append(int(victims.rows[i]))
        slots = list(rows)
        scores = [round(x, DIGITS) for x in victims.scores[first].tolist()]
        kept = [round(x, DIGITS) if x < np.inf else None for x in victims.kept[first].tolist()]
        exact: list[float | None] = [None] * len(slots)
        if reading.exact_scores is not None:
            exact = [round(x, DIGITS) for x in reading.exact_scores[table, slots].tolist()]
        elif reading.exact is not None:
            exact = list(scores)
        found.append(
            Evicted(
                layer=table,
                slots=tuple(slots),
                paths=tuple(map(tuple, rows.values())),
                positions=tuple(slot_depth[table, slots].tolist()),
                tokens=tuple(slot_token[table, slots].tolist()),
                texts=(),
                scores=tuple(scores),
                exact=tuple(exact),
                ranks=tuple(ranks[first].tolist()),
                kept=tuple(kept),
                reasons=tuple(
                    reason(words, score, rest) for score, rest in zip(scores, kept, strict=True)
                ),
            )
        )
    return found


def reason(words: str, score: float, kept: float | None) -> str:
    """As in "lowest attention per query: 0.003; kept: 0.004"."""
    rest = "nothing else could leave" if kept is None else f"kept: {_short(kept)}"
    return f"{words}: {_short(score)}; {rest}"


def _short(x: float) -> str:
    return str(int(x)) if x == int(x) else f"{x:.3g}"


def evidence(reading: Reading, held: np.ndarray, slot_depth: np.ndarray) -> tuple[Evidence, ...]:
    """The counters of all slots that are `held` `[layers, slots]`, one record a layer."""
    assert reading.estimates is not None
    found = []
    for layer_idx, bits in enumerate(held):
        slots = np.flatnonzero(bits)
        is_sketch = reading.columns is not None
        found.append(
            Evidence(
                layer=layer_idx,
                slots=tuple(slots.tolist()),
                positions=tuple(slot_depth[layer_idx, slots].tolist()),
                estimates=_rounded(reading.estimates[layer_idx, slots]),
                exact=() if reading.exact is None else _rounded(reading.exact[layer_idx, slots]),
                columns=_columns(reading, layer_idx, slots),
                cells=_cells(reading, layer_idx, slots) if is_sketch else (),
                error_bound=None if reading.bounds is None else float(reading.bounds[layer_idx]),
                total=_total(reading, layer_idx, slots),
            )
        )
    return tuple(found)


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.round(values.astype(np.float64), DIGITS).tolist())


def _columns(reading: Reading, layer_idx: int, slots: np.ndarray) -> tuple[tuple[int, ...], ...]:
    if reading.columns is None:
        return ()
    return tuple(map(tuple, reading.columns[layer_idx][:, slots].astype(np.int64).tolist()))


def _cells(reading: Reading, layer_idx: int, slots: np.ndarray) -> tuple[tuple[float, ...], ...]:
    assert reading.cells is not None
    return tuple(_rounded(row) for row in reading.cells[layer_idx][:, slots])


def _total(reading: Reading, layer_idx: int, slots: np.ndarray) -> float:
    """The stream's length: where no sketch counts it, what the held slots have gathered."""
    if reading.totals is not None:
        return float(reading.totals[layer_idx])
    assert reading.estimates is not None
    return float(reading.estimates[layer_idx, slots].sum())
