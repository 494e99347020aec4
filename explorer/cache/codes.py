"""Numbers as small integers: quantise, dequantise, pack. Knows nothing of caches.

Asymmetric uniform quantisation: of every group of numbers the smallest is code 0 and the largest
the last code, `2 ** bits - 1`; a number comes back as `zero + code * scale`, off by at most half
of `scale`. Scale and zero point are float16 whatever the numbers are; zero is rounded down and
scale up, so that the bound holds for the two as they are stored.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

BITS = (4, 8)
SCALE_DTYPE = torch.float16
SCALE_NBYTES = 2 * 2  # of one scale and one zero point
_LARGEST, _SMALLEST = 65504.0, 2.0**-24  # of float16


class Quantized(NamedTuple):
    """`codes` uint8 in `0..2 ** bits - 1`, shaped as what was quantised; `scale` and `zero`
    float16, of length 1 along the dimension that a group runs along."""

    codes: torch.Tensor
    scale: torch.Tensor
    zero: torch.Tensor


def quantize(numbers: torch.Tensor, bits: int, dim: int) -> Quantized:
    """Quantise `numbers` in groups that run along the whole of `dim`.

    The smallest number of a group must lie above -65,504, as keys and values do by far.
    """
    numbers = numbers.float()
    levels = 2**bits - 1
    low, high = numbers.aminmax(dim=dim, keepdim=True)
    zero = _round_down(low)
    scale = -_round_down((zero.float() - high) / levels)
    scale = scale.clamp_(min=_SMALLEST)  # a group of equal numbers
    codes = ((numbers - zero.float()) / scale.float()).round_().clamp_(0, levels)
    return Quantized(codes.to(torch.uint8), scale, zero)


def dequantize(codes: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    """`zero + codes * scale`, float32; scale and zero broadcast."""
    return torch.addcmul(zero.float(), codes.float(), scale.float())


def _round_down(numbers: torch.Tensor) -> torch.Tensor:
    """The nearest float16, or one just below where that lies above."""
    numbers = numbers.clamp(-_LARGEST, _LARGEST)
    nearest = numbers.to(SCALE_DTYPE)
    below = (numbers - numbers.abs() * 2.0**-10 - _SMALLEST).clamp_(min=-_LARGEST)
    return torch.where(nearest.float() > numbers, below.to(SCALE_DTYPE), nearest)


def num_groups(width: int, group: int) -> int:
    """Groups of `group` channels that `width` channels fall into; the last may be smaller."""
    return -(-width // group)


def quantize_rows(numbers: torch.Tensor, bits: int, group: int) -> Quantized:
    """Quantise `[..., width]` in groups of `group` neighbours; scale and zero `[..., groups]`."""
    width = numbers.shape[-1]
    missing = num_groups(width, group) * group - width
    if missing:  # repeat the last number: it changes no group's range
        numbers = torch.cat([numbers, numbers[..., -1:].expand(*numbers.shape[:-1], missing)], -1)
    split = quantize(numbers.unflatten(-1, (-1, group)), bits, dim=-1)
    return Quantized(
        split.codes.flatten(-2)[..., :width], split.scale.squeeze(-1), split.zero.squeeze(-1)
    )


def dequantize_rows(
    codes: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, group: int
) -> torch.Tensor:
    """What `quantize_rows` made of `[..., width]`, float32."""
    width = codes.shape[-1]
    return dequantize(
        codes,
        scale.repeat_interleave(group, -1)[..., :width],
        zero.repeat_interleave(group, -1)[..., :width],
    )


def packed_width(width: int, bits: int) -> int:
    """Bytes of `width` codes."""
    return -(-width * bits // 8)


def pack(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Codes `[..., width]` as they are stored: int8 (code - 128), or two 4-bit codes to a uint8.

    Of a pair the first is the lower half; an odd last code has an empty upper half.
    """
    if bits == 8:
        return (codes ^ 0x80).view(torch.int8)
    if codes.shape[-1] % 2:
        codes = torch.cat([codes, torch.zeros_like(codes[..., :1])], dim=-1)
    return codes[..., 0::2] | (codes[..., 1::2] << 4)


def unpack(packed: torch.Tensor, bits: int, width: int) -> torch.Tensor:
    """The codes `[..., width]` again, uint8."""
    if bits == 8:
        return packed.view(torch.uint8) ^ 0x80
    return torch.stack([packed & 0xF, packed >> 4], dim=-1).flatten(-2)[..., :width]
