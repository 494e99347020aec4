"""The contract between engine and readers: what a trace holds, as plain frozen dataclasses.

A trace is a `Header` and then one `Step` per forward pass. Nothing else crosses the border:
the page, the figures, the files and the numbers of a run are all functions of these.
Depth 0 is the first generated token; node -1 is the end of the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

FORMAT = "forkscope-trace"
VERSION = 1
PROMPT_NODE = -1

Phase = Literal["prefill", "decode"]
Status = Literal["finished", "length", "pruned", "cancelled"]
Change = Literal["forced", "grown", "threshold"]


@dataclass(frozen=True, slots=True)
class Work:
    """What the passes of a model compute and read, counted off its weights, for predictions.

    A multiplication and an addition are two FLOPs. Norms, biases and rotations are left out.
    """

    flops_per_position: int  # 2 a weight that a position is multiplied by; of experts the chosen
    flops_per_logits: int  # 2 a weight of the output layer where only a row's last token needs it
    flops_per_pair: int  # of a query and a key that it sees, with the value, over all layers
    weight_nbytes: int  # that a pass reads: all but tables in which tokens are looked up
    active_nbytes: int  # of them, what one position needs: fewer where experts are chosen
    expert_nbytes: int = 0  # of them, those of all experts that are chosen among


@dataclass(frozen=True, slots=True)
class Rates:
    """What the machine was measured to do at its best, and under which conditions."""

    flops_per_second: float  # of a matrix product in the model's number format
    nbytes_per_second: float  # read from memory
    conditions: str


@dataclass(frozen=True, slots=True)
class Execution:
    """How the passes of a run are computed, as it came out on this machine.

    Kernels are torch's names, "written out" where a model or policy needs what no kernel gives,
    "" where no such pass is made.
    """

    unmasked: str  # kernel of passes over a whole text, or of one path's own cache
    masked: str  # kernel of passes through the tree mask
    compiled: int = 0  # blocks that were compiled
    notes: tuple[str, ...] = ()  # what was asked for and not to be had, and why, a sentence each


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a run needs to know of its model. Sizes in elements, `kv_nbytes_per_token` in bytes."""

    name: str
    architecture: str
    num_parameters: int
    num_layers: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    context: int | None  # tokens the positions reach; None: not bounded by the config
    device: str
    dtype: str
    kv_nbytes_per_token: int
    backends: tuple[str, ...]
    reason: str = ""  # why a backend is missing, as a sentence
    cross_nbytes_per_token: int = 0  # of a source token; 0: the model has no encoder
    work: Work | None = None  # None: not known for this kind of model


@dataclass(frozen=True, slots=True)
class PromptToken:
    """One token of the prompt; `text` is what it adds to the readable text, `raw` its own form."""

    token: int
    text: str
    raw: str


