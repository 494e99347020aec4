"""Quantised storage against dictionaries, hand-computed bytes and unquantised logits."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from explorer.cache.base import PoolLayer
from explorer.cache.pool import Pool
from explorer.cache.quant import FULL, NOWHERE, QuantLayer, Storage, layer_types
from explorer.config import RunConfig

NUM_HEADS, KEY_DIM, VALUE_DIM = 2, 3, 5  # as in latent attention, values have another width
KINDS = ("int8", "int4", "adaptive")
FULL_NBYTES = NUM_HEADS * (KEY_DIM + VALUE_DIM) * 4
SCALE_NBYTES = NUM_HEADS * KEY_DIM * 4  # of a group's keys


def layers(
    kv_dtype: str | tuple[str, ...], group: int, recent: int, sinks: int
) -> Callable[[Pool, int], PoolLayer]:
    return layer_types(RunConfig(kv_dtype=kv_dtype, kv_group=group, kv_recent=recent, sinks=sinks))


def row_nbytes(bits: int, group: int) -> int:
    """Of a slot: packed key and value codes, scale and zero point of each group of its value."""
    if bits == 8:
        return NUM_HEADS * (KEY_DIM + VALUE_DIM + 4)
    return NUM_HEADS * (2 + 3 + 4 * math.ceil(VALUE_DIM / group))


@cache
def states(token: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values `[num_kv_heads, head_dim]` of the token with this number, in -1..1."""
    rng = np.random.default_rng(token)
    keys, values = (rng.uniform(-1, 1, (NUM_HEADS, dim)) for dim in (KEY_DIM, VALUE_DIM))
    return torch.tensor(keys, dtype=torch.float32), torch.tensor(values, dtype=torch.float32)


def write(pool: Pool, rows: int, tokens: list[int]) -> None:
    """Send the states of `tokens`, row after row, through every layer as a forward pass does."""
    parts = zip(*(states(token) for token in tokens), strict=True)
    keys, values = (torch.stack(part).unflatten(0, (rows, -1)).transpose(1, 2) for part in parts)
    with torch.inference_mode():
        for layer in pool.layers:
            layer.update(keys, values)


@dataclass
class ListPath:
    """A path as plain lists: its length, and per layer what it sees, slot -> number of a token."""

    length: int
    sees: list[dict[int, int]]

    def copy(self) -> ListPath:
        return ListPath(self.length, [dict(layer) for layer in self.sees])


