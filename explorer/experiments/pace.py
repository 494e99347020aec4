"""How fast a model runs on this machine, measured in a moment, to predict what a sweep takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from explorer.config import RunConfig
from explorer.experiments.base import Pace, Point, Sweep

if TYPE_CHECKING:
    from explorer.events import Step
    from explorer.models import LoadedModel

PROMPT = 64  # tokens
STEPS = 8
PATHS = 8


def calibrate(model: LoadedModel, config: RunConfig) -> Pace:
    """Times of a short run with one path and one with several, the first of each thrown away."""
    from explorer.generate import generate

    context = model.info.context or PROMPT + STEPS
    ids = [at % model.info.vocab_size for at in range(min(PROMPT, context - STEPS))]
    base = config.replace(
        prompt_ids=tuple(ids),
        prefix_ids=(),
        chat_template=False,
        backend="cow" if "cow" in model.info.backends else "batched",
        policy=None,
        kv_dtype="model",
        entropy_threshold=0.0,
        branch_factor=PATHS,
        select="sample",
        max_new_tokens=STEPS,
        max_finished=None,
        prefill_chunk=PROMPT,
    )
    found: dict[int, tuple[float, float]] = {}
    for paths in (1, PATHS) * 2:
        steps: list[Step] = list(generate(model, base.replace(max_paths=paths)))
        prefill, *decode = (step.seconds + step.overhead_seconds for step in steps)
        found[paths] = prefill / len(ids), median(decode[1:] or decode or [prefill])
    (prompt_token, one), (_, several) = found[1], found[PATHS]
    return Pace(prompt_token, one, max(0.0, several - one) / (PATHS - 1))


def predict(
    sweep: Sweep, points: Sequence[Point], options: Mapping[str, int], pace: Pace, num_prompt: int
) -> list[float] | None:
    """Seconds of each row at that pace; None where the sweep cannot tell."""
    if sweep.cost is None:
        return None
    return [sweep.cost(pace, point, options, num_prompt) for point in points]
