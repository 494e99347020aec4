"""Quantised numbers against loops over every group and element, and against literals."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.cache.codes import (
    SCALE_NBYTES,
    dequantize,
    dequantize_rows,
    num_groups,
    pack,
    packed_width,
    quantize,
    quantize_rows,
    unpack,
)

quiet = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def test_a_group_by_hand() -> None:
    """-1, 0, 2 in four bits: zero -1, steps of 3 / 15, so codes 0, 5, 15."""
    codes, scale, zero = quantize(torch.tensor([[-1.0, 0.0, 2.0]]), bits=4, dim=1)
    assert zero.tolist() == [[-1.0]]
    assert scale.item() == pytest.approx(0.2, rel=1e-3)
    assert codes.tolist() == [[0, 5, 15]]
    back = dequantize(codes, scale, zero)
    assert back[0].tolist() == pytest.approx([-1, 0, 2], abs=3e-3)
    assert (codes.dtype, scale.dtype, zero.dtype) == (torch.uint8, torch.float16, torch.float16)
    assert scale.element_size() + zero.element_size() == SCALE_NBYTES


@quiet
@given(
    seed=st.integers(0, 10_000),
    bits=st.sampled_from([4, 8]),
    spread=st.sampled_from([1e-6, 1e-3, 1.0, 300.0]),
    offset=st.sampled_from([0.0, -0.3, 17.7, -2500.0, 60_000.0]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_no_number_comes_back_off_by_more_than_half_a_step(
    seed: int, bits: int, spread: float, offset: float, dtype: torch.dtype
) -> None:
    torch.manual_seed(seed)
    keys = (torch.randn(2, 3, 5, 4) * spread + offset).to(dtype)  # groups run along dim 2
    codes, scale, zero = quantize(keys, bits, dim=2)
    back = dequantize(codes, scale, zero)
    assert int(codes.max()) < 2**bits
    for head, group, token, channel in itertools.product(*map(range, keys.shape)):
        x = float(keys[head, group, token, channel])
        step = float(scale[head, group, 0, channel])
        code = int(codes[head, group, token, channel])
        found = float(zero[head, group, 0, channel]) + code * step
        rounding = 4e-7 * (abs(x) + 2**bits * step)  # of float32 arithmetic
        assert abs(x - found) <= step / 2 + rounding
        assert abs(float(back[head, group, token, channel]) - found) <= rounding
        values = [float(v) for v in keys[head, group, :, channel]]
        widest = (max(values) - min(values)) / (2**bits - 1)
        # float16 holds scale and zero to 11 bits: the step is wider by that and no more
        assert step <= widest * 1.002 + abs(min(values)) * 2**-9 / (2**bits - 1) + 2**-22


def test_equal_numbers_come_back_and_so_does_zero() -> None:
    for value in (0.0, 1.5, -3.0, 1e-9):
        codes, scale, zero = quantize(torch.full((1, 6), value), 4, dim=1)
        assert torch.allclose(dequantize(codes, scale, zero), torch.tensor(value), atol=1e-7)


@pytest.mark.parametrize(("width", "group"), [(8, 4), (8, 8), (12, 32), (10, 4), (7, 3), (1, 2)])
@pytest.mark.parametrize("bits", [4, 8])
def test_rows_are_quantised_in_groups_of_neighbours(width: int, group: int, bits: int) -> None:
    torch.manual_seed(width)
    values = torch.randn(2, 3, width) * torch.arange(1, width + 1)
    codes, scale, zero = quantize_rows(values, bits, min(group, width))
    back = dequantize_rows(codes, scale, zero, min(group, width))
    assert scale.shape == zero.shape == (2, 3, num_groups(width, min(group, width)))
    for head, token in itertools.product(range(2), range(3)):
        for start in range(0, width, group):
            part = values[head, token, start : start + group]
            step = (float(part.max()) - float(part.min())) / (2**bits - 1)
            assert float(scale[head, token, start // group]) == pytest.approx(
                step, rel=3e-2, abs=1e-2
            )
            off = (back[head, token, start : start + group] - part).abs().max()
            assert float(off) <= float(scale[head, token, start // group]) / 2 + 1e-5


@quiet
@given(width=st.integers(1, 9), bits=st.sampled_from([4, 8]), seed=st.integers(0, 1000))
def test_packing_loses_nothing(width: int, bits: int, seed: int) -> None:
    torch.manual_seed(seed)
    codes = torch.randint(0, 2**bits, (2, 3, width), dtype=torch.uint8)
    packed = pack(codes, bits)
    assert packed.shape == (2, 3, packed_width(width, bits))
    assert torch.equal(unpack(packed, bits, width), codes)


def test_stored_codes_are_really_small_integers() -> None:
    four = pack(torch.tensor([1, 15, 0, 8, 3], dtype=torch.uint8), 4)
    assert (four.dtype, four.element_size()) == (torch.uint8, 1)
    assert four.tolist() == [1 + 15 * 16, 0 + 8 * 16, 3]
    eight = pack(torch.tensor([0, 128, 255], dtype=torch.uint8), 8)
    assert eight.dtype == torch.int8
    assert eight.tolist() == [-128, 0, 127]
