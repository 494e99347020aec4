"""The evictor: watches a pass, and lets slots go where paths see more than their budget.

    begin (the mask of the pass, watched) -> forward -> evict (bits cleared, and why) -> fork

Works on the pool's table alone: a policy scores slots, `cache.budget` picks, a strategy says what
becomes of them. One transfer from the device a step, all layers and paths at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from explorer.attention import TreeMask
from explorer.cache.budget import (
    Controller,
    Victims,
    choose,
    highest,
    layer_budgets,
    num_kept,
    protected,
)
from explorer.cache.pool import Pool
from explorer.config import Eviction, RunConfig
from explorer.events import Evicted, Evidence
from explorer.eviction.reasons import evidence, explained
from explorer.eviction.residual import Residuals
from explorer.policies import POLICIES, CountingPolicy, Policy, Reading, Setting
from explorer.policies.h2o import H2O

CHUNKS = 4  # a prompt beyond its budget comes in pieces of a quarter of the smallest budget


@dataclass(frozen=True, slots=True)
class Report:
    """What a pass led to. `paths` of the evicted are rows, and they have no texts yet."""

    evicted: tuple[Evicted, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    budgets: tuple[int, ...] = ()


def counters(eviction: Eviction) -> tuple[type[Policy], ...]:
    """What counts beside a run's passes: its policy first, and what the controller of adaptive
    budgets measures by where the policy does not; none without a policy."""
    if eviction.policy is None:
        return ()
    policy = POLICIES[eviction.policy]
    if eviction.adaptive and not issubclass(policy, CountingPolicy):
        return (policy, H2O)
    return (policy,)


def piece(budgets: np.ndarray, num_prompt: int) -> int | None:
    """Tokens of one pass at most, of a prompt beyond the smallest budget; None: it fits."""
    smallest = int(budgets.min())
    return None if num_prompt <= smallest else max(smallest // CHUNKS, 1)


class Evictor:
    """Keeps every path of a pool within its layers' budgets, by the policy of `config`.

    Where all layers must lose the same slots (window and fifo with one budget) they go on sharing
    a table; otherwise each has its own from the start. Raises InputError where a budget has no
    room for this prompt or this model.
    """

    def __init__(
        self,
        pool: Pool,
        config: RunConfig,
        num_prompt: int,
        num_heads: int,
        device: torch.device,
    ) -> None:
        eviction = config.eviction
        assert eviction.policy is not None
        self.pool = pool
        self._eviction = eviction
        self._num_evidence = config.limits.num_evidence
        self._num_prompt = num_prompt
        self._sinks, self._recent = num_kept(eviction)
        budgets = layer_budgets(eviction, pool.num_layers, num_prompt)
        self._controller = Controller(budgets, eviction.num_protected)
        setting = Setting(
            num_layers=pool.num_layers,
            num_heads=num_heads,
            device=device,
            seed=config.sampling.seed,
            sketch_width=eviction.sketch_width,
            sketch_depth=eviction.sketch_depth,
            conservative=eviction.conservative,
            decay=eviction.decay,
            exact=eviction.exact,
        )
        self._counters = [policy(setting) for policy in counters(eviction)]
        self.policy = self._counters[0]
        self.needs_attention = any(policy.needs_attention for policy in self._counters)
        self.needs_states = self.policy.needs_states
        self._residuals = None
        if eviction.strategy == "aggregate":
            self._residuals = Residuals(pool, eviction.residual_entries)
        is_uniform = len(set(budgets.tolist())) == 1 and not eviction.adaptive
        if self.policy.is_layerwise or not is_uniform or self._residuals is not None:
            pool.split()
        pool.growth = 0.0  # a bounded pool reaches its size and stays there
        self._device = device
        self._scores = np.zeros((pool.num_tables, 0))  # as of the last pass, for topk
        self._tokens = np.zeros((pool.num_tables, 0), dtype=np.int64)

    @property
    def budgets(self) -> np.ndarray:
        """`[layers]`, in slots."""
        return self._controller.budgets

    @property
    def chunk(self) -> int | None:
        """Tokens of one pass at most, of a prompt beyond the smallest budget; None: it fits."""
        return piece(self.budgets, self._num_prompt)

    @property
    def nbytes(self) -> int:
        """Bytes of counters and sketches."""
        return sum(policy.nbytes for policy in self._counters)

    @torch.inference_mode()
    def begin(self, mask: TreeMask, ids: Sequence[int]) -> TreeMask:
        """The pass that `pool.begin` has just opened, watched; `ids` are its tokens, row by row."""
        writing = self._written(ids)
        bias = None
        if self._residuals is not None:
            bias = self._residuals.begin(writing)
        attended = mask.visible
        if self._eviction.strategy == "topk":
            attended = attended & self._attended(writing, len(ids) // self.pool.num_rows)
        return mask.limited(attended, bias, self)

    @torch.inference_mode()
    def fill(self, ids: Sequence[int]) -> None:
        """`ids` have been given slots that were filled without a pass: nothing was observed."""
        self._written(ids)

    def _written(self, ids: Sequence[int]) -> np.ndarray:
        """The slots just handed out are those of `ids`. Returns them, `[tables, tokens]`."""
        pool, count = self.pool, len(ids)
        writing = np.stack([pool.writing(table) for table in range(pool.num_tables)])
        missing = pool.capacity - self._tokens.shape[1]
        self._tokens = np.pad(self._tokens, ((0, 0), (0, max(missing, 0))))
        self._tokens[np.arange(pool.num_tables)[:, None], writing] = np.asarray(ids)
        tokens_per_row = count // pool.num_rows
        depths = pool.row_depth.repeat(tokens_per_row) - tokens_per_row
        depths = depths + np.tile(np.arange(tokens_per_row), pool.num_rows)
        if any(policy.is_layerwise for policy in self._counters):
            slots = pool.all_write_slots(self._device)
            for policy in self._counters:
                policy.written(slots, pool.num_written - count, depths, pool.capacity)
        return writing

    def observe(self, layer_idx: int, weights: torch.Tensor, seen: torch.Tensor) -> None:
        for policy in self._counters:
            policy.observe(layer_idx, weights, seen)

    def observe_states(
        self, layer_idx: int, queries: torch.Tensor, keys: torch.Tensor, seen: torch.Tensor
    ) -> None:
        self.policy.observe_states(layer_idx, queries, keys, seen)

    def _attended(self, writing: np.ndarray, tokens_per_row: int) -> np.ndarray:
        """`[tables, paths, slots]` below the high-water mark: protected, of this pass, or among
        the `topk` highest scores of what was stored."""
        pool, high = self.pool, self.pool.high_water
        scores = np.zeros((pool.num_tables, high))
        width = min(high, self._scores.shape[1])
        scores[:, :width] = self._scores[:, :width]
        always = protected(
            pool.slot_depth[:, :high],
            pool.row_depth - tokens_per_row + 1,
            self._sinks,
            self._recent,
        )
        np.put_along_axis(always, np.repeat(writing[:, None], pool.num_rows, axis=1), True, axis=2)
        if self._residuals is not None:
            always |= self._residuals.entry[:, :, :high]
        stored = pool.visible[:, :, :high] & ~always
        return always | highest(scores, stored, self._eviction.topk)

    @torch.inference_mode()
    def evict(self) -> Report:
        """The pass is over: count it, and let every path go back to its budget."""
        for policy in self._counters:
            policy.finish(self.pool.slot_serial)
        pool, budgets = self.pool, tuple(self.budgets.tolist())
        tables = pool.num_tables
        excess = pool.visible.sum(axis=2) - self.budgets[:tables, None]
        is_counted = isinstance(self.policy, CountingPolicy)
        held = np.asarray(pool.visible.any(axis=1))
        is_recorded = is_counted and int(held.sum()) <= self._num_evidence
        is_over = bool((excess > 0).any())
        if not (is_over or is_recorded or self._eviction.strategy == "topk"):
            return Report(budgets=budgets)
        reading = self.policy.read(pool.slot_depth, pool.slot_serial, is_recorded)
        self._scores = reading.scores
        evicted = self._let_go(reading, excess) if is_over else ()
        found: tuple[Evidence, ...] = ()
        if is_recorded:
            found = evidence(reading, held, pool.slot_depth)
        return Report(evicted, found, budgets)

    def _let_go(self, reading: Reading, excess: np.ndarray) -> tuple[Evicted, ...]:
        pool = self.pool
        evictable = pool.visible & ~protected(
            pool.slot_depth, pool.row_depth, self._sinks, self._recent
        )
        if self._residuals is not None:
            evictable &= ~self._residuals.covering(pool.capacity)
            self._residuals.promote(reading.scores, evictable, excess)
        victims = choose(reading.scores, pool.slot_depth, evictable, excess)
        record = explained(
            self.policy.words, victims, reading, evictable, pool.slot_depth, self._tokens
        )
        if pool.num_tables == 1:  # all layers lost the same
            record = [replace(record[0], layer=i) for i in range(pool.num_layers)]
        if self._eviction.adaptive:
            self._controller.step(self._lost(reading, victims))
        if self._residuals is not None:
            copied = self._residuals.fold(victims)
            self._follow(copied)
            record = [replace(each, copied=tuple(copied[each.layer])) for each in record]
        pool.clear(victims.tables, victims.rows, victims.slots)
        return tuple(record)

    def _follow(self, copied: dict[int, list[tuple[int, int, int]]]) -> None:
        """Copies of slots stand for the same tokens, and the same is known of them."""
        capacity = self.pool.capacity
        missing = capacity - self._tokens.shape[1]
        self._tokens = np.pad(self._tokens, ((0, 0), (0, max(missing, 0))))
        for layer_idx, moves in copied.items():
            if moves:
                _, slots, copies = np.array(moves).T
                self._tokens[layer_idx, copies] = self._tokens[layer_idx, slots]
                for policy in self._counters:
                    policy.copied(layer_idx, slots, copies, capacity)

    def _lost(self, reading: Reading, victims: Victims) -> np.ndarray:
        """`[layers]`: share of a query's attention that the victims used to get, mean of paths."""
        meter = self._counters[-1]
        if meter is not self.policy:
            reading = meter.read(self.pool.slot_depth, self.pool.slot_serial)
        scores = reading.scores if reading.exact_scores is None else reading.exact_scores
        share = np.maximum(scores[victims.tables, victims.slots], 0) / meter.setting.num_heads
        lost = np.bincount(victims.tables, weights=share, minlength=len(self.budgets))
        return np.asarray(lost / self.pool.num_rows)

    def fork(self, parents: Sequence[int]) -> None:
        """Row `i` continues what was row `parents[i]`."""
        if self._residuals is not None:
            self._residuals.fork(parents)
