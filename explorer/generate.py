"""generate(model, config) -> Iterator[Step]: the only engine loop.

    logits = prefill(prompt)
    while paths are live:
        observe the logits, decide forks, draw tokens, prune
        fork(parents); yield the step; logits = decode(tokens)

Closing the iterator at any point frees keys and values.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import torch
import transformers

import explorer
from explorer.against import Both, Follower, FullCache
from explorer.backends import BACKENDS, Backend, Forward, check_fit, num_open
from explorer.cache.budget import layer_budgets
from explorer.config import InputError, RunConfig
from explorer.events import FORMAT, VERSION, Evicted, Header, Memory, Origin, Phase, Step
from explorer.eviction import piece
from explorer.kernels import execution
from explorer.machine import rates
from explorer.meter import Meter
from explorer.models import LoadedModel
from explorer.precision import Float32
from explorer.prompt import prompt_ids, prompt_tokens, source_ids
from explorer.reuse import Reuse
from explorer.sampling import Observed, observe
from explorer.text import TextStream
from explorer.trace import Trace
from explorer.tree import Growth, Tree

if TYPE_CHECKING:
    from explorer.cache.prefix import PrefixCache

__all__ = ["generate", "num_open", "prepare", "run", "warm"]

NOTHING: tuple[int, ...] = ()
PASSED = Growth(parents=(0,), decisions=(), nodes=(), forks=(), ends=())


def prepare(model: LoadedModel, config: RunConfig, origin: Origin | None = None) -> Header:
    """The header of the run: checks prompt and backend. Raises InputError.

    `origin` is recorded: the run that this one was made from, and what was changed.
    """
    check_fit(model.info, config)
    ids, source = prompt_ids(model, config), source_ids(model, config)
    text = TextStream(model.tokenizer)
    return Header(
        format=FORMAT,
        version=VERSION,
        software={
            "explorer": explorer.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        config=config.model_dump(mode="json"),
        model=model.info,
        prompt=prompt_tokens(text, ids),
        source=prompt_tokens(text, source),
        origin=origin,
        rates=rates(model.info.device, model.info.dtype, torch.get_num_threads()),
        execution=execution(model, config, _pieces(model, config, len(ids))),
    )


def _pieces(model: LoadedModel, config: RunConfig, num_prompt: int) -> list[int]:
    """Lengths of the passes that read a prompt of which nothing is reused. Raises InputError where
    a budget has no room."""
    chunk = num_prompt
    if BACKENDS[config.cache.backend].is_chunked:
        chunk = config.cache.prefill_chunk
    if config.eviction.policy is not None:
        budgets = layer_budgets(config.eviction, model.info.num_layers, num_prompt)
        chunk = min(chunk, piece(budgets, num_prompt) or chunk)
    return [min(chunk, num_prompt - start) for start in range(0, num_prompt, chunk)]


def run(
    model: LoadedModel,
    config: RunConfig,
    path: str | os.PathLike[str] | None = None,
    prefix: PrefixCache | None = None,
) -> Trace:
    """A whole run as a Trace; with `path` the trace file grows with it."""
    return Trace.from_steps(prepare(model, config), generate(model, config, prefix), path)


def warm(
    model: LoadedModel, prefix: PrefixCache, prompts: Iterable[str], config: RunConfig | None = None
) -> None:
    """Read `prompts` into the prefix cache, stored as `config` says, so that runs find them."""
    config = config or RunConfig()
    for prompt in prompts:
        run(model, config.replace(prompt=prompt, prompt_ids=None, max_new_tokens=1), prefix=prefix)


def generate(
    model: LoadedModel, config: RunConfig, prefix: PrefixCache | None = None
) -> Iterator[Step]:
    """Run `config` on `model`, one Step per forward pass. Raises InputError before the first.

    With `prefix` the run takes the beginning of its prompt from there, and leaves the rest of it.
    Closing the iterator frees keys and values; so does any error.
    """
    header = prepare(model, config)
    model = model.tuned(config.attention_kernel, config.compile)
    ids = tuple(token.token for token in header.prompt)
    backend_type = BACKENDS[config.cache.backend]
    text = TextStream(model.tokenizer)
    tree = Tree(
        config,
        model.info.vocab_size,
        model.end_tokens(),
        text,
        ids,
        can_fork=backend_type.is_tree,
    )
    num_starts = 1
    if not backend_type.is_tree:
        num_starts = config.limits.num_samples or config.branching.max_paths
    engine = _Engine(config, tree, text, Meter(model.device))
    for _ in range(num_starts):
        tree.start_path(num_starts)
        if header.source:
            model = model.reading([token.token for token in header.source])
        backend = backend_type(model, config, len(ids))
        reuse: Reuse | None = None
        full: Follower | None = None
        try:
            reuse = Reuse(prefix, model, config, backend, ids)
            if config.eviction.against_full:
                beside = model if model.source is None else model.reading(model.source.ids)
                full = FullCache(beside, config.cache.prefill_chunk)
            if config.against_float32:
                float32 = Float32(model, config.cache.prefill_chunk)
                full = float32 if full is None else Both(full, float32)
            yield from engine.run(backend, ids, reuse, full)
        finally:
            if reuse is not None:
                reuse.close()  # first: its blocks are other runs' as well
            backend.close()
            if model.source is not None:
                model.source.close()
            if full is not None:
                full.close()
        if tree.is_enough:
            return


def _measured(backend: Backend) -> Memory:
    """What is stored, with what all paths see of an encoder's source."""
    source, memory = backend.model.source, backend.stats()
    return memory if source is None else source.measured(memory)


