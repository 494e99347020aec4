"""Temperature, top-k, top-p, and draws that are the same on every backend, device and batch order.

The uniform for (seed, path, depth, draw) is fixed by a counter-based generator, and the token by
the inverse of the cumulative distribution in token-id order. All rows are computed on the logits'
device at once and come back in one transfer, as an `Observed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from explorer.config import Sampling
from explorer.path import Path

ROOT_DEPTH = 2**63 - 1  # counter of draws that belong to a run, not to a token


def uniforms(seed: int, path_id: int, depth: int, count: int) -> np.ndarray:
    """`[count]` float64 in [0, 1): draws 0.. of this seed, path and depth (Philox 4x64-10)."""
    generator = np.random.Philox(
        key=np.array([seed, path_id], dtype=np.uint64),
        counter=np.array([0, depth, 0, 0], dtype=np.uint64),
    )
    uniform: np.ndarray = (generator.random_raw(count) >> np.uint64(11)) * 2.0**-53
    return uniform


@dataclass(frozen=True, slots=True)
class Observed:
    """What the host learns of one step's logits: float64 and int64 NumPy arrays, a row a path.

    `tokens`, `logprobs` (ln q) and `raw_logprobs` (ln p) are `[rows, draws]`; `below` and `mass`
    the cumulative probability before each drawn token and its own (codes only read these);
    `candidate_*` `[rows, candidates]`, most probable first.
    """

    entropy: np.ndarray
    raw_entropy: np.ndarray
    support: np.ndarray
    tokens: np.ndarray
    logprobs: np.ndarray
    raw_logprobs: np.ndarray
    below: np.ndarray
    mass: np.ndarray
    candidates: np.ndarray
    candidate_raw_logprobs: np.ndarray
    candidate_probs: np.ndarray

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.entropy).all() and np.isfinite(self.raw_entropy).all())


def log_distributions(
    logits: torch.Tensor, sampling: Sampling
) -> tuple[torch.Tensor, torch.Tensor]:
    """`logits [rows, vocab]` -> `(ln q, ln p)`: the sampling distribution and the model's own.

    In this order: logits / T, top-k (all that equal the k-th stay), top-p (the smallest set whose
    mass exceeds p, at least one). T = 0, or less than float32 can divide by, is the limit: all mass
    on the most probable token, the lowest id where several are equal.
    """
    raw = torch.log_softmax(logits.float(), dim=-1)
    if sampling.temperature < torch.finfo(torch.float32).tiny:
        best = raw.argmax(dim=-1, keepdim=True)
        return torch.full_like(raw, float("-inf")).scatter_(-1, best, 0.0), raw
    is_plain = sampling.temperature == 1 and sampling.top_k is None and sampling.top_p is None
    if is_plain:
        return raw, raw
    scaled = raw / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < scaled.shape[-1]:
        last = scaled.topk(sampling.top_k, dim=-1).values[..., -1:]
        scaled = scaled.masked_fill(scaled < last, float("-inf"))
    if sampling.top_p is not None and sampling.top_p < 1:
        ordered, order = scaled.sort(dim=-1, descending=True, stable=True)
        probs = torch.softmax(ordered, dim=-1)
        outside = probs.cumsum(dim=-1) - probs > sampling.top_p
        outside[..., 0] = False
        scaled = scaled.masked_fill(
            torch.zeros_like(outside).scatter_(-1, order, outside), float("-inf")
        )
    return torch.log_softmax(scaled, dim=-1), raw


def entropy(log_probs: torch.Tensor) -> torch.Tensor:
    """`[rows, vocab]` log-probabilities -> `[rows]` nats, with 0 ln 0 = 0."""
    probs = log_probs.exp()
    return -(probs * log_probs.clamp(min=-1e30)).sum(dim=-1)


def draw_without_replacement(q: torch.Tensor, plan: torch.Tensor) -> torch.Tensor:
    """`[rows, draws]` distinct tokens; `plan` `[rows, draws]` holds the uniforms."""
    q = q.clone()
    tokens = []
    for u in plan.unbind(dim=1):
        token = _inverse_cdf(q.cumsum(dim=-1), u[:, None])
        q.scatter_(1, token, 0.0)
        tokens.append(token)
    return torch.cat(tokens, dim=1)


def most_probable(q: torch.Tensor, plan: torch.Tensor) -> torch.Tensor:
    """`[rows, draws]` tokens, most probable first, lowest id first where equal; no randomness."""
    q = q.clone()
    tokens = []
    for _ in range(plan.shape[1]):
        token = q.argmax(dim=-1, keepdim=True)
        q.scatter_(1, token, -1.0)
        tokens.append(token)
    return torch.cat(tokens, dim=1)


def decode_codes(q: torch.Tensor, plan: torch.Tensor) -> torch.Tensor:
    """`[rows, codes]`: the token in whose interval each code of `plan` lies; tokens may repeat."""
    return _inverse_cdf(q.cumsum(dim=-1), plan)


def _inverse_cdf(cdf: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    total = cdf[:, -1:]
    target = torch.minimum(u * total, torch.nextafter(total, torch.zeros_like(total)))
    found = torch.searchsorted(cdf, target.contiguous(), right=True)
    return found.clamp_(max=cdf.shape[-1] - 1)


DRAWS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "sample": draw_without_replacement,
    "top": most_probable,
    "gumbel": draw_without_replacement,
    "arithmetic": decode_codes,
}


def plan(select: str, paths: Sequence[Path], seed: int, num_draws: int) -> np.ndarray:
    """`[paths, num_draws]` float64 uniforms for `DRAWS[select]`; zeros where none are needed."""
    if select == "top":
        return np.zeros((len(paths), num_draws))
    return np.stack([uniforms(seed, path.id, path.depth, num_draws) for path in paths])


def code_plan(paths: Sequence[Path], seed: int, num_codes: int) -> np.ndarray:
    """`[paths, codes]` float64: each path's codes, padded; `num_codes` were spread over [0, 1).

    Once a text is no more probable than the codes are apart, its code is alone wherever it lies, so
    that given the text the rest of it is uniform: a fresh uniform takes its place. Following it
    further would only magnify rounding (every token divides by its probability), until backends no
    longer agree. A code that merely happens to be alone is followed: that tells where it lies.
    """
    width = max(len(path.codes) for path in paths)
    rows = []
    for path in paths:
        codes = path.codes
        if len(codes) == 1 and path.logprob <= -math.log(num_codes):
            codes = (float(uniforms(seed, path.id, path.depth, 1)[0]),)
        rows.append((*codes, *[0.0] * (width - len(codes))))
    return np.array(rows)


def observe(
    logits: torch.Tensor, sampling: Sampling, select: str, plan: np.ndarray, num_candidates: int
) -> Observed:
    """Everything one step needs of `logits [rows, vocab]`, in one device-to-host transfer."""
    vocab = logits.shape[-1]
    logq, logp = log_distributions(logits, sampling)
    wide = torch.float32 if logits.device.type == "mps" else torch.float64
    q = logq.to(wide).exp()
    uniform = torch.from_numpy(plan).to(device=logits.device, dtype=wide, non_blocking=True)
    tokens = DRAWS[select](q, uniform)
    is_coded = select == "arithmetic"
    below = (q.cumsum(-1) - q).gather(1, tokens) if is_coded else torch.zeros_like(uniform)
    top = logp.topk(min(num_candidates, vocab), dim=-1)
    raw_entropy = entropy(logp)[:, None]
    parts = [
        raw_entropy if logq is logp else entropy(logq)[:, None],
        raw_entropy,
        (q > 0).sum(dim=-1, keepdim=True),
        tokens,
        logq.gather(1, tokens),
        logp.gather(1, tokens),
        below,
        q.gather(1, tokens),
        top.indices,
        top.values,
        q.gather(1, top.indices),
    ]
    packed = torch.cat([part.to(wide) for part in parts], dim=1).cpu().numpy()
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]
    split = np.split(packed.astype(np.float64), ends, axis=1)
    for i in (2, 3, 8):
        split[i] = split[i].astype(np.int64)
    return Observed(split[0][:, 0], split[1][:, 0], split[2][:, 0], *split[3:])


def first_codes(seed: int, count: int) -> tuple[float, ...]:
    """`count` evenly spaced codes in [0, 1) with one random shift (arithmetic sampling)."""
    shift = float(uniforms(seed, 0, ROOT_DEPTH, 1)[0])
    return tuple(sorted((shift + i / count) % 1.0 for i in range(count)))


def gumbel(u: float) -> float:
    """A standard Gumbel variate from a uniform."""
    return -math.log(-math.log(max(u, 1e-300)))


def truncated_gumbel(u: float, location: float, bound: float) -> float:
    """A Gumbel variate at `location`, given that it is below `bound`."""
    return location - math.log(math.exp(location - bound) - math.log(max(u, 1e-300)))
