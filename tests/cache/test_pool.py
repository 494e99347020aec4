"""The pool against plain Python lists, and what it promises about bytes and slots."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from explorer.attention import TreeMask
from explorer.cache.pool import GROWTH, MIN_GROWTH, Pool

NUM_LAYERS, NUM_HEADS, HEAD_DIM = 3, 2, 4
MAX_ROWS = 8


def write(pool: Pool, rows: int, tokens: int, values: np.ndarray) -> None:
    """Send states through every layer as a forward pass does; `values` `[rows * tokens]`."""
    states = torch.tensor(values, dtype=torch.float32).view(rows, 1, tokens, 1)
    for layer_idx, layer in enumerate(pool.layers):
        keys = (states + 1000 * layer_idx).expand(rows, NUM_HEADS, tokens, HEAD_DIM)
        layer.update(keys, -keys)


@dataclass
class ListPath:
    """A path as plain lists: its text's length, and per layer what it sees as slot -> token."""

    length: int = 0
    sees: list[dict[int, int]] = field(default_factory=lambda: [{} for _ in range(NUM_LAYERS)])

    def copy(self) -> ListPath:
        return ListPath(self.length, [dict(layer) for layer in self.sees])


class PoolAgainstLists(RuleBasedStateMachine):
    """Every path keeps a dictionary of its own; nothing is shared, nothing is clever."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(NUM_LAYERS)
        self.paths = [ListPath()]
        self.depth: dict[tuple[int, int], int] = {}  # (layer, slot) -> depth of its token
        self.count = 0  # tokens made so far: the payload of each is its number
        self.most = 0  # slots in use at the worst moment of the fullest layer

    def used(self, layer_idx: int) -> set[int]:
        return {slot for path in self.paths for slot in path.sees[layer_idx]}

    def begin(self, tokens: int) -> None:
        """What `begin` and a forward pass must do, in lists; then the same in the pool."""
        count = len(self.paths) * tokens
        expected = []
        for layer_idx in range(NUM_LAYERS):
            used = self.used(layer_idx)
            free = (slot for slot in range(10**6) if slot not in used)
            expected.append([next(free) for _ in range(count)])
        for i in range(count):
            path = self.paths[i // tokens]
            for layer_idx, layer in enumerate(path.sees):
                layer[expected[layer_idx][i]] = self.count + i + 1
                self.depth[layer_idx, expected[layer_idx][i]] = path.length
            path.length += 1
        payload = np.arange(self.count + 1, self.count + count + 1)
        self.count += count
        mask = self.pool.begin(tokens)
        # lowest free slots first, in row order
        assert [self.pool.writing(i).tolist() for i in range(NUM_LAYERS)] == expected
        assert list(self.pool.written) == expected[0]
        assert self.pool.layer_written in ((), tuple(map(tuple, expected)))
        write(self.pool, len(self.paths), tokens, payload)
        self.most = max(self.most, *(len(self.used(i)) for i in range(NUM_LAYERS)))
        self.check_mask(mask, tokens)

    def check_mask(self, mask: TreeMask, tokens: int) -> None:
        """0 exactly where a row may look: its path's slots up to itself, within the window."""
        for window in (None, 3):
            for layer_idx in range(NUM_LAYERS):
                high = self.pool.high_water_of(layer_idx)
                rows = []
                for path in self.paths:
                    for depth in range(path.length - tokens, path.length):
                        seen = [
                            slot in path.sees[layer_idx]
                            and self.depth[layer_idx, slot] <= depth
                            and (window is None or depth - self.depth[layer_idx, slot] < window)
                            for slot in range(high)
                        ]
                        rows += [seen, seen]  # two query groups
                bias = mask.additive(layer_idx, window, 2, torch.zeros(()))
                assert torch.isneginf(bias[0, 0]).logical_not().tolist() == rows
                assert set(bias.unique().tolist()) <= {0.0, float("-inf")}

    @initialize(tokens=st.integers(1, 9))
    def prefill(self, tokens: int) -> None:
        self.begin(tokens)

    @precondition(lambda self: len(self.paths) == 1)
    @rule(tokens=st.integers(2, 70))
    def prefill_a_further_chunk(self, tokens: int) -> None:
        self.begin(tokens)

    @precondition(lambda self: self.paths)
    @rule()
    def decode(self) -> None:
        self.begin(1)

    @precondition(lambda self: self.paths)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        row = st.integers(0, len(self.paths) - 1)
        parents = data.draw(st.lists(row, min_size=1, max_size=MAX_ROWS))
        before = [self.used(i) for i in range(NUM_LAYERS)]
        self.paths = [self.paths[parent].copy() for parent in parents]
        gone = [tuple(sorted(before[i] - self.used(i))) for i in range(NUM_LAYERS)]
        assert self.pool.fork(parents) == gone[0]
        assert self.pool.layer_freed == (tuple(gone) if self.pool.num_tables > 1 else ())

    @precondition(lambda self: self.paths)
    @rule(data=st.data())
    def evict(self, data: st.DataObject) -> None:
        row = data.draw(st.integers(0, len(self.paths) - 1))
        layer_idx = data.draw(st.integers(0, NUM_LAYERS - 1))
        seen = sorted(self.paths[row].sees[layer_idx])
        if not seen:
            return
        slots = data.draw(st.lists(st.sampled_from(seen), min_size=1, unique=True))
        before = self.used(layer_idx)
        for slot in slots:
            del self.paths[row].sees[layer_idx][slot]
        freed = self.pool.evict(layer_idx, row, slots)
        assert list(freed) == sorted(before - self.used(layer_idx))

    @precondition(lambda self: self.paths and self.count)
    @rule(data=st.data())
    def replace_a_slot_by_a_copy_of_its_own(self, data: st.DataObject) -> None:
        """Copy on write, as residual entries need it."""
        row = data.draw(st.integers(0, len(self.paths) - 1))
        layer_idx = data.draw(st.integers(0, NUM_LAYERS - 1))
        sees = self.paths[row].sees[layer_idx]
        if not sees or self.pool.num_tables == 1:
            return
        slot = data.draw(st.sampled_from(sorted(sees)))
        used = self.used(layer_idx)
        expected = next(s for s in range(10**6) if s not in used)
        states = self.pool.layers[layer_idx].gather(np.array([slot]))
        [copy] = self.pool.add(layer_idx, np.array([row]), np.array([slot]))
        assert copy == expected
        self.pool.layers[layer_idx].replace(np.array([copy]), *states)
        self.pool.evict(layer_idx, row, [slot])
        sees[expected] = sees.pop(slot)
        self.depth[layer_idx, expected] = self.depth[layer_idx, slot]
        self.most = max(self.most, len(used) + 1)

    @invariant()
    def holds_what_the_lists_hold(self) -> None:
        pool = self.pool
        pool.check_integrity()
        assert pool.num_rows == len(self.paths)
        assert pool.row_depth.tolist() == [path.length for path in self.paths]
        for layer_idx, layer in enumerate(pool.layers):
            used = self.used(layer_idx)
            assert pool.high_water_of(layer_idx) == max(used, default=-1) + 1
            assert np.flatnonzero(pool.used(layer_idx)).tolist() == sorted(used)
            serial = pool.slot_serial[pool.table_of(layer_idx)]
            for path in self.paths:
                for slot, token in path.sees[layer_idx].items():
                    assert serial[slot] == token - 1  # the payload counts in order of writing
            seen = [path.sees[layer_idx] for path in self.paths]
            counts = [sum(slot in slots for slots in seen) for slot in range(pool.capacity)]
            assert pool.reference_count(layer_idx).tolist() == counts
            if not layer.is_initialized:
                continue
            for slots in seen:  # each path reads its own text, whoever wrote after it
                index = sorted(slots)
                expected = torch.tensor([slots[slot] + 1000.0 * layer_idx for slot in index])
                assert torch.equal(
                    layer.keys[0, :, index], expected[None, :, None].expand(2, -1, 4)
                )
                assert torch.equal(layer.values[0, 0, index, 0], -expected)

    @invariant()
    def grows_by_little_more_than_it_needs(self) -> None:
        assert self.pool.capacity <= self.most + max(MIN_GROWTH, GROWTH * self.most)

    def teardown(self) -> None:
        self.pool.close()
        assert self.pool.visible.sum() == 0
        assert self.pool.capacity == 0
        assert sum(layer.nbytes for layer in self.pool.layers) == 0
        self.pool.check_integrity()


