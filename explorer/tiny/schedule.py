"""The curriculum: how long the rows are, and how large the steps, at each share of the training.

Short rows full of copies come first, because a model that starts on the whole mixture does not
learn to look back (it stayed at chance after 12 M tokens); the long rows come last, so that
positions up to 1,024 are trained.
"""

from dataclasses import dataclass
from typing import NamedTuple

TOTAL_TOKENS = 36_000_000
LEARNING_RATE = 3e-3
WARMUP = 0.01
DECAY_FROM = 0.45


class Phase(NamedTuple):
    """Rows of `num_tokens`, `num_rows` at a step, until `end` (a share of the training)."""

    end: float
    num_tokens: int
    num_rows: int


PHASES = (Phase(0.25, 48, 32), Phase(0.45, 128, 12), Phase(0.72, 256, 8), Phase(1.0, 1024, 2))


@dataclass
class Progress:
    """How far the training is; saved with every checkpoint."""

    step: int = 0
    tokens: int = 0
    documents: int = 0
    characters: int = 0
    seconds: float = 0.0

    def share(self, minutes: float | None) -> float:
        """Share of the training done, 0 to 1: by tokens, or by time if that is further."""
        by_time = self.seconds / (60 * minutes) if minutes else 0.0
        return min(1.0, max(self.tokens / TOTAL_TOKENS, by_time))


def phase_at(share: float) -> Phase:
    """The phase for a share in [0, 1)."""
    return next(phase for phase in PHASES if share < phase.end)


def steps_left(progress: Progress) -> int:
    """Steps until `TOTAL_TOKENS` tokens have been seen, over all phases that remain."""
    left, tokens = 0, progress.tokens
    for phase in PHASES:
        end = int(phase.end * TOTAL_TOKENS)
        if tokens < end:
            left += -(-(end - tokens) // (phase.num_tokens * phase.num_rows))
            tokens = end
    return left


def learning_rate(share: float) -> float:
    """Linear warm-up, a plateau, and a linear decay to nearly 0."""
    return LEARNING_RATE * min(1.0, share / WARMUP + 0.01, (1.001 - share) / (1 - DECAY_FROM))
