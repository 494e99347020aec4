"""Tables against a dictionary: what was put at a place is there until it is given back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.cache.tables import Table

HEADS, LIKE = 2, torch.zeros(1, 2, 1, 4)


def rows(numbers: list[int], width: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(numbers).view(1, -1, 1).expand(HEADS, -1, width).to(dtype)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(data=st.data(), unit=st.integers(1, 5))
def test_a_table_keeps_what_is_held_and_is_as_long_as_it_must_be(
    data: st.DataObject, unit: int
) -> None:
    table = Table([3, 1], [torch.float32, torch.int8], LIKE, unit)
    place: dict[int, int] = {}  # item -> its place
    for step in range(8):
        held = np.array(list(place.values()), dtype=np.int64)
        new = [100 * step % 120 + i for i in range(data.draw(st.integers(0, 7)))]
        taken = table.take(len(new), held)
        free = [p for p in range(1000) if p not in place.values()]
        assert taken.tolist() == free[: len(new)]  # the lowest
        table.put(taken, rows(new, 3, torch.float32), rows(new, 1, torch.int8))
        place |= {item + 1000 * step: int(p) for item, p in zip(new, taken, strict=True)}
        leaving = data.draw(st.sets(st.sampled_from(sorted(place)))) if place else set()
        place = {item: p for item, p in place.items() if item not in leaving}
        moved = table.fit(np.array(list(place.values()), dtype=np.int64))
        place = {item: int(p) for item, p in zip(place, moved, strict=True)}
        assert len(set(place.values())) == len(place)
        assert table.num_places == -(-len(place) // unit) * unit
        wide, narrow = table.get(np.array(list(place.values()), dtype=np.int64))
        expected = [item % 1000 for item in place]
        assert wide[1, :, 2].tolist() == narrow[0, :, 0].tolist() == expected
        nbytes = sum(t.untyped_storage().nbytes() for t in table.tensors)
        assert nbytes == table.num_places * table.nbytes_per_place
    assert table.nbytes_per_place == HEADS * (3 * 4 + 1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16])
def test_an_empty_table_takes_no_storage_and_new_places_are_zero(dtype: torch.dtype) -> None:
    table = Table([5], [dtype], LIKE, 4)
    assert table.tensors[0].untyped_storage().nbytes() == 0
    assert table.take(3, np.zeros(0, dtype=np.int64)).tolist() == [0, 1, 2]
    assert table.tensors[0].shape == (HEADS, 4, 5)
    assert not table.tensors[0].any()
