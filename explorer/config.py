"""What a run is: the one description that command line, page, sweeps, links and traces share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

BackendName = Literal["cow", "batched", "deepcopy", "recompute", "naive"]
SelectName = Literal["sample", "top", "gumbel", "arithmetic"]
WidthName = Literal["threshold", "entropy"]
DeviceName = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]

BACKENDS: tuple[str, ...] = get_args(BackendName)


class InputError(ValueError):
    """Something a user gave cannot be used. The message is one sentence with the remedy."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Sampling(_Frozen):
    """How the next-token distribution is shaped and drawn from."""

    temperature: float = Field(
        1.0,
        ge=0,
        le=10,
        description="Divides the logits: below 1 is surer, above 1 bolder; 0 is greedy decoding",
    )
    top_k: int | None = Field(
        None, ge=1, le=1_000_000, description="Keep only the k most probable tokens; none: all"
    )
    top_p: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Keep the smallest set of tokens whose mass exceeds p; none: all",
    )
    # Below 2**53: a browser keeps numbers as doubles, and its seed must be the command line's.
    seed: int = Field(
        0, ge=0, lt=2**53, description="Draws the tokens: equal seeds give equal trees"
    )


class Branching(_Frozen):
    """Where a path forks, into how many, and which paths stay."""

    entropy_threshold: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Fork where the model is this unsure or more: entropy / ln(vocabulary)",
    )
    branch_factor: int = Field(
        3, ge=2, le=64, description="Children of a fork: into how many paths one splits"
    )
    max_paths: int = Field(
        20, ge=1, le=512, description="Paths alive at a time; the least probable beyond are pruned"
    )
    select: SelectName = Field(
        "sample", description="How children are chosen: drawn, most probable, Gumbel or codes"
    )
    width: WidthName = Field(
        "threshold",
        description="Whether every fork has as many children, or more where entropy is higher",
    )


class Cache(_Frozen):
    """Where keys and values live and how paths are run."""

    backend: BackendName = Field(
        "cow", description="How paths are run, and whether they share, copy or keep no cache"
    )
    prefill_chunk: int = Field(
        512, ge=1, le=65_536, description="Prompt tokens read by one forward pass of the prefill"
    )


class Limits(_Frozen):
    """When a run stops, and how much of it is recorded."""

    max_new_tokens: int = Field(
        48, ge=1, le=65_536, description="Tokens added along each path at most"
    )
    max_finished: int | None = Field(
        None, ge=1, description="Stop after this many paths have reached their end; none: never"
    )
    num_samples: int | None = Field(
        None, ge=1, le=4096, description="Samples of the naive backend; none: max_paths"
    )
    num_candidates: int = Field(
        8, ge=1, le=64, description="Most probable next tokens recorded at every node"
    )


class RunConfig(_Frozen):
    """A whole run. Frozen and validated; the JSON of it is in every trace header.

    `prompt_ids` replaces `prompt` where the prompt is token ids (benchmarks, tests). `prefix_ids`
    follow either: what a forced token or a path to be continued has before it, token for token.
    Raises pydantic's `ValidationError`; `explain` makes one sentence of it.
    """

    prompt: str = Field("", max_length=1_000_000, description="Text the paths continue")
    prompt_ids: tuple[int, ...] | None = Field(None, description="Token ids instead of a prompt")
    prefix_ids: tuple[int, ...] = Field(
        (),
        max_length=65_536,
        description="Token ids that follow the prompt: a beginning that is given, not generated",
    )
    chat_template: bool = Field(False, description="Wrap the prompt as a user's chat message")
    model: str = Field(
        "tiny", min_length=1, description="tiny (bundled), a local folder or a Hub id"
    )
    device: DeviceName = Field(
        "auto", description="Where the model runs: auto, cpu, cuda, cuda:N or mps"
    )
    dtype: DtypeName = Field("auto", description="Number format of weights and cache")
    sampling: Sampling = Sampling()
    branching: Branching = Branching()
    cache: Cache = Cache()
    limits: Limits = Limits()

    @model_validator(mode="before")
    @classmethod
    def _nest_flat_names(cls, data: Any) -> Any:
        """Accept `RunConfig(temperature=0.7)` beside `RunConfig(sampling=Sampling(...))`."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for group, kind in GROUPS.items():
            flat = {name: data.pop(name) for name in kind.model_fields if name in data}
            if flat:
                given = data.get(group) or {}
                data[group] = (
                    given.model_dump() if isinstance(given, BaseModel) else dict(given)
                ) | flat
        return data

    def flat(self) -> dict[str, Any]:
        """Every field by its own name, without groups: the names of options and inputs."""
        values = self.model_dump()
        for group in GROUPS:
            values |= values.pop(group)
        return values

    def replace(self, **changes: Any) -> RunConfig:
        """A copy with some fields, by flat name, changed and checked anew."""
        return RunConfig(**(self.flat() | changes))


GROUPS: dict[str, type[_Frozen]] = {
    "sampling": Sampling,
    "branching": Branching,
    "cache": Cache,
    "limits": Limits,
}


def iter_fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """`(group, name, field)` of every setting in order; group "" is the run itself.

    The command line's options, the page's form and the sweeps' axes are made from this.
    """
    for name, field in RunConfig.model_fields.items():
        if name in GROUPS:
            for inner, inner_field in GROUPS[name].model_fields.items():
                yield name, inner, inner_field
        else:
            yield "", name, field


def explain(error: ValidationError) -> str:
    """One sentence for a person: which field, what was given, what is allowed."""
    parts = []
    for problem in error.errors(include_url=False):
        names = [part for part in problem["loc"] if isinstance(part, str)]
        name = names[-1] if names else "config"
        value = problem.get("input")
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
        parts.append(f"{name}: {problem['msg'].lower()}, not {shown}")
    return "; ".join(parts)