class _Engine:
    """Turns one backend and the tree into steps; counts them over all samples of a naive run."""

    def __init__(self, config: RunConfig, tree: Tree, text: TextStream, meter: Meter) -> None:
        self._config = config
        self._tree = tree
        self._text = text
        self._meter = meter
        self._index = 0

    def run(
        self, backend: Backend, ids: tuple[int, ...], reuse: Reuse, full: Follower | None = None
    ) -> Iterator[Step]:
        """Prefill what of `ids` cannot be reused in chunks, then decode until the tree is done: a
        Step for each pass."""
        self._meter.pause()  # between two samples the reader had the last step
        chunk = self._config.cache.prefill_chunk if backend.is_chunked else len(ids)
        chunk = min(chunk, backend.chunk or chunk)
        first = reuse.fill()
        last = first + (len(ids) - first - 1) // chunk * chunk
        for start in range(first, last, chunk):
            with self._meter.forward():
                forward = backend.prefill(ids[start : start + chunk])
            step = self._step(backend, forward, "prefill")
            reuse.passed(step)
            yield step
            self._meter.pause()
        with self._meter.forward():
            forward = backend.prefill(ids[last:])
        if full is not None:
            with self._meter.beside():
                full.prefill(ids)
        reuse.store()
        step = self._step(backend, forward, "prefill", self._observe(forward), full)
        reuse.passed(step)
        yield replace(step, reused=reuse.report())
        while not self._tree.is_done:
            self._meter.pause()
            tokens = [path.tokens[-1] for path in self._tree.live]
            with self._meter.forward():
                forward = backend.decode(tokens)
            if full is not None:
                with self._meter.beside():
                    full.decode(tokens)
            yield self._step(backend, forward, "decode", self._observe(forward), full)

    def _observe(self, forward: Forward) -> Observed:
        config = self._config
        seen = observe(
            forward.logits,
            config.sampling,
            config.branching.select,
            self._tree.plan(),
            config.limits.num_candidates,
        )
        if not seen.is_finite:
            raise InputError(
                f"The model's logits at step {self._index} are not numbers (NaN or infinite): its "
                "weights are damaged or its dtype overflows; try dtype float32 or another model."
            )
        return seen

    def _step(
        self,
        backend: Backend,
        forward: Forward,
        phase: Phase,
        seen: Observed | None = None,
        full: Follower | None = None,
    ) -> Step:
        """Decide on `seen` (nothing between prefill chunks), fork, and record it all."""
        source = backend.model.source
        memory_forward = memory = _measured(backend)
        growth, freed = PASSED, NOTHING
        layer_freed: tuple[tuple[int, ...], ...] = ()
        report = forward.report
        evicted = self._evicted(report.evicted)  # from the paths as they were in the pass
        if seen is not None:
            growth = self._tree.grow(seen)
            if source is not None:
                growth = replace(growth, decisions=source.looked(growth.decisions))
            if full is not None:
                with self._meter.beside():
                    growth = replace(growth, decisions=full.compare(forward, growth.decisions))
                    full.fork(growth.parents)
            freed, layer_freed = backend.fork(growth.parents), backend.layer_freed
            memory = _measured(backend)
        index, self._index = self._index, self._index + 1
        seconds, beside, overhead = self._meter.lap()
        return Step(
            index=index,
            phase=phase,
            positions=forward.positions,
            seconds=seconds,
            overhead_seconds=overhead,
            paths=tuple(path.id for path in self._tree.live),
            parents=growth.parents,
            decisions=growth.decisions,
            nodes=growth.nodes,
            forks=growth.forks,
            ends=growth.ends,
            slots=forward.slots,
            freed=freed,
            memory_forward=memory_forward,
            memory=memory,
            peak_memory_nbytes=self._meter.peak_memory_nbytes,
            evictions=evicted,
            evidence=report.evidence,
            layer_slots=forward.layer_slots,
            layer_freed=layer_freed,
            budgets=report.budgets,
            encoded=0 if source is None else source.took(),
            beside_seconds=beside,
        )

    def _evicted(self, evicted: tuple[Evicted, ...]) -> tuple[Evicted, ...]:
        """With paths by their ids instead of their rows, and the texts of the tokens."""
        ids = [path.id for path in self._tree.live]
        return tuple(
            replace(
                each,
                paths=tuple(tuple(ids[row] for row in rows) for rows in each.paths),
                texts=tuple(self._text.piece(token) for token in each.tokens),
                copied=tuple((ids[row], slot, copy) for row, slot, copy in each.copied),
            )
            for each in evicted
        )
