"""Tables: tensors whose places are handed out, given back and handed out again; in full precision
or in few bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from explorer.cache.blocks import Segment
from explorer.cache.codes import (
    SCALE_DTYPE,
    dequantize,
    dequantize_rows,
    num_groups,
    pack,
    packed_width,
    quantize,
    quantize_rows,
    unpack,
)


class Table:
    """Tensors `[num_kv_heads, places, width]`, one for each width, as long as they need to be: a
    multiple of `unit` places. Who has which place is the caller's to know."""

    def __init__(
        self,
        widths: Sequence[int],
        dtypes: Sequence[torch.dtype],
        like: torch.Tensor,
        unit: int = 1,
    ) -> None:
        self._unit = unit
        self.tensors = [
            torch.zeros((like.shape[1], 0, width), dtype=dtype, device=like.device)
            for width, dtype in zip(widths, dtypes, strict=True)
        ]

    @property
    def num_places(self) -> int:
        return self.tensors[0].shape[1]

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(tensor.shape[2] for tensor in self.tensors)

    @property
    def nbytes_per_place(self) -> int:
        return sum(t.shape[0] * t.shape[2] * t.element_size() for t in self.tensors)

    def take(self, count: int, held: np.ndarray) -> np.ndarray:
        """The `count` lowest places that are not among `held`; grows if there are fewer."""
        is_held = self._marked(held)
        needed = self._rounded(int(is_held.sum()) + count)
        if needed > self.num_places:
            self._repack(np.arange(self.num_places), needed)
            is_held = self._marked(held)
        return np.flatnonzero(~is_held)[:count]

    def fit(self, held: np.ndarray) -> np.ndarray:
        """Give back what `held` does not need. Returns where each of `held` is now."""
        is_held = self._marked(held)
        needed = self._rounded(int(is_held.sum()))
        if needed == self.num_places:
            return held
        self._repack(np.flatnonzero(is_held), needed)
        return np.asarray((np.cumsum(is_held) - 1)[held])

    def put(self, places: np.ndarray, *states: torch.Tensor) -> None:
        """Write `[num_kv_heads, len(places), width]` each."""
        index = device_index(places, self.tensors[0])
        for table, rows in zip(self.tensors, states, strict=True):
            table.index_copy_(1, index, rows.to(table.dtype))

    def get(self, places: np.ndarray) -> list[torch.Tensor]:
        index = device_index(places, self.tensors[0])
        return [table.index_select(1, index) for table in self.tensors]

    def _marked(self, held: np.ndarray) -> np.ndarray:
        marks = np.zeros(self.num_places, dtype=bool)
        marks[held] = True
        return marks

    def _rounded(self, count: int) -> int:
        return -(-count // self._unit) * self._unit

    def _repack(self, kept: np.ndarray, num_places: int) -> None:
        """What lay at the places `kept` moves to the first ones of `num_places`."""
        index = device_index(kept, self.tensors[0])
        for i, old in enumerate(self.tensors):
            new = old.new_zeros((old.shape[0], num_places, old.shape[2]))
            new[:, : len(kept)] = old.index_select(1, index)
            self.tensors[i] = new


class CodeTable:
    """Keys and values in `bits` bits, quantised `group` at a time.

    `rows`: a place for each, of packed key codes, packed value codes, and the value's scales and
    zero points, one for each `value_group` channels. `scales`: a place for each group, of scales
    and zero points by key channel.
    """

    def __init__(
        self,
        bits: int,
        group: int,
        value_group: int,
        keys: torch.Tensor,
        values: torch.Tensor,
    ) -> None:
        self.bits = bits
        self._group, self.value_group = group, value_group
        self._widths = keys.shape[-1], values.shape[-1]
        code = torch.int8 if bits == 8 else torch.uint8
        scale, per_value = SCALE_DTYPE, num_groups(values.shape[-1], self.value_group)
        packed = [packed_width(width, bits) for width in self._widths]
        widths = [*packed, per_value, per_value]
        self.rows = Table(widths, [code, code, scale, scale], keys, group)
        self.scales = Table([keys.shape[-1]] * 2, [scale, scale], keys)

    def write(
        self, places: np.ndarray, groups: np.ndarray, keys: torch.Tensor, values: torch.Tensor
    ) -> None:
        """Quantise `[num_kv_heads, len(places), head_dim]`, group after group."""
        key = quantize(keys.unflatten(1, (-1, self._group)), self.bits, dim=2)
        value = quantize_rows(values, self.bits, self.value_group)
        codes = pack(key.codes.flatten(1, 2), self.bits), pack(value.codes, self.bits)
        self.rows.put(places, *codes, value.scale, value.zero)
        self.scales.put(groups, key.scale.squeeze(2), key.zero.squeeze(2))

    def add(
        self, segments: Sequence[Segment], held: np.ndarray, held_groups: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Store codes as they came; `held` are the places in use. Returns place and place of its
        scales of every token. Neighbours with the same scales go on sharing them."""
        scales = [segment.tensors[4:] for segment in segments]
        is_new = [
            not at or not all(map(torch.equal, scales[at - 1], own))
            for at, own in enumerate(scales)
        ]
        places = self.rows.take(sum(segment.num_tokens for segment in segments), held)
        groups = self.scales.take(sum(is_new), held_groups)
        own = [each for each, new in zip(scales, is_new, strict=True) if new]
        rows = (segment.tensors[:4] for segment in segments)
        self.rows.put(places, *(torch.cat(part, 1) for part in zip(*rows, strict=True)))
        self.scales.put(groups, *(torch.cat(part, 1) for part in zip(*own, strict=True)))
        of_segment = groups[np.cumsum(is_new) - 1]
        return places, of_segment.repeat([segment.num_tokens for segment in segments])

    def read(self, places: np.ndarray, groups: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values `[num_kv_heads, len(places), head_dim]`, float32; `groups` by place."""
        keys, values, scale, zero = self.rows.get(places)
        key_scale, key_zero = self.scales.get(groups)
        key_codes = unpack(keys, self.bits, self._widths[0])
        value_codes = unpack(values, self.bits, self._widths[1])
        return (
            dequantize(key_codes, key_scale, key_zero),
            dequantize_rows(value_codes, scale, zero, self.value_group),
        )


def device_index(numbers: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """`numbers` where `like` is, to select or copy by."""
    return torch.from_numpy(numbers).to(like.device, non_blocking=True)