TestPoolAgainstLists = PoolAgainstLists.TestCase
TestPoolAgainstLists.settings = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def filled(tokens: int) -> Pool:
    pool = Pool(NUM_LAYERS)
    pool.begin(tokens)
    write(pool, 1, tokens, np.arange(tokens))
    return pool


def test_storage_is_counted_by_the_byte_and_once() -> None:
    pool = filled(100)
    tensors = [t for layer in pool.layers for t in (layer.keys, layer.values)]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    assert len(storages) == 2 * NUM_LAYERS
    assert sum(layer.nbytes for layer in pool.layers) == sum(storages.values())
    assert sum(storages.values()) == pool.capacity * 2 * NUM_LAYERS * NUM_HEADS * HEAD_DIM * 4
    assert {layer.nbytes_per_slot for layer in pool.layers} == {2 * NUM_HEADS * HEAD_DIM * 4}


def test_a_fork_moves_no_key_and_children_leave_their_parents_keys_alone() -> None:
    pool = filled(10)

    def address_and_hash() -> list[tuple[int, str]]:
        return [
            (t.data_ptr(), hashlib.sha256(t[:, :, :10].contiguous().numpy().tobytes()).hexdigest())
            for layer in pool.layers
            for t in (layer.keys, layer.values)
            if t is not None
        ]

    before = address_and_hash()
    pool.fork([0, 0, 0])
    assert address_and_hash() == before
    for step in range(5):
        pool.begin()
        write(pool, 3, 1, np.arange(3) + 100 * (step + 1))
    assert address_and_hash() == before  # 25 slots fit the first allocation
    assert pool.reference_count()[:10].tolist() == [3] * 10
    assert pool.reference_count()[10:25].tolist() == [1] * 15