@dataclass(frozen=True, slots=True)
class Origin:
    """The run that another was made from, and how. `created` is that of its header.

    forced: token `text` at `depth` after `node`; grown: from the end of the path to `node`, whose
    text and depth these are; threshold: the same run with another entropy_threshold.
    """

    created: str
    kind: Change
    node: int = PROMPT_NODE
    depth: int = -1
    text: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """First line of a trace: everything that was fixed before the first step."""

    format: str
    version: int
    software: dict[str, str]  # explorer, torch, transformers -> version
    created: str  # ISO 8601, UTC
    config: dict[str, Any]  # RunConfig as JSON
    model: ModelInfo
    prompt: tuple[PromptToken, ...]  # the last `prefix_ids` of them were given after the prompt
    origin: Origin | None = None
    # What an encoder reads; `prompt` is then what the decoder begins with, its start token first.
    source: tuple[PromptToken, ...] = ()
    rates: Rates | None = None  # of the machine it ran on
    execution: Execution | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the most probable next tokens at a decision."""

    token: int
    text: str
    raw_logprob: float  # ln p of the model itself (temperature 1, no filter)
    prob: float  # in the sampling distribution q; 0 where a filter removed it


@dataclass(frozen=True, slots=True)
class Look:
    """How a path's cross-attention was spread over the source when it decided, the most first.

    Weights are means over the decoder's layers and heads and add up to 1 with those left out: only
    the largest are recorded, rounded to 4 decimals.
    """

    tokens: tuple[int, ...]  # positions in `Header.source`
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What one path did with the logits at its last node. Entropies in nats."""

    path: int
    node: int  # the node whose next token is decided; -1: the prompt's end
    entropy: float  # of the sampling distribution q
    normalized_entropy: float  # entropy / ln(vocabulary): what the threshold is held against
    raw_entropy: float  # of the model itself
    factor: int  # children; 1: no fork
    candidates: tuple[Candidate, ...]  # most probable first; none of probability 0
    kl: float | None = None  # KL(full cache || this run), nats, where the full cache ran beside it
    full_top: int | None = None  # the full cache's most probable token: a flip where it differs
    top: int | None = None  # this run's most probable token, the first of equals, where one ran
    float32_top: int | None = None  # that of float32: a flip where it differs
    float32_error: float | None = None  # largest distance of a logit from float32's
    look: Look | None = None  # of an encoder-decoder model

    @property
    def is_flip(self) -> bool:
        """Whether the full cache's most probable token is another. Of traces that hold no `top`
        the first candidate counts, which may be another of equal logits."""
        if self.full_top is None:
            return False
        return self.full_top != (self.candidates[0].token if self.top is None else self.top)


@dataclass(frozen=True, slots=True)
class Node:
    """One generated token. Ids count from 0 in order of creation over the whole run."""

    id: int
    parent: int  # node id; -1: the prompt's end
    path: int  # path whose last token it was when it was made
    token: int
    text: str  # what it adds to the path's readable text
    raw: str  # the token's own form, also for half a character
    prob: float  # q(token)
    raw_prob: float  # p(token) of the model itself
    logprob: float  # sum of ln q along the path
    raw_logprob: float  # sum of ln p along the path
    perturbed: float | None = None  # Gumbel-perturbed log-probability (select="gumbel")


@dataclass(frozen=True, slots=True)
class Fork:
    """A path that ended by becoming several; children in order of their draws."""

    path: int
    children: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class End:
    """A path that left the live set, and why; `node` is its last token."""

    path: int
    node: int
    status: Status


@dataclass(frozen=True, slots=True)
class Memory:
    """The KV cache at one moment, measured. Tokens count once per cache, not per layer."""

    unique_kv_tokens: int  # live slots
    logical_kv_tokens: int  # what one cache per path would hold
    shared_kv_tokens: int  # live slots that two or more paths see
    private_kv_tokens: int  # live slots that one path sees
    capacity: int  # slots allocated
    high_water: int  # attention reads slots below this
    kv_nbytes: int  # storage really allocated, each storage once
    kv_live_nbytes: int
    kv_logical_nbytes: int
    layers: tuple[int, ...]  # live slots of each layer
    score_nbytes: int = 0  # counters or sketch of the eviction policy: part of what it costs
    # The cross-attention cache of an encoder-decoder model, held once for all paths; apart from all
    # of the above, which is the self-attention cache.
    cross_tokens: int = 0
    cross_nbytes: int = 0


