"""The token tree of a run while it grows: live paths, their order, what each step adds.

Knows no model and no cache: observed distributions go in, decisions come out, so that literal
numbers test it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from explorer.branching import (
    WIDTHS,
    budget_factor,
    by_logprob,
    by_perturbed,
    normalized_entropy,
    num_children,
    prune,
)
from explorer.config import RunConfig
from explorer.events import Candidate, Decision, End, Fork, Node
from explorer.path import Path
from explorer.sampling import (
    ROOT_DEPTH,
    Observed,
    code_plan,
    first_codes,
    gumbel,
    plan,
    truncated_gumbel,
    uniforms,
)
from explorer.text import Tail, TextStream

DIGITS = 7  # decimals of a candidate's record: float32 has no more, and traces are half as long


@dataclass(frozen=True, slots=True)
class Growth:
    """What one step added. `parents[i]` is the old row that row `i` of the live paths continues."""

    parents: tuple[int, ...]
    decisions: tuple[Decision, ...]
    nodes: tuple[Node, ...]
    forks: tuple[Fork, ...]
    ends: tuple[End, ...]


@dataclass(frozen=True, slots=True)
class _Draw:
    """One token chosen for a path, with what the path takes over from the choice."""

    column: int  # of Observed
    perturbed: float | None = None
    codes: tuple[float, ...] = ()


class Tree:
    """Grows by `grow(observed)`; `live` are the paths in row order, `is_done` says when to stop."""

    def __init__(
        self,
        config: RunConfig,
        vocab_size: int,
        end_tokens: frozenset[int],
        text: TextStream,
        prompt: Sequence[int],
        can_fork: bool = True,
    ) -> None:
        self.live: list[Path] = []
        self.is_done = False
        self._config = config
        self._vocab_size = vocab_size
        self._end_tokens = end_tokens
        self._text = text
        self._prompt_tail = text.start(prompt)
        self._tails: dict[int, Tail] = {}
        self._can_fork = can_fork
        self._num_codes = 0
        self._num_paths = 0
        self._num_nodes = 0
        self._num_finished = 0
        self._score = by_perturbed if config.branching.select == "gumbel" else by_logprob
        self._choose = self._by_code if config.branching.select == "arithmetic" else self._by_draw

    def start_path(self, num_starts: int = 1) -> None:
        """A new path at the prompt's end, alone alive; the codes are shared among `num_starts`."""
        config, path = self._config, Path(self._num_paths)
        if config.branching.select == "gumbel":
            path.perturbed = gumbel(uniforms(config.sampling.seed, path.id, ROOT_DEPTH, 1)[0])
        if config.branching.select == "arithmetic":
            self._num_codes = config.branching.max_paths if self._can_fork else num_starts
            codes = first_codes(config.sampling.seed, self._num_codes)
            path.codes = codes if self._can_fork else (codes[path.id],)
        self._num_paths += 1
        self._tails[path.id] = self._prompt_tail
        self.live, self.is_done = [path], False

    @property
    def is_enough(self) -> bool:
        """As many paths have finished as were asked for."""
        enough = self._config.limits.max_finished
        return enough is not None and self._num_finished >= enough

    def plan(self) -> np.ndarray:
        """Uniforms or codes for the next step's draws, `[live paths, draws]`."""
        branching, seed = self._config.branching, self._config.sampling.seed
        if self._num_codes:
            return code_plan(self.live, seed, self._num_codes)
        remaining = branching.max_paths - len(self.live)
        draws = budget_factor(branching.branch_factor, remaining) if self._can_fork else 1
        return plan(branching.select, self.live, seed, draws)

    def grow(self, seen: Observed) -> Growth:
        """Decide every live path's next tokens, then drop what ended and what is too many."""
        remaining = self._config.branching.max_paths - len(self.live)
        decisions, forks = [], []
        made: list[tuple[int, Path, _Draw]] = []
        for row, path in enumerate(self.live):
            draws = self._choose(row, path, seen, remaining)
            decisions.append(self._decision(row, path, seen, len(draws)))
            children = [path] if len(draws) == 1 else [self._child(path) for _ in draws]
            if len(children) > 1:
                forks.append(Fork(path.id, tuple(child.id for child in children)))
            made += [(row, child, draw) for child, draw in zip(children, draws, strict=True)]
        nodes = self._extend(made, seen)
        rows = {path.id: row for row, path, _ in made}
        ends = self._end([path for _, path, _ in made])
        return Growth(
            parents=tuple(rows[path.id] for path in self.live),
            decisions=tuple(decisions),
            nodes=nodes,
            forks=tuple(forks),
            ends=ends,
        )

    def _child(self, path: Path) -> Path:
        child = path.child(self._num_paths)
        self._num_paths += 1
        self._tails[child.id] = self._tails[path.id]
        return child

    def _by_draw(self, row: int, path: Path, seen: Observed, remaining: int) -> list[_Draw]:
        """Distinct tokens in the order of the draws; Gumbel values where the paths have them."""
        branching = self._config.branching
        h = normalized_entropy(float(seen.entropy[row]), self._vocab_size)
        threshold = branching.entropy_threshold
        wanted = WIDTHS[branching.width](branching.branch_factor, h, threshold)
        count = num_children(h, threshold, wanted, remaining, int(seen.support[row]))
        count = count if self._can_fork else 1
        if path.perturbed is None:
            return [_Draw(column) for column in range(count)]
        return [_Draw(i, value) for i, value in enumerate(self._perturb(row, path, seen, count))]

    def _perturb(self, row: int, path: Path, seen: Observed, count: int) -> list[float]:
        """Perturbed log-probabilities of `count` children, top down: the first has its parent's,
        each further one a Gumbel of the probability mass left, below the one before."""
        assert path.perturbed is not None
        seed = self._config.sampling.seed
        noise = uniforms(seed, path.id, path.depth, 2 * count)[count:]
        values, left = [path.perturbed], 1.0
        for column in range(1, count):
            left -= float(np.exp(seen.logprobs[row, column - 1]))
            location = path.logprob + float(np.log(max(left, 1e-300)))
            values.append(truncated_gumbel(noise[column], location, values[-1]))
        return values

    def _by_code(self, row: int, path: Path, seen: Observed, remaining: int) -> list[_Draw]:
        """One child for every token that some code of the path points at."""
        columns = range(len(path.codes))
        draws = []
        for _, group in groupby(columns, key=lambda column: seen.tokens[row, column]):
            same = list(group)
            below, mass = seen.below[row, same[0]], max(seen.mass[row, same[0]], 1e-300)
            inner = [(path.codes[column] - below) / mass for column in same]
            codes = tuple(float(np.clip(code, 0.0, 1 - 2**-53)) for code in inner)
            draws.append(_Draw(same[0], codes=codes))
        return draws

    def _decision(self, row: int, path: Path, seen: Observed, factor: int) -> Decision:
        candidates = zip(
            seen.candidates[row].tolist(),
            seen.candidate_raw_logprobs[row].tolist(),
            seen.candidate_probs[row].tolist(),
            strict=True,
        )
        entropy = float(seen.entropy[row])
        return Decision(
            path=path.id,
            node=path.node,
            entropy=entropy,
            normalized_entropy=normalized_entropy(entropy, self._vocab_size),
            raw_entropy=float(seen.raw_entropy[row]),
            factor=factor,
            candidates=tuple(
                Candidate(t, self._text.piece(t), round(p, DIGITS), round(q, DIGITS))
                for t, p, q in candidates
                if p > -np.inf
            ),
        )

    def _extend(self, made: Sequence[tuple[int, Path, _Draw]], seen: Observed) -> tuple[Node, ...]:
        tokens = [int(seen.tokens[row, draw.column]) for row, _, draw in made]
        grown = self._text.extend([self._tails[path.id] for _, path, _ in made], tokens)
        nodes = []
        for (row, path, draw), token, (text, tail) in zip(made, tokens, grown, strict=True):
            parent, node = path.node, self._num_nodes
            self._num_nodes += 1
            logprob = float(seen.logprobs[row, draw.column])
            raw_logprob = float(seen.raw_logprobs[row, draw.column])
            path.extend(node, token, logprob, raw_logprob)
            path.perturbed, path.codes = draw.perturbed, draw.codes
            self._tails[path.id] = tail
            nodes.append(
                Node(
                    id=node,
                    parent=parent,
                    path=path.id,
                    token=token,
                    text=text,
                    raw=self._text.raw(token),
                    prob=float(np.exp(logprob)),
                    raw_prob=float(np.exp(raw_logprob)),
                    logprob=path.logprob,
                    raw_logprob=path.raw_logprob,
                    perturbed=path.perturbed,
                )
            )
        return tuple(nodes)

    def _end(self, paths: Sequence[Path]) -> tuple[End, ...]:
        """Sort the grown paths into live and ended ones; sets `live` and `is_done`."""
        limits, ends = self._config.limits, []
        going = [path for path in paths if path.tokens[-1] not in self._end_tokens]
        finished = [path for path in paths if path.tokens[-1] in self._end_tokens]
        ends += [End(path.id, path.node, "finished") for path in finished]
        self._num_finished += len(finished)
        self.live = prune(going, self._config.branching.max_paths, self._score)
        kept = {path.id for path in self.live}
        ends += [End(path.id, path.node, "pruned") for path in going if path.id not in kept]
        if self.is_enough:
            ends += [End(path.id, path.node, "cancelled") for path in self.live]
            self.is_done = True
        elif self.live and self.live[0].depth >= limits.max_new_tokens:
            ends += [End(path.id, path.node, "length") for path in self.live]
            self.is_done = True
        else:
            self.is_done = not self.live
        return tuple(ends)