def test_growing_copies_what_was_there() -> None:
    pool = filled(10)
    capacity = pool.capacity
    keys = pool.layers[1].keys
    assert keys is not None
    first = keys[:, :, :10].clone()
    pool.begin(capacity)
    write(pool, 1, capacity, np.arange(capacity))
    grown = pool.layers[1].keys
    assert grown is not None
    assert pool.capacity >= capacity + 10 == grown[:, :, : capacity + 10].shape[2]
    assert torch.equal(grown[:, :, :10], first)


def test_a_pruned_paths_slots_are_the_next_to_be_written() -> None:
    pool = filled(4)
    pool.fork([0, 0, 0])
    pool.begin()
    assert pool.written == (4, 5, 6)
    assert pool.fork([0, 2]) == (5,)
    pool.begin()
    assert pool.written == (5, 7)
    assert pool.high_water == 8
    assert pool.fork([0]) == (6, 7)
    assert pool.high_water == 6  # attention stops below what is no longer there


def test_all_paths_gone_leaves_no_live_slot() -> None:
    pool = filled(4)
    pool.fork([0, 0])
    assert pool.fork([]) == (0, 1, 2, 3)
    assert pool.used().sum() == pool.high_water == 0
    pool.check_integrity()


def test_allocated_storage_stays_within_15_percent_of_what_a_long_run_uses() -> None:
    pool = Pool(1)
    rng = np.random.default_rng(0)
    most = 0
    pool.begin(300)
    write(pool, 1, 300, np.zeros(300))
    for _ in range(1000):
        rows = pool.num_rows
        pool.fork(sorted(rng.integers(0, rows, int(rng.integers(1, 13))).tolist()))
        pool.begin()
        write(pool, pool.num_rows, 1, np.zeros(pool.num_rows))
        most = max(most, int(pool.used().sum()))
    allocated = sum(layer.nbytes for layer in pool.layers)
    assert most > 1000
    assert allocated / (most * 2 * NUM_HEADS * HEAD_DIM * 4) <= 1.15
    assert allocated == pool.capacity * 2 * NUM_HEADS * HEAD_DIM * 4


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda pool: pool.visible[:, 0].__setitem__((slice(None), 9), True), "high-water"),
        (lambda pool: pool.visible[:, 0].__setitem__((slice(None), 3), False), "too high"),
        (lambda pool: pool._writing.__setitem__((0, 1), 0), "two rows write one slot"),
        (lambda pool: pool.slot_depth.__setitem__((0, 1), 2), "one depth"),
        (lambda pool: pool.slot_depth.__setitem__((0, 3), 7), "future"),
        (lambda pool: pool.slot_serial.__setitem__((0, 1), 2), "one serial"),
        (lambda pool: pool._capacity.__setitem__(0, 3), "longer than every layer"),
    ],
)
def test_check_integrity_finds_damage(damage, complaint) -> None:  # type: ignore[no-untyped-def]
    pool = filled(4)
    pool.check_integrity()
    damage(pool)
    with pytest.raises(AssertionError, match=complaint):
        pool.check_integrity()


def test_a_layer_that_loses_slots_gives_them_to_the_next_tokens_whatever_the_others_hold() -> None:
    pool = filled(10)
    pool.evict(1, 0, [2, 3])
    pool.evict(2, 0, [3, 7])
    for value in range(2):
        pool.begin()
        write(pool, 1, 1, np.array([100 + value]))
    assert pool.layer_written == ((11,), (3,), (7,))
    assert [int(pool.used(i).sum()) for i in range(NUM_LAYERS)] == [12, 10, 10]
    assert [pool.high_water_of(i) for i in range(NUM_LAYERS)] == [12, 10, 10]
    for layer, slot, held in zip(pool.layers, (11, 3, 7), (101.0, 1101.0, 2101.0), strict=True):
        assert float(layer.keys[0, 0, slot, 0]) == held


def test_a_layer_grows_by_what_it_needs_itself() -> None:
    pool = filled(100)
    pool.growth = 0.0
    capacity = pool.capacity
    pool.evict(0, 0, range(4, 100))
    for _ in range(300):
        pool.begin()
        write(pool, 1, 1, np.zeros(1))
        pool.evict(0, 0, [pool.writing(0)[0]])
    each = 2 * NUM_HEADS * HEAD_DIM * 4
    assert pool.layers[0].nbytes == capacity * each
    assert 400 <= pool.layers[1].nbytes / each <= 400 + MIN_GROWTH
