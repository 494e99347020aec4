"""Fork, prune, append and evict in any order: bytes and counts stay right, and nothing remains."""

from __future__ import annotations

from functools import cache

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from explorer.backends import num_open
from explorer.backends.cow import CowBackend
from explorer.config import RunConfig
from explorer.models import LoadedModel
from explorer.policies import POLICIES
from tests import architectures

NUM_LAYERS, BUDGET = 2, 9
EACH = 2 * 2 * 8 * 4  # bytes of a slot and layer: keys and values, heads, head_dim, float32


@cache
def model() -> LoadedModel:
    return LoadedModel(architectures.build("llama"), name="llama")


class Evicting(RuleBasedStateMachine):
    """Beside the backend: per path its length, and per layer the set of positions it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.backend: CowBackend | None = None

    @initialize(
        policy=st.sampled_from(sorted(POLICIES)),
        strategy=st.sampled_from(["evict", "topk", "aggregate"]),
        adaptive=st.booleans(),
        tokens=st.integers(1, 5),
    )
    def start(self, policy: str, strategy: str, adaptive: bool, tokens: int) -> None:
        config = RunConfig(
            policy=policy, strategy=strategy, budget=BUDGET, sinks=1, recent=2, topk=2,
            residual_entries=2, adaptive=adaptive, sketch_width=32,
        )  # fmt: skip
        self.backend = CowBackend(model(), config)
        self.lengths, self.sees = [0], [[set() for _ in range(NUM_LAYERS)]]
        self.append(tokens)

    def append(self, tokens: int) -> None:
        assert self.backend is not None
        new = list(range(3, 3 + tokens * len(self.lengths)))
        forward = self.backend.prefill(new) if tokens > 1 else self.backend.decode(new)
        for row, length in enumerate(self.lengths):
            for seen in self.sees[row]:
                seen |= set(range(length, length + tokens))
            self.lengths[row] += tokens
        for record in forward.report.evicted:
            assert len(set(record.slots)) == len(record.slots)
            for rows, position in zip(record.paths, record.positions, strict=True):
                for row in rows:
                    self.sees[row][record.layer].remove(position)

    @precondition(lambda self: self.backend and len(self.lengths) == 1)
    @rule(tokens=st.integers(2, 6))
    def prefill(self, tokens: int) -> None:
        self.append(tokens)

    @precondition(lambda self: self.backend and self.lengths)
    @rule()
    def decode(self) -> None:
        self.append(1)

    @precondition(lambda self: self.backend and self.lengths)
    @rule(data=st.data())
    def fork_and_prune(self, data: st.DataObject) -> None:
        assert self.backend is not None
        row = st.integers(0, len(self.lengths) - 1)
        parents = data.draw(st.lists(row, min_size=1, max_size=6))
        self.backend.fork(parents)
        self.lengths = [self.lengths[row] for row in parents]
        self.sees = [[set(seen) for seen in self.sees[row]] for row in parents]

    @invariant()
    def all_is_counted(self) -> None:
        if self.backend is None:
            return
        pool, memory = self.backend.pool, self.backend.stats()
        pool.check_integrity()
        live = logical = 0
        for layer_idx in range(NUM_LAYERS):
            bits, depth = pool.seen(layer_idx), pool.depth(layer_idx)
            for row, seen in enumerate(self.sees):
                assert set(depth[bits[row]].tolist()) == seen[layer_idx]
                logical += len(seen[layer_idx])
            distinct = {slot for row in bits for slot in np.flatnonzero(row).tolist()}
            assert memory.layers[layer_idx] == len(distinct)
            live += len(distinct)
        assert memory.kv_live_nbytes == live * EACH
        assert memory.kv_logical_nbytes == logical * EACH
        assert memory.kv_nbytes == sum(
            t.untyped_storage().nbytes()
            for layer in pool.layers
            for t in (layer.keys, layer.values)
        )
        assert memory.unique_kv_tokens == memory.shared_kv_tokens + memory.private_kv_tokens
        assert memory.kv_live_nbytes <= memory.kv_nbytes

    def teardown(self) -> None:
        if self.backend is None:
            return
        self.backend.fork([])
        memory = self.backend.stats()
        assert (memory.kv_live_nbytes, memory.kv_logical_nbytes, memory.layers) == (0, 0, (0, 0))
        self.backend.close()
        assert self.backend.stats().kv_nbytes == 0
        assert num_open() == 0


TestEvicting = Evicting.TestCase
TestEvicting.settings = settings(
    max_examples=40,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