@dataclass(frozen=True, slots=True)
class Evicted:
    """What one layer lost in a step: columns, one entry a slot. Higher scores stay.

    `paths` are the ids of the paths it left, as they were in this pass; a slot that left all who
    saw it is free. `exact` is the score without a sketch's error, None where it is not kept;
    `ranks` is the place of that score (of the score itself where there is none) among the slots
    that could have gone, 1 the lowest.
    """

    layer: int
    slots: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]
    positions: tuple[int, ...]  # in the text; 0: the first token of the prompt
    tokens: tuple[int, ...]
    texts: tuple[str, ...]
    scores: tuple[float, ...]
    exact: tuple[float | None, ...]
    ranks: tuple[int, ...]
    kept: tuple[float | None, ...]  # lowest score that stayed though it could have gone; None: none
    reasons: tuple[str, ...]
    copied: tuple[tuple[int, int, int], ...] = ()  # (path, slot, copy): residual entries of a path
    # that others saw as well, and that it sees as a copy of its own since they changed


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a counting policy knows of one layer's slots after a step: columns, one entry a slot.

    For sketches, `columns[row][i]` is the cell that row of the sketch counts slot `i` in and
    `cells[row][i]` that cell's value; `error_bound` holds with the probability the sketch states.
    """

    layer: int
    slots: tuple[int, ...]
    positions: tuple[int, ...]
    estimates: tuple[float, ...]  # of the attention a slot has gathered
    exact: tuple[float, ...] = ()  # the same without a sketch; () where it is not kept
    columns: tuple[tuple[int, ...], ...] = ()
    cells: tuple[tuple[float, ...], ...] = ()
    error_bound: float | None = None
    total: float = 0.0  # all attention that was counted: the stream's length


@dataclass(frozen=True, slots=True)
class Reused:
    """What a run found of its prompt in the prefix cache, and left there.

    `cold_seconds` is what a run that found nothing took for the first `cold_tokens` of this prompt:
    for all of it, or, where no such run had this length, for those hit, a pass's seconds shared
    evenly among its tokens. `seconds` is what this run took for the same tokens: look-up and
    copying, and for all of the prompt the passes too. `seconds_saved` is the difference.

    With integer storage a hit is not exact: the rest of the prompt reads rounded keys and values,
    where a cold pass had read them before they were rounded. `max_abs_error` does not tell of it.
    """

    hit_tokens: int
    miss_tokens: int  # the two are the prompt
    hit_blocks: int
    stored_blocks: int
    evicted_blocks: int  # that left the cache for those
    blocks: int  # of the cache, after it
    nbytes: int
    seconds: float
    cold_seconds: float | None = None
    cold_tokens: int = 0
    seconds_saved: float | None = None  # None: tokens were hit that nobody had timed
    max_abs_error: float | None = None  # of the keys and values hit, where they lay rounded on disk
    reason: str = ""  # why nothing was hit, a sentence


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass and the decisions taken on its logits.

    `slots` are the pool slots this pass wrote: for prefill one per prompt token of the chunk, in
    the first step after those of the tokens that were reused, which no pass wrote; for decode one
    per row, rows being `paths` of the step before. `parents[i]` is the row that row `i`
    of `paths` continues: the argument of `fork`. Backends without a pool write no slots.
    """

    index: int
    phase: Phase
    positions: int  # token positions computed in this pass
    seconds: float  # of the forward pass
    overhead_seconds: float  # of everything else of the run since the step before
    paths: tuple[int, ...]  # live paths after the step, in row order
    parents: tuple[int, ...]
    decisions: tuple[Decision, ...]
    nodes: tuple[Node, ...]
    forks: tuple[Fork, ...]
    ends: tuple[End, ...]
    slots: tuple[int, ...]
    freed: tuple[int, ...]  # slots that no path sees any more
    memory_forward: Memory  # after the pass, before the decisions: where peaks are
    memory: Memory  # at the end of the step
    peak_memory_nbytes: int  # CUDA: allocator peak above the model; CPU: peak resident set
    evictions: tuple[Evicted, ...] = ()  # after the pass, before the decisions; a layer each
    evidence: tuple[Evidence, ...] = ()  # policies that count, within `num_evidence`
    layer_slots: tuple[tuple[int, ...], ...] = ()  # `slots` of each layer, once layers differ
    layer_freed: tuple[tuple[int, ...], ...] = ()  # `freed` of each layer, once layers differ
    budgets: tuple[int, ...] = ()  # of each layer in this step, with a policy
    encoded: int = 0  # source positions that the encoder computed, beside `positions`
    reused: Reused | None = None  # at the end of the prefill, with a prefix cache
    beside_seconds: float = 0.0  # of the full cache or float32 that followed: no part of the run
