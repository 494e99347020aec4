"""The documents that `--json` promises, as JSON schemas: fields may be added, never renamed."""

from __future__ import annotations

from typing import Any

COUNT = {"type": "integer", "minimum": 0}
SECONDS = {"type": "number", "minimum": 0}
TEXT = {"type": "string"}
DIGEST = {"type": "string", "pattern": "^[0-9a-f]{8,}$"}
RATIO = {"type": ["number", "null"], "exclusiveMinimum": 0}


def record(**properties: Any) -> dict[str, Any]:
    """An object that has at least these properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def mapping(value: Any) -> dict[str, Any]:
    """An object with any keys."""
    return {"type": "object", "additionalProperties": value}


MAYBE = {"type": ["number", "null"], "minimum": 0}


def phase(predicted: Any) -> dict[str, Any]:
    """Prefill or decode of a run."""
    counts = ("steps", "tokens", "positions", "kv_read_nbytes", "kv_written_nbytes")
    known = ("tokens_per_second", "weight_nbytes", "nbytes", "flops", "intensity")
    return record(
        **dict.fromkeys(counts, COUNT), **dict.fromkeys(known, MAYBE), predicted=predicted
    )


PREDICTED = {"anyOf": [record(seconds=SECONDS, tokens_per_second=MAYBE), {"type": "null"}]}
PATH = record(
    id=COUNT,
    parent={"type": ["integer", "null"]},
    token_ids={"type": "array", "items": COUNT, "minItems": 1},
    text=TEXT,
    logprob={"type": "number", "maximum": 0},
    raw_logprob={"type": "number", "maximum": 0},
    status={"enum": ["finished", "length", "pruned", "cancelled"]},
    fork_depths={"type": "array", "items": COUNT},
)
RUN = record(
    run=record(backend=TEXT, model=TEXT, device=TEXT, dtype=TEXT, seed=COUNT, version=TEXT),
    paths={"type": "array", "items": PATH},
    counters=record(
        steps=COUNT,
        forks=COUNT,
        pruned=COUNT,
        generated_tokens=COUNT,
        forward_token_steps=COUNT,
        unique_kv_tokens_peak=COUNT,
        logical_kv_tokens_peak=COUNT,
        sharing_peak={"type": "number", "minimum": 0, "maximum": 1},
        kv_nbytes_peak=COUNT,
        kv_live_nbytes_peak=COUNT,
        kv_logical_nbytes_peak=COUNT,
        peak_memory_nbytes=COUNT,
        evictions=COUNT,
    ),
    seconds=record(
        prefill=SECONDS, decode=SECONDS, overhead=SECONDS, total=SECONDS, first_token=SECONDS
    ),
    tokens_per_second=record(generated=SECONDS, computed=SECONDS),
    phases=record(
        prefill=phase(PREDICTED),
        decode=phase(PREDICTED),
        first_token_seconds=MAYBE,
        inter_token_seconds=record(p50=MAYBE, p95=MAYBE, steps=COUNT),
        formulas=mapping(TEXT),
    ),
    tree_digest=DIGEST,
)
COMPARE = record(
    runs=mapping(RUN),
    same_tree=mapping({"type": "boolean"}),
    equal={"type": "object"},
    ratios=record(wall_vs_naive=mapping(RATIO), kv_peak_vs_deepcopy=mapping(RATIO)),
)
BENCH = record(
    machine=record(processor=TEXT, cores=COUNT, versions=mapping(TEXT)),
    cases={
        "type": "array",
        "minItems": 1,
        "items": record(
            name=TEXT,
            seconds={"type": ["number", "null"], "exclusiveMinimum": 0},
            ratio_to={"type": ["string", "null"]},
            ratio=RATIO,
            goal={"type": ["string", "null"]},
            met={"type": ["boolean", "null"]},
        ),
    },
)
KNOWN = {"type": ["integer", "null"], "minimum": 0}
MODELS = record(
    models={
        "type": "array",
        "minItems": 1,
        "items": record(
            name=TEXT,
            architecture={"type": ["string", "null"]},
            parameters=KNOWN,
            num_layers=KNOWN,
            num_kv_heads=KNOWN,
            head_dim=KNOWN,
            vocab_size=KNOWN,
            kv_nbytes_per_token=KNOWN,
            backends={"type": "array", "items": TEXT},
            reason=mapping(TEXT),
        ),
    }
)
NUMBER = {"type": "number"}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
MAYBE_SHARE = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
QUALITY = record(
    tokens=COUNT,
    full=record(nll=NUMBER, perplexity=NUMBER),
    policy=record(
        name=TEXT,
        budget={"type": ["number", "null"]},
        strategy={"type": ["string", "null"]},
        nll=NUMBER,
        perplexity=NUMBER,
        kl=NUMBER,
        flip_rate=SHARE,
        attention_mass_lost=SHARE,
        kv_nbytes=COUNT,
        score_nbytes=COUNT,
    ),
    delta_nll=record(
        mean=NUMBER, ci95={"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}
    ),
    recall=record(full=MAYBE_SHARE, policy=MAYBE_SHARE, probes=COUNT),
    verdict=TEXT,
)
SWEEP = record(
    name=TEXT,
    rows={"type": "array", "items": record(name=TEXT, seconds=SECONDS)},
    failed={"type": "array", "items": record(name=TEXT, error=TEXT)},
    csv={"type": ["string", "null"]},
)