@dataclass
class ListLayer:
    """The rules of storage over dictionaries, a slot at a time."""

    storage: Storage
    bits: dict[int, int] = field(default_factory=dict)
    group: dict[int, int] = field(default_factory=dict)  # number of the slot's group
    off: dict[int, float] = field(default_factory=dict)  # how far its states may be off
    num_groups: int = 0

    def forget(self, slots: set[int]) -> None:
        for slot in slots:
            self.bits.pop(slot, None)

    def members(self) -> dict[tuple[int, int], list[int]]:
        found = defaultdict(list)
        for slot, bits in self.bits.items():
            if bits != FULL:
                found[bits, self.group[slot]].append(slot)
        return found

    def wanted(self, slot: int, depth: int, lengths: list[int]) -> int:
        age = min(lengths) - depth - 1
        s = self.storage
        if age < s.recent:
            return FULL
        if s.kv_dtype != "adaptive":
            return 8 if s.kv_dtype == "int8" else 4
        if depth < s.sinks:
            return FULL
        return 4 if age >= 4 * s.recent else 8

    def write(self, new: list[int], depth: dict[int, int], paths: list[dict[int, int]]) -> None:
        """`paths[i]`: slot -> length of path i, for the slots it sees."""
        for slots in self.members().values():
            if len(slots) <= self.storage.group // 8:
                self.bits |= dict.fromkeys(slots, FULL)
        for slot in new:
            self.bits[slot], self.off[slot] = FULL, 0.0
        waiting = defaultdict(list)
        for slot in sorted(self.bits, key=lambda slot: (depth[slot], slot)):
            bits = self.wanted(slot, depth[slot], [p[slot] for p in paths if slot in p])
            if bits < self.bits[slot]:
                waiting[bits].append(slot)
        for bits, slots in waiting.items():
            while len(slots) >= self.storage.group:
                self.num_groups += 1
                for slot in slots[: self.storage.group]:
                    self.bits[slot], self.group[slot] = bits, self.num_groups
                    self.off[slot] += 1.1 / (2**bits - 1) + 1e-3  # half a step of -1..1
                del slots[: self.storage.group]

    def nbytes(self) -> int:
        """Places in whole steps of `group`; a scale for each group that has a slot left."""
        counts = defaultdict(int)
        for bits in self.bits.values():
            counts[bits] += 1
        step = self.storage.group
        steps = {bits: (count + step - 1) // step * step for bits, count in counts.items()}
        coded = sum(row_nbytes(bits, step) * steps.get(bits, 0) for bits in (8, 4))
        return steps.get(FULL, 0) * FULL_NBYTES + coded + len(self.members()) * SCALE_NBYTES

    def seen_nbytes(self, slots: set[int]) -> int:
        """Of a cache that holds just these slots."""
        each = {bits: row_nbytes(bits, self.storage.group) for bits in (8, 4)}
        each[FULL] = FULL_NBYTES
        groups = {key for key, members in self.members().items() if slots & set(members)}
        return sum(each[self.bits[slot]] for slot in slots) + len(groups) * SCALE_NBYTES


class QuantAgainstLists(RuleBasedStateMachine):
    """Fork, prune, evict, prefill and decode over layers of every kind of storage."""

    @initialize(
        tokens=st.integers(1, 40),
        group=st.sampled_from([1, 3, 8, 16]),
        recent=st.integers(0, 5),
        sinks=st.integers(0, 3),
    )
    def prefill(self, tokens: int, group: int, recent: int, sinks: int) -> None:
        self.pool = Pool(len(KINDS), layers(KINDS, group, recent, sinks))
        self.lists = [ListLayer(Storage(kind, group, recent, sinks)) for kind in KINDS]
        self.paths = [ListPath(0, [{} for _ in KINDS])]
        self.depth: list[dict[int, int]] = [{} for _ in KINDS]
        self.count = 0
        self.forward(tokens)

    def forward(self, tokens: int) -> None:
        self.pool.begin(tokens)
        rows = len(self.paths)
        numbers = list(range(self.count, self.count + rows * tokens))
        self.count += len(numbers)
        for layer_idx, layer in enumerate(self.lists):
            new = self.pool.writing(layer_idx).tolist()
            for at, (slot, number) in enumerate(zip(new, numbers, strict=True)):
                path = self.paths[at // tokens]
                assert slot not in layer.bits  # only what was freed is written again
                path.sees[layer_idx][slot] = number
                self.depth[layer_idx][slot] = path.length + at % tokens
        for path in self.paths:
            path.length += tokens
        write(self.pool, rows, numbers)
        for layer_idx, layer in enumerate(self.lists):
            lengths = [dict.fromkeys(p.sees[layer_idx], p.length) for p in self.paths]
            new = self.pool.writing(layer_idx).tolist()
            layer.write(new, self.depth[layer_idx], lengths)

    def forget(self) -> None:
        for layer_idx, layer in enumerate(self.lists):
            used = {slot for path in self.paths for slot in path.sees[layer_idx]}
            layer.forget(set(layer.bits) - used)

    @precondition(lambda self: len(self.paths) == 1)
    @rule(tokens=st.integers(2, 40))
    def prefill_a_further_chunk(self, tokens: int) -> None:
        self.forward(tokens)

    @precondition(lambda self: self.paths)
    @rule()
    def decode(self) -> None:
        self.forward(1)

    @precondition(lambda self: self.paths)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        row = st.integers(0, len(self.paths) - 1)
        parents = data.draw(st.lists(row, min_size=1, max_size=6))
        self.paths = [self.paths[parent].copy() for parent in parents]
        self.pool.fork(parents)
        self.forget()

    @precondition(lambda self: self.paths)
    @rule(data=st.data())
    def evict(self, data: st.DataObject) -> None:
        layer_idx = data.draw(st.integers(0, len(KINDS) - 1))
        share = data.draw(st.sampled_from([0.1, 0.5, 0.9]))
        rng = np.random.default_rng(data.draw(st.integers(0, 99)))
        for row in data.draw(st.sets(st.integers(0, len(self.paths) - 1))):
            sees = self.paths[row].sees[layer_idx]
            slots = [slot for slot in sees if rng.random() < share]
            for slot in slots:
                del sees[slot]
            self.pool.evict(layer_idx, row, slots)
        self.forget()

    @rule(layer_idx=st.integers(0, len(KINDS) - 1), keep=st.integers(0, 7))
    def evict_all_but_every_eighth(self, layer_idx: int, keep: int) -> None:
        for row, path in enumerate(self.paths):
            sees = path.sees[layer_idx]
            depth = self.depth[layer_idx]
            slots = [slot for slot in sees if depth[slot] % 8 != keep and depth[slot] < 40]
            for slot in slots:
                del sees[slot]
            self.pool.evict(layer_idx, row, slots)
        self.forget()

    @rule(data=st.data())
    def fold(self, data: st.DataObject) -> None:
        """What the strategy "aggregate" does to an entry: other states in the same slot."""
        layer_idx = data.draw(st.integers(0, len(KINDS) - 1))
        stored = sorted(self.lists[layer_idx].bits)
        if not stored:
            return
        slots = data.draw(st.lists(st.sampled_from(stored), min_size=1, max_size=5, unique=True))
        numbers = list(range(self.count, self.count + len(slots)))
        self.count += len(slots)
        parts = zip(*(states(number) for number in numbers), strict=True)
        keys, values = (torch.stack(part, dim=1)[None] for part in parts)
        with torch.inference_mode():
            self.pool.layers[layer_idx].replace(np.array(slots), keys, values)
        for slot, number in zip(slots, numbers, strict=True):
            self.lists[layer_idx].bits[slot], self.lists[layer_idx].off[slot] = FULL, 0.0
            for path in self.paths:
                if slot in path.sees[layer_idx]:
                    path.sees[layer_idx][slot] = number

    @invariant()
    def stores_what_the_lists_store(self) -> None:
        self.pool.check_integrity()
        for layer_idx, (layer, expected) in enumerate(
            zip(self.pool.layers, self.lists, strict=True)
        ):
            stored = np.flatnonzero(layer.slot_bits != NOWHERE).tolist()
            assert stored == sorted(expected.bits)
            assert [layer.slot_bits[slot] for slot in stored] == [expected.bits[s] for s in stored]
            assert layer.nbytes == expected.nbytes()
            storages = {
                t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
                for table in layer.tables
                for t in table.tensors
                if t.numel()
            }
            assert layer.nbytes == sum(storages.values())
            seen = self.pool.seen(layer_idx)
            slots = [set(path.sees[layer_idx]) for path in self.paths]
            assert layer.live_nbytes(seen) == expected.seen_nbytes(set().union(*slots))
            assert layer.logical_nbytes(seen) == sum(map(expected.seen_nbytes, slots))

    @invariant()
    def reads_what_was_written_within_the_steps_it_was_rounded_to(self) -> None:
        for layer_idx, (layer, expected) in enumerate(
            zip(self.pool.layers, self.lists, strict=True)
        ):
            keys, values = layer.gather(np.arange(self.pool.high_water_of(layer_idx)))
            tokens = {s: t for path in self.paths for s, t in path.sees[layer_idx].items()}
            for part, found in enumerate((keys[0], values[0])):
                wanted = [states(token)[part] for token in tokens.values()]
                if wanted:
                    off = found[:, list(tokens)] - torch.stack(wanted, dim=1)
                    most = [expected.off[slot] for slot in tokens]  # 0: it never was rounded
                    assert (off.abs().amax(dim=(0, 2)) <= torch.tensor(most)).all()

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        self.pool.fork([])
        assert [layer.nbytes for layer in self.pool.layers] == [0] * len(KINDS)
        assert not any((layer.slot_bits != NOWHERE).any() for layer in self.pool.layers)
        self.pool.close()
        assert not any(layer.tables for layer in self.pool.layers)


TestQuantAgainstLists = QuantAgainstLists.TestCase
TestQuantAgainstLists.settings = settings(
    max_examples=60,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def filled(kv_dtype: str, tokens: int, group: int = 4, recent: int = 3, sinks: int = 2) -> Pool:
    pool = Pool(1, layers(kv_dtype, group, recent, sinks))
    pool.begin(tokens)
    write(pool, 1, list(range(tokens)))
    return pool


def bits_of(pool: Pool) -> str:
    names = {NOWHERE: ".", FULL: "f", 8: "8", 4: "4"}
    [layer] = pool.layers
    return "".join(names[int(bits)] for bits in layer.slot_bits[: pool.high_water])


def test_precision_by_age_by_hand() -> None:
    """Groups of 4; the last 3 tokens stay, and what waits for a whole group."""
    assert bits_of(filled("int8", 6)) == "ffffff"
    assert bits_of(filled("int8", 7)) == "8888fff"
    assert bits_of(filled("int4", 13)) == "44444444fffff"
    # old: 12 tokens or more from the end; the first 2 are sinks, and 2 wait for a group
    assert bits_of(filled("adaptive", 24)) == "ff" + "4" * 8 + "f" * 2 + "8" * 8 + "f" * 4
    assert bits_of(filled("adaptive", 24, recent=0)) == "ff" + "4" * 20 + "ff"


def test_what_grows_old_goes_from_eight_bits_to_four() -> None:
    pool = filled("adaptive", 12)
    assert bits_of(pool) == "ff" + "8" * 4 + "f" * 6
    seen = [bits_of(pool)]
    for token in range(12, 22):
        pool.begin()
        write(pool, 1, [token])
        seen.append(bits_of(pool))
    assert [text[2:6] for text in seen] == ["8888"] * 6 + ["4444"] * 5
    assert {text[:2] for text in seen} == {"ff"}


def test_a_slot_waits_for_the_path_to_which_it_is_most_recent() -> None:
    pool = filled("int8", 6)
    pool.fork([0, 0])
    pool.row_depth[0] += 9  # path 0 is far ahead, path 1 is not
    pool.begin()
    write(pool, 2, [6, 7])
    [layer] = pool.layers
    assert [int(bits) for bits in layer.slot_bits[:6]] == [8] * 4 + [FULL] * 2
    pool = filled("int8", 5)
    pool.fork([0, 0])
    pool.row_depth[0] += 9
    pool.begin()
    write(pool, 2, [6, 7])
    assert bits_of(pool) == "fffffff"
    pool.fork([0])  # the other path leaves
    pool.begin()
    write(pool, 1, [8])
    assert bits_of(pool) == "8888fff"


@pytest.mark.parametrize(
    ("kv_dtype", "width", "code"), [("int8", 1, torch.int8), ("int4", 2, torch.uint8)]
)
def test_bytes_by_hand_and_storage_really_integer(
    kv_dtype: str, width: int, code: torch.dtype
) -> None:
    """100 tokens, 2 heads of 16, groups of 8, 4 recent: 96 slots in 12 groups and 4 that wait."""
    pool = Pool(1, layers(kv_dtype, 8, 4, 0))
    pool.begin(100)
    keys = torch.randn(1, 2, 100, 16, dtype=torch.float16)
    [layer] = pool.layers
    layer.update(keys, keys)
    assert isinstance(layer, QuantLayer)
    [stored] = layer.codes.values()
    key_codes, value_codes, value_scale, value_zero = stored.rows.tensors
    assert (key_codes.dtype, value_codes.dtype, value_scale.dtype) == (code, code, torch.float16)
    assert key_codes.shape == value_codes.shape == (2, 96, 16 // width)
    per_value = {"int8": 1, "int4": 2}[kv_dtype]  # scales: of the whole head, of 8 channels
    assert value_scale.shape == value_zero.shape == (2, 96, per_value)
    assert [t.shape for t in stored.scales.tensors] == [(2, 12, 16)] * 2
    a_slot = 2 * (16 // width + 16 // width + per_value * 2 * 2)
    a_group = 2 * 16 * 2 * 2
    places_in_full = 8  # 4 in use, in steps of 8
    assert layer.nbytes == 96 * a_slot + 12 * a_group + places_in_full * 2 * 32 * 2
    live = layer.live_nbytes(pool.seen(0))
    assert live == 96 * a_slot + 12 * a_group + 4 * 2 * 32 * 2
    pool.fork([0, 0, 0])
    assert layer.live_nbytes(pool.seen(0)) == live
    assert layer.logical_nbytes(pool.seen(0)) == 3 * live


@pytest.mark.parametrize("head_dim", [64, 128])
@pytest.mark.parametrize(("kv_dtype", "bound"), [("int8", 0.56), ("int4", 0.33)])
@pytest.mark.parametrize("more", [0, 31])
def test_4096_slots_take_little_of_the_half_precision_bytes_scales_included(
    head_dim: int, kv_dtype: str, bound: float, more: int
) -> None:
    """With the default group and window, and at the worst moment between two groups."""
    pool = Pool(1, layers(kv_dtype, 32, 32, 4))
    pool.begin(4096 + more)
    keys = torch.randn(1, 2, 4096 + more, head_dim, dtype=torch.float16)
    pool.layers[0].update(keys, keys)
    exact = (4096 + more) * 2 * 2 * head_dim * 2  # without any slack that a pool might have
    assert pool.layers[0].nbytes / exact <= bound
    plain = Pool(1)
    plain.begin(4096 + more)
    plain.layers[0].update(keys, keys)
    assert pool.layers[0].nbytes / plain.layers[0].nbytes <= bound


def test_a_long_run_at_a_budget_stays_flat_in_allocated_bytes() -> None:
    """1,500 tokens at 64, by a rule that leaves one of each old group's slots behind for long."""
    pool = Pool(1, layers("int4", 16, 8, 0))
    pool.begin(64)
    write(pool, 1, list(range(64)))
    rng, held = np.random.default_rng(0), []
    for token in range(64, 1564):
        pool.begin()
        write(pool, 1, [token])
        depths = pool.depth(0)
        slots = np.flatnonzero(pool.seen(0)[0] & (depths < token - 8))
        is_kept = depths[slots] % 16 == 0
        pool.evict(0, 0, [rng.choice(slots[~is_kept] if (~is_kept).any() else slots)])
        held.append(pool.layers[0].nbytes)
    assert pool.used(0).sum() == 64
    full = 64 * FULL_NBYTES
    assert max(held[200:]) <= full
    assert max(held[-200:]) <= 1.2 * max(held[200:400])


def test_a_group_with_nearly_all_gone_gives_back_its_scales_and_reads_as_before() -> None:
    pool = filled("int4", 70, group=32, recent=6)
    [layer] = pool.layers
    assert bits_of(pool) == "4" * 64 + "f" * 6
    survivors = [3, 9, 20, 31]  # an eighth of the first group
    pool.evict(0, 0, [slot for slot in range(32) if slot not in survivors])
    assert layer.codes[4].scales.num_places == 2
    before = layer.gather(np.array(survivors))
    pool.begin()
    write(pool, 1, [70])
    assert layer.codes[4].scales.num_places == 1
    assert [int(bits) for bits in layer.slot_bits[survivors]] == [FULL] * 4
    for found, wanted in zip(layer.gather(np.array(survivors)), before, strict=True):
        assert torch.equal(found, wanted)
