"""Steps of a batch as their lines in a trace say them."""

from __future__ import annotations

from typing import Any


def unpacked(step: Any) -> Any:
    """The step that `explorer.ui.wire.packed` packed, by what its docstring says."""
    strings, own = step.pop("texts"), iter(rows(step.pop("candidates")))
    step["decisions"] = [
        row | {"candidates": [next(own) for _ in range(row["candidates"])]}
        for row in rows(step["decisions"])
    ]
    step["nodes"] = rows(step["nodes"])
    listed = [one for row in step["decisions"] for one in row["candidates"]]
    for written in [*step["nodes"], *listed]:
        written |= {name: strings[written[name]] for name in ("text", "raw") if name in written}
    return step


def rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one table, texts still by their places."""
    number = table.pop("rows")
    columns = {name: table[one] if isinstance(one, str) else one for name, one in table.items()}
    return [
        {name: column[at if len(column) > 1 else 0] for name, column in columns.items()}
        for at in range(number)
    ]
