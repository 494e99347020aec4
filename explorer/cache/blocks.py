"""Blocks: what a stretch of tokens left in every layer, kept apart from any pool.

    layer     0                  1                            as each layer had stored it
    segments  | full, 16 tokens | 8 bits, 12 | full, 4 |
    buffer    one tensor of bytes, segment after segment, the block's own

A block is made after its tokens were read, and copied into another run's pool when that run begins
with the same tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from explorer.cache.codes import dequantize, dequantize_rows, quantize, quantize_rows, unpack
from explorer.cache.codes import pack as packed

FULL = 16  # "bits" of what is stored in the model's own number format
ALIGNMENT = 16  # bytes: any number format may begin there


@dataclass(frozen=True, slots=True)
class Form:
    """How a segment is stored: in `bits`, out of states of `dtype` and `widths` (key, value);
    `value_group` channels of a value share a scale. `tensors`: number format and shape of each."""

    bits: int
    dtype: str
    widths: tuple[int, int]
    value_group: int
    tensors: tuple[tuple[str, tuple[int, ...]], ...]


Layout = tuple[tuple[Form, ...], ...]  # of every layer the segments in the order of the text


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring tokens of one layer, stored alike.

    `tensors` in full precision: keys and values `[num_kv_heads, tokens, head_dim]`. In 8 or 4
    bits: packed codes of both, scales and zero points of the values `[num_kv_heads, tokens,
    groups]`, and those of the keys `[num_kv_heads, 1, head_dim]`, by channel.
    """

    bits: int
    dtype: torch.dtype  # of the states
    widths: tuple[int, int]
    value_group: int
    tensors: tuple[torch.Tensor, ...]

    @property
    def num_tokens(self) -> int:
        return int(self.tensors[0].shape[1])

    @property
    def form(self) -> Form:
        parts = tuple((_name(t.dtype), tuple(t.shape)) for t in self.tensors)
        return Form(self.bits, _name(self.dtype), self.widths, self.value_group, parts)

    def read(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values `[num_kv_heads, tokens, head_dim]` in `dtype`."""
        if self.bits == FULL:
            return self.tensors[0], self.tensors[1]
        keys, values, scale, zero, key_scale, key_zero = self.tensors
        key_codes, value_codes = (
            unpack(codes, self.bits, width)
            for codes, width in zip((keys, values), self.widths, strict=True)
        )
        return (
            dequantize(key_codes, key_scale, key_zero).to(self.dtype),
            dequantize_rows(value_codes, scale, zero, self.value_group).to(self.dtype),
        )

    def in_8_bits(self) -> Segment:
        """The same tokens in 8 bits: keys by channel over the segment, values by token."""
        if self.bits != FULL:
            return self
        keys, values = self.tensors
        key, value = quantize(keys, 8, dim=1), quantize_rows(values, 8, self.widths[1])
        codes = packed(key.codes, 8), packed(value.codes, 8)
        tensors = (*codes, value.scale, value.zero, key.scale, key.zero)
        return Segment(8, self.dtype, self.widths, self.widths[1], tensors)


class Block:
    """`layout`, and where its bytes are: `read()` gives them, a uint8 tensor `[nbytes]`, when they
    are first wanted, and may raise InputError. `max_abs_error`: how far its keys and values are
    from those that a run had stored; 0 where they are those."""

    def __init__(
        self, layout: Layout, read: Callable[[], torch.Tensor], max_abs_error: float = 0.0
    ) -> None:
        self.layout = layout
        self.max_abs_error = max_abs_error
        self.nbytes = sum(size for _, _, size in _places(layout))
        self._read = read

    @property
    def bits(self) -> list[np.ndarray]:
        """Of every layer, in how many bits each token is stored."""
        return [
            np.repeat([form.bits for form in forms], [form.tensors[0][1][1] for form in forms])
            for forms in self.layout
        ]

    @classmethod
    def of(cls, layers: Sequence[Sequence[Segment]]) -> Block:
        """A copy of `layers` in a buffer of its own, on the device of the first."""
        layout = tuple(tuple(segment.form for segment in segments) for segments in layers)
        device = layers[0][0].tensors[0].device
        sizes = [size for _, _, size in _places(layout)]
        buffer = torch.zeros(sum(sizes), dtype=torch.uint8, device=device)
        block = cls(layout, lambda: buffer)
        for segments, copies in zip(layers, block.layers, strict=True):
            for segment, copy in zip(segments, copies, strict=True):
                for source, target in zip(segment.tensors, copy.tensors, strict=True):
                    target.copy_(source)
        return block

    def to(self, device: torch.device) -> Block:
        """The same on `device`."""
        buffer = self.buffer
        if buffer.device == device:
            return self
        return Block(self.layout, lambda: buffer.to(device), self.max_abs_error)

    @cached_property
    def buffer(self) -> torch.Tensor:
        return self._read()

    @cached_property
    def layers(self) -> tuple[tuple[Segment, ...], ...]:
        """Every layer's segments, as views of the buffer."""
        places = _places(self.layout)
        return tuple(
            tuple(_segment(form, self.buffer, places) for form in forms) for forms in self.layout
        )


def _segment(form: Form, buffer: torch.Tensor, places: Iterator[tuple[str, int, int]]) -> Segment:
    tensors = []
    for _, shape in form.tensors:
        dtype, start, _ = next(places)
        kind = getattr(torch, dtype)
        nbytes = math.prod(shape) * kind.itemsize
        tensors.append(buffer[start : start + nbytes].view(kind).view(shape))
    dtype = getattr(torch, form.dtype)
    return Segment(form.bits, dtype, form.widths, form.value_group, tuple(tensors))


def _places(layout: Layout) -> Iterator[tuple[str, int, int]]:
    """`(number format, first byte, bytes up to the next)` of every tensor in order."""
    start = 0
    for forms in layout:
        for form in forms:
            for dtype, shape in form.tensors:
                size = math.prod(shape) * getattr(torch, dtype).itemsize
                size = -(-size // ALIGNMENT) * ALIGNMENT
                yield dtype, start, size
                start += size


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
